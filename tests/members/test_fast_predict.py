"""Shorter ways have to end at the same place, bit for bit, with the same errors."""

from copy import deepcopy

import numpy as np
import pandas as pd
import pytest
from scipy import sparse
from sklearn.base import BaseEstimator, ClassifierMixin, clone
from sklearn.calibration import CalibratedClassifierCV
from sklearn.datasets import make_classification
from sklearn.ensemble import (
    BaggingClassifier,
    ExtraTreesClassifier,
    ExtraTreesRegressor,
    RandomForestClassifier,
    RandomForestRegressor,
)
from sklearn.frozen import FrozenEstimator
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import Pipeline, make_pipeline
from sklearn.preprocessing import MinMaxScaler, StandardScaler
from sklearn.tree import DecisionTreeClassifier

from stackkit._members import fast_predict as _shortcuts
from stackkit._members.fast_predict import FEW_ROWS, ask, in_steps

X, Y = make_classification(300, 6, n_informative=4, n_classes=3, random_state=0)
NUMBERS = X[:, 0] * X[:, 1]
CLASSIFIERS = [RandomForestClassifier, ExtraTreesClassifier]
REGRESSORS = [RandomForestRegressor, ExtraTreesRegressor]


def _direct(estimator, method, rows):
    return getattr(estimator, method)(rows)


@pytest.fixture
def shorter(monkeypatch):
    """Which classes went the shorter way."""
    taken = []
    for (kind, method), way in _shortcuts._SHORTER.items():
        monkeypatch.setitem(
            _shortcuts._SHORTER, (kind, method), lambda *a, way=way, kind=kind: taken.append(kind) or way(*a)
        )
    return taken


@pytest.mark.parametrize("kind", [*CLASSIFIERS, *REGRESSORS])
@pytest.mark.parametrize("table", [np.asarray, np.float32, pd.DataFrame, lambda X: np.round(X).astype(np.int16)])
@pytest.mark.parametrize("options", [{}, {"max_depth": 3, "bootstrap": True, "n_jobs": 2}])
def test_forests_tree_by_tree(kind, table, options, shorter):
    method, y = ("predict_proba", Y) if kind in CLASSIFIERS else ("predict", NUMBERS)
    rows = table(X)
    if isinstance(rows, pd.DataFrame):
        rows.columns = [f"c{i}" for i in range(6)]
    forest = kind(30, random_state=0, **options).fit(rows, y)
    for some in (rows[:1], rows[:FEW_ROWS], rows):
        found = ask(forest, method, some)
        forest.set_params(n_jobs=1)  # threads add up in the order in which they end
        np.testing.assert_array_equal(found, _direct(forest, method, some))
        forest.set_params(n_jobs=options.get("n_jobs"))
        assert shorter == [kind]
        shorter.clear()


@pytest.mark.parametrize("kind", [*CLASSIFIERS, *REGRESSORS])
@pytest.mark.parametrize("holes", [0.0, 0.2])
def test_many_rows_are_sorted_and_put_back(kind, holes, monkeypatch):
    monkeypatch.setattr(_shortcuts, "MANY_ROWS", 200)
    method, y = ("predict_proba", Y) if kind in CLASSIFIERS else ("predict", NUMBERS)
    rows = np.where(np.random.default_rng(0).random(X.shape) < holes, np.nan, X)
    forest = kind(20, max_depth=4, random_state=0).fit(rows, y)
    np.testing.assert_array_equal(ask(forest, method, rows), _direct(forest, method, rows))
    order = _shortcuts._alike_together(forest, rows)
    np.testing.assert_array_equal(np.sort(order), np.arange(len(rows)))
    # More neighbours end in the same leaf.
    leaves = forest.apply(rows)
    assert (np.diff(leaves[order], axis=0) == 0).mean() > 1.1 * (np.diff(leaves, axis=0) == 0).mean()


def test_trees_without_a_question_and_many_features(monkeypatch):
    monkeypatch.setattr(_shortcuts, "MANY_ROWS", 2)
    forest = RandomForestClassifier(3).fit(X, np.zeros(len(X)))
    np.testing.assert_array_equal(ask(forest, "predict_proba", X), np.ones((len(X), 1)))
    wide = np.random.default_rng(0).normal(size=(60, 70))
    forest = ExtraTreesRegressor(80, max_features=1, random_state=0).fit(wide, wide[:, 0])
    np.testing.assert_array_equal(ask(forest, "predict", wide), forest.predict(wide))


@pytest.mark.parametrize("kind", CLASSIFIERS)
def test_missing_values_in_forests(kind, shorter):
    holes = np.where(np.random.default_rng(0).random(X.shape) < 0.2, np.nan, X)
    forest = kind(20, random_state=0).fit(holes, Y)
    np.testing.assert_array_equal(ask(forest, "predict_proba", holes), forest.predict_proba(holes))
    assert shorter == [kind]


