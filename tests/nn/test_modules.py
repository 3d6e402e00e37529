import copy
from functools import partial

import numpy as np
import pytest
import torch
from lessons import make_mlp, seeded
from torch import nn
from torch.nn import functional

from stackkit.nn import BNCNN, BNMLP, ConvBlock
from stackkit.nn._kinds import PRESETS
from stackkit.nn._modules import Average
from stackkit.nn.batchnorm import (
    batch_norm_forward,
    batch_norm_inference,
    conv_batch_norm_forward,
    conv_batch_norm_inference,
)

NUMPY = {
    "relu": lambda z: np.maximum(z, 0),
    "tanh": np.tanh,
    "sigmoid": lambda z: 1 / (1 + np.exp(-z)),
    "selu": lambda z: 1.0507009873554805 * np.where(z > 0, z, 1.6732632423543772 * np.expm1(z)),
    "silu": lambda z: z / (1 + np.exp(-z)),
    "mish": lambda z: z * np.tanh(np.log1p(np.exp(z))),
}
BLOCKS = (ConvBlock(5, pool="max"), ConvBlock(6, stride=2, pool="avg"), ConvBlock(4, kernel_size=5))
TINY = [(1, 1, 7), (1, 7, 1), (1, 1, 1), (1, 2, 2), (3, 1, 1), (3, 5, 4)]

each_activation = pytest.mark.parametrize("activation", list(NUMPY))
each_depth = pytest.mark.parametrize("hidden", [(), (5,), (5, 3, 7)], ids=["0 layers", "1 layer", "3 layers"])
with_and_without = pytest.mark.parametrize("batch_norm", [True, False])
in_both_modes = pytest.mark.parametrize("training", [True, False], ids=["training", "inference"])


def rows(*shape, seed=0):
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64) * 2 + 1


def make_cnn(image_shape=(3, 6, 6), blocks=BLOCKS, hidden=(4,), **options):
    """Scales, shifts and running statistics away from one and zero."""
    network = seeded(lambda: BNCNN(image_shape, 2, blocks, hidden, **options))
    return unlike_the_start(network)


@torch.no_grad()
def unlike_the_start(network):
    draws = torch.Generator().manual_seed(1)
    for norm in norms_of(network):
        for tensor in (norm.weight, norm.bias, norm.running_mean, norm.running_var):
            tensor.copy_(0.5 + torch.rand(len(tensor), generator=draws))
    return network


def norms_of(network):
    return [m for m in network.modules() if isinstance(m, nn.BatchNorm1d | nn.BatchNorm2d)]


def layers_of(network):
    return [m for m in network.modules() if isinstance(m, nn.Linear | nn.Conv2d)]


def array(tensor):
    return tensor.detach().numpy()


# --- architecture -------------------------------------------------------------------------------------------


@with_and_without
@each_depth
@pytest.mark.parametrize("input_batch_norm", [True, False])
def test_an_mlp_of_any_depth_gives_a_row_of_outputs_for_a_row(hidden, batch_norm, input_batch_norm):
    network = BNMLP(4, 3, hidden, batch_norm=batch_norm, input_batch_norm=input_batch_norm)
    assert network(torch.randn(7, 4)).shape == (7, 3)
    assert [layer.out_features for layer in layers_of(network)] == [*hidden, 3]
    assert [norm.num_features for norm in norms_of(network)] == [4] * input_batch_norm + list(hidden) * batch_norm


@with_and_without
@pytest.mark.parametrize("hidden", [(), (4,)])
@pytest.mark.parametrize("blocks", [(), BLOCKS, PRESETS["fast"]["blocks"]], ids=["none", "pools", "fast"])
@pytest.mark.parametrize("image_shape", TINY, ids=str)
def test_a_cnn_takes_images_of_any_size_and_number_of_channels(image_shape, blocks, hidden, batch_norm):
    network = BNCNN(image_shape, 2, blocks, hidden, batch_norm=batch_norm)
    output = network.eval()(torch.randn(7, *image_shape))
    assert output.shape == (7, 2)
    assert len(norms_of(network)) == batch_norm * (len(blocks) + len(hidden))
    network.train()(torch.randn(7, *image_shape)).sum().backward()
    assert all(p.grad.isfinite().all() for p in network.parameters())


