"""Dates and durations of any column: also of new rows, whose column may hold something else."""

from __future__ import annotations

from datetime import date, timedelta
from typing import Any

import numpy as np
import pandas as pd

EPOCH = pd.Timestamp(0).as_unit("s")  # of no finer unit than any date: those of year 1 have no nanoseconds


def dates_in(column: pd.Series) -> pd.Series:
    """Dates without a time zone, as of UTC; texts are read as ISO 8601. NaT for what is no date."""
    if not pd.api.types.is_datetime64_any_dtype(column.dtype):
        column = column.astype(object).map(_as_date)
    return pd.to_datetime(column, errors="coerce", utc=True, format="ISO8601").dt.tz_localize(None)


def _as_date(value: Any) -> Any:
    if isinstance(value, pd.Period):
        return value.start_time
    return value if isinstance(value, date | np.datetime64 | str) else None


def durations_in(column: pd.Series) -> pd.Series:
    """Durations; NaT for what is none."""
    if not pd.api.types.is_timedelta64_dtype(column.dtype):
        column = column.astype(object).map(lambda value: value if isinstance(value, timedelta | str) else None)
    return pd.to_timedelta(column, errors="coerce")
