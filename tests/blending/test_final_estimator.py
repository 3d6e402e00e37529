from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np
import pandas as pd
import polars as pl
import pytest
from numpy.testing import assert_allclose, assert_array_equal
from sklearn.base import BaseEstimator
from sklearn.calibration import CalibratedClassifierCV
from sklearn.dummy import DummyClassifier, DummyRegressor
from sklearn.ensemble import RandomForestClassifier, RandomForestRegressor
from sklearn.exceptions import NotFittedError
from sklearn.linear_model import LinearRegression, LogisticRegression, Ridge, RidgeCV
from sklearn.multioutput import MultiOutputClassifier
from sklearn.naive_bayes import GaussianNB
from sklearn.neighbors import KNeighborsClassifier
from sklearn.pipeline import Pipeline
from sklearn.svm import LinearSVC
from sklearn.tree import DecisionTreeClassifier, DecisionTreeRegressor
from sklearn.utils.validation import check_is_fitted

from stackkit import (
    ConvexClassifier,
    ConvexRegressor,
    EnsembleSelectionClassifier,
    EnsembleSelectionRegressor,
    LinearPoolRegressor,
    LogPoolClassifier,
    RidgePoolRegressor,
    StackingModel,
    load,
    save,
)
from stackkit._blending.final_estimator import BLENDS, PROBABILITY_BLENDS, default_blend, seen_columns
from stackkit._data.target import check_target
from stackkit._members.blocks import make_blocks
from stackkit.exceptions import MissingClassWarning

N = 40
X = np.random.default_rng(0).normal(size=(N, 3))
TWO, THREE = (X[:, 0] > 0).astype(int), np.arange(N) % 3
LABELS = np.column_stack([TWO, 1 - TWO])
CLASSIFIERS = [("bayes", GaussianNB()), ("tree", DecisionTreeClassifier(max_depth=2))]
REGRESSORS = [("line", LinearRegression()), ("tree", DecisionTreeRegressor(max_depth=2))]
MANY = [("knn", KNeighborsClassifier()), ("tree", DecisionTreeClassifier(max_depth=2))]


