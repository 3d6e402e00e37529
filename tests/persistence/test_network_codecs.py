"""Networks come back bit for bit, without the pickles of skorch."""

import io
import json
from pathlib import Path

import nets
import numpy as np
import pytest
import torch
from sealing import nodes, tampered, tampered_skops, unzipped
from sklearn.datasets import load_diabetes, load_iris
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from skorch import NeuralNetClassifier
from skorch.callbacks import EpochScoring

from stackkit import StackingModel, load, save
from stackkit._persistence import network_codecs
from stackkit._persistence.audit import Refused
from stackkit._persistence.network_codecs import BY_KIND
from stackkit.exceptions import ModelFileError
from stackkit.nn import Augmentation, BNCNNClassifier, BNCNNRegressor, BNMLPClassifier, BNMLPRegressor, ConvBlock

X, y = load_iris(return_X_y=True)
labels = np.array(["a", "b", "c"])[y]
images = np.random.default_rng(0).integers(0, 255, (48, 1, 10, 10), dtype=np.uint8)


@pytest.fixture
def path(tmp_path):
    return tmp_path / "kept.stackkit"


def _assert_same(again, model, rows):
    for method in ("predict", "predict_proba"):
        if hasattr(model, method):
            assert getattr(again, method)(rows).tobytes() == getattr(model, method)(rows).tobytes()
    assert again.history_ == model.history_
    assert again.get_params() == model.get_params()


@pytest.mark.parametrize(
    "settings",
    [
        {},
        {"hidden_layer_sizes": (), "batch_norm": False},
        {"hidden_layer_sizes": [8], "activation": "tanh", "dropout": 0.2, "input_batch_norm": True},
        {"snapshots": 2, "max_epochs": 4},
        {"early_stopping": True, "optimizer": "sgd", "dtype": "float64"},
        {"optimizer": torch.optim.Adagrad, "class_weight": "balanced", "batch_stats": "running"},
        {"scaling": "robust-clip", "num_embedding": "ple", "beta_2": 0.9, "clip_norm": 0.5},
        {"num_embedding": "pbld"},
        {"missing": "indicator"},
        {"num_embedding": "ple", "n_bins": 3, "activation": "mish"},
    ],
    ids=lambda settings: "-".join(settings) or "default",
)
def test_networks_of_tables_come_back(settings, path):
    model = BNMLPClassifier(**{"max_epochs": 2, "random_state": 0} | settings).fit(X, labels)
    _assert_same(load(save(model, path)), model, X)
    _assert_same(load(path), model, X.astype(np.float32))


def test_regressors_come_back(path):
    rows, target = load_diabetes(return_X_y=True)
    for wanted in (target, np.column_stack([target, target**2])):
        model = BNMLPRegressor(max_epochs=1).fit(rows, wanted)
        _assert_same(load(save(model, path)), model, rows)
    model = BNCNNRegressor(max_epochs=1).fit(images, np.arange(48.0))
    _assert_same(load(save(model, path)), model, images)


@pytest.mark.parametrize(
    "settings",
    [
        {},
        {"preset": "reference", "augment": "elastic", "test_shifts": True, "cutout": 3, "ema_decay": 0.9},
        {
            "preset": None,
            "blocks": [ConvBlock(4, pool="max"), ConvBlock(3, kernel_size=1)],
            "augment": Augmentation(shift=1, cutout=2),
        },
    ],
    ids=["fast", "reference", "blocks"],
)
def test_networks_of_images_come_back(settings, path):
    """Weights lie in memory as they did: products in another order differ in the last digits."""
    model = BNCNNClassifier(max_epochs=1, random_state=0, **settings).fit(images, np.arange(48) % 3)
    again = load(save(model, path))
    _assert_same(again, model, images)
    _assert_same(again, model, images.astype(np.float32))


def test_training_goes_on_as_if_nothing_had_happened(path):
    """The moments of the optimizer come back too."""
    model = BNMLPClassifier(random_state=0).partial_fit(X, labels)
    again = load(save(model, path))
    for one in (model, again):
        one.partial_fit(X, labels).partial_fit(X, labels)
    assert again.predict_proba(X).tobytes() == model.predict_proba(X).tobytes()
    assert len(again.history_) == 3


