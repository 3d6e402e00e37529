"""From rows to the final estimator's answer, with whatever it does not look at left out."""

import numpy as np
import pytest
from sklearn.base import ClassifierMixin
from sklearn.linear_model import LogisticRegression, Ridge
from sklearn.naive_bayes import GaussianNB
from spies import Batches

from stackkit import StackingModel
from stackkit._blending.final_estimator import BLENDS
from stackkit._model.predictor import Predictor

RNG = np.random.default_rng(0)
X = RNG.normal(size=(60, 3))
Y = (X[:, 0] > 0).astype(int)


def _with_weights(*weights):
    model = StackingModel([("one", Batches()), ("two", Batches()), ("bayes", GaussianNB())], cv=3).fit(X, Y)
    model.final_estimator_.weights_ = np.array(weights)
    return model


@pytest.mark.parametrize(
    ("weights", "useful"),
    [((0, 1, 2), ["two", "bayes"]), ((1, 0, 0), ["one"]), ((0, 0, 0), ["one", "two", "bayes"])],
)
def test_learners_without_weight_are_not_asked(weights, useful):
    model = _with_weights(*map(float, weights))
    assert model._predictor.useful() == useful
    before = {name: len(model.members_[name][0].sizes_) for name in ("one", "two")}
    model.predict_proba(X[:7])
    for name, n_calls in before.items():
        sizes = model.members_[name][0].sizes_[n_calls:]
        assert sizes == ([7] if name in useful else [])
    model.transform(X[:7])  # p has the columns of all
    assert all(model.members_[name][0].sizes_[-1] == 7 for name in before)


def test_other_final_estimators_look_at_all():
    model = StackingModel([Batches(), GaussianNB()], LogisticRegression(), cv=3).fit(X, Y)
    assert not isinstance(model.final_estimator_, BLENDS)
    assert model._predictor.useful() == ["batches", "gaussiannb"]


def test_what_the_final_estimator_sees_is_what_transform_gives():
    model = StackingModel([GaussianNB(), LogisticRegression()], LogisticRegression(), passthrough=[2], cv=3).fit(X, Y)
    assert isinstance(model._predictor, Predictor)
    np.testing.assert_array_equal(model._predictor.final_input(X, None), model.transform(X))


class _Labels(ClassifierMixin, Ridge):
    """Without predict_proba and decision_function."""

    def predict(self, X):
        return (super().predict(X) > 0.5).astype(int)


def test_methods_are_the_final_estimator_s():
    model = StackingModel([GaussianNB(), LogisticRegression()], _Labels(), cv=3).fit(X, Y)
    assert hasattr(model, "predict")
    assert not hasattr(model, "predict_proba")
    assert not hasattr(model, "decision_function")
    assert model.score(X, Y) == np.mean(model.predict(X) == Y)
