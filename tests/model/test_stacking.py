"""StackingModel against scikit-learn's stackers, against loops by hand, and where peers have holes."""

import inspect
import os
import pickle
import warnings
from html.parser import HTMLParser

import joblib
import numpy as np
import pandas as pd
import polars as pl
import pytest
from scipy import sparse
from sklearn import config_context
from sklearn.base import BaseEstimator, ClassifierMixin, clone, is_classifier, is_regressor
from sklearn.calibration import CalibratedClassifierCV
from sklearn.compose import make_column_selector, make_column_transformer
from sklearn.datasets import (
    load_diabetes,
    load_iris,
    make_classification,
    make_multilabel_classification,
    make_regression,
)
from sklearn.ensemble import (
    HistGradientBoostingClassifier,
    RandomForestClassifier,
    RandomForestRegressor,
    StackingClassifier,
    StackingRegressor,
)
from sklearn.exceptions import NotFittedError, UnsetMetadataPassedError
from sklearn.frozen import FrozenEstimator
from sklearn.linear_model import BayesianRidge, LinearRegression, LogisticRegression, Ridge, RidgeClassifier, RidgeCV
from sklearn.metrics import roc_auc_score
from sklearn.model_selection import (
    GridSearchCV,
    GroupKFold,
    KFold,
    RepeatedKFold,
    StratifiedKFold,
    TimeSeriesSplit,
    TunedThresholdClassifierCV,
    cross_val_score,
    cross_validate,
    train_test_split,
)
from sklearn.multioutput import MultiOutputClassifier
from sklearn.naive_bayes import GaussianNB
from sklearn.neighbors import KNeighborsClassifier, KNeighborsRegressor
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import OneHotEncoder, StandardScaler
from sklearn.svm import SVC, LinearSVC
from sklearn.tree import DecisionTreeClassifier, DecisionTreeRegressor
from spies import Fails, Noisy, Weighted, Witness, with_row_ids
from xgboost import XGBClassifier

from stackkit import (
    ConvexClassifier,
    EnsembleSelectionClassifier,
    LogPoolClassifier,
    RidgePoolRegressor,
    StackingModel,
    cross_fit,
    default_learners,
)
from stackkit._learners.portfolio import PRESETS
from stackkit.datasets import load_titanic
from stackkit.exceptions import IgnoredWeightsWarning, LearnerDroppedWarning, LearnerFailedError

CLASSIFIERS = [
    ("logistic", LogisticRegression(max_iter=1000)),
    ("tree", DecisionTreeClassifier(max_depth=4, random_state=0)),
    ("forest", RandomForestClassifier(8, random_state=0)),
]
REGRESSORS = [("ridge", Ridge()), ("tree", DecisionTreeRegressor(max_depth=4, random_state=0))]


def _classes(n_classes, kind=int):
    X, y = make_classification(160, 8, n_informative=5, n_classes=n_classes, random_state=n_classes)
    return X, np.array([f"class {label}" for label in y]) if kind is str else y


@pytest.fixture(scope="module")
def binary():
    return _classes(2)


@pytest.fixture(scope="module")
def noise():
    rng = np.random.default_rng(0)
    return rng.normal(size=(600, 5)), rng.integers(0, 2, 600)


# --- scikit-learn's stackers are the reference --------------------------------------------------------


@pytest.mark.parametrize("n_classes", [2, 4])
@pytest.mark.parametrize("kind", [int, str])
@pytest.mark.parametrize("passthrough", [False, True])
@pytest.mark.parametrize("stack_method", ["auto", "predict"])
def test_refit_equals_scikit_learns_classifier(n_classes, kind, passthrough, stack_method):
    X, y = _classes(n_classes, kind)
    options = {"cv": StratifiedKFold(4), "stack_method": stack_method, "passthrough": passthrough}
    final = LogisticRegression(max_iter=5000)
    ours = StackingModel(CLASSIFIERS, final, refit=True, **options).fit(X[:120], y[:120])
    theirs = StackingClassifier(CLASSIFIERS, final, **options).fit(X[:120], y[:120])
    np.testing.assert_allclose(ours.predict_proba(X), theirs.predict_proba(X), atol=1e-12)
    np.testing.assert_allclose(ours.decision_function(X), theirs.decision_function(X), atol=1e-12)
    np.testing.assert_array_equal(ours.predict(X), theirs.predict(X))
    np.testing.assert_allclose(ours.transform(X), theirs.transform(X), atol=1e-12)
    np.testing.assert_array_equal(ours.classes_, theirs.classes_)
    assert ours.score(X, y) == theirs.score(X, y)


@pytest.mark.parametrize("learner", [SVC(), RidgeClassifier(), LinearSVC()])
def test_refit_equals_scikit_learn_with_decision_functions(learner):
    X, y = _classes(3)
    final = LogisticRegression(max_iter=5000)
    ours = StackingModel([("d", learner)], final, refit=True, random_state=0, cv=3).fit(X, y)
    theirs = StackingClassifier([("d", clone(ours.members_["d"][0]))], final, cv=3).fit(X, y)
    np.testing.assert_allclose(ours.predict_proba(X), theirs.predict_proba(X), atol=1e-12)


