"""Rows in an order that does not suit the folds: told once, and never of rows in random order."""

import warnings

import numpy as np
import pandas as pd
import polars as pl
import pytest
from sklearn.dummy import DummyClassifier, DummyRegressor
from sklearn.model_selection import GroupKFold, KFold, RepeatedKFold, StratifiedKFold, TimeSeriesSplit

from stackkit import StackingModel, cross_fit
from stackkit._data.row_order import likeness_of
from stackkit.datasets import load_titanic
from stackkit.evaluation import nested_scores
from stackkit.exceptions import RowOrderWarning

N = 200
RNG = np.random.default_rng(0)
NOISE = RNG.normal(size=(N, 2))
COIN = RNG.integers(0, 2, N)
WALK = np.cumsum(RNG.normal(size=N))  # what it was the day before tells nearly all
DAYS = pd.date_range("2026-01-01", periods=N)


def fit_model(X, y, cv=None, **params):
    dummy = DummyRegressor() if np.asarray(y).dtype.kind == "f" else DummyClassifier(strategy="prior")
    StackingModel([("it", dummy)], dummy, cv=cv).fit(X, y, **params)


def cross(X, y, cv=None, **params):
    cross_fit([DummyRegressor() if np.asarray(y).dtype.kind == "f" else DummyClassifier()], X, y, cv=cv, **params)


def nested(X, y, cv=None, **params):
    dummy = DummyRegressor() if np.asarray(y).dtype.kind == "f" else DummyClassifier(strategy="prior")
    nested_scores(StackingModel([("it", dummy)], dummy, cv=cv), X, y, cv=cv, **params)


def told(door, X, y, *args, **params):
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        door(X, y, *args, **params)
    return [str(warning.message) for warning in caught if warning.category is RowOrderWarning]


every_door = pytest.mark.parametrize("door", [fit_model, cross, nested])


# --- sorted rows, and folds of neighbours -------------------------------------------------------------


@every_door
@pytest.mark.parametrize("y", [np.sort(COIN), np.sort(WALK)], ids=["classes", "numbers"])
def test_a_sorted_target_is_told_once(door, y):
    (message,) = told(door, NOISE, y, 5)
    assert "alike in the target" in message
    assert "Use cv=None (shuffled folds), groups where rows belong together, or TimeSeriesSplit" in message


@pytest.mark.parametrize(
    ("X", "where"),
    [
        (np.column_stack([NOISE[:, 0], np.sort(NOISE[:, 1])]), "column 1"),
        (pd.DataFrame({"noise": NOISE[:, 0], "deck": np.repeat(list("abcd"), 50)}), "the column 'deck'"),
        (pl.DataFrame({"noise": NOISE[:, 0], "size": np.sort(NOISE[:, 1])}), "the column 'size'"),
        (pd.DataFrame({"known": np.where(COIN == 1, np.sort(NOISE[:, 1]), np.nan)}), "the column 'known'"),
    ],
    ids=["array", "classes", "polars", "missing values"],
)
def test_so_is_a_column_that_is_sorted(X, where):
    (message,) = told(cross, X, COIN, 5)
    assert f"alike in {where}," in message


def test_the_titanic_is_sorted_by_class():
    X, y = load_titanic(return_X_y=True)
    (message,) = told(cross, X, y, 5)
    assert "the target" in message or "'pclass'" in message
    assert told(cross, X, y) == []


