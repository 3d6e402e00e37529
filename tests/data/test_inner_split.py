"""Rows that a learner sets aside to decide when to stop."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from stackkit._data.inner_split import inner_split

SEEDS = st.integers(0, 2**31 - 1)
N = 40
ALL = np.arange(N)
Y = np.arange(N) % 3


def some_rows(seed):
    """Rows of the table, in any order."""
    rng = np.random.default_rng(seed)
    return rng.permutation(N)[: rng.integers(16, N + 1)]


@settings(deadline=None)
@given(SEEDS, SEEDS, st.floats(0.1, 0.8), st.booleans(), st.booleans())  # of few groups all but one can be held
def test_rows_to_stop_by_are_apart_from_the_others_and_none_is_lost(seed, draw, fraction, grouped, classifier):
    rows = some_rows(seed)
    groups = ALL % 13 if grouped else None
    train, valid = inner_split(Y, rows, groups, fraction, draw, classifier=classifier)
    assert sorted([*train, *valid]) == sorted(rows)
    assert len(train)
    assert len(valid)
    if grouped:
        assert not set(groups[train]) & set(groups[valid])
    again = inner_split(Y, rows, groups, fraction, draw, classifier=classifier)
    np.testing.assert_array_equal(np.concatenate(again), np.concatenate([train, valid]))


def test_the_seed_decides_which_rows():
    found = {tuple(inner_split(Y, ALL, None, 0.3, seed, classifier=True)[1]) for seed in range(10)}
    assert len(found) == 10


@settings(deadline=None)
@given(SEEDS, st.floats(0.2, 0.8))
def test_classes_keep_their_shares(seed, fraction):
    _, valid = inner_split(Y, ALL, None, fraction, seed, classifier=True)
    expected = np.bincount(Y) * len(valid) / N
    assert (abs(np.bincount(Y[valid], minlength=3) - expected) <= 1).all()


def test_numbers_have_no_classes_to_keep():
    values = (ALL < 4).astype(float)
    counts = {int(values[inner_split(values, ALL, None, 0.25, s, classifier=False)[1]].sum()) for s in range(40)}
    assert len(counts) > 1
    counts = {int(values[inner_split(values, ALL, None, 0.25, s, classifier=True)[1]].sum()) for s in range(40)}
    assert counts == {1}


def test_a_class_of_one_row_is_no_obstacle():
    y = np.where(ALL == 0, 9, ALL % 2)
    train, valid = inner_split(y, ALL, None, 0.25, 0, classifier=True)
    assert (len(train), len(valid)) == (30, 10)


def test_a_number_of_rows_instead_of_a_share():
    assert len(inner_split(Y, ALL, None, 7, 0, classifier=True)[1]) == 7
    _, valid = inner_split(Y, ALL, ALL // 4, 3, 0, classifier=True)
    assert len(np.unique(valid // 4)) == 3  # of the groups, where there are any
    assert len(valid) == 12


@pytest.mark.parametrize("as_given", [list, np.array, lambda g: np.array(g, dtype=object)])
def test_groups_may_be_named_by_anything(as_given):
    groups = [f"ship {i // 4}" for i in range(N)]
    train, valid = inner_split(Y, ALL, as_given(groups), 0.3, 0, classifier=True)
    assert not {groups[i] for i in train} & {groups[i] for i in valid}


def test_too_few_rows_for_all_classes_on_both_sides_are_split_without_regard_to_them():
    train, valid = inner_split(Y, ALL[:12], None, 1, 0, classifier=True)
    assert sorted([*train, *valid]) == list(range(12))
    assert len(valid) == 1


@pytest.mark.parametrize(
    ("rows", "groups", "fraction", "why"),
    [
        (ALL[:1], None, 0.1, r".*1 rows: .*"),
        (ALL, np.zeros(N), 0.1, r"0.1 of 40 rows: .*n_samples=1.*"),
        (ALL, None, 1.0, r"1.0 of 40 rows: .*"),
        (ALL, None, 1.5, r"1.5 of 40 rows: .*1.5.*"),
        (ALL, None, 40, r"40 of 40 rows: .*40.*"),
        (ALL, None, "half", r"half of 40 rows: .*half.*"),
    ],
)
def test_impossible_splits_name_the_parameter_and_the_way_out(rows, groups, fraction, why):
    sentence = (
        rf"^early_stopping cannot set aside validation_fraction={why} "
        r"Change validation_fraction, or set early_stopping=False\.$"
    )
    with pytest.raises(ValueError, match=sentence) as caught:
        inner_split(Y, rows, groups, fraction, 0, classifier=True)
    assert isinstance(caught.value.__cause__, ValueError)
