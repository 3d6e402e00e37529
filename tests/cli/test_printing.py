"""Tables as a terminal shows them, and as JSON."""

import json

import numpy as np
import pandas as pd
import pytest
from sklearn.datasets import load_diabetes
from sklearn.linear_model import Ridge

from stackkit import StackingModel, default_learners
from stackkit.cli.printing import as_json, board_as_text, number, records, scores_as_text, table_as_text


def test_columns_are_aligned():
    table = pd.DataFrame({"score": ["0.5", "-1.25"], "of": ["a", "bbb"]}, index=["knn", "a long one"])
    assert table_as_text(table).split("\n") == [
        "            score   of",
        "knn           0.5    a",
        "a long one  -1.25  bbb",
    ]


def test_an_interval_stands_beside_its_score():
    board = pd.DataFrame(
        {
            "rmse": [1.2, 1.5, np.nan],
            "rmse_std": [0.1, 0.1, np.nan],
            "rmse_low": [0.9, 1.0, np.nan],
            "rmse_high": [1.5, 2.0, np.nan],
            "r2": [0.8, 0.7, np.nan],
            "r2_low": 0.0,
            "r2_high": 1.0,
            "weight": [np.nan, 1.0, np.nan],
            "marginal": np.nan,
            "fit_seconds": [2.0, 2.0, np.nan],
            "level": 1,
            "status": ["ok", "ok", "failed in fold 0"],
        },
        index=pd.Index(["stack", "ridge", "bad"], name="learner"),
    )
    lines = board_as_text(board).split("\n")
    assert lines[0].split() == ["learner", "rmse", "(95", "%)", "r2", "weight", "fit", "s"]  # nothing that is empty
    assert "1.500 (1.00 to 2.00)" in lines[2]
    assert lines[-1] == "bad: failed in fold 0"
    assert "status" not in board_as_text(board)
    assert len(board_as_text(board.iloc[:2]).split("\n")) == 3  # all is well


@pytest.mark.parametrize("scale", [1.0, 1e5])
def test_a_board_fits_80_characters(scale):
    X, y = load_diabetes(return_X_y=True)
    names = [name for name, _ in default_learners("regression", preset="best")]
    model = StackingModel([(name, Ridge(k)) for k, name in enumerate(names)], cv=3, random_state=0).fit(X, scale * y)
    text = scores_as_text(model.leaderboard(full=True), 3, verdict=False)
    assert max(map(len, text.split("\n"))) <= 80
    assert "e+" not in text
    for name in ("stack", *names):
        assert f"\n{name} " in text
    room = scale == 1.0  # for all columns
    assert ("marginal: by how much" in " ".join(text.split())) is room
    assert (" marginal " in text.split("\n")[2]) is room
    for told in ("rmse: lower is better", "The weights sum to", "slightly optimistic"):
        assert told.lower() in " ".join(text.lower().split())


def test_values_of_a_column_have_the_same_decimals():
    board = pd.DataFrame(
        {
            "rmse": [54_100.4, 1_234_567.8, 40_000.0],
            "rmse_low": [np.nan] * 3,
            "rmse_high": [np.nan] * 3,
            "r2": [0.8, 0.71234, -1e-9],
            "weight": [0.5, 0.0, 1e-12],
            "marginal": [0.0184, -0.0000027, 0.001],
            "fit_seconds": [52.04, 1.25, 0.0],
            "level": 1,
            "status": "ok",
        },
        index=pd.Index(["stack", "a", "b"], name="learner"),
    )
    assert [line.split() for line in board_as_text(board).split("\n")[1:]] == [
        ["stack", "54,100", "0.8000", "0.500", "0.0184", "52.0"],
        ["a", "1,234,568", "0.7123", "0.000", "0.0000", "1.2"],
        ["b", "40,000", "0.0000", "0.000", "0.0010", "0.0"],
    ]


def test_where_there_is_no_room_columns_are_left_out_with_their_legend():
    names = ["a_learner_with_a_long_name", "b"]
    scores = {"log_loss": 0.1234, "log_loss_low": 0.1111, "log_loss_high": 0.1357, "accuracy": 0.9123}
    rest = {"weight": 0.123, "marginal": 0.0123, "fit_seconds": 12.3, "level": 1, "status": "ok"}
    board = pd.DataFrame([scores | rest] * 2, index=pd.Index(names, name="learner"))
    board.attrs["legend"] = ["log_loss: lower is better; accuracy: higher is better.", "weight: x", "marginal: y"]
    text = scores_as_text(board, 3, verdict=False)
    assert "accuracy" in text.split("\n")[2]
    assert "marginal" not in text
    assert "weight: x" in text
    board.insert(0, "roc_auc", 0.5678)  # one of the usual metrics will do beside it
    header = scores_as_text(board, 3, verdict=False).split("\n")[2]
    assert header.split()[:3] == ["learner", "roc_auc", "log_loss"]
    assert "accuracy" not in header
    assert max(map(len, scores_as_text(board, 3, verdict=False).split("\n"))) <= 80


def test_json_has_neither_nan_nor_numbers_of_numpy():
    table = pd.DataFrame({"score": [np.nan, 0.5], "n": [1, 2]}, index=["a", "b"])
    document = {"table": records(table), "n": np.int64(3), "inf": np.inf, "yes": np.True_}
    assert json.loads(as_json(document)) == {
        "table": [{"learner": "a", "score": None, "n": 1}, {"learner": "b", "score": 0.5, "n": 2}],
        "n": 3,
        "inf": None,
        "yes": True,
    }


def test_numbers_have_four_digits():
    assert [number(value) for value in (0.123456, 1234567.0, np.nan, "text")] == ["0.1235", "1,234,567", "-", "text"]
