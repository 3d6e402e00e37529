import copy
import datetime as dt

import numpy as np
import pandas as pd
import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import array_shapes, arrays, scalar_dtypes
from prints import all_differ, same
from scipy import sparse

from stackkit._store.fingerprint import data_fingerprint

X = np.random.default_rng(0).normal(size=(12, 3))


# --- arrays -----------------------------------------------------------------------------------------


@settings(max_examples=60, deadline=None)
@given(arrays(scalar_dtypes(), array_shapes(min_dims=0, max_dims=3, min_side=0, max_side=4)), st.data())
def test_layout_of_an_array_does_not_matter(array, data):
    wide = np.zeros((*array.shape, 2), array.dtype)
    wide[..., 1] = array
    copies = [np.asfortranarray(array), wide[..., 1], array.astype(array.dtype.newbyteorder(">")), array.copy()[...]]
    copies[-1].setflags(write=False)
    for changed in copies:
        assert data_fingerprint(changed.reshape(array.shape)) == data_fingerprint(array)
    if array.size:
        places = [data.draw(st.integers(0, side - 1)) for side in array.shape]
        other = array.copy()
        other[tuple(places)] = 1 if not array[tuple(places)] else 0
        if array.tobytes() != other.tobytes():
            assert data_fingerprint(other) != data_fingerprint(array)


def test_memory_mapped_array_is_an_array(tmp_path):
    np.save(tmp_path / "x.npy", X)
    assert data_fingerprint(np.load(tmp_path / "x.npy", mmap_mode="r")) == data_fingerprint(X)


def test_type_and_shape_of_an_array_matter():
    zeros = np.zeros(4, np.int64)
    dates = [zeros.view(kind) for kind in ("M8[s]", "M8[ns]", "m8[ns]", "f8", "u8")]
    assert all_differ([zeros, zeros[:3], zeros.reshape(2, 2), zeros.reshape(4, 1), zeros.reshape(1, 4), *dates])
    assert all_differ(
        [np.zeros((0, 3)), np.zeros((3, 0)), np.zeros(0), np.array(0.0), zeros.astype("S1"), None, [0] * 4]
    )


def test_arrays_of_objects_and_texts():
    texts = ["ab", "c", ""]
    found = [np.array(texts), np.array(texts, object), np.array(texts, "U9")]
    found += [
        np.array(items, object) for items in (["a", "bc", ""], ["ab", "", "c"], ["ab", "c", None], ["ab", "c", 0])
    ]
    assert all_differ([*found, np.array(["1", "2"], object), np.array([1, 2], object), np.array([1, "2"], object)])
    assert same(np.array([["a", 1], [None, 2.0]], object), np.array([["a", 1], [None, 2.0]], object, order="F"))
    if hasattr(np.dtypes, "StringDType"):
        assert all_differ([np.array(texts, np.dtypes.StringDType()), np.array(["a"] * 3, np.dtypes.StringDType())])


def test_gaps_in_structured_arrays_do_not_matter():
    packed = np.array([(1, 2.0)], dtype=[("a", "i1"), ("b", "f8")])
    gaps = np.frombuffer(b"\xff" * 16, np.dtype(packed.dtype.descr, align=True)).copy()
    gaps["a"], gaps["b"] = 1, 2.0
    assert same(packed, gaps)
    assert all_differ([packed, packed["b"], np.array([(1, 3.0)], packed.dtype), np.array([(1, 2.0)], "i1,f8")])


def test_user_objects_stay_as_they_are():
    entries = sparse.csr_array(([1.0, 2, 3], [2, 0, 0], [0, 2, 3]), shape=(2, 3))
    before = [part.copy() for part in (entries.data, entries.indices)]
    frame = pd.DataFrame({"a": [1, 2], "b": ["x", None]})
    kept = frame.copy()
    for table in (entries, frame):
        data_fingerprint(table)
    assert (entries.data == before[0]).all()
    assert (entries.indices == before[1]).all()
    assert not entries.has_sorted_indices
    pd.testing.assert_frame_equal(frame, kept)


