import dataclasses
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from stackkit.nn import batchnorm
from stackkit.nn.batchnorm import (
    RunningStatistics,
    batch_norm_backward,
    batch_norm_backward_closed,
    batch_norm_forward,
    batch_norm_inference,
    conv_batch_norm_backward,
    conv_batch_norm_forward,
    conv_batch_norm_inference,
    population_statistics,
)

TABLE, MAPS = (7, 3), (4, 3, 2, 5)
FORWARD = {2: batch_norm_forward, 4: conv_batch_norm_forward}
BACKWARD = {2: batch_norm_backward, 4: conv_batch_norm_backward}
INFERENCE = {2: batch_norm_inference, 4: conv_batch_norm_inference}
LAYER = {2: torch.nn.BatchNorm1d, 4: torch.nn.BatchNorm2d}

both = pytest.mark.parametrize("shape", [TABLE, MAPS], ids=["dense", "conv"])
each_eps = pytest.mark.parametrize("eps", [1e-5, 0.5])


def case(shape, seed=0):
    """Input far from normalized, scale and shift far from 1 and 0, and a gradient from above."""
    rng = np.random.default_rng(seed)
    n_features = shape[1]
    per_feature = (1, n_features) + (1,) * (len(shape) - 2)
    x = rng.normal(size=shape) * rng.uniform(0.2, 5, per_feature) + 3 * rng.normal(size=per_feature)
    return x, rng.normal(size=n_features), rng.normal(size=n_features), rng.normal(size=shape)


def torch_layer(shape, gamma, beta, **options):
    layer = LAYER[len(shape)](shape[1], dtype=torch.float64, **options)
    with torch.no_grad():
        layer.weight.copy_(torch.from_numpy(gamma))
        layer.bias.copy_(torch.from_numpy(beta))
    return layer


def assert_same(got, expected, tolerance=1e-10):
    expected = expected.detach().numpy() if isinstance(expected, torch.Tensor) else expected
    np.testing.assert_allclose(got, expected, rtol=tolerance, atol=tolerance, strict=True)


def central_differences(loss, at, step=1e-6):
    slopes = np.zeros_like(at)
    for index in np.ndindex(at.shape):
        move = np.zeros_like(at)
        move[index] = step
        slopes[index] = (loss(at + move) - loss(at - move)) / (2 * step)
    return slopes


# ---------------------------------------------------------------- against PyTorch


@each_eps
@both
def test_training_is_torchs(shape, eps):
    x, gamma, beta, dy = case(shape)
    layer, leaf = torch_layer(shape, gamma, beta, eps=eps), torch.from_numpy(x).requires_grad_()
    expected = layer(leaf)
    expected.backward(torch.from_numpy(dy))

    y, cache = FORWARD[len(shape)](x, gamma, beta, eps=eps)
    dx, dgamma, dbeta = BACKWARD[len(shape)](dy, cache)

    assert_same(y, expected)
    assert_same(dx, leaf.grad)
    assert_same(dgamma, layer.weight.grad)
    assert_same(dbeta, layer.bias.grad)


@pytest.mark.parametrize("momentum", [0.1, 0.7])
@both
def test_running_statistics_and_inference_are_torchs(shape, momentum):
    _, gamma, beta, _ = case(shape)
    layer, running = torch_layer(shape, gamma, beta, momentum=momentum), RunningStatistics.start(shape[1])
    for seed in range(4):
        x = case(shape, seed)[0]
        layer(torch.from_numpy(x))
        running = running.update(x, momentum)
    assert_same(running.mean, layer.running_mean)
    assert_same(running.var, layer.running_var)

    x = case(shape, 9)[0][:1]  # a single row has no variance, and needs none here
    y = INFERENCE[len(shape)](x, gamma, beta, running.mean, running.var)
    assert_same(y, layer.eval()(torch.from_numpy(x)))


