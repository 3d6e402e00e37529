"""Forests for classes that predict many rows by sets of rows, with the same bits.

Going down a tree row by row, a processor loses most of its time where it guesses wrong which way a row goes. Here no
row goes anywhere. For each question of a tree there is the set of rows that it sends left, one bit a row. From the
leaves up, the rows that get a class below a node are those of its left child among the rows sent left, and those of its
right child among the others: three operations for 64 rows at once, at each node. So time grows with the number of
nodes, where it grows with the depth otherwise, and it pays for trees that were grown on few rows.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np

from stackkit._members.tree_nodes import Nodes, nodes_of

BLOCK = 1024  # rows at once
MOST_NODES = 30_000  # at once: their sets, four arrays of 128 bytes a node, stay in the processor's cache
MOST_KINDS = 8  # of leaves; trees that are grown until leaves hold one class have as many as there are classes
# Microseconds for a block of rows, measured; what counts is which way is the faster one.
PER_FEATURE, PER_NODE, PER_PLANE, PER_STEP = 60.0, 0.04, 0.04, 0.0035
WORD = 64


class BitForest:
    """A fitted forest for classes with one output.

    Parameters
    ----------
    forest : estimator
        The forest.
    """

    def __init__(self, forest: Any) -> None:
        trees = [tree.tree_ for tree in forest.estimators_]
        nodes = nodes_of(trees)
        values = np.concatenate([tree.value[:, 0, : forest.n_classes_] for tree in trees])
        kinds = _kinds_of(values[nodes.is_leaf])
        self.pays = kinds is not None and _pays(trees, nodes, _n_planes(kinds[0]))
        if kinds is None or not self.pays:
            return
        self._kinds, kind = kinds
        self._n_trees = len(trees)
        self._counts = ((self._kinds == 0) | (self._kinds == 1)).all()
        self.parts = [TreeSets(nodes_of(some), own, _n_planes(self._kinds)) for some, own in _parts(trees, kind)]

    def means(self, rows: SortedRows, space: Space) -> np.ndarray:
        """Mean over the trees, (n, c)."""
        total = np.zeros((len(rows), self._kinds.shape[1]))
        for part in self.parts:
            kinds = part.kinds(rows, space)
            if self._counts:  # whose sums are exact in any order; there are not 65,536 trees in a part
                counts = [(kinds == k).sum(axis=0, dtype=np.uint16) for k in range(len(self._kinds))]
                total += np.column_stack(counts).astype(float) @ self._kinds
            else:
                for of_tree in kinds:
                    total += self._kinds[of_tree]
        mean: np.ndarray = total / self._n_trees
        return mean


class TreeSets:
    """Some trees, as sets of rows pass through them.

    Parameters
    ----------
    nodes : Nodes
        Theirs.
    kind : ndarray of int
        A number for each leaf.
    n_planes : int
        Bits of these numbers.
    """

    def __init__(self, nodes: Nodes, kind: np.ndarray, n_planes: int) -> None:
        height = _heights(nodes)
        inner = np.flatnonzero(~nodes.is_leaf)
        inner = inner[np.argsort(height[inner], kind="stable")]
        self._ends = np.cumsum(np.bincount(height[inner])[1:])
        # A plane holds one bit of each leaf's number. Its sets: the empty one, that of all rows, and then one for each
        # node with a question, lower nodes first.
        place = np.empty(len(height), dtype=np.intp)
        place[inner] = np.arange(2, len(inner) + 2)
        self._planes = []
        for plane in range(n_planes):
            place[nodes.is_leaf] = kind >> plane & 1
            self._planes.append((place[nodes.left[inner]], place[nodes.right[inner]], place[nodes.roots]))
        order = np.lexsort((nodes.threshold[inner], nodes.feature[inner]))
        self._asked = np.empty(len(inner), dtype=np.intp)
        self._asked[order] = np.arange(len(inner))
        self.features, starts = np.unique(nodes.feature[inner][order], return_index=True)
        self._thresholds = np.split(nodes.threshold[inner][order], starts)[1:]

    def __len__(self) -> int:
        return len(self._asked)

    def kinds(self, rows: SortedRows, space: Space) -> np.ndarray:
        """Number of the leaf that each row reaches in each tree, (trees, n)."""
        none = np.zeros(0, dtype=np.intp)  # of trees without a question
        places = [none, *(rows.place(*found) for found in zip(self.features, self._thresholds, strict=True))]
        sent_left = space.sent_left[: len(self)]
        rows.sets.take(np.concatenate(places)[self._asked], axis=0, out=sent_left, mode="clip")
        found = self._plane(0, sent_left, space, len(rows))
        for plane in range(1, len(self._planes)):
            found |= self._plane(plane, sent_left, space, len(rows)) << plane
        return found

    def _plane(self, plane: int, sent_left: np.ndarray, space: Space, n_rows: int) -> np.ndarray:
        left, right, roots = self._planes[plane]
        sets = space.sets
        sets[0], sets[1] = 0, ~np.uint64(0)
        start = 0
        for end in self._ends:
            n = end - start
            one = sets.take(left[start:end], axis=0, out=space.one[:n], mode="clip")
            other = sets.take(right[start:end], axis=0, out=space.other[:n], mode="clip")
            one ^= other
            one &= sent_left[start:end]
            np.bitwise_xor(one, other, out=sets[start + 2 : end + 2])
            start = end
        return np.unpackbits(sets[roots].view(np.uint8), axis=1, bitorder="little", count=n_rows)


class Space:
    """Memory for the sets of rows of some nodes: to take new memory for each block would take half of the time.

    Parameters
    ----------
    n_nodes, n_words : int
        Nodes with a question, and words of 64 rows.
    """

    def __init__(self, n_nodes: int, n_words: int) -> None:
        self.sets = np.empty((n_nodes + 2, n_words), dtype=np.uint64)
        self.sent_left, self.one, self.other = np.empty((3, n_nodes, n_words), dtype=np.uint64)


class SortedRows:
    """Some rows, and for each feature the sets of its least value, of its two least, and so on: a bit a row.

    Parameters
    ----------
    rows : ndarray of float32, shape (n, d)
        Without missing values.
    features : ndarray of int
        Which are asked for.
    """

    def __init__(self, rows: np.ndarray, features: np.ndarray) -> None:
        n = len(rows)
        self._n_rows, self.n_words = n, -(-n // WORD)
        self._first = {feature: i * (n + 1) for i, feature in enumerate(features.tolist())}
        columns = np.ascontiguousarray(rows.T[features])
        order = np.argsort(columns, axis=1)
        self._sorted = np.take_along_axis(columns, order, axis=1).astype(np.float64)
        own = np.uint64(1) << (np.arange(n, dtype=np.uint64) % np.uint64(WORD))
        sets = np.zeros((len(features), n + 1, self.n_words), dtype=np.uint64)
        sets[np.arange(len(features))[:, np.newaxis], np.arange(1, n + 1), order // WORD] = own[order]
        for of_feature in sets:
            np.bitwise_or.accumulate(of_feature, axis=0, out=of_feature)
        self.sets = sets.reshape(-1, self.n_words)

    def __len__(self) -> int:
        return self._n_rows

    def place(self, feature: int, thresholds: np.ndarray) -> np.ndarray:
        """Where the sets are of the rows whose feature is at most each threshold; ascending ones are found faster."""
        first = self._first[int(feature)]
        return first + np.searchsorted(self._sorted[first // (self._n_rows + 1)], thresholds, side="right")


def means_by_sets(forests: Sequence[BitForest], inputs: Sequence[np.ndarray]) -> list[np.ndarray]:
    """Mean over the trees of each forest, (n, c), for rows of its own: as many everywhere, without missing values."""
    return [np.concatenate(parts) for parts in zip(*_blocks(forests, inputs), strict=True)]


def _blocks(forests: Sequence[BitForest], inputs: Sequence[np.ndarray]) -> Iterator[list[np.ndarray]]:
    asked: dict[int, list[np.ndarray]] = {id(rows): [] for rows in inputs}
    for forest, rows in zip(forests, inputs, strict=True):
        asked[id(rows)] += [part.features for part in forest.parts]
    features = {key: np.unique(np.concatenate(found)) for key, found in asked.items()}
    n_rows, space = len(inputs[0]), None
    for start in range(0, n_rows, BLOCK):
        known = {id(rows): SortedRows(rows[start : start + BLOCK], features[id(rows)]) for rows in inputs}
        if space is None or n_rows - start < BLOCK:
            n_words = known[id(inputs[0])].n_words
            space = Space(max(len(part) for forest in forests for part in forest.parts), n_words)
        yield [forest.means(known[id(rows)], space) for forest, rows in zip(forests, inputs, strict=True)]


def _pays(trees: Sequence[Any], nodes: Nodes, n_planes: int) -> bool:
    """Whether going down the trees row by row would take longer."""
    inner = ~nodes.is_leaf
    n_features = len(np.unique(nodes.feature[inner]))
    cost = PER_FEATURE * n_features + inner.sum() * (PER_NODE + PER_PLANE * n_planes)
    depth = sum(tree.weighted_n_node_samples[1:].sum() / tree.weighted_n_node_samples[0] for tree in trees)
    return bool(cost < PER_STEP * BLOCK * depth)


def _parts(trees: Sequence[Any], kind: np.ndarray) -> Iterator[tuple[list[Any], np.ndarray]]:
    """Trees that fit into memory, and the kinds of their leaves."""
    n_leaves = [tree.n_leaves for tree in trees]
    ends = np.cumsum(n_leaves)
    part = (ends - 1) * -(-ends[-1] // MOST_NODES) // ends[-1]  # a tree has one question less than leaves
    for number in np.unique(part):
        own = np.flatnonzero(part == number)
        yield [trees[i] for i in own.tolist()], kind[ends[own[0]] - n_leaves[own[0]] : ends[own[-1]]]


def _n_planes(kinds: np.ndarray) -> int:
    return max(1, (len(kinds) - 1).bit_length())


def _kinds_of(values: np.ndarray) -> tuple[np.ndarray, np.ndarray] | None:
    """Kinds of leaves (k, c) by their values (leaves, c), and each leaf's number; None where there are many."""
    if ((values == 0) | (values == 1)).all() and (values.sum(axis=1) == 1).all():
        return np.eye(values.shape[1]), values.argmax(axis=1)
    if any(len(np.unique(column)) > MOST_KINDS for column in values.T):
        return None
    kinds, kind = np.unique(values, axis=0, return_inverse=True)
    return (kinds, kind.ravel()) if len(kinds) <= MOST_KINDS else None


def _heights(nodes: Nodes) -> np.ndarray:
    """Questions between each node and the lowest leaf below it."""
    levels = [nodes.roots]
    while len(inner := levels[-1][~nodes.is_leaf[levels[-1]]]):
        levels.append(np.concatenate([nodes.left[inner], nodes.right[inner]]))
    height = np.zeros(len(nodes.left), dtype=np.intp)
    for level in reversed(levels):
        inner = level[~nodes.is_leaf[level]]
        height[inner] = 1 + np.maximum(height[nodes.left[inner]], height[nodes.right[inner]])
    return height