def test_sparse_matrices_are_compared_by_their_entries():
    one = sparse.csr_array(([1.0, 2, 3], [2, 0, 1], [0, 2, 3]), shape=(2, 3))
    twice = sparse.csr_array(([2.0, 0.5, 0.5, 3], [0, 2, 2, 1], [0, 3, 4]), shape=(2, 3))
    wide = one.copy()
    wide.indices, wide.indptr = wide.indices.astype(np.int64), wide.indptr.astype(np.int64)
    assert same(one, twice, wide)
    explicit = sparse.csr_array(([1.0, 0, 2, 3], [2, 1, 0, 1], [0, 3, 4]), shape=(2, 3))  # for XGBoost no missing one
    moved = sparse.csr_array(([1.0, 2, 3], [2, 1, 1], [0, 2, 3]), shape=(2, 3))
    wider = sparse.csr_array(([1.0, 2, 3], [2, 0, 1], [0, 2, 3]), shape=(2, 4))
    assert all_differ([one, one * 2, one.astype(np.float32), explicit, moved, wider, one.toarray(), one.tocsc()])
    assert all_differ([sparse.csr_matrix(one), one])


# --- frames -----------------------------------------------------------------------------------------


def frame(**changes):
    columns = {
        "number": [1.0, np.nan, 3.0],
        "whole": pd.array([1, None, 3], dtype="Int64"),
        "text": ["a", None, "bc"],
        "object": np.array(["a", 1, None], dtype=object),
        "level": pd.Categorical(["x", "y", None], ["x", "y"]),
        "date": pd.to_datetime(["2020-01-01", None, "2020-01-03"]).tz_localize("Europe/Berlin"),
        "period": pd.PeriodIndex(["2020-01", "2020-02", None], freq="M"),
        "interval": pd.interval_range(0, 3),
        "thin": pd.arrays.SparseArray([0, 0, 1]),
        "flag": pd.array([True, None, False], dtype="boolean"),
    }
    return pd.DataFrame(columns | changes)


CHANGES = {
    "number": [[1.0, np.nan, 4.0], [1.0, 0.0, 3.0], np.array([1, np.nan, 3], np.float32), [1, 2, 3]],
    "whole": [pd.array([1, 0, 3], dtype="Int64"), pd.array([1, None, 3], dtype="Int32"), [1.0, np.nan, 3.0]],
    "text": [["ab", None, "c"], ["a", "None", "bc"], ["a", "", "bc"], pd.Categorical(["a", None, "bc"])],
    "object": [np.array(items, dtype=object) for items in (["a", "1", None], ["a", 1, np.nan], ["a", 1.0, None])],
    "level": [
        pd.Categorical(["x", "y", None], ["y", "x"]),
        pd.Categorical(["x", "y", None], ["x", "y", "z"]),
        pd.Categorical(["x", "y", None], ["x", "y"], ordered=True),
        pd.Categorical(["x", "x", None], ["x", "y"]),
        ["x", "y", None],
    ],
    "date": [
        pd.to_datetime(["2020-01-01", None, "2020-01-03"]).tz_localize("UTC"),
        pd.to_datetime(["2020-01-01", None, "2020-01-03"]).tz_localize("Europe/Paris"),
        pd.to_datetime(["2020-01-01", None, "2020-01-03"]),
    ],
    "period": [pd.PeriodIndex(["2020-01", "2020-03", None], freq="M")],
    "interval": [pd.interval_range(0, 3, closed="left"), pd.interval_range(1, 4)],
    "thin": [pd.arrays.SparseArray([0, 1, 1]), [0, 0, 1]],
    "flag": [pd.array([True, None, True], dtype="boolean"), pd.array([True, False, False], dtype="boolean")],
}


@pytest.mark.parametrize("name", CHANGES)
def test_every_change_of_a_column_matters(name):
    assert all_differ([frame(), *(frame(**{name: values}) for values in CHANGES[name])], data_fingerprint)


