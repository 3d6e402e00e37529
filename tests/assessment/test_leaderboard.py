"""The leaderboard: what each learner is worth, by honest numbers alone."""

import pickle

import numpy as np
import pandas as pd
import pytest
from sklearn import config_context
from sklearn.base import clone
from sklearn.datasets import make_classification, make_multilabel_classification, make_regression
from sklearn.ensemble import RandomForestClassifier
from sklearn.linear_model import LogisticRegression, Ridge, RidgeClassifier
from sklearn.metrics import log_loss
from sklearn.model_selection import KFold, RepeatedStratifiedKFold, ShuffleSplit, StratifiedKFold, TimeSeriesSplit
from sklearn.naive_bayes import GaussianNB
from sklearn.neighbors import KNeighborsClassifier, KNeighborsRegressor
from sklearn.tree import DecisionTreeClassifier, DecisionTreeRegressor
from spies import Fails, Troubled, with_row_ids

from stackkit import (
    ConvexClassifier,
    EnsembleSelectionClassifier,
    LogPoolClassifier,
    RidgePoolRegressor,
    StackingModel,
    cross_fit,
    default_learners,
)
from stackkit._assessment.intervals import corrected_interval
from stackkit._assessment.leaderboard import score_board
from stackkit._assessment.marginal import marginal_values
from stackkit._data.folds import Folds
from stackkit.evaluation import nested_scores
from stackkit.exceptions import LearnerDroppedWarning, MissingScoreWarning

LEARNERS = [
    ("tree", DecisionTreeClassifier(max_depth=3, random_state=0)),
    ("logistic", LogisticRegression(max_iter=1000)),
    ("knn", KNeighborsClassifier()),
]
SCORES = [f"{metric}{end}" for metric in ("log_loss", "accuracy") for end in ("", "_std", "_low", "_high")]
SECONDS = ["fit_seconds", "predict_seconds"]


@pytest.fixture(scope="module")
def binary():
    return make_classification(150, 6, n_informative=4, flip_y=0.1, random_state=0)


@pytest.fixture(scope="module")
def fitted(binary):
    return StackingModel(LEARNERS, random_state=0, cv=4).fit(*binary)


# --- columns --------------------------------------------------------------------------------------------


def test_columns_and_order(fitted, binary):
    board = fitted.leaderboard(full=True)
    assert list(board.columns) == [*SCORES, *SECONDS, "weight", "marginal", "level", "status"]
    assert board.index.name == "learner"
    assert board.index[0] == "stack"
    assert sorted(board.index[1:]) == ["knn", "logistic", "tree"]
    assert board["log_loss"][1:].is_monotonic_increasing
    assert (board["status"] == "ok").all()
    without = StackingModel(LEARNERS, LogisticRegression(), cv=4).fit(*binary).leaderboard(full=True)
    assert list(without.columns) == [*SCORES, *SECONDS, "marginal", "level", "status"]


def test_columns_of_numbers():
    X, y = make_regression(120, 5, noise=20, random_state=0)
    model = StackingModel([Ridge(), KNeighborsRegressor()], cv=4).fit(X, y)
    assert isinstance(model.final_estimator_, RidgePoolRegressor)
    board = model.leaderboard(full=True)
    metrics = [f"{metric}{end}" for metric in ("rmse", "r2") for end in ("", "_std", "_low", "_high")]
    assert list(board.columns) == [*metrics, *SECONDS, "weight", "marginal", "level", "status"]
    assert board["rmse"][1:].is_monotonic_increasing
    assert (board["r2_high"] <= 1).all()
    assert board["marginal"]["ridge"] > 0


def test_scores_are_means_over_folds_with_their_intervals(fitted):
    board = fitted.leaderboard(full=True)
    scores = fitted.oof_.scores
    for name in fitted.oof_.blocks:
        own = scores.loc[name]
        for metric, (lowest, highest) in {"log_loss": (0, np.inf), "accuracy": (0, 1)}.items():
            interval = corrected_interval(own[metric].to_numpy(), fitted.oof_.folds)
            assert board.loc[name, metric] == pytest.approx(own[metric].mean())
            assert board.loc[name, f"{metric}_std"] == pytest.approx(own[metric].std())
            assert board.loc[name, f"{metric}_low"] == pytest.approx(max(interval.low, lowest))
            assert board.loc[name, f"{metric}_high"] == pytest.approx(min(interval.high, highest))
        for seconds in SECONDS:
            assert board.loc[name, seconds] == pytest.approx(own[seconds].sum())


