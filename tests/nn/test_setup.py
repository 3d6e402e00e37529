"""Rows, weights, seeds and nets that a training begins with."""

import subprocess
import sys

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from skorch import NeuralNetClassifier, NeuralNetRegressor
from skorch.callbacks import Callback

from stackkit.nn import BNMLP, BNCNNClassifier, BNMLPClassifier, BNMLPRegressor
from stackkit.nn._setup import make_net, row_weights

SEEDS = st.integers(0, 2**31 - 1)
N = 40
ALL = np.arange(N)
Y = np.arange(N) % 3
RNG = np.random.default_rng(0)
X = RNG.normal(size=(N, 3))
WEIGHTS = RNG.uniform(0.1, 3, size=N)


def some_rows(seed, n=N, least=10):
    """Rows of the table, in any order."""
    rng = np.random.default_rng(seed)
    return rng.permutation(n)[: rng.integers(least, n + 1)]


# --- weights ---------------------------------------------------------------------------------------------


def test_no_weights_are_none():
    assert row_weights(None, None, Y, ALL) is None


@settings(deadline=None)
@given(SEEDS)
def test_weights_have_the_mean_one_over_the_rows_and_are_nothing_elsewhere(seed):
    rows = some_rows(seed)
    found = row_weights(WEIGHTS, None, Y, rows)
    assert found.shape == (N,)
    assert found[rows].mean() == pytest.approx(1)
    np.testing.assert_allclose(found[rows], WEIGHTS[rows] / WEIGHTS[rows].mean(), rtol=1e-12)
    assert not found[np.setdiff1d(ALL, rows)].any()


@settings(deadline=None)
@given(SEEDS, st.floats(1e-3, 1e3))
def test_only_the_ratios_of_weights_count(seed, factor):
    rows = some_rows(seed)
    for class_weight in (None, "balanced", {0: 1, 1: 2, 2: 3}):
        found = row_weights(WEIGHTS, class_weight, Y, rows)
        np.testing.assert_allclose(row_weights(factor * WEIGHTS, class_weight, Y, rows), found, rtol=1e-12)


@settings(deadline=None)
@given(SEEDS)
def test_balanced_classes_weigh_the_same_whatever_the_rows_are(seed):
    rows = some_rows(seed)
    found = row_weights(None, "balanced", Y, rows)
    total = np.bincount(Y[rows], weights=found[rows], minlength=3)
    np.testing.assert_allclose(total[np.unique(Y[rows])], len(rows) / len(np.unique(Y[rows])), rtol=1e-12)


def test_weights_of_rows_and_of_classes_multiply():
    by_hand = WEIGHTS * np.array([1.0, 0.5, 4.0])[Y]
    found = row_weights(WEIGHTS, {0: 1.0, 1: 0.5, 2: 4.0}, Y, ALL)
    np.testing.assert_allclose(found, by_hand / by_hand.mean(), rtol=1e-12)
    labels = np.array(["a", "b", "c"])[Y]
    np.testing.assert_array_equal(row_weights(WEIGHTS, {"a": 1.0, "b": 0.5, "c": 4.0}, labels, ALL), found)


@pytest.mark.parametrize(
    ("weights", "class_weight"), [(np.where(ALL == 3, -1.0, 1.0), None), (None, {0: 1, 1: -1, 2: 1})]
)
def test_negative_weights_are_refused(weights, class_weight):
    with pytest.raises(ValueError, match="sample_weight and class_weight must not be negative here"):
        row_weights(weights, class_weight, Y, ALL)


@pytest.mark.parametrize(("weights", "class_weight"), [(np.zeros(N), None), (None, {0: 0, 1: 0, 2: 0})])
def test_weights_that_are_all_zero_are_refused(weights, class_weight):
    with pytest.raises(ValueError, match=r"are zero for all rows; at least one must count\."):
        row_weights(weights, class_weight, Y, ALL)


def test_only_the_weights_of_the_own_rows_are_looked_at():
    weights = np.where(ALL < 10, -1.0, 1.0)
    np.testing.assert_array_equal(row_weights(weights, None, Y, ALL[10:])[10:], 1.0)
    with pytest.raises(ValueError, match="zero for all rows"):
        row_weights(np.where(ALL < 10, 0.0, 1.0), None, Y, ALL[:10])


# --- nets ------------------------------------------------------------------------------------------------


BOTH = np.array(["no", "yes"])


def net_of(seeds=(1, 2), *, classes=BOTH, dtype=torch.float32, output_affine=None, **more):
    return make_net(
        lambda: BNMLP(3, 2, (4,)),
        seeds,
        classes=classes,
        dtype=dtype,
        input_affine=None,
        output_affine=output_affine,
        test_shifts=False,
        settings={"verbose": 0} | more,
    )


def weights_of(member):
    return torch.cat([p.detach().flatten() for p in member.parameters()])


def test_a_member_for_each_seed_and_its_weights_come_from_it_alone():
    members = net_of((5, 6, 5)).module_.members
    assert torch.equal(weights_of(members[0]), weights_of(members[2]))
    assert not torch.equal(weights_of(members[0]), weights_of(members[1]))
    assert torch.equal(weights_of(net_of((6,)).module_.members[0]), weights_of(members[1]))