@pytest.mark.parametrize("passthrough", [False, True])
def test_refit_equals_scikit_learns_regressor(passthrough):
    X, y = make_regression(150, 6, noise=10, random_state=0)
    options = {"cv": KFold(4), "passthrough": passthrough}
    ours = StackingModel(REGRESSORS, RidgeCV(), refit=True, **options).fit(X[:100], y[:100])
    theirs = StackingRegressor(REGRESSORS, RidgeCV(), **options).fit(X[:100], y[:100])
    np.testing.assert_allclose(ours.predict(X), theirs.predict(X), rtol=1e-12)
    assert ours.score(X, y) == pytest.approx(theirs.score(X, y), rel=1e-12)


def test_refit_equals_scikit_learn_on_multilabel():
    X, Y = make_multilabel_classification(140, n_classes=3, random_state=0)
    learners = [("forest", RandomForestClassifier(5, random_state=0)), ("knn", KNeighborsClassifier())]
    final = MultiOutputClassifier(LogisticRegression())
    ours = StackingModel(learners, final, refit=True, cv=KFold(3)).fit(X, Y)
    theirs = StackingClassifier(learners, final, cv=KFold(3)).fit(X, Y)
    np.testing.assert_array_equal(ours.predict(X), theirs.predict(X))
    np.testing.assert_allclose(ours.transform(X), theirs.transform(X), atol=1e-12)
    probabilities = ours.predict_proba(X)
    assert probabilities.shape == Y.shape
    np.testing.assert_array_equal(probabilities > 0.5, ours.predict(X))


@pytest.mark.parametrize("container", [sparse.csr_matrix, sparse.csr_array, sparse.csc_array])
@pytest.mark.parametrize("passthrough", [False, True])
def test_refit_equals_scikit_learn_on_sparse(container, passthrough):
    X, y = _classes(2)
    X = container(np.where(X > 0, X, 0))
    options = {"cv": 3, "passthrough": passthrough}
    ours = StackingModel(CLASSIFIERS, LogisticRegression(), refit=True, **options).fit(X, y)
    theirs = StackingClassifier(CLASSIFIERS, LogisticRegression(), **options).fit(X, y)
    np.testing.assert_allclose(ours.predict_proba(X), theirs.predict_proba(X), atol=1e-12)
    assert sparse.issparse(ours.transform(X)) is passthrough


def test_averaging_equals_a_loop_by_hand(binary):
    X, y = binary
    model = StackingModel(CLASSIFIERS, LogisticRegression(), cv=StratifiedKFold(4)).fit(X[:120], y[:120])
    P, p = np.empty((120, 3)), np.zeros((40, 3))
    for column, (_, learner) in enumerate(CLASSIFIERS):
        for train, test in StratifiedKFold(4).split(X[:120], y[:120]):
            fitted = clone(learner).fit(X[train], y[train])
            P[test, column] = fitted.predict_proba(X[test])[:, 1]
            p[:, column] += fitted.predict_proba(X[120:])[:, 1] / 4
    by_hand = LogisticRegression().fit(P, y[:120])
    np.testing.assert_allclose(model.predict_proba(X[120:]), by_hand.predict_proba(p), rtol=1e-12)
    np.testing.assert_allclose(model.transform(X[120:]), p, rtol=1e-12)


def test_multi_output_regression():
    X, y = load_diabetes(return_X_y=True)
    Y = np.column_stack([y, y**2, -y])
    model = StackingModel(REGRESSORS, cv=3).fit(X, Y)
    assert isinstance(model.final_estimator_, RidgeCV)
    assert model.predict(X).shape == Y.shape
    assert model.score(X, Y) > 0.4


# --- the holes of the peers ---------------------------------------------------------------------------


def test_a_stack_as_a_pipeline_step_learns_nothing_from_noise(noise):
    X, y = noise
    memoriser = [("memoriser", KNeighborsClassifier(1)), ("tree", DecisionTreeClassifier(random_state=0))]
    pipe = make_pipeline(StackingModel(memoriser), LogisticRegression())
    assert 0.4 <= cross_val_score(pipe, X, y, scoring="roc_auc").mean() <= 0.6
    # What the last step learns from: out-of-fold with us, the learners' own rows with scikit-learn.
    honest = StackingModel(memoriser).fit_transform(X, y)
    leaking = StackingClassifier(memoriser).fit_transform(X, y)
    assert LogisticRegression().fit(honest, y).score(honest, y) < 0.6
    assert LogisticRegression().fit(leaking, y).score(leaking, y) == 1


