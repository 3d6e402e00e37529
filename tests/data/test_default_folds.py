"""What cv=None means: folds of shuffled rows, stratified for classes, groups kept together, the same in each call."""

import warnings

import numpy as np
import pytest
import sklearn
from sklearn.dummy import DummyClassifier, DummyRegressor
from sklearn.model_selection import StratifiedKFold

from stackkit import StackingModel, cross_fit
from stackkit._data import ShuffledFolds
from stackkit.evaluation import nested_scores
from stackkit.exceptions import MissingClassWarning

N = 120
X = np.arange(2.0 * N).reshape(N, 2)
CLASSES = np.repeat(["a", "b", "c"], [60, 40, 20])  # sorted
NUMBERS = np.arange(float(N))
GROUPS = np.arange(N) // 10


def _model(y, **settings):
    dummy = DummyRegressor() if y is NUMBERS else DummyClassifier(strategy="prior")
    return StackingModel([("it", dummy)], dummy, **settings)


def fit_model(y, random_state=None, **params):
    return _model(y, random_state=random_state).fit(X, y, **params).oof_.folds.pairs


def cross(y, random_state=None, **params):
    return cross_fit(_model(y).estimators, X, y, random_state=random_state, **params).folds.pairs


def nested(y, random_state=None, **params):
    return nested_scores(_model(y, random_state=random_state), X, y, **params).folds.pairs


every_door = pytest.mark.parametrize("door", [fit_model, cross, nested])


def _equal(one, other):
    return all(np.array_equal(a, b) for pair in zip(one, other, strict=True) for a, b in zip(*pair, strict=True))


@every_door
@pytest.mark.parametrize("y", [CLASSES, NUMBERS], ids=["classes", "numbers"])
def test_five_folds_of_shuffled_rows(door, y):
    pairs = door(y)
    assert len(pairs) == 5
    assert sorted(np.concatenate([test for _, test in pairs])) == list(range(N))
    for train, test in pairs:
        assert not set(train) & set(test)
        assert len(train) + len(test) == N
        assert np.diff(np.sort(test)).max() > 5  # not a stretch of neighbours
        if y is CLASSES:
            assert np.unique(y[test], return_counts=True)[1].tolist() == [12, 8, 4]


@every_door
def test_two_calls_agree_and_random_state_seeds_them(door):
    assert _equal(door(CLASSES), door(CLASSES))
    assert _equal(door(CLASSES, 1), door(CLASSES, 1))
    assert not _equal(door(CLASSES, 1), door(CLASSES))
    assert not _equal(door(CLASSES, 1), door(CLASSES, 2))


@every_door
@pytest.mark.parametrize("y", [CLASSES, NUMBERS], ids=["classes", "numbers"])
def test_groups_stay_together(door, y):
    for train, test in door(y, groups=GROUPS):
        assert not set(GROUPS[train]) & set(GROUPS[test])


def test_groups_stay_together_under_metadata_routing():
    with sklearn.config_context(enable_metadata_routing=True):
        for train, test in fit_model(CLASSES, groups=GROUPS):
            assert not set(GROUPS[train]) & set(GROUPS[test])


