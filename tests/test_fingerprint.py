import copy
import datetime as dt
import enum
import functools
import importlib
import logging
import os
import subprocess
import sys
import threading
from pathlib import Path

import numpy as np
import pandas as pd
import polars as pl
import pytest
import scipy.special
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import array_shapes, arrays, scalar_dtypes
from scipy import sparse, stats
from sklearn.base import BaseEstimator, clone
from sklearn.compose import ColumnTransformer
from sklearn.decomposition import PCA
from sklearn.frozen import FrozenEstimator
from sklearn.linear_model import LogisticRegression, Ridge
from sklearn.model_selection import GridSearchCV, RandomizedSearchCV
from sklearn.naive_bayes import GaussianNB
from sklearn.pipeline import Pipeline, make_pipeline
from sklearn.preprocessing import FunctionTransformer, StandardScaler

from stackkit import default_learners
from stackkit._fingerprint import NotStorableError, data_fingerprint, fingerprint, learner_fingerprint

X = np.random.default_rng(0).normal(size=(12, 3))
LOG = logging.getLogger(__name__)
LOCK = threading.Lock()


def all_differ(values, of=fingerprint):
    return len({of(value) for value in values}) == len(values)


def same(*values, of=data_fingerprint):
    return len({of(value) for value in values}) == 1


def plus(n):
    return lambda X: X + n


def logs(X):
    with LOCK:
        LOG.info("logs")
    return X


class Color(enum.Enum):
    RED = 1
    BLUE = 2


class Holder:
    """An object without parameters."""

    def __init__(self, content):
        self.content = content


class Takes(BaseEstimator):
    def __init__(self, part=None):
        self.part = part

    def apply(self, X):
        return X * self.part


def of_part(part):
    return learner_fingerprint(Takes(part))


# --- plain values -----------------------------------------------------------------------------------


def test_values_of_other_types_differ():
    values = [
        1,
        True,
        1.0,
        "1",
        b"1",
        bytearray(b"1"),
        1j,
        None,
        ...,
        np.int64(1),
        np.int32(1),
        np.float64(1),
        [1],
        {1},
    ]
    assert all_differ([*values, {1: 1}, {1: None}, np.array(1), np.array([1]), 2**70, 0.0, -0.0, float("inf")])
    assert same(float("nan"), np.nan, of=fingerprint)


def test_fingerprint_is_32_hexadecimal_digits():
    assert len(bytes.fromhex(fingerprint())) == 16


def test_parts_do_not_run_together():
    assert fingerprint("ab", "c") != fingerprint("a", "bc") != fingerprint("abc")
    nested = [["a", "b"], [["a"], "b"], [["a", "b"]], ["a", ["b"]], [[], "a", "b"], ["a", "b", []]]
    assert all_differ(nested)
    assert all_differ([{"a": "b"}, {"b": "a"}, ["a", "b"], {"a": ["b"]}])
    assert fingerprint("a", "str b") != fingerprint("astr ", "b")  # text that looks like what stands before a text


def test_order_matters_where_there_is_one():
    assert fingerprint({"a", "b", 3, None}) == fingerprint({None, 3, "b", "a"})
    assert all_differ([["a", "b"], ["b", "a"], {"a": 1, "b": 2}, {"b": 2, "a": 1}])


@pytest.mark.parametrize(
    ("one", "other"),
    [
        (slice(1, 2), slice(1, 3)),
        (range(3), range(4)),
        (dt.date(2020, 1, 1), dt.date(2020, 1, 2)),
        (Path("a"), Path("b")),
        (Color.RED, Color.BLUE),
        (np.dtype("f4"), np.dtype("f8")),
        (np.float32, np.float64),
        (np.exp2, scipy.special.exp2),  # two functions of one name
        (len, max),
        ("a".upper, "b".upper),
        (np.random.default_rng(0), np.random.default_rng(1)),
        (np.random.RandomState(0), np.random.RandomState(1)),
        (functools.partial(np.clip, a_min=0), functools.partial(np.clip, a_min=1)),
        (Holder([1]), Holder([2])),
        (Holder(Holder({1, 2})), Holder(Holder({1, 3}))),
        (np.ma.array([1, 2], mask=[0, 1]), np.ma.array([1, 2], mask=[1, 0])),
        (pd.Timestamp("2020"), pd.Timestamp("2021")),
    ],
    ids=lambda value: type(value).__name__,
)
def test_objects(one, other):
    assert fingerprint(one) == fingerprint(copy.deepcopy(one))
    assert all_differ([one, other])
    assert all_differ([one, other], of_part)


