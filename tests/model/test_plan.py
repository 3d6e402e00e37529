"""Plan: what a fit is about to do, and the folds that a fit on some of the rows would make."""

import numpy as np
import pandas as pd
import polars as pl
import pytest
from scipy import sparse
from sklearn import config_context
from sklearn.datasets import make_classification
from sklearn.linear_model import LogisticRegression, Ridge
from sklearn.model_selection import GroupKFold, KFold, ShuffleSplit, StratifiedKFold, TimeSeriesSplit
from sklearn.naive_bayes import GaussianNB
from sklearn.neighbors import KNeighborsClassifier
from spies import Counted, Fails

from stackkit import LogPoolClassifier, StackingModel
from stackkit._model.parameters import settings_for
from stackkit._model.plan import make_plan
from stackkit._oof.settings import split_seed

X, Y = make_classification(90, 5, random_state=0)
LEARNERS = [("bayes", GaussianNB()), ("knn", KNeighborsClassifier()), ("logistic", LogisticRegression())]


def _plan(model=None, rows=X, y=Y, *, groups=None, sample_weight=None, **params):
    return make_plan(
        model or StackingModel(LEARNERS, cv=3), rows, y, groups=groups, sample_weight=sample_weight, **params
    )


def _same(folds, pairs):
    assert len(folds) == len(pairs)
    for ours, theirs in zip(folds.pairs, pairs, strict=True):
        np.testing.assert_array_equal(ours[0], theirs[0])
        np.testing.assert_array_equal(ours[1], theirs[1])


def test_everything_is_decided_and_nothing_is_fitted(tmp_path):
    learners = [("counted", Counted(tmp_path / "log")), ("ridge", Ridge()), ("out", "drop")]
    model = StackingModel(learners, LogisticRegression(), passthrough=[1, 3], stack_method={"counted": "predict"})
    plan = _plan(model, sample_weight=2)
    assert not (tmp_path / "log").exists()
    assert [name for name, _ in plan.learners] == ["counted", "ridge"]
    assert plan.methods == ("predict", "predict")
    assert plan.picked == [1, 3]
    assert plan.target.task == "classification"
    assert plan.weights.tolist() == [2.0] * 90
    assert plan.routed.learners["counted"]["sample_weight"] is plan.weights
    assert "sample_weight" in plan.routed.final_estimator
    assert plan.routed.splitter == {}
    assert not hasattr(model, "oof_")


def test_the_default_final_estimator_is_decided_too():
    assert isinstance(_plan().final, LogPoolClassifier)


def test_only_some_learners_in_their_order():
    plan = _plan()
    assert [name for name, _ in plan.only(name for name in ("logistic", "bayes"))] == ["bayes", "logistic"]
    assert plan.only([]) == []


def test_the_folds_are_those_of_a_fit():
    for cv in (3, KFold(4, shuffle=True), ShuffleSplit(3), TimeSeriesSplit(3)):
        model = StackingModel(LEARNERS, cv=cv, random_state=0)
        fitted = StackingModel(LEARNERS, cv=cv, random_state=0).fit(X, Y)
        _same(_plan(model).folds(settings_for(model).entropy), fitted.oof_.folds.pairs)


@pytest.mark.parametrize("kind", ["array", "list", "pandas", "polars", "sparse"])
def test_folds_of_some_rows_are_those_of_a_fit_on_these_rows(kind):
    index = np.arange(90)[::-1] * 2
    rows, y = {
        "array": (X, Y),
        "list": (X.tolist(), Y.tolist()),
        "pandas": (pd.DataFrame(X, index=index).add_prefix("x"), pd.Series(Y, index=index)),
        "polars": (pl.DataFrame(X), pl.Series(Y)),
        "sparse": (sparse.csr_matrix(X), Y),
    }[kind]
    some = np.random.default_rng(0).permutation(90)[:50]
    _same(_plan(rows=rows, y=y).folds_of(some, 7), list(StratifiedKFold(3).split(X[some], Y[some])))


def test_open_seeds_of_the_splitter_are_set_alike_for_all_and_for_some_rows():
    cv = KFold(3, shuffle=True)
    plan = _plan(StackingModel(LEARNERS, cv=cv))
    some = np.arange(20, 70)
    seeded = KFold(3, shuffle=True, random_state=split_seed(11))
    _same(plan.folds_of(some, 11), list(seeded.split(X[some])))
    _same(plan.folds(11), list(seeded.split(X)))
    assert cv.random_state is None


@pytest.mark.parametrize("container", [np.asarray, list, pd.Series])
def test_groups_are_cut_with_the_rows(container):
    groups = np.random.default_rng(0).integers(0, 9, 90)
    plan = _plan(StackingModel(LEARNERS, cv=GroupKFold(3)), groups=container(groups))
    some = np.arange(90)[::-2]
    _same(plan.folds_of(some, 0), list(GroupKFold(3).split(X[some], Y[some], groups[some])))


def test_routed_groups_are_cut_with_the_rows():
    groups = np.random.default_rng(0).integers(0, 9, 90)
    with config_context(enable_metadata_routing=True):
        plan = _plan(StackingModel(LEARNERS, cv=GroupKFold(3)), groups=groups)
        some = np.arange(60)
        _same(plan.folds_of(some, 0), list(GroupKFold(3).split(X[some], Y[some], groups[some])))


@pytest.mark.parametrize("kind", [sparse.csr_matrix, sparse.csc_matrix, sparse.coo_matrix])
def test_sparse_labels_are_cut_with_the_rows(kind):
    labels = np.column_stack([Y, X[:, 0] > 0]).astype(int)
    plan = _plan(StackingModel([("knn", KNeighborsClassifier())], cv=KFold(3)), y=kind(labels))
    _same(plan.folds_of(np.arange(60), 0), list(KFold(3).split(X[:60])))


@pytest.mark.parametrize("weighted", [False, True])
def test_rows_of_one_class_are_no_table_for_a_blend(weighted):
    """It would only say so when all learners are fitted."""
    y = np.repeat([0, 1, 0], [10, 10, 40]) if not weighted else np.arange(60) % 2
    weights = {"sample_weight": np.where(y == 1, 0.0, 1.0)} if weighted else {}
    model = StackingModel([Fails()], LogPoolClassifier(), cv=TimeSeriesSplit(2))
    with pytest.raises(ValueError, match=r"'cv' .* two classes, for LogPoolClassifier .* are of \[0\] only. Use fewer"):
        model.fit(np.zeros((60, 1)), y, **weights)
