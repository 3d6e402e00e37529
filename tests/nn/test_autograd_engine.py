import copy
import warnings
from dataclasses import replace

import pytest
import torch
from lessons import (
    assert_same_state,
    averaged,
    gather_by_hand,
    generator_like,
    make_lesson,
    make_pupil,
    make_table,
    plain_batches,
    plain_loss,
    plain_optimizer,
    seeded,
    train_by_hand,
)
from torch import nn

from stackkit.nn import _autograd_engine as _solo
from stackkit.nn._autograd_engine import Solo, _as_matrices
from stackkit.nn._config import Recipe
from stackkit.nn._loop import train
from stackkit.nn._modules import BNCNN, ConvBlock
from stackkit.nn._network_state import TrainingTable, load_state

each_task = pytest.mark.parametrize("classifier", [True, False], ids=["classes", "values"])


def recipe(**settings):
    return Recipe(
        **({"classifier": True, "max_epochs": 3, "batch_size": 8, "lr": 0.02, "population": False} | settings)
    )


class Residual(nn.Module):
    """A network of one's own: with a shortcut, and a scale that belongs to no layer."""

    def __init__(self, d=4, c=3):
        super().__init__()
        self.first = nn.Linear(d, 6, bias=False)
        self.norm = nn.BatchNorm1d(6)
        self.second = nn.Linear(6, 6)
        self.scale = nn.Parameter(torch.ones(()))
        self.last = nn.Linear(6, c)

    def forward(self, x):
        h = self.norm(self.first(x)).relu()
        return self.last(h + self.scale * self.second(h).tanh())


def dense(d=4, c=3, dropout=0.0):
    layers = [nn.Linear(d, 6, bias=False), nn.BatchNorm1d(6), nn.ReLU(), nn.Dropout(dropout)]
    return nn.Sequential(*layers, nn.Linear(6, 5, bias=False), nn.BatchNorm1d(5), nn.ReLU(), nn.Linear(5, c))


def without_bn(d=4, c=3):
    return nn.Sequential(nn.Linear(d, 6), nn.Tanh(), nn.Linear(6, c))


def convolutional(channels=3, c=3):
    blocks = (ConvBlock(4, pool="max"), ConvBlock(5, stride=2))
    return BNCNN((channels, 6, 6), c, blocks, (7,))


def images_of(table, channels=3):
    draws = torch.Generator().manual_seed(5)
    inputs = torch.randn(len(table.targets), channels, 6, 6, generator=draws, dtype=table.targets.dtype)
    return TrainingTable(inputs + table.targets.argmax(1).view(-1, 1, 1, 1), table.targets)


MODULES = {"residual": Residual, "dense": dense, "without bn": without_bn, "convolutional": convolutional}
each_module = pytest.mark.parametrize("make", MODULES.values(), ids=list(MODULES))


def pupil_of(make, *, classifier=True, seed=0, dtype=torch.float64, **fields):
    table = make_table(classifier=classifier, dtype=dtype)
    if make is convolutional:
        table = images_of(table)
    rows = torch.randperm(60, generator=torch.Generator().manual_seed(seed))[:45]
    return make_pupil(seeded(make, seed, dtype), table, rows, seed, **fields)


def trained(network_state, recipe):
    """Solo trains the network_state's network itself."""
    solo = Solo([network_state], recipe)
    losses = [solo.epoch(epoch)[0] for epoch in range(recipe.max_epochs)]
    if recipe.population:
        solo.population_statistics()
    return solo, losses


# --- as a plain loop ----------------------------------------------------------------------------------------


@each_module
@each_task
@pytest.mark.parametrize("weight_decay", [0.0, 0.1])
@pytest.mark.parametrize("optimizer", ["adam", "sgd", torch.optim.RMSprop, torch.optim.Adagrad])
def test_any_module_learns_as_in_a_plain_torch_loop(make, classifier, optimizer, weight_decay):
    network_state = pupil_of(make, classifier=classifier)
    how = recipe(
        classifier=classifier, optimizer=optimizer, weight_decay=weight_decay, schedule="cosine", population=True
    )
    twin = copy.deepcopy(network_state.network)
    epochs = train_by_hand(twin, network_state, how)
    start = [parameter.clone() for parameter in network_state.network.parameters()]
    _, losses = trained(network_state, how)
    assert_same_state(network_state.network, twin)
    assert losses == pytest.approx([epoch["train"] for epoch in epochs], rel=1e-5)
    assert any((a - b).abs().max() > 0.01 for a, b in zip(start, network_state.network.parameters(), strict=True))
    inputs = network_state.table.inputs
    torch.testing.assert_close(network_state.network.eval()(inputs), twin.eval()(inputs), rtol=1e-9, atol=1e-9)


