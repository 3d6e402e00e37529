"""The same nearest neighbours by a shorter way: few rows ask the search tree at once, many rows all training rows.

scikit-learn has joblib ask the tree, which takes longer than to find the neighbours of one row. And in more than a few
dimensions a tree looks at most training rows one by one; a matrix product has the distances to all of them in less
time, but rounds them: where that leaves the neighbours in doubt, the tree decides.
"""

from __future__ import annotations

from collections.abc import Callable
from copy import copy
from functools import partial
from typing import Any

import numpy as np
from scipy import sparse
from sklearn.neighbors import KDTree, NearestNeighbors
from sklearn.utils.validation import validate_data

MANY_ROWS = 200  # from which on it pays to ask whether the tree is of use
SAMPLE_ROWS = 32  # that are asked for that
USEFUL = 0.5  # a tree looks at a smaller share of the training rows: at each three times as long as a product
MOST_ROWS = 20_000  # of training


def has_tree(model: Any, X: Any) -> bool:
    """Whether it finds neighbours of X by a search tree of plain distances."""
    return not sparse.issparse(X) and isinstance(_tree(model), KDTree) and model.effective_metric_ == "euclidean"


def class_votes(model: Any, X: Any) -> np.ndarray:
    """``predict_proba`` of k nearest neighbours."""
    return _with_neighbors(model, partial(_neighbors, model, in_order=False)).predict_proba(X)


def neighbors_mean(model: Any, X: Any) -> np.ndarray:
    """``predict`` of numbers by k nearest neighbours: their order shows in the last bit of a mean."""
    return _with_neighbors(model, partial(_neighbors, model, in_order=True)).predict(X)


def _tree(model: Any) -> Any:
    return getattr(model, "_tree", None)  # there is no public name; without it, scikit-learn's own way is taken


def _with_neighbors(model: Any, kneighbors: Callable[..., Any]) -> Any:
    """The model as it is, but for how it finds neighbours."""
    twin = copy(model)
    twin.kneighbors = kneighbors
    return twin


def _neighbors(model: Any, X: Any, *, return_distance: bool = True, in_order: bool) -> Any:
    rows = validate_data(model, X, reset=False, order="C")  # as the model does it
    rows = np.asarray(rows, dtype=np.float64)
    tree, k = _tree(model), model.n_neighbors
    if not _looks_at_most(tree, rows, k):
        return tree.query(rows, k, return_distance=return_distance)
    distances, places, doubtful = _by_product(tree, rows, k)
    if return_distance or in_order:
        distances, places = _nearest_first(rows, np.asarray(tree.data), places)
    if in_order:
        doubtful |= (np.diff(distances, axis=1) == 0).any(axis=1)
    if doubtful.any():
        distances[doubtful], places[doubtful] = tree.query(rows[doubtful], k)
    return (distances, places) if return_distance else places


def _looks_at_most(tree: KDTree, rows: np.ndarray, k: int) -> bool:
    """Whether the search tree saves too little; it counts the rows that it looks at."""
    n_known = len(tree.data)
    if len(rows) < MANY_ROWS or not k < n_known <= MOST_ROWS:
        return False
    before = tree.get_n_calls()
    tree.query(rows[:: len(rows) // SAMPLE_ROWS][:SAMPLE_ROWS], k)
    return bool(tree.get_n_calls() - before > USEFUL * SAMPLE_ROWS * n_known)


def _by_product(tree: KDTree, rows: np.ndarray, k: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Rounded distances (n, k) and places (n, k) of the neighbours, and rows (n,) that may have others."""
    known = np.asarray(tree.data)
    distances, places = NearestNeighbors(algorithm="brute").fit(known).kneighbors(rows, k + 1)
    # A product of d terms, and sums of such, are off by at most this.
    sizes = np.einsum("ij,ij->i", rows, rows) + np.einsum("ij,ij->i", known, known).max()
    slack = 8 * (rows.shape[1] + 8) * np.finfo(float).eps * sizes
    doubtful = distances[:, k] ** 2 - distances[:, k - 1] ** 2 <= slack
    return distances[:, :k], places[:, :k], doubtful


def _nearest_first(rows: np.ndarray, known: np.ndarray, places: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Distances and places, with distances as the tree computes them: one column after the other."""
    squares = np.zeros(places.shape)
    for of_row, of_known in zip(rows.T, known.T, strict=True):
        squares += (of_row[:, np.newaxis] - of_known[places]) ** 2
    order = np.argsort(squares, axis=1, kind="stable")
    return np.sqrt(np.take_along_axis(squares, order, axis=1)), np.take_along_axis(places, order, axis=1)
