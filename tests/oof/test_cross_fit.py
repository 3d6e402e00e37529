"""cross_fit against loops written by hand, and against learners that tell on leaks."""

import warnings

import joblib
import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.testing import assert_array_equal
from sklearn import config_context
from sklearn.base import clone
from sklearn.datasets import load_diabetes, load_iris, make_classification, make_multilabel_classification
from sklearn.ensemble import RandomForestClassifier, RandomForestRegressor
from sklearn.exceptions import UnsetMetadataPassedError
from sklearn.frozen import FrozenEstimator
from sklearn.linear_model import LinearRegression, LogisticRegression, Perceptron, Ridge, RidgeClassifier
from sklearn.metrics import accuracy_score, log_loss, r2_score, roc_auc_score, root_mean_squared_error
from sklearn.model_selection import (
    GroupKFold,
    KFold,
    LeaveOneOut,
    PredefinedSplit,
    RepeatedKFold,
    RepeatedStratifiedKFold,
    ShuffleSplit,
    StratifiedGroupKFold,
    StratifiedKFold,
    TimeSeriesSplit,
    cross_val_predict,
)
from sklearn.naive_bayes import GaussianNB
from sklearn.neighbors import KNeighborsClassifier, KNeighborsRegressor
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import FunctionTransformer, StandardScaler
from sklearn.svm import SVC
from sklearn.tree import DecisionTreeClassifier
from spies import Fails, Gives, Noisy, Scribbles, Together, UnpicklableError, Weighted, Witness, with_row_ids
from xgboost import XGBClassifier

from stackkit import StackingModel, cross_fit
from stackkit._members.fitting import last_step
from stackkit.exceptions import (
    IgnoredWeightsWarning,
    LearnerDroppedWarning,
    LearnerFailedError,
    MissingClassWarning,
)
from stackkit.nn import BNMLPClassifier, BNMLPRegressor


@pytest.fixture(scope="module")
def binary():
    return make_classification(120, 6, random_state=0)


@pytest.fixture(scope="module")
def noise():
    rng = np.random.default_rng(0)
    return rng.normal(size=(600, 5)), rng.integers(0, 2, 600)


LEARNERS = [
    ("logistic", LogisticRegression()),
    ("knn", KNeighborsClassifier()),
    ("forest", RandomForestClassifier(5, random_state=0)),
]


# --- the classic procedure ----------------------------------------------------------------------------


def test_equals_a_loop_by_hand(binary):
    X, y = binary
    X_test = X[:30] + 0.1
    oof = cross_fit(LEARNERS, X, y, X_test=X_test, cv=StratifiedKFold(4))
    P, p = np.empty((120, 3)), np.zeros((30, 3))
    for column, (_, learner) in enumerate(LEARNERS):
        for train, test in StratifiedKFold(4).split(X, y):
            model = clone(learner).fit(X[train], y[train])
            P[test, column] = model.predict_proba(X[test])[:, 1]
            p[:, column] += model.predict_proba(X_test)[:, 1] / 4
    np.testing.assert_array_equal(oof.train, P)
    np.testing.assert_allclose(oof.test, p, rtol=1e-14)
    assert oof.columns == ["logistic", "knn", "forest"]
    assert oof.covered.all()
    assert {name: len(members) for name, members in oof.members.items()} == dict.fromkeys(oof.columns, 4)


def test_multi_class_has_a_column_a_class():
    X, y = load_iris(return_X_y=True, as_frame=True)
    labels = y.map(dict(enumerate(["setosa", "versicolor", "virginica"])))
    oof = cross_fit([("bayes", GaussianNB())], X, labels, cv=5)
    expected = cross_val_predict(GaussianNB(), X, labels, cv=5, method="predict_proba")
    frame = oof.to_frame()
    np.testing.assert_array_equal(frame, expected)
    assert list(frame) == ["bayes_setosa", "bayes_versicolor", "bayes_virginica"]
    assert frame.index.equals(X.index)
    assert oof.blocks["bayes"].labels == ("setosa", "versicolor", "virginica")


