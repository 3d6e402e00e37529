"""What boosting is fitted to: numbers, and which of the columns are codes of categories."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd
from sklearn.utils.validation import validate_data


def checked_table(model: Any, X: Any, y: Any, *, y_numeric: bool) -> tuple[np.ndarray, np.ndarray, list[int]]:
    """The table as floats, the target, and the places of the columns of dtype "category"; ``model`` notes their number.

    Missing and infinite numbers are the library's business.
    """
    table, categorical = X, []
    if isinstance(X, pd.DataFrame):
        table = X.to_numpy(dtype=float, na_value=np.nan)
        categorical = [place for place, dtype in enumerate(X.dtypes) if isinstance(dtype, pd.CategoricalDtype)]
    options = {"dtype": np.float64, "ensure_all_finite": False, "ensure_min_samples": 2, "y_numeric": y_numeric}
    table, y = validate_data(model, table, y, **options)
    return table, y, categorical


def new_table(model: Any, X: Any) -> np.ndarray:
    """New rows, as floats."""
    numbers = X.to_numpy(dtype=float, na_value=np.nan) if isinstance(X, pd.DataFrame) else X
    found: np.ndarray = validate_data(model, numbers, dtype=np.float64, ensure_all_finite=False, reset=False)
    return found