def test_global_random_state_is_always_the_same():
    before = fingerprint(stats.norm(0, 1))
    np.random.random()  # noqa: NPY002
    assert fingerprint(stats.norm(0, 1)) == before


def test_circles_end():
    circle = [1]
    circle.append(circle)
    longer = [1, [1]]
    longer[1].append(longer)
    assert all_differ([circle, longer, [1, [1]]])
    deep = []
    for _ in range(10_000):
        deep = [deep]
    with pytest.raises(NotStorableError, match="nested too deeply"):
        fingerprint(deep)


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


# --- learners ---------------------------------------------------------------------------------------


@pytest.mark.parametrize("task", ["classification", "regression"])
def test_default_learners_and_their_clones(task):
    learners = [learner for _, learner in default_learners(task)]
    prints = [learner_fingerprint(learner) for learner in learners]
    assert len(set(prints)) == len(learners)
    assert [learner_fingerprint(clone(learner)) for learner in learners] == prints
    assert [learner_fingerprint(copy.deepcopy(learner)) for learner in learners] == prints


def pipeline(**params):
    columns = ColumnTransformer([("scale", StandardScaler(), [0, 1]), ("rest", "passthrough", slice(2, 3))])
    steps = [("prepare", columns), ("learner", GridSearchCV(LogisticRegression(), {"C": [1, 2]}))]
    return Pipeline(steps).set_params(**params)


def test_every_parameter_matters():
    others = [
        pipeline(learner__estimator__C=2.0),
        pipeline(learner__estimator__C=1),
        pipeline(learner__estimator__class_weight={0: 1, 1: 2}),
        pipeline(learner__estimator=GaussianNB()),
        pipeline(learner__param_grid={"C": [1, 3]}),
        pipeline(prepare__scale__with_mean=False),
        pipeline(prepare__rest="drop"),
        pipeline(prepare__transformers=[]),
        pipeline(prepare=None),
        pipeline(prepare="passthrough"),
        pipeline(steps=[("prepared", pipeline()["prepare"]), ("learner", pipeline()["learner"])]),
        pipeline(steps=[*pipeline().steps[:1], ("more", PCA()), pipeline().steps[1]]),
        pipeline().set_output(transform="pandas"),
    ]
    assert all_differ([pipeline(), *others], learner_fingerprint)
    for learner in [pipeline(), *others]:
        assert learner_fingerprint(learner) == learner_fingerprint(clone(learner))


def test_fit_leaves_no_trace():
    learner = make_pipeline(StandardScaler(), Ridge())
    assert learner_fingerprint(learner) == learner_fingerprint(clone(learner).fit(X, X[:, 0]))
    assert of_part([Ridge()]) == of_part([Ridge().fit(X, X[:, 0])])


def test_metadata_requests_matter():
    from sklearn import config_context

    with config_context(enable_metadata_routing=True):
        asks = Ridge().set_fit_request(sample_weight=True)
        assert all_differ([Ridge(), asks, Ridge().set_fit_request(sample_weight=False)], learner_fingerprint)
        assert same(asks, clone(asks), of=learner_fingerprint)


def test_frozen_estimators_are_what_they_were_fitted_on():
    one, other = (FrozenEstimator(Ridge().fit(X[rows], X[rows, 0])) for rows in (slice(8), slice(4, 12)))
    assert all_differ([one, other], learner_fingerprint)
    assert all_differ(
        [make_pipeline(StandardScaler(), one), make_pipeline(StandardScaler(), other)], learner_fingerprint
    )
    assert same(one, clone(one), copy.deepcopy(one), of=learner_fingerprint)


def test_methods_and_objects_keep_what_their_owner_was_fitted_on():  # clone copies them deeply
    fitted = [PCA(2).fit(X[rows]) for rows in (slice(8), slice(4, 12))]
    assert all_differ([owner.transform for owner in fitted], of_part)
    assert all_differ([functools.partial(owner.transform) for owner in fitted], of_part)
    assert all_differ([Holder(owner) for owner in fitted], of_part)
    assert all_differ([lambda X, owner=owner: owner.transform(X) for owner in fitted], of_part)
    assert all_differ([Takes(1).apply, Takes(2).apply], of_part)


