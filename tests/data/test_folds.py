import pickle
from copy import deepcopy

import numpy as np
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from sklearn.base import clone
from sklearn.dummy import DummyRegressor
from sklearn.model_selection import (
    GroupKFold,
    KFold,
    LeaveOneGroupOut,
    LeaveOneOut,
    PredefinedSplit,
    RepeatedKFold,
    RepeatedStratifiedKFold,
    ShuffleSplit,
    StratifiedGroupKFold,
    StratifiedKFold,
    StratifiedShuffleSplit,
    TimeSeriesSplit,
    check_cv,
)
from sklearn.naive_bayes import GaussianNB

from stackkit import StackingModel, cross_fit
from stackkit._data.folds import Folds, make_folds, splitter_of

N = 24
X = np.random.default_rng(0).normal(size=(N, 2))
Y = np.array(["no", "yes"])[np.arange(N) // 2 % 2]
GROUPS = np.arange(N) // 3 % 4
PAIRS = [(np.arange(4, 12), np.arange(4)), (np.arange(8), np.arange(20, 24))]
MASKS = [(np.arange(N) >= 8, np.arange(N) < 8), (np.arange(N) % 3 > 0, np.arange(N) % 3 == 0)]

SPLITTERS = [
    3,
    KFold(4),
    KFold(3, shuffle=True, random_state=1),
    StratifiedKFold(3, shuffle=True, random_state=1),
    GroupKFold(4),
    StratifiedGroupKFold(2),
    LeaveOneOut(),
    LeaveOneGroupOut(),
    ShuffleSplit(3, test_size=0.2, random_state=1),
    StratifiedShuffleSplit(2, test_size=0.25, random_state=1),
    RepeatedKFold(n_splits=2, n_repeats=2, random_state=1),
    RepeatedStratifiedKFold(n_splits=3, n_repeats=2, random_state=1),
    TimeSeriesSplit(3),
    PredefinedSplit(np.arange(N) % 3 - 1),
    PAIRS,
    tuple(PAIRS),
]
UNSEEDED = [
    KFold(3, shuffle=True),
    StratifiedKFold(3, shuffle=True),
    StratifiedGroupKFold(2, shuffle=True),
    ShuffleSplit(3),
    RepeatedStratifiedKFold(n_splits=2, n_repeats=2),
]
each_splitter = pytest.mark.parametrize("cv", SPLITTERS, ids=lambda cv: str(cv)[:30])
each_unseeded = pytest.mark.parametrize("cv", UNSEEDED, ids=lambda cv: type(cv).__name__)


def groups_of(cv):
    """Splitters that do not group warn of groups."""
    return {"groups": GROUPS} if "Group" in type(cv).__name__ else {}


def assert_pairs_equal(pairs, expected):
    assert len(pairs) == len(expected) > 0
    for pair, reference in zip(pairs, expected, strict=True):
        for rows, wanted in zip(pair, reference, strict=True):
            np.testing.assert_array_equal(rows, wanted)
            assert rows.dtype == np.intp


def fit_model(cv, y=Y, learner=None, **params):
    learner = learner or GaussianNB()
    return StackingModel([("it", learner)], learner, cv=cv, random_state=0).fit(X, y, **params).oof_


def cross(cv, y=Y, learner=None, **params):
    return cross_fit([("it", learner or GaussianNB())], X, y, cv=cv, random_state=0, **params)


both_doors = pytest.mark.parametrize("door", [fit_model, cross], ids=["StackingModel", "cross_fit"])


# ---------------------------------------------------------------- the pairs


@both_doors
@each_splitter
def test_folds_are_scikit_learns_own_and_every_row_is_counted(door, cv):
    params = groups_of(cv)
    expected = list(check_cv(deepcopy(cv), Y, classifier=True).split(X, Y, **params))
    oof = door(cv, **params)
    assert_pairs_equal(oof.folds.pairs, expected)
    assert len(oof.folds) == len(expected)
    times = [sum(row in test for _, test in expected) for row in range(N)]
    assert oof.folds.n_tested.tolist() == times
    assert oof.covered.tolist() == oof.folds.covered.tolist() == [n > 0 for n in times]
    np.testing.assert_array_equal(np.isnan(oof.train).any(axis=1), ~oof.covered)


@both_doors
def test_a_number_means_stratified_folds_for_classes_and_plain_ones_for_numbers(door):
    grouped = np.repeat([0, 1], N // 2)
    assert_pairs_equal(door(3, grouped).folds.pairs, list(StratifiedKFold(3).split(X, grouped)))
    assert_pairs_equal(door(3, X[:, 0], DummyRegressor()).folds.pairs, list(KFold(3).split(X)))


@both_doors
def test_a_generator_of_pairs(door):
    assert_pairs_equal(door(pair for pair in PAIRS).folds.pairs, PAIRS)


@both_doors
def test_boolean_masks_are_rows(door):
    expected = [(np.flatnonzero(train), np.flatnonzero(test)) for train, test in MASKS]
    assert_pairs_equal(door(MASKS).folds.pairs, expected)
    assert_pairs_equal(door([tuple(map(list, pair)) for pair in MASKS]).folds.pairs, expected)


@settings(deadline=None, max_examples=40)
@given(st.lists(arrays(np.int8, N, elements=st.integers(0, 2)), min_size=1, max_size=4))
def test_rows_are_counted_however_pairs_overlap_between_folds(sides):
    assume(all((side == 0).any() and (side == 1).any() for side in sides))  # 2: in neither part
    folds = make_folds(splitter_of([(s == 0, s == 1) for s in sides], None, classifier=False), X, None, seed=0)
    times = sum((side == 1).astype(int) for side in sides)
    np.testing.assert_array_equal(folds.n_tested, times)
    np.testing.assert_array_equal(folds.covered, times > 0)
    assert folds.n_rows == N


def test_row_numbers_of_any_integer_type_may_come_as_lists():
    lists = [([1, 2, 3], [0]), (np.arange(1, 4, dtype=np.uint8), np.zeros(1, dtype=np.int32))]
    folds = make_folds(splitter_of(lists, None, classifier=False), X, None, seed=0)
    assert_pairs_equal(folds.pairs, [(np.arange(1, 4), np.zeros(1))] * 2)


def test_rows_after_the_last_one_tested_count_too():
    assert Folds(((np.array([1]), np.array([0])),), 3).n_tested.tolist() == [1, 0, 0]


# ---------------------------------------------------------------- the user's object and the seed


class SplitterThatCounts(KFold):
    """One that writes to itself when it splits."""

    calls = 0

    def split(self, X, y=None, groups=None):
        self.calls += 1
        return super().split(X, y, groups)


@both_doors
@pytest.mark.parametrize(
    "cv",
    [
        *SPLITTERS,
        *UNSEEDED,
        KFold(3, shuffle=True, random_state=np.random.RandomState(5)),
        MASKS,
        SplitterThatCounts(3),
    ],
    ids=lambda cv: str(cv)[:30],
)
def test_the_users_cv_object_is_unchanged(door, cv):
    before = pickle.dumps(cv)
    door(cv, **groups_of(cv))
    assert pickle.dumps(cv) == before


def test_a_random_state_object_gives_the_same_folds_in_each_fit():
    cv = KFold(3, shuffle=True, random_state=np.random.RandomState(5))
    expected = list(deepcopy(cv).split(X))
    assert_pairs_equal(cross(cv).folds.pairs, expected)
    assert_pairs_equal(cross(cv).folds.pairs, expected)


@each_unseeded
def test_the_seed_alone_makes_the_folds_of_a_splitter_without_one(cv):
    def tests_of(seed):
        np.random.seed(seed % 7)  # noqa: NPY002 - scikit-learn's splitters would ask this one
        pairs = make_folds(cv, X, Y, seed=seed, **groups_of(cv)).pairs
        return [test.tolist() for _, test in pairs]

    first = tests_of(1)
    np.random.seed(99)  # noqa: NPY002
    assert tests_of(1) == first
    assert any(tests_of(seed) != first for seed in range(2, 10))
    seeded = clone(cv) if hasattr(cv, "get_params") else deepcopy(cv)
    seeded.random_state = 1
    assert [test.tolist() for _, test in seeded.split(X, Y, **groups_of(cv))] == first


@both_doors
@each_unseeded
def test_the_random_state_of_the_stack_seeds_the_splitter(door, cv):
    first = door(cv, **groups_of(cv))
    np.random.seed(3)  # noqa: NPY002
    assert_pairs_equal(door(cv, **groups_of(cv)).folds.pairs, first.folds.pairs)


@pytest.mark.parametrize("cv", [KFold(3, shuffle=True, random_state=1), ShuffleSplit(2, random_state=0)])
def test_a_seed_of_the_users_own_wins(cv):
    assert_pairs_equal(make_folds(cv, X, Y, seed=77).pairs, list(cv.split(X, Y)))


# ---------------------------------------------------------------- refusals


def edge(rows):
    return [(np.arange(10), np.arange(10, 20)), (np.arange(10), rows)]


@both_doors
@pytest.mark.parametrize(
    ("cv", "match"),
    [
        ("five", "'cv' parameter must be .* got 'five'"),
        (1, "n_splits=2 or more, got n_splits=1"),
        (2.5, "Expected .?cv.? as an integer.* Got 2.5"),
        (N + 1, "n_splits=25 greater than the number of samples"),
        ([], r"'cv' parameter must test at least one row; got 0 fold\(s\) without a test row\. Use a splitter"),
        ([(np.arange(N), [])] * 2, r"must test at least one row; got 2 fold\(s\) without a test row"),
        ([(np.arange(N), np.zeros(N, dtype=bool))], r"must test at least one row; got 1 fold\(s\)"),
        (
            edge([]),
            "'cv' parameter must give training and test rows in each fold; fold 1 has no test row. Use fewer folds",
        ),
        ([([], [0, 1]), PAIRS[0]], "in each fold; fold 0 has no training row"),
        (
            edge([20, N]),
            "'cv' parameter must give row numbers from 0 to 23; got others in fold 1. Make the splits from this X",
        ),
        (edge([-1]), "row numbers from 0 to 23; got others in fold 1"),
        (edge([20.0, 21.0]), "row numbers from 0 to 23; got others in fold 1"),
        (edge(["a"]), "row numbers from 0 to 23; got others in fold 1"),
        ([([N], [0])], "row numbers from 0 to 23; got others in fold 0"),
        (
            edge([9, 20]),
            (
                "'cv' parameter must keep training and test rows apart; fold 1 trains on 1 of the rows that it tests, "
                "which leaks the target. Make each pair disjoint"
            ),
        ),
        ([(np.arange(N), np.arange(N))], "fold 0 trains on 24 of the rows that it tests"),
        (edge([20, 20, 21]), "must keep .* apart; fold 1 tests a row twice"),
    ],
)
def test_bad_cv(door, cv, match):
    with pytest.raises(ValueError, match=match):
        door(cv)


@both_doors
@pytest.mark.parametrize("n_rows", [N - 4, N + 4])
def test_a_mask_of_other_length_belongs_to_another_table(door, n_rows):
    rows = np.arange(n_rows)
    with pytest.raises(ValueError, match=r"'cv' parameter .*fold 0"):
        door([((rows < 8), (rows >= 8) & (rows < 16))])


@both_doors
@pytest.mark.parametrize("cv", [np.arange(N) % 3, [1, 2, 3], [(np.arange(9),)]], ids=["fold ids", "ints", "one"])
def test_what_gives_no_pairs_is_refused_in_words(door, cv):
    with pytest.raises(ValueError, match=r"'cv' parameter must"):
        door(cv)


@both_doors
def test_a_generator_serves_one_fit_only(door):
    pairs = (pair for pair in PAIRS)
    door(pairs)
    with pytest.raises(ValueError, match=r"must test at least one row; got 0 fold\(s\)"):
        door(pairs)


@both_doors
@pytest.mark.parametrize("cv", [GroupKFold(2), LeaveOneGroupOut()])
def test_group_splitters_ask_for_groups(door, cv):
    with pytest.raises(ValueError, match="groups"):
        door(cv)
    with pytest.raises(ValueError, match="inconsistent numbers of samples"):
        door(cv, groups=GROUPS[:-1])


def test_test_rows_may_be_cut_in_two():
    pairs = ((np.arange(3), np.array([5, 3, 4])), (np.arange(2), np.array([2, 6])))
    assert [part.tolist() for part in Folds(pairs, 7).test_parts(0)] == [[5, 3, 4]]
    cut = Folds(pairs, 7, cuts=(1, 2))
    assert [part.tolist() for part in cut.test_parts(0)] == [[5], [3, 4]]
    assert [part.tolist() for part in cut.test_parts(1)] == [[2, 6], []]


def test_folds_have_names_for_errors():
    pairs = ((np.arange(3), np.array([5, 3, 4])),)
    assert Folds(pairs, 7).title(0) == "fold 0 of 1"
    assert Folds(pairs, 7, ("inner fold 0 of outer fold 1",)).title(0) == "inner fold 0 of outer fold 1"


def test_learners_that_are_fitted_already_have_a_stack_of_their_own():
    with pytest.raises(ValueError, match=r"got 'prefit'\. .* a stack takes 'prefit', and cross_fit each .*FrozenEstimator"):
        cross("prefit")