def test_weights_and_the_targets_scale_are_as_in_a_plain_torch_loop():
    draws = torch.Generator().manual_seed(1)
    weight = torch.rand(60, generator=draws, dtype=torch.float64) * 2
    mean, scale = torch.tensor([1.0, -2.0, 30.0]).double(), torch.tensor([0.5, 3.0, 10.0]).double()
    network_state = pupil_of(
        Residual, classifier=False, weight=weight, mean=mean, scale=scale, valid=torch.arange(60)[:9]
    )
    how, twin = recipe(classifier=False), copy.deepcopy(network_state.network)
    epochs = train_by_hand(twin, network_state, how)
    solo, _ = trained(network_state, how)
    assert_same_state(network_state.network, twin)
    assert solo.validation_losses() == pytest.approx([epochs[-1]["valid"]], abs=1e-9)


@pytest.mark.parametrize("make", [Residual, convolutional])
def test_long_gradients_are_shortened_as_in_a_plain_torch_loop(make):
    network_state, free = pupil_of(make), pupil_of(make)
    how, twin = recipe(optimizer="sgd", clip_norm=0.1), copy.deepcopy(network_state.network)
    train_by_hand(twin, network_state, how)
    trained(network_state, how)
    assert_same_state(network_state.network, twin)
    trained(free, replace(how, clip_norm=None))
    pairs = zip(network_state.network.parameters(), free.network.parameters(), strict=True)
    assert any((a - b).abs().max() > 0.01 for a, b in pairs)


def test_the_loss_of_a_float64_network_is_as_exact_as_the_network():
    network_state = pupil_of(dense)
    epochs = train_by_hand(copy.deepcopy(network_state.network), network_state, recipe())
    _, losses = trained(network_state, recipe())
    assert losses == pytest.approx([epoch["train"] for epoch in epochs], rel=1e-12)


def test_the_network_gets_inputs_on_the_scale_that_it_expects():
    network_state = pupil_of(dense, scaled=lambda x: (x - 1) / 4)
    other = pupil_of(dense)
    other.table = TrainingTable((other.table.inputs - 1) / 4, other.table.targets)
    for each in (network_state, other):
        trained(each, recipe(population=True))
    assert_same_state(network_state.network, other.network)


def test_features_that_it_does_not_see_are_zero_to_the_network():
    unseen = torch.tensor([False, True, False, True])
    network_state = pupil_of(dense, unseen=unseen, scaled=lambda x: x + 1, valid=torch.arange(9))
    other = pupil_of(dense, valid=torch.arange(9))
    other.table = TrainingTable((other.table.inputs + 1).masked_fill(unseen, 0.0), other.table.targets)
    losses = [trained(each, recipe(population=True))[0].validation_losses() for each in (network_state, other)]
    assert_same_state(network_state.network, other.network)
    assert losses[0] == losses[1]


def test_the_network_gets_those_of_the_tables_columns_that_are_its_own():
    network_state = pupil_of(dense, n_features=4)
    other = pupil_of(dense)
    network_state.table = TrainingTable(
        torch.cat([network_state.table.inputs, torch.ones(60, 2)], 1), network_state.table.targets
    )
    for each in (network_state, other):
        trained(each, recipe(population=True))
    assert_same_state(network_state.network, other.network, 0)


def test_validation_in_parts_is_the_mean_over_all_rows(monkeypatch):
    monkeypatch.setattr(_solo, "EVALUATION_ROWS", 7)
    draws = torch.Generator().manual_seed(1)
    weight = torch.rand(60, generator=draws, dtype=torch.float64)
    network_state = pupil_of(lambda: dense(dropout=0.5), valid=torch.arange(60)[20:40], weight=weight)
    solo, _ = trained(network_state, recipe())
    with torch.no_grad():
        expected = plain_loss(network_state.network.eval(), network_state, network_state.valid, classifier=True)
    assert solo.validation_losses() == pytest.approx([expected.item()], abs=1e-9)