def test_modules_of_the_user_have_to_be_named(path):
    model = BNMLPClassifier(module=nets.Layers, max_epochs=1).fit(X, labels)
    save(model, path)
    with pytest.raises(ModelFileError, match=r"uses \['nets.Layers'\], which are not stackkit's own"):
        load(path)
    _assert_same(load(path, trusted=["nets.Layers"]), model, X)


def test_callbacks_have_to_be_named(path):
    model = BNMLPClassifier(max_epochs=2, callbacks=[EpochScoring("accuracy", lower_is_better=False)]).fit(X, labels)
    save(model, path)
    names = json.loads(unzipped(path.read_bytes())["manifest.json"])["foreign"]
    assert "skorch.callbacks.scoring.EpochScoring" in names
    assert all(name.startswith("skorch.") for name in names)
    again = load(path, trusted=names)
    assert again.predict_proba(X).tobytes() == model.predict_proba(X).tobytes()


def test_no_pickle_is_in_the_file(path):
    save(BNMLPClassifier(max_epochs=1).fit(X, labels), path)
    members = unzipped(path.read_bytes())
    assert sorted(members) == ["manifest.json", "model.skops", "parts/0.npz"]
    assert {name.rpartition(".")[2] for name in unzipped(members["parts/0.npz"])} == {"npy"}
    assert b"skorch.net" not in members["model.skops"]


@pytest.mark.parametrize(
    "inside", [lambda net: net, lambda net: make_pipeline(StandardScaler(), net)], ids=["alone", "pipe"]
)
def test_raw_nets_are_refused_with_a_cure(inside, path):
    net = NeuralNetClassifier(nets.Layers, module__n_features=4, module__n_outputs=3, max_epochs=1, verbose=0)
    model = StackingModel([("raw", inside(net))], cv=2)
    with pytest.raises(
        TypeError, match=r"model.estimators\[0\]\[1\].* Use BNMLPClassifier or one of its kin, with your own"
    ):
        save(model, path)
    with pytest.raises(TypeError, match=r"model cannot be saved: <class 'skorch.*save_params"):
        save(net, path)
    assert not path.exists()


# --- of strangers -----------------------------------------------------------------------------------------


def _change(path, old, new):
    with tampered_skops(path) as (schema, _):
        found = [node for node in nodes(schema) if node.get("content") == json.dumps(old)]
        assert found, old
        for node in found:
            node["content"] = json.dumps(new)


def test_an_architecture_without_its_weights_takes_no_memory(path):
    save(BNMLPClassifier(hidden_layer_sizes=(37,), max_epochs=1, n_members=1).fit(X, labels), path)
    _change(path, 37, 10**11)
    with pytest.raises(ModelFileError, match=r"do not fit: linears.0.weight of member 0 must be of shape \(1000"):
        load(path)
    save(BNMLPClassifier(n_members=5, max_epochs=1).fit(X, labels), path)
    _change(path, 5, 10**6)
    with pytest.raises(ModelFileError, match="of member 5 must be of shape"):
        load(path)


def test_categories_fit_their_columns_and_their_network(path):
    table = np.column_stack([X[:, 0], np.arange(len(X)) % 12])
    model = BNMLPClassifier(max_epochs=1, n_members=1, categorical_features=[1]).fit(table, labels)
    arrays = {name: tensor.numpy() for name, tensor in model.net_.module_.state_dict().items()}
    assert network_codecs._encoding([True, False], arrays).shape[2:] == (1, 12)
    for name, wrong in (("column", [7]), ("entry", [[-1] * 14]), ("entry", [1])):
        with pytest.raises(Refused, match="whose categories do not fit its 2 columns"):
            network_codecs._encoding([True, False], arrays | {f"encoder.tables_{name}": np.array(wrong)})
    joint = model.pack_folds([model])._network
    with pytest.raises(Refused, match="has packed networks whose levels are"):
        network_codecs._check_levels([joint._levels[0].numpy()[1:]], joint._encodings, 64)
    save(model, path)
    with tampered(path) as (members, _):
        with np.load(io.BytesIO(members["parts/0.npz"])) as file:
            written = dict(file)
        written["encoder.tables_entry"][0, 3] = 99
        changed = io.BytesIO()
        np.savez(changed, **written)
        members["parts/0.npz"] = changed.getvalue()
    with pytest.raises(ModelFileError, match=r"a network made for \(\d+, 0, 1, 12\), whose columns are encoded as"):
        load(path)


