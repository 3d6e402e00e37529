"""The scores of one fold against scikit-learn's metrics."""

import numpy as np
import pytest
from sklearn.metrics import accuracy_score, log_loss, r2_score, root_mean_squared_error

from stackkit._members.blocks import Block
from stackkit._oof.scores import score

RNG = np.random.default_rng(0)
WEIGHT = RNG.uniform(size=40)


def _block(kind, width=1, n_classes=2, method="predict_proba"):
    return Block(slice(0, width), (None,) * width, method, kind, n_classes)


def test_binary_probability():
    y, p = RNG.integers(0, 2, 40), RNG.uniform(size=(40, 1))
    found = score(y, p, _block("probability"), WEIGHT)
    assert found["log_loss"] == pytest.approx(log_loss(y, p[:, 0], sample_weight=WEIGHT))
    assert found["accuracy"] == pytest.approx(accuracy_score(y, p[:, 0] > 0.5, sample_weight=WEIGHT))


def test_float32_probabilities_do_not_warn(recwarn):
    y, p = RNG.integers(0, 3, 40), RNG.dirichlet(np.ones(3), 40).astype(np.float32).astype(np.float64)
    found = score(y, p, _block("probability", 3, 3), None)
    assert found["log_loss"] == pytest.approx(log_loss(y, p / p.sum(axis=1, keepdims=True)))
    assert not recwarn


@pytest.mark.parametrize("n_classes", [2, 3])
def test_scores_and_votes_have_an_accuracy_only(n_classes):
    y = RNG.integers(0, n_classes, 40)
    values = RNG.normal(size=(40, 1 if n_classes == 2 else 3))
    guess = values[:, 0] > 0 if n_classes == 2 else values.argmax(axis=1)
    found = score(y, values, _block("score", values.shape[1], n_classes, "decision_function"), None)
    assert found["accuracy"] == accuracy_score(y, guess)
    assert np.isnan(found["log_loss"])
    votes = np.eye(n_classes)[y]
    assert score(y, votes, _block("label", 1, n_classes, "predict"), None)["accuracy"] == 1


@pytest.mark.parametrize("method", ["predict_proba", "decision_function", "predict"])
def test_multilabel(method):
    Y = RNG.integers(0, 2, (40, 3))
    values = RNG.uniform(size=(40, 3)) - (0.5 if method == "decision_function" else 0)
    found = score(Y, values, _block("indicator", 3, 0, method), None)
    middle = 0 if method == "decision_function" else 0.5
    assert found["accuracy"] == accuracy_score(Y, values > middle)
    if method == "predict_proba":
        assert found["log_loss"] == pytest.approx(np.mean([log_loss(Y[:, k], values[:, k]) for k in range(3)]))


def test_regression():
    y, values = RNG.normal(size=40), RNG.normal(size=(40, 1))
    found = score(y, values, _block("value", 1, 0, "predict"), WEIGHT)
    assert found["rmse"] == pytest.approx(root_mean_squared_error(y, values, sample_weight=WEIGHT))
    assert found["r2"] == pytest.approx(r2_score(y, values, sample_weight=WEIGHT))
    alone = score(y[:1], values[:1], _block("value", 1, 0, "predict"), None)
    assert np.isnan(alone["r2"])


def test_a_regressor_among_classifiers_has_no_score():
    found = score(np.array([0, 1]), np.array([[0.2], [0.7]]), _block("value"), None)
    assert np.isnan(list(found.values())).all()


@pytest.mark.parametrize(
    ("kind", "method", "n_classes", "names"),
    [
        ("probability", "predict_proba", 2, ["log_loss", "accuracy"]),
        ("indicator", "predict_proba", 0, ["log_loss", "accuracy"]),
        ("value", "predict", 2, ["log_loss", "accuracy"]),
        ("value", "predict", 0, ["rmse", "r2"]),
    ],
)
def test_rows_that_all_weigh_zero_have_no_score(kind, method, n_classes, names):
    y = np.zeros((40, 1), dtype=int) if kind == "indicator" else np.zeros(40, dtype=int)
    found = score(y, np.full((40, 1), 0.5), _block(kind, 1, n_classes, method), np.zeros(40))
    assert list(found) == names
    assert np.isnan(list(found.values())).all()