@pytest.mark.parametrize(
    ("learner", "method"),
    [
        (SVC(), "decision_function"),
        (RidgeClassifier(), "decision_function"),
        (LogisticRegression(), "predict_proba"),
        (LogisticRegression(), "predict"),
    ],
)
@pytest.mark.parametrize("n_classes", [2, 3])
def test_each_method_as_cross_val_predict_has_it(learner, method, n_classes):
    X, y = make_classification(150, 6, n_informative=4, n_classes=n_classes, random_state=1)
    oof = cross_fit([learner], X, y, stack_method=method, cv=3)
    expected = cross_val_predict(learner, X, y, cv=3, method=method)
    if method == "predict_proba" and n_classes == 2:
        expected = expected[:, 1]
    np.testing.assert_array_equal(oof.train, expected.reshape(len(X), -1))


def test_auto_takes_the_first_method_that_a_learner_has(binary):
    X, y = binary
    learners = [("p", GaussianNB()), ("d", RidgeClassifier()), ("r", LinearRegression())]
    oof = cross_fit(learners, X, y)
    assert [oof.blocks[name].method for name in "pdr"] == ["predict_proba", "decision_function", "predict"]
    by_dict = cross_fit(learners, X, y, stack_method={"p": "predict"})
    assert [by_dict.blocks[name].method for name in "pdr"] == ["predict", "decision_function", "predict"]


def test_predicted_classes_of_new_rows_are_voted_on():
    X, y = load_iris(return_X_y=True)
    oof = cross_fit([Perceptron(random_state=0)], X, y, X_test=X, cv=5, stack_method="predict")
    votes = np.stack([member.predict(X) for member in oof.members["perceptron"]])
    winners = [np.bincount(column, minlength=3).argmax() for column in votes.T]
    np.testing.assert_array_equal(oof.test[:, 0], winners)
    assert oof.train.shape == (150, 1)


def test_regression_and_several_outputs():
    X, y = load_diabetes(return_X_y=True)
    Y = np.column_stack([y, -2 * y])
    oof = cross_fit([("ridge", Ridge()), ("knn", KNeighborsRegressor())], X, Y, cv=3)
    np.testing.assert_allclose(oof.train[:, :2], cross_val_predict(Ridge(), X, Y, cv=3))
    assert oof.columns == ["ridge_0", "ridge_1", "knn_0", "knn_1"]


@pytest.mark.parametrize("learner", [RandomForestClassifier(5, random_state=0), KNeighborsClassifier()])
def test_multilabel_keeps_the_probability_of_each_label(learner):
    X, Y = make_multilabel_classification(90, n_classes=3, random_state=0)
    oof = cross_fit([learner], X, Y, cv=3)
    expected = np.empty(Y.shape)
    for train, test in KFold(3).split(X):
        fitted = clone(learner).fit(X[train], Y[train])
        expected[test] = np.column_stack([p[:, 1] for p in fitted.predict_proba(X[test])])
    np.testing.assert_array_equal(oof.train, expected)


# --- folds --------------------------------------------------------------------------------------------


def test_repeats_are_averaged(binary):
    X, y = binary
    cv = RepeatedStratifiedKFold(n_splits=3, n_repeats=4, random_state=0)
    oof = cross_fit([GaussianNB()], X, y, cv=cv)
    total = np.zeros(len(X))
    for train, test in cv.split(X, y):
        total[test] += GaussianNB().fit(X[train], y[train]).predict_proba(X[test])[:, 1]
    np.testing.assert_allclose(oof.train[:, 0], total / 4, rtol=1e-14)