def test_inner_folds_keep_groups_together_too():
    class Looks(DummyClassifier):
        def fit(self, X, y, sample_weight=None):
            seen.append({int(row) // 10 for row in X[:, 0] / 2})
            self.rows_ = set(X[:, 0])
            return super().fit(X, y)

        def predict_proba(self, X):
            assert not {int(row) // 10 for row in X[:, 0] / 2} & {int(row) // 10 for row in np.array([*self.rows_]) / 2}
            return super().predict_proba(X)

    seen = []
    looks = Looks(strategy="prior")
    nested_scores(StackingModel([("it", looks)], DummyClassifier()), X, CLASSES, groups=GROUPS)
    assert len(seen) == 25


def test_fewer_groups_than_folds_are_as_many_folds():
    assert len(fit_model(CLASSES, groups=np.arange(N) % 3)) == 3
    with pytest.raises(ValueError, match=r"'groups' parameter must name two groups or more.*got 1\. Leave groups out"):
        fit_model(CLASSES, groups=np.zeros(N))


@pytest.mark.parametrize("groups", [None, GROUPS])
def test_of_many_rows_some_are_drawn(groups):
    splitter = ShuffledFolds(3, stratified=True, max_rows=N // 2, random_state=0)
    pairs = list(splitter.split(X, CLASSES, groups))
    tested = np.concatenate([test for _, test in pairs])
    assert len(tested) == len(set(tested)) == N // 2
    for train, test in pairs:
        assert set(train) | set(test) == set(tested)
        assert not set(train) & set(test)
        if groups is not None:
            assert not set(groups[train]) & set(groups[test])
    assert _equal(pairs, list(splitter.split(X.tolist(), CLASSES.tolist(), groups)))
    whole = ShuffledFolds(3, stratified=True, max_rows=N, random_state=0).split(X, CLASSES, groups)
    assert _equal(list(whole), list(ShuffledFolds(3, stratified=True, random_state=0).split(X, CLASSES, groups)))


def test_a_multilabel_target_has_plain_folds():
    y = np.stack([CLASSES == "a", np.arange(N) % 2 == 0], axis=1).astype(int)
    pairs = cross_fit([DummyClassifier(strategy="prior")], X, y).folds.pairs
    assert _equal(pairs, list(ShuffledFolds(random_state=0).split(X)))


def test_a_number_of_folds_is_not_shuffled():
    pairs = cross_fit([DummyClassifier(strategy="prior")], X, CLASSES, cv=4).folds.pairs
    assert _equal(pairs, list(StratifiedKFold(4).split(X, CLASSES)))


@pytest.mark.parametrize("groups", [None, GROUPS])
def test_as_many_pairs_as_are_promised(groups):
    folds = ShuffledFolds(4, random_state=0)
    assert len(list(folds.split(X, NUMBERS, groups))) == folds.get_n_splits(X, NUMBERS, groups) == 4


# --- few rows, and classes of few rows ------------------------------------------------------------------


@pytest.mark.parametrize(
    ("y", "n_folds"),
    [
        (["a"] * 9 + ["b"] * 2, 5),  # a test part may lack b
        (["a"] * 9 + ["b"] * 8 + ["c"], 5),  # the training part of one fold lacks c
        (["a"] * 3 + ["b"] * 3 + ["c"], 3),
        (["a"] * 2 + ["b"] * 2, 2),
        (["a"] * 2 + ["b", "c"], 2),
    ],
)
def test_as_many_folds_as_the_largest_class_has_rows(y, n_folds):
    folds = ShuffledFolds(stratified=True, random_state=0)
    rows = np.zeros((len(y), 1))
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        pairs = list(folds.split(rows, y))
    assert len(pairs) == n_folds == folds.get_n_splits(rows, y)
    assert sorted(np.concatenate([test for _, test in pairs])) == list(range(len(y)))
    assert all(len(set(np.array(y)[train])) > 1 for train, _ in pairs)


@pytest.mark.parametrize("groups", [None, [0, 1, 1, 2]])
def test_fewer_rows_or_groups_than_folds(groups):
    folds = ShuffledFolds(random_state=0)
    pairs = list(folds.split(np.zeros((4, 1)), groups=groups))
    assert len(pairs) == folds.get_n_splits(np.zeros((4, 1)), groups=groups) == (4 if groups is None else 3)


@pytest.mark.parametrize(
    ("y", "match"),
    [
        ([1, 1, 1, 0], "y must have two rows or more .* got one row of the class 0 of 2 classes"),
        (["a", "b", "c"], "y must have two rows or more .* got one row of each of 3 classes"),
    ],
)
def test_classes_that_nobody_could_learn_are_refused(y, match):
    with pytest.raises(ValueError, match=match):
        list(ShuffledFolds(stratified=True).split(np.zeros((len(y), 1)), y))


@every_door
def test_a_class_of_one_row_is_warned_of_by_stackkit_alone(door):
    y = CLASSES.copy()
    y[0] = "d"
    with pytest.warns(MissingClassWarning, match=r"lacks .d.") as caught:
        door(y)
    assert {warning.category for warning in caught} == {MissingClassWarning}
