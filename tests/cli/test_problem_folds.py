"""The folds that options ask for: all are made before anything is fitted, and none tears a group or a time apart."""

import re
from itertools import pairwise

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.datasets import load_iris
from sklearn.model_selection import (
    GroupKFold,
    KFold,
    RepeatedKFold,
    RepeatedStratifiedKFold,
    StratifiedGroupKFold,
    StratifiedKFold,
)

from stackkit import StackingModel
from stackkit._data.time_split import TimeOrderSplit
from stackkit.cli.problem import ColumnRoles, make_learners, read_problem
from stackkit.cli.problem_folds import CV, OUTER, VERDICT, check_folds, check_nested, make_splitter
from stackkit.cli.reading import read_table
from stackkit.cli.tables import TableError
from stackkit.cli.writing import write_table
from stackkit.evaluation import plan_nested


def _quiet(_text):
    """What is said is not looked at here."""


@pytest.fixture
def problem_of(tmp_path):
    def problem_of(frame, task=None, **columns):
        write_table(frame, tmp_path / "t.csv")
        return read_problem(read_table(tmp_path / "t.csv", _quiet), ColumnRoles(target="y", **columns), task, _quiet)

    return problem_of


def _rows(counts, y=None):
    """A table of groups or times with so many rows each."""
    when = np.repeat(np.arange(len(counts)), counts)
    y = np.arange(len(when)) % 2 if y is None else np.array(y)
    return pd.DataFrame({"x": np.arange(len(when)) % 7, "when": when, "y": np.where(y, "yes", "no")})


def _stack(problem, n_folds, *, gap=0):
    splitter = make_splitter(problem, n_folds, repeats=1, seed=0, option=CV, gap=gap)
    return StackingModel(make_learners(["naive_bayes", "knn"], problem), task=problem.task, cv=splitter, random_state=0)


def _check_nested(problem, n_folds, n_outer, option=VERDICT, gap=0):
    outer = make_splitter(problem, n_outer, repeats=1, seed=0, option=option, gap=gap)
    check_nested(problem, _stack(problem, n_folds, gap=gap), outer, n_folds, option=option)
    return outer


