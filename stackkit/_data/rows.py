"""Rows: tables and arrays that can be cut into folds."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from typing import Any

import numpy as np
import pandas as pd
from scipy import sparse
from sklearn.utils.validation import check_array


def is_pandas(X: Any) -> bool:
    return hasattr(X, "iloc")


def is_polars(X: Any) -> bool:
    return type(X).__module__.partition(".")[0] == "polars"


def put_together(first: Any, second: Any, at_first: np.ndarray, at_second: np.ndarray) -> Any:
    """Rows of two tables of one kind as one, each at its place."""
    order = np.argsort(np.concatenate([at_first, at_second]), kind="stable")
    if is_pandas(first):
        return pd.concat([first, second]).iloc[order]
    if is_polars(first):
        return first.vstack(second)[order]
    if sparse.issparse(first):
        return sparse.vstack([first, second], format="csr")[order]
    return np.concatenate([first, second])[order]


def as_known(values: Any) -> Any:
    """Rows or targets of libraries that nobody else here knows: as pandas' or NumPy's, or an error that says how."""
    library = type(values).__module__.partition(".")[0]
    if library == "pyarrow":
        return values.to_pandas()
    if library == "modin":
        return values.modin.to_pandas()
    if library == "torch":
        return values.detach().cpu().numpy()
    if library in ("dask", "dask_expr"):
        raise TypeError(
            f"X and y must be in memory; got a {type(values).__name__} of dask. Call its compute(), or fit to a sample "
            "of its rows."
        )
    return values


def take_rows(X: Any, rows: Any) -> Any:
    """Rows of an array, a sparse matrix or a data frame, by position."""
    return X.iloc[rows] if is_pandas(X) else X[rows]


def check_rows(X: Any, *, training: bool) -> Any:
    """X as it may be cut into folds: a data frame as it is, else an array or CSR matrix.

    Missing values are the learners' business; infinite ones nobody can use.
    """
    rows = check_table(X, 2 if training else 1)
    if training and (empty := empty_columns(rows)):
        raise ValueError(
            f"Each column of X must hold a value in some row; got NaN in all {rows.shape[0]} rows of {empty}. "
            "Drop what is empty."
        )
    return rows


def check_table(X: Any, least: int) -> Any:
    """X with so many rows at least, and no infinite value."""
    X = as_known(X)
    if is_pandas(X) or is_polars(X):
        _check_frame(X, least)
        return X
    return as_array(X, ensure_min_samples=least)


def empty_columns(X: Any) -> list[Any]:
    """Names, or numbers, of the columns without a value."""
    columns = _missing_in_frame(X) if is_pandas(X) or is_polars(X) else _missing_in_array(X)
    return [name for name, missing in columns if missing.all()]


def as_array(X: Any, **options: Any) -> Any:
    """Objects become numbers where all of them are; text stays text, for the learners' encoders."""
    common = {"accept_sparse": "csr", "allow_nd": True, "ensure_all_finite": "allow-nan", "input_name": "X"} | options
    of_numbers = getattr(getattr(X, "dtype", None), "kind", "O") != "O"
    try:
        return check_array(X, dtype=None if of_numbers else "numeric", **common)
    except ValueError as error:
        if "could not convert" not in str(error) and "bytes/strings" not in str(error):
            raise
    return check_array(X, dtype=object, **(common | {"ensure_all_finite": False}))


def _check_frame(X: Any, least: int) -> None:
    if len(getattr(X, "shape", ())) != 2:
        raise ValueError(
            f"X must be a table of rows and columns; got a {type(X).__name__}. Pass a DataFrame, such as one made "
            "with to_frame() or collect()."
        )
    n_rows, n_columns = X.shape
    if n_rows < least or n_columns == 0:
        raise ValueError(
            f"X must have at least {least} row(s) and 1 column; got a data frame of shape {X.shape} "
            f"({n_rows} sample(s), {n_columns} feature(s)). Check how it was read."
        )
    twice = [str(name) for name, count in Counter(X.columns).items() if count > 1]
    if twice:
        raise ValueError(
            f"The column names of X must be unique; got {twice} more than once. Rename or drop the duplicates."
        )
    for name in X.columns:
        if is_pandas(X) and X[name].dtype.kind == "c":
            raise ValueError(
                f"X must hold real numbers; got complex ones in the column {name!r}. Make two columns of it, such as "
                "the real and the imaginary part."
            )
        values = _floats(X[name])
        if values is not None and np.isinf(values).any():
            raise ValueError(
                f"X must hold no infinity; got one in the column {name!r}. Replace it with a number or a missing value."
            )


def _floats(column: Any) -> np.ndarray | None:
    if is_polars(column):
        return column.to_numpy() if column.dtype.is_float() else None
    if not pd.api.types.is_float_dtype(column.dtype):
        return None
    return column.to_numpy(dtype=float, na_value=np.nan)


def _missing_in_frame(X: Any) -> Iterator[tuple[Any, np.ndarray]]:
    for name in X.columns:
        column = X[name]
        if is_pandas(X):
            missing = column.isna()
        else:
            missing = column.is_null() | column.is_nan() if column.dtype.is_float() else column.is_null()
        yield name, missing.to_numpy()


def _missing_in_array(X: Any) -> Iterator[tuple[Any, np.ndarray]]:
    """Only columns whose first value is missing can be empty: looking at the others costs time."""
    if sparse.issparse(X) or X.ndim != 2 or X.dtype.kind not in "fO":
        return
    for column in np.flatnonzero(pd.isna(X[0])):
        yield int(column), pd.isna(X[:, column])


def by_name(X: Any, names: list[Any]) -> Any:
    """A frame with these columns in this order, where it has the same ones in another; anything else as it is."""
    given = list(getattr(X, "columns", ()))
    if given == names or len(given) != len(names) or set(given) != set(names):
        return X
    return X[names]


def named(X: Any, names: list[Any]) -> Any:
    """An array as a frame with these names, where there are any; anything else as it is."""
    return pd.DataFrame(X, columns=names) if names and isinstance(X, np.ndarray) and X.ndim == 2 else X


def check_like(X: Any, new: Any) -> Any:
    """New rows, checked by themselves, with the columns of the training rows, or an error that shows the difference."""
    if hasattr(X, "columns"):
        new = by_name(new, list(X.columns))
    ours, theirs = (list(rows.columns) if hasattr(rows, "columns") else rows.shape[1:] for rows in (X, new))
    if ours != theirs:
        missing, added = (
            ([name for name in ours if name not in theirs], [name for name in theirs if name not in ours])
            if isinstance(ours, list) and isinstance(theirs, list)
            else (ours, theirs)
        )
        raise ValueError(
            "X_test must have the columns of X, in the same kind of container; got "
            f"{added} where X has {missing}. Select them: X_test[X.columns]."
        )
    return new


def check_length(name: str, values: Any, n_rows: int) -> None:
    length = values.shape[0] if hasattr(values, "shape") else len(values)
    if length != n_rows:
        raise ValueError(
            f"X and {name} must have the same number of rows; got {n_rows} and {length}. Check how they were split."
        )
