"""Which rows a boosting learner sets aside, out of those that it is fitted to, to tell when to stop."""

from __future__ import annotations

from typing import Any

import numpy as np
from sklearn.utils import check_random_state
from sklearn.utils.validation import check_consistent_length

from stackkit._data import inner_split

GROWN = 1.1  # trees on all rows for each tree on those that were left to learn from


def trees_on_all_rows(found: int, most: int) -> int:
    """How many to grow on all rows, where so many were found to be right on those that were left to learn from."""
    return max(1, min(most, round(GROWN * found)))


def rows_to_stop_by(model: Any, X: Any, y: np.ndarray, groups: Any, *, classifier: bool) -> tuple[np.ndarray, ...]:
    """Rows to learn from, and rows to stop by: of classes that the others have, too. Groups stay together."""
    check_consistent_length(X, y, groups)
    if groups is not None and np.unique(np.asarray(groups)).size == 1:
        groups = None  # one group cannot be kept on one side
    seed = int(check_random_state(model.random_state).randint(2**31 - 1))
    train, held = inner_split(y, np.arange(len(y)), groups, model.validation_fraction, seed, classifier=classifier)
    if classifier:
        # Boosting refuses classes that only the rows set aside have.
        absent = held[~np.isin(y[held], y[train])]
        train, held = np.sort(np.concatenate([train, absent])), np.setdiff1d(held, absent)
    # Where nothing could be set aside (each class has one row), all rows do both.
    return train, held if len(held) else train
