"""Preprocessing of raw frames: columns of every kind become numbers, bounded in number, learned from the fit's rows."""

import warnings

import numpy as np
import pandas as pd
import polars as pl
import pytest
from numpy.testing import assert_allclose, assert_array_equal
from passengers import passengers
from scipy import sparse
from sklearn.base import clone
from sklearn.compose import ColumnTransformer
from sklearn.exceptions import NotFittedError

from stackkit._learners.preparation import (
    MAX_CATEGORIES,
    MAX_WORDS,
    network_preprocessing,
    scaled_preprocessing,
    sparse_preprocessing,
    tree_preprocessing,
)

PREPROCESSINGS = [scaled_preprocessing, tree_preprocessing]


@pytest.fixture(autouse=True)
def every_warning_is_an_error():
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        yield


@pytest.fixture
def frame_and_y():
    return passengers()


def columns_of(preprocessing, frame):
    return preprocessing.fit_transform(frame).shape[1]


@pytest.mark.parametrize("preprocessing", PREPROCESSINGS)
def test_all_spellings_of_missing_are_one(preprocessing):
    column = ["a", "b", None, np.nan, pd.NA] * 10
    out = preprocessing().fit_transform(pd.DataFrame({"c": pd.Series(column, dtype=object)}))
    assert out.shape == (50, 3)
    assert_array_equal(out[2], out[3])
    assert_array_equal(out[2], out[4])


@pytest.mark.parametrize("preprocessing", PREPROCESSINGS)
@pytest.mark.parametrize("dtype", [object, "str", "string", "category"])
def test_text_dtypes_are_equal(preprocessing, dtype):
    values = ["a", "b", "b", None, "c"] * 8
    plain = preprocessing().fit_transform(pd.DataFrame({"c": pd.Series(values, dtype=object)}))
    assert plain.shape == (40, 4)
    assert_array_equal(preprocessing().fit_transform(pd.DataFrame({"c": pd.Series(values, dtype=dtype)})), plain)


@pytest.mark.parametrize("preprocessing", PREPROCESSINGS)
def test_a_mixed_object_column_is_a_category(preprocessing):
    assert columns_of(preprocessing(), pd.DataFrame({"c": [1, "a", 2.5, True] * 5})) == 4


@pytest.mark.parametrize("preprocessing", PREPROCESSINGS)
def test_an_object_column_of_numbers_is_a_number(preprocessing):
    frame = pd.DataFrame({"c": pd.Series(range(30), dtype=object)})
    out = preprocessing().fit_transform(frame)
    assert out.shape == (30, 1)
    assert np.all(np.diff(out[:, 0]) > 0)


@pytest.mark.parametrize("preprocessing", PREPROCESSINGS)
def test_fifty_thousand_levels_become_few_columns(preprocessing):
    n = 50_000
    frame = pd.DataFrame(
        {
            "id": [f"u{i % (n // 5)}" for i in range(n)],
            "remark": [f"word{i} thing{i % 700} ship" for i in range(n)],
        }
    )
    out = preprocessing().fit_transform(frame)
    assert 2 <= out.shape[1] <= MAX_CATEGORIES + MAX_WORDS
    assert out.shape[1] > MAX_CATEGORIES  # both columns have their share


@pytest.mark.parametrize("preprocessing", PREPROCESSINGS)
def test_an_identifier_is_one_column_and_a_new_one_is_the_same(preprocessing):
    ids = pd.DataFrame({"id": [f"u{i}" for i in range(100)]})
    fitted = preprocessing().fit(ids)
    assert_array_equal(fitted.transform(ids), np.ones((100, 1)))
    assert_array_equal(fitted.transform(pd.DataFrame({"id": ["never seen"]})), [[1.0]])


@pytest.mark.parametrize("preprocessing", PREPROCESSINGS)
@pytest.mark.parametrize("remarks", [[f"! {i} ?" for i in range(40)], [f"x{i} y{i}" for i in range(40)]])
def test_text_without_a_common_word_does_not_fail(preprocessing, remarks):
    fitted = preprocessing().fit(pd.DataFrame({"remark": remarks}))
    out = fitted.transform(pd.DataFrame({"remark": [None, "", "x1 z"]}))
    assert out.shape == (3, 1)
    assert np.isfinite(out).all()


@pytest.mark.parametrize("preprocessing", PREPROCESSINGS)
def test_dates_of_one_day_stay_apart_in_32_bits(preprocessing):
    times = pd.date_range("2024-05-01", periods=60, freq="s").to_series(index=range(60))
    out = preprocessing().fit_transform(times.to_frame("t")).astype(np.float32)
    assert len(np.unique(out[:, 0])) == 60


@pytest.mark.parametrize("preprocessing", PREPROCESSINGS)
@pytest.mark.parametrize(
    "dates",
    [
        pd.date_range("2024-01-01", periods=20, tz="Europe/Paris"),
        pd.period_range("2024-01", periods=20, freq="M"),
        pd.timedelta_range("1h", periods=20),
        pd.Series(pd.date_range("2024-01-01", periods=20).date, dtype=object),
        pd.Series(list(pd.timedelta_range("1h", periods=20).to_pytimedelta()), dtype=object),
    ],
    ids=["zone", "period", "timedelta", "date objects", "timedelta objects"],
)
def test_every_sort_of_date_becomes_an_ordered_number(preprocessing, dates):
    column = pd.Series(dates)
    column.iloc[5] = None
    fitted = preprocessing().fit(column.to_frame("d"))
    out = fitted.transform(column.to_frame("d"))
    assert np.all(np.diff(np.delete(out[:, 0], 5)) > 0)


