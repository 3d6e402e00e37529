"""The folds that ``cv=None`` stands for: shuffled, stratified for classes, with groups kept together."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any
from warnings import catch_warnings, simplefilter

import numpy as np
from sklearn.model_selection import BaseCrossValidator, GroupKFold, KFold, StratifiedGroupKFold, StratifiedKFold
from sklearn.utils import check_random_state

from stackkit._data.rows import take_rows

N_FOLDS = 5
SEED = 0  # where the user gives none: two calls with the same rows have the same folds


class ShuffledFolds(BaseCrossValidator):
    """K-fold of shuffled rows; where ``groups`` are given, rows of one group are never on both sides.

    Rows of a file are often sorted, and folds of neighbouring rows then test what they never trained on.

    Parameters
    ----------
    n_splits : int
        Number of folds; where there are fewer rows, groups, or members of the largest class, as many folds as these.
    stratified : bool
        Whether each fold has about the same share of each class.
    max_rows : int or None
        Of more rows than that, as many are drawn by chance, and no fold trains on the others or tests them.
    random_state : int, RandomState or None
        Seeds the shuffling.

    Examples
    --------
    >>> import numpy as np
    >>> for train, test in ShuffledFolds(3, random_state=0).split(np.zeros((6, 1))):
    ...     print(train, test)
    [0 2 3 4] [1 5]
    [1 3 4 5] [0 2]
    [0 1 2 5] [3 4]
    """

    # As in scikit-learn's splitters of groups: without metadata routing nobody has to ask for it.
    __metadata_request__split = {"groups": True}  # noqa: RUF012

    def __init__(
        self,
        n_splits: int = N_FOLDS,
        *,
        stratified: bool = False,
        max_rows: int | None = None,
        random_state: Any = None,
    ) -> None:
        self.n_splits = n_splits
        self.stratified = stratified
        self.max_rows = max_rows
        self.random_state = random_state

    def split(self, X: Any, y: Any = None, groups: Any = None) -> Iterator[tuple[np.ndarray, np.ndarray]]:
        """Rows to train on and rows to test.

        Parameters
        ----------
        X : array-like of shape (n_rows, ...)
            Rows.
        y : array-like of shape (n_rows,), optional
            Classes, where folds are stratified.
        groups : array-like of shape (n_rows,), optional
            Group of each row.

        Yields
        ------
        train, test : ndarray
            Row numbers.
        """
        rng = check_random_state(self.random_state)
        drawn = self._drawn(X, rng)
        if drawn is not None:
            X, y, groups = (None if each is None else take_rows(_sliceable(each), drawn) for each in (X, y, groups))
        splitter = self._splitter(groups is not None)(
            self._n_folds(X, y, groups), shuffle=True, random_state=rng.randint(2**31 - 1)
        )
        with catch_warnings():
            # A class with few members lacks in some test parts, which does no harm; where a training part lacks
            # one, the fit says so.
            simplefilter("ignore", UserWarning)
            pairs = list(splitter.split(X, y, groups))
        yield from pairs if drawn is None else ((drawn[train], drawn[test]) for train, test in pairs)

    def _drawn(self, X: Any, rng: np.random.RandomState) -> np.ndarray | None:
        n_rows = np.shape(X)[0]
        if self.max_rows is None or n_rows <= self.max_rows:
            return None
        drawn: np.ndarray = np.sort(rng.choice(n_rows, self.max_rows, replace=False))
        return drawn

    def _splitter(self, grouped: bool) -> Any:
        if grouped:
            return StratifiedGroupKFold if self.stratified else GroupKFold
        return StratifiedKFold if self.stratified else KFold

    def _n_folds(self, X: Any, y: Any, groups: Any) -> int:
        """Fewer than ``n_splits`` for fewer rows, groups, or members of the largest class."""
        most = [self.n_splits]
        if groups is not None:
            n_groups = len(np.unique(np.asarray(groups)))
            if n_groups < 2:
                raise ValueError(
                    "The 'groups' parameter must name two groups or more, because each fold tests groups that it does "
                    f"not train on; got {n_groups}. Leave groups out, or set cv."
                )
            most.append(n_groups)
        elif X is not None:
            most.append(np.shape(X)[0])
        if self.stratified and y is not None:
            most.append(_largest_class(y))
        return min(most)

    def get_n_splits(self, X: Any = None, y: Any = None, groups: Any = None) -> int:
        """Return the number of folds.

        Parameters
        ----------
        X : array-like of shape (n_rows, ...), optional
            Rows.
        y : array-like of shape (n_rows,), optional
            Classes, where folds are stratified.
        groups : array-like of shape (n_rows,), optional
            Group of each row.

        Returns
        -------
        int
            The number of folds.
        """
        return self._n_folds(X, y, groups)


def _sliceable(values: Any) -> Any:
    return values if hasattr(values, "shape") else np.asarray(values)


def _largest_class(y: Any) -> int:
    """How many rows it has. Each row is predicted by what learned from others, of two classes at least."""
    classes, counts = np.unique(np.asarray(y), return_counts=True)
    if counts.max() < 2 or (len(counts) == 2 and counts.min() < 2):
        named = f"one row of the class {classes[np.argmin(counts)].item()!r}" if len(counts) == 2 else "one row of each"
        raise ValueError(
            f"y must have two rows or more of some classes, of both where there are two, because each row is predicted "
            f"by models of the other rows; got {named} of {len(counts)} classes. Get more rows, or set "
            "task='regression' where y holds numbers."
        )
    return int(counts.max())
