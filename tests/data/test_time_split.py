"""Folds that go forward in time: no time is on both sides, whatever the ties."""

import re
from itertools import pairwise

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.testing import assert_array_equal
from sklearn.datasets import make_classification
from sklearn.model_selection import TimeSeriesSplit
from sklearn.utils.metadata_routing import get_routing_for_object
from spies import Witness, with_row_ids

from stackkit import StackingModel
from stackkit._data.time_split import TimeOrderSplit
from stackkit.evaluation import nested_scores

TIMES = st.lists(st.integers(-9, 9), min_size=1, max_size=60)


def _folds(times, n_splits=5, gap=0):
    return list(TimeOrderSplit(n_splits, gap=gap).split(np.zeros((len(times), 1)), None, times))


# --- what holds for any times --------------------------------------------------------------------------


@settings(max_examples=300, deadline=None)
@given(TIMES, st.integers(1, 7), st.integers(0, 4))
def test_models_learn_from_the_past_alone(times, n_splits, gap):
    times = np.array(times)
    different = np.unique(times)
    if len(different) < n_splits + gap + 1:
        needed = n_splits + gap + 1
        with pytest.raises(ValueError, match=rf"gap={gap} need {needed} different times; got {len(different)}\."):
            _folds(times, n_splits, gap)
        return
    folds = _folds(times, n_splits, gap)
    assert len(folds) == n_splits
    for train, test in folds:
        first = np.flatnonzero(different == times[test].min())[0]
        # All that is old enough, and nothing else.
        assert_array_equal(train, np.flatnonzero(times < different[first - gap]))
        assert len(train)
        assert len(test)
    for (_, earlier), (_, later) in pairwise(folds):
        assert times[earlier].max() < times[later].min()
    # From the first one tested on, each row is tested once.
    tested = np.concatenate([test for _, test in folds])
    assert_array_equal(np.sort(tested), np.flatnonzero(times >= times[folds[0][1]].min()))


@settings(max_examples=100, deadline=None)
@given(st.integers(2, 60), st.integers(2, 7), st.integers(0, 4))
def test_where_all_times_differ_the_folds_are_those_of_scikit_learn(n_rows, n_splits, gap):
    try:
        expected = list(TimeSeriesSplit(n_splits, gap=gap).split(np.zeros(n_rows)))
    except ValueError:
        return
    for ours, theirs in zip(_folds(np.arange(n_rows) * 1.5, n_splits, gap), expected, strict=True):
        assert_array_equal(ours[0], theirs[0])
        assert_array_equal(ours[1], theirs[1])


@settings(max_examples=100, deadline=None)
@given(st.lists(st.integers(1, 6), min_size=20, max_size=40), st.integers(1, 5))
def test_test_parts_are_about_as_large_as_those_of_scikit_learn(counts, n_splits):
    times = np.repeat(np.arange(len(counts)), counts)
    size = len(times) // (n_splits + 1)
    if size <= max(counts):
        return
    for _, test in _folds(times, n_splits):
        assert abs(len(test) - size) <= max(counts)


@settings(max_examples=50, deadline=None)
@given(TIMES, st.randoms(use_true_random=False))
def test_the_order_of_rows_does_not_matter(times, random):
    times, order = np.array(times), list(range(len(times)))
    random.shuffle(order)
    if len(np.unique(times)) < 4:
        return
    for plain, moved in zip(_folds(times, 3), _folds(times[order], 3), strict=True):
        for part, other in zip(plain, moved, strict=True):
            assert_array_equal(part, np.sort(np.array(order)[other]))


@pytest.mark.parametrize("kind", ["ranks with holes", "dates", "text", "Series"])
def test_times_are_anything_that_can_be_sorted(kind):
    numbers = np.arange(40) // 3
    days = np.datetime64("2024-01-01") + numbers
    times = {
        "ranks with holes": numbers * 7 + 5,
        "dates": days,
        "text": days.astype(str).astype(object),
        "Series": pd.Series(days, index=np.arange(40)[::-1]),
    }[kind]
    for ours, plain in zip(_folds(times), _folds(numbers), strict=True):
        assert_array_equal(ours[0], plain[0])
        assert_array_equal(ours[1], plain[1])


