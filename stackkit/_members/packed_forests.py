"""Forests of several folds that predict few rows in one pass, with the same bits; or many, by sets of rows.

One tree answers one row in the time of a few additions; each call of a tree takes a hundred times as long. So the
nodes of all trees lie in one array each, and all trees go down a level at once. For many rows, whose path through a
tree is what takes time, scikit-learn's own loop is the faster one, unless the trees are small (`BitForest`).
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from stackkit._members.bit_forests import BitForest, means_by_sets
from stackkit._members.fast_predict import MANY_ROWS, ask, goes_by_tree, rows_for_trees
from stackkit._members.tree_nodes import nodes_of

MOST_ROWS = 8
MOST_AT_ONCE = 100_000  # of more rows, those of all folds would take much memory
MOST_NODES = 2_000_000  # about 60 MB


def joint_forests(estimators: Sequence[Any]) -> JointForests | None:
    """Fitted forests of one class as one; None for what are none, and for those that would take much memory."""
    first = type(estimators[0])
    alike = all(type(estimator) is first for estimator in estimators)
    row = np.zeros((1, 1))
    if not alike or not any(goes_by_tree(estimators[0], method, row) for method in ("predict", "predict_proba")):
        return None
    n_nodes = sum(tree.tree_.node_count for forest in estimators for tree in forest.estimators_)
    return JointForests(estimators) if n_nodes <= MOST_NODES else None


class JointForests:
    """Fitted forests of one class; a list of rows goes in, an item a forest, and a list comes out.

    Parameters
    ----------
    forests : sequence of estimators
        The forests.
    """

    def __init__(self, forests: Sequence[Any]) -> None:
        self._forests = list(forests)
        self._trees: FlatTrees | None = None
        self._by_sets: list[BitForest] | None = None

    def __getstate__(self) -> dict[str, Any]:
        # The arrays hold nothing that the forests have not.
        return {"_forests": self._forests, "_trees": None, "_by_sets": None}

    def takes(self, n_rows: int) -> bool:
        """Whether so many rows are predicted faster in one pass."""
        if n_rows <= MOST_ROWS:
            return True
        classes = hasattr(self._forests[0], "n_classes_")
        threads = any(forest.n_jobs not in (None, 1) for forest in self._forests)
        if not MANY_ROWS <= n_rows <= MOST_AT_ONCE or not classes or threads:
            return False
        return all(forest.pays for forest in self._bit_forests())

    def _bit_forests(self) -> list[BitForest]:
        if self._by_sets is None:
            self._by_sets = [BitForest(forest) for forest in self._forests]
        return self._by_sets

    def predict_proba(self, inputs: Sequence[Any]) -> list[np.ndarray]:
        """Probabilities (n, c) by each forest."""
        return self._answers("predict_proba", inputs)

    def predict(self, inputs: Sequence[Any]) -> list[np.ndarray]:
        """Labels or values by each forest."""
        return self._answers("predict", inputs)

    def _answers(self, method: str, inputs: Sequence[Any]) -> list[np.ndarray]:
        pairs = list(zip(self._forests, inputs, strict=True))
        if not all(goes_by_tree(forest, method, X) for forest, X in pairs):
            return [ask(forest, method, X) for forest, X in pairs]
        checked: dict[int, np.ndarray] = {}
        for forest, X in pairs:
            if id(X) not in checked:
                checked[id(X)] = rows_for_trees(forest, X)
        rows = [checked[id(X)] for X in inputs]
        if len(rows[0]) > MOST_ROWS:
            if any(np.isnan(own).any() for own in checked.values()):
                return [ask(forest, method, X) for forest, X in pairs]
            return means_by_sets(self._bit_forests(), rows)
        if self._trees is None:
            self._trees = FlatTrees(self._forests)
        means = self._trees.means(rows)
        if method == "predict":
            return [mean[:, 0] for mean in means]
        return [mean[:, : forest.n_classes_] for forest, mean in zip(self._forests, means, strict=True)]


class FlatTrees:
    """The nodes of all trees of some forests, one below the other. A leaf leads to itself.

    Parameters
    ----------
    forests : sequence of estimators
        Fitted forests with one output.
    """

    def __init__(self, forests: Sequence[Any]) -> None:
        trees = [tree.tree_ for forest in forests for tree in forest.estimators_]
        nodes = nodes_of(trees)
        self._roots = nodes.roots
        self._ends = np.cumsum([len(forest.estimators_) for forest in forests])
        self._depth = max(tree.max_depth for tree in trees)
        self._next = np.column_stack([nodes.left, nodes.right]).ravel()
        self._feature, self._threshold = nodes.feature, nodes.threshold
        self._missing_left = np.concatenate([tree.missing_go_to_left for tree in trees]).astype(bool)
        self._values = np.zeros((len(nodes.left), max(tree.value.shape[2] for tree in trees)))
        for root, tree in zip(self._roots, trees, strict=True):
            self._values[root : root + tree.node_count, : tree.value.shape[2]] = tree.value[:, 0]

    def means(self, inputs: Sequence[np.ndarray]) -> list[np.ndarray]:
        """Mean over the trees of each forest, (n, c), for rows of its own: as many everywhere, without infinity."""
        n_rows, widths = len(inputs[0]), [rows.shape[1] for rows in inputs]
        starts = np.cumsum([0, *(rows.size for rows in inputs[:-1])])
        n_trees = np.diff(self._ends, prepend=0)
        # Where each row of each tree begins among all numbers, (trees, n).
        places = np.repeat(starts, n_trees)[:, np.newaxis] + np.outer(np.repeat(widths, n_trees), np.arange(n_rows))
        nodes = self._leaves(np.concatenate([rows.ravel() for rows in inputs]), places)
        # Added up in the order of the trees, as forests do it: a sum over an axis may go another way.
        return [
            np.add.accumulate(self._values[part], axis=0)[-1] / len(part)
            for part in np.split(nodes, self._ends[:-1], axis=0)
        ]

    def _leaves(self, numbers: np.ndarray, places: np.ndarray) -> np.ndarray:
        """The leaf that each row reaches in each tree, (trees, n)."""
        holes = bool(np.isnan(numbers).any())
        nodes = np.broadcast_to(self._roots[:, np.newaxis], places.shape)
        for _ in range(self._depth):
            x = numbers[places + self._feature[nodes]]
            right = ~(x <= self._threshold[nodes])
            if holes:
                right &= ~(np.isnan(x) & self._missing_left[nodes])
            nodes = self._next[2 * nodes + right]
        return nodes
