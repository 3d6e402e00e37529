"""The nodes of fitted trees of scikit-learn, one tree below the other."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

_LEAF = -1


@dataclass(frozen=True)
class Nodes:
    """``left`` and ``right`` say where a node leads to, among the nodes of all trees; a leaf leads to itself."""

    roots: np.ndarray
    is_leaf: np.ndarray
    left: np.ndarray
    right: np.ndarray
    feature: np.ndarray
    threshold: np.ndarray


def nodes_of(trees: Sequence[Any]) -> Nodes:
    """Of the ``tree_`` of some fitted trees."""
    sizes = [tree.node_count for tree in trees]
    roots = np.cumsum([0, *sizes[:-1]])
    left = np.concatenate([tree.children_left for tree in trees])
    right = np.concatenate([tree.children_right for tree in trees])
    is_leaf, own, offset = left == _LEAF, np.arange(len(left)), np.repeat(roots, sizes)
    return Nodes(
        roots,
        is_leaf,
        np.where(is_leaf, own, left + offset),
        np.where(is_leaf, own, right + offset),
        np.where(is_leaf, 0, np.concatenate([tree.feature for tree in trees])),
        np.concatenate([tree.threshold for tree in trees]),
    )
