"""Permutation importance of a stack: honest, without a refit, and the same as an independent computation."""

from typing import Any

import numpy as np
import pandas as pd
import pytest
from scipy import sparse
from sklearn import inspection
from sklearn.base import BaseEstimator, ClassifierMixin, RegressorMixin
from sklearn.datasets import load_diabetes, load_iris, make_multilabel_classification
from sklearn.ensemble import RandomForestClassifier
from sklearn.frozen import FrozenEstimator
from sklearn.linear_model import LinearRegression, LogisticRegression, Ridge
from sklearn.model_selection import KFold, LeaveOneOut, RepeatedKFold, StratifiedKFold, TimeSeriesSplit
from sklearn.naive_bayes import GaussianNB
from sklearn.neighbors import KNeighborsClassifier, KNeighborsRegressor
from sklearn.tree import DecisionTreeClassifier

from stackkit import StackingModel, default_learners
from stackkit.exceptions import MissingScoreWarning
from stackkit.inspection import permutation_importance

REGRESSORS = [("ridge", Ridge(0.1)), ("knn", KNeighborsRegressor(15))]
CLASSIFIERS = [("bayes", GaussianNB()), ("tree", DecisionTreeClassifier(max_depth=3, random_state=0))]


class _Fold(RegressorMixin, BaseEstimator):
    """The stack of one fold, put together by hand: its learners' fold models and a final estimator."""

    def __init__(self, members: Any = (), final: Any = None) -> None:
        self.members = members
        self.final = final

    def fit(self, X, y=None):
        raise AssertionError("fitted again")

    def predict(self, X):
        return self.final.predict(np.column_stack([member.predict(X) for member in self.members]))

    def __sklearn_is_fitted__(self):
        return True


@pytest.fixture(scope="module")
def diabetes():
    return load_diabetes(return_X_y=True, as_frame=True)


def test_it_agrees_with_scikit_learns_on_the_test_rows_of_each_fold(diabetes):
    X, y = diabetes
    X = X[["bmi", "bp", "sex", "s3"]]  # two that tell much, two that do not: theirs takes long
    folds = list(KFold(3, shuffle=True, random_state=0).split(X))
    model = StackingModel(REGRESSORS, LinearRegression(), cv=folds).fit(X, y)
    ours = permutation_importance(model, X, n_repeats=60, random_state=0)
    for fold, (train, test) in enumerate(folds):
        members = [model.oof_.members[name][fold] for name, _ in REGRESSORS]
        by_hand = _Fold(members, LinearRegression().fit(model.oof_.train[train], y.iloc[train]))
        scoring = "neg_root_mean_squared_error"
        theirs = inspection.permutation_importance(
            by_hand, X.iloc[test], y.iloc[test], scoring=scoring, n_repeats=60, random_state=1
        )
        error = theirs.importances_std * np.sqrt(2 / 60)
        assert (np.abs(ours.importances[:, fold] - theirs.importances_mean) < 4.5 * error + 1e-9).all()
    assert list(ours.feature_names) == list(X.columns)
    assert ours.frame.index[0] == ours.feature_names[ours.importances_mean.argmax()]
    np.testing.assert_allclose(ours.importances.mean(axis=1), ours.importances_mean)


@pytest.mark.parametrize(
    "cv",
    [3, RepeatedKFold(n_splits=3, n_repeats=2, random_state=0), TimeSeriesSplit(4), KFold(15)],
    ids=["folds", "repeated", "time", "merged"],
)
def test_it_begins_with_the_stacks_own_score_out_of_fold(diabetes, cv):
    X, y = diabetes
    model = StackingModel(REGRESSORS, cv=cv).fit(X[:150], y[:150])
    found = permutation_importance(model, X[:150], n_repeats=1, features=["bmi"], random_state=0)
    assert found.baseline_scores.mean() == pytest.approx(model.leaderboard().loc["stack", "rmse"], rel=1e-9)
    assert found.scoring == "neg_root_mean_squared_error"


