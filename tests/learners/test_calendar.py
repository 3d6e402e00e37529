"""Dates as numbers: what the calendar says of a day, and nothing that training dates do not tell of."""

import numpy as np
import pandas as pd
import pytest
from numpy.testing import assert_allclose, assert_array_equal

from stackkit._learners.calendar import CalendarColumns, format_of_dates
from stackkit._learners.preparation import scaled_preprocessing, tree_preprocessing

DAYS = pd.Series(pd.date_range("2019-12-25 06:30", periods=400, freq="25h"))


def by_name(transformer, frame):
    return dict(zip(transformer.get_feature_names_out(frame.columns), transformer.transform(frame).T, strict=True))


def test_parts_are_those_of_the_standard_library():
    frame = DAYS.to_frame("d")
    found = by_name(CalendarColumns().fit(frame), frame)
    moments = [moment.to_pydatetime() for moment in DAYS]
    assert_array_equal(found["d_year"], [moment.year for moment in moments])
    assert_array_equal(found["d_month"], [moment.month for moment in moments])
    assert_array_equal(found["d_day"], [moment.day for moment in moments])
    assert_array_equal(found["d_weekday"], [moment.weekday() for moment in moments])
    assert_allclose(found["d_hour"], [moment.hour + moment.minute / 60 for moment in moments])
    seconds = np.array([moment.timestamp() for moment in moments])
    assert_allclose(found["d_days"], (seconds - seconds.mean()) / seconds.std(), atol=1e-9)


def test_a_date_has_the_same_place_in_each_year():
    """A day of the year has not: the 1st of March is the 60th or the 61st."""
    frame = pd.DataFrame({"d": pd.to_datetime(["2019-12-25", "2020-12-25", "2021-12-25", "2021-03-01"])})
    places = by_name(CalendarColumns().fit(frame), frame)["d_place_in_year"]
    assert len(set(places[:3])) == 1
    assert places[3] < places[0]


def test_waves_go_round():
    frame = DAYS.to_frame("d")
    fitted = CalendarColumns(waves=True).fit(frame)
    new = pd.DataFrame({"d": pd.to_datetime(["2021-12-31 23:59", "2022-01-01 00:00", "2021-07-02 12:00"])})
    found = by_name(fitted, new)
    year = np.column_stack([found["d_year_sin"], found["d_year_cos"], found["d_hour_sin"], found["d_hour_cos"]])
    assert_allclose((year[:, :2] ** 2).sum(axis=1), 1)
    last, first, summer = year
    assert np.linalg.norm(last - first) < 0.05
    assert np.linalg.norm(last - summer) > 2
    weekdays = np.array([found[f"d_weekday_{day}"] for day in range(7)])
    assert_array_equal(weekdays.argmax(axis=0), [4, 5, 4])
    assert_array_equal(weekdays.sum(axis=0), 1)


@pytest.mark.parametrize("waves", [True, False])
def test_what_training_dates_have_alike_is_left_out(waves):
    """Else ten columns of nothing stand beside few rows."""
    mondays = pd.DataFrame({"d": pd.date_range("2024-01-01", periods=10, freq="7D")})
    names = set(CalendarColumns(waves=waves).fit(mondays).get_feature_names_out(["d"]))
    assert names == ({"d_days"} if waves else {"d_days", "d_month", "d_day", "d_place_in_year"})


@pytest.mark.parametrize("waves", [True, False])
def test_a_missing_date_is_nothing(waves):
    frame = DAYS.to_frame("d")
    found = by_name(CalendarColumns(waves=waves).fit(frame), pd.DataFrame({"d": [pd.NaT, DAYS[0]]}))
    assert np.isnan(found.pop("d_days")[0])
    assert all((value[0] == 0) if waves else np.isnan(value[0]) for value in found.values())


def test_durations_are_days():
    frame = pd.DataFrame({"t": pd.to_timedelta([1, 2, 6], unit="D")})
    found = CalendarColumns().fit(frame)
    assert_array_equal(found.get_feature_names_out(["t"]), ["t_days"])
    assert_allclose(found.transform(frame)[:, 0], (np.array([1, 2, 6]) - 3) / np.std([1, 2, 6]))


@pytest.mark.parametrize("format_", ["%Y-%m-%d", "%Y-%m-%dT%H:%M:%S", "%d.%m.%Y", "%m/%d/%Y", "%d %b %Y"])
@pytest.mark.parametrize("preparation", [scaled_preprocessing, tree_preprocessing])
def test_dates_as_text_are_dates(format_, preparation):
    """What pandas.read_csv makes of a column of dates is text."""
    days = pd.Series(pd.date_range("2020-01-01", periods=40, freq="13D"))
    texts = days.dt.strftime(format_).to_frame("d")
    assert_allclose(preparation().fit_transform(texts), preparation().fit_transform(days.to_frame("d")))


def test_text_that_may_be_either_date_is_text():
    assert format_of_dates(pd.Series(["01/02/2020", "03/04/2020"])) is None
    assert format_of_dates(pd.Series(["01/02/2020", "30/04/2020", None])) == "%d/%m/%Y"
    assert format_of_dates(pd.Series(["2020-01-02", "soon"])) is None
    assert format_of_dates(pd.Series([None, None], dtype=object)) is None


def test_text_that_is_no_date_among_new_rows_is_missing():
    texts = DAYS.dt.strftime("%Y-%m-%d").to_frame("d")
    fitted = tree_preprocessing().fit(texts)
    assert np.isnan(fitted.transform(pd.DataFrame({"d": ["soon", None]}))).all()


def test_hours_are_those_of_the_place():
    here = pd.Series(pd.date_range("2024-01-01 08:00", periods=100, freq="25h", tz="Europe/Paris")).to_frame("d")
    assert by_name(CalendarColumns().fit(here), here)["d_hour"][0] == 8