@pytest.mark.parametrize(
    ("rows", "message"),
    [
        (X[:1, :5], "feature names should match"),
        (np.full((1, 6), 1e300), "infinity or a value too large"),
        (pd.DataFrame(X[:1], columns=list("abcdef")), "feature names should match"),
    ],
)
@pytest.mark.filterwarnings("ignore:overflow")
def test_forests_refuse_what_they_cannot_use(rows, message, shorter):
    forest = RandomForestClassifier(3).fit(pd.DataFrame(X, columns=list("uvwxyz")), Y)
    rows = rows if isinstance(rows, pd.DataFrame) else pd.DataFrame(rows, columns=list("uvwxyz")[: rows.shape[1]])
    for predict in (_direct, ask):
        with pytest.raises(ValueError, match=message):
            predict(forest, "predict_proba", rows)
    assert shorter


class _Own(RandomForestClassifier):
    def predict_proba(self, X):
        return np.zeros((len(X), 3))


class _Derived(RandomForestClassifier):
    pass


LONG_WAYS = {
    "sparse": (RandomForestClassifier(5), sparse.csr_matrix(X), Y, "predict_proba"),
    "two outputs": (RandomForestRegressor(5), X, np.column_stack([NUMBERS, X[:, 2]]), "predict"),
    "two labels": (RandomForestClassifier(5), X, np.column_stack([Y > 0, Y > 1]), "predict_proba"),
    "labels": (RandomForestClassifier(5), X, Y, "predict"),
    "derived": (_Own(5), X, Y, "predict_proba"),
    "texts": (RandomForestClassifier(5), X.astype(object), Y, "predict_proba"),
    "nullable": (RandomForestClassifier(5), pd.DataFrame(X).astype("Float64"), Y, "predict_proba"),
}


@pytest.mark.parametrize("case", LONG_WAYS)
def test_who_goes_the_long_way(case, shorter):
    forest, rows, y, method = LONG_WAYS[case]
    forest.set_params(random_state=0).fit(rows, y)
    found, expected = ask(forest, method, rows), _direct(forest, method, rows)
    for ours, theirs in zip(found, expected, strict=True):
        np.testing.assert_allclose(ours, theirs, rtol=1e-12)
    assert not shorter


@pytest.mark.slow
@pytest.mark.parametrize(
    "learner",
    [
        RandomForestClassifier(100, max_depth=4, n_jobs=2, random_state=0),
        _Derived(100, max_depth=4, n_jobs=2, random_state=0),
        make_pipeline(StandardScaler(), ExtraTreesClassifier(100, max_depth=4, n_jobs=2, random_state=0)),
        CalibratedClassifierCV(RandomForestClassifier(100, max_depth=4, n_jobs=2, random_state=0), ensemble=False),
        BaggingClassifier(DecisionTreeClassifier(max_depth=4), 60, n_jobs=2, random_state=0),
    ],
    ids=["forest", "derived", "in a pipeline", "inside another", "bags"],
)
def test_threads_of_its_own_change_no_bit(learner):
    """They add up in the order in which they are done."""
    learner = clone(learner).fit(X, Y)
    threads = {key: 1 for key in learner.get_params() if key.rpartition("__")[2] == "n_jobs"}
    rows = np.tile(X, (10, 1))
    found = [ask(learner, "predict_proba", rows) for _ in range(10)]
    alone = deepcopy(learner).set_params(**threads)
    for part in vars(alone).get("calibrated_classifiers_", []):
        part.estimator.set_params(n_jobs=1)
    for again in found:
        np.testing.assert_array_equal(again, alone.predict_proba(rows))


def test_one_class():
    forest = RandomForestClassifier(5).fit(X, np.zeros(300))
    np.testing.assert_array_equal(ask(forest, "predict_proba", X[:3]), np.ones((3, 1)))


# --- pipelines ----------------------------------------------------------------------------------------


def test_pipelines_step_by_step(shorter):
    forest = RandomForestClassifier(10, random_state=0)
    inner = Pipeline([("nothing", "passthrough"), ("scale", MinMaxScaler()), ("forest", forest)])
    pipeline = make_pipeline(StandardScaler(), None, inner).fit(X, Y)
    np.testing.assert_array_equal(ask(pipeline, "predict_proba", X), pipeline.predict_proba(X))
    assert shorter == [RandomForestClassifier]
    steps, last = in_steps(pipeline)
    assert [type(step) for step in steps] == [StandardScaler, MinMaxScaler]
    assert last is inner.steps[-1][1]


def test_frozen_estimators_are_opened():
    pipeline = make_pipeline(StandardScaler(), LogisticRegression()).fit(X, Y)
    frozen = FrozenEstimator(pipeline)
    np.testing.assert_array_equal(ask(frozen, "predict_proba", X), frozen.predict_proba(X))
    assert in_steps(frozen)[1] is pipeline[-1]


class _OwnPipeline(Pipeline):
    def predict_proba(self, X):
        return np.zeros((len(X), 3))


class _Learner(ClassifierMixin, BaseEstimator):
    def predict_proba(self, X):
        return X


def test_what_derives_from_a_pipeline_is_asked_itself():
    pipeline = _OwnPipeline([("scale", StandardScaler()), ("learner", LogisticRegression())]).fit(X, Y)
    assert not ask(pipeline, "predict_proba", X).any()
    assert in_steps(pipeline) == ((), pipeline)
    assert ask(_Learner(), "predict_proba", X) is X