def test_time_series_leaves_the_first_rows_uncovered(binary):
    X, y = binary
    oof = cross_fit([GaussianNB()], X, y, cv=TimeSeriesSplit(3))
    assert not oof.covered[:30].any()
    assert oof.covered[30:].all()
    assert np.isnan(oof.train[:30]).all()
    assert np.isfinite(oof.train[30:]).all()


@pytest.mark.parametrize(
    "cv",
    [
        3,
        KFold(3, shuffle=True),
        StratifiedKFold(3),
        RepeatedKFold(n_splits=3, n_repeats=2),
        ShuffleSplit(4, random_state=0),
        TimeSeriesSplit(3),
        PredefinedSplit(np.r_[np.zeros(20), np.ones(20), -np.ones(80)].astype(int)),
        [(np.arange(60), np.arange(60, 120)), (np.arange(60, 120), np.arange(60))],
    ],
)
def test_no_row_is_predicted_by_a_model_that_saw_it(cv, binary):
    X, y = with_row_ids(binary[0]), binary[1]
    oof = cross_fit([Witness()], X, y, cv=cv, random_state=0)
    assert (oof.train[oof.covered] == 0).all()
    # The witness can tell: on the rows of a fold's training part it says 1.
    assert oof.members["witness"][0].predict_proba(X[oof.folds.pairs[0][0]])[:, 1].all()


@pytest.mark.parametrize("cv", [GroupKFold(4), StratifiedGroupKFold(4)])
def test_groups_stay_together(cv, binary):
    X, y = binary
    groups = np.arange(120) // 6
    oof = cross_fit([GaussianNB()], X, y, cv=cv, groups=groups)
    for train, test in oof.folds.pairs:
        assert not set(groups[train]) & set(groups[test])


def test_leave_one_out_scores_are_there(binary):
    X, y = binary
    oof = cross_fit([GaussianNB()], X[:15], y[:15], cv=LeaveOneOut())
    assert len(oof.scores) == 15


# --- leaks --------------------------------------------------------------------------------------------


@pytest.mark.parametrize("learner", [KNeighborsClassifier(1), make_pipeline(StandardScaler(), KNeighborsClassifier(1))])
def test_a_memoriser_on_noise_knows_nothing(learner, noise):
    X, y = noise
    oof = cross_fit([learner], X, y, cv=5)
    assert 0.4 <= roc_auc_score(y, oof.train[:, 0]) <= 0.6


def test_what_users_own_is_not_written_to(binary):
    X, y = binary[0].copy(), binary[1].astype(float)
    learner, cv = Scribbles(), KFold(3, shuffle=True, random_state=np.random.RandomState(0))
    before = (X.copy(), y.copy(), cv.random_state.get_state()[1].copy())
    oof = cross_fit([("a", learner), ("b", learner)], X, y, X_test=X, cv=cv)
    np.testing.assert_array_equal(X, before[0])
    np.testing.assert_array_equal(y, before[1])
    np.testing.assert_array_equal(cv.random_state.get_state()[1], before[2])
    assert not hasattr(learner, "fitted_")
    np.testing.assert_allclose(oof.test[:, 1], X.sum(axis=1))


# --- determinism --------------------------------------------------------------------------------------


def _many_learners():
    return [
        ("logistic", LogisticRegression()),
        ("forest", RandomForestClassifier(10)),
        ("xgb", XGBClassifier(n_estimators=10)),
        ("together", Together()),
        ("knn", make_pipeline(StandardScaler(), KNeighborsClassifier())),
    ]


def _oof_bytes(X, y, **options):
    oof = cross_fit(_many_learners(), X, y, X_test=X[:50], cv=KFold(4, shuffle=True), random_state=7, **options)
    return oof.train.tobytes() + oof.test.tobytes()


