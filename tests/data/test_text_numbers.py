"""Numbers that are written as text: read in one way for the whole column, or not at all."""

from decimal import Decimal

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.testing import assert_array_equal

from stackkit._data import NumberFormat, format_of_column, numbers_of
from stackkit._data.text_numbers import LEAST_TIMES, MOST_CODES, MOST_DIGITS, nearest_format, number_format

PLAIN = NumberFormat(thousands=",")  # larger numbers may come, and a comma before three digits of theirs is one
CENTS = st.lists(st.integers(-(10**9), 10**9), min_size=1, max_size=20)


def _read(texts):
    found = number_format(texts)
    return None if found is None else found.read(texts).tolist()


def _european(text):
    return text.translate(str.maketrans(",.", ".,"))


# --- what is written is read ----------------------------------------------------------------------------


@given(CENTS, st.sampled_from(["", "$", "US$", "€", "EUR "]), st.sampled_from(["", "%", " %", " EUR", "kg", " km/h"]))
def test_numbers_with_commas_between_thousands(cents, before, after):
    numbers = [cent / 100 for cent in cents]
    assert _read([f"{before}{number:,.2f}{after}" for number in numbers]) == numbers
    assert _read([f"{'-' * (number < 0)}{before}{abs(number):,.2f}{after}" for number in numbers]) == numbers


@given(CENTS, st.sampled_from(["", "€", "CHF "]), st.sampled_from(["", " €", " kr"]))
def test_numbers_with_decimal_commas(cents, before, after):
    """A column of which some number has both marks, or a decimal comma that can be nothing else."""
    numbers = [1234.5, *(cent / 100 for cent in cents)]
    assert _read([before + _european(f"{number:,.2f}") + after for number in numbers]) == numbers
    assert _read([before + f"{number:.2f}".replace(".", ",") + after for number in numbers]) == numbers


@given(CENTS, st.sampled_from([" ", "\u00a0", "\u202f", "'", "\u2019"]), st.sampled_from(".,"))
def test_numbers_with_spaces_or_apostrophes_between_thousands(cents, mark, point):
    numbers = [1234567.25, *(cent / 100 for cent in cents)]
    texts = [f"{number:,.2f}".replace(",", "_").replace(".", point).replace("_", mark) for number in numbers]
    found = _read(texts)
    assert found == (numbers if not (mark in "'\u2019" and point == ",") else None)


@given(st.lists(st.floats(allow_nan=False, allow_infinity=False), min_size=1))
def test_plain_numbers(numbers):
    texts = [repr(number) for number in numbers]
    long = [text for text in texts if len(text.strip("-")) > MOST_DIGITS and text.strip("-").isdigit()]
    assert long or _read(texts) == numbers


def test_spaces_around_and_other_spellings():
    assert _read([" 12 % ", "7%", "-3.5 %", "\u22124 %", "+1%"]) == [12, 7, -3.5, -4, 1]
    assert _read(["12,34,567", "1,00,000", "980"]) == [1234567, 100000, 980]  # as in India
    assert _read(["1e3", "2.5E-2", "7."]) == [1000, 0.025, 7]


@pytest.mark.parametrize("mark", ["", " ", "?", "-", "NA", "n/a", "NULL", "nan", "inf", "--"])
def test_what_stands_for_missing_does_not_make_a_column_text(mark):
    texts = ["1,250", mark, "980"]
    assert number_format(texts) == NumberFormat(thousands=",")
    assert_array_equal(number_format(texts).read(texts), [1250, np.nan, 980])
    assert number_format([mark, mark]) is None


# --- what is not read -----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "texts",
    [
        ["007", "12", "13"],
        ["01234", "98765"],
        ["01234", "12,345"],
        ["9" * (MOST_DIGITS + 1), "12"],
        ["12 EUR", "12 USD"],
        ["$12", "12"],
        ["12 %", "12"],
        ["1.5", "1,5"],
        ["1.234", "2,5"],  # is the first one a thousand?
        ["1,23", "1.234"],
        ["1,2,3", "4"],
        ["12,34", "1,234.5"],
        ["1.2.3", "1.2.4"],
        ["2024-01-02", "2024-01-03"],
        ["01/02/2024"],
        ["12:30"],
        ["555-1234"],
        ["12-15", "16-20"],
        ["1st", "2nd"],
        ["a1", "a2"],
        ["1 2", "3 4"],
        ["--5"],
        ["5 kg 3"],
        ["abc", "1"],
        ["0x1A"],
        ["1_000"],
        ["1" * 1000],
        [],
    ],
)
def test_what_is_read_in_no_way_or_in_two_stays_text(texts):
    assert number_format(texts) is None


