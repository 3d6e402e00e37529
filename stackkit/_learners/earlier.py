"""Steps of the preparation in models that an earlier version saved: their files name these functions."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd

from stackkit._data import NumberFormat, numbers_of
from stackkit._learners.frames import as_frame
from stackkit._learners.moments import EPOCH, dates_in, durations_in


def _to_numbers(X: Any) -> np.ndarray:
    return np.array([numbers_of(column, NumberFormat()) for _, column in as_frame(X).items()]).T


def _to_days(X: Any) -> np.ndarray:
    return np.array([_days(column) for _, column in as_frame(X).items()]).T


def _days(column: pd.Series) -> np.ndarray:
    duration = pd.api.types.infer_dtype(column, skipna=True).startswith("timedelta")
    since = durations_in(column) if duration else dates_in(column) - EPOCH
    days: np.ndarray = (since.dt.total_seconds() / 86400).to_numpy(dtype=float, na_value=np.nan)
    return days


EARLIER = (_to_numbers, _to_days)