def test_the_same_bits_for_any_n_jobs_and_backend():
    X, y = make_classification(400, 20, random_state=0)
    reference = _oof_bytes(X, y, n_jobs=1)
    assert _oof_bytes(X, y, n_jobs=2) == reference
    assert _oof_bytes(X, y, n_jobs=-1) == reference
    with joblib.parallel_config(backend="threading"):
        assert _oof_bytes(X, y, n_jobs=2) == reference
    # A frame crosses to worker processes by a way of its own.
    frame = pd.DataFrame(X)
    assert _oof_bytes(frame, y, n_jobs=2) == _oof_bytes(frame, y, n_jobs=1)


def test_a_learner_more_changes_nothing_for_the_others(binary):
    X, y = binary
    alone = cross_fit([("noisy", Noisy())], X, y, random_state=0)
    both = cross_fit([("knn", KNeighborsClassifier()), ("noisy", Noisy())], X, y, random_state=0)
    np.testing.assert_array_equal(both.train[:, 1:], alone.train)


def test_every_task_has_its_own_seed_and_a_given_one_stays(binary):
    X, y = binary
    oof = cross_fit([("open", Noisy()), ("given", Noisy(random_state=3))], X, y, cv=4, random_state=0)
    seeds = [member.random_state for member in oof.members["open"]]
    assert len(set(seeds)) == 4
    assert {member.random_state for member in oof.members["given"]} == {3}


@settings(max_examples=25, deadline=None)
@given(st.randoms(use_true_random=False))
def test_permuted_rows_permute_the_table(random):
    X, y = make_classification(40, 5, random_state=0)
    pairs = list(KFold(4).split(X))
    order = np.array(random.sample(range(40), 40))
    place = np.argsort(order)
    moved = [(place[train], place[test]) for train, test in pairs]
    straight = cross_fit([GaussianNB()], X, y, cv=pairs)
    permuted = cross_fit([GaussianNB()], X[order], y[order], cv=moved)
    np.testing.assert_allclose(permuted.train, straight.train[order], rtol=1e-9)


# --- classes missing from a fold ----------------------------------------------------------------------


@pytest.mark.parametrize("rare", ["a", "b", "c"])
def test_a_class_missing_from_a_fold_works_with_xgboost(rare):
    rng = np.random.default_rng(0)
    y = np.array(["a", "b", "c"])[rng.integers(0, 3, 60)]
    y[y == rare] = "b" if rare != "b" else "c"
    y[5] = rare  # only fold 0 tests it, so only fold 0 trains without it
    X = rng.normal(size=(60, 3))
    learners = [("xgb", XGBClassifier(n_estimators=3)), ("bayes", GaussianNB(var_smoothing=1)), ("svc", SVC())]
    with pytest.warns(MissingClassWarning, match=rf"fold 0 of \d+ lacks '{rare}' for 'xgb', 'bayes', 'svc'"):
        oof = cross_fit(learners, X, y, cv=KFold(5))
    column = "abc".index(rare)
    first = oof.train[:12]
    assert (first[:, [column, 3 + column]] == 0).all()
    np.testing.assert_allclose(oof.train[:, :3].sum(axis=1), 1, rtol=1e-6)
    assert (first[:, 6 + column] == first[:, 6:9].min(axis=1)).all()


@settings(max_examples=30, deadline=None)
@given(st.lists(st.integers(0, 3), min_size=24, max_size=24).filter(lambda labels: len(set(labels)) > 1))
def test_columns_follow_the_classes_whatever_the_folds_lack(labels):
    y = np.array(labels)
    X = np.eye(4)[y] + 0.01 * np.arange(24)[:, None]
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        oof = cross_fit([KNeighborsClassifier(1)], X, y, cv=KFold(3))
    classes = np.unique(y)
    full = oof.train if len(classes) > 2 else np.column_stack([1 - oof.train, oof.train])
    np.testing.assert_allclose(full.sum(axis=1), 1)
    for train, test in KFold(3).split(X):
        unseen = ~np.isin(classes, y[train])
        assert (full[np.ix_(test, np.flatnonzero(unseen))] == 0).all()


# --- failures -----------------------------------------------------------------------------------------


