"""XGBoost that stops by itself: by rows of its own, which are none of those that a fold predicts."""

import subprocess
import sys
import warnings

import numpy as np
import pandas as pd
import pytest
from numpy.testing import assert_array_equal
from sklearn.base import clone
from sklearn.datasets import load_diabetes, make_classification
from sklearn.metrics import roc_auc_score
from xgboost import XGBClassifier, XGBRegressor

from stackkit import cross_fit
from stackkit._data.inner_split import inner_split
from stackkit._learners.boosting import StoppedXGBClassifier, StoppedXGBRegressor

FEW = {"n_estimators": 300, "early_stopping_rounds": 5, "max_depth": 3, "random_state": 7, "n_jobs": 1}


@pytest.fixture(autouse=True)
def every_warning_is_an_error():
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        yield


@pytest.fixture(scope="module")
def rows():
    return make_classification(300, n_classes=3, n_informative=5, flip_y=0.2, random_state=0)


def _sides(y, groups=None, *, classifier=True):
    seed = int(np.random.RandomState(7).randint(2**31 - 1))
    return inner_split(np.asarray(y), np.arange(len(y)), groups, 0.15, seed, classifier=classifier)


@pytest.mark.parametrize("as_given", [np.asarray, pd.DataFrame])
def test_it_is_xgboost_told_where_to_stop(rows, as_given):
    X, y = rows
    weights = np.random.default_rng(0).uniform(0.5, 2, len(y))
    train, held = _sides(y)
    by_hand = XGBClassifier(**FEW).fit(
        X[train],
        y[train],
        sample_weight=weights[train],
        eval_set=[(X[held], y[held])],
        sample_weight_eval_set=[weights[held]],
        verbose=False,
    )
    model = StoppedXGBClassifier(**FEW).fit(as_given(X), y, sample_weight=weights)
    assert model.best_iteration == by_hand.best_iteration < 299
    assert_array_equal(model.predict_proba(as_given(X)), by_hand.predict_proba(X))


def test_numbers_too():
    X, y = load_diabetes(return_X_y=True)
    train, held = _sides(y, classifier=False)
    by_hand = XGBRegressor(**FEW).fit(X[train], y[train], eval_set=[(X[held], y[held])], verbose=False)
    assert_array_equal(StoppedXGBRegressor(**FEW).fit(X, y).predict(X), by_hand.predict(X))


def test_groups_stay_on_one_side(rows):
    X, y = rows
    groups = np.arange(300) // 10
    train, held = _sides(y, groups)
    by_hand = XGBClassifier(**FEW).fit(X[train], y[train], eval_set=[(X[held], y[held])], verbose=False)
    model = StoppedXGBClassifier(**FEW).fit(X, y, groups=groups)
    assert_array_equal(model.predict_proba(X), by_hand.predict_proba(X))


def test_one_group_is_taken_apart(rows):
    X, y = rows
    together = StoppedXGBClassifier(**FEW).fit(X, y, groups=np.zeros(len(y)))
    alone = StoppedXGBClassifier(**FEW).fit(X, y)
    assert_array_equal(together.predict_proba(X), alone.predict_proba(X))


@pytest.mark.parametrize("y", [[0] * 20 + [1] * 19 + [2], [0, 1, 2, 3], [0, 0, 1, 1]])
def test_rare_classes_are_trained_on(y):
    X, y = np.random.default_rng(0).normal(size=(len(y), 2)), np.array(y)
    for seed in range(10):
        model = StoppedXGBClassifier(n_estimators=5, early_stopping_rounds=2, random_state=seed).fit(X, y)
        assert model.predict_proba(X).shape == (len(y), len(set(y)))


def test_parameters_are_scikit_learns_to_read_set_and_clone():
    model = StoppedXGBClassifier(validation_fraction=0.3, max_depth=2)
    assert model.get_params()["validation_fraction"] == 0.3
    assert model.get_params()["max_depth"] == 2
    again = clone(model).set_params(max_depth=5)
    assert (again.validation_fraction, again.max_depth) == (0.3, 5)


def test_a_share_that_cannot_be_set_aside_is_named(rows):
    with pytest.raises(ValueError, match=r"cannot set aside validation_fraction=1.5 of 300 rows"):
        StoppedXGBClassifier(validation_fraction=1.5).fit(*rows)


def test_lengths_that_differ_are_refused(rows):
    with pytest.raises(ValueError, match="inconsistent numbers of samples"):
        StoppedXGBClassifier().fit(rows[0], rows[1][:-1])


def test_stopping_tells_nothing_of_the_rows_that_a_fold_predicts():
    rng = np.random.default_rng(0)
    X, y = rng.normal(size=(600, 4)), rng.integers(0, 2, 600)
    stopped = StoppedXGBClassifier(n_estimators=500, early_stopping_rounds=3)
    oof = cross_fit([("stopped", stopped)], X, y, random_state=0)
    assert 0.42 <= roc_auc_score(y, oof.train[:, 0]) <= 0.58


def test_importing_stackkit_does_not_load_it():
    code = "import sys, stackkit; sys.exit('stackkit._learners.boosting' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