# --- the rule, by hand ---------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("counts", "n_splits", "gap", "starts"),
    [
        ([2, 2, 2, 2, 2, 2], 2, 0, [4, 8]),  # where TimeSeriesSplit has them
        ([4, 1, 4, 3], 2, 0, [4, 9]),  # 4 stays, 8 moves to 9 and not to 5
        ([2, 4, 6], 1, 0, [6]),
        ([4, 4, 4], 1, 0, [4]),  # 6 is as near to 4 as to 8: the earlier one
        ([1, 1, 20, 1, 1], 3, 0, [2, 22, 23]),  # a time for each part, however few rows
        ([1, 1, 1, 20], 3, 0, [1, 2, 3]),
        ([3, 3, 3, 3], 1, 2, [9]),  # not 6, which would leave nothing to train on
    ],
)
def test_boundaries_move_to_the_nearest_change(counts, n_splits, gap, starts):
    times = np.repeat(np.arange(len(counts)), counts)
    assert [test[0] for _, test in _folds(times, n_splits, gap)] == starts


def test_the_gap_counts_different_times_and_not_rows():
    times = np.repeat([10, 20, 21, 22, 30, 40], [2, 9, 1, 1, 2, 3])
    [(train, test)] = _folds(times, 1, gap=2)
    assert set(times[test]) == {22, 30, 40}
    assert set(times[train]) == {10}


# --- in a stack ----------------------------------------------------------------------------------------


def test_no_row_is_predicted_by_a_model_that_saw_its_time():
    """Of each row the witnesses say whether they were fitted to it, and here also of rows of its day."""
    X, y = make_classification(200, 5, random_state=0)
    days = np.repeat(np.arange(50), np.random.default_rng(0).multinomial(200, np.full(50, 1 / 50)))
    X = with_row_ids(X)
    X[:, 0] = days
    model = StackingModel([("witness", Witness())], cv=TimeOrderSplit(4, gap=1))
    model.fit(X, y, groups=days)
    assert (model.oof_.train[model.oof_.covered] == 0).all()
    assert model.oof_.covered.sum() >= 150
    outer = TimeOrderSplit(3, gap=1)
    nested = nested_scores(
        model, X, y, cv=outer, groups=days, scoring=lambda one, X, _: one.predict_proba(X)[:, 1].max()
    )
    assert (nested.scores["witness"] == 0).all()
    for train, test in nested.folds.pairs:
        assert days[train].max() < days[test].min() - 1


def test_without_metadata_requests_the_splitter_gets_its_times():
    assert get_routing_for_object(TimeOrderSplit()).consumes("split", ["groups"])
    assert repr(TimeOrderSplit(3, gap=1)) == "TimeOrderSplit(gap=1, n_splits=3)"
    assert TimeOrderSplit(3).get_n_splits() == 3


# --- what is refused -----------------------------------------------------------------------------------


def test_times_are_needed_one_a_row():
    splitter = TimeOrderSplit(2)
    with pytest.raises(ValueError, match=re.escape("got groups=None. Pass times as 'groups'.")):
        next(splitter.split(np.zeros(9)))
    with pytest.raises(ValueError, match="inconsistent numbers of samples"):
        next(splitter.split(np.zeros(9), groups=np.arange(8)))


def test_too_few_times_are_said_with_what_to_do():
    message = "n_splits=4 and gap=2 need 7 different times; got 6. Use fewer folds, or a smaller gap."
    with pytest.raises(ValueError, match=re.escape(message)):
        _folds(np.arange(60) % 6, 4, gap=2)
    assert len(_folds(np.arange(60) % 7, 4, gap=2)) == 4