@both
def test_defaults_are_torchs(shape):
    x, gamma, beta, _ = case(shape)
    layer = torch_layer(shape, gamma, beta)
    y, _ = FORWARD[len(shape)](x, gamma, beta)
    assert_same(y, layer(torch.from_numpy(x)))
    running = RunningStatistics.start(shape[1]).update(x)
    assert_same(running.mean, layer.running_mean)
    assert_same(running.var, layer.running_var)


@both
def test_population_statistics_are_those_of_torch_without_momentum(shape):
    batches = [case(shape, seed)[0][:rows] for seed, rows in enumerate([4, 3, 4])]
    layer = LAYER[len(shape)](shape[1], dtype=torch.float64, momentum=None)
    for batch in batches:
        layer(torch.from_numpy(batch))
    mean, var = population_statistics(iter(batches))
    assert_same(mean, layer.running_mean)
    assert_same(var, layer.running_var)


# ---------------------------------------------------------------- gradients


@both
def test_gradients_are_the_slopes(shape):
    x, gamma, beta, dy = case(shape)
    forward = FORWARD[len(shape)]
    dx, dgamma, dbeta = BACKWARD[len(shape)](dy, forward(x, gamma, beta)[1])
    assert_same(dx, central_differences(lambda at: (dy * forward(at, gamma, beta)[0]).sum(), x), 1e-6)
    assert_same(dgamma, central_differences(lambda at: (dy * forward(x, at, beta)[0]).sum(), gamma), 1e-6)
    assert_same(dbeta, central_differences(lambda at: (dy * forward(x, gamma, at)[0]).sum(), beta), 1e-6)


@settings(max_examples=50, deadline=None)
@given(
    n_rows=st.integers(2, 30),
    n_features=st.integers(1, 5),
    eps=st.floats(1e-8, 10),
    scale=st.floats(1e-3, 1e3),
    seed=st.integers(0, 10**6),
)
def test_step_by_step_is_the_closed_form(n_rows, n_features, eps, scale, seed):
    x, gamma, beta, dy = case((n_rows, n_features), seed)
    _, cache = batch_norm_forward(scale * x, gamma, beta, eps=eps)
    size = np.abs(gamma / cache.std).max() * np.abs(dy).max()  # what cancels is of this size; dx may be 0
    for stepped, closed in zip(batch_norm_backward(dy, cache), batch_norm_backward_closed(dy, cache), strict=True):
        assert_same(stepped, closed, 1e-10 * max(1, size))


def test_of_two_rows_only_the_shift_learns_without_eps():
    # Two values always normalize to -1 and 1, whatever they are: so they have no slope.
    x, gamma, beta, dy = case((2, 3))
    y, cache = batch_norm_forward(x, gamma, beta, eps=0)
    assert_same(np.abs(cache.xhat), np.ones((2, 3)))
    assert_same(batch_norm_backward(dy, cache)[0], np.zeros((2, 3)))
    assert_same(y.mean(axis=0), beta)


# ---------------------------------------------------------------- facts


@each_eps
def test_normalized_values_have_mean_0_and_variance_1_but_for_eps(eps):
    x, gamma, beta, _ = case(TABLE)
    _, cache = batch_norm_forward(x, gamma, beta, eps=eps)
    var = x.var(axis=0)
    assert_same(cache.xhat.mean(axis=0), np.zeros(3))
    assert_same(cache.xhat.var(axis=0), var / (var + eps))
    assert_same(cache.mean, x.mean(axis=0))
    assert_same(cache.var, var)


@both
def test_outputs_have_mean_beta_and_deviation_gamma(shape):
    x, gamma, beta, _ = case(shape)
    y, _ = FORWARD[len(shape)](x, gamma, beta, eps=0)
    axes = tuple(axis for axis in range(len(shape)) if axis != 1)
    assert_same(y.mean(axis=axes), beta)
    assert_same(y.std(axis=axes), np.abs(gamma))


