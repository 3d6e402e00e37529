"""BN-MLPs as ONNX operators: each part of a network, against the network itself."""

import numpy as np
import pandas as pd
import pytest
from sklearn.datasets import load_diabetes, load_iris
from sklearn.linear_model import LogisticRegression, Ridge
from sklearn.utils import shuffle
from torch import nn

from stackkit import StackingClassifier, StackingRegressor, to_onnx
from stackkit.nn import BNCNNRegressor, BNMLPClassifier, BNMLPRegressor

onnxruntime = pytest.importorskip("onnxruntime", reason="onnxruntime is an optional package")
pytest.importorskip("skl2onnx", reason="skl2onnx is an optional package")

SMALL = {"max_epochs": 3, "n_members": 2, "hidden_layer_sizes": (8, 8), "random_state": 0}
X, y = load_diabetes(return_X_y=True)
GAPS = np.where(np.random.default_rng(0).random(X.shape) < 0.2, np.nan, X)
KINDS = {
    "pieces": {},
    "waves": {"num_embedding": "pbld"},
    "gaps": {"missing": "indicator", "activation": "tanh"},
    "bare": {"scaling": None, "num_embedding": None, "batch_norm": False, "activation": "sigmoid"},
    "input BN": {"input_batch_norm": True, "scaling": "standard"},
    "no hidden layer": {"hidden_layer_sizes": (), "num_embedding": "pbld"},
}


def _run(model, path, rows):
    session = onnxruntime.InferenceSession(str(to_onnx(model, path)), providers=["CPUExecutionProvider"])
    return session.run(None, {"X": rows})


@pytest.mark.parametrize("kind", KINDS)
def test_numbers(kind, tmp_path):
    table = GAPS if kind == "gaps" else X
    learners = [("net", BNMLPRegressor(**SMALL | KINDS[kind]))]
    model = StackingRegressor(learners, Ridge(), cv=2, random_state=0).fit(table, y)
    rows = np.vstack([table, 20 * table])  # beyond the training rows, where values are held within their range
    np.testing.assert_allclose(_run(model, tmp_path / "net.onnx", rows)[0][:, 0], model.predict(rows), rtol=1e-5)


@pytest.mark.parametrize("n_classes", [2, 3])
def test_classes(n_classes, tmp_path):
    table, species = shuffle(*load_iris(return_X_y=True), random_state=0)
    few = species < n_classes
    learners = [("net", BNMLPClassifier(**SMALL))]
    model = StackingClassifier(learners, LogisticRegression(), cv=2, random_state=0).fit(table[few], species[few])
    rows = table + np.random.default_rng(0).normal(size=table.shape)
    label, probabilities = _run(model, tmp_path / "net.onnx", rows)
    np.testing.assert_allclose(probabilities, model.predict_proba(rows), rtol=0, atol=1e-5)
    assert (label == model.predict(rows)).all()


@pytest.mark.parametrize("settings", [{}, {"num_embedding": "pbld", "hidden_layer_sizes": ()}], ids=["pieces", "waves"])
def test_categories_that_are_numbers(settings, tmp_path):
    draws = np.random.default_rng(0)
    many, few = draws.integers(0, 20, len(X)) / 4, draws.choice([1.0, 5.0, np.nan], len(X))
    table = np.column_stack([X[:, :2], np.where(draws.random(len(X)) < 0.1, np.nan, many), few])
    net = BNMLPRegressor(**SMALL | settings, categorical_features=[2, 3])
    model = StackingRegressor([("net", net)], Ridge(), cv=2, random_state=0).fit(table, y + 50 * many)
    rows = np.vstack([table, table + np.array([0, 0, 0.125, 1])])  # the last have levels that nobody knows
    np.testing.assert_allclose(_run(model, tmp_path / "net.onnx", rows)[0][:, 0], model.predict(rows), rtol=1e-5)
    alone = StackingRegressor([("net", net.set_params(categorical_features=[0]))], Ridge(), cv=2, random_state=0)
    alone.fit(table[:, 2:3], y)
    found = _run(alone, tmp_path / "alone.onnx", rows[:, 2:3])[0][:, 0]
    np.testing.assert_allclose(found, alone.predict(rows[:, 2:3]), rtol=1e-5)


def test_networks_that_have_no_form_are_named(tmp_path):
    one_pass = StackingRegressor([("net", BNMLPRegressor(**SMALL))], cv=2, random_state=0).fit(X, y).compact()
    with pytest.raises(
        TypeError, match=r"learner 'net': its networks are packed as one. Make .* compact\(pack=False\)"
    ):
        to_onnx(one_pass, tmp_path / "no.onnx")
    own = BNMLPRegressor(module=nn.Linear, max_epochs=1, random_state=0)
    model = StackingRegressor([("own", own)], cv=2).fit(X, y)
    with pytest.raises(TypeError, match=r"learner 'own': its network is a Linear, of module=. Leave module=None"):
        to_onnx(model, tmp_path / "no.onnx")
    mish = BNMLPRegressor(activation="mish", max_epochs=1, random_state=0)
    model = StackingRegressor([("mish", mish)], cv=2).fit(X, y)
    with pytest.raises(TypeError, match=r"learner 'mish': its activation is 'mish'. Take one of 'relu', 'tanh'"):
        to_onnx(model, tmp_path / "no.onnx")
    text = pd.DataFrame({"kind": np.array(["a", "b"])[(y > 150).astype(int)]})
    model = StackingRegressor([("text", BNMLPRegressor(**SMALL, categorical_features=["kind"]))], cv=2).fit(text, y)
    with pytest.raises(TypeError, match=r"learner 'text': its categories of column 0 are text, such as 'a'. Code them"):
        to_onnx(model, tmp_path / "no.onnx")
    images = BNCNNRegressor(image_shape=(2, 5), max_epochs=1, random_state=0)
    model = StackingRegressor([("images", images)], cv=2).fit(X, y)
    with pytest.raises(TypeError, match=r"learner 'images': skl2onnx cannot convert it .* Leave it out"):
        to_onnx(model, tmp_path / "no.onnx")
