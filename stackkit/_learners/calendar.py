"""Columns of dates as numbers: days since 1970, and what the calendar says of a day.

Sales, traffic and prices follow weekdays and seasons, which a number of days hides from every learner.
"""

from __future__ import annotations

from typing import Any, Self

import numpy as np
import pandas as pd
from sklearn.base import BaseEstimator, TransformerMixin
from sklearn.utils.validation import check_is_fitted

from stackkit._data import date_formats, dates_of
from stackkit._learners.moments import EPOCH, dates_in, durations_in

DAY = 86_400
SEASONS = 180  # days that dates have to span, to tell of seasons


def format_of_dates(column: pd.Series) -> str | None:
    """The one format of a column of text whose values are all dates; None for any other column."""
    if pd.api.types.infer_dtype(column, skipna=True) != "string":
        return None
    known = column.dropna()
    # One look is enough for nearly all columns of text.
    if known.empty or not date_formats(pd.Series([known.iloc[0].strip()], dtype=object)):
        return None
    fitting = date_formats(pd.Series(known.astype(str).str.strip().unique(), dtype=object))
    return fitting[0] if len(fitting) == 1 else None


class CalendarColumns(TransformerMixin, BaseEstimator):
    """Turn dates into numbers.

    A column of durations becomes its number of days. A column of dates becomes that, and year, month, day, weekday,
    place in the year and hour: as numbers for trees, which cut them; as waves and one column a weekday for learners
    that add columns up. What is the same for all dates that ``fit`` saw is left out. The days are centred and scaled
    by those dates: 32-bit floats, inside trees, do not tell the minutes of a day near 20,000 apart.

    Parameters
    ----------
    waves : bool
        Whether to make waves of what repeats.
    """

    def __init__(self, *, waves: bool = False) -> None:
        self.waves = waves

    def fit(self, X: pd.DataFrame, y: Any = None) -> Self:
        columns = [X.iloc[:, i] for i in range(X.shape[1])]
        self.n_features_in_ = len(columns)
        self.formats_ = [format_of_dates(column) for column in columns]
        self.durations_ = [is_duration(column) for column in columns]
        self.centres_, self.scales_, self.parts_ = [], [], []
        for place, column in enumerate(columns):
            days = self._days(place, column)
            days = days[np.isfinite(days)]
            self.centres_.append(float(days.mean()) if days.size else 0.0)
            self.scales_.append((float(days.std()) if days.size else 0.0) or 1.0)
            self.parts_.append([] if self.durations_[place] else self._varied(place, column, days))
        return self

    def transform(self, X: pd.DataFrame) -> np.ndarray:
        check_is_fitted(self)
        return np.column_stack([self._columns(place, X.iloc[:, place]) for place in range(self.n_features_in_)])

    def get_feature_names_out(self, input_features: Any = None) -> np.ndarray:
        check_is_fitted(self)
        given = range(self.n_features_in_) if input_features is None else input_features
        names = [f"{name}_{part}" for name, parts in zip(given, self.parts_, strict=True) for part in ("days", *parts)]
        return np.array(names, dtype=object)

    def _varied(self, place: int, column: pd.Series, days: np.ndarray) -> list[str]:
        dates = _dates(column, self.formats_[place]).dropna()
        found = {name for name, values in _numbers(dates).items() if len(np.unique(values)) > 1}
        if not self.waves:
            return [name for name in NUMBERS if name in found]
        long = days.size > 0 and days.max() - days.min() > SEASONS
        wanted = {"weekday": "weekday" in found, "year": long, "hour": "hour" in found}
        return [name for name in WAVES if wanted[name.partition("_")[0]]]

    def _columns(self, place: int, column: pd.Series) -> np.ndarray:
        scaled = (self._days(place, column) - self.centres_[place]) / self.scales_[place]
        if not self.parts_[place]:
            return scaled[:, None]
        parts = (_waves if self.waves else _numbers)(_dates(column, self.formats_[place]))
        return np.column_stack([scaled, *(parts[name] for name in self.parts_[place])])

    def _days(self, place: int, column: pd.Series) -> np.ndarray:
        if self.durations_[place]:
            seconds = durations_in(column).dt.total_seconds()
        else:
            seconds = (_dates(column, self.formats_[place]) - EPOCH).dt.total_seconds()
        return (seconds / DAY).to_numpy(dtype=float, na_value=np.nan)


def days_of(column: pd.Series, like: pd.Series) -> np.ndarray:
    """Dates as days since 1970, and durations as days, written as in ``like``; NaN where there is none."""
    return CalendarColumns().fit(like.to_frame())._days(0, column)  # noqa: SLF001 - made here


def is_duration(column: pd.Series) -> bool:
    return pd.api.types.infer_dtype(column, skipna=True).startswith("timedelta")


def _dates(column: pd.Series, format_: str | None) -> pd.Series:
    """Without a time zone: the hour of the place is what people live by."""
    if isinstance(column.dtype, pd.PeriodDtype):
        return column.dt.start_time
    if isinstance(column.dtype, pd.DatetimeTZDtype):
        return column.dt.tz_localize(None)
    if format_ is not None and pd.api.types.infer_dtype(column, skipna=True) == "string":
        return dates_of(column.astype(object), format_)
    return dates_in(column)


def _numbers(dates: pd.Series) -> dict[str, np.ndarray]:
    parts = {
        "year": dates.dt.year,
        "month": dates.dt.month,
        "day": dates.dt.day,
        "weekday": dates.dt.day_of_week,
        # The same number for a date in each year, also after a 29th of February.
        "place_in_year": dates.dt.month * 31 + dates.dt.day,
        "hour": dates.dt.hour + dates.dt.minute / 60,
    }
    return {name: part.to_numpy(dtype=float, na_value=np.nan) for name, part in parts.items()}


def _waves(dates: pd.Series) -> dict[str, np.ndarray]:
    """Zeros where there is no date."""
    numbers = _numbers(dates)
    found = {f"weekday_{day}": (numbers["weekday"] == day).astype(float) for day in range(7)}
    turns = {"year": (numbers["place_in_year"] - 32) / (12 * 31), "hour": numbers["hour"] / 24}
    for name, turn in turns.items():
        angle = 2 * np.pi * turn
        found |= {f"{name}_sin": np.nan_to_num(np.sin(angle)), f"{name}_cos": np.nan_to_num(np.cos(angle))}
    return found


NUMBERS = ("year", "month", "day", "weekday", "place_in_year", "hour")
WAVES = (*(f"weekday_{day}" for day in range(7)), "year_sin", "year_cos", "hour_sin", "hour_cos")
