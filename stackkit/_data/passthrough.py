"""Raw columns of X beside the learners' columns."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from typing import Any

import numpy as np
import pandas as pd
from scipy import sparse
from sklearn.compose import ColumnTransformer
from sklearn.pipeline import Pipeline

from stackkit._data.rows import is_pandas, is_polars
from stackkit._utils import is_of, parts_of

# What libraries refuse in names of columns: LightGBM what JSON has for its own.
_REFUSED = {"xgboost": "[]<", "lightgbm": '[]{}":,'}
_UNSAFE = re.compile(r'[\[\]<{}":,]')  # any of them


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
    both = sorted(set(learner_columns) & set(_picked_names(X, picked)))
    if both:
        raise ValueError(
            f"The learners' columns and those of 'passthrough' must have different names; both have {both}. "
            "Rename the learner."
        )


def beside(table: np.ndarray, names: list[str], X: Any, picked: list[int], final: Any = None) -> Any:
    """What the final estimator sees: the table, then the picked columns of X, in X's own kind of container.

    The names of the table's columns are such as every library takes: labels and learners may be called anything. The
    user's names of X's columns stay, but where ``final`` would refuse them.
    """
    taken = _picked_names(X, picked)
    names = safe_names(names, taken)
    return _side_by_side(table, names, X, picked, _accepted_names(taken, names, final))


def _picked_names(X: Any, picked: list[int]) -> list[str]:
    return [str(X.columns[i]) for i in picked] if is_pandas(X) or is_polars(X) else []


def _accepted_names(columns: list[str], names: list[str], final: Any) -> list[str]:
    """Names of X's columns that the final estimator takes: beside ``names``, those of the learners' columns."""
    if not any(_UNSAFE.search(column) for column in columns):
        return columns
    known = getattr(final, "feature_names_in_", None)
    if known is not None and len(known) == len(names) + len(columns):  # it is fitted
        return [str(name) for name in known[len(names) :]]
    parts = list(parts_of(final).values())
    if any(isinstance(part, Pipeline | ColumnTransformer) for part in parts):
        return columns  # whose steps may look for columns by name, and give no names to who would refuse them
    refused = "".join(signs for library, signs in _REFUSED.items() if any(is_of(part, library) for part in parts))
    return safe_names(columns, names, refused)


def safe_names(names: Sequence[str], taken: Iterable[str] = (), refused: str = "".join(_REFUSED.values())) -> list[str]:
    """The names with "_" for what is refused, none of them twice, nor one of those taken."""
    underscores = str.maketrans(refused, "_" * len(refused))
    plain = {name for name in names if name.translate(underscores) == name}
    used, safe = plain | set(taken), []
    for name in names:
        found = name.translate(underscores)
        while name not in plain and found in used:
            found += "_"
        used.add(found)
        safe.append(found)
    return safe


def _side_by_side(table: np.ndarray, names: list[str], X: Any, picked: list[int], columns: list[str]) -> Any:
    """``names`` are those of the table's columns, ``columns`` those of X's that are picked."""
    if is_pandas(X):
        left = pd.DataFrame(table, columns=names, index=X.index)
        # scikit-learn refuses frames whose column names are of several types, such as "forest" and 0.
        return pd.concat([left, X.iloc[:, picked].set_axis(columns, axis=1)], axis=1) if picked else left
    if is_polars(X):
        import polars as pl  # noqa: PLC0415 - only who hands us a polars frame has it

        right = X[:, picked]
        new_names = dict(zip(right.columns, columns, strict=True))
        return pl.DataFrame(table, schema=names, orient="row").hstack(right.rename(new_names))
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
    return _side_by_side(table, names, X, picked, _picked_names(X, picked))