class _Watched(ClassifierMixin, BaseEstimator):
    """Remembers which rows, by the number in the first column, it was fitted to, and was asked for afterwards."""

    fits = 0

    def fit(self, X, y):
        _Watched.fits += 1
        self.seen_ = set(X[:, 0].tolist())
        self.classes_ = np.unique(y)
        self.asked_ = set()
        return self

    def predict_proba(self, X):
        self.asked_ |= set(X[:, 0].tolist())
        share = 1 / (1 + np.exp(-X[:, 1]))
        return np.column_stack([1 - share, share])

    def predict(self, X):
        return self.classes_[self.predict_proba(X).argmax(axis=1)]


def test_no_learner_is_fitted_again_and_none_is_asked_for_rows_that_it_saw():
    rng = np.random.default_rng(0)
    X = np.column_stack([np.arange(90), rng.normal(size=(90, 2))])
    y = (X[:, 1] + rng.normal(size=90) > 0).astype(int)
    model = StackingModel([("watched", _Watched())], cv=StratifiedKFold(3), random_state=0).fit(X, y)
    fits = _Watched.fits
    for member in model.oof_.members["watched"]:
        member.asked_ = set()
    found = permutation_importance(model, X, n_repeats=3, random_state=0)
    assert _Watched.fits == fits
    for member in model.oof_.members["watched"]:
        assert member.asked_
        assert not member.asked_ & member.seen_
    # The row's number and the last column are not looked at.
    assert found.importances_mean[1] > 0.05
    np.testing.assert_array_equal(found.importances[[0, 2]], 0)


def test_the_final_estimator_did_not_see_the_rows_either():
    """A forest on top has learned the targets of its own rows by heart; noise must be of no use to it."""
    rng = np.random.default_rng(0)
    X, y = rng.normal(size=(150, 3)), rng.integers(0, 2, 150)
    learners = [("bayes", GaussianNB()), ("knn", KNeighborsClassifier(3))]
    model = StackingModel(learners, RandomForestClassifier(20, random_state=0), cv=5).fit(X, y)
    found = permutation_importance(model, X, scoring="accuracy", n_repeats=3, random_state=0)
    assert 0.35 < found.baseline_scores.mean() < 0.65
    assert np.abs(found.importances_mean).max() < 0.12


def test_columns_of_a_group_are_shuffled_together():
    """Two columns that tell the same make up for each other; both together do not."""
    rng = np.random.default_rng(0)
    told = rng.normal(size=200)
    X = pd.DataFrame({"a": told, "twin": told + 0.01 * rng.normal(size=200), "noise": rng.normal(size=200)})
    y = told + 0.3 * rng.normal(size=200)
    model = StackingModel([("ridge", Ridge(1.0))], cv=4).fit(X, y)
    alone = permutation_importance(model, X, random_state=0).frame["mean"]
    groups = permutation_importance(model, X, features={"both": ["a", "twin"], "noise": "noise"}, random_state=0)
    assert list(groups.feature_names) == ["both", "noise"]
    assert groups.importances_mean[0] > 1.2 * alone.max()
    listed = permutation_importance(model, X, features=[["a", "twin"], 2], random_state=0)
    assert list(listed.feature_names) == ["a, twin", "noise"]
    np.testing.assert_array_equal(listed.importances[1], groups.importances[1])


def test_the_same_seed_gives_the_same_whatever_the_workers_and_batches(diabetes, monkeypatch):
    X, y = diabetes
    model = StackingModel(REGRESSORS, cv=3).fit(X, y)
    one = permutation_importance(model, X, n_repeats=2, random_state=0)
    monkeypatch.setattr("stackkit._assessment.permutation.BATCH", 300)
    other = permutation_importance(model, X, n_repeats=2, random_state=0, n_jobs=2)
    np.testing.assert_allclose(one.importances, other.importances, rtol=1e-9, atol=1e-9)
    different = permutation_importance(model, X, n_repeats=2, random_state=1)
    assert not np.allclose(one.importances, different.importances)


