"""A stack in a file comes back as it was, with how tables are to be read; what is no such file is not opened."""

import numpy as np
import pytest
from sealing import tampered
from sklearn.datasets import load_iris

from stackkit import StackingModel, default_learners, load, save
from stackkit.cli.model_file import build_stack, read_stack, write_stack
from stackkit.cli.problem import Schema
from stackkit.cli.tables import TableError

SCHEMA = Schema("kind", None, "classification", ["a", "b"], {"x": "number"}, ["group"])


@pytest.fixture(scope="module")
def fitted():
    X, y = load_iris(return_X_y=True)
    learners = [pair for pair in default_learners("classification", X, preset="best") if pair[0] == "naive_bayes"]
    return StackingModel(learners, cv=3, n_jobs=1, verbose=True).fit(X, y), X


@pytest.fixture
def path(fitted, tmp_path):
    write_stack(tmp_path / "kept.model", fitted[0], SCHEMA)
    return tmp_path / "kept.model"


def test_a_stack_comes_back_as_it_was(fitted, path):
    model, X = fitted
    archive, schema = read_stack(path)
    assert schema == SCHEMA
    assert (archive.facts["rows"], archive.facts["learners"]) == (150, ["naive_bayes"])
    again = build_stack(path, archive)
    assert np.array_equal(again.predict_proba(X), model.predict_proba(X))
    assert (again.n_jobs, again.memory, again.verbose) == (None, None, False)
    assert (model.n_jobs, model.verbose) == (1, True)  # the one at hand is as it was


def test_load_reads_it_too(fitted, path):
    model, X = fitted
    assert np.array_equal(load(path).predict_proba(X), model.predict_proba(X))


def test_a_damaged_file_is_not_opened(path):
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 1
    path.write_bytes(content)
    with pytest.raises(TableError, match=r"kept.model: is damaged"):
        read_stack(path)


@pytest.mark.parametrize("content", [b"", b"id,y\n1,2\n", b"stackkit model 1\n{}\n"])
def test_other_files_are_told_apart(tmp_path, content):
    (tmp_path / "other").write_bytes(content)
    with pytest.raises(TableError, match="is no model file of stackkit"):
        read_stack(tmp_path / "other")


@pytest.mark.parametrize("schema", [None, {"target": "y"}, [1]])
def test_a_model_without_its_schema_is_not_opened(path, schema):
    save(StackingModel(), path)
    with tampered(path) as (_, manifest):
        if schema is not None:
            manifest["schema"] = schema
    with pytest.raises(TableError, match="was not written by stackkit fit --model"):
        read_stack(path)


def test_a_file_that_is_not_there_is_one_sentence(tmp_path):
    with pytest.raises(TableError, match="cannot be read"):
        read_stack(tmp_path / "nowhere")


def test_what_cannot_be_built_is_one_sentence(path):
    with tampered(path) as (members, _):
        members["model.skops"] = b"no zip archive"
    archive, _ = read_stack(path)
    with pytest.raises(TableError, match=r"kept.model: cannot be put together with these versions .* \(BadZipFile"):
        build_stack(path, archive)
