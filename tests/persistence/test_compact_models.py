"""Compact models come back bit for bit, packed as they were; whatever a stranger writes into their file is checked."""

import io
import json
import re

import numpy as np
import pandas as pd
import pytest
import spies
from sealing import nodes, tampered, tampered_skops, unzipped
from sklearn.datasets import load_iris, make_multilabel_classification
from sklearn.ensemble import RandomForestClassifier, RandomForestRegressor
from sklearn.linear_model import LogisticRegression, Ridge
from sklearn.naive_bayes import GaussianNB
from sklearn.neighbors import KNeighborsClassifier
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from stackkit import LogPoolClassifier, StackingModel, default_learners, load, save
from stackkit._members import JointForests
from stackkit._model import CompactModel, Levels, Words
from stackkit.exceptions import ModelFileError
from stackkit.nn import BNMLPClassifier, BNMLPRegressor
from stackkit.nn._packed_inference import JointNets

ORDER = np.random.default_rng(0).permutation(150)[:90]
X, y = (values[ORDER] for values in load_iris(return_X_y=True))
LABELS = np.array(["setosa", "versicolor", "virginica"])[y]
NUMBERS = X[:, 3] + X[:, 0] ** 2
FAST = {"hidden_layer_sizes": (6,), "max_epochs": 1, "random_state": 0}
NET = BNMLPClassifier(**FAST, n_members=2)
FEW = [("bayes", make_pipeline(StandardScaler(), GaussianNB())), ("forest", RandomForestClassifier(3, random_state=0))]


@pytest.fixture(scope="module")
def stack():
    return StackingModel([*FEW, ("net", NET)], LogisticRegression(max_iter=500), cv=2, random_state=0).fit(X, LABELS)


@pytest.fixture(scope="module")
def packed(stack):
    return stack.compact()


@pytest.fixture
def path(tmp_path):
    return tmp_path / "kept.stackkit"


def _assert_same(again, model, rows):
    assert type(again) is CompactModel
    assert repr(again) == repr(model)
    assert again.__sklearn_tags__() == model.__sklearn_tags__()
    for some in (rows, rows[:1]):  # forests go another way with few rows
        for method in ("predict", "predict_proba", "decision_function"):
            if hasattr(model, method):
                ours, theirs = (np.asarray(getattr(one, method)(some)) for one in (again, model))
                assert ours.dtype == theirs.dtype
                assert ours.tobytes() == theirs.tobytes()


def _packs(model):
    return {name: type(panel.pack) for name, panel in model._predictor.panels.items()}


# --- the same again -----------------------------------------------------------------------------------

CASES = {
    "weights": (StackingModel([*FEW, ("knn", KNeighborsClassifier(1))], LogPoolClassifier(), cv=3), y),
    "passthrough": (StackingModel(FEW, LogisticRegression(max_iter=500), cv=2, passthrough=True), LABELS),
    "numbers": (
        StackingModel(
            [("forest", RandomForestRegressor(3)), ("ridge", Ridge()), ("net", BNMLPRegressor(**FAST))], Ridge(), cv=2
        ),
        NUMBERS,
    ),
    "two numbers": (StackingModel([("net", BNMLPRegressor(**FAST))], Ridge(), cv=2), np.column_stack([NUMBERS, y])),
    "levels": (StackingModel(FEW, StackingModel(FEW, LogisticRegression(), cv=2), cv=2), LABELS),
    "stack in a stack": (
        StackingModel([("in", make_pipeline(StandardScaler(), StackingModel([*FEW, ("net", NET)], cv=2)))], cv=2),
        LABELS,
    ),
}


@pytest.mark.parametrize("case", CASES)
def test_compact_models_of_many_kinds(case, path):
    stack, target = CASES[case]
    model = stack.set_params(random_state=0).fit(X, target).compact()
    again = load(save(model, path))
    _assert_same(again, model, X)
    assert _packs(again) == _packs(model)


def test_networks_and_forests_come_back_packed(packed, path):
    again = load(save(packed, path))
    _assert_same(again, packed, X)
    _assert_same(again, packed, X.astype(np.float32))
    assert _packs(again) == {"bayes": type(None), "forest": JointForests, "net": JointNets}
    assert again.members_["net"] == []
    forests = vars(again._predictor.panels["forest"].pack)["_forests"]
    assert all(one is other for one, other in zip(forests, again.members_["forest"], strict=True))
    _assert_same(load(save(again, path)), packed, X)


def test_networks_that_are_not_packed(stack, path):
    model = stack.compact(pack=False)
    again = load(save(model, path))
    _assert_same(again, model, X)
    assert set(_packs(again).values()) == {type(None)}