def test_scaled_weights_change_no_output_and_divide_their_gradient():
    rng = np.random.default_rng(0)
    u, weights = rng.normal(size=(9, 4)), rng.normal(size=(4, 3))
    _, gamma, beta, dy = case((9, 3))

    def output_and_gradient(weights):
        y, cache = batch_norm_forward(u @ weights, gamma, beta, eps=0)
        return y, u.T @ batch_norm_backward(dy, cache)[0]

    y, gradient = output_and_gradient(weights)
    for scale in (0.01, 5.0, 1e4):
        scaled_y, scaled_gradient = output_and_gradient(scale * weights)
        assert_same(scaled_y, y)
        assert_same(scale * scaled_gradient, gradient)
    assert np.abs(gradient).max() > 0.01


def test_no_step_along_the_weights_pays():
    # Follows from the fact above: the gradient is orthogonal to each unit's weights.
    rng = np.random.default_rng(1)
    u, weights = rng.normal(size=(9, 4)), rng.normal(size=(4, 3))
    _, gamma, beta, dy = case((9, 3))
    _, cache = batch_norm_forward(u @ weights, gamma, beta, eps=0)
    gradient = u.T @ batch_norm_backward(dy, cache)[0]
    assert_same((gradient * weights).sum(axis=0), np.zeros(3))


@both
def test_gamma_and_beta_can_undo_it(shape):
    x, _, _, _ = case(shape)
    axes = tuple(axis for axis in range(len(shape)) if axis != 1)
    mean, var = x.mean(axis=axes), x.var(axis=axes)
    y, _ = FORWARD[len(shape)](x, np.sqrt(var + 0.3), mean, eps=0.3)
    assert_same(y, x)
    assert_same(INFERENCE[len(shape)](x, np.sqrt(var + 0.3), mean, mean, var, eps=0.3), x)


@both
def test_a_bias_before_it_changes_nothing_and_has_no_gradient(shape):
    x, gamma, beta, dy = case(shape)
    bias = np.reshape([5.0, -2.0, 0.3], (1, 3) + (1,) * (len(shape) - 2))
    y, _ = FORWARD[len(shape)](x, gamma, beta)
    biased_y, cache = FORWARD[len(shape)](x + bias, gamma, beta)
    dx, _, _ = BACKWARD[len(shape)](dy, cache)
    axes = tuple(axis for axis in range(len(shape)) if axis != 1)
    assert_same(biased_y, y)
    assert_same(dx.sum(axis=axes), np.zeros(3))


@both
def test_inference_with_the_batchs_own_statistics_is_training(shape):
    x, gamma, beta, _ = case(shape)
    axes = tuple(axis for axis in range(len(shape)) if axis != 1)
    y, _ = FORWARD[len(shape)](x, gamma, beta)
    assert_same(INFERENCE[len(shape)](x, gamma, beta, x.mean(axis=axes), x.var(axis=axes)), y)


def test_in_inference_rows_do_not_depend_on_each_other():
    x, gamma, beta, _ = case(TABLE)
    together = batch_norm_inference(x, gamma, beta, x[0], x[1] ** 2)
    alone = [batch_norm_inference(x[[i]], gamma, beta, x[0], x[1] ** 2)[0] for i in range(len(x))]
    assert np.array_equal(together, alone)
    assert batch_norm_inference(x[:0], gamma, beta, x[0], x[1] ** 2).shape == (0, 3)


def test_a_map_of_one_position_is_a_dense_layer():
    x, gamma, beta, dy = case(TABLE)
    y, cache = batch_norm_forward(x, gamma, beta)
    maps, conv_cache = conv_batch_norm_forward(x[:, :, None, None], gamma, beta)
    assert np.array_equal(maps[:, :, 0, 0], y)
    dx, *rest = batch_norm_backward(dy, cache)
    conv_dx, *conv_rest = conv_batch_norm_backward(dy[:, :, None, None], conv_cache)
    assert np.array_equal(conv_dx[:, :, 0, 0], dx)
    assert np.array_equal(conv_rest, rest)


def test_one_image_is_a_batch_where_maps_have_positions():
    x, gamma, beta, _ = case((1, 3, 2, 2))
    y, _ = conv_batch_norm_forward(x, gamma, beta, eps=0)
    assert_same(y.mean(axis=(0, 2, 3)), beta)


