"""Forests that predict few rows in one pass give what each of them gives, bit for bit."""

import pickle

import numpy as np
import pandas as pd
import pytest
from scipy import sparse
from sklearn.datasets import make_classification
from sklearn.ensemble import ExtraTreesClassifier, ExtraTreesRegressor, RandomForestClassifier, RandomForestRegressor
from sklearn.linear_model import LogisticRegression

from stackkit._members import joint_forests
from stackkit._members.packed_forests import MOST_ROWS

X, Y = make_classification(120, 6, n_informative=4, n_classes=3, random_state=0)
NUMBERS = X[:, 0] * X[:, 1]
HOLES = np.where(np.random.default_rng(0).random(X.shape) < 0.2, np.nan, X)


def _folds(kind, rows, y):
    """Three forests, each fitted without a third of the rows."""
    keep = [np.arange(len(y)) % 3 != k for k in range(3)]
    return [kind(7, random_state=k).fit(rows[mask], y[mask]) for k, mask in enumerate(keep)]


@pytest.mark.parametrize(
    "kind", [RandomForestClassifier, ExtraTreesClassifier, RandomForestRegressor, ExtraTreesRegressor]
)
@pytest.mark.parametrize("rows", [X, HOLES, X.astype(np.float32), np.round(3 * X).astype(int)])
@pytest.mark.parametrize("n", [1, 2, MOST_ROWS])
def test_all_trees_at_once(kind, rows, n):
    method, y = ("predict_proba", Y) if hasattr(kind, "predict_proba") else ("predict", NUMBERS)
    forests = _folds(kind, rows, y)
    joint = joint_forests(forests)
    for start in range(0, len(rows) - n, 10):
        some = rows[start : start + n]
        for found, forest in zip(getattr(joint, method)([some] * 3), forests, strict=True):
            np.testing.assert_array_equal(found, getattr(forest, method)(some))
    assert joint._trees is not None
    again = pickle.loads(pickle.dumps(joint))
    assert again._trees is None
    np.testing.assert_array_equal(getattr(again, method)([rows[:n]] * 3), getattr(joint, method)([rows[:n]] * 3))


def test_values_may_be_missing_where_none_was_in_training():
    forests = _folds(ExtraTreesClassifier, X, Y)
    for found, forest in zip(joint_forests(forests).predict_proba([HOLES[:5]] * 3), forests, strict=True):
        np.testing.assert_array_equal(found, forest.predict_proba(HOLES[:5]))


def test_each_forest_has_rows_of_its_own_width_and_classes_of_its_own():
    forests = [
        RandomForestClassifier(5, random_state=0).fit(X, Y),
        RandomForestClassifier(3, random_state=1).fit(X[:, :4], Y == 2),
        RandomForestClassifier(1, random_state=2).fit(X[:, :1], np.zeros(len(Y))),
    ]
    inputs = [X[:3], X[:3, :4], X[:3, :1]]
    for found, forest, rows in zip(joint_forests(forests).predict_proba(inputs), forests, inputs, strict=True):
        np.testing.assert_array_equal(found, forest.predict_proba(rows))


def test_what_is_not_of_plain_numbers_goes_the_usual_way():
    forests = _folds(RandomForestClassifier, X, Y)
    joint = joint_forests(forests)
    for found, forest in zip(joint.predict([X[:2]] * 3), forests, strict=True):  # labels, which are no mean
        np.testing.assert_array_equal(found, forest.predict(X[:2]))
    rows = sparse.csr_matrix(X[:2])
    for found, forest in zip(joint.predict_proba([rows] * 3), forests, strict=True):
        np.testing.assert_array_equal(found, forest.predict_proba(rows))
    assert joint._trees is None


@pytest.mark.parametrize(
    ("rows", "message"),
    [
        (X[:1, :5], "X has 5 features"),
        (np.full((1, 6), 1e300), "infinity or a value too large"),
        (np.full((1, 6), -np.inf), "infinity or a value too large"),
        (pd.DataFrame(X[:1]).rename(columns=str), "feature names"),
    ],
)
def test_rows_are_refused_as_forests_refuse_them(rows, message):
    kinds = {True: pd.DataFrame(X, columns=list("abcdef")), False: X}
    forests = _folds(RandomForestClassifier, kinds[isinstance(rows, pd.DataFrame)], Y)
    with pytest.raises(ValueError, match=message):
        joint_forests(forests).predict_proba([rows] * 3)


def test_what_is_not_joined(monkeypatch):
    forests = _folds(RandomForestClassifier, X, Y)
    assert joint_forests([LogisticRegression()] * 2) is None
    assert joint_forests([forests[0], ExtraTreesClassifier(2).fit(X, Y)]) is None
    assert joint_forests(_folds(RandomForestClassifier, X, np.column_stack([Y, Y]))) is None  # two outputs
    n_nodes = sum(tree.tree_.node_count for forest in forests for tree in forest.estimators_)
    monkeypatch.setattr("stackkit._members.packed_forests.MOST_NODES", n_nodes)
    assert joint_forests(forests) is not None
    monkeypatch.setattr("stackkit._members.packed_forests.MOST_NODES", n_nodes - 1)
    assert joint_forests(forests) is None
