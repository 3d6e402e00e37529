"""Tables for learners that prepare what they get: infinite numbers and empty columns are told of, not refused."""

import warnings

import numpy as np
import pandas as pd
import polars as pl
import pytest
from numpy.testing import assert_array_equal
from scipy import sparse

from stackkit._data import check_raw_table, raw_rows
from stackkit.exceptions import UnreadValuesWarning

ENDLESS = {"a": [1.0, np.inf, -np.inf], "b": [1.5, 2.5, np.nan], "c": ["x", None, "y"]}
TOLD = ["2 value(s) of the column 'a' are infinite"]


def _object(frame):
    return frame.astype({"a": object})


@pytest.mark.parametrize("as_table", [pd.DataFrame, pl.DataFrame, lambda table: _object(pd.DataFrame(table))])
@pytest.mark.parametrize("training", [True, False])
def test_infinite_numbers_become_missing_in_a_copy(as_table, training):
    table = as_table(ENDLESS)
    rows, told = check_raw_table(table, training=training)
    assert told == TOLD
    assert type(rows) is type(table)
    assert rows["a"].to_list()[0] == 1
    assert pd.isna(pd.Series(rows["a"].to_list())).tolist() == [False, True, True]
    assert table["a"].to_list() == ENDLESS["a"]  # what the user gave is not written to
    assert rows["b"].to_list()[:2] == [1.5, 2.5]
    assert rows["c"].to_list()[::2] == ["x", "y"]


@pytest.mark.parametrize("dtype", ["float16", "float32", "Float64", pd.SparseDtype(float, 0.0)])
def test_infinite_numbers_of_every_float(dtype):
    table = pd.DataFrame({"a": pd.array([1.0, np.inf, 2.0], dtype=dtype)})
    rows, told = check_raw_table(table, training=True)
    assert told == ["1 value(s) of the column 'a' is infinite"]
    assert rows["a"].isna().tolist() == [False, True, False]
    assert rows["a"].dtype == table["a"].dtype


def test_arrays():
    array = np.array([[1.0, np.inf], [2.0, 3.0], [np.nan, -np.inf]])
    rows, told = check_raw_table(array, training=True)
    assert_array_equal(rows, [[1, np.nan], [2, 3], [np.nan, np.nan]])
    assert told == ["2 value(s) of the column 1 are infinite"]
    assert np.isinf(array).sum() == 2
    objects = np.array([[1.0, "x"], [np.inf, None]], dtype=object)
    rows, told = check_raw_table(objects, training=False)
    assert told == ["1 value(s) of the column 0 is infinite"]
    assert rows.tolist()[1][1] is None
    images = np.zeros((3, 2, 2))
    images[0, 1, 1] = np.inf
    assert check_raw_table(images, training=True)[1] == ["1 value(s) of the column 1 is infinite"]


@pytest.mark.parametrize("table", [pd.DataFrame({"a": [1.0, 2.0], "b": ["x", None]}), np.eye(2), np.array([["a"], ["b"]])])
def test_what_is_fine_is_not_copied(table):
    rows, told = check_raw_table(table, training=True)
    assert told == []
    assert rows is table or np.shares_memory(rows, table)


def test_nothing_can_be_missing_in_a_sparse_matrix():
    with pytest.raises(ValueError, match="Input X contains infinity"):
        check_raw_table(sparse.csr_matrix([[np.inf], [1.0]]), training=True)


@pytest.mark.parametrize(
    "empty",
    [
        [np.nan] * 2,
        pd.Series([None] * 2, dtype=object),
        pd.Series([pd.NaT] * 2),
        pd.array([pd.NA] * 2, dtype="Int64"),
        pd.Categorical([None] * 2),
        [np.inf, -np.inf],
    ],
)
def test_empty_columns_of_training_rows_are_told_of(empty):
    table = pd.DataFrame({"a": [1, 2], "b": empty, "c": empty})
    _, told = check_raw_table(table, training=True)
    assert told[-1] == "no row has a value in columns 'b', 'c'"
    assert "no row" not in str(check_raw_table(table, training=False)[1])
    with pytest.raises(ValueError, match=r"X must hold a value in some column; got 2 rows of 2 column\(s\) without any"):
        check_raw_table(table[["b", "c"]], training=True)


def test_one_warning_tells_all():
    table = pd.DataFrame({"a": [1, np.inf], **{f"e{i}": [None] * 2 for i in range(30)}})
    with pytest.warns(UnreadValuesWarning) as caught:
        raw_rows(table, training=True, stacklevel=1)
    (message,) = [str(warning.message) for warning in caught]
    assert message.startswith("Training rows: 1 value(s) of the column 'a' is infinite; no row has a value in columns 'e0'")
    assert message.endswith("'e19' and 10 more. These count as missing.")
    assert caught[0].filename == __file__
    with pytest.warns(UnreadValuesWarning, match="New rows: 1 value"):
        raw_rows(table, training=False, stacklevel=1)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        raw_rows(table[["e1"]].assign(a=1), training=False, stacklevel=1)


# --- names ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("names", [["a", 1, ("x", 2)], ["a", np.nan, "c"], [np.str_("a"), "b", "c"]])
def test_names_of_several_types_become_text(names):
    table = pd.DataFrame(np.eye(3), columns=names)
    rows, _ = check_raw_table(table, training=True)
    assert rows.columns.tolist() == [str(name) for name in names]
    assert {type(name) for name in rows.columns} == {str}
    assert table.columns.tolist()[0] == names[0]


@pytest.mark.parametrize("names", [["a", "b"], [0, 5], [("a", 1), ("a", 2)], pd.date_range("2020", periods=2)])
def test_names_of_one_type_stay(names):
    table = pd.DataFrame(np.eye(2), columns=names)
    assert check_raw_table(table, training=True)[0] is table


@pytest.mark.parametrize("names", [["a", "a"], ["1", 1]])
def test_names_must_differ(names):
    with pytest.raises(ValueError, match="column names of X must be unique"):
        check_raw_table(pd.DataFrame(np.eye(2), columns=names), training=True)


def test_complex_numbers_are_refused_by_name():
    match = "X must hold real numbers; got complex ones in the column 'b'. Make two columns"
    with pytest.raises(ValueError, match=match):
        check_raw_table(pd.DataFrame({"a": [1, 2], "b": [1j, 2]}), training=True)


@pytest.mark.parametrize("value", [pd.Timestamp("2020"), pd.NA, pd.Timedelta(1)])
def test_arrays_of_objects_that_are_no_numbers_stay_objects(value):
    rows, _ = check_raw_table(np.array([[1, value], [2, None]], dtype=object), training=True)
    assert rows.dtype == object