def test_population_statistics_do_not_lean_while_biased_ones_would():
    batches = np.random.default_rng(0).normal(2, 3, size=(20_000, 4, 1))
    mean, var = population_statistics(batches)
    assert mean == pytest.approx(2, rel=0.02)
    assert var == pytest.approx(9, rel=0.02)  # the biased one would be 6.75
    assert_same(var, np.array([4 / 3 * np.mean([batch.var() for batch in batches])]))


def test_an_update_leaves_the_old_statistics():
    old = RunningStatistics.start(3)
    new = old.update(case(TABLE)[0])
    assert np.array_equal(old.mean, np.zeros(3))
    assert np.array_equal(old.var, np.ones(3))
    assert not np.allclose(new.mean, 0)
    with pytest.raises(dataclasses.FrozenInstanceError):
        old.mean = new.mean
    assert_same(old.update(case(TABLE)[0], 0).var, old.var)
    assert_same(old.update(case(TABLE)[0], 1).var, case(TABLE)[0].var(axis=0, ddof=1))


# ---------------------------------------------------------------- what goes in


@both
def test_inputs_are_never_written_to(shape):
    arrays = [*case(shape), np.ones(3), np.ones(3)]
    for array in arrays:
        array.flags.writeable = False  # writing would raise
    x, gamma, beta, dy, mean, var = arrays
    y, cache = FORWARD[len(shape)](x, gamma, beta)
    dx, _, _ = BACKWARD[len(shape)](dy, cache)
    z = INFERENCE[len(shape)](x, gamma, beta, mean, var)
    running = RunningStatistics(mean, var).update(x)
    population_statistics([x, x])
    for result in (y, dx, z, running.mean, running.var):
        assert not any(np.shares_memory(result, array) for array in arrays)
        assert result.flags.writeable


@both
def test_backward_can_be_asked_twice(shape):
    x, gamma, beta, dy = case(shape)
    _, cache = FORWARD[len(shape)](x, gamma, beta)
    first, second = BACKWARD[len(shape)](dy, cache), BACKWARD[len(shape)](dy, cache)
    assert all(np.array_equal(a, b) for a, b in zip(first, second, strict=True))


def test_gamma_may_learn_before_the_backward_pass():
    x, gamma, beta, dy = case(TABLE)
    _, cache = batch_norm_forward(x, gamma, beta)
    expected = batch_norm_backward(dy, cache)[0]
    gamma *= 2
    assert np.array_equal(batch_norm_backward(dy, cache)[0], expected)


def test_whatever_comes_in_float64_goes_out():
    x, gamma, beta, dy = (array.astype(np.float32) for array in case(TABLE))
    y, cache = batch_norm_forward(x, gamma, beta)
    assert {array.dtype for array in (y, *batch_norm_backward(dy, cache))} == {np.dtype(np.float64)}
    assert_same(batch_norm_forward(x.tolist(), gamma.tolist(), beta.tolist())[0], y)
    assert_same(batch_norm_forward([[1], [5]], [2], [1], eps=0)[0], np.array([[-1.0], [3.0]]))


def test_a_large_mean_costs_few_digits():
    x, gamma, beta, _ = case(TABLE)
    x, far = np.round(8 * x) / 8, 2.0**30  # eighths can be moved that far without rounding
    near, _ = batch_norm_forward(x, gamma, beta)
    assert_same(batch_norm_forward(x + far, gamma, beta)[0], near, 1e-6)
    near = batch_norm_inference(x, gamma, beta, x[0], x[1] ** 2 + 1)
    assert np.array_equal(batch_norm_inference(x + far, gamma, beta, x[0] + far, x[1] ** 2 + 1), near)


# ---------------------------------------------------------------- errors


ONE, TWO, MAP = np.ones((1, 3)), np.eye(3)[:2], np.ones((1, 3, 1, 1))


