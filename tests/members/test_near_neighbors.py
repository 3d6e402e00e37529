"""Neighbours found by a shorter way are those that scikit-learn finds, and so are their votes, bit for bit."""

import numpy as np
import pandas as pd
import pytest
from scipy import sparse
from sklearn.datasets import make_classification
from sklearn.neighbors import KNeighborsClassifier, KNeighborsRegressor
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from stackkit._members import near_neighbors
from stackkit._members.fast_predict import ask

X, Y = make_classification(160, 8, n_informative=6, n_classes=3, flip_y=0.2, random_state=0)
NEW = np.random.default_rng(0).normal(size=(300, 8))
COARSE = np.round(X)  # many rows are as far as others
WEIGHTS = ["uniform", "distance", lambda distances: np.exp(-distances)]


@pytest.fixture
def by_product(monkeypatch):
    """How many rows went that way each time."""
    taken = []
    way = near_neighbors._by_product
    monkeypatch.setattr(near_neighbors, "_by_product", lambda *a: taken.append(len(a[1])) or way(*a))
    return taken


def _agree(model, method, rows):
    np.testing.assert_array_equal(ask(model, method, rows), getattr(model, method)(rows))


@pytest.mark.parametrize("weights", WEIGHTS, ids=["uniform", "distance", "function"])
@pytest.mark.parametrize("known", [X, COARSE], ids=["apart", "ties"])
def test_classes_and_numbers_by_neighbors(known, weights, by_product):
    many = np.vstack([NEW, known])
    for rows in (many, many.astype(np.float32), np.round(many).astype(int), many[:1]):
        _agree(KNeighborsClassifier(7, weights=weights).fit(known, Y), "predict_proba", rows)
        _agree(KNeighborsRegressor(7, weights=weights).fit(known, X[:, 0] / 3), "predict", rows)
    assert by_product == [460] * 6


def test_several_targets_and_frames(by_product):
    names = list("abcdefgh")
    frame, new = pd.DataFrame(X, columns=names), pd.DataFrame(NEW, columns=names)
    two = KNeighborsClassifier(3).fit(frame, np.column_stack([Y, Y > 1]))
    for ours, theirs in zip(ask(two, "predict_proba", new), two.predict_proba(new), strict=True):
        np.testing.assert_array_equal(ours, theirs)
    _agree(make_pipeline(StandardScaler(), KNeighborsRegressor()).fit(frame, X[:, :2]), "predict", new)
    assert by_product == [300] * 2
    for wrong in (new.iloc[:, :5], new.rename(columns={"a": "z"})):
        with pytest.raises(ValueError, match="feature names should match"):
            ask(two, "predict_proba", wrong)
    with pytest.raises(ValueError, match="NaN"):
        ask(KNeighborsClassifier().fit(X, Y), "predict_proba", np.where(NEW > 2, np.nan, NEW))


@pytest.mark.parametrize(
    ("model", "known", "rows"),
    [
        (KNeighborsClassifier(2), X[:, :2], NEW[:, :2]),  # the tree looks at few
        (KNeighborsClassifier(7, metric="manhattan"), X, NEW),
        (KNeighborsClassifier(7, algorithm="ball_tree"), X, NEW),
        (KNeighborsClassifier(160, algorithm="kd_tree"), X, NEW),
        (KNeighborsClassifier(7, algorithm="brute"), X, NEW),
        (KNeighborsClassifier(7), sparse.csr_matrix(X), sparse.csr_matrix(NEW)),
    ],
)
def test_who_does_not_go_by_the_product(model, known, rows, by_product):
    _agree(model.fit(known, Y), "predict_proba", rows)
    assert not by_product


def test_far_from_zero_rounding_leaves_all_in_doubt(monkeypatch):
    known, rows = X + 1e8, NEW + 1e8
    monkeypatch.setattr(near_neighbors, "USEFUL", 0)
    _agree(KNeighborsClassifier(7).fit(known, Y), "predict_proba", rows)
    _agree(KNeighborsRegressor(7, weights="distance").fit(known, X[:, 0]), "predict", rows)