@pytest.mark.parametrize("n_jobs", [1, 2])
def test_a_failure_names_learner_fold_and_rows(binary, n_jobs):
    X, y = with_row_ids(binary[0]), binary[1]
    learners = [("good", GaussianNB()), ("bad", Fails(without_row=50))]
    with pytest.raises(
        LearnerFailedError, match=r"'bad' \(Fails\) failed in fold 1 of 3 \(80 training rows, 40 test rows\), in fit: "
    ) as caught:
        cross_fit(learners, X, y, cv=KFold(3), n_jobs=n_jobs)
    assert isinstance(caught.value.__cause__, RuntimeError)
    assert "on_error='drop'" in str(caught.value)


@pytest.mark.parametrize("n_jobs", [1, 2])
def test_drop_equals_the_stack_without_the_learner(binary, n_jobs):
    X, y = with_row_ids(binary[0]), binary[1]
    good = [("bayes", GaussianNB()), ("noisy", Noisy())]
    without = cross_fit(good, X, y, X_test=X, cv=KFold(3), random_state=0)
    with pytest.warns(LearnerDroppedWarning, match=r"'bad'.*in fold 1 of 3.*boom.*leaves the stack"):
        dropped = cross_fit(
            [good[0], ("bad", Fails(without_row=50)), good[1]],
            X,
            y,
            X_test=X,
            cv=KFold(3),
            random_state=0,
            n_jobs=n_jobs,
            on_error="drop",
        )
    np.testing.assert_array_equal(dropped.train, without.train)
    np.testing.assert_array_equal(dropped.test, without.test)
    assert dropped.columns == without.columns
    assert dropped.blocks == without.blocks
    row = dropped.failures.iloc[0]
    assert (row["learner"], row["fold"], row["stage"], row["error"]) == ("bad", 1, "fit", "RuntimeError: boom")
    assert "Traceback" in row["traceback"]


def test_an_error_that_does_not_pickle_is_reported_all_the_same(binary):
    X, y = with_row_ids(binary[0]), binary[1]
    bad = Fails(without_row=50, error=lambda text: UnpicklableError(text, "twice"))
    with pytest.raises(LearnerFailedError, match="UnpicklableError: boom twice"):
        cross_fit([bad], X, y, cv=KFold(3), n_jobs=2)


def test_when_all_fail_each_cause_is_told(binary):
    X, y = with_row_ids(binary[0]), binary[1]
    learners = [("one", Fails(without_row=0)), ("two", Fails(without_row=50))]
    with pytest.raises(LearnerFailedError, match=r"No learner is left.*'one'.*'two'"):
        cross_fit(learners, X, y, cv=KFold(3), on_error="drop")


@pytest.mark.parametrize(
    ("row", "message"),
    [
        ((np.nan, 1), "predict_proba gave NaN or infinity in 40 of 40 rows"),
        ((-0.5, 1.5), r"outside \[0, 1\]: -0.5 to 1.5"),
        ((0.7, 0.7), "do not sum to 1: off by up to 0.4"),
        ((1.0,), r"shape \(40, 2\); got the shape \(40, 1\)"),
    ],
)
def test_unusable_probabilities_are_blamed_on_their_learner(binary, row, message):
    X, y = binary
    with pytest.raises(LearnerFailedError, match=f"'bad'.*in predict_proba: .*{message}"):
        cross_fit([("good", GaussianNB()), ("bad", Gives(row))], X, y, cv=3)


def test_an_unknown_policy_is_refused(binary):
    with pytest.raises(ValueError, match=r"'on_error' parameter .* 'raise', 'drop'; got 'dorp'. Did you mean 'drop'"):
        cross_fit([GaussianNB()], *binary, on_error="dorp")


# --- weights ------------------------------------------------------------------------------------------