@pytest.mark.parametrize(
    ("cv", "params"),
    [
        (None, {}),
        (KFold(5, shuffle=True), {}),
        (RepeatedKFold(n_splits=5, n_repeats=2), {}),
        (TimeSeriesSplit(3), {}),
        (GroupKFold(4), {"groups": np.arange(N) // 10}),
        (5, {"groups": np.arange(N) // 10}),
        (list(KFold(4).split(NOISE)), {}),
    ],
    ids=["None", "shuffled", "repeated", "in time", "groups", "groups given", "pairs"],
)
@pytest.mark.filterwarnings("ignore:The groups parameter is ignored")
def test_folds_that_were_thought_of_are_left_alone(cv, params):
    assert told(cross, np.sort(NOISE, axis=0), np.sort(WALK), cv, **params) == []


@pytest.mark.parametrize("cv", [5, None, StratifiedKFold(5), KFold(3, shuffle=True)])
def test_rows_in_random_order_are_not_warned_of(cv):
    X = pd.DataFrame(NOISE, columns=["a", "b"]).assign(id=range(N), name=[f"n{i}" for i in range(N)], one=1)
    assert told(cross, X, COIN, cv) == []


def test_few_rows_tell_nothing():
    assert told(cross, NOISE[:50], np.sort(WALK[:50]), 5) == []


# --- rows that follow each other in time, and rows drawn at random -------------------------------------


@every_door
@pytest.mark.parametrize(
    "dates",
    [DAYS, DAYS[::-1], DAYS.date, DAYS.strftime("%Y-%m-%d"), DAYS.strftime("%Y-%m-%dT%H:%M"), np.sort(DAYS[COIN * 30])],
    ids=["dates", "backwards", "objects", "text", "text with time", "too few"],
)
def test_dates_in_order_are_told_once(door, dates):
    X = pd.DataFrame({"noise": NOISE[:, 0], "day": dates})
    found = told(door, X, COIN)
    if len(set(dates)) < 10:
        assert found == []
        return
    (message,) = found
    assert "The dates of the column 'day' are in order" in message
    assert "Use cv=TimeSeriesSplit(5) (command line: --time-order 'day')" in message


def test_dates_in_polars():
    (message,) = told(cross, pl.DataFrame({"noise": NOISE[:, 0], "day": DAYS.to_numpy()}), COIN)
    assert "'day'" in message


def test_dates_in_no_order_are_no_reason():
    X = pd.DataFrame({"noise": NOISE[:, 0], "born": RNG.permutation(DAYS)})
    assert told(cross, X, COIN) == []


@every_door
@pytest.mark.parametrize("y", [WALK, np.repeat(RNG.integers(0, 2, 40), 5)], ids=["numbers", "classes"])
def test_a_target_that_its_predecessor_predicts(door, y):
    (message,) = told(door, NOISE, y)
    assert "Each row's target is close to that of the row before it: if the rows follow each other in time" in message


@pytest.mark.parametrize("cv", [TimeSeriesSplit(3), list(KFold(4).split(NOISE))], ids=["in time", "pairs"])
def test_with_folds_that_go_forward_nothing_is_told(cv):
    assert told(cross, pd.DataFrame({"day": DAYS, "noise": NOISE[:, 0]}), WALK, cv) == []


def test_a_table_sorted_by_a_feature_is_not_taken_for_a_time_series():
    size = np.sort(RNG.normal(size=N))
    assert told(cross, np.column_stack([size, NOISE[:, 0]]), size + 0.3 * NOISE[:, 1]) == []


# --- the test itself ------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "values",
    [
        np.arange(150.0),
        np.exp(RNG.normal(size=150)),
        RNG.poisson(20, 150).astype(float),
        np.repeat([0, 1], [100, 50]),
        np.repeat(list("abcde"), 40),
    ],
    ids=["ranks", "skew", "ties", "two classes", "five classes"],
)
def test_under_chance_the_excess_has_mean_zero_and_variance_one(values):
    rng = np.random.default_rng(1)
    found = np.array([likeness_of(rng.permutation(values)).excess for _ in range(3000)])
    assert abs(found.mean()) < 0.08  # four standard errors
    assert abs(found.var() - 1) < 0.12
    assert found.max() < 6


@pytest.mark.parametrize("values", [np.arange(N) == 5, np.where(np.arange(N) < 2, 1e9, 0.0)], ids=["classes", "numbers"])
def test_a_few_rare_values_side_by_side_are_no_order(values):
    assert likeness_of(values).excess == 0