def test_two_levels_on_noise_know_nothing(noise):
    X, y = noise
    second = StackingModel([("memoriser", KNeighborsClassifier(1)), ("bayes", GaussianNB())], cv=3)
    model = StackingModel([("memoriser", KNeighborsClassifier(1)), ("bayes", GaussianNB())], second, cv=3)
    model.fit(X[:400], y[:400])
    assert 0.4 <= roc_auc_score(y[:400], model.final_estimator_.oof_.train[:, 0]) <= 0.6
    assert 0.4 <= roc_auc_score(y[400:], model.predict_proba(X[400:])[:, 1]) <= 0.6


def test_fit_transform_never_shows_a_row_to_its_own_model(binary):
    X, y = with_row_ids(binary[0]), binary[1]
    model = StackingModel([("witness", Witness())], LogisticRegression(), cv=5)
    assert (model.fit_transform(X, y) == 0).all()
    assert (model.transform(X) == 0.8).all()  # 4 of 5 fold models saw each row
    nested = StackingModel([("inner", StackingModel([("witness", Witness())], LogisticRegression()))], cv=3)
    assert np.ptp(nested.fit_transform(X, y)) < 0.2  # the witness below says 0 everywhere


@pytest.mark.parametrize("refit", [False, True])
@pytest.mark.parametrize("cv", [RepeatedKFold(n_splits=3, n_repeats=2, random_state=0), TimeSeriesSplit(4)])
def test_repeats_and_time_series(binary, cv, refit):
    X, y = binary
    model = StackingModel(CLASSIFIERS, LogisticRegression(), cv=cv, refit=refit).fit(X, y)
    covered = model.oof_.covered
    by_hand = LogisticRegression().fit(model.oof_.train[covered], y[covered])
    np.testing.assert_allclose(model.predict_proba(X), by_hand.predict_proba(model.transform(X)))
    n_members = 1 if refit else len(model.oof_.folds)
    assert {len(members) for members in model.members_.values()} == {n_members}


def test_groups_reach_the_splitter(binary):
    X, y = binary
    groups = np.arange(160) // 8
    model = StackingModel(CLASSIFIERS, cv=GroupKFold(4)).fit(X, y, groups=groups)
    for train, test in model.oof_.folds.pairs:
        assert not set(groups[train]) & set(groups[test])
    with pytest.raises(ValueError, match="groups"):
        StackingModel(CLASSIFIERS, cv=GroupKFold(4)).fit(X, y)


@pytest.mark.parametrize("refit", [False, True])
def test_drop_equals_the_stack_without_the_learner(binary, refit):
    X, y = with_row_ids(binary[0]), binary[1]
    learners = [("bayes", GaussianNB()), ("noisy", Noisy())]
    options = {"cv": KFold(4), "random_state": 0, "refit": refit}
    without = StackingModel(learners, **options).fit(X, y)
    with pytest.warns(LearnerDroppedWarning, match="'bad'"):
        dropped = StackingModel([("bad", Fails(without_row=3)), *learners], on_error="drop", **options).fit(X, y)
    np.testing.assert_array_equal(dropped.predict_proba(X), without.predict_proba(X))
    assert list(dropped.failures_["learner"]) == ["bad"]
    status = dropped.leaderboard(full=True)["status"]
    assert status[["bayes", "noisy"]].tolist() == ["ok", "ok"]
    assert status["bad"].startswith("failed in fold 0, fit")


def test_a_failing_learner_is_named(binary):
    X, y = with_row_ids(binary[0]), binary[1]
    with pytest.raises(LearnerFailedError, match=r"'bad' \(Fails\) failed in fold 0 of 4"):
        StackingModel([("bad", Fails(without_row=3)), ("bayes", GaussianNB())], cv=KFold(4)).fit(X, y)


def test_passthrough_of_a_mixed_frame():
    titanic = load_titanic()
    X, y = titanic.data[["sex", "age", "fare", "embarked"]], titanic.target
    encode = make_column_transformer(
        (OneHotEncoder(handle_unknown="ignore"), ["sex", "embarked"]), remainder="passthrough"
    )
    learners = [("boosting", make_pipeline(encode, HistGradientBoostingClassifier(max_iter=5)))]
    for final in (None, _SeesAFrame()):
        model = StackingModel(learners, final, passthrough=True, cv=3).fit(X, y)
        assert model.score(X, y) > 0.75
    assert list(model.final_estimator_.columns_) == ["boosting", "sex", "age", "fare", "embarked"]
    some = StackingModel(learners, _SeesAFrame(), passthrough=["fare", "sex"], cv=3).fit(X, y)
    assert list(some.final_estimator_.columns_) == ["boosting", "fare", "sex"]
    assert list(some.get_feature_names_out()) == ["boosting", "fare", "sex"]
    assert list(some.transform(X).columns) == ["boosting", "fare", "sex"]


class _SeesAFrame(ClassifierMixin, BaseEstimator):
    def fit(self, X, y):
        self.columns_ = X.columns
        self.classes_ = np.unique(y)
        return self

    def predict(self, X):
        assert X.columns.equals(self.columns_)
        return (X["boosting"] > 0.5).astype(int).to_numpy()