def test_what_the_optimizer_remembers_is_taken_along():
    network_state = pupil_of(dense)
    how = recipe(optimizer="adam")
    twin = copy.deepcopy(network_state.network)
    train_by_hand(twin, network_state, replace(how, max_epochs=4))
    first = Solo([network_state], how)
    for epoch in range(2):
        first.epoch(epoch)
    network_state.moments = first.moments(0)
    second = Solo([network_state], how)
    for epoch in range(2, 4):
        second.epoch(epoch)
    assert_same_state(network_state.network, twin)


def test_distortions_draw_from_the_networks_own_noise_and_only_training_is_distorted():
    calls = []

    def double(x, generator):
        calls.append(generator)
        return 2 * x

    network_state = pupil_of(dense, valid=torch.arange(60)[:9])
    other = pupil_of(dense, valid=torch.arange(60)[:9])
    solo = Solo([network_state], recipe(augment=double))
    solo.epoch(0)
    assert calls == [network_state.noise] * 6
    table, other.table = other.table, TrainingTable(2 * other.table.inputs, other.table.targets)
    undistorted = Solo([other], recipe())
    undistorted.epoch(0)
    assert_same_state(network_state.network, other.network)
    undistorted._table = table
    assert solo.validation_losses() == undistorted.validation_losses()
    solo.population_statistics()
    undistorted.population_statistics()
    assert_same_state(network_state.network, other.network)
    assert len(calls) == 6


def test_a_network_with_dropout_learns_the_same_alone_as_beside_others():
    def members(seeds):
        table, how = make_table(), recipe(optimizer=torch.optim.RMSprop)
        lessons = [make_lesson(table, range(45), make=lambda: dense(dropout=0.5), seeds=(seed,)) for seed in seeds]
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(0)
            train(lessons, how)
        return [lesson.net.module_.members[0] for lesson in lessons]

    assert_same_state(members([1, 2])[1], members([2])[0], 1e-12)


# --- Muon ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("memory_format", [torch.contiguous_format, torch.channels_last], ids=["rows", "channels last"])
def test_muons_matrices_are_the_inner_weights_a_filter_a_row_in_their_own_memory(memory_format):
    network = convolutional().double().to(memory_format=memory_format)
    matrices = _as_matrices(network)
    convolutions = [m for m in network.modules() if isinstance(m, nn.Conv2d)]
    inner = [layer.weight for layer in convolutions] + [network.head.linears[0].weight]  # not the output layer
    assert [id(weight) for weight in matrices.values()] == [id(weight) for weight in inner]
    for matrix, weight in matrices.items():
        assert matrix.shape == (len(weight), weight[0].numel())
        before = weight.detach().clone()
        with torch.no_grad():
            matrix[2] += 1
        changed = (weight != before).flatten(1)
        assert changed[2].all()
        assert changed.sum() == changed[2].sum()
        with torch.no_grad():
            matrix[2] -= 1


def test_dense_layers_move_as_torchs_own_muon_moves_them():
    network_state = pupil_of(dense)
    how = recipe(optimizer="muon", weight_decay=0.1, population=True)
    twin = copy.deepcopy(network_state.network)
    first, second, _ = matrices = [p for p in twin.parameters() if p.ndim == 2]
    muon = torch.optim.Muon([first, second], lr=0.0, weight_decay=0.1, adjust_lr_fn="match_rms_adamw")
    others = [p for p in twin.parameters() if p is not first and p is not second]
    train_by_hand(twin, network_state, how, optimizers=[plain_optimizer(others, "adam", 0.1), muon])
    assert len(matrices) == 3
    trained(network_state, how)
    assert_same_state(network_state.network, twin)