@pytest.mark.parametrize(
    ("call", "name"),
    [
        (lambda: batch_norm_forward(ONE, np.ones(3), np.ones(3)), "x"),
        (lambda: conv_batch_norm_forward(MAP, np.ones(3), np.ones(3)), "x"),
        (lambda: RunningStatistics.start(3).update(ONE), "x"),
        (lambda: RunningStatistics.start(3).update(MAP), "x"),
        (lambda: population_statistics([TWO, ONE]), r"batches\[1\]"),
    ],
)
def test_one_row_is_refused(call, name):
    with pytest.raises(
        ValueError, match=rf"^{name} must have at least 2 rows .*no variance; got 1\. Make the batch la"
    ):
        call()


def test_no_row_is_refused_in_training():
    with pytest.raises(ValueError, match=r"^x must have at least 2 rows .*; got 0\."):
        batch_norm_forward(np.ones((0, 3)), np.ones(3), np.ones(3))


@pytest.mark.parametrize(
    ("call", "allowed"),
    [
        (lambda x: batch_norm_forward(x, [1], [0]), r"\(n_rows, n_features\)"),
        (lambda x: batch_norm_inference(x, [1], [0], [0], [1]), r"\(n_rows, n_features\)"),
        (lambda x: conv_batch_norm_forward(x, [1], [0]), r"\(n, channels, height, width\)"),
        (lambda x: conv_batch_norm_inference(x, [1], [0], [0], [1]), r"\(n, channels, height, width\)"),
        (lambda x: RunningStatistics.start(1).update(x), r"\(n_rows, n_features\) or \(n, channels, height, width\)"),
    ],
)
def test_other_axes_are_refused(call, allowed):
    with pytest.raises(ValueError, match=rf"^x must have the shape {allowed}; got the shape \(2, 1, 1\)\. Reshape it"):
        call(np.ones((2, 1, 1)))


def test_dense_and_convolutional_are_told_apart():
    with pytest.raises(ValueError, match=r"^x must have .*\(4, 3, 2, 5\)\..* those for feature maps start with conv_"):
        batch_norm_forward(np.ones(MAPS), np.ones(3), np.ones(3))
    with pytest.raises(ValueError, match=r"^x must have the shape \(n, channels, height, width\)"):
        conv_batch_norm_forward(np.ones(TABLE), np.ones(3), np.ones(3))


@pytest.mark.parametrize("name", ["gamma", "beta", "mean", "var"])
@both
def test_parameters_of_another_size_are_refused(shape, name):
    x, ones = case(shape)[0], np.ones(3)
    values = {"gamma": ones, "beta": ones, "mean": ones, "var": ones} | {name: np.ones(1)}  # would broadcast
    message = rf"^{name} must have the shape \(3,\), one value per feature .*; got the shape \(1,\)"
    with pytest.raises(ValueError, match=message):
        INFERENCE[len(shape)](x, **values)
    calls = {
        "gamma": lambda: FORWARD[len(shape)](x, values["gamma"], ones),
        "beta": lambda: FORWARD[len(shape)](x, ones, values["beta"]),
        "mean": lambda: RunningStatistics(values["mean"], ones).update(x),
        "var": lambda: RunningStatistics(ones, values["var"]).update(x),
    }
    with pytest.raises(ValueError, match=message):
        calls[name]()


@pytest.mark.parametrize("backward", [batch_norm_backward, batch_norm_backward_closed])
def test_a_gradient_of_another_shape_is_refused(backward):
    x, gamma, beta, _ = case(TABLE)
    _, cache = batch_norm_forward(x, gamma, beta)
    with pytest.raises(ValueError, match=r"^dy must have the shape \(7, 3\), that of .*; got the shape \(3,\)\."):
        backward(np.ones(3), cache)  # would broadcast


def test_a_gradient_of_turned_maps_is_refused():
    x, gamma, beta, dy = case(MAPS)
    _, cache = conv_batch_norm_forward(x, gamma, beta)
    with pytest.raises(ValueError, match=r"^dy must have the shape \(4, 3, 2, 5\), .*got the shape \(4, 3, 5, 2\)"):
        conv_batch_norm_backward(dy.swapaxes(2, 3), cache)  # has as many values


