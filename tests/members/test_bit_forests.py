"""Forests that predict many rows by sets of rows give what each of them gives, bit for bit."""

import pickle

import numpy as np
import pandas as pd
import pytest
from scipy import sparse
from sklearn.datasets import make_classification
from sklearn.ensemble import ExtraTreesClassifier, ExtraTreesRegressor, RandomForestClassifier

from stackkit._members import bit_forests, joint_forests, packed_forests

X, Y = make_classification(120, 6, n_informative=4, n_classes=3, random_state=0)
TWO = (Y > 0).astype(int)
COARSE = np.round(X)  # some rows are the same, with other labels: leaves that hold several classes
NEW = np.random.default_rng(0).normal(size=(230, 6))
HALVES = np.round(2 * NEW) / 2  # on the thresholds of trees that know whole numbers
MANY = 150


@pytest.fixture(autouse=True)
def small(monkeypatch):
    """Blocks and parts of few rows and trees."""
    monkeypatch.setattr(packed_forests, "MANY_ROWS", MANY)
    monkeypatch.setattr(bit_forests, "BLOCK", 100)
    monkeypatch.setattr(bit_forests, "MOST_NODES", 80)
    monkeypatch.setattr(bit_forests, "PER_STEP", 1e9)  # it always pays


@pytest.fixture
def by_sets(monkeypatch):
    """How many forests went that way each time."""
    taken = []
    way = packed_forests.means_by_sets
    monkeypatch.setattr(
        packed_forests, "means_by_sets", lambda forests, rows: taken.append(len(forests)) or way(forests, rows)
    )
    return taken


def _folds(kind, rows, y, **options):
    keep = [np.arange(len(y)) % 3 != k for k in range(3)]
    return [kind(9, random_state=k, **options).fit(rows[mask], y[mask]) for k, mask in enumerate(keep)]


def _agree(forests, inputs):
    joint = joint_forests(forests)
    assert joint.takes(len(inputs[0]))
    for found, forest, rows in zip(joint.predict_proba(inputs), forests, inputs, strict=True):
        np.testing.assert_array_equal(found, forest.predict_proba(rows))


@pytest.mark.parametrize("kind", [RandomForestClassifier, ExtraTreesClassifier])
@pytest.mark.parametrize("known", [X, COARSE])
@pytest.mark.parametrize("y", [TWO, Y, np.array(list("uvw"))[Y]])
def test_classes_by_sets_of_rows(kind, known, y, by_sets):
    forests = _folds(kind, known, y)
    for rows in (NEW, HALVES.astype(np.float32), np.vstack([X] * 3), NEW[:MANY]):
        _agree(forests, [rows] * 3)
    assert by_sets == [3] * 4


@pytest.mark.parametrize("options", [{"max_depth": 1}, {"min_samples_leaf": 8}, {"class_weight": "balanced"}])
def test_leaves_of_several_kinds(options, by_sets, monkeypatch):
    monkeypatch.setattr(bit_forests, "MOST_KINDS", 100)
    _agree(_folds(RandomForestClassifier, COARSE, TWO, **options), [NEW] * 3)
    assert by_sets == [3]


def test_trees_without_a_question(by_sets, monkeypatch):
    monkeypatch.setattr(bit_forests, "MOST_NODES", 1)  # a part for each tree
    rare = np.zeros(len(Y), dtype=int)
    rare[0] = 1  # most trees are fitted without it
    _agree([RandomForestClassifier(30, random_state=0).fit(X, rare)], [np.vstack([X, X])])
    assert by_sets == [1]
    assert not joint_forests([RandomForestClassifier(3).fit(X, np.zeros(len(Y)))]).takes(MANY)


def test_each_forest_has_rows_of_its_own(by_sets):
    forests = [
        RandomForestClassifier(5, random_state=0).fit(X, Y),
        RandomForestClassifier(30, random_state=1).fit(X[:, :4], Y == 2),
        ExtraTreesClassifier(2, random_state=2).fit(X[:, 3:], Y),
    ]
    by_class = [forests[0], forests[1], RandomForestClassifier(4, random_state=3).fit(X, TWO)]
    frame = pd.DataFrame(NEW[:, :4])
    _agree(by_class, [NEW, frame, NEW])
    _agree(forests[2:], [NEW[:, 3:]])
    assert by_sets == [3, 1]


def test_who_goes_down_the_trees(by_sets, monkeypatch):
    forests = _folds(RandomForestClassifier, X, Y)
    joint = joint_forests(forests)
    holes = np.where(NEW > 2, np.nan, NEW)
    for rows in (holes, sparse.csr_matrix(NEW)):
        for found, forest in zip(joint.predict_proba([rows] * 3), forests, strict=True):
            np.testing.assert_array_equal(found, forest.predict_proba(rows))
    assert not by_sets
    assert [joint.takes(n) for n in (8, 9, MANY - 1, MANY, 100_000, 100_001)] == [True, False, False, True, True, False]
    assert joint._by_sets is not None
    assert pickle.loads(pickle.dumps(joint))._by_sets is None
    assert not joint_forests(_folds(ExtraTreesRegressor, X, X[:, 0])).takes(MANY)
    assert not joint_forests(_folds(RandomForestClassifier, X, Y, n_jobs=2)).takes(MANY)
    monkeypatch.setattr(bit_forests, "MOST_KINDS", 2)
    assert not joint_forests(_folds(RandomForestClassifier, COARSE, Y)).takes(MANY)
    monkeypatch.undo()
    assert joint_forests([RandomForestClassifier(50).fit(X, Y)]).takes(2000)
    rows = np.random.default_rng(0).normal(size=(4000, 2))
    large = [RandomForestClassifier(2).fit(rows, np.arange(4000) % 2)]
    assert not joint_forests(large).takes(2000)  # too many nodes
