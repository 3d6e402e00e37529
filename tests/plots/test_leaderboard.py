"""The scores and intervals that are drawn, against the leaderboard's and nested ones."""

from types import SimpleNamespace

import numpy as np
import pandas as pd
import pytest
from pictures import DIABETES, PROGRESS, X2, Y2, legend, named
from sklearn.ensemble import RandomForestClassifier
from sklearn.linear_model import LogisticRegression, Perceptron, Ridge, RidgeClassifier
from sklearn.model_selection import KFold, cross_val_predict
from sklearn.naive_bayes import GaussianNB
from spies import Fails

from stackkit import StackingModel, cross_fit
from stackkit.exceptions import LearnerDroppedWarning
from stackkit.plots import LeaderboardDisplay


def ends_of(path):
    return path.vertices[:, 0] if len(path.vertices) == 2 else np.array([np.nan, np.nan])  # nothing is drawn of NaN


def dots(ax):
    """Position and interval of each drawn dot, a list a kind."""
    kinds = []
    for drawn in ax.containers:
        line, _, (whiskers,) = drawn
        kinds.append((line.get_xdata(), line.get_ydata(), [ends_of(path) for path in whiskers.get_paths()]))
    return kinds


def test_the_leaderboard_shows_the_scores_and_intervals_of_the_models_own(binary, ax):
    display = LeaderboardDisplay.from_estimator(binary, ax=ax)
    board = binary.leaderboard(marginal=False, full=True)
    assert named(ax.yaxis)[0] == "stack"
    ((scores, heights, whiskers),) = dots(ax)
    assert named(ax.yaxis) == list(board.index)
    np.testing.assert_array_equal(scores, board["log_loss"])
    assert (np.diff(heights) < 0).all()  # the best on top
    np.testing.assert_allclose(whiskers, board[["log_loss_low", "log_loss_high"]])
    assert ax.get_xlabel() == "log-loss (lower is better)"
    assert display.ax_ is ax
    assert display.figure_ is ax.figure


def test_accuracy_ranks_the_other_way(binary, ax):
    LeaderboardDisplay.from_oof(binary.oof_, metric="accuracy", ax=ax)
    expected = binary.oof_.scores["accuracy"].groupby("learner").mean().sort_values(ascending=False)
    np.testing.assert_allclose(dots(ax)[0][0], expected)
    assert ax.get_xlabel() == "accuracy (higher is better)"


def test_regression_shows_rmse(numbers, ax):
    display = LeaderboardDisplay.from_estimator(numbers, ax=ax)
    predicted = cross_val_predict(Ridge(), DIABETES, PROGRESS, cv=4)
    folds = [test for _, test in KFold(4).split(DIABETES)]
    rmse = np.mean([np.sqrt(np.mean((predicted - PROGRESS)[test] ** 2)) for test in folds])
    assert display.scores.loc["ridge", "oof"] == pytest.approx(rmse)
    assert ax.get_xlabel() == "RMSE (lower is better)"


def test_nested_scores_stand_beside(binary, nested, ax):
    display = LeaderboardDisplay.from_estimator(binary, nested=nested, ax=ax)
    strategies = ["stack", "best learner", "plain mean"]
    assert set(named(ax.yaxis)[:3]) == set(strategies)
    (_, oof_heights, _), (outer, heights, whiskers) = dots(ax)
    above = display.scores[:3]["oof"]
    assert above.drop("stack").isna().all()
    assert above["stack"] == binary.leaderboard().loc["stack", "log_loss"]
    table = nested.table.loc[display.scores.index]
    np.testing.assert_array_equal(outer, table["score"])
    np.testing.assert_allclose(whiskers, table[["low", "high"]])
    assert (np.diff(outer[:3]) >= 0).all()
    assert (oof_heights[3:] > heights[3:]).all()  # side by side
    assert legend(ax) == ["out of fold, 95 % interval", "nested (outer folds), 95 % interval"]