def _stacks():
    iris, several = load_iris(return_X_y=True), load_diabetes(return_X_y=True)
    yield "refit", StackingModel(CLASSIFIERS, cv=3, refit=True), iris
    yield "passthrough", StackingModel(CLASSIFIERS, LogisticRegression(max_iter=500), cv=3, passthrough=True), iris
    yield "labels", StackingModel(CLASSIFIERS, LogisticRegression(), cv=3, stack_method="predict"), iris
    yield "leave one out", StackingModel(CLASSIFIERS, cv=LeaveOneOut()), (iris[0][::3], iris[1][::3])
    yield "outputs", StackingModel(REGRESSORS, cv=3), (several[0], np.column_stack([several[1], -several[1]]))
    multilabel = make_multilabel_classification(80, n_classes=3, random_state=0)
    yield "multilabel", StackingModel([("knn", KNeighborsClassifier())], cv=3), multilabel
    frozen = FrozenEstimator(GaussianNB().fit(*iris))
    yield "frozen", StackingModel([("frozen", frozen), CLASSIFIERS[1]], cv=StratifiedKFold(3)), iris


STACKS = list(_stacks())


@pytest.mark.filterwarnings("ignore::UserWarning")
@pytest.mark.parametrize(("model", "data"), [stack[1:] for stack in STACKS], ids=[stack[0] for stack in STACKS])
def test_every_kind_of_stack_has_importances(model, data):
    found = permutation_importance(model.fit(*data), *data, n_repeats=1, random_state=0)
    assert found.importances_mean.shape == (data[0].shape[1],)
    assert np.isfinite(found.importances).all()


def test_tables_as_they_are():
    """Text, dates, missing and infinite values, in a frame of pandas or polars, with its columns in any order."""
    pl = pytest.importorskip("polars")
    rng = np.random.default_rng(0)
    town = rng.choice(["Rome", "Oslo", "Bern"], 120)
    frame = pd.DataFrame(
        {"town": town, "size": rng.normal(size=120), "code": pd.Categorical(rng.choice(["x", "y"], 120))}
    )
    frame.loc[3, "size"], frame.loc[4, "town"] = np.nan, None
    y = np.where(town == "Rome", "yes", "no")
    learners = [pair for pair in default_learners("classification", preset="best") if pair[0] == "naive_bayes"]
    model = StackingModel(learners, cv=3, random_state=0).fit(frame, y)
    found = permutation_importance(model, frame[["code", "size", "town"]], y, random_state=0)
    assert found.frame.index[0] == "town"
    assert list(found.feature_names) == ["town", "size", "code"]
    as_polars = pl.DataFrame(
        {name: frame[name].astype(object).where(frame[name].notna(), None).tolist() for name in frame}
    )
    model = StackingModel(learners, cv=3, random_state=0).fit(as_polars, y)
    again = permutation_importance(model, as_polars, random_state=0)
    np.testing.assert_allclose(again.importances, found.importances, atol=1e-6)


def test_fewer_rows_can_be_used(diabetes):
    X, y = diabetes
    model = StackingModel(REGRESSORS[:1], cv=3).fit(X, y)
    for fewer in (60, 60 / len(X)):
        found = permutation_importance(model, X, max_samples=fewer, n_repeats=2, random_state=0)
        assert np.isfinite(found.importances).all()
        assert not np.allclose(found.baseline_scores, model.oof_.scores["rmse"])


def test_bad_input_is_refused(diabetes):
    X, y = diabetes
    model = StackingModel(REGRESSORS, cv=3).fit(X, y)

    def refused(error, match, *args, **options):
        with pytest.raises(error, match=match):
            permutation_importance(*args, **options)

    refused(TypeError, "'model' parameter .* must be a StackingModel; got a Ridge", Ridge().fit(X, y), X)
    refused(ValueError, "in the order of the fit", model, X[::-1])
    refused(ValueError, r"of shape \(442, 10\); got \(441, 10\)", model, X[1:])
    refused(ValueError, "in row 0, where that was 151.0", model, X, y + 1)
    refused(ValueError, "for columns to be shuffled; got a csr_matrix", model, sparse.csr_matrix(X))
    refused(ValueError, "'n_repeats' parameter .* at least 1; got 0", model, X, n_repeats=0)
    refused(ValueError, "'max_samples' parameter .* got 1.5", model, X, max_samples=1.5)
    refused(ValueError, "from 0 to 9; got 'ages'. Did you mean 'age'", model, X, features=["ages"])
    refused(ValueError, "or a dict of such by name; got 'age'", model, X, features="age")
    refused(ValueError, "a group without a column", model, X, features=[[]])
    refused(ValueError, "'scoring' parameter of permutation_importance .* got 'rms'", model, X, scoring="rms")
    unkept = StackingModel(REGRESSORS, LinearRegression(), cv=3, refit=True).fit(X, y)
    refused(ValueError, "fold models of 'ridge' are not there", unkept, X)


