"""Stacks in files that skops writes, which is what MLflow's default does."""

import pickle

import numpy as np
import pandas as pd
import pytest
import skops.io
from sklearn.datasets import load_iris
from sklearn.linear_model import LogisticRegression, Ridge
from sklearn.naive_bayes import GaussianNB
from sklearn.tree import DecisionTreeClassifier, DecisionTreeRegressor

from stackkit import (
    EnsembleSelectionClassifier,
    LinearPoolRegressor,
    StackingClassifier,
    StackingModel,
    StackingRegressor,
    skops_trusted_types,
)
from stackkit.exceptions import LearnerDroppedWarning

X, y = load_iris(return_X_y=True)
FRAME = pd.DataFrame(X, columns=list("abcd"), index=pd.MultiIndex.from_product([["u", "v", "w"], range(50)]))
LABELS = np.array(["setosa", "versicolor", "virginica"])[y]
FEW = [("bayes", GaussianNB()), ("tree", DecisionTreeClassifier(max_depth=2, random_state=0))]
NUMBERS = [("ridge", Ridge()), ("tree", DecisionTreeRegressor(max_depth=2, random_state=0))]


TRUSTED = [*skops_trusted_types(), "sklearn.tree._tree.Tree"]  # which skops has whoever loads a tree say


def _same(model, rows):
    again = skops.io.loads(skops.io.dumps(model), trusted=TRUSTED)
    np.testing.assert_array_equal(again.predict(rows), model.predict(rows))
    if not hasattr(model, "oof_"):
        return
    assert repr(again.leaderboard()) == repr(model.leaderboard())
    for copy in (again, pickle.loads(pickle.dumps(model))):
        pd.testing.assert_frame_equal(copy.oof_.scores, model.oof_.scores)
        pd.testing.assert_frame_equal(copy.oof_.to_frame(), model.oof_.to_frame())
        pd.testing.assert_frame_equal(copy.failures_, model.failures_)


@pytest.mark.parametrize(
    "model",
    [
        StackingClassifier(FEW),
        StackingModel(FEW, LogisticRegression(max_iter=500), passthrough=["a"]),
        StackingModel(FEW, EnsembleSelectionClassifier(), refit=True),
        StackingModel(FEW, StackingModel(FEW)),
    ],
    ids=["classifier", "passthrough", "refit", "levels"],
)
def test_a_fitted_stack(model):
    """pandas' objects in it made: no default __reduce__ due to non-trivial __cinit__."""
    _same(model.fit(FRAME, LABELS), FRAME)


@pytest.mark.parametrize("final", [None, LinearPoolRegressor()])
def test_a_regressor(final):
    _same(StackingRegressor(NUMBERS, final).fit(X, X[:, 0]), X)


def test_a_compact_one_an_unfitted_one_and_one_that_lost_a_learner():
    model = StackingClassifier([*FEW, ("bad", LogisticRegression(C=-1.0))], on_error="drop")
    again = skops.io.loads(skops.io.dumps(model), trusted=TRUSTED)
    assert repr(again) == repr(model)
    with pytest.warns(LearnerDroppedWarning):
        model.fit(X, LABELS)
    assert len(model.failures_)
    _same(model, X)
    _same(model.compact(), X)


def test_the_names_are_published_and_all_are_there():
    from importlib import import_module

    names = skops_trusted_types()
    assert names == sorted(set(names))
    for name in names:
        module, _, attribute = name.rpartition(".")
        assert hasattr(import_module(module), attribute), name
