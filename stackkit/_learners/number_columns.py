"""Columns of numbers, whatever their type: also those that are written as text."""

from __future__ import annotations

from typing import Any, Self

import numpy as np
import pandas as pd
from sklearn.base import BaseEstimator, OneToOneFeatureMixin, TransformerMixin
from sklearn.utils.validation import check_is_fitted, validate_data

from stackkit._data import NumberFormat, format_of_column, numbers_of
from stackkit._learners.frames import as_frame

LARGEST = 1e30  # inside trees, numbers have 32 bits, and all of a table are added up


class NumberColumns(OneToOneFeatureMixin, TransformerMixin, BaseEstimator):
    """Turn columns into finite numbers, and NaN for what is missing, infinite or no number.

    How a column of text writes its numbers is found in the rows that ``fit`` gets: "1,234" is read in new rows where
    these have such numbers. Beyond what 32 bits hold, numbers become the largest that these hold.

    Attributes
    ----------
    formats_ : list of list of str
        What each column has before its numbers, between thousands, before decimals, and after its numbers.
    """

    def fit(self, X: Any, y: Any = None) -> Self:
        """Find out how each column writes its numbers.

        Parameters
        ----------
        X : table of shape (n_rows, n_columns)
            Training rows.
        y : ignored

        Returns
        -------
        NumberColumns
            The fitted transformer.
        """
        validate_data(self, X, skip_check_array=True)
        self.formats_ = [parts_of_format(column) for _, column in as_frame(X).items()]
        return self

    def transform(self, X: Any) -> np.ndarray:
        """Read the numbers.

        Parameters
        ----------
        X : table of shape (n_rows, n_columns)
            Rows.

        Returns
        -------
        ndarray of float, shape (n_rows, n_columns)
            Numbers.
        """
        check_is_fitted(self)
        frame = as_frame(X)
        if all(map(pd.api.types.is_numeric_dtype, frame.dtypes)):
            return bounded(frame.to_numpy(dtype=float, na_value=np.nan), LARGEST)
        columns = zip(frame.items(), self.formats_, strict=True)
        # One column after the other in memory, as pandas has them: sums over rows round by that order.
        numbers = np.array([numbers_of(column, NumberFormat(*parts)) for (_, column), parts in columns]).T
        return bounded(numbers, LARGEST)


def parts_of_format(column: pd.Series) -> list[str]:
    """How a column writes its numbers, as a model file can hold it; the plain way where none is text."""
    numeric = pd.api.types.is_numeric_dtype(column.dtype)
    found = (None if numeric else format_of_column(column)) or NumberFormat()
    return [found.before, found.thousands, found.decimal, found.after]


def bounded(numbers: np.ndarray, most: float) -> np.ndarray:
    """No infinite number, and none beyond ``most``; a copy where there is one."""
    with np.errstate(invalid="ignore"):
        beyond = np.abs(numbers) > most
    if not beyond.any():
        return numbers
    return np.where(np.isinf(numbers), np.nan, np.clip(numbers, -most, most))
