"""Raw columns of X beside the learners' columns."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from typing import Any

import numpy as np
import pandas as pd
from scipy import sparse

from stackkit._data.rows import is_pandas, is_polars

# XGBoost refuses the first three in names of columns, LightGBM what JSON has for its own.
_UNSAFE = re.compile(r'[\[\]<{}":,]')


def picked_columns(passthrough: Any, X: Any) -> list[int]:
    """Positions of the columns that the final estimator also sees."""
    if passthrough is False:
        return []
    if getattr(X, "ndim", 2) != 2:
        raise ValueError(
            f"The 'passthrough' parameter must be False for rows of shape {X.shape[1:]}; got {passthrough!r}. "
            "Only columns of a table can be passed through."
        )
    names = list(X.columns) if is_pandas(X) or is_polars(X) else []
    if passthrough is True:
        return list(range(X.shape[1]))
    if isinstance(passthrough, str) or not hasattr(passthrough, "__iter__"):
        raise ValueError(
            "The 'passthrough' parameter must be True, False or a list of columns; got "
            f"{passthrough!r}. For one column, pass [{passthrough!r}]."
        )
    picked = [position_of(column, names, X.shape[1], "passthrough") for column in passthrough]
    if len(set(picked)) < len(picked):
        raise ValueError(
            f"The 'passthrough' parameter must name each column once; got {passthrough!r}. Drop the repetition."
        )
    return picked


def position_of(column: Any, names: list[Any], n_columns: int, parameter: str) -> int:
    """The place of a column that a parameter names, or gives the place of."""
    if column in names and not isinstance(column, bool):
        return names.index(column)
    if isinstance(column, int | np.integer) and not isinstance(column, bool) and 0 <= column < n_columns:
        return int(column)
    allowed = names or f"0 to {n_columns - 1}"
    raise ValueError(f"The {parameter!r} parameter must name columns of X, {allowed}; got {column!r}. Correct it.")


def check_names_differ(learner_columns: list[str], X: Any, picked: list[int]) -> None:
    if not (is_pandas(X) or is_polars(X)):
        return
    both = sorted(set(learner_columns) & {str(X.columns[i]) for i in picked})
    if both:
        raise ValueError(
            f"The learners' columns and those of 'passthrough' must have different names; both have {both}. "
            "Rename the learner."
        )


def beside(table: np.ndarray, names: list[str], X: Any, picked: list[int]) -> Any:
    """What the final estimator sees: the table, then the picked columns of X, in X's own kind of container.

    The names of the table's columns are such as every library takes: labels and learners may be called anything.
    """
    taken = [str(X.columns[i]) for i in picked] if is_pandas(X) or is_polars(X) else []
    return _side_by_side(table, safe_names(names, taken), X, picked)


def safe_names(names: Sequence[str], taken: Iterable[str] = ()) -> list[str]:
    """The names with "_" for what XGBoost or LightGBM refuse, none of them twice, nor one of those taken."""
    plain = {name for name in names if not _UNSAFE.search(name)}
    used, safe = plain | set(taken), []
    for name in names:
        found = name if name in plain else _UNSAFE.sub("_", name)
        while name not in plain and found in used:
            found += "_"
        used.add(found)
        safe.append(found)
    return safe


def _side_by_side(table: np.ndarray, names: list[str], X: Any, picked: list[int]) -> Any:
    if is_pandas(X):
        left = pd.DataFrame(table, columns=names, index=X.index)
        # scikit-learn refuses frames whose column names are of several types, such as "forest" and 0.
        return pd.concat([left, X.iloc[:, picked].rename(columns=str)], axis=1) if picked else left
    if is_polars(X):
        import polars as pl  # noqa: PLC0415 - only who hands us a polars frame has it

        return pl.DataFrame(table, schema=names, orient="row").hstack(X[:, picked])
    if not picked:
        return table
    if sparse.issparse(X):
        return sparse.hstack([table, X[:, picked]]).tocsr()
    return np.hstack([table, X[:, picked]])


def as_features(table: np.ndarray, names: list[str], X: Any, picked: list[int]) -> Any:
    """An array, as scikit-learn's transformers give; a frame where raw columns are not all numbers."""
    if not picked:
        return table
    if is_pandas(X) and all(pd.api.types.is_numeric_dtype(X.dtypes.iloc[column]) for column in picked):
        return np.hstack([table, X.iloc[:, picked].to_numpy(dtype=np.float64, na_value=np.nan)])
    if is_polars(X) and all(X.dtypes[column].is_numeric() for column in picked):
        return np.hstack([table, X[:, picked].to_numpy()])
    return _side_by_side(table, names, X, picked)
