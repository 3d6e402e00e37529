"""Columns of numbers in any spelling become finite numbers; how they are written is learned from the fit's rows."""

import joblib
import numpy as np
import pandas as pd
import pytest
from numpy.testing import assert_array_equal
from sklearn import config_context
from sklearn.base import clone

from stackkit._learners.number_columns import LARGEST, NumberColumns, bounded
from stackkit._learners.preparation import MOST_DEVIATIONS, column_kind, scaled_preprocessing, tree_preprocessing

NUMBERS = np.arange(-3.0, 40.0) * 987.5
FRAME = pd.DataFrame({"number": NUMBERS, "money": [f"${number:,.1f}" for number in NUMBERS]})


def test_text_and_numbers_give_the_same():
    both = NumberColumns().fit_transform(FRAME)
    assert_array_equal(both, np.column_stack([NUMBERS, NUMBERS]))
    assert both.dtype == float


@pytest.mark.parametrize("make", [scaled_preprocessing, tree_preprocessing])
def test_a_text_column_of_numbers_is_prepared_as_numbers(make):
    plain = make().fit(FRAME[["number"]]).transform(FRAME[["number"]])
    text = make().fit(FRAME[["money"]])
    assert_array_equal(text.transform(FRAME[["money"]]), plain)
    new = pd.DataFrame({"money": ["$987.5", "987.5", "what", None]})
    missing = pd.DataFrame({"number": [987.5, 987.5, np.nan, np.nan]})
    assert_array_equal(text.transform(new), make().fit(FRAME[["number"]]).transform(missing))


def test_the_format_is_that_of_the_training_rows():
    american = NumberColumns().fit(pd.DataFrame({"a": ["1,250.5", "3"]}))
    european = NumberColumns().fit(pd.DataFrame({"a": ["1.250,5", "3"]}))
    new = pd.DataFrame({"a": ["1.250"]})
    assert american.transform(new) == [[1.25]]
    assert european.transform(new) == [[1250]]


def test_columns_with_equal_formats_are_one_step_to_share():
    one, other = (NumberColumns().fit(rows) for rows in (FRAME.iloc[:20], FRAME.iloc[20:]))
    assert joblib.hash(one) == joblib.hash(other)


def test_infinite_and_far_numbers():
    values = pd.DataFrame({"a": [np.inf, -np.inf, 1e300, -1e300, 1.0, np.nan]})
    out = NumberColumns().fit_transform(values)
    assert_array_equal(out[:, 0], [np.nan, np.nan, LARGEST, -LARGEST, 1, np.nan])
    assert np.isfinite(np.sum([LARGEST] * 10**6, dtype=np.float32))
    assert values["a"].iloc[0] == np.inf
    same = np.eye(3)
    assert bounded(same, 10) is same


def test_new_rows_far_off_stay_in_bounds():
    fitted = scaled_preprocessing().fit(FRAME)
    far = fitted.transform(pd.DataFrame({"number": [1e29], "money": ["$1e29"]}))
    assert_array_equal(far, [[MOST_DEVIATIONS, MOST_DEVIATIONS]])
    inside = fitted.transform(FRAME)
    assert np.abs(inside).max() < 3


@pytest.mark.parametrize(
    ("column", "kind"),
    [
        ([True, False, None], "number"),
        (pd.array([True, None], dtype="boolean"), "number"),
        ([1, "a", None], "category"),
        ([1, "2", None], "number"),
        (["007", "012"], "category"),
        (["12 %", "15 %", ""], "number"),
        (pd.Categorical([1, 2, 3]), "category"),
        (pd.array([1, None], dtype="Int64"), "number"),
        (pd.arrays.SparseArray([0, 0, 1]), "number"),
        ([None, None], "empty"),
        ([np.nan], "empty"),
        ([pd.NaT], "empty"),
        (pd.Categorical([None]), "empty"),
        (["", " "], "category"),
        ([b"1"], "category"),
        ([[1], [2]], "category"),
    ],
)
def test_kinds_of_columns(column, kind):
    assert column_kind(pd.Series(column)) == kind


@pytest.mark.parametrize("make", [scaled_preprocessing, tree_preprocessing])
@pytest.mark.parametrize("nothing", [np.nan, None, pd.NaT])
def test_empty_columns_are_left_out(make, nothing):
    frame = FRAME.assign(empty=nothing, hollow=pd.Series([None] * len(FRAME), dtype=object))
    new = frame.assign(empty="now", hollow=7.0)
    expected = make().fit(FRAME).transform(FRAME)
    fitted = make().fit(frame)
    assert_array_equal(fitted.transform(frame), expected)
    assert_array_equal(fitted.transform(new), expected)


@pytest.mark.parametrize("make", [scaled_preprocessing, tree_preprocessing])
def test_a_table_without_a_value_is_a_constant(make):
    nothing = pd.DataFrame({"a": [np.nan] * 5, "b": [None] * 5})
    fitted = make().fit(nothing)
    assert_array_equal(fitted.transform(nothing), np.ones((5, 1)))
    assert fitted.transform(nothing.assign(a=1.0)).shape == (5, 1)


def test_it_is_a_transformer_of_scikit_learn():
    with config_context(transform_output="pandas"):
        out = clone(NumberColumns()).fit_transform(FRAME)
    assert out.columns.tolist() == ["number", "money"]
