"""Tables as a terminal shows them, and as JSON."""

import json

import numpy as np
import pandas as pd

from stackkit.cli.printing import as_json, as_line, board_as_text, number, records, table_as_text


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
            "rmse": [1.5, np.nan],
            "rmse_std": [0.1, np.nan],
            "rmse_low": [1.0, np.nan],
            "rmse_high": [2.0, np.nan],
            "weight": [1.0, np.nan],
            "status": ["ok", "failed in fold 0"],
        },
        index=["ridge", "bad"],
    )
    lines = board_as_text(board).split("\n")
    assert lines[0].split() == ["rmse", "(95", "%)", "weight", "status"]
    assert "1.5 (1 to 2)" in lines[1]
    assert "failed in fold 0" in lines[2]
    assert "status" not in board_as_text(board.iloc[:1])  # all is well


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
    assert [number(value) for value in (0.123456, 1234567.0, np.nan, "text")] == ["0.1235", "1.235e+06", "-", "text"]
    assert [as_line(value) for value in ("text", ["a"])] == ["text", '["a"]']