@pytest.mark.parametrize(
    "settings",
    [
        {"scaling": "robust-clip", "num_embedding": "ple", "n_bins": 3},
        {"missing": "indicator"},
        {"activation": "mish", "hidden_layer_sizes": ()},
        {"scaling": "standard", "dtype": "float64", "hidden_layer_sizes": (5, 4)},
        {"scaling": None, "input_batch_norm": True},
    ],
    ids="-".join,
)
def test_packed_networks_of_many_shapes(settings, path):
    rows = X.copy()
    if "missing" in settings:
        rows[::7, 1] = np.nan
    stack = StackingModel([("net", BNMLPClassifier(**FAST | settings))], LogisticRegression(), cv=2)
    model = stack.fit(rows, LABELS).compact()
    again = load(save(model, path))
    _assert_same(again, model, rows)
    assert _packs(again) == {"net": JointNets}


def test_one_refitted_model_per_learner(stack, path):
    model = stack.compact(refit=True, X=X, y=LABELS)
    _assert_same(load(save(model, path)), model, X)


def test_several_labels_a_row(path):
    rows, target = make_multilabel_classification(80, 5, n_classes=3, random_state=0)
    stack = StackingModel([RandomForestClassifier(3), KNeighborsClassifier()], cv=2, random_state=0)
    model = stack.fit(rows, target).compact()
    again = load(save(model, path))
    _assert_same(again, model, rows)
    for ours, theirs in zip(again.classes_, model.classes_, strict=True):
        np.testing.assert_array_equal(ours, theirs)


def test_preparation_is_shared_as_it_was(path):
    """Default learners on a frame with texts and gaps: equal fronts, and their encoders, are one object again."""
    rng = np.random.default_rng(0)
    frame = pd.DataFrame({"size": X[:, 0], "port": rng.choice(["Cork", "Brest", None], len(X))})
    frame["note"] = [f"{word} sails {i}" for i, word in enumerate(rng.choice(["red", "white"], len(X)))]
    frame.loc[::7, "size"] = np.nan
    learners = [pair for pair in default_learners("classification", frame) if pair[0] in ("extra_trees", "bn_mlp")]
    for name, learner in learners:
        learner.set_params(**{"learner__n_estimators": 3} if name == "extra_trees" else {"learner__max_epochs": 1})
    learners.append(("second", learners[0][1]))
    model = StackingModel(learners, LogisticRegression(), cv=2, random_state=0).fit(frame, LABELS).compact()
    again = load(save(model, path))
    _assert_same(again, model, frame)
    new = frame.iloc[:9].assign(port="Oslo")
    assert again.predict_proba(new).tobytes() == model.predict_proba(new).tobytes()
    assert list(again.feature_names_in_) == ["size", "port", "note"]
    ours, theirs = _objects(again), _objects(model)
    assert _numbered(ours) == _numbered(theirs)
    assert len({id(one) for one in theirs}) < len(theirs)
    assert [type(one) for one in ours] == [type(one) for one in theirs]
    assert {Levels, Words} <= {type(one) for one in theirs}


def _objects(model):
    """Its fronts, and the steps in them."""
    fronts = [front for panel in model._predictor.panels.values() for front in panel.fronts]
    return fronts + [step for front in fronts for part in front[0].parts for _, step in part.steps]


def _numbered(objects):
    seen = {}
    return [seen.setdefault(id(one), len(seen)) for one in objects]


def test_no_pickle_is_in_the_file(packed, path):
    members = unzipped(save(packed, path).read_bytes())
    assert {name.rpartition(".")[2] for name in members} == {"json", "skops", "npz"}
    manifest = json.loads(members["manifest.json"])
    assert manifest["model"] == "CompactModel"
    assert manifest["foreign"] == []
    assert not [name for name, data in members.items() if b"\x80\x04\x95" in data or b"csklearn" in data]


def test_learners_of_the_user_have_to_be_named(path):
    model = StackingModel([("own", spies.Together()), *FEW], LogisticRegression(), cv=2).fit(X, y).compact()
    save(model, path)
    with pytest.raises(ModelFileError, match=re.escape("uses ['spies.Together'], which are not stackkit's own")):
        load(path)
    _assert_same(load(path, trusted=["spies.Together"]), model, X)


# --- damage, and files of strangers: in these, seal and digests are right ------------------------------------


def test_flips_and_truncations_are_found(packed, path):
    content = save(packed, path).read_bytes()
    rng = np.random.default_rng(0)
    for place in rng.integers(len(content), size=30):
        damaged = bytearray(content)
        damaged[place] ^= rng.integers(1, 256)
        for wrong in (damaged, content[:place]):
            path.write_bytes(wrong)
            with pytest.raises(ModelFileError):
                load(path)