def pandas(X):
    frame = pd.DataFrame(X, columns=["a", "b", "c"])
    return frame.assign(text=["u", "v", None, "w"] * (len(X) // 4), b=frame["b"].where(frame["b"] < 1))


def polars(X):
    return pl.DataFrame({name: list(column) for name, column in pandas(X).items()}, strict=False)


# ---------------------------------------------------------------- the default


@pytest.mark.parametrize(
    ("learners", "y", "options", "kind"),
    [
        (CLASSIFIERS, TWO, {}, LogPoolClassifier),
        (CLASSIFIERS, THREE, {}, LogPoolClassifier),
        (CLASSIFIERS, THREE, {"refit": True}, LogPoolClassifier),
        (CLASSIFIERS, TWO, {"stack_method": "predict"}, LogisticRegression),
        (CLASSIFIERS, TWO, {"stack_method": {"tree": "predict"}}, LogisticRegression),
        ([*CLASSIFIERS, ("svc", LinearSVC())], THREE, {}, LogisticRegression),
        ([*CLASSIFIERS, ("line", LinearRegression())], TWO, {}, LogisticRegression),
        (CLASSIFIERS, TWO, {"passthrough": True}, LogisticRegression),
        (CLASSIFIERS, THREE, {"passthrough": [1]}, LogisticRegression),
        (MANY, LABELS, {}, MultiOutputClassifier),
        (MANY, LABELS, {"passthrough": True}, MultiOutputClassifier),
        (REGRESSORS, X[:, 0], {}, RidgePoolRegressor),
        (REGRESSORS, X[:, 0], {"passthrough": True}, RidgeCV),
        (REGRESSORS, X[:, :2], {}, RidgeCV),
        (REGRESSORS, X[:, :2], {"passthrough": [0]}, RidgeCV),
    ],
)
def test_the_default_in_each_situation(learners, y, options, kind):
    model = StackingModel(learners, cv=2, **options).fit(X, y)
    assert type(model.final_estimator_) is kind
    assert model.predict(X).shape == y.shape


@pytest.mark.parametrize("frame", [pandas, polars])
@pytest.mark.parametrize(
    ("y", "kind"),
    [
        (TWO, LogisticRegression),
        (THREE, LogisticRegression),
        (LABELS, MultiOutputClassifier),
        (X[:, 0], RidgeCV),
        (X[:, :2], RidgeCV),
    ],
    ids=["binary", "multi-class", "multilabel", "numbers", "outputs"],
)
@pytest.mark.parametrize("passthrough", [True, ["text", "b"]], ids=["all", "some"])
def test_raw_columns_of_a_frame_are_prepared_for_the_linear_default(frame, y, kind, passthrough):
    """Among them text and missing values."""
    table = frame(X)
    blind = DummyRegressor() if y.dtype == float else DummyClassifier()
    model = StackingModel([("blind", blind)], passthrough=passthrough, cv=2).fit(table, y)
    assert type(model.final_estimator_) is Pipeline
    assert type(model.final_estimator_[-1]) is kind
    assert model.predict(table).shape == y.shape


@pytest.mark.parametrize("frame", [pandas, polars])
def test_a_frame_that_is_not_passed_through_changes_nothing(frame):
    table = frame(X)
    blind = [(DummyClassifier(), TWO, LogPoolClassifier), (DummyRegressor(), X[:, 0], RidgePoolRegressor)]
    for learner, y, kind in blind:
        assert type(StackingModel([("blind", learner)]).fit(table, y).final_estimator_) is kind


@pytest.mark.parametrize(
    ("task", "kind"),
    [("classification", LogPoolClassifier), ("regression", RidgePoolRegressor), (None, RidgePoolRegressor)],
)
def test_the_default_blend(task, kind):
    assert type(default_blend(task)) is kind


# ---------------------------------------------------------------- the user's own


def test_the_users_final_estimator_is_cloned():
    mine = LogisticRegression(C=0.125)
    fitted = StackingModel(CLASSIFIERS, mine).fit(X, TWO).final_estimator_
    assert fitted is not mine
    assert fitted.C == 0.125
    check_is_fitted(fitted)
    with pytest.raises(NotFittedError):
        check_is_fitted(mine)


@pytest.mark.parametrize("blend", BLENDS, ids=lambda blend: blend.__name__)
def test_every_blend_serves_where_it_can(blend):
    learners, y = (CLASSIFIERS, THREE) if blend in PROBABILITY_BLENDS else (REGRESSORS, X[:, 0])
    model = StackingModel(learners, blend()).fit(X, y)
    assert type(model.final_estimator_) is blend
    assert model.predict(X).shape == y.shape


class NoPredict(BaseEstimator):
    def fit(self, X, y):
        return self


@pytest.mark.parametrize(
    ("final", "got"),
    [
        ("logistic", "'logistic'"),
        ("drop", "'drop'"),
        (LogisticRegression, "<class .*LogisticRegression'>"),
        (NoPredict(), r"NoPredict\(\)"),
        (3, "3"),
    ],
)
def test_what_cannot_be_a_final_estimator(final, got):
    match = (
        "'final_estimator' parameter of StackingModel must be an estimator with fit and predict, or None; "
        rf"got {got}\. Use such as LogisticRegression\(\)"
    )
    with pytest.raises(TypeError, match=match):
        StackingModel(CLASSIFIERS, final).fit(X, TWO)


@pytest.mark.parametrize("passthrough", [True, [0], ["a"], []], ids=["True", "a number", "a name", "no column"])
@pytest.mark.parametrize("blend", BLENDS, ids=lambda blend: blend.__name__)
def test_a_blend_cannot_weigh_raw_columns(blend, passthrough):
    match = (
        f"'passthrough' parameter must be False where the final estimator weighs learners, as {blend.__name__} does; "
        r"got (True|\[.*\])\. Use another final estimator"
    )
    learners, y = (CLASSIFIERS, TWO) if blend in PROBABILITY_BLENDS else (REGRESSORS, X[:, 0])
    with pytest.raises(ValueError, match=match):
        StackingModel(learners, blend(), passthrough=passthrough).fit(pd.DataFrame(X, columns=["a", "b", "c"]), y)


@pytest.mark.parametrize("blend", BLENDS, ids=lambda blend: blend.__name__)
def test_a_blend_takes_one_target(blend):
    match = f"final estimator {blend.__name__} takes one target column; got 2. Leave final_estimator None, or"
    learners, y = (MANY, LABELS) if blend in PROBABILITY_BLENDS else (REGRESSORS, X[:, :2])
    with pytest.raises(ValueError, match=match):
        StackingModel(learners, blend()).fit(X, y)


@pytest.mark.parametrize("blend", PROBABILITY_BLENDS, ids=lambda blend: blend.__name__)
@pytest.mark.parametrize(
    ("learner", "options", "method"),
    [
        (LinearSVC(), {}, "decision_function"),
        (Ridge(), {}, "predict"),
        (GaussianNB(), {"stack_method": {"odd": "predict"}}, "predict"),
    ],
)
def test_a_blend_of_probabilities_needs_them(blend, learner, options, method):
    match = (
        f"final estimator {blend.__name__} blends class probabilities, and the learner 'odd' "
        rf"\({type(learner).__name__}\) gives none: its method is '{method}'\. Wrap it in CalibratedClassifierCV, "
        "leave it out, or use another final estimator"
    )
    with pytest.raises(ValueError, match=match):
        StackingModel([*CLASSIFIERS, ("odd", learner)], blend(), **options).fit(X, TWO)


class Untagged(BaseEstimator):
    """Gives probabilities without saying that it is a classifier."""

    def fit(self, X, y):
        return self

    def predict_proba(self, X):
        return np.tile([0.25, 0.75], (len(X), 1))


def test_what_gives_probabilities_is_blended_whether_named_a_classifier_or_not():
    learners = [*CLASSIFIERS, ("odd", Untagged())]
    default = StackingModel(learners).fit(X, TWO)
    assert type(default.final_estimator_) is LogPoolClassifier
    given = StackingModel(learners, LogPoolClassifier()).fit(X, TWO)
    np.testing.assert_array_equal(given.predict_proba(X), default.predict_proba(X))


def test_the_advice_for_a_learner_without_probabilities_works():
    learners = [*CLASSIFIERS, ("odd", CalibratedClassifierCV(LinearSVC(), cv=2))]
    assert type(StackingModel(learners).fit(X, TWO).final_estimator_) is LogPoolClassifier
    StackingModel([*CLASSIFIERS, ("odd", "drop")], ConvexClassifier()).fit(X, TWO)
    StackingModel([*CLASSIFIERS, ("odd", LinearSVC())], LogisticRegression()).fit(X, TWO)


def test_a_blend_of_numbers_is_no_blend_of_classes():
    for final in (RidgePoolRegressor(), LinearPoolRegressor(), ConvexRegressor(), EnsembleSelectionRegressor()):
        with pytest.raises(ValueError, match=r"numeric|could not convert"):
            StackingModel(CLASSIFIERS, final).fit(X, np.array(["a", "b"])[TWO])
    for final in (ConvexClassifier(), EnsembleSelectionClassifier()):
        with pytest.raises(ValueError, match="Unknown label type: continuous"):
            StackingModel(REGRESSORS, final).fit(X, X[:, 0])


# --- classes that the final estimator's rows lack -------------------------------------------------------


@pytest.mark.filterwarnings("ignore:Some training parts lack a class")
@pytest.mark.parametrize("n_seen", [2, 3])
@pytest.mark.parametrize("blend", PROBABILITY_BLENDS)
def test_a_blend_whose_rows_lack_a_class_weighs_learners_all_the_same(blend, n_seen):
    """The first rows, which no fold tests, are the only ones of the last class."""
    rng = np.random.default_rng(0)
    X, y = rng.normal(size=(200, 3)), rng.integers(0, n_seen, 200)
    X[np.arange(200), y] += 1
    y[:20] = n_seen
    learners = [("bayes", GaussianNB()), ("tree", DecisionTreeClassifier(max_depth=2, random_state=0))]
    cv = [(np.setdiff1d(np.arange(200), test), test) for test in np.array_split(np.arange(20, 200), 3)]
    model = StackingModel(learners, blend(), cv=cv).fit(X, y)
    assert len(model.final_estimator_.weights_) == 2
    P = model.oof_.train[20:].reshape(180, 2, n_seen + 1)[:, :, :n_seen]
    P = P / P.sum(axis=2, keepdims=True)
    alone = blend().fit(P[:, :, 1] if n_seen == 2 else P.reshape(180, -1), y[20:])
    np.testing.assert_allclose(alone.weights_, model.final_estimator_.weights_, atol=1e-12)
    p = model.predict_proba(X)
    assert p.shape == (200, n_seen + 1)
    assert (p[:, n_seen] == 0).all()
    np.testing.assert_allclose(p.sum(axis=1), 1)


def test_columns_of_unseen_classes_are_shared_out():
    blocks = make_blocks([("a", GaussianNB())], ["predict_proba"], check_target([0, 1, 2, 3], "classification", 4))
    table = np.array([[0.1, 0.2, 0.3, 0.4], [0.0, 1.0, 0.0, 0.0], [np.nan] * 4])
    seen, names = seen_columns(LogPoolClassifier(), table, blocks, np.array([0, 2]))
    np.testing.assert_allclose(seen, [[0.75], [0.5], [np.nan]])
    assert names == ["a_2"]
    seen, names = seen_columns(LogPoolClassifier(), table, blocks, np.array([0, 2, 3]))
    np.testing.assert_allclose(seen[0], [0.125, 0.375, 0.5])
    assert names == ["a_0", "a_2", "a_3"]
    assert seen_columns(LogisticRegression(), table, blocks, np.array([0, 2]))[0] is table


@pytest.mark.parametrize("value", [0, 1])
@pytest.mark.parametrize("options", [{}, {"passthrough": True}])
def test_a_label_that_never_changes_is_predicted_as_it_is(value, options):
    """The default final estimator failed, when all learners were fitted."""
    y = np.column_stack([TWO, np.full(N, value), 1 - TWO])
    learners = [("knn", KNeighborsClassifier()), ("tree", DecisionTreeClassifier(max_depth=2))]
    with pytest.warns(MissingClassWarning, match=f"label 1 is {value} in all 40 rows .*in which it is {1 - value}, or"):
        model = StackingModel(learners, random_state=0, **options).fit(X, y)
    found, others = model.predict_proba(X), StackingModel(learners, random_state=0, **options).fit(X, y[:, [0, 2]])
    assert_allclose(found[:, 1], value, atol=1e-15)
    assert_allclose(found[:, [0, 2]], others.predict_proba(X), rtol=1e-2)  # lbfgs stops a little earlier or later
    assert (model.predict(X)[:, 1] == value).all()
    assert bool(options) == model.leaderboard(marginal=True)["marginal"].isna().all()


def test_a_rare_label_that_the_covered_rows_lack():
    y = LABELS.copy()
    y[:, 1] = np.arange(N) < 2
    cv = [(np.arange(15), np.arange(15, 28)), (np.arange(28), np.arange(28, 40))]
    with pytest.warns(MissingClassWarning, match="label 1 is 0 in all 25 rows"):
        model = StackingModel(MANY, cv=cv).fit(X, y)
    assert not model.predict(X)[:, 1].any()
    with TemporaryDirectory() as folder:
        path = Path(folder, "a.model")
        save(model, path)
        assert_array_equal(load(path).predict_proba(X), model.predict_proba(X))


def test_labels_that_change_are_predicted_by_logistic_regression():
    found = StackingModel(MANY).fit(X, LABELS).final_estimator_
    oof = StackingModel(MANY).fit(X, LABELS).oof_
    plain = MultiOutputClassifier(LogisticRegression()).fit(oof.train, LABELS)
    for ours, theirs in zip(found.estimators_, plain.estimators_, strict=True):
        assert_array_equal(ours.coef_, theirs.coef_)


# ---------------------------------------------------------------- predicting


@pytest.mark.parametrize("n_classes", [2, 3, 4])
def test_decision_values_have_a_column_for_a_class_that_the_table_lacked(n_classes):
    """As in a time series whose last class comes before the first rows that are predicted."""
    rng = np.random.default_rng(0)
    rows = rng.normal(size=(90, 2))
    y = rng.integers(0, n_classes - 1, 90) + 1
    y[:20] = np.arange(20) % n_classes
    cv = [(np.arange(20), np.arange(20, 55)), (np.arange(50), np.arange(55, 90))]
    if n_classes == 2:
        y[20:] = 1
        with pytest.raises(ValueError, match="class"):  # nothing to tell apart
            StackingModel([GaussianNB()], LogisticRegression(), cv=cv).fit(rows, y)
        return
    model = StackingModel([GaussianNB()], LogisticRegression(), cv=cv).fit(rows, y)
    assert len(model.final_estimator_.classes_) == n_classes - 1
    found = model.decision_function(rows)
    assert found.shape == (90, n_classes)
    assert_array_equal(model.classes_[found.argmax(axis=1)], model.predict(rows))
    assert (found[:, 0] <= found.min(axis=1)).all()


@pytest.mark.parametrize("forest", [RandomForestClassifier, RandomForestRegressor])
def test_a_forest_with_threads_of_its_own_predicts_the_same_bits(forest):
    y = TWO if forest is RandomForestClassifier else X[:, 0]
    learners = CLASSIFIERS if forest is RandomForestClassifier else REGRESSORS
    model = StackingModel(learners, forest(200, n_jobs=2, random_state=0)).fit(X, y)
    rows = np.tile(X, (20, 1))
    ask = "predict_proba" if forest is RandomForestClassifier else "predict"
    found = [getattr(model, ask)(rows) for _ in range(5)]
    model.final_estimator_.set_params(n_jobs=1)
    for again in found:
        assert_array_equal(again, getattr(model, ask)(rows))
