"""Folds: index pairs, made once and shared by all learners."""

from __future__ import annotations

from collections.abc import Iterator
from copy import deepcopy
from dataclasses import dataclass
from typing import Any

import numpy as np
from sklearn.model_selection import check_cv
from sklearn.utils.multiclass import type_of_target

from stackkit._data.default_folds import N_FOLDS, SEED, ShuffledFolds


@dataclass(frozen=True)
class Folds:
    """Pairs of (training rows, test rows) over ``n_rows`` rows.

    A row may be tested in several folds (repeats), or in none (the first rows of a time series). ``titles`` are what
    errors call the folds, where a number would not do. ``cuts`` tell where each fold's test rows are cut into two
    parts: these are predicted one after the other, for a batch may round otherwise than its parts do.
    """

    pairs: tuple[tuple[np.ndarray, np.ndarray], ...]
    n_rows: int
    titles: tuple[str, ...] = ()
    cuts: tuple[int, ...] = ()

    def __len__(self) -> int:
        return len(self.pairs)

    def test_parts(self, fold: int) -> list[np.ndarray]:
        test = self.pairs[fold][1]
        return np.split(test, [self.cuts[fold]]) if self.cuts else [test]

    def title(self, fold: int) -> str:
        return self.titles[fold] if self.titles else f"fold {fold} of {len(self)}"

    @property
    def n_tested(self) -> np.ndarray:
        """How many folds test each row, shape (n_rows,)."""
        tests = np.concatenate([test for _, test in self.pairs])
        return np.bincount(tests, minlength=self.n_rows)

    @property
    def covered(self) -> np.ndarray:
        """Which rows have an out-of-fold prediction, shape (n_rows,)."""
        return self.n_tested > 0

    def within(self, rows: np.ndarray) -> SameFolds | None:
        """The same folds for these rows alone, in their own numbers; None where none is left."""
        place = np.full(self.n_rows, -1)
        place[rows] = np.arange(len(rows))
        own = [tuple(part[part >= 0] for part in (place[train], place[test])) for train, test in self.pairs]
        pairs = tuple((train, test) for train, test in own if len(train) and len(test))
        return SameFolds(pairs, len(rows)) if pairs else None


class SameFolds:
    """A splitter that gives the folds of the level below, whatever made them: groups stay together, time goes on."""

    def __init__(self, pairs: tuple[tuple[np.ndarray, np.ndarray], ...], n_rows: int) -> None:
        self.pairs, self.n_rows = pairs, n_rows

    def __repr__(self) -> str:
        return f"SameFolds({len(self.pairs)} folds of {self.n_rows} rows)"

    def split(self, X: Any, y: Any = None, groups: Any = None) -> Iterator[tuple[np.ndarray, np.ndarray]]:
        if X.shape[0] != self.n_rows:
            raise ValueError(
                f"The folds of the level below are of {self.n_rows} rows; got {X.shape[0]}. Fit the model of which "
                "this is the final estimator, or set its cv."
            )
        yield from self.pairs

    def get_n_splits(self, X: Any = None, y: Any = None, groups: Any = None) -> int:
        return len(self.pairs)


class TableFolds(SameFolds):
    """A splitter that gives the folds of an out-of-fold table; for some of its rows alone, shuffled folds.

    That is for learners that are fitted to nothing, such as predictions that are given: what is asked for there are
    rows that have a prediction, and all have.
    """

    def __repr__(self) -> str:
        return f"TableFolds({len(self.pairs)} folds of {self.n_rows} rows)"

    def split(self, X: Any, y: Any = None, groups: Any = None) -> Iterator[tuple[np.ndarray, np.ndarray]]:
        if X.shape[0] == self.n_rows:
            yield from self.pairs
            return
        stratified = type_of_target(y) in ("binary", "multiclass")
        yield from ShuffledFolds(stratified=stratified, random_state=SEED).split(X, y)