def test_a_comma_before_three_digits_stands_between_thousands_unless_another_number_says_otherwise():
    assert _read(["1,234", "980"]) == [1234, 980]
    assert _read(["1,234", "0,125"]) == [1.234, 0.125]
    assert _read(["1,234", "2,5"]) == [1.234, 2.5]
    assert _read(["1.234", "2.500"]) == [1.234, 2.5]
    assert _read(["1.234.567", "2.500"]) == [1234567, 2500]


def test_what_stands_before_decimals_may_be_known():
    for texts, decimal, numbers in [
        (["1.234", "980"], ",", [1234, 980]),
        (["1.234", "980"], ".", [1.234, 980]),
        (["1,234", "980"], ",", [1.234, 980]),
        (["1,234", "980"], ".", [1234, 980]),
    ]:
        assert number_format(texts, decimal).read(texts).tolist() == numbers
    assert number_format(["1.5"], ",") is None
    assert number_format(["1,5"], ".") is None


def test_the_format_of_most():
    dollars = nearest_format(["$1,250", "$980", "12", "soon", "3 EUR"])
    assert dollars == NumberFormat(before="$", thousands=",")
    assert [dollars.fits(text) for text in ("$5", "5", "$1,250", "$1.250,5", "soon", "9" * 99)] == [
        *(True, False, True, False, False, False),
    ]
    assert nearest_format(["soon", "later"]) is None
    assert nearest_format(["1,5", "2,25", "1.5"]).decimal == ","
    assert nearest_format(["1,5", "2,25", "1.5"], ".").decimal == "."


def test_new_texts_are_read_in_the_format_of_the_column():
    dollars = number_format(["$1,250", "$980"])
    assert_array_equal(dollars.read(["$3", "3", "1,000", "3 %", "€3", "1.000,5", "x"]), [3, 3, 1000, *[np.nan] * 4])
    europe = number_format(["1.250,5", "3"])
    assert_array_equal(europe.read(["1.000", "1,5", "1.5"]), [1000, 1.5, np.nan])


# --- columns --------------------------------------------------------------------------------------------


def _format(values, dtype=object):
    return format_of_column(pd.Series(values, dtype=dtype))


@pytest.mark.parametrize("dtype", [object, "str", "string"])
def test_columns_of_any_dtype_of_text(dtype):
    column = pd.Series([f"{n * 777:,}" for n in range(9)] + [None], dtype=dtype)
    assert format_of_column(column) == NumberFormat(thousands=",")
    assert_array_equal(numbers_of(column, NumberFormat(thousands=",")), [*(np.arange(9) * 777.0), np.nan])


def test_whole_numbers_that_come_again_and_again_are_categories():
    codes = [str(n) for n in range(MOST_CODES)]
    assert _format(codes * LEAST_TIMES) is None
    assert _format(codes * (LEAST_TIMES - 1)) == PLAIN  # too few rows to tell, or to learn of each
    assert _format([*codes, "99"] * LEAST_TIMES) == PLAIN
    assert _format([f"{code}.5" for code in codes] * LEAST_TIMES) == PLAIN
    assert _format([f"{code} %" for code in codes] * LEAST_TIMES) == NumberFormat(thousands=",", after="%")


def test_numbers_and_texts_in_one_column():
    assert _format([1, "2", 3.5, None] * 5) == PLAIN
    assert _format([1, "1,200", 3.5]) == NumberFormat(thousands=",")
    for mixed in ([1, "a"], [1, "2 %"], [True, "1"], [pd.Timestamp(0), "1"], [[1], "1"], ["1", {}], [None, None]):
        assert _format(mixed * 5) is None, mixed


def test_values_of_any_type_are_numbers_or_missing():
    values = [True, 2, 2.5, Decimal("3.5"), np.float32(1), np.bool(False), "4", 10**400]
    largest = np.finfo(float).max
    assert_array_equal(
        numbers_of(pd.Series(values, dtype=object), NumberFormat()), [1, 2, 2.5, 3.5, 1, 0, 4, largest]
    )
    others = [None, pd.NA, pd.NaT, pd.Timestamp(0), pd.Timedelta(1), "x", b"1", [1], {}]
    assert np.isnan(numbers_of(pd.Series(others, dtype=object), NumberFormat())).all()
    assert np.isnan(numbers_of(pd.Series(pd.date_range("2020", periods=3)), NumberFormat())).all()
    assert_array_equal(numbers_of(pd.Series([1, None], dtype="Int64"), NumberFormat()), [1, np.nan])
    assert_array_equal(numbers_of(pd.Series([1, 2], dtype="category"), NumberFormat()), [1, 2])