@pytest.mark.parametrize("channels", [1, 3])
def test_filters_that_lie_channels_last_move_as_contiguous_ones(channels):
    # Muon rounds to bfloat16 inside, and the columns lie in another order: equal but for that.
    table = images_of(make_table(), channels)
    make = lambda: convolutional(channels)  # noqa: E731
    network_state = make_pupil(seeded(make), table)
    twin, start = copy.deepcopy(network_state.network), copy.deepcopy(network_state.network)
    matrices = {p.detach().view(len(p), -1): p for p in list(twin.parameters()) if p.ndim > 1 and p.shape[0] != 3}
    muon = torch.optim.Muon(list(matrices), lr=0.0, weight_decay=0.0, adjust_lr_fn="match_rms_adamw")
    inner = {id(p) for p in matrices.values()}
    others = plain_optimizer([p for p in twin.parameters() if id(p) not in inner], "adam", 0.0)

    class Both:
        def __init__(self):
            self.param_groups = [*others.param_groups, *muon.param_groups]

        def step(self):
            for matrix, parameter in matrices.items():
                matrix.grad = parameter.grad.reshape(len(parameter), -1)
            others.step()
            muon.step()

    how = recipe(optimizer="muon", max_epochs=1)
    train_by_hand(twin, network_state, how, optimizers=[Both()])
    trained(network_state, how)
    for a, b, c in zip(network_state.network.parameters(), twin.parameters(), start.parameters(), strict=True):
        assert (b - c).norm() > 1e-3
        assert (a - b).norm() < 0.05 * (b - c).norm()


def test_images_and_their_weights_lie_channels_last():
    network_state = pupil_of(convolutional)
    Solo([network_state], recipe(optimizer="muon"))
    weights = [p for p in network_state.network.parameters() if p.ndim == 4]
    assert all(weight.is_contiguous(memory_format=torch.channels_last) for weight in weights)


@pytest.mark.parametrize("optimizer", ["adam", "muon"])
@pytest.mark.parametrize("make", [dense, convolutional], ids=["dense", "convolutional"])
def test_gradients_do_not_add_up_from_step_to_step(make, optimizer):
    network_state = pupil_of(make)
    solo = Solo([network_state], recipe(optimizer=optimizer, batch_size=45, lr=0.0))  # one step an epoch, and no move
    twin = copy.deepcopy(network_state.network)
    plain_loss(twin.train(), network_state, network_state.train, classifier=True).backward()
    for epoch in range(3):
        solo.epoch(epoch)
        for parameter, plain in zip(network_state.network.parameters(), twin.parameters(), strict=True):
            torch.testing.assert_close(parameter.grad, plain.grad, rtol=1e-9, atol=1e-9)
        for matrix, parameter in solo._parameters.items():
            assert matrix.grad.norm() == pytest.approx(parameter.grad.norm().item(), rel=1e-9)
    assert len(solo._parameters) == (0 if optimizer == "adam" else {dense: 2, convolutional: 3}[make])


def test_a_network_of_one_layer_can_be_trained_with_muon_too():
    network_state = pupil_of(lambda: nn.Linear(4, 3))
    twin = copy.deepcopy(network_state.network)
    train_by_hand(twin, network_state, recipe())
    trained(network_state, recipe(optimizer="muon"))
    assert_same_state(network_state.network, twin)


def test_what_muon_remembers_is_taken_along():
    network_state, whole = pupil_of(dense), pupil_of(dense)
    how = recipe(optimizer="muon")
    uninterrupted, first = Solo([whole], how), Solo([network_state], how)
    for epoch in range(2):
        uninterrupted.epoch(epoch)
        first.epoch(epoch)
    network_state.moments = first.moments(0)
    assert set(network_state.moments) == set(network_state.network.parameters())
    second = Solo([network_state], how)
    for epoch in range(2, 4):
        uninterrupted.epoch(epoch)
        second.epoch(epoch)
    assert_same_state(network_state.network, whole.network)


# --- averaged weights ---------------------------------------------------------------------------------------


# Of Muon no convolutions: it rounds, and filters that lie channels last come in another order.
@pytest.mark.parametrize(
    ("make", "optimizer"),
    [(dense, "adam"), (dense, "muon"), (without_bn, "sgd"), (convolutional, "adam"), (convolutional, "sgd")],
)
def test_it_ends_with_the_average_of_the_weights_after_each_step_of_a_plain_loop(make, optimizer):
    network_state = pupil_of(make)
    how, twin, steps = recipe(optimizer=optimizer, ema_decay=0.8), copy.deepcopy(network_state.network), []
    train_by_hand(twin, network_state, how, steps=steps)
    solo, _ = trained(network_state, how)
    assert_same_state(network_state.network, twin)  # training itself is as without
    twin.load_state_dict(averaged(steps, 0.8))
    load_state(network_state.network, solo.state(0))
    assert_same_state(network_state.network, twin)


