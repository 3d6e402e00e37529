"""Tables as people have them, for learners that prepare what they are given: nothing is refused that can be used."""

from __future__ import annotations

from typing import Any
from warnings import warn

import numpy as np
import pandas as pd
from scipy import sparse
from sklearn.utils import check_array

from stackkit._data.rows import as_array, as_known, check_table, empty_columns, is_pandas, is_polars
from stackkit._utils import some
from stackkit.exceptions import UnreadValuesWarning

SHOWN = 20  # columns that a warning names
COUNT = "These count as missing."
Told = list[str]


def check_raw_table(X: Any, *, training: bool) -> tuple[Any, Told]:
    """X as `check_rows` gives it, with infinite numbers as missing ones, and columns that may be empty.

    Also, what is to be told of that. Only sparse matrices may hold no infinite number, for nothing can be missing
    there.
    """
    least, X = 2 if training else 1, as_known(X)
    if is_pandas(X) or is_polars(X):
        X, infinite = _finite_frame(_with_text_names(X))
        rows = check_table(X, least)
    elif sparse.issparse(X):
        rows, infinite = check_table(X, least), {}
    else:
        rows, infinite = _finite_array(_any_array(X, least))
    told = [f"{_named(infinite)} {'are' if sum(infinite.values()) > 1 else 'is'} infinite"] if infinite else []
    return rows, told + (_told_of_empty(rows) if training else [])


def _any_array(X: Any, least: int) -> Any:
    """Objects stay objects also where NumPy makes no number of them, such as dates and pandas' NA."""
    options = {"ensure_min_samples": least, "ensure_all_finite": False}
    try:
        return as_array(X, **options)
    except TypeError as error:
        if "float() argument must be" not in str(error):
            raise
    return check_array(X, dtype=object, allow_nd=True, input_name="X", **options)


def raw_rows(X: Any, *, training: bool, stacklevel: int) -> Any:
    """The same rows, with one warning of all that is to be told."""
    rows, told = check_raw_table(X, training=training)
    if told:
        whose = "Training" if training else "New"
        warn(f"{whose} rows: {'; '.join(told)}. {COUNT}", UnreadValuesWarning, stacklevel=stacklevel + 1)
    return rows


def _named(counts: dict[Any, int]) -> str:
    named = [f"{count} value(s) of the column {name!r}" for name, count in counts.items()]
    return some(named, SHOWN)


def _told_of_empty(rows: Any) -> Told:
    empty = empty_columns(rows)
    if not empty:
        return []
    if len(empty) == rows.shape[1]:
        raise ValueError(
            f"X must hold a value in some column; got {rows.shape[0]} rows of {len(empty)} column(s) without any. "
            "Check how it was read."
        )
    named = some(list(map(repr, empty)), SHOWN)
    return [f"no row has a value in {'columns' if len(empty) > 1 else 'the column'} {named}"]


def _with_text_names(X: Any) -> Any:
    """Some names of text and some of other types become text: scikit-learn takes one type alone."""
    types = {type(name) for name in X.columns} if is_pandas(X) else set()
    if len(types) < 2 or not any(issubclass(kind, str) for kind in types):
        return X
    return X.set_axis([str(name) for name in X.columns], axis=1)


def _finite_frame(X: Any) -> tuple[Any, dict[Any, int]]:
    """A frame with missing values for infinite ones, and how many each column has; X itself where it has none."""
    if is_polars(X):
        return _finite_polars(X)
    if X.columns.has_duplicates:
        return X, {}  # which will be refused
    infinite = {name: where for name, column in X.items() if (where := _infinite(column)).any()}
    if infinite:
        X = X.copy(deep=False)
        for name, where in infinite.items():
            X[name] = X[name].mask(where)
    return X, {name: int(where.sum()) for name, where in infinite.items()}


def _infinite(column: pd.Series) -> np.ndarray:
    """Which values are infinite floats."""
    if pd.api.types.is_float_dtype(column.dtype):
        return np.isinf(column.to_numpy(dtype=float, na_value=np.nan))
    if column.dtype == object:
        return np.fromiter(map(_is_infinite, column), bool, len(column))
    return np.zeros(1, bool)


def _is_infinite(value: Any) -> bool:
    return isinstance(value, float | np.floating) and bool(np.isinf(value))


def _finite_polars(X: Any) -> tuple[Any, dict[Any, int]]:
    infinite = {name: X[name].is_infinite() for name in X.columns if X[name].dtype.is_float()}
    counts = {name: int(where.sum()) for name, where in infinite.items() if where.any()}
    return X.with_columns(X[name].set(infinite[name], None) for name in counts) if counts else X, counts


def _finite_array(X: np.ndarray) -> tuple[np.ndarray, dict[Any, int]]:
    if X.dtype == object:
        where = np.frompyfunc(_is_infinite, 1, 1)(X).astype(bool)
    elif X.dtype.kind == "f":
        where = np.isinf(X)
    else:
        return X, {}
    if not where.any():
        return X, {}
    counts = where.reshape(len(X), X.shape[1], -1).sum(axis=(0, 2)) if X.ndim > 1 else where.sum(keepdims=True)
    return np.where(where, np.nan, X), {int(i): int(counts[i]) for i in np.flatnonzero(counts)}
