"""Networks that predict in one pass give what each gives alone: in float64 to 1e-12."""

import pickle

import numpy as np
import pytest
import torch
from sklearn.base import clone
from torch import nn

from stackkit.nn import BNCNNClassifier, BNMLPClassifier, BNMLPRegressor
from stackkit.nn._modules import BNMLP, Average
from stackkit.nn._packed_inference import JointMLP, joint_nets

RNG = np.random.default_rng(0)
X = RNG.normal(size=(80, 5)) * [1, 10, 0.1, 1, 1] + [0, 5, 0, 0, 0]
CODES = np.digitize(X[:, 0], [-0.5, 0.5])
NUMBERS = X @ [1.0, 0.1, 0.0, 2.0, 0.0]
FAST = {"hidden_layer_sizes": (8, 6), "max_epochs": 2, "random_state": 0}
SHAPES = {
    "plain": {},
    "one member": {"n_members": 1},
    "snapshots": {"snapshots": 2, "max_epochs": 4},
    "no hidden layer": {"hidden_layer_sizes": ()},
    "one hidden layer": {"hidden_layer_sizes": (7,)},
    "no batch norm": {"batch_norm": False},
    "input batch norm": {"input_batch_norm": True},
    "no factors": {"front_scale": False},
    "tanh": {"activation": "tanh", "dropout": 0.3},
    "selu": {"activation": "selu"},
    "silu": {"activation": "silu"},
    "mish": {"activation": "mish"},
    "sigmoid, running statistics": {"activation": "sigmoid", "batch_stats": "running"},
    "float64": {"dtype": "float64"},
    "pieces": {"scaling": "robust-clip", "num_embedding": "ple"},
    "pieces of bare columns": {"num_embedding": "ple", "n_bins": 3},
    "scaled": {"scaling": "standard"},
}


def _folds(learner, y, n_features=(5, 5, 5)):
    """A fitted learner a fold, each on its own rows and its own number of columns."""
    parts = np.array_split(np.arange(80), 4)[: len(n_features)]
    fitted = [
        clone(learner).set_params(random_state=k).fit(np.delete(X, part, 0)[:, :d], np.delete(y, part, 0))
        for k, (part, d) in enumerate(zip(parts, n_features, strict=True))
    ]
    return fitted, [(X + 0.1 * k)[:, :d] for k, d in enumerate(n_features)]


def _assert_alike(learners, inputs, atol, methods=("predict_proba", "predict")):
    joint = type(learners[0]).pack_folds(learners)
    for method in methods:
        found = getattr(joint, method)(inputs)
        for learner, rows, ours in zip(learners, inputs, found, strict=True):
            theirs = getattr(learner, method)(rows)
            assert ours.shape == theirs.shape
            assert ours.dtype == theirs.dtype
            np.testing.assert_allclose(ours, theirs, rtol=0, atol=atol)
    return joint


@pytest.mark.parametrize("shape", SHAPES)
def test_classifiers(shape):
    learners, inputs = _folds(BNMLPClassifier(**FAST | SHAPES[shape]), CODES)
    _assert_alike(learners, inputs, 1e-12)
    _assert_alike(learners, [rows[:1] for rows in inputs], 1e-12)
    _assert_alike(learners, [X] * 3, 1e-12)


@pytest.mark.parametrize("y", [NUMBERS, np.column_stack([1000 + NUMBERS, X[:, 0]])], ids=["one", "two"])
@pytest.mark.parametrize("shape", ["plain", "no hidden layer", "input batch norm", "float64", "pieces"])
def test_regressors(shape, y):
    learners, inputs = _folds(BNMLPRegressor(**FAST | SHAPES[shape]), y)
    _assert_alike(learners, inputs, 1e-12 * np.abs(y).max(), ["predict"])


def test_rows_of_float32_are_computed_in_float32():
    learners, inputs = _folds(BNMLPClassifier(**FAST), CODES)
    single = [rows.astype(np.float32) for rows in inputs]
    joint = _assert_alike(learners, single, 1e-5)
    assert (joint.predict_proba(single)[0] != joint.predict_proba(inputs)[0]).any()


def test_folds_with_other_numbers_of_features_and_of_pieces():
    learners, inputs = _folds(BNMLPClassifier(**FAST | SHAPES["pieces"]), CODES, (5, 3, 4))
    assert len({learner.net_.module_.encoder.encoding().n_encoded for learner in learners}) > 1
    _assert_alike(learners, inputs, 1e-12)


def test_networks_that_clip_and_that_do_not_are_no_pack():
    learners, _ = _folds(BNMLPClassifier(**FAST | SHAPES["pieces"]), CODES, (5,))
    others, _ = _folds(BNMLPClassifier(**FAST | SHAPES["scaled"]), CODES, (5,))
    assert joint_nets([*learners, *others]) is None


