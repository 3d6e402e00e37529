"""Tables and options become rows, targets, folds and learners; what does not fit together is said."""

import json
from dataclasses import asdict

import numpy as np
import pandas as pd
import pytest
from sklearn.datasets import load_diabetes, load_iris

from stackkit import StackingModel, cross_fit, default_learners
from stackkit._blending.final_estimator import BLENDS
from stackkit.cli.problem import (
    FINALS,
    ColumnRoles,
    Schema,
    in_order,
    make_final,
    make_learners,
    read_new,
    read_problem,
)
from stackkit.cli.reading import read_table
from stackkit.cli.tables import TableError
from stackkit.cli.writing import write_table


@pytest.fixture
def said():
    return []


@pytest.fixture
def problem_of(tmp_path, said):
    def problem_of(frame, task=None, **columns):
        write_table(frame, tmp_path / "t.csv")
        return read_problem(read_table(tmp_path / "t.csv", said.append), ColumnRoles(**columns), task, said.append)

    return problem_of


@pytest.fixture
def flowers(problem_of):
    X, y = load_iris(return_X_y=True, as_frame=True)
    return problem_of(X.assign(y=y, group=np.arange(150) // 3, when=np.arange(150)[::-1]), target="y")


def test_a_date_may_name_the_rows_and_order_them(problem_of):
    days = pd.date_range("2026-01-01", periods=40)[::-1].strftime("%Y-%m-%d")
    problem = problem_of(
        pd.DataFrame({"day": days, "x": range(40), "y": [0.5 * i for i in range(40)]}),
        target="y",
        id="day",
        time_order="day",
    )
    assert problem.X.index.tolist() == sorted(days)
    assert list(problem.X) == ["x"]
    assert problem.times.tolist() == list(range(40))
    assert problem.schema.id == "day"


@pytest.mark.parametrize("how", [{"time_order": "day"}, {"id": "day"}])
def test_nothing_but_a_date_and_the_target_says_what_is_wanted(problem_of, how):
    days = pd.date_range("2026-01-01", periods=40).strftime("%Y-%m-%d")
    with pytest.raises(
        TableError, match=r"no column is left to predict from; add columns .* such as the day of the week"
    ):
        problem_of(pd.DataFrame({"day": days, "y": [0.5 * i for i in range(40)]}), target="y", **how)


def test_a_date_as_the_only_feature_says_what_is_wanted(problem_of, said):
    days = pd.date_range("2026-01-01", periods=40).strftime("%Y-%m-%d")
    problem_of(pd.DataFrame({"day": days, "y": [0.5 * i for i in range(40)]}), target="y")
    assert any("no features but dates; add columns" in text for text in said)


# --- the target ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("target", "task", "y"),
    [
        (["a", "b"] * 20, "classification", ["a", "b"] * 20),
        (["0", "1"] * 20, "classification", ["0", "1"] * 20),
        (["007", "7", "NA", "None"] * 20, "classification", ["007", "7", "NA", "None"] * 20),
        (["0", "1", "NA"] * 20, "classification", ["0", "1", "NA"] * 20),
        ([f"{i}.5" for i in range(40)], "regression", [i + 0.5 for i in range(40)]),
        ([str(i) for i in range(40)], "regression", list(range(40))),
        (["NA", *(str(i) for i in range(40))], "regression", list(range(40))),
        (["", *(str(i) for i in range(40))], "regression", list(range(40))),
        ([f"name {i}" for i in range(40)], "classification", [f"name {i}" for i in range(40)]),
    ],
)
def test_the_target_tells_the_task_and_keeps_its_spelling(problem_of, target, task, y):
    problem = problem_of(pd.DataFrame({"y": target, "x": range(len(target))}), target="y")
    assert problem.task == task
    assert problem.y.tolist() == y
    assert problem.X["x"].tolist() == [
        i for i, text in enumerate(target) if task == "classification" or text not in ("NA", "")
    ]


def test_the_user_knows_the_task_better(problem_of):
    frame = pd.DataFrame({"y": [0, 1] * 20, "x": range(40)})
    assert problem_of(frame, "regression", target="y").y.tolist() == [0.0, 1.0] * 20
    assert problem_of(frame, "classification", target="y").y.tolist() == ["0", "1"] * 20


@pytest.mark.parametrize(
    ("target", "message"),
    [
        (["1.5", "x", "2.5"], "line 3: the target 'y' is 'x', which is no finite number"),
        (["1.5", "inf", "2.5"], "line 3: the target 'y' is 'inf', which is no finite number"),
    ],
)
def test_a_quantity_has_to_be_a_number(problem_of, target, message):
    with pytest.raises(TableError, match=message):
        problem_of(pd.DataFrame({"y": target, "x": range(3)}), "regression", target="y")


def test_rows_are_named_as_the_file_names_them(problem_of, tmp_path, said):
    frame = pd.DataFrame({"id": ["007", "NA", "8", "9"], "x": [1, 2, 3, 4], "y": ["a", "", "b", "a"]})
    frame["when"] = [2, 1, 4, 3]
    assert problem_of(frame, target="y", id="id", time_order="when").X.index.tolist() == ["007", "9", "8"]
    assert problem_of(frame, target="y", id="id").X.index.name == "id"
    by_line = problem_of(frame.assign(id=["a\nb", "c", "d", "e"]), target="y", time_order="when")
    assert by_line.X.index.tolist() == ["line 2", "line 6", "line 5"]
    write_table(frame, tmp_path / "t.parquet")
    packed = read_problem(read_table(tmp_path / "t.parquet", said.append), ColumnRoles("y"), None, said.append)
    assert packed.X.index.tolist() == ["row 1", "row 3", "row 4"]


def test_codes_stand_for_classes_in_the_order_of_the_model(flowers):
    target = flowers.target
    assert [flowers.schema.classes[code] for code in target.values] == flowers.y.tolist()


def test_classes_that_are_numbers_go_by_size():
    assert in_order(["10", "9", "-1"]) == ["-1", "9", "10"]
    assert in_order(["10", "9", "b"]) == ["10", "9", "b"]


def test_many_classes_are_not_all_listed(problem_of, said):
    problem_of(pd.DataFrame({"y": [f"c{i % 12:02}" for i in range(60)], "x": range(60)}), target="y")
    assert said[0] == "classification: 12 classes, " + ", ".join(f"c{i:02} (5)" for i in range(10)) + ", ..."


# --- features --------------------------------------------------------------------------------------------------------


def test_new_rows_get_the_kinds_of_the_training_rows(problem_of, tmp_path, said):
    frame = pd.DataFrame({"y": ["a", "b"] * 3, "zip": ["007", "123"] * 3, "n": range(6), "d": ["2024-01-01"] * 6})
    schema = problem_of(frame, target="y").schema
    (tmp_path / "new.csv").write_text("d,zip,n\n2024-01-01,123,007\nsoon,9,x\n,NA,?\n")
    X, ids = read_new(read_table(tmp_path / "new.csv", said.append), schema, said.append, strict=True)
    assert list(X) == ["zip", "n", "d"]
    assert X["zip"].tolist()[:2] == ["123", "9"]
    assert X["n"].iloc[0] == 7
    assert X["n"].isna().tolist() == [False, True, True]
    assert [text.partition(": ")[2] for text in said[-2:]] == [
        "the column 'n' has 1 value(s) that are no number, such as 'x'; they count as missing",
        "the column 'd' has 1 value(s) that are no date, such as 'soon'; they count as missing",
    ]
    assert str(X["d"].dtype).startswith("datetime64")
    assert ids is None


def test_a_schema_survives_json(flowers):
    assert Schema(**json.loads(json.dumps(asdict(flowers.schema)))) == flowers.schema


def test_blanks_around_it_do_not_tear_a_group_apart(problem_of, said):
    frame = pd.DataFrame({"y": list("abab"), "x": range(4), "who": ["ann", "ann ", " bob", "bob"]})
    problem = problem_of(frame, target="y", groups="who")
    assert problem.groups.tolist() == ["ann", "ann", "bob", "bob"]
    assert problem.together is problem.groups
    assert "2 groups by 'who', which is no feature" in said


# --- rows in order ---------------------------------------------------------------------------------------------------


def test_dates_order_rows_as_dates(problem_of):
    days = ["2.1.2024", "13.1.2024", "1.2.2023"]
    frame = pd.DataFrame({"y": ["a", "b", "a"], "x": [1, 2, 3], "t": days})
    assert problem_of(frame, target="y", time_order="t").X["x"].tolist() == [3, 1, 2]


@pytest.mark.parametrize(
    "times",
    [
        ["3", "1", "1.0", "2.5", "3.00", " 1"],
        ["2024-03-01", "2024-01-01", "2024-01-01 00:00", "2024-02-29", "2024-03-01 00:00:00", "2024-01-01T00:00"],
        ["1 Mar 2024", "1 Jan 2024", "01 Jan 2024", "29 Feb 2024", "1 Mar 2024", "1 Jan 2024"],
    ],
)
def test_times_that_are_the_same_have_one_rank_however_they_are_spelled(problem_of, said, times):
    frame = pd.DataFrame({"y": list("abcabc"), "x": range(6), "when": times})
    problem = problem_of(frame, target="y", time_order="when")
    assert problem.times.tolist() == [0, 0, 0, 1, 2, 2]
    assert problem.X["x"].tolist() == [1, 2, 5, 3, 0, 4]
    assert problem.y.tolist() == list("bccaab")
    assert problem.together is problem.times
    assert "rows are ordered by 'when', which is no feature; it has 3 different values" in said
    assert not any("groups by" in text for text in said)


def test_rows_without_a_target_have_no_time(problem_of):
    frame = pd.DataFrame({"y": ["a", "", "b", "a"], "x": range(4), "when": [7, 8, 9, 9]})
    assert problem_of(frame, target="y", time_order="when").times.tolist() == [0, 1, 1]


# --- learners, final estimators, scorers -----------------------------------------------------------------------------


@pytest.mark.parametrize("data", [load_iris, load_diabetes])
def test_every_name_is_one_that_can_be_fitted(problem_of, data):
    X, y = data(return_X_y=True, as_frame=True)
    problem = problem_of(X.assign(y=y), target="y")
    assert make_learners(None, problem) is None
    assert make_final(None, problem) is None
    names = list(dict(default_learners(problem.task, preset="best")))
    assert [name for name, _ in make_learners(names, problem)] == names
    quick = make_learners(["knn", "xgboost"], problem)
    oof = cross_fit(quick, problem.X, problem.y, cv=3)
    for name in FINALS[problem.task]:
        final = make_final(name, problem)
        StackingModel(quick[:1], final, cv=3).fit(problem.X, problem.y)
    assert not np.isnan(oof.train).any()
    assert type(next(iter(FINALS[problem.task].values()))) in BLENDS
