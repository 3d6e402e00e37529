"""skops is given nothing but what stackkit writes, of classes that are known or trusted."""

import json
import pickle
from importlib import import_module

import numpy as np
import pytest
from sealing import Payload, nodes, tampered, tampered_skops, unzipped, zipped
from sklearn.base import BaseEstimator
from sklearn.datasets import load_iris
from sklearn.naive_bayes import GaussianNB
from sklearn.neighbors import KNeighborsClassifier

from stackkit import StackingModel, load, save
from stackkit._persistence.audit import hooks_of, known_classes
from stackkit.exceptions import ModelFileError
from stackkit.nn import BNMLPClassifier

X, y = load_iris(return_X_y=True)


@pytest.fixture
def path(tmp_path):
    return tmp_path / "kept.stackkit"


def _text(value):
    return {
        "__class__": "str", "__module__": "builtins", "__loader__": "JsonNode", "content": json.dumps(value),
        "is_json": True, "__id__": 11,
    }  # fmt: skip


def _node(loader, name, number=12, **rest):
    module, _, cls = name.rpartition(".")
    return {"__class__": cls, "__module__": module, "__loader__": loader, "__id__": number} | rest


_ARGS = _node("TupleNode", "builtins.tuple", 13, content=[_text("touch marker")])
_NO_KEYS = _node("ListNode", "builtins.list", 15, content=[])
_NO_ARGS = _node("DictNode", "builtins.dict", 14, content={}, key_types=_NO_KEYS)
EVIL = {
    "function": _node("FunctionNode", "planted_evil.run"),
    "type": _node("TypeNode", "planted_evil.Thing"),
    "object": _node("ObjectNode", "planted_evil.Thing", content=_NO_ARGS),
    "hook": _node("ObjectNode", "planted_evil.Hooked", content=_NO_ARGS),
    "constructor": _node("ConstructorFromReduceNode", "planted_evil.Thing", content=_ARGS),
    "partial": _node(
        "PartialNode",
        "functools.partial",
        content={
            "func": _node("FunctionNode", "planted_evil.run", 16),
            "args": _ARGS,
            "kwds": _NO_ARGS,
            "namespace": _NO_ARGS,
        },
    ),
    "method": _node(
        "MethodNode",
        "planted_evil.Thing",
        content={"func": "run", "obj": _node("ObjectNode", "planted_evil.Thing", 17, content=_NO_ARGS)},
    ),
    "operator": _node("OperatorFuncNode", "operator.methodcaller", attrs=_ARGS),
    "reduce": _node("TreeNode", "planted_evil.Thing", content=_NO_ARGS, __reduce__={"args": _ARGS}),
    "loss": _node("LossNode", "planted_evil.Thing", content=_NO_ARGS, __reduce__={"args": _ARGS}),
    "list": _node("ListNode", "planted_evil.Thing", content=[]),
    "dict": _node("DictNode", "planted_evil.Thing", content={}, key_types=_NO_KEYS),
    "array": _node("NdArrayNode", "planted_evil.Thing", type="json", content=[], shape=_ARGS),
    "random": _node("RandomStateNode", "planted_evil.Thing", content=_NO_ARGS),
    "bytes": _node("BytesNode", "builtins.bytes", file="schema.json"),
    "cached": _node("CachedNode", "builtins.str"),
    "keys": _node(
        "DictNode",
        "builtins.dict",
        content={"x": _text(1)},
        key_types=_node("ListNode", "builtins.list", 18, content=[_node("TypeNode", "planted_evil.Thing", 19)]),
    ),
    "unknown": _node("EvilNode", "planted_evil.Thing"),
    "system": _node("FunctionNode", "os.system"),
    "exec": _node("TypeNode", "builtins.exec"),
}


@pytest.mark.parametrize("kind", EVIL)
def test_foreign_nodes_are_refused(kind, path, planted):
    save(GaussianNB(), path)
    with tampered_skops(path) as (schema, _):
        schema["content"]["content"]["priors"] = EVIL[kind]
    with pytest.raises(ModelFileError, match=r"with what stackkit does not write|holds \['|whose keys are not text"):
        load(path)
    # Nor does a name that the user trusts for something else make the file's own list any longer.
    with pytest.raises(ModelFileError):
        load(path, trusted=["planted_evil.Thing", "planted_evil.run", "planted_evil.Hooked"])
    assert not planted.exists()


@pytest.mark.parametrize("kind", sorted(set(EVIL) - {"function", "type", "object"}))
def test_a_trusted_name_is_not_called(kind, path, planted):
    """The file says what it needs, and the user agrees: still no kind of node may call it with a file's arguments."""
    save(GaussianNB(), path)
    with tampered(path) as (members, manifest):
        inner = unzipped(members["model.skops"])
        schema = json.loads(inner["schema.json"])
        schema["content"]["content"]["priors"] = EVIL[kind]
        members["model.skops"] = zipped(inner | {"schema.json": json.dumps(schema)})
        names = {f"{node['__module__']}.{node['__class__']}" for node in nodes(EVIL[kind])}
        manifest["foreign"] = sorted(name for name in names if name.startswith("planted_evil."))
    with pytest.raises(ModelFileError):
        load(path, trusted=manifest["foreign"])
    assert not planted.exists() or planted.read_text() == "imported"