def test_names_order_and_index_of_a_frame_matter():
    plain = frame()
    others = [
        plain.rename(columns={"text": "texts"}),
        plain[plain.columns[::-1]],
        plain.iloc[::-1],
        plain.set_index(pd.Index([5, 6, 7])),
        plain.rename_axis("row"),
        plain.rename_axis(columns="column"),
        plain.iloc[:, 1:],
        plain.set_index(pd.MultiIndex.from_tuples([(0, 1), (0, 2), (0, 3)])),
    ]
    assert all_differ([plain, *others], data_fingerprint)
    series = plain["number"]
    assert all_differ([series, series.rename("n"), series.to_frame(), series.to_numpy()], data_fingerprint)


def test_blocks_of_a_frame_do_not_matter():
    together = pd.DataFrame(X, columns=["a", "b", "c"])
    apart = pd.DataFrame({"a": X[:, 0]})
    apart["c"] = X[:, 2]
    apart.insert(1, "b", X[:, 1].copy())
    rows = np.array([3, 1, 8])
    assert same(together, apart, together.copy(), pd.DataFrame(np.asfortranarray(X), columns=["a", "b", "c"]))
    assert same(together.iloc[rows], apart.iloc[rows], pd.DataFrame(X[rows], index=rows, columns=["a", "b", "c"]))
    assert same(frame(), copy.deepcopy(frame()), pd.concat([frame().iloc[:, :3], frame().iloc[:, 3:]], axis=1))
    masked = frame()["whole"].copy()
    masked[0], masked[1] = 7, 9
    masked[0], masked[1] = 1, pd.NA  # a 9 may still lie under the mask
    assert same(frame(), frame(whole=masked))


def polars_frame(**changes):
    columns = {
        "number": pl.Series([1.0, None, float("nan")]),
        "whole": pl.Series([1, 0, 3]),
        "text": pl.Series(["a", None, "bc"]),
        "level": pl.Series(["x", "y", None], dtype=pl.Enum(["x", "y"])),
        "date": pl.Series([dt.datetime(2020, 1, 1), None, dt.datetime(2020, 1, 3)]),  # noqa: DTZ001
        "flag": pl.Series([True, None, False]),
        "list": pl.Series([[1, 2], [3], None]),
    }
    return pl.DataFrame(columns | changes)


POLARS_CHANGES = {
    "number": [pl.Series([1.0, None, None]), pl.Series([1.0, 0.0, float("nan")])],
    "whole": [pl.Series([1, 0, 4]), pl.Series([1, None, 3]), pl.Series([1, 0, 3], dtype=pl.Int32)],
    "text": [pl.Series(["ab", None, "c"]), pl.Series(["a", "", "bc"]), pl.Series([b"a", None, b"bc"])],
    "level": [
        pl.Series(["x", "y", None], dtype=pl.Enum(["y", "x"])),
        pl.Series(["x", "x", None], dtype=pl.Enum(["x", "y"])),
        pl.Series(["x", "y", None], dtype=pl.Categorical),
        pl.Series(["x", "y", None]),
    ],
    "date": [polars_frame()["date"].dt.replace_time_zone("UTC"), polars_frame()["date"].dt.offset_by("1d")],
    "flag": [pl.Series([True, False, False])],
    "list": [pl.Series([[1], [2, 3], None]), pl.Series([[1, 2], [3], []])],
}


@pytest.mark.parametrize("name", POLARS_CHANGES)
def test_every_change_of_a_polars_column_matters(name):
    changed = [polars_frame(**{name: values}) for values in POLARS_CHANGES[name]]
    assert all_differ([polars_frame(), *changed], data_fingerprint)


def test_polars_frames_are_compared_by_what_they_hold():
    plain = polars_frame()
    chunks = pl.concat([plain[:1], plain[1:]], rechunk=False)
    assert same(plain, plain.clone(), chunks, plain[[2, 1, 0]][[2, 1, 0]])
    others = [plain.rename({"text": "texts"}), plain[:, ::-1], plain[::-1], plain[:2], plain["whole"]]
    assert all_differ([plain, *others], data_fingerprint)