def test_values_stay_within_those_of_the_training_rows():
    learners, inputs = _folds(BNMLPRegressor(**FAST, scaling=None, num_embedding=None), NUMBERS)
    far = [rows * 1e4 for rows in inputs]
    _assert_alike(learners, far, 1e-9, ["predict"])
    for learner, rows, part in zip(learners, far, np.array_split(np.arange(80), 4), strict=False):
        known, found = np.delete(NUMBERS, part), learner.predict(rows)
        assert known.min() == found.min()
        assert known.max() == found.max()


def test_folds_with_other_numbers_of_features():
    learners, inputs = _folds(BNMLPClassifier(**FAST, input_batch_norm=True), CODES, (5, 3, 4))
    joint = _assert_alike(learners, inputs, 1e-12)
    with pytest.raises(ValueError, match="X has 5 features, but BNMLPClassifier is expecting 3"):
        joint.predict([X, X, X])


def test_many_rows_in_parts(monkeypatch):
    monkeypatch.setattr("stackkit.nn._packed_inference.CACHE_BYTES", 1)  # 32 rows at once
    learners, inputs = _folds(BNMLPClassifier(**FAST), CODES)
    _assert_alike(learners, inputs, 1e-12)


def test_one_estimator_alone_and_out_of_a_pickle():
    learners, inputs = _folds(BNMLPClassifier(**FAST), np.array(["a", "b", "c"])[CODES], (5,))
    joint = pickle.loads(pickle.dumps(_assert_alike(learners, inputs, 1e-12, ["predict_proba"])))
    np.testing.assert_array_equal(joint.predict(inputs)[0], learners[0].predict(inputs[0]))
    assert learners[0].net_.initialized_  # the estimator keeps its net
    assert b"skorch" not in pickle.dumps(joint)


def test_unusable_rows_are_refused():
    learners, inputs = _folds(BNMLPClassifier(**FAST), CODES)
    joint = joint_nets(learners)
    inputs[1][3, 2] = np.nan
    with pytest.raises(ValueError, match="Input X contains NaN"):
        joint.predict_proba(inputs)


def test_threads_are_put_back():
    learners, inputs = _folds(BNMLPClassifier(**FAST), CODES)
    before = torch.get_num_threads()
    joint_nets(learners).predict(inputs)
    assert torch.get_num_threads() == before


# --- who does not go together -------------------------------------------------------------------------


class _Own(nn.Module):
    def __init__(self, n_features, n_outputs):
        super().__init__()
        self.layer = nn.Linear(n_features, n_outputs)

    def forward(self, x):
        return self.layer(x)


@pytest.mark.parametrize(
    "other",
    [
        {"hidden_layer_sizes": (8, 5)},
        {"hidden_layer_sizes": (8,)},
        {"n_members": 2},
        {"activation": "tanh"},
        {"module": _Own},
    ],
    ids=str,
)
def test_networks_of_several_shapes_are_not_packed(other):
    one = BNMLPClassifier(**FAST).fit(X, CODES)
    two = BNMLPClassifier(**FAST | other).fit(X, CODES)
    assert joint_nets([one, two]) is None
    assert joint_nets([one, one]) is not None


def test_folds_that_lack_a_class_are_not_packed():
    whole, part = BNMLPClassifier(**FAST).fit(X, CODES), BNMLPClassifier(**FAST).fit(X[CODES < 2], CODES[CODES < 2])
    assert joint_nets([whole, part]) is None


def test_images_are_not_packed():
    assert not hasattr(BNCNNClassifier, "pack_folds")


def test_averages_whose_inputs_are_scaled_are_not_packed():
    class Learner:
        pass

    learner = Learner()
    learner.net_ = type("Net", (), {})()
    for options, packed in (
        ({}, True),
        ({"input_affine": ([0.0] * 2, [1.0] * 2)}, False),
        ({"test_shifts": True}, False),
    ):
        learner.net_.module_ = Average(lambda: BNMLP(2, 2, (3,)), [0, 1], classifier=True, **options).eval()
        assert (joint_nets([learner]) is not None) == packed


def test_the_network_itself():
    """By torch alone, without an estimator: random statistics in every BN."""
    torch.manual_seed(0)
    averages = [
        Average(lambda: BNMLP(4, 3, (6, 5), input_batch_norm=True), [k, k + 7], classifier=True, dtype=torch.float64)
        for k in range(3)
    ]
    for average in averages:
        for module in average.modules():
            if isinstance(module, nn.BatchNorm1d):
                module.running_mean.normal_()
                module.running_var.uniform_(0.1, 3)
                nn.init.normal_(module.weight)
                nn.init.normal_(module.bias)
    x = torch.randn(3, 10, 4, dtype=torch.float64)
    expected = torch.stack([average.eval()(rows) for average, rows in zip(averages, x, strict=True)])
    found = JointMLP(averages)(x)
    assert found.shape == (3, 10, 3)
    torch.testing.assert_close(found, expected.detach(), rtol=0, atol=1e-12)