def test_first_weights_are_those_that_torch_draws_after_that_seed():
    with torch.random.fork_rng():
        torch.manual_seed(5)
        expected = weights_of(BNMLP(3, 2, (4,)))
    assert torch.equal(weights_of(net_of((5,)).module_.members[0]), expected)


def test_making_a_net_draws_nothing_from_torch():
    before = torch.get_rng_state()
    net_of((5, 6))
    assert torch.equal(torch.get_rng_state(), before)


MLPS = """
import sys
import numpy as np, torch
from stackkit import StackingModel, load, save
from stackkit.nn import BNMLPClassifier
if __name__ == "__main__":
    X, y = np.random.default_rng(0).normal(size=(60, 3)), np.arange(60) % 2
    model = StackingModel([("mlp", BNMLPClassifier(max_epochs=1))], n_jobs=2).fit(X, y)
    save(model, "model")
    load("model").predict(X)
    print("torch._dynamo" in sys.modules)
    print("__dynamo_disable" in vars(torch.optim.Optimizer.add_param_group.__wrapped__))
    torch.compile(torch.nn.Linear(1, 1), backend="eager")(torch.ones(1, 1)).sum().backward()
"""


@pytest.mark.nightly  # torch takes long to load its compiler
def test_the_compiler_is_not_loaded_and_works_when_it_is(tmp_path):
    (tmp_path / "mlps.py").write_text(MLPS)
    done = subprocess.run([sys.executable, "mlps.py"], cwd=tmp_path, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert done.stdout.split() == ["False", "False"]


def test_classifiers_know_their_classes_and_regressors_have_none():
    net = net_of()
    assert isinstance(net, NeuralNetClassifier)
    assert net.classes_.tolist() == ["no", "yes"]
    assert isinstance(net_of(classes=None), NeuralNetRegressor)


def test_the_accuracy_is_not_computed_and_nothing_is_printed_unasked():
    names = {name for name, _ in net_of().callbacks_}
    assert "valid_acc" not in names
    assert "print_log" not in names
    assert "print_log" in {name for name, _ in net_of(verbose=1).callbacks_}


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_weights_have_the_type_asked_for(dtype):
    assert {p.dtype for p in net_of(dtype=dtype).module_.parameters()} == {dtype}


def test_values_come_out_on_the_scale_of_the_user():
    plain = net_of(classes=None)
    scaled = net_of(classes=None, output_affine=(np.array([10.0, -3.0]), np.array([2.0, 100.0])))
    rows = X.astype(np.float32)
    np.testing.assert_allclose(scaled.predict(rows), plain.predict(rows) * [2, 100] + [10, -3], rtol=1e-5)


# --- what callbacks get to see -----------------------------------------------------------------------------


class Keeps(Callback):
    """The data that skorch hands out."""

    def on_epoch_end(self, net, dataset_train=None, dataset_valid=None, **kwargs):
        self.train, self.valid = dataset_train, dataset_valid


def kept_by(learner, y, rows=X, **fit_params):
    learner.set_params(n_members=1, max_epochs=1, random_state=0, callbacks=[("keeps", Keeps())])
    keeps = dict(learner.fit(rows, y, **fit_params).net_.callbacks_)["keeps"]
    return keeps.train, keeps.valid


def test_callbacks_get_the_rows_learned_from_and_codes_of_the_classes():
    train, valid = kept_by(BNMLPClassifier(early_stopping=False), np.array(["a", "b", "c"])[Y])
    assert valid is None
    np.testing.assert_allclose(train.X, X, rtol=1e-6)
    np.testing.assert_array_equal(train.y, Y)


@pytest.mark.parametrize("y", [1e3 + 50 * X[:, 0], 7 * X[:, :2]])
def test_callbacks_get_values_on_the_scale_of_the_user(y):
    train, _ = kept_by(BNMLPRegressor(early_stopping=False), y)
    np.testing.assert_allclose(np.asarray(train.y).reshape(y.shape), y, rtol=1e-5, atol=1e-5)


def test_callbacks_get_the_rows_to_stop_by_apart():
    ids = np.column_stack([ALL, X[:, 0]])
    train, valid = kept_by(BNMLPClassifier(early_stopping=True, validation_fraction=0.25), Y, ids)
    train_rows, valid_rows = (part.X[:, 0].int().tolist() for part in (train, valid))
    assert sorted(train_rows + valid_rows) == ALL.tolist()
    assert len(valid_rows) == 10
    np.testing.assert_array_equal(train.y, Y[train_rows])
    np.testing.assert_array_equal(valid.y, Y[valid_rows])


def test_callbacks_do_not_get_rows_without_weight():
    ids = np.column_stack([ALL, X[:, 0]])
    train, _ = kept_by(BNMLPClassifier(early_stopping=False), Y, ids, sample_weight=(ALL % 4 > 0).astype(float))
    assert train.X[:, 0].int().tolist() == [i for i in range(N) if i % 4]


def test_callbacks_get_images_as_the_module_takes_them():
    images = RNG.integers(0, 256, (N, 6, 6)).astype(np.uint8)
    train, _ = kept_by(BNCNNClassifier(precision="float32"), Y, images)
    assert train.X.shape == (N, 1, 6, 6)
    np.testing.assert_array_equal(train.X[:, 0], images)
