"""What is taken apart comes together again; what cannot be saved is told where it stands, and what to do."""

import contextvars
import threading
from enum import Enum

import numpy as np
import pytest
from sealing import nodes, tampered, tampered_skops
from sklearn.cluster import Birch
from sklearn.linear_model import LogisticRegression
from sklearn.naive_bayes import GaussianNB
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import FunctionTransformer
from spies import HoldsStubborn, Stubborn

from stackkit import StackingModel, load, save
from stackkit._persistence.object_graph import Part
from stackkit.exceptions import ModelFileError


@pytest.fixture
def path(tmp_path):
    return tmp_path / "kept.stackkit"


def test_numbers_as_classes_in_dicts(path):
    """JSON knows text as keys alone."""
    model = LogisticRegression(class_weight={0: 1.0, 1: 2.0, 2: np.float32(0.5)})
    model.extra_ = {True: 1, (1, "a"): [frozenset({2})], None: {"x": {1.5: "y"}}, "2": 1, 2: "two"}
    again = load(save(model, path))
    assert again.class_weight == model.class_weight
    assert again.extra_ == model.extra_
    assert [type(key) for key in again.extra_] == [type(key) for key in model.extra_]


def test_attributes_of_many_kinds(path):
    model = GaussianNB()
    model.extra_ = {
        "json": [1, 2.5, None, True, "ü", float("inf"), [[], {"a": [-0.0]}]],
        "objects": np.array([["a", 1], [None, [2, 3]]], dtype=object),
        "masked": np.ma.MaskedArray(np.arange(3), mask=[0, 1, 0]),
        "mapped": np.arange(6.0).reshape(2, 3)[:, ::2],
        "order": np.asfortranarray(np.arange(6).reshape(2, 3)),
        "number": np.float32(0.1),
        "tuple": (1, (2, {"s"}), slice(1, None, np.int64(2))),
        "vocabulary": {f"w{k}": np.int64(k) for k in range(9)},
        "type": np.dtype("<U7"),
        "date": np.array(["2020-01-01", "NaT"], dtype="datetime64[D]"),
    }
    again = load(save(model, path)).extra_
    assert repr(again) == repr(model.extra_)
    assert again["order"].flags.f_contiguous
    assert {type(value) for value in again["vocabulary"].values()} == {np.int64}


def test_what_is_shared_is_shared_again(path):
    model = GaussianNB()
    inner = [LogisticRegression()]
    model.one_, model.two_ = {"a": inner}, (inner, inner[0])
    again = load(save(model, path))
    assert again.one_["a"] is again.two_[0]
    assert again.two_[1] is again.one_["a"][0]


def test_unknown_kinds_of_parts_are_refused(path):
    save(StackingModel([GaussianNB()]), path)
    with tampered_skops(path) as (schema, _):
        for node in nodes(schema):
            if node.get("content") == '"StackingModel"':
                node["content"] = '"EvilModel"'
    with pytest.raises(ModelFileError, match="a kind that this version of stackkit does not know: 'EvilModel'"):
        load(path)


def test_a_member_that_holds_itself_is_no_endless_loop(path):
    model = GaussianNB()
    model.extra_ = [Part("file", "model.skops")]
    assert load(save(model, path)).extra_ == [None]


# --- what cannot be saved -----------------------------------------------------------------------------


class Local:
    pass


class Colour(Enum):
    RED = 1


def _nested_function():
    def inner(rows):
        return rows

    return inner


UNSAVABLE = {
    "lambda": (lambda rows: rows, r"<function <lambda> .*\. Write a function of a module instead of a lambda"),
    "local": (_nested_function(), r".*No module has .*inner under that name\. Put it into a module of yours"),
    "builtin": (print, r"<built-in function print>. Write a class or function of your own"),
    "lock": (threading.Lock(), r"<unlocked _thread.lock"),
    "generator": ((k for k in range(3)), r"<generator"),
    "enum": (Colour.RED, r"<Colour.RED: 1>"),
    "hooks": (Stubborn(), r"Stubborn\(\)\. spies.Stubborn has hooks for pickle, such as __setstate__, which"),
    "bytes": (b"bytes", r"b'bytes'"),
    "complex": (1j, r"1j"),
    "context": (contextvars.ContextVar("x"), r"<ContextVar"),
    "structured": (np.array([(1, None)], dtype=[("a", int), ("b", object)]), r".*Convert it to an array of numbers"),
    "matrix": (np.matrix([[1]]), r".*Convert it to an array of numbers"),
}


@pytest.mark.parametrize("kind", UNSAVABLE)
def test_what_cannot_be_saved_is_named_with_its_place(kind, path):
    value, message = UNSAVABLE[kind]
    model = StackingModel([("odd", make_pipeline(GaussianNB(), FunctionTransformer(value)))])
    with pytest.raises(
        TypeError, match=rf"model\.estimators\[0\]\[1\]\.steps\[1\]\[1\]\.func cannot be saved: {message}"
    ):
        save(model, path)
    assert not path.exists()


def test_circles_are_an_error(path):
    circle = [GaussianNB()]
    circle.append(circle)
    model = LogisticRegression()
    model.extra_ = circle
    with pytest.raises(TypeError, match="something in it holds itself, or is nested too deep"):
        save(model, path)


def test_what_skops_refuses_is_named(path):
    with pytest.raises(TypeError, match="model cannot be saved: Objects of type Birch are not supported yet"):
        save(Birch(), path)


def test_objects_of_own_classes_come_back_as_plain_attributes(path):
    model = HoldsStubborn({"a": [1, np.arange(3)]}).fit(np.eye(4), [0, 1, 0, 1])
    save(model, path)
    again = load(path, trusted=["spies.HoldsStubborn"])
    assert type(again) is HoldsStubborn
    assert repr(vars(again)) == repr(vars(model))


def test_the_list_of_names_follows_the_file(path):
    """A class that is in the file, but not in its list, is refused by skops' own audit."""
    save(HoldsStubborn(), path)
    with tampered(path) as (_, manifest):
        manifest["foreign"] = []
    with pytest.raises(ModelFileError, match=r"holds \['spies.HoldsStubborn'\], which are not among the names"):
        load(path, trusted=["spies.HoldsStubborn"])