def test_weights_stand_beside_their_learners(fitted):
    weights = fitted.leaderboard()["weight"].drop("stack")
    assert weights.to_dict() == dict(zip(fitted.oof_.blocks, fitted.final_estimator_.weights_, strict=True))
    assert weights.max() > weights.min()


def test_intervals_end_where_scores_do():
    X, y = make_classification(60, 4, class_sep=3, random_state=0)
    board = StackingModel(LEARNERS, cv=3).fit(X, y).leaderboard(full=True)
    for metric in ("log_loss", "accuracy"):
        assert (board[f"{metric}_low"] <= board[metric]).all()
        assert (board[metric] <= board[f"{metric}_high"]).all()
        assert (board[f"{metric}_low"] >= 0).all()
    assert (board["accuracy_high"] <= 1).all()


@pytest.mark.parametrize(
    "cv",
    [
        RepeatedStratifiedKFold(n_splits=3, n_repeats=2, random_state=0),
        TimeSeriesSplit(3),
        ShuffleSplit(4, random_state=0),
        ShuffleSplit(1, random_state=0),
    ],
    ids=["repeated", "in time", "drawn", "one fold"],
)
def test_folds_of_any_kind(binary, cv):
    model = StackingModel(LEARNERS, cv=cv, random_state=0).fit(*binary)
    board = model.leaderboard(full=True)
    stack, board = board.iloc[0], board[1:]
    assert board[["log_loss", "accuracy"]].notna().all(axis=None)
    assert np.isnan(stack["log_loss"]) == (cv.get_n_splits() == 1)
    assert (stack["status"] == "no score: too few folds") == (cv.get_n_splits() == 1)
    # The rows that one fold predicts are not among those that it trains on: nothing to cross-fit a final estimator on.
    assert board["marginal"].notna().all() == (cv.get_n_splits() > 1)
    assert board["log_loss_low"].notna().all() == (len(model.oof_.folds) > 1)


def test_learners_without_probabilities_come_last(binary):
    learners = [("ridge", RidgeClassifier()), *LEARNERS]
    board = StackingModel(learners, cv=3, random_state=0).fit(*binary).leaderboard(full=True)
    assert board.index[-1] == "ridge"
    assert board.loc["ridge", ["log_loss", "log_loss_low", "log_loss_high"]].isna().all()
    assert board.loc["ridge", ["accuracy", "accuracy_low", "accuracy_high"]].notna().all()


def test_several_labels_a_row():
    X, y = make_multilabel_classification(120, 6, n_classes=3, random_state=0)
    board = StackingModel([KNeighborsClassifier(), RandomForestClassifier(5)], cv=3, random_state=0).fit(X, y)
    board = board.leaderboard(marginal=True)
    assert board["log_loss"].notna().all()
    assert board["marginal"][1:].notna().all()


def test_the_board_of_a_table_alone(binary):
    oof = cross_fit(LEARNERS, *binary, cv=4)
    board = score_board(oof)
    assert list(board.columns) == [*SCORES, *SECONDS]
    model = StackingModel(LEARNERS, cv=4).fit(*binary)
    pd.testing.assert_frame_equal(board[SCORES], model.leaderboard(full=True)[SCORES][1:])


def test_it_outlives_a_pickle_and_changes_nothing(fitted):
    before = pickle.dumps(fitted.final_estimator_)
    board = fitted.leaderboard()
    pd.testing.assert_frame_equal(pickle.loads(pickle.dumps(fitted)).leaderboard(), board)
    pd.testing.assert_frame_equal(fitted.leaderboard(), board)
    assert pickle.dumps(fitted.final_estimator_) == before


# --- the stack's own row --------------------------------------------------------------------------------