def test_the_final_estimator_sees_names_when_the_model_gets_a_frame(binary):
    X, y = binary
    columns = [f"f{i}" for i in range(8)]
    for frame in (pd.DataFrame(X, columns=columns), pl.DataFrame(X, schema=columns, orient="row")):
        model = StackingModel(CLASSIFIERS, LogisticRegression()).fit(frame, y)
        assert list(model.final_estimator_.feature_names_in_) == ["logistic", "tree", "forest"]
        np.testing.assert_array_equal(model.predict(frame), model.predict(frame))
    assert not hasattr(StackingModel(CLASSIFIERS).fit(X, y).final_estimator_, "feature_names_in_")


def test_missing_values_reach_learners_that_take_them(binary):
    X, y = binary[0].copy(), binary[1]
    X[::3, 0] = np.nan
    learners = [("boosting", HistGradientBoostingClassifier(max_iter=5)), ("xgb", XGBClassifier(n_estimators=5))]
    assert StackingModel(learners, cv=3).fit(X, y).score(X, y) > 0.8
    with pytest.raises(LearnerFailedError, match=r"'bayes'.*NaN"):
        StackingModel([*learners, ("bayes", GaussianNB())], cv=3).fit(X, y)


# --- refit --------------------------------------------------------------------------------------------


def test_only_learners_with_weight_are_refitted():
    X, y = _classes(2)
    learners = [("forest", RandomForestClassifier(20)), ("coin", Noisy()), ("logistic", LogisticRegression())]
    model = StackingModel(learners, ConvexClassifier(), refit=True, random_state=0).fit(X, y)
    weights = model.leaderboard()["weight"]
    assert weights["coin"] == 0
    counts = {name: len(members) for name, members in model.members_.items()}
    assert counts == {name: 1 if weights[name] else 5 for name in counts}
    assert np.isfinite(model.transform(X)).all()


@pytest.mark.parametrize("refit", [False, True])
def test_learners_without_weight_are_not_asked(refit):
    X, y = _classes(2)
    learners = [("forest", RandomForestClassifier(20)), ("coin", Noisy())]
    model = StackingModel(learners, ConvexClassifier(), refit=refit, random_state=0).fit(X, y)
    assert model.final_estimator_.weights_[1] == 0
    expected = model.final_estimator_.predict_proba(model.transform(X))
    for member in model.members_["coin"]:
        member.predict_proba = None
    np.testing.assert_allclose(model.predict_proba(X), expected)


def test_a_learner_that_fails_on_all_rows_keeps_its_fold_models():
    X, y = _classes(2)

    class FailsOnAll(RandomForestClassifier):
        def fit(self, X, y, sample_weight=None):
            if len(X) == 160:
                raise RuntimeError("too many rows")
            return super().fit(X, y, sample_weight)

    learners = [("forest", FailsOnAll(20)), ("bayes", GaussianNB())]
    with pytest.raises(
        LearnerFailedError, match=r"'forest' .* failed when refitted on all 160 rows, in fit: .*too many rows"
    ):
        StackingModel(learners, refit=True, random_state=0).fit(X, y)
    with pytest.warns(LearnerDroppedWarning, match=r"'forest' .* Its fold models predict new rows instead"):
        model = StackingModel(learners, refit=True, random_state=0, on_error="drop").fit(X, y)
    assert len(model.members_["forest"]) == 5
    assert model.score(X, y) > 0.8


# --- a good citizen -----------------------------------------------------------------------------------


def test_grid_search_over_learners_final_estimator_and_drop(binary):
    X, y = binary
    grid = {
        "tree__max_depth": [1, 3],
        "forest": ["drop", GaussianNB()],
        "final_estimator__C": [0.1, 1],
        "passthrough": [False],
    }
    search = GridSearchCV(StackingModel(CLASSIFIERS, LogisticRegression(), cv=3), grid, cv=3).fit(X, y)
    assert len(search.cv_results_["params"]) == 8
    assert search.score(X, y) > 0.8


def test_parameters_are_replaced_without_touching_the_users_list(binary):
    learners = list(CLASSIFIERS)
    model = StackingModel(learners, LogisticRegression())
    model.set_params(tree="drop", forest__n_estimators=3, final_estimator__C=7)
    assert learners == CLASSIFIERS
    assert model.get_params()["tree"] == "drop"
    assert model.get_params()["final_estimator__C"] == 7
    assert list(model.fit(*binary).members_) == ["logistic", "forest"]
    CLASSIFIERS[2][1].set_params(n_estimators=8)
    with pytest.raises(ValueError, match="Invalid parameter 'oak'"):
        model.set_params(oak=1)


def test_unnamed_learners_get_names(binary):
    model = StackingModel([GaussianNB(), KNeighborsClassifier(1), KNeighborsClassifier(5)], cv=3)
    assert model.get_params()["kneighborsclassifier-2__n_neighbors"] == 5
    assert list(model.fit(*binary).members_) == ["gaussiannb", "kneighborsclassifier-1", "kneighborsclassifier-2"]