def test_for_networks_a_code_per_level_comes_first_and_numbers_are_scaled(frame_and_y):
    frame, _ = frame_and_y
    fitted = network_preprocessing()
    table = fitted.fit_transform(frame)
    _, _, categories = fitted.transformers_[0]
    assert [place for place, dtype in enumerate(table.dtypes) if dtype == "category"] == list(range(len(categories)))
    for place, column in enumerate(categories):
        values = frame.iloc[:, column].astype(object).fillna("nothing")
        pairs = pd.DataFrame({"code": table[place].to_numpy(), "value": values.to_numpy()}).drop_duplicates()
        assert len(pairs) == pairs["code"].nunique() == pairs["value"].nunique()
    scaled = scaled_preprocessing().fit(frame)
    for kind in ("numbers", "dates", "text"):
        found, expected = (one.transform(frame)[:, one.output_indices_[kind]] for one in (fitted, scaled))
        assert_array_equal(found, expected)
    assert_array_equal(fitted.transform(frame.assign(Sex="never seen"))[:, categories.index(2)], -1)


@pytest.mark.parametrize("preprocessing", PREPROCESSINGS)
def test_missing_numbers_are_told_apart(preprocessing):
    frame = pd.DataFrame({"a": [1.0, 2.0, np.nan, 4.0, 2.0], "b": [1, 2, 3, 4, 5]})
    out = preprocessing().fit_transform(frame)
    if preprocessing is tree_preprocessing:
        assert_array_equal(out, frame)
    else:
        assert out[2, 0] == out[1, 0]  # the median of the known values
        assert_allclose(out.mean(axis=0), 0, atol=1e-12)
        assert_allclose(out.std(axis=0), 1)
        assert out.shape[1] == 3
        assert np.argmax(out[:, 2]) == 2  # who lacked it


@pytest.mark.parametrize("preprocessing", PREPROCESSINGS)
def test_polars_frames_are_as_good_as_pandas(preprocessing):
    frame, _ = passengers()
    frame = frame.astype({"Siblings": float, "Deck": object})
    columns = {c: [None if v is pd.NaT or v != v else v for v in frame[c]] for c in frame}  # noqa: PLR0124
    polars = pl.DataFrame(columns).with_columns(pl.col("Deck").cast(pl.Categorical))
    assert_allclose(preprocessing().fit_transform(polars), preprocessing().fit_transform(frame))


@pytest.mark.parametrize("preprocessing", PREPROCESSINGS)
def test_nothing_is_learned_from_the_other_rows(preprocessing):
    frame, _ = passengers()
    train = np.arange(160)
    other = frame.copy()
    other["Deck"] = other["Deck"].astype(object)
    other.loc[160:, ["Sex", "Deck", "Cabin"]] = "elsewhere"
    other.loc[160:, ["Age", "Fare"]] = 1e6
    other.loc[160:, "Name"] = "quite another name"
    other["Deck"] = other["Deck"].astype("category")
    expected = preprocessing().fit(frame.iloc[train])
    actual = preprocessing().fit(other.iloc[train])
    assert_array_equal(actual.transform(frame), expected.transform(frame))


def test_columns_without_names_go_by_position():
    frame = pd.DataFrame({"n": [1.0, np.nan, 3.0] * 8, "c": ["x", "y", "z"] * 8, "m": range(24)})
    expected = tree_preprocessing().fit_transform(frame)
    assert_array_equal(tree_preprocessing().fit_transform(frame.set_axis([2, 0, 7], axis=1)), expected)


@pytest.mark.parametrize("preprocessing", PREPROCESSINGS)
def test_names_of_the_prepared_columns(preprocessing):
    frame, _ = passengers()
    fitted = preprocessing().fit(frame)
    names = fitted.get_feature_names_out()
    assert len(names) == fitted.transform(frame).shape[1]
    assert {"numbers__Fare", "categories__Sex_female", "text__mrs"} <= set(names)


@pytest.mark.parametrize("preprocessing", PREPROCESSINGS)
def test_parts_that_no_column_went_to_can_be_drawn(preprocessing):
    """They are not fitted, and scikit-learn 1.9 asks them for names all the same."""
    numbers = pd.DataFrame({"a": [1.0, 2.0, 3.0]})
    assert "_to_documents" in ColumnTransformer(preprocessing().transformers).fit(numbers)._repr_html_()
    assert "TablePreparation" in preprocessing().fit(numbers)._repr_html_()


def test_sparse_preprocessing_can_be_drawn():
    columns = ColumnTransformer([("all", sparse_preprocessing(), [0, 1]), ("none", sparse_preprocessing(), [])])
    assert "_as_csr" in columns.fit(sparse.csr_matrix(np.eye(3)))._repr_html_()


def test_steps_keep_the_names_that_they_are_given():
    frame = pd.DataFrame({"a": [1.0, 2.0], "b": [3.0, 4.0]})
    (_, numbers, _), *_ = scaled_preprocessing().transformers
    with pytest.raises(NotFittedError, match="NumberColumns instance is not fitted yet"):
        numbers[0].get_feature_names_out()
    with pytest.raises(NotFittedError, match="FunctionTransformer is not fitted yet, and knows no names of columns"):
        numbers[-1].get_feature_names_out()
    assert list(numbers[-1].get_feature_names_out(["x", "y"])) == ["x", "y"]
    assert list(clone(numbers).fit(frame).get_feature_names_out()) == ["a", "b"]
    assert list(clone(numbers).fit(frame.to_numpy()).get_feature_names_out()) == ["x0", "x1"]