def _by_hand(final, P, y, folds):
    """The final estimator, fitted to the table's rows that a fold trains on, scored on those that it tests."""
    losses, right = [], []
    for train, test in folds:
        fitted = clone(final).fit(P[train], y[train])
        losses.append(log_loss(y[test], fitted.predict_proba(P[test])))
        right.append(fitted.score(P[test], y[test]))
    return pd.DataFrame({"log_loss": losses, "accuracy": right})


@pytest.mark.parametrize("final", [LogPoolClassifier(), ConvexClassifier(), LogisticRegression()])
def test_the_stack_is_scored_by_rows_that_its_final_estimator_did_not_see(binary, final):
    cv = StratifiedKFold(4)
    model = StackingModel(LEARNERS, final, random_state=0, cv=cv).fit(*binary)
    board = model.leaderboard(full=True)
    expected = _by_hand(final, model.oof_.train, binary[1], list(cv.split(*binary)))
    for metric in ("log_loss", "accuracy"):
        interval = corrected_interval(expected[metric].to_numpy(), model.oof_.folds)
        found = board.loc["stack", [metric, f"{metric}_std", f"{metric}_low", f"{metric}_high"]].to_numpy(dtype=float)
        wanted = [interval.mean, expected[metric].std(), max(interval.low, 0), interval.high]
        np.testing.assert_allclose(found[:3], wanted[:3], rtol=1e-6)
    assert board.loc["stack", "status"] == "ok"
    assert board.loc["stack", SECONDS].tolist() == pytest.approx(board[SECONDS][1:].sum().tolist())
    in_sample = log_loss(binary[1], model.final_estimator_.predict_proba(model.oof_.train))
    assert board.loc["stack", "log_loss"] > in_sample


def test_the_stack_stands_on_top_whatever_it_scores():
    X, y = np.random.default_rng(0).normal(size=(120, 3)), np.tile([0, 1], 60)
    model = StackingModel(LEARNERS, KNeighborsClassifier(1), cv=3, random_state=0).fit(X, y)
    board = model.leaderboard(marginal=True)
    assert board.index[0] == "stack"
    assert board.loc["stack", "log_loss"] > board["log_loss"][1:].max()


@pytest.mark.parametrize("marginal", ["auto", True, False])
@pytest.mark.parametrize(
    ("final", "options", "status"),
    [
        (RandomForestClassifier(5, random_state=0), {}, "no score: RandomForestClassifier is slow"),
        (StackingModel([GaussianNB()]), {}, "no score: StackingModel is slow"),
        (LogisticRegression(max_iter=1000), {"passthrough": True}, "no score: passthrough"),
        (LogisticRegression(max_iter=1000), {"passthrough": [0]}, "no score: passthrough"),
        (None, {"cv": ShuffleSplit(1, random_state=0)}, "no score: too few folds"),
    ],
)
def test_where_the_stack_has_no_score_the_status_says_why(binary, final, options, status, marginal):
    model = StackingModel(LEARNERS, final, **{"cv": 3, "random_state": 0} | options).fit(*binary)
    board = model.leaderboard(marginal=marginal, full=True)
    forced = marginal is True and status.endswith("slow")
    assert board.loc["stack", "status"] == ("ok" if forced else status)
    assert board.loc["stack", SCORES].isna().all() != forced
    assert board.loc["stack", SECONDS].notna().all()
    assert model.leaderboard(marginal=marginal).loc["stack"].get("status", "ok") == board.loc["stack", "status"]


class Refuses(LogisticRegression):
    """Fits all rows, and no fewer."""

    def fit(self, X, y):
        if len(X) < 150:
            raise RuntimeError("too few for me")
        return super().fit(X, y)


def test_a_final_estimator_that_refuses_a_part_costs_its_score_alone(binary):
    board = StackingModel(LEARNERS, Refuses(), cv=3).fit(*binary).leaderboard(full=True)
    assert board.loc["stack", "status"] == "no score: RuntimeError: too few for me"
    assert board["log_loss"][1:].notna().all()


def test_a_stack_that_is_scored_on_fewer_rows_says_so(binary):
    """In a time series the table is empty before the second fold."""
    board = StackingModel(LEARNERS, cv=TimeSeriesSplit(3), random_state=0).fit(*binary).leaderboard()
    assert board.loc["stack", "status"] == "scored on 74 of 111 rows"
    assert board.loc["stack", "log_loss"] > 0


