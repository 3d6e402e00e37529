"""Any table as a pandas data frame."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd
from scipy import sparse


def as_frame(X: Any) -> pd.DataFrame:
    if isinstance(X, pd.DataFrame):
        return X
    if hasattr(X, "get_columns"):  # polars; its own to_pandas() needs pyarrow
        return pd.DataFrame({column.name: _values(column) for column in X.get_columns()})
    return pd.DataFrame(X.toarray() if sparse.issparse(X) else X)


def _values(column: Any) -> np.ndarray:
    if not column.dtype.is_nested():
        found: np.ndarray = column.to_numpy()
        return found
    values = np.empty(len(column), dtype=object)  # lists of one length would make a table
    values[:] = [None if value is None else str(value) for value in column.to_list()]
    return values
