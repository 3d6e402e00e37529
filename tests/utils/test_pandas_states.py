"""pandas' tables come back as they were."""

import numpy as np
import pandas as pd
import pytest
from pandas.testing import assert_frame_equal, assert_index_equal, assert_series_equal

from stackkit import load, save
from stackkit._blending.pools import LogPoolClassifier

INDEXES = {
    "range": pd.RangeIndex(3, 9, 2, name="row"),
    "numbers": pd.Index([3, 1, 2], dtype="int32"),
    "floats": pd.Index([0.1, np.nan, -0.0]),
    "text": pd.Index(["a", None, "c"], name=("x", 1)),
    "objects": pd.Index([1, "a", None], dtype=object),
    "booleans": pd.Index([True, False, True]),
    "dates": pd.date_range("2020-01-31", periods=3, freq="ME"),
    "zone": pd.date_range("2020-03-28 23:00", periods=4, freq="h", tz="Europe/Paris"),
    "spans": pd.timedelta_range("1h", periods=3, freq="30min"),
    "periods": pd.period_range("2020-01", periods=3, freq="M", name="month"),
    "intervals": pd.interval_range(0, 3, closed="left"),
    "categories": pd.CategoricalIndex(["b", None, "a"], categories=["b", "a", "c"], ordered=True),
    "nullable": pd.Index(pd.array([1, None, 3], dtype="Int64")),
    "levels": pd.MultiIndex.from_product([["a", "b"], pd.to_datetime(["2020", "2021"])], names=["x", None]),
    "empty": pd.Index([], dtype=object),
}


def _again(value, tmp_path):
    """Through a file, as an attribute of something that may have any."""
    holder = LogPoolClassifier()
    holder.value_ = value
    return load(save(holder, tmp_path / "kept.stackkit")).value_


@pytest.mark.parametrize("name", INDEXES)
def test_indexes(name, tmp_path):
    again = _again(INDEXES[name], tmp_path)
    assert_index_equal(again, INDEXES[name], exact=True)
    assert getattr(again, "freq", None) == getattr(INDEXES[name], "freq", None)


@pytest.mark.parametrize("name", INDEXES)
def test_series_and_frames(name, tmp_path):
    index = INDEXES[name]
    series = pd.Series(index if name != "levels" else range(len(index)), index=index, name="it")
    assert_series_equal(_again(series, tmp_path), series)
    frame = pd.DataFrame({"a": np.arange(len(index)), 2: series.to_numpy()}, index=index)
    frame["kept"] = series
    assert_frame_equal(_again(frame, tmp_path), frame)


def test_a_frame_of_no_rows_or_no_columns(tmp_path):
    for frame in (pd.DataFrame(columns=["a", "b"]), pd.DataFrame(index=[1, 2]), pd.DataFrame()):
        assert_frame_equal(_again(frame, tmp_path), frame)


def test_two_columns_of_one_name(tmp_path):
    frame = pd.DataFrame([[1, 2.5]], columns=["a", "a"])
    assert_frame_equal(_again(frame, tmp_path), frame)