def test_a_learner_called_stack_stays_apart(binary):
    model = StackingModel([("stack", GaussianNB()), *LEARNERS], cv=3, random_state=0).fit(*binary)
    board = model.leaderboard(full=True)
    assert board.index[0] == "the stack"
    assert board.index.is_unique
    assert board.loc["stack", "log_loss"] == pytest.approx(model.oof_.scores.loc["stack", "log_loss"].mean())


# --- what is shown --------------------------------------------------------------------------------------


def test_the_main_columns_are_some_of_all(fitted):
    board, full = fitted.leaderboard(), fitted.leaderboard(full=True)
    assert list(board.columns) == ["log_loss", "accuracy", "weight", "marginal", "fit_seconds"]
    pd.testing.assert_frame_equal(board, full[board.columns])


@pytest.mark.parametrize("nested", [False, True])
def test_it_fits_a_page(binary, nested):
    """pandas cuts columns out of a table of more than 80 characters, where it is no terminal."""
    names = [name for name, _ in default_learners("classification", preset="best") if len(name) < 16]
    model = StackingModel([(n, KNeighborsClassifier(k)) for k, n in enumerate(names, 3)], cv=3).fit(*binary)
    found = nested_scores(model, *binary, cv=2) if nested else None
    assert max(map(len, model.leaderboard(nested=found).to_string().split("\n"))) <= 80


def test_it_says_what_its_columns_mean(fitted, binary):
    board = fitted.leaderboard()
    legend = " ".join(board.attrs["legend"])
    assert board.attrs["greater_is_better"] == {"log_loss": False, "accuracy": True}
    assert "log_loss: lower is better; accuracy: higher is better." in legend
    assert "Slightly optimistic" in legend
    assert f"The weights sum to {fitted.final_estimator_.weights_.sum():.2f}: 1 would be an average" in legend
    assert "marginal: by how much the stack's log_loss gets worse without the learner." in legend
    assert "outer" not in legend
    assert "outer: the nested score" in " ".join(
        fitted.leaderboard(nested=nested_scores(fitted, *binary, cv=2)).attrs["legend"]
    )
    margins = StackingModel(LEARNERS, RidgeClassifier(), cv=3, passthrough=True).fit(*binary).leaderboard()
    assert [line.split(":")[0] for line in margins.attrs["legend"]] == ["log_loss"]
    shares = StackingModel(LEARNERS, ConvexClassifier(), cv=3).fit(*binary).leaderboard()
    assert "The weights sum to 1." in " ".join(shares.attrs["legend"])
    of_accuracy = StackingModel(LEARNERS, RidgeClassifier(), cv=3).fit(*binary).leaderboard()
    assert "the stack's accuracy gets worse" in " ".join(of_accuracy.attrs["legend"])


def test_it_says_what_a_weight_below_zero_means():
    X, y = make_regression(120, 5, noise=20, random_state=0)
    model = StackingModel([Ridge(), KNeighborsRegressor()], RidgePoolRegressor(1e-4), cv=4).fit(X, y)
    for weights, told in (([1.5, -0.3], True), ([0.8, 0.4], False)):
        model.final_estimator_.weights_ = np.array(weights)
        legend = " ".join(model.leaderboard().attrs["legend"])
        assert ("below 0: it takes out an error that others share with it" in legend) is told
        assert "prediction is multiplied by" in legend
        assert "The weights sum to 1.20: 1 would be an average, above 1 the pool stretches it" in legend


# --- marginal values ------------------------------------------------------------------------------------


def test_marginal_is_what_the_table_alone_says(fitted):
    expected = marginal_values(fitted.final_estimator_, fitted.oof_)
    board = fitted.leaderboard()
    assert board["marginal"].drop("stack").to_dict() == pytest.approx(expected.to_dict())


