"""The metric that is asked for: a scorer of scikit-learn, by its name or by ours."""

import numpy as np
import pandas as pd
import pytest
from sklearn.datasets import load_diabetes, load_iris
from sklearn.metrics import get_scorer_names, roc_auc_score
from sklearn.model_selection import TimeSeriesSplit, cross_val_predict

from stackkit import LogPoolClassifier, StackingModel
from stackkit.cli.metrics import OF_NUMBERS, SHORT, make_metric, rescored, scorer_name
from stackkit.cli.problem import ColumnRoles, make_learners, read_problem
from stackkit.cli.reading import read_table
from stackkit.cli.writing import write_table


@pytest.fixture
def problem_of(tmp_path):
    def problem_of(frame, **columns):
        write_table(frame, tmp_path / "t.csv")
        return read_problem(read_table(tmp_path / "t.csv", print), ColumnRoles(**columns), None, print)

    return problem_of


@pytest.fixture
def flowers(problem_of):
    X, y = load_iris(return_X_y=True, as_frame=True)
    return problem_of(X.assign(y=y), target="y")


@pytest.mark.parametrize(
    ("name", "scorer"),
    [
        ("rmse", "neg_root_mean_squared_error"),
        ("RMSE", "neg_root_mean_squared_error"),
        ("mae", "neg_mean_absolute_error"),
        ("log_loss", "neg_log_loss"),
        ("mean_absolute_error", "neg_mean_absolute_error"),
        ("AUC", "roc_auc"),
        ("r2", "r2"),
        ("neg_log_loss", "neg_log_loss"),
        ("roc_auk", "roc_auk"),
    ],
)
def test_metrics_have_our_names_too(name, scorer):
    assert scorer_name(name) == scorer


def test_short_names_are_of_scorers_that_there_are():
    assert set(SHORT.values()) <= set(get_scorer_names())


def test_kinds_of_scorers_are_told_apart():
    assert {"r2", "neg_mean_absolute_error", "neg_max_error", "neg_mean_poisson_deviance"} <= set(get_scorer_names())
    told = {name for name in get_scorer_names() if OF_NUMBERS.fullmatch(name)}
    assert {"r2", "neg_mean_absolute_error", "neg_max_error", "neg_mean_poisson_deviance"} <= told
    assert not told & {"accuracy", "neg_log_loss", "roc_auc", "neg_brier_score", "f1", "matthews_corrcoef"}


def test_scorers_of_classes_are_refused_for_numbers(problem_of):
    X, y = load_diabetes(return_X_y=True, as_frame=True)
    problem = problem_of(X.assign(y=y), target="y")
    with pytest.raises(ValueError, match="--metric accuracy is not for regression; choose another, such as 'rmse'"):
        make_metric("accuracy", problem)
    assert make_metric("r2", problem).name == "r2"


def test_the_board_by_another_metric_scores_out_of_fold_rows(flowers):
    learners = make_learners(["naive_bayes", "knn"], flowers)
    model = StackingModel(learners, cv=3).fit(flowers.X, flowers.y)
    board = rescored(model.leaderboard(full=True), model, flowers, make_metric("roc_auc_ovr", flowers))
    for name, block in model.oof_.blocks.items():
        expected = roc_auc_score(flowers.y, model.oof_.train[:, block.columns], multi_class="ovr")
        assert board.loc[name, "roc_auc_ovr"] == pytest.approx(expected)
    assert board["roc_auc_ovr"][1:].is_monotonic_decreasing
    assert board.index[0] == "stack"
    P, folds = model.oof_.train, model.oof_.folds.pairs
    own = cross_val_predict(LogPoolClassifier(), P, flowers.target.values, cv=folds, method="predict_proba")
    assert board.loc["stack", "roc_auc_ovr"] == pytest.approx(roc_auc_score(flowers.y, own, multi_class="ovr"))
    assert board.attrs["greater_is_better"]["roc_auc_ovr"] is True
    assert board.attrs["legend"][0].startswith("roc_auc_ovr: higher is better")


@pytest.mark.parametrize(("data", "metric"), [(load_iris, "accuracy"), (load_diabetes, "r2")])
def test_a_metric_that_the_leaderboard_has_ranks_by_that(problem_of, data, metric):
    X, y = data(return_X_y=True, as_frame=True)
    problem = problem_of(X.assign(y=y), target="y")
    learners = make_learners(["knn", "naive_bayes" if metric == "accuracy" else "ridge"], problem)
    model = StackingModel(learners, cv=3).fit(problem.X, problem.y)
    board = rescored(model.leaderboard(full=True), model, problem, make_metric(metric, problem))
    assert list(board.columns) == list(model.leaderboard(full=True).columns)
    assert board[metric][1:].is_monotonic_decreasing


def test_rows_that_no_fold_tests_are_not_scored(problem_of):
    frame = pd.DataFrame({"y": ["a", "b"] * 30, "x": np.arange(60) % 7, "t": range(60)})
    problem = problem_of(frame, target="y", time_order="t")
    model = StackingModel(make_learners(["naive_bayes"], problem), cv=TimeSeriesSplit(3)).fit(problem.X, problem.y)
    board = rescored(model.leaderboard(full=True), model, problem, make_metric("neg_log_loss", problem))
    assert np.isfinite(board["log_loss"]).all()
    assert "neg_log_loss" not in board


def test_a_learner_that_a_metric_cannot_score_costs_nothing_but_its_score(problem_of):
    """Logarithms of negative predictions: the fit is over by then, and must not be lost."""
    rng = np.random.default_rng(0)
    frame = pd.DataFrame({"x": rng.normal(size=60)})
    frame["y"] = np.exp(3 * frame["x"])
    problem = problem_of(frame, target="y")
    model = StackingModel(make_learners(["ridge", "knn"], problem), cv=3).fit(problem.X, problem.y)
    with pytest.warns(UserWarning, match=r"The learner\(s\) \['ridge'.*\] have no mean_squared_log_error: .*less"):
        board = rescored(
            model.leaderboard(full=True), model, problem, make_metric("neg_mean_squared_log_error", problem)
        )
    assert list(board.index) == ["stack", "knn", "ridge"]
    assert np.isnan(board.loc["ridge", "mean_squared_log_error"])
    assert board.loc["knn", "mean_squared_log_error"] > 0