# --- who makes them --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("columns", "repeats", "classes", "numbers"),
    [
        ({}, 1, StratifiedKFold, KFold),
        ({}, 2, RepeatedStratifiedKFold, RepeatedKFold),
        ({"groups": "group"}, 1, StratifiedGroupKFold, GroupKFold),
        ({"time_order": "when"}, 1, TimeOrderSplit, TimeOrderSplit),
    ],
)
@pytest.mark.parametrize("task", ["classification", "regression"])
def test_the_splitter_follows_task_and_columns(problem_of, columns, repeats, classes, numbers, task):  # noqa: PLR0917
    X, y = load_iris(return_X_y=True, as_frame=True)
    frame = X.assign(y=y, group=np.arange(150) // 3, when=np.arange(150)[::-1] // 4)
    problem = problem_of(frame, task, **columns)
    splitter = make_splitter(problem, 4, repeats=repeats, seed=3, option=CV)
    assert type(splitter) is (classes if task == "classification" else numbers)
    assert splitter.get_n_splits() == 4 * repeats
    again = make_splitter(problem, 4, repeats=repeats, seed=3, option=CV)
    split = [
        [(a.tolist(), b.tolist()) for a, b in one.split(problem.X, problem.y, problem.together)]
        for one in (splitter, again)
    ]
    assert split[0] == split[1]
    for train, test in split[0] if columns else ():
        assert not set(problem.together[train]) & set(problem.together[test])


def test_options_that_exclude_each_other(problem_of):
    frame = pd.DataFrame({"y": ["a", "b"] * 9, "x": range(18), "g": range(18), "t": range(18)})
    with pytest.raises(ValueError, match="--groups and --time-order exclude each other"):
        make_splitter(problem_of(frame, groups="g", time_order="t"), 3, repeats=1, seed=0, option=CV)
    for columns in ({"groups": "g"}, {"time_order": "t"}):
        with pytest.raises(ValueError, match="--repeats goes with neither --groups nor --time-order"):
            make_splitter(problem_of(frame, **columns), 3, repeats=2, seed=0, option=CV)
    for columns in ({}, {"groups": "g"}):
        with pytest.raises(ValueError, match=r"--gap .* goes with --time-order only; add that, or leave --gap out"):
            make_splitter(problem_of(frame, **columns), 3, repeats=1, seed=0, option=CV, gap=1)


def test_the_gap_reaches_the_folds(problem_of):
    problem = problem_of(_rows([3] * 9), time_order="when")
    splitter = make_splitter(problem, 3, repeats=1, seed=0, option=CV, gap=2)
    for train, test in splitter.split(problem.X, problem.y, problem.together):
        assert problem.times[train].max() == problem.times[test].min() - 3


TIMES, GROUPS = {"time_order": "when"}, {"groups": "when"}
TOO_FEW = {
    "--cv 6 needs 7 different values of 'when', and there are 6; use --cv 5": (TIMES, 6, CV, 0),
    "--outer 3 with --gap 3 needs 7 different values of 'when', and there are 6; use --outer 2, or use a smaller "
    "--gap": (TIMES, 3, OUTER, 3),
    "--cv 2 with --gap 4 needs 7 different values of 'when', and there are 6; use a smaller --gap": (TIMES, 2, CV, 4),
    "--verdict makes 5 outer folds and with --gap 2 needs 8 different values of 'when', and there are 6; leave "
    "--verdict out, or use stackkit compare --outer 3, or use a smaller --gap": (TIMES, 5, VERDICT, 2),
    "--cv 7 needs 7 groups, and there are 6; use --cv 6": (GROUPS, 7, CV, 0),
    "--verdict makes 7 outer folds and needs 7 groups, and there are 6; leave --verdict out, or use stackkit compare "
    "--outer 6": (GROUPS, 7, VERDICT, 0),
    "--verdict makes 10 outer folds and needs 10 rows of the class 'no', and there are 9; leave --verdict out, or use "
    "stackkit compare --outer 9": ({}, 10, VERDICT, 0),
}


@pytest.mark.parametrize("message", TOO_FEW)
def test_too_few_of_something_is_said_with_what_to_do(problem_of, message):
    columns, n_folds, option, gap = TOO_FEW[message]
    problem = problem_of(_rows([3] * 6), **columns)
    with pytest.raises(TableError, match=re.escape(f"t.csv: {message}") + "$"):
        make_splitter(problem, n_folds, repeats=1, seed=0, option=option, gap=gap)


def test_one_time_is_too_little_whatever_the_options(problem_of):
    problem = problem_of(_rows([9]), **TIMES)
    with pytest.raises(TableError, match="and there are 1; that is too little for folds; get more, or leave it out"):
        make_splitter(problem, 2, repeats=1, seed=0, option=CV, gap=1)


# --- those of a fit --------------------------------------------------------------------------------------------------


def test_a_fit_that_would_learn_from_one_class_is_refused(problem_of):
    problem = problem_of(_rows([5] * 9, y=[0] * 10 + [0, 1] * 17 + [0]), time_order="when")
    message = (
        "t.csv: --cv 3 by --time-order 'when' with --gap 1 cannot be used: fold 0 of 3 trains on rows of the class "
        "'no' only; use a smaller --cv or --gap"
    )
    with pytest.raises(TableError, match=re.escape(message) + "$"):
        check_folds(problem, _stack(problem, 3, gap=1), 3)
    check_folds(problem, _stack(problem, 2), 2)


def test_a_final_estimator_that_would_learn_from_one_class_is_refused(problem_of):
    problem = problem_of(_rows([5] * 8, y=[0, 1] * 5 + [1] * 30), time_order="when")
    message = "--cv 3 by --time-order 'when' cannot be used: the folds test rows of the class 'yes' only; use a smaller"
    with pytest.raises(TableError, match=re.escape(message)):
        check_folds(problem, _stack(problem, 3), 3)


def test_a_class_that_is_in_one_group_alone_is_refused(problem_of):
    problem = problem_of(_rows([6] * 6, y=[1] * 6 + [0] * 30), groups="when")
    message = (
        r"t\.csv: --cv 3 by --groups 'when' cannot be used: fold \d of 3 trains on rows of the class 'no' only; each "
        r"class has to be in more of the groups$"
    )
    with pytest.raises(TableError, match=message):
        check_folds(problem, _stack(problem, 3), 3)


def test_numbers_have_no_classes_to_lack(problem_of):
    frame = _rows([5] * 9).assign(y=[1.5] * 20 + list(np.arange(25) / 7))
    problem = problem_of(frame, "regression", time_order="when")
    stack = StackingModel(make_learners(["ridge"], problem), cv=TimeOrderSplit(2), task="regression")
    check_folds(problem, stack, 2)
    check_nested(problem, stack, TimeOrderSplit(2), 2, option=OUTER)


# --- those of nested scores ------------------------------------------------------------------------------------------


NESTED = {
    "--verdict with 5 outer folds and --cv 5 in each by --groups 'when' cannot be used: The inner folds of outer fold "
    "0 of 5 cannot be made: Cannot have number of splits n_splits=5 greater than the number of groups: 4; use a "
    "smaller --cv, or leave --verdict out": (_rows([10] * 5), GROUPS, 5, VERDICT, 0),
    "--outer 5 and --cv 5 in each by --groups 'when' cannot be used: The inner folds of outer fold 0 of 5 cannot be "
    "made: Cannot have number of splits n_splits=5 greater than the number of groups: 4; use a smaller --cv": (
        *(_rows([10] * 5), GROUPS, 5, OUTER, 0),
    ),
    "--outer 5 and --cv 4 in each by --time-order 'when' with --gap 1 cannot be used: The inner folds of outer fold 0 "
    "of 5 cannot be made: n_splits=4 and gap=1 need 6 different times; got 3; use a smaller --cv or --outer or --gap": (
        *(_rows([2] * 24), TIMES, 4, OUTER, 1),
    ),
    "--verdict with 5 outer folds and --cv 2 in each by --time-order 'when' cannot be used: outer fold 0 of 5 trains "
    "on rows of the class 'no' only; use a smaller --cv, or leave --verdict out": (
        *(_rows([2] * 24, y=[0] * 12 + [0, 1] * 18), TIMES, 2, VERDICT, 0),
    ),
    "--outer 5 and --cv 3 in each by --time-order 'when' cannot be used: inner fold 0 of outer fold 0 of 5 trains on "
    "rows of the class 'no' only; use a smaller --cv or --outer": (
        *(_rows([2] * 36, y=[0] * 6 + [0, 1] * 33), TIMES, 3, OUTER, 0),
    ),
    "trains on rows of the class 'no' only; each class has to be in more of the groups, or leave --verdict out": (
        *(_rows([4] * 12, y=[1] * 8 + [0] * 40), GROUPS, 2, VERDICT, 0),
    ),
    "t.csv: 5 outer folds leave 4 rows of the class 'yes' to --cv 5 inner ones; use a smaller --cv, or leave --verdict "
    "out": (_rows([1] * 40, y=[1] * 5 + [0] * 35), {}, 5, VERDICT, 0),
}


@pytest.mark.parametrize("message", NESTED)
def test_nested_folds_that_cannot_be_used_are_refused(problem_of, message):
    frame, columns, n_folds, option, gap = NESTED[message]
    problem = problem_of(frame, **columns)
    check_folds(problem, _stack(problem, n_folds, gap=gap), n_folds)  # the fit itself can be made
    with pytest.raises(TableError, match=re.escape(message) + "$"):
        _check_nested(problem, n_folds, 5, option, gap)


def test_inner_folds_that_test_one_class_are_refused(problem_of):
    y = [0, 1] * 3 + [0] * 18 + [0, 1] * 12
    problem = problem_of(_rows([2] * 24, y=y), time_order="when")
    message = "the inner folds of outer fold 0 of 2 test rows of the class 'no' only; use a smaller --cv"
    with pytest.raises(TableError, match=re.escape(message)):
        _check_nested(problem, 2, 2)


@pytest.mark.filterwarnings("ignore:The least populated class")
@settings(max_examples=40, deadline=None)
@given(
    st.lists(st.integers(1, 4), min_size=4, max_size=14),
    st.randoms(use_true_random=False),
    st.sampled_from(["groups", "time_order"]),
    st.integers(2, 4),
    st.integers(2, 4),
    st.integers(0, 2),
)
def test_what_is_not_refused_can_be_used(tmp_path_factory, counts, random, column, n_folds, n_outer, gap):  # noqa: PLR0917
    """All folds of nested scores, made as they are there: rows stay together, and no training part has one class."""
    gap = gap if column == "time_order" else 0
    path = tmp_path_factory.mktemp("t") / "t.csv"
    write_table(_rows(counts, y=[random.randrange(2) for _ in range(sum(counts))]), path)
    try:
        problem = read_problem(read_table(path, _quiet), ColumnRoles(target="y", **{column: "when"}), None, _quiet)
        stack, outer = _stack(problem, n_folds, gap=gap), _check_nested(problem, n_folds, n_outer, gap=gap)
    except TableError:
        return
    given = {"cv": outer, "scoring": None, "groups": problem.together, "sample_weight": None}
    made = plan_nested(stack, problem.X, problem.target.values, **given)
    for fold in made.folds:
        assert len(set(problem.y[fold.covered])) == 2
        for train, test in [(fold.train, fold.test), *fold.inner]:
            assert len(set(problem.y[train])) == 2
            assert not set(problem.together[train]) & set(problem.together[test])
            if column == "time_order":
                later = problem.together[test].min()
                assert problem.together[train].max() == later - gap - 1
        for (_, earlier), (_, later) in pairwise(fold.inner if column == "time_order" else ()):
            assert problem.times[earlier].max() < problem.times[later].min()
        assert not set(problem.together[fold.covered]) & set(problem.together[fold.test])