def test_clone_and_pickle(binary):
    X, y = binary
    model = StackingModel(CLASSIFIERS, random_state=0).fit(X, y)
    again = clone(model).fit(X, y)
    thawed = pickle.loads(pickle.dumps(model))
    np.testing.assert_array_equal(model.predict_proba(X), again.predict_proba(X))
    np.testing.assert_array_equal(model.predict_proba(X), thawed.predict_proba(X))


def test_inside_scikit_learns_meta_estimators(binary):
    X, y = binary
    model = StackingModel(CLASSIFIERS, cv=3, random_state=0)
    scores = cross_validate(model, X, y, cv=3, scoring=["accuracy", "neg_log_loss", "roc_auc"], error_score="raise")
    assert scores["test_accuracy"].mean() > 0.8
    assert CalibratedClassifierCV(model, cv=2).fit(X, y).score(X, y) > 0.8
    assert TunedThresholdClassifierCV(model, cv=2).fit(X, y).score(X, y) > 0.8
    assert make_pipeline(StandardScaler(), model).fit(X, y).score(X, y) > 0.8
    outer = StackingModel([("stack", model), ("bayes", GaussianNB())], cv=3).fit(X, y)
    assert outer.score(X, y) > 0.8


def test_which_of_the_two_it_is():
    assert is_classifier(StackingModel(CLASSIFIERS))
    assert is_regressor(StackingModel(REGRESSORS))
    assert is_classifier(StackingModel(task="classification"))
    assert is_classifier(StackingModel(REGRESSORS, LogisticRegression()))
    nobody = StackingModel()
    assert not is_classifier(nobody)
    assert not is_regressor(nobody)
    with pytest.raises(
        ValueError, match=r"'task' parameter .* 'classification', 'regression', None; got 'clasification'"
    ):
        StackingModel(task="clasification").fit(np.eye(4), [0, 1, 0, 1])


def test_methods_appear_with_the_final_estimator(binary):
    assert hasattr(StackingModel(CLASSIFIERS), "predict_proba")
    assert not hasattr(StackingModel(CLASSIFIERS), "decision_function")
    assert hasattr(StackingModel(CLASSIFIERS, LinearSVC()), "decision_function")
    assert not hasattr(StackingModel(CLASSIFIERS, LinearSVC()), "predict_proba")
    assert not hasattr(StackingModel(REGRESSORS), "predict_proba")
    assert not hasattr(StackingModel(REGRESSORS).fit(*binary), "classes_")


def test_set_output_and_names(binary):
    X, y = binary
    model = StackingModel(CLASSIFIERS, cv=3)
    as_pandas = model.set_output(transform="pandas").fit_transform(X, y)
    assert list(as_pandas) == list(model.get_feature_names_out()) == ["logistic", "tree", "forest"]
    frame = pd.DataFrame(X, index=np.arange(160) + 1000).rename(columns="f{}".format)
    assert model.fit_transform(frame, y).index.equals(frame.index)
    as_polars = model.set_output(transform="polars").fit(X, y).transform(X)
    assert isinstance(as_polars, pl.DataFrame)
    wide = clone(model).set_params(passthrough=[0, 2]).set_output(transform="pandas").fit(frame, y)
    assert list(wide.transform(frame)) == ["logistic", "tree", "forest", "f0", "f2"]
    three = StackingModel(CLASSIFIERS).fit(*load_iris(return_X_y=True))
    assert list(three.get_feature_names_out())[:3] == ["logistic_0", "logistic_1", "logistic_2"]


def test_names_of_features_are_checked(binary):
    X, y = binary
    frame = pd.DataFrame(X).rename(columns="f{}".format)
    model = StackingModel(CLASSIFIERS, LogisticRegression(), passthrough=True).fit(frame, y)
    with pytest.raises(ValueError, match="input_features should have length equal"):
        model.get_feature_names_out(["a"])
    with pytest.raises(ValueError, match="input_features is not equal to feature_names_in_"):
        model.get_feature_names_out(list("abcdefgh"))
    with pytest.raises(ValueError, match=r"unseen at fit time:\n- g0(.|\n)*now missing:\n- f0"):
        model.predict(frame.rename(columns={"f0": "g0"}))


def test_html_diagram_shows_learners_and_final_estimator():
    class Text(HTMLParser):
        words = ""

        def handle_data(self, data):
            self.words += data

    parser = Text()
    parser.feed(StackingModel(CLASSIFIERS, ConvexClassifier())._repr_html_())
    for word in ("logistic", "tree", "forest", "final_estimator", "ConvexClassifier"):
        assert word in parser.words
    assert "StackingModel" in StackingModel()._repr_html_()
    named = StackingModel([("<img src=x onerror=alert(1)>", GaussianNB()), ("b", GaussianNB())])
    assert "<img" not in named._repr_html_()