def test_only_networks_are_made(path):
    save(BNMLPClassifier(max_epochs=1).fit(X, labels), path)
    for name in ("Module", "Linear", "system"):
        _change(path, "BNMLP", name)
        with pytest.raises(ModelFileError, match="cannot be put together"):
            load(path)
        _change(path, name, "BNMLP")


def test_only_optimizers_are_optimizers(path):
    save(BNMLPClassifier(max_epochs=1).fit(X, labels), path)
    _change(path, "AdamW", "sys")
    with pytest.raises(ModelFileError, match=r"has an optimizer that torch.optim does not have: 'sys'"):
        load(path)


def test_modules_of_the_user_get_numbers_alone(path):
    save(BNMLPClassifier(module=nets.Layers, max_epochs=1).fit(X[:, :3], labels), path)
    with tampered_skops(path) as (schema, _):
        arguments = next(
            node for node in nodes(schema) if node["__loader__"] == "DictNode" and "arguments" in node["content"]
        )
        first = arguments["content"]["arguments"]["content"][0]["content"]
        first[0]["content"] = '"rm -r"'
        first[0]["__id__"] = 77
    with pytest.raises(ModelFileError, match="other arguments than numbers of inputs and outputs"):
        load(path, trusted=["nets.Layers"])


@pytest.mark.parametrize("strides", [[10**9, 1, 1, 1], [-1, 1, 1, 1]])
def test_weights_lie_within_themselves(strides, path):
    save(BNCNNClassifier(max_epochs=1).fit(images, np.arange(48) % 3), path)
    with tampered_skops(path) as (schema, _):
        node = next(node for node in nodes(schema) if node["__loader__"] == "DictNode" and "strides" in node["content"])
        for number, one in enumerate(nodes(node["content"]["strides"])):
            if one["__loader__"] == "JsonNode":
                one["content"], one["__id__"] = json.dumps(strides[number % 4]), 1000 + number
    with pytest.raises(ModelFileError, match=r"weights that lie outside of themselves|cannot be put together"):
        load(path)


def test_weights_of_another_type_are_refused(path):
    save(BNMLPClassifier(max_epochs=1).fit(X, labels), path)
    with tampered(path) as (members, _):
        file = io.BytesIO()
        with np.load(io.BytesIO(members["parts/0.npz"])) as arrays:
            np.savez(file, **{name: arrays[name].astype("U8") for name in arrays.files})
        members["parts/0.npz"] = file.getvalue()
    with pytest.raises(ModelFileError, match="cannot be put together"):
        load(path)


def test_networks_of_earlier_files_have_the_parameters_that_came_later():
    model = load(Path(__file__).parents[1] / "recorded/stack.model")
    net = model.members_["bn_mlp"][0][-1]
    assert isinstance(net, BNMLPClassifier)
    assert net.get_params()["scaling"] is None
    assert net.get_params()["beta_2"] == 0.999
    assert net.get_params()["precision"] == "float32"
    assert net.get_params()["clip_norm"] is None


@pytest.mark.parametrize("cls", [BNCNNClassifier, BNCNNRegressor])
def test_networks_of_images_of_earlier_files_have_the_parameters_that_came_later(cls):
    later = {"clip_norm", "cutout", "ema_decay"}
    state = {name: value for name, value in vars(cls("reference")).items() if name not in later}
    again = BY_KIND[f"nn.{cls.__name__}"].decode(state, None)
    assert again.get_params() == cls("reference").get_params()
    assert BY_KIND["nn.Augmentation"].decode({"shift": 2, "elastic": 1.0}, None) == Augmentation(shift=2, elastic=1.0)