def test_a_fold_whose_rows_all_weigh_zero_does_not_count(diabetes):
    """It ended with scikit-learn's error that weights must not all be zero."""
    X, y = diabetes
    weights = np.ones(len(y))
    weights[next(KFold(5).split(X))[1]] = 0
    model = StackingModel(REGRESSORS, LinearRegression(), cv=KFold(5))
    with pytest.warns(MissingScoreWarning):
        model.fit(X, y, sample_weight=weights)
    found = permutation_importance(model, X, random_state=0)
    assert np.isnan(found.importances[:, 0]).all()
    assert np.isnan(found.baseline_scores[0])
    assert found.importances_mean == pytest.approx(found.importances[:, 1:].mean(axis=1))
    assert found.importances_std == pytest.approx(found.importances[:, 1:].std(axis=1))
    assert np.isfinite(found.frame).all(axis=None)


# --- learners ---------------------------------------------------------------------------------------------------------


def test_learners_are_shuffled_in_the_table(diabetes):
    """By hand: a learner's column is shuffled, and a final estimator that did not see the rows is asked again."""
    X, y = diabetes
    folds = list(KFold(3, shuffle=True, random_state=0).split(X))
    model = StackingModel(REGRESSORS, LinearRegression(), cv=folds).fit(X, y)
    ours = permutation_importance(model, of="learners", n_repeats=60, random_state=0)
    assert list(ours.feature_names) == ["ridge", "knn"]
    P = model.oof_.train
    for fold, (train, test) in enumerate(folds):
        theirs = inspection.permutation_importance(
            LinearRegression().fit(P[train], y.iloc[train]),
            P[test],
            y.iloc[test],
            scoring="neg_root_mean_squared_error",
            n_repeats=60,
            random_state=1,
        )
        error = theirs.importances_std * np.sqrt(2 / 60)
        assert (np.abs(ours.importances[:, fold] - theirs.importances_mean) < 4.5 * error + 1e-9).all()
    assert ours.baseline_scores.mean() == pytest.approx(model.leaderboard().loc["stack", "rmse"], rel=1e-9)


def test_all_columns_of_a_learner_and_groups_of_learners():
    X, y = load_iris(return_X_y=True)
    learners = [*CLASSIFIERS, ("flat", KNeighborsClassifier(90))]
    model = StackingModel(learners, random_state=0).fit(X, y)
    found = permutation_importance(
        model, of="learners", features={"both": ["bayes", "tree"], "one": "flat"}, random_state=0
    )
    assert list(found.feature_names) == ["both", "one"]
    assert found.importances_mean[0] > 0.3  # a probability is still one when all of a learner's columns move together
    alone = permutation_importance(model, of="learners", random_state=0)
    assert found.importances_mean[0] > alone.importances_mean[:2].max()
    workers = permutation_importance(model, of="learners", random_state=0, n_jobs=2)
    np.testing.assert_array_equal(alone.importances, workers.importances)


def test_learners_beside_columns_that_are_passed_through(diabetes):
    X, y = diabetes
    model = StackingModel(REGRESSORS, Ridge(), passthrough=["bmi"], cv=3).fit(X, y)
    found = permutation_importance(model, X, of="learners", random_state=0)
    assert (found.importances_mean > 0).any()
    with pytest.raises(ValueError, match="X must be given to permutation_importance, for its columns"):
        permutation_importance(model, of="learners")


def test_what_is_shuffled_has_to_be_said_right(diabetes):
    X, y = diabetes
    model = StackingModel(REGRESSORS, cv=3).fit(X, y)
    with pytest.raises(
        ValueError, match="'of' parameter of permutation_importance must be one of 'columns', 'learners'"
    ):
        permutation_importance(model, X, of="rows")
    with pytest.raises(ValueError, match="X must be given to permutation_importance"):
        permutation_importance(model)
    with pytest.raises(ValueError, match=r"got 'rigde'\. Did you mean 'ridge'"):
        permutation_importance(model, of="learners", features=["rigde"])