def test_default_everything_takes_a_raw_frame():
    titanic = load_titanic()
    sample = titanic.frame.sample(330, random_state=0).index
    X, y = titanic.data.loc[sample], titanic.target.loc[sample].map({0: "died", 1: "survived"})
    model = StackingModel(random_state=0, cv=3).fit(X, y)
    assert isinstance(model.final_estimator_, LogPoolClassifier)
    assert is_classifier(model)
    assert set(model.classes_) == {"died", "survived"}
    assert (model.leaderboard()["accuracy"] > 0.65).all()
    new = titanic.data.iloc[1:40:4].assign(embarked="nowhere")
    assert np.isfinite(model.predict_proba(new)).all()


@pytest.mark.usefixtures("small_learners")
def test_default_everything_on_numbers():
    X, y = load_diabetes(return_X_y=True)
    model = StackingModel(random_state=0, cv=3).fit(X, y)
    assert isinstance(model.final_estimator_, RidgePoolRegressor)
    assert is_regressor(model)
    assert list(model.leaderboard().columns[:2]) == ["rmse", "r2"]


def test_a_preset_says_what_is_not_said(binary):
    X, y = binary
    seats = [list(StackingModel(preset=preset).plan(X, y).index) for preset in PRESETS]
    assert seats[0] == seats[1][:6] == list(StackingModel().plan(X, y).index)
    assert set(seats[1]) < set(seats[2])
    assert StackingModel(preset="best").plan(X, y)["folds"].unique().tolist() == [10]
    assert StackingModel(preset="best", cv=3).plan(X, y)["folds"].unique().tolist() == [3]
    # What the user names is the user's: learners of any number, and folds as ever.
    assert len(StackingModel(CLASSIFIERS, preset="best").fit(X, y).oof_.folds) == 5
    with pytest.raises(ValueError, match=r"'preset' parameter of StackingModel must be one of .*; got 'bset'.*'best'"):
        StackingModel(CLASSIFIERS, preset="bset").fit(X, y)


@pytest.mark.slow
@pytest.mark.usefixtures("small_learners")
@pytest.mark.parametrize("preset", ["balanced", "best"])
def test_every_preset_takes_a_raw_frame_and_rare_classes(preset):
    titanic = load_titanic()
    sample = titanic.frame.sample(90, random_state=0).index
    X, y = titanic.data.loc[sample], titanic.target.loc[sample].to_numpy().copy()
    y[:2] = 2
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", UserWarning)  # a class of two rows
        model = StackingModel(preset=preset, random_state=0, cv=3).fit(X, y)
    assert list(model.oof_.blocks) == [name for name, _ in default_learners("classification", preset=preset)]
    assert np.isfinite(model.predict_proba(X)).all()


def test_leaderboard(binary):
    model = StackingModel(CLASSIFIERS, random_state=0).fit(*binary)
    board = model.leaderboard(full=True).drop("stack")
    assert board["log_loss"].is_monotonic_increasing
    scores = model.oof_.scores.loc["forest"]
    assert board.loc["forest", "accuracy"] == pytest.approx(scores["accuracy"].mean())
    assert board.loc["forest", "log_loss_std"] == pytest.approx(scores["log_loss"].std())
    assert board.loc["forest", "fit_seconds"] == pytest.approx(scores["fit_seconds"].sum())
    weights = dict(zip(["logistic", "tree", "forest"], model.final_estimator_.weights_, strict=True))
    assert board["weight"].to_dict() == weights
    assert "weight" not in StackingModel(CLASSIFIERS, LogisticRegression()).fit(*binary).leaderboard()


def test_prefit_learners_are_not_fitted_again(binary):
    X, y = binary
    fitted = RandomForestClassifier(5, random_state=0).fit(X[:80], y[:80])
    learners = [("frozen", FrozenEstimator(fitted)), ("bayes", GaussianNB())]
    for refit in (False, True):
        model = StackingModel(learners, LogisticRegression(), refit=refit).fit(X[80:], y[80:])
        np.testing.assert_array_equal(model.oof_.train[:, 0], fitted.predict_proba(X[80:])[:, 1])
        assert model.members_["frozen"][0].estimator is fitted
        np.testing.assert_array_equal(model.transform(X)[:, 0], fitted.predict_proba(X)[:, 1])


def test_three_levels(binary):
    X, y = binary
    third = EnsembleSelectionClassifier(random_state=0)
    second = StackingModel([("logistic", LogisticRegression()), ("bayes", GaussianNB())], third, cv=3)
    model = StackingModel(CLASSIFIERS, second, cv=3, random_state=0).fit(X[:120], y[:120])
    assert model.score(X[120:], y[120:]) > 0.7
    assert model.get_params()["final_estimator__logistic__C"] == 1