def test_nested_scores_alone_in_any_metric(ax):
    table = pd.DataFrame(
        {"score": [0.9, 0.8, 0.85, 0.7, 0.8], "se": 0.01, "low": 0.6, "high": 0.95},
        index=["stack", "best learner", "plain mean", "a", "b"],
    )
    nested = SimpleNamespace(table=table, metric="roc_auc", greater_is_better=True)
    display = LeaderboardDisplay.from_nested(nested, ax=ax)
    assert list(display.scores.index) == ["stack", "plain mean", "best learner", "b", "a"]
    np.testing.assert_array_equal(dots(ax)[0][0], [0.9, 0.85, 0.8, 0.8, 0.7])
    assert ax.get_xlabel() == "roc auc (higher is better)"
    assert legend(ax) == ["nested (outer folds), 95 % interval"]


def test_a_learner_called_stack_stays_a_learner(ax):
    oof = cross_fit([("stack", GaussianNB()), ("b", LogisticRegression())], X2, Y2, cv=3)
    index = ["stack", "best learner", "plain mean", "stack", "b"]
    table = pd.DataFrame({"score": [0.1, 0.2, 0.3, 0.4, 0.5], "se": 0.01, "low": 0.0, "high": 1.0}, index=index)
    nested = SimpleNamespace(table=table, metric="log_loss", greater_is_better=False)
    display = LeaderboardDisplay.from_oof(oof, nested=nested, ax=ax)
    assert display.scores["combined"].tolist() == [True, True, True, False, False]
    learner = display.scores[~display.scores["combined"]].loc["stack"]
    assert learner["outer"] == 0.4
    assert learner["oof"] == pytest.approx(oof.scores["log_loss"].loc["stack"].mean())


def test_a_learner_without_the_score_says_so_at_the_bottom(ax):
    oof = cross_fit([("margin", RidgeClassifier()), ("bayes", GaussianNB())], X2, Y2, cv=3)
    LeaderboardDisplay.from_oof(oof, ax=ax)
    assert named(ax.yaxis) == ["bayes", "margin"]
    (note,) = [text for text in ax.texts if text.get_text() == "no log-loss"]
    assert note.get_position()[1] == ax.get_yticks()[1]


def test_where_nobody_gives_probabilities_accuracy_is_shown(ax):
    oof = cross_fit([("margin", RidgeClassifier()), ("steps", Perceptron())], X2, Y2, cv=3)
    assert LeaderboardDisplay.from_oof(oof, ax=ax).metric == "accuracy"


def test_a_stack_without_a_score_is_not_shown(ax):
    model = StackingModel([("bayes", GaussianNB())], RandomForestClassifier(3), cv=3).fit(X2, Y2)
    LeaderboardDisplay.from_estimator(model, ax=ax)
    assert named(ax.yaxis) == ["bayes"]


def test_failed_learners_are_not_shown(ax):
    with pytest.warns(LearnerDroppedWarning):
        oof = cross_fit([("bad", Fails()), ("bayes", GaussianNB())], X2, Y2, cv=3, on_error="drop")
    LeaderboardDisplay.from_oof(oof, ax=ax)
    assert named(ax.yaxis) == ["bayes"]


def test_one_fold_has_no_interval(ax):
    oof = cross_fit([("bayes", GaussianNB())], X2, Y2, cv=[(np.arange(100), np.arange(100, 200))])
    LeaderboardDisplay.from_oof(oof, ax=ax)
    ((scores, _, whiskers),) = dots(ax)
    assert scores[0] == pytest.approx(oof.scores["log_loss"].iloc[0])
    assert np.isnan(whiskers).all()


def test_a_metric_that_there_is_not(binary, nested):
    with pytest.raises(ValueError, match=r"'metric' parameter of LeaderboardDisplay must be one of 'log_loss', 'accur"):
        LeaderboardDisplay.from_estimator(binary, metric="rmse")
    with pytest.raises(ValueError, match=r"'nested' parameter of LeaderboardDisplay must have scores in accuracy"):
        LeaderboardDisplay.from_estimator(binary, metric="accuracy", nested=nested)
    auc = SimpleNamespace(table=nested.table, metric="roc_auc", greater_is_better=True)
    with pytest.raises(ValueError, match=r"scores in log_loss or accuracy, as .* 'roc_auc'. .*from_nested"):
        LeaderboardDisplay.from_estimator(binary, nested=auc)
    oof = cross_fit([("margin", RidgeClassifier())], X2, Y2, cv=3)
    with pytest.raises(ValueError, match=r"needs a learner with a score in log_loss; got none. .*\['accuracy'\]"):
        LeaderboardDisplay.from_oof(oof, metric="log_loss")