def test_networks_as_parameters():
    import torch

    from stackkit.nn import BNMLPClassifier

    torch.manual_seed(0)
    first, second = torch.nn.Linear(2, 2), torch.nn.Linear(2, 2)
    assert all_differ([first, second, torch.nn.Linear, torch.nn.Sequential, torch.relu, torch.tanh], of_part)
    assert same(first, copy.deepcopy(first), of=of_part)
    assert all_differ([BNMLPClassifier(), BNMLPClassifier(optimizer=torch.optim.Adam)], learner_fingerprint)


def test_distributions_of_a_search():
    searches = [RandomizedSearchCV(Ridge(), {"alpha": stats.loguniform(1, most)}) for most in (2, 3, 2)]
    assert all_differ(searches[:2], learner_fingerprint)
    assert same(searches[0], searches[2], clone(searches[0]), of=learner_fingerprint)
    np.random.random()  # noqa: NPY002
    assert same(searches[0], clone(searches[0]), of=learner_fingerprint)
    seeds = [{"random_state": [part]} for part in map(np.random.RandomState, (1, 2))]
    seeds += [{"random_state": [Holder(choices["random_state"])]} for choices in seeds]
    assert all_differ([RandomizedSearchCV(PCA(), choices) for choices in seeds], learner_fingerprint)


# --- functions and classes --------------------------------------------------------------------------


def test_what_makes_functions_different():
    # All on one line, so that neither names nor line numbers tell them apart.
    functions = [lambda x: x + 1, lambda x: x + 2, lambda x: x - 1, lambda x: np.exp(x + 1), lambda x: np.log(x + 1)]
    defaults = [lambda X, a=1: X + a, lambda X, a=2: X + a, lambda X, *, a=1: X + a, lambda X, *, a=2: X + a]
    nested = [lambda X: [x + 1 for x in X if x], lambda X: [x + 2 for x in X if x]]
    assert all_differ([*functions, *defaults, *nested, plus(1), plus(2), None], of_part)
    assert same(plus(1), plus(1), of=of_part)


def test_function_that_refers_to_what_has_no_identity_but_a_source():
    assert of_part(logs) == of_part(logs)


def test_functions_that_call_each_other():
    def even(n):
        return n == 0 or odd(n - 1)

    def odd(n):
        return n != 0 and even(n - 1)

    assert all_differ([even, odd], of_part)


def interactive(code, name="made"):
    """What a notebook defines: code without a file."""
    scope = {"__name__": "__main__", "np": np, "BaseEstimator": BaseEstimator, "lock": LOCK}
    exec(code, scope)
    return scope[name]


def test_globals_of_functions_without_a_file_matter():
    code = "limit = {}\ndef helper(X): return X > limit\ndef made(X): return helper(X)"
    assert all_differ([interactive(code.format(n)) for n in (1, 2)], of_part)
    assert same(*(interactive(code.format(1)) for _ in range(2)), of=of_part)
    with pytest.raises(NotStorableError, match="lock"):
        of_part(interactive("def made(X): return lock"))


def test_classes_without_a_file_are_their_code():
    code = "class made(BaseEstimator):\n  depth = {}\n  def fit(self, X, y): return X {} 1"
    learners = [interactive(code.format(*parts))() for parts in ((1, "+"), (2, "+"), (1, "-"))]
    assert all_differ(learners, learner_fingerprint)
    assert same(learners[0], interactive(code.format(1, "+"))(), of=learner_fingerprint)
    child = "class base(BaseEstimator):\n  depth = {}\nclass made(base): pass"
    assert all_differ([interactive(child.format(n))() for n in (1, 2)], learner_fingerprint)


def test_classes_without_a_module_are_told_apart():
    made = [type("made", (BaseEstimator,), {"depth": n, "__module__": "builtins"}) for n in (1, 2)]
    assert all_differ([cls() for cls in made], learner_fingerprint)