def test_a_learner_that_is_there_twice_is_not_missed(binary):
    learners = [*LEARNERS, ("logistic-again", LogisticRegression(max_iter=1000))]
    board = StackingModel(learners, cv=4, random_state=0).fit(*binary).leaderboard()
    assert board.loc[["logistic", "logistic-again"], "marginal"].abs().max() < 1e-4
    once = StackingModel(LEARNERS, cv=4, random_state=0).fit(*binary).leaderboard()
    assert abs(once.loc["logistic", "marginal"]) > 1e-3


def test_marginal_where_it_is_quick_or_asked_for(binary):
    slow = StackingModel(LEARNERS, RandomForestClassifier(5, random_state=0), cv=3).fit(*binary)
    assert slow.leaderboard()["marginal"].isna().all()
    assert slow.leaderboard(marginal=True)["marginal"].drop("stack").notna().all()
    for final in (None, EnsembleSelectionClassifier(), LogisticRegression(), RidgeClassifier()):
        quick = StackingModel(LEARNERS, final, cv=3).fit(*binary)
        assert quick.leaderboard()["marginal"].drop("stack").notna().all()
        assert quick.leaderboard(marginal=False)["marginal"].isna().all()


@pytest.mark.parametrize("passthrough", [True, [0]])
def test_with_raw_columns_the_table_does_not_tell(binary, passthrough):
    model = StackingModel(LEARNERS, LogisticRegression(max_iter=1000), cv=3, passthrough=passthrough).fit(*binary)
    for marginal in ("auto", True):
        assert model.leaderboard(marginal=marginal)["marginal"].isna().all()


@pytest.mark.parametrize("marginal", ["yes", None, 3])
def test_marginal_is_one_of_three(fitted, marginal):
    message = f"'marginal' parameter of leaderboard must be one of 'auto', True, False; got {marginal!r}"
    with pytest.raises(ValueError, match=message):
        fitted.leaderboard(marginal=marginal)


def test_the_global_output_format_does_not_matter(fitted):
    expected = fitted.leaderboard()
    with config_context(transform_output="pandas"):
        pd.testing.assert_frame_equal(fitted.leaderboard(), expected)


# --- outer scores ---------------------------------------------------------------------------------------


def test_outer_scores_stand_beside_the_inner_ones(fitted, binary):
    nested = nested_scores(fitted, *binary, cv=3)
    board = fitted.leaderboard(nested=nested, full=True)
    assert list(board.columns[-5:]) == ["outer", "outer_low", "outer_high", "level", "status"]
    for name in board.index:
        outer = board.loc[name, ["outer", "outer_low", "outer_high"]].tolist()
        assert outer == nested.table.loc[name, ["score", "low", "high"]].tolist()
    pd.testing.assert_frame_equal(board[SCORES], fitted.leaderboard(full=True)[SCORES])
    main = ["log_loss", "outer", "outer_low", "outer_high", "weight", "marginal"]
    pd.testing.assert_frame_equal(fitted.leaderboard(nested=nested), board[main])


def test_outer_scores_of_other_learners_are_unknown(binary, fitted):
    nested = nested_scores(StackingModel(LEARNERS[:2], cv=3, random_state=0), *binary, cv=3)
    board = fitted.leaderboard(nested=nested)
    assert board["outer"].isna().to_dict() == {name: name == "knn" for name in board.index}


@pytest.mark.parametrize("nested", [3, "nested", True])
def test_what_did_not_come_from_nested_scores_is_refused(fitted, nested):
    with pytest.raises(TypeError, match=f"'nested' parameter of leaderboard must be .*; got {nested!r}"):
        fitted.leaderboard(nested=nested)


# --- failures -------------------------------------------------------------------------------------------


@pytest.mark.parametrize("nested", [False, True])
def test_learners_that_failed_stand_at_the_end_with_the_reason(binary, nested):
    X, y = binary
    X = with_row_ids(X)
    learners = [("bad", Fails(without_row=0)), *LEARNERS]
    model = StackingModel(learners, cv=3, random_state=0, on_error="drop")
    with pytest.warns(LearnerDroppedWarning):
        model.fit(X, y)
    outer = nested_scores(StackingModel(LEARNERS, cv=3, random_state=0), X, y, cv=3) if nested else None
    board = model.leaderboard(nested=outer, full=True)
    assert board.index[-1] == "bad"
    assert board.index.name == "learner"
    assert board.loc["bad", "status"] == "failed in fold 0, fit: RuntimeError: boom"
    assert board.loc["bad"].drop(["level", "status"]).isna().all()
    assert (board["status"][:-1] == "ok").all()
    assert set(board.drop(columns=["level", "status"]).dtypes) == {np.dtype(float)}
    assert board.drop("bad").drop(columns=["level", "status"])[1:].notna().all(axis=None)
    assert list(model.leaderboard(nested=outer)["status"]) == list(board["status"])  # where there is something to tell