def test_weights_are_cut_to_the_training_rows():
    y = np.arange(12.0)
    weights = np.arange(12.0) + 1
    oof = cross_fit([Weighted()], np.zeros((12, 1)), y, cv=KFold(3), sample_weight=weights)
    for (train, test), member in zip(KFold(3).split(y), oof.members["weighted"], strict=True):
        np.testing.assert_allclose(oof.train[test, 0], np.average(y[train], weights=weights[train]))
        np.testing.assert_array_equal(member.weights_, weights[train])


def test_weights_reach_the_last_step_of_a_pipeline(binary):
    X, y = binary
    weights = np.random.default_rng(0).uniform(size=120)
    oof = cross_fit([make_pipeline(StandardScaler(), LogisticRegression())], X, y, cv=3, sample_weight=weights)
    train, test = oof.folds.pairs[0]
    scaler = StandardScaler().fit(X[train])
    by_hand = LogisticRegression().fit(scaler.transform(X[train]), y[train], sample_weight=weights[train])
    np.testing.assert_allclose(oof.train[test, 0], by_hand.predict_proba(scaler.transform(X[test]))[:, 1])


def test_learners_without_weights_are_named(binary):
    X, y = binary
    with pytest.warns(IgnoredWeightsWarning, match=r"\['knn'\] take no sample_weight"):
        cross_fit([("knn", KNeighborsClassifier()), ("bayes", GaussianNB())], X, y, sample_weight=np.ones(120))


def test_x_test_must_look_like_x(binary):
    X, y = binary
    frame = pd.DataFrame(X).rename(columns="f{}".format)
    with pytest.raises(ValueError, match=r"X_test must have the columns of X.* got \['g'\] where X has \['f1'\]"):
        cross_fit([GaussianNB()], frame, y, X_test=frame.rename(columns={"f1": "g"}))
    with pytest.raises(ValueError, match=r"got \(5,\) where X has \(6,\)"):
        cross_fit([GaussianNB()], X, y, X_test=X[:, :5])
    turned = cross_fit([GaussianNB()], frame, y, X_test=frame[frame.columns[::-1]]).test
    assert_array_equal(turned, cross_fit([GaussianNB()], frame, y, X_test=frame).test)


# --- what else is in the table ------------------------------------------------------------------------


def test_scores_are_scikit_learns_on_each_fold(binary):
    X, y = binary
    weights = np.random.default_rng(0).uniform(size=120)
    oof = cross_fit([("bayes", GaussianNB()), ("ridge", RidgeClassifier())], X, y, cv=3, sample_weight=weights)
    for fold, (_, test) in enumerate(oof.folds.pairs):
        row = oof.scores.loc[("bayes", fold)]
        options = {"sample_weight": weights[test]}
        assert row["log_loss"] == pytest.approx(log_loss(y[test], oof.train[test, 0], **options))
        assert row["accuracy"] == pytest.approx(accuracy_score(y[test], oof.train[test, 0] > 0.5, **options))
        ridge = oof.scores.loc[("ridge", fold)]
        assert np.isnan(ridge["log_loss"])
        assert ridge["accuracy"] == pytest.approx(accuracy_score(y[test], oof.train[test, 1] > 0, **options))
    assert (oof.scores[["fit_seconds", "predict_seconds"]] > 0).all(axis=None)


def test_regression_scores():
    X, y = load_diabetes(return_X_y=True)
    oof = cross_fit([("forest", RandomForestRegressor(5, random_state=0))], X, y, cv=3)
    test = oof.folds.pairs[2][1]
    row = oof.scores.loc[("forest", 2)]
    assert row["rmse"] == pytest.approx(root_mean_squared_error(y[test], oof.train[test, 0]))
    assert row["r2"] == pytest.approx(r2_score(y[test], oof.train[test, 0]))