def test_each_cycle_of_the_learning_rate_has_an_average_of_its_own():
    network_state = pupil_of(dense)
    how, twin, steps = recipe(max_epochs=4, cycles=2, ema_decay=0.9), copy.deepcopy(network_state.network), []
    train_by_hand(twin, network_state, how, steps=steps)
    solo = Solo([network_state], how)
    for epoch in range(4):
        solo.epoch(epoch)
        since = 6 * (0 if epoch < 2 else 2)
        twin.load_state_dict(averaged(steps[since : 6 * (epoch + 1)], 0.9))
        load_state(other := copy.deepcopy(twin), solo.state(0))
        assert_same_state(other, twin)
    assert len(steps) == 24


def test_the_averaged_network_is_validated_and_training_goes_on_from_its_own_weights():
    network_state, plain = (pupil_of(dense, valid=torch.arange(60)[20:40]) for _ in range(2))
    how = recipe(ema_decay=0.9)
    solo, _ = trained(network_state, how)
    before = copy.deepcopy(network_state.network)
    load_state(averaged_twin := copy.deepcopy(before), solo.state(0))
    with torch.no_grad():
        expected = plain_loss(averaged_twin.eval(), network_state, network_state.valid, classifier=True)
        own = plain_loss(before.eval(), network_state, network_state.valid, classifier=True)
    assert solo.validation_losses() == pytest.approx([expected.item()], abs=1e-9)
    assert abs(expected - own) > 1e-3
    assert_same_state(network_state.network, before, 0)
    trained(plain, replace(how, ema_decay=None))
    assert_same_state(network_state.network, plain.network, 0)


def test_final_statistics_are_those_of_the_averaged_weights():
    how = recipe(ema_decay=0.8, population=True, optimizer=torch.optim.RMSprop)
    lesson = make_lesson(make_table(), range(45), make=dense)
    network_state = lesson.network_states[0]
    twin, steps = copy.deepcopy(network_state.network), []
    order = generator_like(network_state.order)
    train_by_hand(twin, network_state, replace(how, population=False), steps=steps, generator=order)
    twin.load_state_dict(averaged(steps, 0.8))
    gather_by_hand(twin, plain_batches(network_state.train, order, 8), network_state.table.inputs)
    train([lesson], how)
    assert_same_state(lesson.net.module_.members[0], twin)


# --- bfloat16 -----------------------------------------------------------------------------------------------


class Spying(nn.Module):
    """Remembers in what precision it multiplied."""

    def __init__(self):
        super().__init__()
        self.inner = dense()
        self.seen = []

    def forward(self, x):
        self.seen.append((self.training, self.inner[0](x).dtype))
        return self.inner(x)


def test_bfloat16_is_used_where_outputs_stay_about_the_same():
    network_state = pupil_of(Spying, dtype=torch.float32, valid=torch.arange(60)[:9])
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        solo, losses = trained(network_state, recipe(bfloat16=True))
    assert {dtype for training, dtype in network_state.network.seen if training} == {torch.bfloat16}
    exact = pupil_of(Spying, dtype=torch.float32)
    _, expected = trained(exact, recipe())
    assert {dtype for _, dtype in exact.network.seen} == {torch.float32}
    assert losses == pytest.approx(expected, rel=0.05)
    assert losses != expected
    assert {p.dtype for p in network_state.network.parameters()} == {torch.float32}
    assert solo.validation_losses()[0] > 0


def test_where_bfloat16_changes_outputs_too_much_training_is_in_float32_and_says_so(monkeypatch):
    monkeypatch.setattr(_solo, "BFLOAT16_ERROR", 0)
    network_state, exact = (pupil_of(Spying, dtype=torch.float32) for _ in range(2))
    with pytest.warns(RuntimeWarning, match=r"bfloat16 changes the first batch's outputs by \d+%; training in float32"):
        trained(network_state, recipe(bfloat16=True))
    assert {dtype for training, dtype in network_state.network.seen if training} == {torch.float32}
    trained(exact, recipe())
    assert_same_state(network_state.network, exact.network, 0)