@pytest.mark.parametrize("make", [partial(make_mlp, hidden=(5, 3)), partial(make_cnn)], ids=["mlp", "cnn"])
def test_no_layer_in_front_of_bn_has_a_bias_and_every_other_one_has(make):
    *hidden, last = layers_of(make())
    assert [layer.bias for layer in hidden] == [None] * len(hidden)
    assert last.bias is not None
    assert all(layer.bias is not None for layer in layers_of(make(batch_norm=False)))


def test_bn_of_the_input_leaves_the_first_layer_its_bias_without_other_bn():
    network = BNMLP(4, 3, (5,), batch_norm=False, input_batch_norm=True)
    assert network.linears[0].bias is not None
    assert norms_of(network) == [network.input_norm]


@pytest.mark.parametrize("kernel_size", [1, 3, 5])
def test_a_convolution_keeps_the_images_size_if_padding_is_left_to_it(kernel_size):
    network = BNCNN((1, 6, 9), 2, [ConvBlock(3, kernel_size=kernel_size)])
    assert network.head.output.in_features == 3 * 6 * 9
    bare = BNCNN((1, 6, 9), 2, [ConvBlock(3, kernel_size=kernel_size, padding=0)])
    assert bare.head.output.in_features == 3 * (7 - kernel_size) * (10 - kernel_size)


def test_pools_halve_and_take_the_odd_edge_along():
    for pool in ("max", "avg"):
        network = BNCNN((1, 5, 6), 2, [ConvBlock(3, pool=pool)])
        assert network.head.output.in_features == 3 * 3 * 3


def test_an_average_at_the_odd_edge_is_over_what_is_there():
    pool = BNCNN((1, 3, 3), 2, [ConvBlock(1, pool="avg")]).features[3]
    assert isinstance(pool, nn.AvgPool2d)
    found = pool(torch.arange(9.0).view(1, 1, 3, 3))
    assert found.tolist() == [[[[2.0, 3.5], [6.5, 8.0]]]]


def test_building_a_cnn_leaves_its_statistics_at_the_start_and_it_in_training():
    network = BNCNN((1, 6, 6), 2, BLOCKS)
    assert all(m.training for m in network.modules())
    for norm in norms_of(network):
        assert norm.num_batches_tracked == 0
        assert norm.running_mean.eq(0).all()


def test_the_reference_preset_is_the_network_of_the_reports():
    preset = PRESETS["reference"]
    network = BNCNN((1, 28, 28), 10, preset["blocks"], preset["hidden_layer_sizes"])
    kinds = [type(layer) for layer in network.features]
    convolution = [nn.Conv2d, nn.BatchNorm2d, nn.ReLU]
    assert kinds == [*convolution, *convolution, nn.MaxPool2d, nn.Flatten]
    assert [type(layer) for layer in network.head.norms] == [nn.BatchNorm1d]
    assert [(layer.kernel_size, layer.out_channels) for layer in network.features[0:6:3]] == [((3, 3), 32)] * 2
    assert [layer.out_features for layer in layers_of(network.head)] == [128, 10]
    first, second = 3 * 3 * 1 * 32 + 2 * 32, 3 * 3 * 32 * 32 + 2 * 32  # filters, gamma and beta
    side = (28 - 2 - 2) // 2
    dense, output = side * side * 32 * 128 + 2 * 128, 128 * 10 + 10
    assert sum(p.numel() for p in network.parameters()) == first + second + dense + output
    settings = preset["training"]
    assert (settings["optimizer"], settings["batch_size"], settings["max_epochs"]) == ("adam", 32, 10)


# --- placement: activation(BN(W u)) -------------------------------------------------------------------------


def normalised(x, norm, *, training):
    """BN by the NumPy algorithm, for rows or for maps."""
    gamma, beta = array(norm.weight), array(norm.bias)
    if training:
        forward = conv_batch_norm_forward if x.ndim == 4 else batch_norm_forward
        return forward(x, gamma, beta, eps=norm.eps)[0]
    inference = conv_batch_norm_inference if x.ndim == 4 else batch_norm_inference
    return inference(x, gamma, beta, array(norm.running_mean), array(norm.running_var), eps=norm.eps)


def by_numpy(x, network, *, training):
    """A BNMLP, with nothing of torch in it."""
    if isinstance(network.input_norm, nn.BatchNorm1d):
        x = normalised(x, network.input_norm, training=training)
    for linear, norm in zip(network.linears, network.norms, strict=True):
        x = x @ array(linear.weight).T
        x = normalised(x, norm, training=training) if linear.bias is None else x + array(linear.bias)
        x = NUMPY[network.activation_name](x)
    return x @ array(network.output.weight).T + array(network.output.bias)