@pytest.fixture
def user_module(tmp_path, monkeypatch):
    """Writes modules as a user would, and imports them anew."""
    monkeypatch.syspath_prepend(str(tmp_path))
    monkeypatch.setattr(sys, "dont_write_bytecode", True)

    def write(name, source):
        (tmp_path / f"{name}.py").write_text(source, encoding="utf8")
        sys.modules.pop(name, None)
        importlib.invalidate_caches()
        return importlib.import_module(name)

    yield write
    for name in ("of_the_user", "its_helper"):
        sys.modules.pop(name, None)


LEARNER = "from sklearn.base import BaseEstimator\nclass Own(BaseEstimator):\n  def fit(self, X, y): return {}\n"


def test_edited_learner_is_another(user_module):
    prints = [learner_fingerprint(user_module("of_the_user", LEARNER.format(n)).Own()) for n in (1, 22, 1)]
    assert prints[0] == prints[2] != prints[1]
    # Not in the class, but in the file: something there may look it up.
    module = user_module("of_the_user", LEARNER.format(1) + "TABLE = 1\n")
    assert learner_fingerprint(module.Own()) not in prints


def test_learner_that_was_edited_after_its_import(user_module, tmp_path):
    old = user_module("of_the_user", LEARNER.format(1)).Own()
    (tmp_path / "of_the_user.py").write_text(LEARNER.format(22), encoding="utf8")
    stale = learner_fingerprint(old)
    assert stale != learner_fingerprint(user_module("of_the_user", LEARNER.format(22)).Own())


@pytest.mark.parametrize("use", ["from its_helper import f", "import its_helper\nf = its_helper.f"])
def test_edited_helper_makes_another_learner(user_module, use):
    found = []
    for n in (1, 2):
        user_module("its_helper", f"def f(X): return {n}\n")
        found.append(learner_fingerprint(user_module("of_the_user", f"{use}\n" + LEARNER.format("f(X)")).Own()))
    assert found[0] != found[1]


def test_class_of_a_library_is_known_by_its_version(monkeypatch):
    import sklearn

    before = learner_fingerprint(Ridge())
    monkeypatch.setattr(sklearn, "__version__", "0.0")
    assert learner_fingerprint(Ridge()) != before


# --- what cannot be stored --------------------------------------------------------------------------


def test_parameter_without_identity_is_named():
    def reader(lock):
        return lambda X: (X, lock)

    steps = [("step", FunctionTransformer(reader(threading.Lock()))), ("learner", Ridge())]
    with pytest.raises(NotStorableError, match=r"lock in the parameter 'step__func' has no identity.*cannot pickle"):
        learner_fingerprint(Pipeline(steps))
    with pytest.raises(NotStorableError, match="generator in the parameter 'part' has no identity"):
        of_part(i for i in range(3))
    with pytest.raises(NotStorableError, match=r"ufunc .*no module has it under its name"):
        of_part(np.frompyfunc(lambda x: x + 1, 1, 1))


def test_learner_without_readable_parameters():
    class Forgets(BaseEstimator):
        def __init__(self, depth=1):
            pass

    with pytest.raises(NotStorableError, match=r"its get_params\(\) fails"):
        learner_fingerprint(Forgets())


# --- other processes --------------------------------------------------------------------------------

SCRIPT = """
import numpy as np, pandas as pd
from scipy import stats
from sklearn.ensemble import RandomForestClassifier
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import FunctionTransformer
from stackkit._fingerprint import data_fingerprint, fingerprint, learner_fingerprint

class Thing: pass

def f(X):
    return X if X in {"a", "b", "c"} else Thing

thing = Thing()
thing.content = {"x", "y", "z", None, 1, f, stats.norm(0, 1)}
table = pd.DataFrame({"a": [1, 2], "b": ["x", None], "c": pd.Categorical(["q", "r"])})
print(fingerprint({"a", "b", "c"}, frozenset("xyz"), thing), data_fingerprint(table))
print(learner_fingerprint(make_pipeline(FunctionTransformer(f), RandomForestClassifier())))
"""


def test_another_process_with_another_hash_seed_agrees():
    found = set()
    for seed in ("1", "2"):
        environment = os.environ | {"PYTHONHASHSEED": seed, "PYTHONPATH": os.pathsep.join(p for p in sys.path if p)}
        command = [sys.executable, "-c", SCRIPT]
        done = subprocess.run(command, capture_output=True, text=True, check=True, env=environment)
        assert len(done.stdout.split()) == 3
        found.add(done.stdout)
    assert len(found) == 1
