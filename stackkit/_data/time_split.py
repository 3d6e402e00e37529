"""Folds that go forward in time and keep rows of the same time together."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import pairwise
from typing import Any

import numpy as np
from sklearn.model_selection import BaseCrossValidator
from sklearn.utils import check_consistent_length


class TimeOrderSplit(BaseCrossValidator):
    """TimeSeriesSplit for rows that may share their time; each row's time is given as ``groups``.

    A fold tests the rows of some successive times, and trains on those of all times before them but the last ``gap``.
    Rows may stand in any order.

    Test parts are to be as large as those of TimeSeriesSplit: ``n_splits`` times ``n_rows // (n_splits + 1)`` rows, up
    to the last one. Each of their first rows moves, from the first part on, to the nearest change of time (of two as
    near, to the earlier one) that leaves a time or more to train on, and to each test part. So where all times differ,
    the folds are those of TimeSeriesSplit.

    Parameters
    ----------
    n_splits : int
        Number of folds.
    gap : int
        Number of different times before each test part that are left out of its training part.

    Examples
    --------
    >>> days = ["Mon", "Mon", "Mon", "Tue", "Wed", "Wed", "Wed", "Wed"]
    >>> for train, test in TimeOrderSplit(2).split(days, groups=days):
    ...     print(train, test)
    [0 1 2] [3]
    [0 1 2 3] [4 5 6 7]
    """

    # As in scikit-learn's splitters of groups: without metadata routing nobody has to ask for it.
    __metadata_request__split = {"groups": True}  # noqa: RUF012

    def __init__(self, n_splits: int = 5, *, gap: int = 0) -> None:
        self.n_splits = n_splits
        self.gap = gap

    def split(self, X: Any, y: Any = None, groups: Any = None) -> Iterator[tuple[np.ndarray, np.ndarray]]:
        """Rows to train on and rows to test.

        Parameters
        ----------
        X : array-like of shape (n_rows, ...)
            Rows.
        y : array-like, optional
            Not used.
        groups : array-like of shape (n_rows,)
            Time of each row, as anything that can be sorted.

        Yields
        ------
        train, test : ndarray
            Row numbers.
        """
        if groups is None:
            raise ValueError("TimeOrderSplit needs the time of each row; got groups=None. Pass times as 'groups'.")
        check_consistent_length(X, groups)
        times, ranks = np.unique(np.asarray(groups), return_inverse=True)
        needed = self.n_splits + self.gap + 1
        if len(times) < needed:
            raise ValueError(
                f"n_splits={self.n_splits} and gap={self.gap} need {needed} different times; got {len(times)}. Use "
                "fewer folds, or a smaller gap."
            )
        for first, end in pairwise([*self._first_times(np.bincount(ranks)), len(times)]):
            yield np.flatnonzero(ranks < first - self.gap), np.flatnonzero((first <= ranks) & (ranks < end))

    def _first_times(self, counts: np.ndarray) -> list[int]:
        """The number of the time with which each test part begins; ``counts`` are the rows of each time."""
        rows_before = np.cumsum(counts) - counts
        size = counts.sum() // (self.n_splits + 1)
        found: list[int] = []
        least = self.gap + 1
        for left in range(self.n_splits, 0, -1):
            changes = rows_before[least : len(counts) - left + 1]
            found.append(least + int(np.abs(changes - (counts.sum() - left * size)).argmin()))
            least = found[-1] + 1
        return found

    def get_n_splits(self, X: Any = None, y: Any = None, groups: Any = None) -> int:
        """Return the number of folds.

        Parameters
        ----------
        X, y, groups : object
            Not used.

        Returns
        -------
        int
            The number of folds.
        """
        return self.n_splits
