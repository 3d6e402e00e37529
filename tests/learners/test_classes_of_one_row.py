"""Discriminant analysis and naive Bayes where scikit-learn's warn or divide by zero."""

import warnings

import numpy as np
import pytest
from numpy.testing import assert_allclose, assert_array_equal
from sklearn.base import clone
from sklearn.datasets import load_wine
from sklearn.discriminant_analysis import LinearDiscriminantAnalysis
from sklearn.naive_bayes import GaussianNB

from stackkit._learners.bayes import SmoothedNB
from stackkit._learners.covariance import ShrunkCovariance

X, Y = load_wine(return_X_y=True)


@pytest.fixture(autouse=True)
def every_warning_is_an_error():
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        yield


def _lda():
    return LinearDiscriminantAnalysis(solver="lsqr", covariance_estimator=ShrunkCovariance())


def test_covariances_are_those_of_automatic_shrinkage():
    automatic = LinearDiscriminantAnalysis(solver="lsqr", shrinkage="auto").fit(X, Y)
    assert_array_equal(_lda().fit(X, Y).predict_proba(X), automatic.predict_proba(X))


def test_a_class_of_one_row_has_a_mean_and_no_spread():
    rows = np.concatenate([np.flatnonzero(Y > 0), [0]])
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", UserWarning)
        automatic = LinearDiscriminantAnalysis(solver="lsqr", shrinkage="auto").fit(X[rows], Y[rows])
    model = _lda().fit(X[rows], Y[rows])
    assert_allclose(model.predict_proba(X), automatic.predict_proba(X))


def test_naive_bayes_is_scikit_learns_where_a_column_varies():
    plain, ours = (clone(model).fit(X, Y) for model in (GaussianNB(var_smoothing=1.0), SmoothedNB(var_smoothing=1.0)))
    assert_array_equal(ours.predict_proba(X), plain.predict_proba(X))


def test_naive_bayes_gives_the_frequencies_where_no_column_varies():
    model = SmoothedNB(var_smoothing=1.0).fit(np.ones_like(X), Y)
    assert_allclose(model.predict_proba(np.ones((2, X.shape[1]))), [np.bincount(Y) / len(Y)] * 2)
