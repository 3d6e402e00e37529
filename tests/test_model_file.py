"""A stack in a file comes back as it was; what is no such file, or is damaged, is not opened."""

import json
import re

import numpy as np
import pytest
from sklearn.datasets import load_iris

from stackkit import StackingModel, default_learners
from stackkit._model_file import MAGIC, read_model, unpickle, write_model
from stackkit._problem import Schema
from stackkit._tables import TableError

SCHEMA = Schema("kind", None, "classification", ["a", "b"], {"x": "number"}, ["group"])


@pytest.fixture(scope="module")
def fitted():
    X, y = load_iris(return_X_y=True)
    learners = [pair for pair in default_learners("classification", X) if pair[0] == "naive_bayes"]
    return StackingModel(learners, cv=3, n_jobs=1, verbose=True).fit(X, y), X


@pytest.fixture
def path(fitted, tmp_path):
    write_model(tmp_path / "kept.model", fitted[0], SCHEMA)
    return tmp_path / "kept.model"


def test_a_model_comes_back_as_it_was(fitted, path):
    model, X = fitted
    header, schema, pickled = read_model(path)
    assert schema == SCHEMA
    assert (header["rows"], header["learners"]) == (150, ["naive_bayes"])
    again = unpickle(path, pickled)
    assert np.array_equal(again.predict_proba(X), model.predict_proba(X))
    assert (again.n_jobs, again.memory, again.verbose) == (None, None, False)
    assert (model.n_jobs, model.verbose) == (1, True)  # the one at hand is as it was


@pytest.mark.parametrize("part", ["header", "pickle", "end"])
def test_a_damaged_file_is_not_opened(path, part):
    content = bytearray(path.read_bytes())
    if part == "end":
        del content[-1:]
    else:
        place = len(MAGIC) + 20 if part == "header" else len(content) - 50
        content[place] ^= 1
    path.write_bytes(content)
    if part == "header":  # what it says may still be read as JSON, but of another model
        content[len(MAGIC)] ^= 1
        path.write_bytes(content)
    with pytest.raises(TableError, match="is damaged, or cut short; write it again"):
        read_model(path)


@pytest.mark.parametrize("content", [b"", b"id,y\n1,2\n", b"stackkit model 2\n{}\n"])
def test_other_files_are_told_apart(tmp_path, content):
    (tmp_path / "other").write_bytes(content)
    with pytest.raises(TableError, match="is no model file that this version of stackkit can read"):
        read_model(tmp_path / "other")


def test_a_file_that_is_not_there_is_one_sentence(tmp_path):
    with pytest.raises(TableError, match="cannot be read"):
        read_model(tmp_path / "nowhere")


def test_a_pickle_that_does_not_open_is_one_sentence(tmp_path):
    said = "cannot be opened with these versions of the libraries (ModuleNotFound"
    with pytest.raises(TableError, match=re.escape(said)):
        unpickle(tmp_path / "kept.model", b"cno_such_module\nThing\n.")


def test_the_header_is_one_line_of_json(path):
    magic, header, _ = path.read_bytes().split(b"\n", 2)
    assert magic + b"\n" == MAGIC
    assert json.loads(header)["schema"]["target"] == "kind"