def test_a_payload_as_of_skorch_is_refused(path, planted):
    """A class that unpickles what it is given: not even by name."""
    save(GaussianNB(), path)
    with tampered(path) as (members, manifest):
        inner = unzipped(members["model.skops"])
        schema = json.loads(inner["schema.json"])
        schema["content"]["content"]["priors"] = EVIL["hook"]
        members["model.skops"] = zipped(inner | {"schema.json": json.dumps(schema)})
        manifest["foreign"] = ["planted_evil.Hooked"]
    with pytest.raises(ModelFileError, match=r"planted_evil.Hooked has hooks for pickle, such as __setstate__"):
        load(path, trusted=["planted_evil.Hooked"])
    assert planted.read_text() == "imported"  # the user named it


def test_a_skorch_net_written_by_skops_is_refused(path, planted):
    import skops.io
    from skorch import NeuralNetClassifier
    from torch import nn

    net = NeuralNetClassifier(nn.Linear, module__in_features=4, module__out_features=3, train_split=None, verbose=0)
    net.initialize()
    data = skops.io.dumps(net)
    types = skops.io.get_untrusted_types(data=data)
    evil = pickle.dumps(Payload())
    inner = {name: evil if name.endswith(".bin") else part for name, part in unzipped(data).items()}
    assert any(name.endswith(".bin") for name in inner)
    save(GaussianNB(), path)
    with tampered(path) as (members, manifest):
        members["model.skops"] = zipped(inner)
        manifest["foreign"] = types
    for trusted in (None, types):
        with pytest.raises(ModelFileError, match=r"not stackkit's own|has hooks for pickle|does not write"):
            load(path, trusted=trusted)
    assert not planted.exists()


def test_two_objects_of_one_number_are_refused(path):
    """skops would take the first for the second, which was looked at as something else."""
    save(StackingModel([("knn", KNeighborsClassifier()), ("bayes", GaussianNB())]), path)
    with tampered_skops(path) as (schema, _):
        found = [node for node in nodes(schema) if node["__loader__"] in ("ListNode", "TypeNode")]
        found[0]["__id__"] = next(node["__id__"] for node in found if node["__loader__"] != found[0]["__loader__"])
    with pytest.raises(ModelFileError, match="two objects of one number"):
        load(path)


def test_arrays_are_not_multiplied(path):
    """A thousand objects of one large array would take a thousand times its memory."""
    model = GaussianNB()
    model.first_, model.second_ = np.arange(1000), np.arange(1000)
    save(model, path)
    with tampered_skops(path) as (schema, _):
        arrays = [node for node in nodes(schema) if node["__loader__"] == "NdArrayNode"]
        arrays[1]["file"] = arrays[0]["file"]
    with pytest.raises(ModelFileError, match="two objects share one array"):
        load(path)


@pytest.mark.parametrize("suffix", ["skops", "npz"])
def test_bombs_inside_of_members_are_not_unpacked(suffix, path):
    save(BNMLPClassifier(max_epochs=1).fit(X, y), path)
    with tampered(path) as (members, _):
        name = next(name for name in members if name.endswith(suffix))
        members[name] = zipped(unzipped(members[name]) | {"more.npy": bytes(1_000_000)}, 8)
    with pytest.raises(ModelFileError, match="has a member with members that are packed"):
        load(path)


def test_an_array_that_claims_to_be_huge_is_refused(path):
    save(GaussianNB().fit(X, y), path)
    with tampered_skops(path) as (_, files):
        name = next(name for name in files if name.endswith(".npy"))
        head = b"{'descr': '<f8', 'fortran_order': False, 'shape': (4000000000000000,), }"
        files[name] = b"\x93NUMPY\x01\x00" + len(head).to_bytes(2, "little") + head
    with pytest.raises(ModelFileError, match="cannot be put together"):
        load(path)


def test_deep_nesting_is_an_error(path):
    save(GaussianNB(), path)
    with tampered(path) as (members, _):
        inner = unzipped(members["model.skops"])
        members["model.skops"] = zipped(inner | {"schema.json": b'{"content":' * 100_000 + b"1" + b"}" * 100_000})
    with pytest.raises(ModelFileError, match="cannot be put together"):
        load(path)


def test_an_old_protocol_of_skops_is_refused(path):
    save(GaussianNB(), path)
    with tampered_skops(path) as (schema, _):
        schema["protocol"] = 0
    with pytest.raises(ModelFileError, match="has a skops member of another protocol than 2"):
        load(path)


def test_the_list_of_classes_is_of_scikit_learn():
    names = known_classes()
    assert len(names) > 200
    assert [name for name in names if not name.startswith("sklearn.")] == ["stackkit._parts.Part"]
    assert {"sklearn.pipeline.Pipeline", "sklearn.model_selection._split.KFold"} <= names


def test_no_class_of_the_list_has_hooks_but_those_that_fill_in_attributes():
    """skops calls them. Each of these was read: they copy attributes, and build nothing else out of them."""
    hooked = set()
    for name in known_classes():
        module, _, cls = name.rpartition(".")
        try:
            found = getattr(import_module(module), cls)
        except (ImportError, AttributeError):  # of another version of scikit-learn
            continue
        if hooks_of(found):
            hooked.add(name)
    assert hooked <= {
        "sklearn.ensemble._hist_gradient_boosting.predictor.TreePredictor",
        "sklearn.isotonic.IsotonicRegression",
    }


class Hooked:
    def __setstate__(self, state):
        raise AssertionError


class Behind(BaseEstimator, Hooked):
    """scikit-learn's own hook, which it has first, calls the other one."""


class Reduced:
    def __reduce__(self):
        return Reduced, ()


class Bare(BaseEstimator):
    def __getstate__(self):  # what is written is not what is run
        return {}


@pytest.mark.parametrize(("cls", "hooked"), [(Hooked, True), (Behind, True), (Reduced, True), (Bare, False)])
def test_hooks_are_found_in_every_base(cls, hooked):
    assert bool(hooks_of(cls)) is hooked