@pytest.mark.parametrize("refit", [False, True])
def test_the_same_bits_for_any_n_jobs_and_backend(binary, refit):
    X, y = binary
    learners = [*CLASSIFIERS, ("xgb", XGBClassifier(n_estimators=5)), ("noisy", Noisy())]

    def bits(n_jobs):
        model = StackingModel(learners, random_state=0, refit=refit, n_jobs=n_jobs, cv=KFold(3, shuffle=True))
        return model.fit(X, y).predict_proba(X).tobytes()

    reference = bits(1)
    assert bits(2) == reference
    assert bits(-1) == reference
    with joblib.parallel_config(backend="threading"):
        assert bits(2) == reference


# --- metadata -----------------------------------------------------------------------------------------


def test_weights_as_a_plain_keyword(binary):
    X, y = binary
    weights = np.random.default_rng(0).uniform(size=160)
    model = StackingModel(CLASSIFIERS, LogisticRegression(), cv=3, refit=True).fit(X, y, sample_weight=weights)
    table = cross_fit(CLASSIFIERS, X, y, cv=3, sample_weight=weights).train
    by_hand = LogisticRegression().fit(table, y, sample_weight=weights)
    np.testing.assert_allclose(model.final_estimator_.coef_, by_hand.coef_)
    forest = clone(CLASSIFIERS[2][1]).fit(X, y, sample_weight=weights)
    np.testing.assert_array_equal(model.members_["forest"][0].predict_proba(X), forest.predict_proba(X))
    with pytest.warns(IgnoredWeightsWarning, match=r"\['knn', 'final_estimator'\]"):
        StackingModel([("knn", KNeighborsClassifier())], KNeighborsClassifier()).fit(X, y, sample_weight=weights)


def test_other_metadata_needs_routing(binary):
    with pytest.raises(ValueError, match=r"such as \['colour'\].*enable_metadata_routing"):
        StackingModel(CLASSIFIERS).fit(*binary, colour=np.ones(160))


def test_routing_gives_each_what_it_asks_for():
    X, y = np.zeros((30, 1)), np.arange(30.0)
    weights, groups = np.arange(30) + 1.0, np.arange(30) // 3
    with config_context(enable_metadata_routing=True):
        asks = Weighted().set_fit_request(sample_weight=True)
        not_asks = Weighted().set_fit_request(sample_weight=False)
        # A final estimator that never asked for weights does not get them.
        model = StackingModel([("asks", asks), ("not", not_asks)], KNeighborsRegressor(), cv=GroupKFold(3))
        model.fit(X, y, sample_weight=weights, groups=groups)
        train, _ = model.oof_.folds.pairs[0]
        np.testing.assert_array_equal(model.members_["asks"][0].weights_, weights[train])
        assert model.members_["not"][0].weights_ is None
        final = Weighted().set_fit_request(sample_weight=True)
        model = StackingModel([("not", not_asks)], final, cv=GroupKFold(3))
        model.fit(X, y, sample_weight=weights, groups=groups)
        np.testing.assert_array_equal(model.final_estimator_.weights_, weights)


def test_routing_through_other_estimators():
    X, y = make_regression(60, 3, random_state=0)
    weights, groups = np.ones(60), np.arange(60) // 4
    with config_context(enable_metadata_routing=True):
        asks, not_asks = (Weighted().set_fit_request(sample_weight=asked) for asked in (True, False))
        model = StackingModel([asks], not_asks, cv=GroupKFold(3)).set_score_request(sample_weight=False)
        params = {"sample_weight": weights, "groups": groups}
        scores = cross_validate(model, X, y, params=params, error_score="raise", cv=3)
        assert len(scores["test_score"]) == 3
        pipe = make_pipeline(StandardScaler().set_fit_request(sample_weight=False), model)
        assert pipe.fit(X, y, **params).predict(X).shape == (60,)
        with pytest.raises(UnsetMetadataPassedError, match="sample_weight"):
            StackingModel([Weighted()], not_asks).fit(X, y, sample_weight=weights)
        with pytest.raises(TypeError, match="colour"):
            StackingModel([asks], not_asks).fit(X, y, colour=weights)


def test_predict_params_reach_the_final_estimator():
    X, y = make_regression(60, 3, random_state=0)
    mean, std = StackingModel(REGRESSORS, BayesianRidge()).fit(X, y).predict(X, return_std=True)
    assert mean.shape == std.shape == (60,)


def test_images_and_texts_are_rows_too():
    from sklearn.feature_extraction.text import CountVectorizer
    from sklearn.preprocessing import FunctionTransformer

    rng = np.random.default_rng(0)
    images = rng.integers(0, 255, (60, 3, 3)).astype(np.uint8)
    flat = FunctionTransformer(lambda X: X.reshape(len(X), -1))
    y = (images.mean(axis=(1, 2)) > 127).astype(int)
    model = StackingModel([make_pipeline(flat, StandardScaler(), LogisticRegression())], cv=3).fit(images, y)
    assert model.score(images, y) > 0.9
    texts = pd.DataFrame({"text": np.where(y, "good day", "bad night")})
    words = make_column_transformer((CountVectorizer(), "text"))
    assert StackingModel([make_pipeline(words, LogisticRegression())], cv=3).fit(texts, y).score(texts, y) == 1