def splitter_of(
    cv: Any, y: Any, *, classifier: bool, random_state: Any = None, n_folds: int = N_FOLDS, max_rows: int | None = None
) -> Any:
    """The splitter that ``cv`` stands for: numbers mean K-fold without shuffling, as in scikit-learn; None shuffles.

    The folds of None are seeded by `make_folds` from ``random_state``, where there is one.
    """
    if cv is None:
        stratified = classifier and type_of_target(y) in ("binary", "multiclass")
        seed = SEED if random_state is None else None
        return ShuffledFolds(n_folds, stratified=stratified, max_rows=max_rows, random_state=seed)
    if isinstance(cv, str):
        raise ValueError(  # noqa: TRY004 - what check_cv raises for any other cv that it cannot use
            f"The 'cv' parameter must be a number of folds, a splitter or an iterable of index pairs; got {cv!r}. "
            "For learners that are fitted already, a stack takes 'prefit', and cross_fit each of them in a "
            "sklearn.frozen.FrozenEstimator."
        )
    splitter = check_cv(cv, y, classifier=classifier)
    pairs = getattr(splitter, "cv", ()) if not hasattr(cv, "split") else ()
    for pair in pairs:
        if not isinstance(pair, tuple | list) or len(pair) != 2:
            raise ValueError(
                f"The 'cv' parameter must give pairs (training rows, test rows); got {pair!r} among them. For one fold "
                "number per row, use sklearn.model_selection.PredefinedSplit."
            )
    return splitter


def make_folds(splitter: Any, X: Any, y: Any, *, seed: int, **split_params: Any) -> Folds:
    """Split once. The user's splitter is not touched: a copy is seeded, where it has no seed."""
    splitter = deepcopy(splitter)
    if getattr(splitter, "random_state", seed) is None:
        splitter.random_state = seed
    n_rows = X.shape[0]
    pairs = tuple(
        (_as_rows(train, n_rows, k), _as_rows(test, n_rows, k))
        for k, (train, test) in enumerate(splitter.split(X, y, **split_params))
    )
    _check_pairs(pairs)
    return Folds(pairs, n_rows)


def _as_rows(rows: Any, n_rows: int, fold: int) -> np.ndarray:
    """Row numbers from indices or from a boolean mask."""
    rows = np.asarray(rows)
    if rows.dtype == bool:
        if len(rows) != n_rows:
            raise ValueError(
                f"The 'cv' parameter must give masks of {n_rows} rows; got one of {len(rows)} in fold {fold}. "
                "Make the splits from this X."
            )
        rows = np.flatnonzero(rows)
    rows = rows.astype(np.intp, casting="unsafe") if rows.size == 0 else rows
    if rows.dtype.kind not in "iu" or (rows.size and (rows.min() < 0 or rows.max() >= n_rows)):
        raise ValueError(
            f"The 'cv' parameter must give row numbers from 0 to {n_rows - 1}; got others in fold {fold}. "
            "Make the splits from this X."
        )
    return rows.astype(np.intp, copy=False)


def _check_pairs(pairs: tuple[tuple[np.ndarray, np.ndarray], ...]) -> None:
    if not any(len(test) for _, test in pairs):
        raise ValueError(
            f"The 'cv' parameter must test at least one row; got {len(pairs)} fold(s) without a test row. "
            "Use a splitter such as KFold(5)."
        )
    for k, (train, test) in enumerate(pairs):
        if not len(train) or not len(test):
            side = "training" if not len(train) else "test"
            raise ValueError(
                f"The 'cv' parameter must give training and test rows in each fold; fold {k} has no {side} row. "
                "Use fewer folds or leave that one out."
            )
        shared = np.intersect1d(train, test).size
        if shared or np.unique(test).size != test.size:
            what = f"trains on {shared} of the rows that it tests" if shared else "tests a row twice"
            raise ValueError(
                f"The 'cv' parameter must keep training and test rows apart; fold {k} {what}, which leaks the "
                "target. Make each pair disjoint."
            )
