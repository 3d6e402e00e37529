"""A learner's own hold-out: rows by which its training decides when to stop."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
from sklearn.model_selection import GroupShuffleSplit, ShuffleSplit, StratifiedShuffleSplit


def inner_split(
    y: np.ndarray, rows: np.ndarray, groups: Any, fraction: float, seed: int, *, classifier: bool
) -> tuple[np.ndarray, np.ndarray]:
    """Rows to learn from and rows to decide when to stop; groups stay together."""
    how = {"n_splits": 1, "test_size": fraction, "random_state": seed}
    own_groups = None if groups is None else np.asarray(groups)[rows]
    try:
        if groups is not None:
            split = GroupShuffleSplit(**how).split(rows, None, own_groups)
        elif classifier and _can_stratify(y[rows], fraction):
            split = StratifiedShuffleSplit(**how).split(rows, y[rows])
        else:
            split = ShuffleSplit(**how).split(rows)
        train, valid = next(iter(split))
    except ValueError as error:
        raise ValueError(
            f"early_stopping cannot set aside validation_fraction={fraction} of {len(rows)} rows: {error} "
            f"Change validation_fraction, or set early_stopping=False."
        ) from error
    return rows[np.sort(train)], rows[np.sort(valid)]


def _can_stratify(labels: np.ndarray, fraction: Any) -> bool:
    """Whether each class has two rows, and each side as many rows as there are classes."""
    if not isinstance(fraction, int | float):
        return False  # for the splitter to refuse
    counts = np.unique(labels, return_counts=True)[1]
    held = math.ceil(fraction * len(labels)) if fraction < 1 else fraction
    return bool(counts.min() >= 2 and len(counts) <= min(held, len(labels) - held))