def _with_arrays(path, change):
    """Changes the arrays of the file's packed networks."""
    with tampered(path) as (members, _):
        (name,) = [name for name in members if name.endswith(".npz")]
        with np.load(io.BytesIO(members[name])) as found:
            arrays = change(dict(found)) or {}
        file = io.BytesIO()
        np.savez(file, **arrays)
        members[name] = file.getvalue()


def _sets(name, make):
    return lambda arrays: arrays | {name: make(arrays[name])}


def _gap(array):
    return np.concatenate([array[:-1], [len(array) * 1000]])


@pytest.mark.parametrize(
    ("change", "told"),
    [
        (_sets("layers.0.weight", lambda it: it[:-1]), "has packed networks whose layers do not fit"),
        (_sets("layers.0.weight", lambda it: it[:, :-1]), "has packed networks whose layers do not fit"),
        (_sets("layers.1.weight", lambda it: it[:, :, :-1]), "has packed networks whose layers do not fit"),
        (_sets("layers.1.bias", lambda it: it[:, :, 0]), "has packed networks whose layers do not fit"),
        (_sets("layers.1.bias", lambda it: it.astype(np.float32)), "has packed networks whose layers do not fit"),
        (_sets("layers.0.weight", lambda it: it.astype("U8")), "has packed networks whose layers do not fit"),
        (_sets("layers.0.weight", lambda it: it[:, :, :1]), "has packed networks whose columns do not fit"),
        (_sets("0.encoder.column", _gap), "has a network that encodes columns which are not among its"),
        (_sets("1.encoder.gain", lambda it: it[:-1]), "has a network whose encoded columns do not fit each other"),
        (_sets("1.encoder.periodic", lambda _: np.array([0])), "has packed networks whose columns do not fit"),
        (lambda arrays: arrays | {"range": np.zeros((2, 2, 2, 1))}, "has packed networks whose range of outputs is"),
        (lambda arrays: arrays | {"affine": np.zeros((1, 2, 3, 1))}, "has packed networks whose affine of outputs is"),
        (lambda arrays: {"layers.0.weight": arrays["layers.0.weight"]}, "cannot be put together"),
    ],
)
def test_packed_networks_of_wrong_shapes_are_refused(change, told, packed, path):
    save(packed, path)
    _with_arrays(path, change)
    with pytest.raises(ModelFileError, match=told):
        load(path)


def _state(path, key, content):
    """Sets plain values beside a key of the parts in the file."""
    with tampered_skops(path) as (schema, _):
        dicts = [node["content"] for node in nodes(schema) if node["__loader__"] == "DictNode"]
        found = [inside[key] for inside in dicts if key in inside]
        assert found, key
        for number, node in enumerate(found):
            node["__loader__"], node["__module__"], node["__class__"] = "JsonNode", "builtins", "str"
            node["content"], node["__id__"], node["is_json"] = json.dumps(content), 5000 + number, True


@pytest.mark.parametrize(
    ("key", "value", "told"),
    [
        ("n_members", 3, "has packed networks whose layers do not fit"),
        ("n_layers", 0, "cannot be put together"),
        ("n_layers", 10**9, "cannot be put together"),
        ("activation", "eval", "cannot be put together"),
        ("device", "meta", "has packed networks on a device that has no float64: meta"),
        ("network", None, "has packed networks that are none, or that belong to none of stackkit's estimators"),
        ("estimators", "ab", "has packed networks that are none, or that belong to none of stackkit's estimators"),
        ("_input_kinds", "ab", "has a CompactModel that does not say which rows it takes"),
    ],
)
def test_packed_networks_of_wrong_numbers_are_refused(key, value, told, packed, path):
    save(packed, path)
    _state(path, key, value)
    with pytest.raises(ModelFileError, match=told):
        load(path)


def test_as_many_estimators_as_networks(packed, path):
    save(packed, path)
    with tampered_skops(path) as (schema, _):
        parts = [node["content"] for node in nodes(schema) if node["__loader__"] == "DictNode"]
        (doors,) = [inside["estimators"] for inside in parts if "estimators" in inside]
        del doors["content"][-1]
    with pytest.raises(ModelFileError, match="has packed networks of 2 estimators, but 1 of these"):
        load(path)


def test_a_forest_is_a_forest(packed, path):
    """In its place, another estimator of the file: no pack is made of it, and its own methods are asked."""
    save(packed, path)
    with tampered(path) as (members, _):
        whole = [name for name, data in members.items() if b"RandomForestClassifier" in data and name != "model.skops"]
        other = next(data for data in members.values() if b"GaussianNB" in data and b"Forest" not in data)
        for name in whole:
            members[name] = other
    assert load(path)._predictor.panels["forest"].pack is None