@pytest.mark.parametrize("bad", [np.nan, np.inf])
def test_what_would_poison_the_statistics_is_refused(bad):
    x, gamma, beta, dy = case(TABLE)
    _, cache = batch_norm_forward(x, gamma, beta)
    for array in (x, dy):
        array[2, 1] = bad
    with pytest.raises(ValueError, match=rf"^x must hold finite numbers only.*; got {bad}\. Replace or drop it"):
        batch_norm_forward(x, gamma, beta)
    with pytest.raises(ValueError, match=r"^x must hold finite numbers only"):
        RunningStatistics.start(3).update(x)
    with pytest.raises(ValueError, match=r"^batches\[0\] must hold finite numbers only"):
        population_statistics([x])
    with pytest.raises(ValueError, match=r"^dy must hold finite numbers only"):
        batch_norm_backward(dy, cache)


@pytest.mark.parametrize("bad", [[["a"], ["b"]], [[1.0], [2.0, 3.0]], [[1j], [2.0]]])
def test_what_is_no_array_of_numbers_is_refused(bad):
    with pytest.raises(ValueError, match=r"^x must be an array of numbers; got \[\[.*\. Convert it first"):
        batch_norm_forward(bad, [1], [0])


@pytest.mark.parametrize("eps", [-1e-5, np.nan, np.inf, "small", None])
def test_an_impossible_eps_is_refused(eps):
    x, gamma, beta, _ = case(TABLE)
    with pytest.raises(ValueError, match=r"^eps must be a finite number of at least 0; got "):
        batch_norm_forward(x, gamma, beta, eps=eps)
    with pytest.raises(ValueError, match=r"^eps must be a finite number of at least 0; got "):
        batch_norm_inference(x, gamma, beta, gamma, beta**2, eps=eps)


def test_a_constant_feature_needs_eps():
    x, gamma, beta, _ = case(TABLE)
    x[:, 1] = 4
    assert_same(batch_norm_forward(x, gamma, beta)[0][:, 1], np.full(7, beta[1]))
    with pytest.raises(
        ValueError, match=r"^eps must be above 0 where .* constant; got 0 and no variance in feature 1\."
    ):
        batch_norm_forward(x, gamma, beta, eps=0)
    with pytest.raises(ValueError, match=r"^eps must be above 0 where .* no variance in feature 2\."):
        batch_norm_inference(x, gamma, beta, np.ones(3), [1, 1, 0], eps=0)


def test_a_negative_variance_is_refused():
    x, gamma, beta, _ = case(TABLE)
    with pytest.raises(ValueError, match=r"^var must not be negative; got -0\.5\."):
        batch_norm_inference(x, gamma, beta, np.ones(3), [1, -0.5, 2])


@pytest.mark.parametrize("momentum", [-0.1, 1.1, np.nan, None])
def test_an_impossible_momentum_is_refused(momentum):
    with pytest.raises(ValueError, match=r"^momentum must be a number from 0 to 1; got "):
        RunningStatistics.start(3).update(case(TABLE)[0], momentum)


@pytest.mark.parametrize(("batches", "got"), [([], r"0 batches with \[\]"), ([TWO, TWO.T], r"2 batches with \[2, 3\]")])
def test_no_batches_and_unlike_ones_are_refused(batches, got):
    with pytest.raises(ValueError, match=rf"^batches must hold at least one batch, .*; got {got} features\. Pass"):
        population_statistics(iter(batches))


# ---------------------------------------------------------------- the module


def test_public_names_are_sorted_and_documented():
    assert batchnorm.__all__ == sorted(batchnorm.__all__)
    for name in batchnorm.__all__:
        assert "Examples\n" in getattr(batchnorm, name).__doc__, name


def test_it_needs_numpy_alone():
    code = "import runpy, sys; runpy.run_path(sys.argv[1]); print(*{name.partition('.')[0] for name in sys.modules})"
    run = [sys.executable, "-c", code, str(Path(batchnorm.__file__))]
    loaded = subprocess.run(run, capture_output=True, text=True, check=True).stdout.split()
    assert "numpy" in loaded
    assert not {"torch", "scipy", "sklearn", "pandas"} & set(loaded)
