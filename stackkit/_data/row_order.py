"""Rows that stand in an order: where folds of neighbours, or of rows drawn at random, give a wrong score.

Two faults that nothing else would show. Folds of neighbouring rows out of a sorted table test what they never trained
on. Rows drawn at random out of a time series let learners interpolate between yesterday and tomorrow.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from itertools import chain
from typing import Any
from warnings import warn

import numpy as np
import pandas as pd
from scipy.stats import rankdata
from sklearn.model_selection import (
    KFold,
    RepeatedKFold,
    RepeatedStratifiedKFold,
    ShuffleSplit,
    StratifiedKFold,
    StratifiedShuffleSplit,
)

from stackkit._data.default_folds import ShuffledFolds
from stackkit._data.rows import is_pandas, is_polars
from stackkit.exceptions import RowOrderWarning

# Standard deviations beyond what rows in random order give. Under chance a normal variable is beyond six once in a
# billion times; the statistics below are a little heavier in the tail, and there are up to fifty columns.
CRITICAL = 6.0
LEAST_ROWS = 100
LEAST_VARIANCE = 25.0  # of the number of runs: below, it is far from normal
MOST_KURTOSIS = 10.0  # of ranks: above, few rows decide
MOST_COLUMNS = 50
MOST_CLASSES = 20  # more different numbers than this are a quantity
FOLLOWS = 0.5  # from here on, a row tells much of the next one
SORTED = 0.95  # rank correlation with the row number
LEAST_DATES = 10
SHOWS_THE_KIND = 20
MOST_ROWS = 50_000  # so many tell it; more would take seconds

_OF_NEIGHBOURS = (KFold, StratifiedKFold)  # unless they shuffle
_RANDOM = (ShuffledFolds, RepeatedKFold, RepeatedStratifiedKFold, ShuffleSplit, StratifiedShuffleSplit)


def warn_of_row_order(splitter: Any, X: Any, y: Any, *, grouped: bool, stacklevel: int) -> bool:
    """Warn, once, where these folds do not suit the order of these rows; whether that was so."""
    message = None if grouped else _complaint(splitter, X, np.asarray(y))
    if message:
        warn(message, RowOrderWarning, stacklevel=stacklevel + 1)
    return message is not None


def _complaint(splitter: Any, X: Any, y: np.ndarray) -> str | None:
    if y.ndim != 1 or len(y) < LEAST_ROWS:
        return None
    if isinstance(splitter, _OF_NEIGHBOURS) and not splitter.shuffle:
        return _of_neighbours(X, y)
    return _of_random_rows(X, y) if isinstance(splitter, (*_OF_NEIGHBOURS, *_RANDOM)) else None


def _of_neighbours(X: Any, y: np.ndarray) -> str | None:
    """A complaint about folds of neighbouring rows."""
    named = chain([("the target", y)], _columns(X))
    where = next((name for name, values in named if likeness_of(values).excess > CRITICAL), None)
    if where is None:
        return None
    return (
        f"The rows are sorted: neighbours are alike in {where}, far more than chance gives, and folds that are not "
        "shuffled put neighbours together. Use cv=None (shuffled folds), groups where rows belong together, or "
        "TimeSeriesSplit where they follow each other in time."
    )


def _of_random_rows(X: Any, y: np.ndarray) -> str | None:
    """A complaint about folds of rows drawn at random."""
    dates = next((name for name, values in _dates(X) if _is_in_order(values)), None)
    if dates is not None:
        what, option = f"The dates of {dates} are in order", f" {dates.removeprefix('the column ')}"
    elif _follows(X, likeness_of(y)):
        what, option = "Each row's target is close to that of the row before it", ""
    else:
        return None
    return (
        f"{what}: if the rows follow each other in time, folds of rows drawn at random train on the future, and scores "
        f"come out too good. Use cv=TimeSeriesSplit(5) (command line: --time-order{option}), or groups where "
        "neighbours belong together; where neither is so, this can be ignored."
    )


# --- columns ------------------------------------------------------------------------------------------


def _columns(X: Any) -> Iterator[tuple[str, np.ndarray]]:
    """Some columns with their names, but for those that count rows: they are in order in every file."""
    if len(getattr(X, "shape", ())) != 2 or not (is_pandas(X) or is_polars(X) or isinstance(X, np.ndarray)):
        return
    named = hasattr(X, "columns")
    step = -(-X.shape[1] // MOST_COLUMNS)
    for i in range(0, X.shape[1], step):
        column = pd.Series(X[X.columns[i]].to_numpy() if named else X[:, i])
        if not _counts(column):
            yield f"the column {X.columns[i]!r}" if named else f"column {i}", column.to_numpy()


def _counts(column: pd.Series) -> bool:
    if not pd.api.types.is_numeric_dtype(column) or column.dtype == bool:
        return False
    steps = np.diff(column.to_numpy(dtype=float))
    return bool(len(steps)) and steps[0] != 0 and bool(np.all(steps == steps[0]))


def _dates(X: Any) -> Iterator[tuple[str, np.ndarray]]:
    """Columns of dates, or of texts that begin like 2026-01-31."""
    if not (is_pandas(X) or is_polars(X)):
        return
    for name in X.columns:
        column = pd.Series(X[name].to_numpy())
        if pd.api.types.is_numeric_dtype(column):
            continue
        known = column.dropna()
        kind = pd.api.types.infer_dtype(known)
        if pd.api.types.is_datetime64_any_dtype(known) or kind in ("date", "datetime"):
            yield f"the column {name!r}", known.to_numpy()
        elif kind == "string" and _begin_with_days(known):
            yield f"the column {name!r}", known.to_numpy().astype(str)


def _begin_with_days(texts: pd.Series) -> bool:
    few = texts.iloc[:SHOWS_THE_KIND]  # most columns of text need no look at all of their rows
    return all(bool(part.str.match(r"\d{4}-\d\d-\d\d").all()) for part in (few, texts))


def _is_in_order(values: np.ndarray) -> bool:
    if len(values) < LEAST_ROWS or len(np.unique(values)) < LEAST_DATES:
        return False
    return bool(np.all(values[1:] >= values[:-1])) or bool(np.all(values[1:] <= values[:-1]))


# --- how alike neighbours are -------------------------------------------------------------------------


@dataclass(frozen=True)
class Likeness:
    """How alike neighbouring rows are in some values.

    ``excess`` is in standard deviations above what random orders of the same values give; ``strength`` is 0 for a
    random order and 1 where all neighbours are the same; ``is_sorted`` says that the values go up or down on the whole,
    or that each class stands together.
    """

    excess: float = 0.0
    strength: float = 0.0
    is_sorted: bool = False


def likeness_of(values: np.ndarray) -> Likeness:
    """Of the values that are known, in their order."""
    column = pd.Series(values[:MOST_ROWS]).dropna()
    if len(column) < LEAST_ROWS:
        return Likeness()
    numeric = pd.api.types.is_numeric_dtype(column) and not pd.api.types.is_bool_dtype(column)
    if numeric and column.nunique() > MOST_CLASSES:
        return _of_numbers(rankdata(column.to_numpy(dtype=float)))
    return _of_classes(pd.factorize(column)[0])


def _of_numbers(ranks: np.ndarray) -> Likeness:
    """By the serial correlation of ranks, whose mean and variance over all orders are known.

    Wald and Wolfowitz (1943), An exact test for randomness in the non-parametric case based on serial correlation.
    Annals of Mathematical Statistics 14, 378-388. Here the last row is no neighbour of the first one.
    """
    n, a = len(ranks), ranks - ranks.mean()
    second, fourth = float((a**2).sum()), float((a**4).sum())
    if n * fourth > MOST_KURTOSIS * second**2:
        return Likeness()
    found, mean = float((a[1:] * a[:-1]).sum()), -second / n
    square = (second**2 - fourth) / n + (second**2 - 2 * fourth) / (n * (n - 1))
    trend = np.corrcoef(a, np.arange(n))[0, 1]
    return Likeness((found - mean) / (square - mean**2) ** 0.5, found / second, bool(abs(trend) > SORTED))


def _of_classes(codes: np.ndarray) -> Likeness:
    """By the number of runs, whose mean and variance over all orders are known.

    Mood (1940), The distribution theory of runs. Annals of Mathematical Statistics 11, 367-392.
    """
    n, counts = len(codes), np.bincount(codes).astype(float)
    squares, cubes = float((counts**2).sum()), float((counts**3).sum())
    mean = (n * (n + 1) - squares) / n
    variance = (squares * (squares + n * (n + 1)) - 2 * n * cubes - float(n) ** 3) / (n**2 * (n - 1))
    if len(counts) < 2 or variance < LEAST_VARIANCE:
        return Likeness()
    runs = 1 + int((codes[1:] != codes[:-1]).sum())
    return Likeness((mean - runs) / variance**0.5, 1 - (runs - 1) / (mean - 1), runs < 2 * len(counts))


def _follows(X: Any, target: Likeness) -> bool:
    """Whether a row tells much of the next one, though the table is sorted by nothing that could be the reason."""
    if target.excess <= CRITICAL or target.strength < FOLLOWS or target.is_sorted:
        return False
    return not any(likeness_of(values).is_sorted for _, values in _columns(X))