def test_a_network_that_overflows_in_bfloat16_is_trained_in_float32():
    class Huge(nn.Linear):
        def forward(self, x):
            y = super().forward(x)
            return y / (0.0 if y.dtype == torch.bfloat16 else 1.0)

    network_state = pupil_of(lambda: Huge(4, 3), dtype=torch.float32)
    with pytest.warns(RuntimeWarning, match="training in float32"):
        _, losses = trained(network_state, recipe(bfloat16=True))
    assert all(loss < 10 for loss in losses)


def test_final_statistics_are_taken_in_the_precision_of_training(monkeypatch):
    monkeypatch.setattr(_solo, "BFLOAT16_ERROR", 0)

    def member(*, bfloat16):
        lesson = make_lesson(make_table(dtype=torch.float32), range(45), make=dense)
        train([lesson], recipe(bfloat16=bfloat16, population=True, optimizer=torch.optim.RMSprop))
        return lesson.net.module_.members[0]

    with pytest.warns(RuntimeWarning, match="training in float32"):
        found = member(bfloat16=True)
    assert_same_state(found, member(bfloat16=False), 0)


# --- outputs ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("make", "got"),
    [
        (lambda: nn.Linear(4, 2), r"Linear gave the shape \(7, 2\)"),
        (lambda: nn.Sequential(nn.Linear(4, 3), nn.Flatten(0)), r"Sequential gave the shape \(21,\)"),
        (lambda: nn.Unflatten(1, (4, 1)), r"Unflatten gave the shape \(7, 4, 1\)"),
    ],
    ids=["too few", "one dimension", "three dimensions"],
)
def test_outputs_of_another_shape_are_refused_before_anything_is_learned(make, got):
    network_state = make_pupil(with_parameter(make()), make_table(), range(7))
    with pytest.raises(ValueError, match=rf"must give 3 outputs per row, shape \(7, 3\); {got}"):
        Solo([network_state], recipe()).epoch(0)


def with_parameter(module):
    module.register_parameter("unused", nn.Parameter(torch.zeros(1)))
    return module.double()


# --- final statistics ---------------------------------------------------------------------------------------


@pytest.mark.parametrize("make", [lambda: dense(dropout=0.6), convolutional], ids=["dropout", "convolutional"])
def test_final_statistics_are_plain_means_over_all_batches_with_dropout_off(make):
    network_state = pupil_of(make)
    twin = copy.deepcopy(network_state.network)
    gather_by_hand(
        twin, plain_batches(network_state.train, generator_like(network_state.order), 8), network_state.table.inputs
    )
    before, momenta = torch.get_rng_state(), [m.momentum for m in norms_of(network_state.network)]
    Solo([network_state], recipe()).population_statistics()
    assert_same_state(network_state.network, twin)
    assert [m.momentum for m in norms_of(network_state.network)] == momenta
    assert torch.equal(torch.get_rng_state(), before)
    assert any((norm.running_mean.abs() > 0.1).any() for norm in norms_of(network_state.network))


def norms_of(network):
    return [m for m in network.modules() if isinstance(m, nn.BatchNorm1d | nn.BatchNorm2d)]


def test_without_bn_final_statistics_change_and_draw_nothing():
    network_state = pupil_of(without_bn)
    twin, order = copy.deepcopy(network_state.network), network_state.order.get_state()
    Solo([network_state], recipe()).population_statistics()
    assert_same_state(network_state.network, twin, 0)
    assert torch.equal(network_state.order.get_state(), order)


def test_bn_that_keeps_no_statistics_is_left_alone():
    network_state = pupil_of(lambda: nn.Sequential(nn.Linear(4, 3), nn.BatchNorm1d(3, track_running_stats=False)))
    Solo([network_state], recipe()).population_statistics()
    trained(network_state, recipe(population=True))
    assert network_state.network[1].running_mean is None


# --- as the engine of one network ---------------------------------------------------------------------------


def test_a_state_is_a_copy_that_training_on_leaves_alone():
    network_state = pupil_of(dense)
    solo, _ = trained(network_state, recipe())
    state, twin = solo.state(0), copy.deepcopy(network_state.network)
    solo.keep([0])
    solo.epoch(2)
    assert not torch.equal(network_state.network[0].weight, twin[0].weight)
    load_state(network_state.network, state)
    assert_same_state(network_state.network, twin, 0)