def test_preprocessing_in_a_learner_is_fitted_on_its_training_part(binary):
    X, y = with_row_ids(binary[0]), binary[1]

    class SpyScaler(StandardScaler):
        def fit(self, X, y=None):
            self.rows_ = set(X[:, 0])
            return super().fit(X, y)

        def transform(self, X):
            if len(X) == 40:
                assert not self.rows_ & set(X[:, 0])
            return super().transform(X)

    model = StackingModel([make_pipeline(SpyScaler(), LogisticRegression())], cv=4).fit(X, y)
    for (train, _), member in zip(model.oof_.folds.pairs, model.members_["pipeline"], strict=True):
        assert member[0].rows_ == set(X[train, 0])


def test_a_random_target_is_not_learned_through_target_encoding(noise):
    from sklearn.preprocessing import TargetEncoder

    rng = np.random.default_rng(1)
    X = pd.DataFrame({"id": rng.integers(0, 200, 600).astype(str)})
    y = noise[1]
    learner = make_pipeline(make_column_transformer((TargetEncoder(), ["id"])), LogisticRegression())
    oof = cross_fit([learner], X, y, cv=5, random_state=0)
    assert 0.4 <= roc_auc_score(y, oof.train[:, 0]) <= 0.6


def test_refitting_on_another_task_forgets_the_first():
    model = StackingModel(random_state=0, cv=2)
    rng = np.random.default_rng(0)
    X = rng.normal(size=(60, 3))
    model.fit(X, np.where(X[:, 0] > 0, "a", "b"))
    assert hasattr(model, "classes_")
    model.fit(X, X[:, 0])
    assert not hasattr(model, "classes_")
    assert is_regressor(model)


def test_frame_of_strings_selected_by_dtype():
    titanic = load_titanic()
    X, y = titanic.data[["sex", "pclass", "sibsp"]], titanic.target
    text = make_column_selector(dtype_exclude="number")
    encode = make_column_transformer((OneHotEncoder(), text), remainder="passthrough")
    X_train, X_test, y_train, y_test = train_test_split(X, y, random_state=0)
    model = StackingModel([make_pipeline(encode, RandomForestClassifier(10))], random_state=0)
    assert model.fit(X_train, y_train).score(X_test, y_test) > 0.7


def test_regressor_forest_uses_all_rows_when_refitted():
    X, y = load_diabetes(return_X_y=True)
    forest = RandomForestRegressor(5, random_state=0)
    model = StackingModel([("forest", forest)], LinearRegression(), refit=True, cv=3).fit(X, y)
    np.testing.assert_array_equal(model.members_["forest"][0].predict(X), clone(forest).fit(X, y).predict(X))


@pytest.mark.parametrize("fails_in", ["learner", "final_estimator", "plan"])
def test_a_fit_that_fails_leaves_the_model_as_it_was(binary, fails_in):
    """It was half of an earlier fit and half of this one, and `check_is_fitted` found nothing wrong with it."""
    X, y = binary

    class Refuses(LogisticRegression):
        def fit(self, X, y, sample_weight=None):
            raise RuntimeError("no")

    bad = {
        "learner": {"estimators": [("fails", Refuses())]},
        "final_estimator": {"final_estimator": Refuses()},
        "plan": {"passthrough": ["nowhere"]},
    }[fails_in]
    new = StackingModel(CLASSIFIERS).set_params(**bad)
    with pytest.raises(Exception, match="no"):
        new.fit(X, y)
    with pytest.raises(NotFittedError):
        new.predict(X)
    assert [name for name in vars(new) if name.endswith("_") and not name.startswith("_")] == []
    fitted = StackingModel(CLASSIFIERS, random_state=0).fit(X, y)
    before, table = fitted.predict_proba(X), fitted.oof_
    names = np.array(["no", "yes", "perhaps"])[np.arange(len(y)) % 3]
    with pytest.raises(Exception, match="no"):
        fitted.set_params(**bad).fit(X[:, :3], names)
    np.testing.assert_array_equal(fitted.predict_proba(X), before)
    assert fitted.oof_ is table
    assert fitted.n_features_in_ == X.shape[1]
    assert fitted.classes_.tolist() == [0, 1]


def test_there_are_few_steps_between_the_user_and_a_learner(binary):
    """Who reads a traceback, or steps through a fit, passes eight functions of ours, and the same in each fold."""
    steps = []

    class Tells(GaussianNB):
        def fit(self, X, y):
            steps.append([frame.function for frame in inspect.stack() if f"{os.sep}stackkit{os.sep}" in frame.filename])
            return super().fit(X, y)

    X, y = binary
    StackingModel([Tells()], LogisticRegression(), cv=3).fit(X, y)
    assert len(steps) == 3
    for names in steps:
        of_ours = [name for name in names if name != "<module>"]
        assert of_ours[-1] in ("fit", "wrapper")
        assert len(of_ours) <= 8 + of_ours.count("wrapper"), of_ours