def test_learners_that_came_too_late_have_that_status(binary):
    X, y = binary
    learners = [("slow", Troubled("slow", seconds=0.5)), ("bayes", GaussianNB())]
    with pytest.warns(LearnerDroppedWarning):
        model = StackingModel(learners, cv=3, time_limit=0.8).fit(with_row_ids(X), y)
    assert "time_limit" in model.leaderboard().loc["slow", "status"]


def test_a_refit_that_failed_is_not_called_a_fold(binary):
    class FailsOnAll(GaussianNB):
        def fit(self, X, y):
            if len(X) == 150:
                raise RuntimeError("too many")
            return super().fit(X, y)

    model = StackingModel([("bad", FailsOnAll()), *LEARNERS], LogisticRegression(), cv=3, refit=True, on_error="drop")
    with pytest.warns(LearnerDroppedWarning):
        model.fit(*binary)
    status = model.leaderboard().loc["bad", "status"]
    assert status.startswith("failed")
    assert "-1" not in status
    assert status.endswith("fit: RuntimeError: too many")


# --- nothing in-sample ----------------------------------------------------------------------------------


def test_a_memoriser_shows_no_skill_on_noise():
    rng = np.random.default_rng(0)
    X, y = rng.normal(size=(600, 4)), rng.integers(0, 2, 600)
    learners = [("bayes", GaussianNB()), ("knn", KNeighborsClassifier(1)), ("logistic", LogisticRegression())]
    model = StackingModel(learners, KNeighborsClassifier(1), cv=StratifiedKFold(5), random_state=0).fit(X, y)
    assert model.final_estimator_.score(model.oof_.train, y) == 1
    nested = nested_scores(model, X, y, cv=5, scoring="accuracy")
    board = model.leaderboard(marginal=True, nested=nested, full=True)
    assert board["accuracy"].between(0.4, 0.6).all()
    assert board.loc["stack", "status"] == "ok"
    assert board["outer"].between(0.4, 0.6).all()
    # In-sample the loss would be 0 with and without any learner; out-of-fold leaving one changes it, at random.
    assert board["marginal"].abs().max() < 3


@pytest.mark.parametrize("learners", [[("line", Ridge()), ("tree", DecisionTreeRegressor(max_depth=3))], LEARNERS])
def test_a_fold_whose_rows_all_weigh_zero_has_no_score(learners, binary):
    """The fit ended with a bare ZeroDivisionError, when all learners were fitted."""
    X, y = binary
    weights = np.ones(len(y))
    weights[next(KFold(5).split(X))[1]] = 0
    model = StackingModel(learners, cv=KFold(5), random_state=0)
    with pytest.warns(MissingScoreWarning, match=r"all weigh zero in fold 0 of 5: there is no score.*Use a splitter"):
        model.fit(X, y, sample_weight=weights)
    scores = model.oof_.scores
    assert scores.xs(0, level="fold").iloc[:, :2].isna().all(axis=None)
    assert scores.drop(0, level="fold").notna().all(axis=None)
    board = model.leaderboard(full=True)
    assert board[1:].select_dtypes("number").notna().all(axis=None)
    assert board.drop(columns=["weight", "marginal"]).notna().all(axis=None)
    metric = board.columns[0]
    name = board.index[1]
    values = scores.loc[name, metric].to_numpy()[1:]
    assert board.loc[name, metric] == pytest.approx(values.mean())
    pairs = list(KFold(5).split(X))[1:]
    interval = corrected_interval(values, Folds(tuple(pairs), len(y)))
    assert board.loc[name, f"{metric}_low"] == pytest.approx(max(interval.low, 0))