def test_fit_folds_trains_all_folds_in_one_call_and_changes_nothing(binary):
    X, y = binary
    oof = cross_fit([Together()], X, y, cv=4, X_test=X[:10])
    assert all(member.together_ for member in oof.members["together"])
    one_by_one = [Together().fit(X[train], y[train]) for train, _ in oof.folds.pairs]
    expected = np.mean([model.predict_proba(X[:10])[:, 1] for model in one_by_one], axis=0)
    np.testing.assert_allclose(oof.test[:, 0], expected)
    assert len(oof.scores) == 4


def test_fit_folds_inside_a_pipeline_prepares_each_fold_by_itself(binary):
    X, y = with_row_ids(binary[0]), binary[1]
    pipeline = make_pipeline(StandardScaler(), Together())
    oof = cross_fit([("together", pipeline)], X, y, cv=4)
    for (train, test), member in zip(oof.folds.pairs, oof.members["together"], strict=True):
        assert member[-1].together_
        np.testing.assert_array_equal(member[0].mean_, StandardScaler().fit(X[train]).mean_)
        by_hand = clone(pipeline).fit(X[train], y[train])
        np.testing.assert_allclose(oof.train[test, 0], by_hand.predict_proba(X[test])[:, 1])


@pytest.mark.parametrize("wrap", [lambda learner: learner, lambda learner: make_pipeline(StandardScaler(), learner)])
def test_fit_folds_gets_the_weights_of_its_rows(binary, wrap):
    X, y = binary
    weights = np.random.default_rng(0).uniform(size=120)
    oof = cross_fit([("together", wrap(Together()))], X, y, cv=4, sample_weight=weights)
    for (train, _), member in zip(oof.folds.pairs, oof.members["together"], strict=True):
        np.testing.assert_array_equal(last_step(member).weights_, weights[train])


@pytest.mark.parametrize("asks", ["both", "scaler", "net", "neither"])
def test_fit_folds_inside_a_pipeline_gets_what_its_steps_request(binary, asks):
    """The scaler got no weights, and the last step got those that it had refused."""
    X, y = binary
    weights = np.random.default_rng(0).uniform(size=120)
    with config_context(enable_metadata_routing=True):
        scaler = StandardScaler().set_fit_request(sample_weight=asks in ("both", "scaler"))
        pipeline = make_pipeline(scaler, Together().set_fit_request(sample_weight=asks in ("both", "net")))
        stack = StackingModel([("it", pipeline)], LogisticRegression().set_fit_request(sample_weight=True), cv=4)
        oof = stack.fit(X, y, sample_weight=weights).oof_
        assert_array_equal(cross_fit([("it", pipeline)], X, y, cv=4, sample_weight=weights).train, oof.train)
        for (train, test), member in zip(oof.folds.pairs, oof.members["it"], strict=True):
            assert member[-1].together_
            assert (member[-1].weights_ is not None) == (asks in ("both", "net"))
            asked = {} if asks == "neither" else {"sample_weight": weights[train]}
            by_hand = clone(pipeline).fit(X[train], y[train], **asked)
            np.testing.assert_allclose(oof.train[test, 0], by_hand.predict_proba(X[test])[:, 1])


def test_weights_under_routing_reach_those_who_request_them(binary):
    X, y = binary
    weights = np.random.default_rng(0).uniform(size=120)
    with config_context(enable_metadata_routing=True):
        asks, refuses = (Together().set_fit_request(sample_weight=asked) for asked in (True, False))
        renamed = Together().set_fit_request(sample_weight="other")
        learners = [("asks", asks), ("refuses", refuses), ("renamed", renamed)]
        members = cross_fit(learners, X, y, cv=2, sample_weight=weights).members
        assert [members[name][0].weights_ is not None for name, _ in learners] == [True, False, False]
        with pytest.raises(UnsetMetadataPassedError, match="sample_weight"):
            cross_fit([Together()], X, y, cv=2, sample_weight=weights)