@in_both_modes
@each_activation
@with_and_without
@each_depth
@pytest.mark.parametrize("input_batch_norm", [True, False])
def test_an_mlp_is_activation_of_bn_of_a_product_layer_by_layer(
    hidden, batch_norm, activation, training, input_batch_norm
):
    network = seeded(
        lambda: BNMLP(4, 3, hidden, activation=activation, batch_norm=batch_norm, input_batch_norm=input_batch_norm)
    )
    unlike_the_start(network).train(training)
    x = rows(9, 4)
    expected = by_numpy(array(x), network, training=training)
    np.testing.assert_allclose(array(network(x)), expected, rtol=1e-10, atol=1e-10)


def pooled(x, pool):
    n, channels, height, width = x.shape  # even
    squares = x.reshape(n, channels, height // 2, 2, width // 2, 2)
    return squares.max(axis=(3, 5)) if pool == "max" else squares.mean(axis=(3, 5))


@in_both_modes
@each_activation
@with_and_without
def test_a_cnn_is_pool_of_activation_of_bn_of_a_convolution_block_by_block(batch_norm, activation, training):
    blocks = [ConvBlock(5, pool="max"), ConvBlock(4, kernel_size=5, pool="avg"), ConvBlock(3, padding=0)]
    network = make_cnn((3, 12, 16), blocks, batch_norm=batch_norm, activation=activation).train(training)
    images = rows(6, 3, 12, 16)
    x, norms = array(images), iter(norms_of(network))
    for block, layer in zip(blocks, (m for m in network.features if isinstance(m, nn.Conv2d)), strict=True):
        padding = block.kernel_size // 2 if block.padding is None else block.padding
        x = array(functional.conv2d(torch.from_numpy(x), layer.weight, layer.bias, padding=padding))
        if batch_norm:
            x = normalised(x, next(norms), training=training)
        x = NUMPY[activation](x)
        if block.pool:
            x = pooled(x, block.pool)
    expected = by_numpy(x.reshape(len(x), -1), network.head, training=training)
    np.testing.assert_allclose(array(network(images)), expected, rtol=1e-10, atol=1e-10)


def test_dropout_acts_on_activations_in_the_dense_part_alone():
    seen = []

    class Spy(nn.Module):
        def forward(self, x):
            seen.append(x)
            return x

    mlp, cnn = make_mlp(hidden=(6, 5)), make_cnn(hidden=(4,))
    mlp.dropout = cnn.dropout = cnn.head.dropout = Spy()
    mlp(rows(9, 4))
    assert [x.shape[1] for x in seen] == [6, 5]  # not on the input, nor on the output
    cnn(rows(9, 3, 6, 6))
    assert [x.shape[1] for x in seen[2:]] == [cnn.head.linears[0].in_features, 4]
    assert all((x >= 0).all() and (x == 0).any() for x in seen)  # behind the ReLU
    assert BNMLP(4, 3, dropout=0.3).dropout.p == 0.3
    assert [m.p for m in BNCNN((1, 4, 4), 2, BLOCKS, dropout=0.3).modules() if isinstance(m, nn.Dropout)] == [0.3] * 2


# --- facts --------------------------------------------------------------------------------------------------


def outputs_of(norms, network, x):
    found = []
    hooks = [norm.register_forward_hook(lambda _module, _inputs, y: found.append(y)) for norm in norms]
    network(x)
    for hook in hooks:
        hook.remove()
    return found


@pytest.mark.parametrize(
    ("network", "shape"),
    [(lambda: BNMLP(4, 3, (6, 5), input_batch_norm=True), (9, 4)), (lambda: BNCNN((3, 6, 6), 2, BLOCKS), (9, 3, 6, 6))],
    ids=["mlp", "cnn"],
)
def test_normalised_activations_have_mean_0_and_variance_1_over_a_batch(network, shape):
    network = seeded(network)
    for norm in norms_of(network):
        norm.eps = 1e-12
    found = outputs_of(norms_of(network), network, rows(*shape))
    assert len(found) == 3
    for y in found:
        over = [axis for axis in range(y.ndim) if axis != 1]  # maps: positions too
        torch.testing.assert_close(y.mean(over), torch.zeros(y.shape[1]).double(), atol=1e-9, rtol=0)
        torch.testing.assert_close(y.var(over, correction=0), torch.ones(y.shape[1]).double(), atol=1e-6, rtol=0)


@pytest.mark.parametrize("scale", [0.01, 7.0])
@pytest.mark.parametrize(
    ("make", "shape"), [(partial(make_mlp), (9, 4)), (partial(make_cnn), (9, 3, 6, 6))], ids=["mlp", "cnn"]
)
def test_scaled_weights_in_front_of_bn_change_no_output_and_divide_their_gradient(make, shape, scale):
    network = make(activation="tanh")
    for norm in norms_of(network):
        norm.eps = 1e-25  # torch refuses 0
    scaled = copy.deepcopy(network)
    with torch.no_grad():
        for layer in layers_of(scaled)[:-1]:
            layer.weight.mul_(scale)
    x, outputs = rows(*shape), []
    for each in (network, scaled):
        outputs.append(each(x))
        outputs[-1].square().sum().backward()
    torch.testing.assert_close(outputs[1], outputs[0], rtol=1e-8, atol=1e-8)
    for a, b in zip(layers_of(network)[:-1], layers_of(scaled)[:-1], strict=True):
        assert a.weight.grad.abs().max() > 1e-3
        torch.testing.assert_close(b.weight.grad * scale, a.weight.grad, rtol=1e-6, atol=1e-8)


def test_gamma_and_beta_can_undo_bn():
    network, x = make_mlp(hidden=(), input_batch_norm=True), rows(9, 4)
    with torch.no_grad():
        network.input_norm.weight.copy_((x.var(0, correction=0) + network.input_norm.eps).sqrt())
        network.input_norm.bias.copy_(x.mean(0))
    torch.testing.assert_close(network.input_norm(x), x)
    torch.testing.assert_close(network(x), network.output(x))


@pytest.mark.parametrize(
    ("make", "shape"), [(partial(make_mlp), (9, 4)), (partial(make_cnn), (9, 3, 6, 6))], ids=["mlp", "cnn"]
)
def test_a_bias_in_front_of_bn_has_no_effect_and_no_gradient(make, shape):
    network, x = make(), rows(*shape)
    plain = network(x)
    biases = []
    for layer in layers_of(network)[:-1]:
        layer.bias = nn.Parameter(rows(len(layer.weight)))
        biases.append(layer.bias)
    biased = network(x)
    biased.square().sum().backward()
    torch.testing.assert_close(biased, plain)
    for bias in biases:
        torch.testing.assert_close(bias.grad, torch.zeros_like(bias), atol=1e-9, rtol=0)


def test_in_inference_rows_do_not_depend_on_each_other_in_training_they_do():
    for network, x in ((make_mlp(), rows(9, 4)), (make_cnn(), rows(9, 3, 6, 6))):
        network.eval()
        torch.testing.assert_close(network(x)[:2], network(x[:2]))
        network.train()
        assert not torch.allclose(network(x)[:2], network(x[:2]))


# --- members that answer as one -----------------------------------------------------------------------------


def test_a_classifiers_answer_is_the_logarithm_of_the_members_mean_probability():
    average = Average(lambda: BNMLP(4, 3, (5,)), [1, 2, 3], classifier=True, dtype=torch.float64).eval()
    x = rows(9, 4)
    expected = torch.stack([member(x).softmax(1) for member in average.members]).mean(0)
    torch.testing.assert_close(average(x).exp(), expected)
    torch.testing.assert_close(average(x).exp().sum(1), torch.ones(9).double())
    assert average(x).std(0).min() > 0.01


class Certain(nn.Module):
    """Logits of a thousand for one class, another for each seed."""

    def __init__(self):
        super().__init__()
        self.best = nn.Parameter(torch.randint(3, ()).float(), requires_grad=False)

    def forward(self, x):
        return 1000 * functional.one_hot(self.best.long(), 3).expand(len(x), 3).to(x.dtype)


def test_members_certain_of_unlike_classes_give_finite_logarithms():
    average = Average(Certain, range(6), classifier=True)
    counts = torch.bincount(torch.tensor([int(member.best) for member in average.members]), minlength=3)
    assert (counts > 0).sum() > 1
    logs = average(torch.zeros(2, 4))
    assert logs.isfinite().all()
    torch.testing.assert_close(logs.exp(), (counts / 6).expand(2, 3))


def test_a_regressors_answer_is_the_members_mean_on_the_users_scale():
    scales = ([10.0, -5.0], [3.0, 0.5])
    make = partial(BNMLP, 4, 2, (5,))
    average = Average(make, [1, 2], classifier=False, dtype=torch.float64, output_affine=scales).eval()
    bare = Average(make, [1, 2], classifier=False, dtype=torch.float64).eval()
    x = rows(9, 4)
    mean = (average.members[0](x) + average.members[1](x)) / 2
    torch.testing.assert_close(bare(x), mean)
    torch.testing.assert_close(average(x), mean * torch.tensor([3.0, 0.5]) + torch.tensor([10.0, -5.0]))


@pytest.mark.parametrize("shape", [(4,), (4, 6, 5)], ids=["columns", "channels"])
def test_members_get_inputs_less_a_mean_over_a_scale_of_each_column_or_channel(shape):
    mean, scale = np.array([1.0, -2.0, 0.5, 100.0]), np.array([2.0, 0.1, 1.0, 50.0])
    make = partial(BNMLP, 4, 2) if len(shape) == 1 else partial(BNCNN, shape, 2, BLOCKS)
    average = Average(
        make, [0], classifier=False, dtype=torch.float64, input_affine=(mean.tolist(), scale.tolist())
    ).eval()
    x = rows(7, *shape)
    per_channel = (1, 4) + (1,) * (len(shape) - 1)
    expected = (array(x) - mean.reshape(per_channel)) / scale.reshape(per_channel)
    np.testing.assert_allclose(array(average.scaled(x)), expected)
    torch.testing.assert_close(average(x), average.members[0](torch.from_numpy(expected)))


def test_bytes_become_floats_and_images_lie_channels_last():
    average = Average(lambda: BNCNN((3, 4, 4), 2, BLOCKS), [0], classifier=True)
    images = torch.randint(256, (7, 3, 4, 4), dtype=torch.uint8)
    scaled = average.scaled(images)
    assert scaled.dtype == torch.float32
    assert scaled.is_contiguous(memory_format=torch.channels_last)
    assert torch.equal(scaled, images.float())


def test_shifted_views_are_averaged_too():
    make = partial(BNCNN, (1, 4, 5), 3, BLOCKS)
    average = Average(make, [0, 1], classifier=True, dtype=torch.float64, test_shifts=True).eval()
    x = rows(7, 1, 4, 5)
    wide = np.pad(array(x), [(0, 0), (0, 0), (1, 1), (1, 1)], mode="edge")
    views = [wide[:, :, i : i + 4, j : j + 5] for i, j in [(1, 1), (0, 1), (2, 1), (1, 0), (1, 2)]]
    answers = [member(torch.from_numpy(view.copy())).softmax(1) for view in views for member in average.members]
    torch.testing.assert_close(average(x).exp(), torch.stack(answers).mean(0))


def test_each_members_weights_come_from_its_own_seed_and_torchs_generator_stays_as_it_is():
    torch.manual_seed(3)
    before = torch.get_rng_state()
    average = Average(lambda: BNMLP(4, 3, (5,)), [7, 8], classifier=True)
    assert torch.equal(torch.get_rng_state(), before)
    for seed, member in zip([7, 8], average.members, strict=True):
        torch.manual_seed(seed)
        expected = BNMLP(4, 3, (5,))
        assert all(torch.equal(a, b) for a, b in zip(member.parameters(), expected.parameters(), strict=True))
    first, second = average.members
    assert not torch.equal(first.output.weight, second.output.weight)
    torch.set_rng_state(before)


def test_making_it_leaves_torchs_generator_alone_even_if_a_member_cannot_be_made():
    before = torch.get_rng_state()
    with pytest.raises(RuntimeError, match="no such network"):
        Average(raises_after_drawing, [0], classifier=True)
    assert torch.equal(torch.get_rng_state(), before)


def raises_after_drawing():
    torch.rand(3)
    raise RuntimeError("no such network")


def test_scales_are_saved_and_restored_with_the_weights():
    make = partial(BNMLP, 4, 2)
    scaled = {"classifier": False, "input_affine": ([1.0] * 4, [2.0] * 4), "output_affine": ([3.0] * 2, [4.0] * 2)}
    first = Average(make, [0], **scaled).eval()
    other = scaled | {"input_affine": ([0.0] * 4, [1.0] * 4), "output_affine": ([0.0] * 2, [1.0] * 2)}
    second = Average(make, [1], **other).eval()
    x = torch.randn(5, 4)
    assert not torch.allclose(first(x), second(x))
    second.load_state_dict(first.state_dict())
    assert torch.equal(first(x), second(x))
