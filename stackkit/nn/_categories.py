"""Columns of categories: from the user's values to codes, whole numbers that a table of floats can hold.

Shapes: n rows, d columns, of which q are categories.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from functools import cached_property
from numbers import Real
from typing import Any

import numpy as np
import pandas as pd
from sklearn.utils.validation import check_array

from stackkit._data import is_pandas, is_polars, position_of

UNKNOWN, MISSING, FIRST = 0, 1, 2  # codes: of what is no known level, of a missing value, and of the first level


@dataclass(frozen=True)
class Categories:
    """Which columns are categories, and the codes of their levels.

    Numbers are levels as floats, whatever their type, and all else as text.

    Attributes
    ----------
    columns : list of int
        Places in X.
    levels : list of list of float or str
        Of each of these columns, the levels that are known.
    codes : list of list of int
        Of each of these columns, the codes of its levels.
    """

    columns: list[int]
    levels: list[list[float | str]]
    codes: list[list[int]]

    @property
    def n_codes(self) -> int:
        """One more than the highest code."""
        return max((max(codes, default=MISSING) for codes in self.codes), default=MISSING) + 1

    def coded(self, X: Any) -> pd.DataFrame | np.ndarray:
        """The table with codes in the place of categories."""
        if isinstance(X, np.ndarray) and X.ndim == 2 and X.dtype.kind == "f":
            return self._coded_floats(X)
        table = as_table(X).copy(deep=False)
        for place, levels, codes in zip(self.columns, self.levels, self.codes, strict=True):
            if place < table.shape[1]:  # else there are too few columns, which is for others to tell
                known = dict(zip(levels, codes, strict=True))
                found, values = _factorized(table.iloc[:, place])
                of_value = [*(known.get(as_level(value), UNKNOWN) for value in values), MISSING]
                table.isetitem(place, np.array(of_value, dtype=np.float32)[found])
        return table

    def _coded_floats(self, X: np.ndarray) -> np.ndarray:
        """The same without Python's work for each value: one row is then coded in microseconds."""
        table = X.copy()
        for place, (known, code) in zip(self.columns, self._float_levels, strict=True):
            if place < table.shape[1]:
                column = X[:, place]
                at = known.searchsorted(column)
                found = np.where(known[at] == column, code[at], UNKNOWN)
                table[:, place] = np.where(np.isnan(column), MISSING, found)
        return table

    @cached_property
    def _float_levels(self) -> list[tuple[np.ndarray, np.ndarray]]:
        """Of each column the levels that are floats, in order, and their codes."""
        found = []
        for levels, codes in zip(self.levels, self.codes, strict=True):
            # Texts, which come last, are in no table of floats. NaN equals nothing, and is where higher ones are found.
            known = np.array([level for level in levels if isinstance(level, float)] + [np.nan])
            found.append((known, np.array([*codes[: len(known) - 1], UNKNOWN])))
        return found

    def with_entries(self, column: int, entry: np.ndarray) -> tuple[bool, list[float | str], bool]:
        """In the order of the entries of a column's codes: what stands for itself, and whether all else has an entry.

        Whether missing values do, and which levels.
        """
        place, other = self.columns.index(column), entry[UNKNOWN]
        pairs = zip(self.levels[place], self.codes[place], strict=True)
        return bool(entry[MISSING] != other), [level for level, code in pairs if entry[code] != other], bool(other)

    def of_rows(self, coded: np.ndarray) -> Categories:
        """Of a coded table, which may have the first columns alone, with the levels that its rows have."""
        kept = []
        for place, levels, codes in zip(self.columns, self.levels, self.codes, strict=True):
            if place < coded.shape[1]:
                there = set(coded[:, place].tolist())
                pairs = [(level, code) for level, code in zip(levels, codes, strict=True) if code in there]
                kept.append((place, [level for level, _ in pairs], [code for _, code in pairs]))
        return Categories([place for place, _, _ in kept], [own for _, own, _ in kept], [own for _, _, own in kept])


def learn_categories(owner: str, wanted: Any, X: Any) -> Categories | None:
    """Find columns of categories, as ``categorical_features`` names them, and their levels; None where there are none.

    ``owner`` is the estimator's name, for an error to tell.
    """
    if wanted is None:
        return None
    table = as_table(X)
    columns = _columns(owner, wanted, X, table)
    if not columns:
        return None
    values = [_factorized(table.iloc[:, place])[1] for place in columns]
    # Numbers first: they cannot be compared with text.
    levels = [sorted(set(map(as_level, own)), key=lambda level: (isinstance(level, str), level)) for own in values]
    return Categories(columns, levels, [list(range(FIRST, FIRST + len(own))) for own in levels])


def as_table(X: Any) -> pd.DataFrame:
    """Any table as a frame of pandas; what is none is refused as scikit-learn does it."""
    if is_pandas(X):
        return X
    if is_polars(X):
        return pd.DataFrame({name: X[name].to_list() for name in X.columns})
    dtype = None if hasattr(X, "dtype") else object  # lists may hold numbers and text
    return pd.DataFrame(check_array(X, dtype=dtype, ensure_all_finite=False)).infer_objects()


def _factorized(column: pd.Series) -> tuple[np.ndarray, Any]:
    """Of each row the place of its value, -1 where it is missing; and the different values."""
    try:
        return pd.factorize(column)
    except TypeError as error:  # of a list, or a dict
        raise TypeError(
            f"In the columns that 'categorical_features' names, each argument must be a string or a number; {error}."
        ) from error


def as_level(value: Any) -> float | str:
    return float(value) if isinstance(value, Real | np.bool_) else str(value)


def _columns(owner: str, wanted: Any, X: Any, table: pd.DataFrame) -> list[int]:
    if isinstance(wanted, str) and wanted == "from_dtype":
        return [place for place, dtype in enumerate(X.dtypes if hasattr(X, "dtypes") else ()) if _is_category(dtype)]
    if isinstance(wanted, str | bytes) or not isinstance(wanted, Iterable):
        raise ValueError(  # noqa: TRY004  # one kind of error for all parameters
            f"The 'categorical_features' parameter of {owner} must be a list of columns, a mask, 'from_dtype' or None; "
            f"got {wanted!r}. For one column, pass [{wanted!r}]."
        )
    given = list(wanted)
    if given and all(isinstance(one, bool | np.bool_) for one in given):
        if len(given) != table.shape[1]:
            raise ValueError(
                f"The 'categorical_features' parameter of {owner} must have a value for each of the {table.shape[1]} "
                f"columns of X where it is a mask; got {len(given)}."
            )
        return np.flatnonzero(given).tolist()
    names = list(X.columns) if hasattr(X, "columns") else []
    return sorted({position_of(one, names, table.shape[1], "categorical_features") for one in given})


def _is_category(dtype: Any) -> bool:
    return isinstance(dtype, pd.CategoricalDtype) or type(dtype).__name__ in ("Categorical", "Enum")  # the last: polars