def test_a_frozen_net_is_not_trained_again(binary):
    """It hands on ``fit_folds`` of the net inside."""
    X, y = binary
    net = BNMLPClassifier((8,), max_epochs=3, random_state=0).fit(X, y)
    line = BNMLPRegressor((8,), max_epochs=3, random_state=0).fit(X, y)
    for frozen in (FrozenEstimator(net), make_pipeline(FrozenEstimator(net))):
        stack = StackingModel([("net", frozen)], LogisticRegression(), cv=3, refit=True).fit(X, y)
        np.testing.assert_allclose(stack.oof_.train[:, 0], net.predict_proba(X)[:, 1], atol=1e-6)
        np.testing.assert_allclose(stack.transform(X)[:, 0], net.predict_proba(X)[:, 1], atol=1e-6)
    oof = cross_fit([("line", FrozenEstimator(line))], X, y.astype(float), cv=3)
    np.testing.assert_allclose(oof.train[:, 0], line.predict(X), atol=1e-6)


def test_a_net_with_a_fit_of_its_own_is_fitted_by_that(binary):
    class Flipped(BNMLPClassifier):
        def fit(self, X, y, sample_weight=None, groups=None):
            return super().fit(X, 1 - y, sample_weight, groups)

    X, y = binary
    oof = cross_fit([("net", Flipped((8,), max_epochs=3, random_state=0))], X, y, cv=3)
    for (train, test), member in zip(oof.folds.pairs, oof.members["net"], strict=True):
        by_hand = Flipped((8,), max_epochs=3, random_state=member.random_state).fit(X[train], y[train])
        np.testing.assert_allclose(oof.train[test, 0], by_hand.predict_proba(X[test])[:, 1], atol=1e-6)


def test_a_prefit_learner_is_one_member_and_keeps_its_labels(binary):
    X, y = binary
    labels = np.array(["no", "yes"])[y]
    fitted = LogisticRegression().fit(X[:60], labels[:60])
    oof = cross_fit([("frozen", FrozenEstimator(fitted))], X[60:], labels[60:], cv=3)
    np.testing.assert_array_equal(oof.train[:, 0], fitted.predict_proba(X[60:])[:, 1])
    assert len(oof.members["frozen"]) == 1


def test_images_reach_the_learners_as_they_are():
    class Brightness(DecisionTreeClassifier):
        def fit(self, X, y):
            assert X.shape[1:] == (4, 4)
            return super().fit(X.mean(axis=(1, 2))[:, None], y)

        def predict_proba(self, X):
            return super().predict_proba(X.mean(axis=(1, 2))[:, None])

    X = np.random.default_rng(0).integers(0, 255, (40, 4, 4)).astype(np.uint8)
    oof = cross_fit([Brightness()], X, (X.mean(axis=(1, 2)) > 127).astype(int), cv=4)
    assert oof.scores["accuracy"].mean() > 0.8


class SplitsOnceMore(LogisticRegression):
    """Like a learner that sets rows aside to stop by: it wants to know which belong together."""

    def fit(self, X, y, groups=None):
        self.seen_ = np.column_stack([X[:, 0], groups])
        return super().fit(X, y)


@pytest.mark.parametrize(
    "wrap", [lambda learner: learner, lambda learner: make_pipeline(FunctionTransformer(), learner)]
)
def test_groups_reach_the_learners_that_ask_for_them(binary, wrap):
    X, y = binary
    groups = np.arange(len(y)) // 4
    learners = [("asks", wrap(SplitsOnceMore())), ("does_not", LogisticRegression())]
    oof = cross_fit(learners, X, y, cv=GroupKFold(3), groups=groups)
    model = StackingModel(learners, cv=GroupKFold(3)).fit(X, y, groups=groups)
    for member, (train, _) in zip([*oof.members["asks"], *model.members_["asks"]], oof.folds.pairs * 2, strict=True):
        seen = (member[-1] if hasattr(member, "steps") else member).seen_
        np.testing.assert_array_equal(seen, np.column_stack([X[train, 0], groups[train]]))
