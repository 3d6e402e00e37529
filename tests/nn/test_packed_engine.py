import copy
from dataclasses import replace
from itertools import product
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from lessons import (
    as_plain,
    assert_same_state,
    gather_by_hand,
    generator_like,
    make_lesson,
    make_mlp,
    make_pupil,
    make_table,
    plain_batches,
    plain_loss,
    plain_optimizer,
    plain_optimizers,
    train_by_hand,
)
from torch import nn

from stackkit.nn import _network_state as _pupil
from stackkit.nn import _packed_engine as _packed
from stackkit.nn import _packed_layers
from stackkit.nn._autograd_engine import Solo
from stackkit.nn._config import Recipe
from stackkit.nn._encoding import Encoder, learn_encoding
from stackkit.nn._loop import train
from stackkit.nn._modules import BNMLP
from stackkit.nn._network_state import TrainingTable, load_state, state_of
from stackkit.nn._packed_engine import CACHE_BYTES, MOST_NETWORKS, PackedMLP, is_exact_here, pack_size
from stackkit.nn.batchnorm import population_statistics

RAGGED = (50, 47, 49, 45)  # rows; all make 6 batches of about 8
OPTIMIZERS = [("adam", 0.0), ("adam", 0.1), ("sgd", 0.0), ("sgd", 0.1), ("muon", 0.0), ("muon", 0.1)]

# From 8 rows and columns on, torch multiplies many bfloat16 matrices at once to the same bits as one by one, as Muon in
# torch does it; below, sums are in another order, and roundings may differ.
WIDE = {"hidden": (9, 8)}

each_optimizer = pytest.mark.parametrize(("optimizer", "weight_decay"), OPTIMIZERS)
each_task = pytest.mark.parametrize("classifier", [True, False], ids=["classes", "values"])


def recipe(**settings):
    return Recipe(**({"classifier": True, "max_epochs": 4, "batch_size": 8, "lr": 0.02} | settings))


def parts(lengths=RAGGED, n=60):
    """Rows of each network's part, in any order."""
    return [torch.randperm(n, generator=torch.Generator().manual_seed(i))[:length] for i, length in enumerate(lengths)]


def make_network_states(table, *, weighted=False, scaled=False, lengths=RAGGED, **options):
    """Networks and their parts of the table; the targets' scales and the rows' weights are each network's own."""
    d, c = table.inputs.shape[1], table.targets.shape[1]
    network_states = []
    for i, rows in enumerate(parts(lengths)):
        draws = torch.Generator().manual_seed(100 + i)
        fields = {}
        if weighted:
            fields["weight"] = torch.rand(len(table.inputs), generator=draws, dtype=torch.float64) * 2
        if scaled:
            fields["mean"] = table.targets[rows].mean(0)
            fields["scale"] = table.targets[rows].std(0)
        network_states.append(make_pupil(make_mlp(d, c, seed=i, **options), table, rows, seed=i, **fields))
    return network_states


def pack_of(network_states, recipe):
    """The network_states given stay as they are, to be trained by hand."""
    return PackedMLP([clone_of(network_state) for network_state in network_states], recipe)


def clone_of(network_state):
    own = {"network": copy.deepcopy(network_state.network), "moments": {}, "kept": [], "losses": {}}
    return replace(
        network_state, order=generator_like(network_state.order), noise=generator_like(network_state.noise), **own
    )


def trained(pack, i):
    """Network i, as it is now."""
    network = copy.deepcopy(pack.network_states[i].network)
    load_state(network, pack.state(i))
    return network


def assert_learned_the_same(found, expected, table, tolerance=1e-9):
    assert_same_state(found, expected, tolerance)
    torch.testing.assert_close(
        found.eval()(table.inputs), expected.eval()(table.inputs), rtol=tolerance, atol=tolerance
    )


def by_day(values, chosen):
    """Cases with each pair of values in one of them at least; the rest of the product runs at night."""
    return [
        pytest.param(*case, marks=[] if chosen(*map(list.index, values, case)) else [pytest.mark.nightly])
        for case in product(*values)
    ]


# --- gradients ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("activation", "hidden", "dropout", "weighted", "classifier"),
    by_day(
        [
            ["relu", "tanh", "sigmoid", "selu", "silu", "mish"],
            [(), (6,), (6, 5)],
            [0.0, 0.4],
            [False, True],
            [True, False],
        ],
        lambda act, layers, drop, weight, task: (act + layers + drop) % 2 == weight and (act + layers // 2) % 2 == task,
    ),
)
def test_gradients_by_hand_are_autograds(activation, hidden, dropout, weighted, classifier):
    for batch_norm, input_batch_norm in product([True, False], repeat=2):
        table = make_table(classifier=classifier)
        options = {"hidden": hidden, "activation": activation, "dropout": dropout}
        network_states = make_network_states(
            table,
            weighted=weighted,
            scaled=not classifier,
            batch_norm=batch_norm,
            input_batch_norm=input_batch_norm,
            front_scale=input_batch_norm,
            **options,
        )
        pack = pack_of(network_states, recipe(classifier=classifier))
        rows = torch.stack([network_state.train[:11] for network_state in network_states[1:3]])  # two of the four
        with torch.inference_mode():
            (batch,) = pack._several(pack._view(1, 3), rows.unsqueeze(0))
            losses = pack._learn(pack._view(1, 3), batch)
        for i in (1, 2):
            twin, plain = as_plain(network_states[i].network, masks_of(network_states[i], hidden, dropout, n=11))
            loss = plain_loss(plain, network_states[i], rows[i - 1], classifier=classifier)
            loss.backward()
            torch.testing.assert_close(losses[i - 1], loss.detach(), rtol=1e-10, atol=1e-10)
            for name, parameter in twin.named_parameters():
                found = pack._gradient.of[name][i]
                torch.testing.assert_close(found, parameter.grad, rtol=1e-10, atol=1e-10)


def masks_of(network_state, hidden, dropout, n):
    """What the network_state's own generator drops next: of each layer, unit by unit."""
    if not dropout:
        return [torch.ones(n, 1) for _ in hidden]
    draws = torch.empty(sum(hidden) * n // 4 + 1, dtype=torch.int64)
    bits = draws.random_(-(2**63), None, generator=generator_like(network_state.noise)).numpy().view(np.int16)
    *places, _ = np.split(bits, np.cumsum([width * n for width in hidden]))
    keep = [
        (place / 2**16 + 0.5 < 1 - dropout).reshape(width, n).T for width, place in zip(hidden, places, strict=True)
    ]
    return [torch.from_numpy(kept / (1 - dropout)) for kept in keep]


def test_dropout_sets_its_share_to_zero_and_keeps_the_mean():
    table = make_table()
    network_states = make_network_states(table, hidden=(50,), dropout=0.3)
    pack = pack_of(network_states, recipe())
    with torch.inference_mode():
        (mask,), (next_mask,) = pack._masks(pack._view(0, 4), 2, 40)
    assert mask.shape == (4, 50, 40)
    assert mask.unique().tolist() == [0.0, pytest.approx(1 / 0.7)]
    assert float((mask == 0).double().mean()) == pytest.approx(0.3, abs=0.02)
    assert not torch.equal(mask[0], mask[1])
    assert not torch.equal(mask, next_mask)


def test_how_many_steps_are_made_at_once_is_without_effect(monkeypatch):
    table = make_table()
    network_states, how = make_network_states(table, dropout=0.3, weighted=True), recipe()
    found = []
    for size in (1, 20_000, 10**9):
        monkeypatch.setattr(_packed, "GATHERED_BYTES", size)
        pack = pack_of(network_states, how)
        found.append([pack.epoch(0), pack.epoch(1), pack.state(2)[0].tolist()])
    for other in found[1:]:
        for ours, theirs in zip(found[0], other, strict=True):
            np.testing.assert_allclose(ours, theirs, rtol=1e-12)


# --- whole trainings ----------------------------------------------------------------------------------------


OPTIONS = {
    "bn": {},
    "input bn": {"activation": "sigmoid", "input_batch_norm": True},
    "no bn": {"batch_norm": False, "activation": "tanh"},
    "mish": {"activation": "mish"},
}


@pytest.mark.parametrize(
    ("options", "method", "classifier", "population"),
    by_day(
        [list(OPTIONS), OPTIMIZERS, [True, False], [False, True]],
        lambda option, method, task, population: (
            (option + method) % 2 == task and (option // 2 + method // 2) % 2 == population
        ),
    ),
)
def test_a_training_of_ragged_networks_is_that_of_plain_torch_loops(options, method, classifier, population):
    (optimizer, weight_decay), options = method, OPTIONS[options]
    table = make_table(d=9, classifier=classifier)
    network_states = make_network_states(table, scaled=not classifier, weighted=True, **WIDE | options)
    how = recipe(
        classifier=classifier,
        optimizer=optimizer,
        weight_decay=weight_decay,
        schedule="cosine",
        population=population,
    )
    pack = pack_of(network_states, how)
    losses = [pack.epoch(epoch) for epoch in range(how.max_epochs)]
    if population:
        pack.population_statistics()
    for i, network_state in enumerate(network_states):
        twin, plain = as_plain(network_state.network)
        epochs = train_by_hand(plain, network_state, how)
        assert [epoch[i] for epoch in losses] == pytest.approx([epoch["train"] for epoch in epochs], abs=1e-9)
        assert_learned_the_same(trained(pack, i), twin, table)
        assert any(
            (a - b).abs().max() > 0.01 for a, b in zip(state_of(network_state.network), state_of(twin), strict=True)
        )


@each_optimizer
@pytest.mark.parametrize(
    "options", [{}, {"input_batch_norm": True}, {"hidden": ()}], ids=["bn", "input bn", "0 layers"]
)
def test_networks_that_have_fewer_of_the_tables_columns_than_others_learn_as_if_alone(options, optimizer, weight_decay):
    # preprocessing may make other columns in each fold; the narrower parts are filled up with zeros
    table, widths, options = make_table(n=sum(RAGGED), d=12), (9, 12, 8, 10), WIDE | options
    places = torch.arange(sum(RAGGED)).split(RAGGED)
    network_states = []
    for i, (rows, width) in enumerate(zip(places, widths, strict=True)):
        table.inputs[rows, width:] = 0
        network_states.append(make_pupil(make_mlp(width, seed=i, **options), table, rows, seed=i, n_features=width))
        network_states[-1].valid = rows[:9]
    how = recipe(optimizer=optimizer, weight_decay=weight_decay, population=True)
    pack = pack_of(network_states, how)
    for epoch in range(4):
        pack.epoch(epoch)
    losses = pack.validation_losses()
    pack.population_statistics()
    for i, (network_state, width) in enumerate(zip(network_states, widths, strict=True)):
        network_state.table = TrainingTable(table.inputs[:, :width], table.targets)
        twin, plain = as_plain(network_state.network)
        epochs = train_by_hand(plain, network_state, how)
        assert losses[i] == pytest.approx(epochs[-1]["valid"], abs=1e-9)
        assert_learned_the_same(trained(pack, i), twin, network_state.table)
        for parameter, moments in pack.moments(i).items():
            assert {m.shape for m in moments.values() if m.ndim} == {parameter.shape}


@each_task
@pytest.mark.parametrize("optimizer", ["adam", "sgd"])
def test_each_networks_own_gradient_is_shortened_as_torch_does_it(optimizer, classifier):
    table = make_table(classifier=classifier)
    network_states = make_network_states(table, weighted=True, scaled=not classifier)
    for network_state, size in zip(network_states, [100, 1, 1, 1e-4], strict=True):
        network_state.weight = network_state.weight * size  # and so is its gradient
    how = recipe(classifier=classifier, optimizer=optimizer, clip_norm=0.3)
    pack, free = pack_of(network_states, how), pack_of(network_states, replace(how, clip_norm=None))
    for epoch in range(4):
        pack.epoch(epoch)
        free.epoch(epoch)
    for i, (network_state, shortened) in enumerate(zip(network_states, [True, True, True, False], strict=True)):
        twin, plain = as_plain(network_state.network)
        train_by_hand(plain, network_state, replace(how, population=False))
        assert_learned_the_same(trained(pack, i), twin, table)
        assert torch.equal(pack.state(i)[0], free.state(i)[0]) != shortened


def test_only_matrices_decay():
    table = make_table()
    network_states = make_network_states(table)
    still = recipe(lr=1e-2, weight_decay=50.0, max_epochs=1, batch_size=64)  # one step, which halves
    pack = pack_of(network_states, still)
    free = pack_of(network_states, replace(still, weight_decay=0.0))
    pack.epoch(0)
    free.epoch(0)
    for name, parameter in network_states[0].network.named_parameters():
        difference = free._theta.of[name][0] - pack._theta.of[name][0]
        expected = parameter.detach() / 2 if parameter.ndim == 2 else torch.zeros_like(parameter)
        torch.testing.assert_close(difference, expected, rtol=1e-12, atol=1e-12)


@pytest.mark.parametrize("engine", [PackedMLP, Solo])
@pytest.mark.parametrize("optimizer", ["adam", "sgd", "muon"])
def test_weight_decay_falls_as_in_plain_torch_loops(optimizer, engine):
    table = make_table(d=9)
    network_states = make_network_states(table, **WIDE)[:2]
    settings = {"optimizer": optimizer, "weight_decay": 2.0, "max_epochs": 5, "population": False}
    how = recipe(**settings, regularization_schedule="flat-cosine")
    trainers = [engine([clone_of(state)], how) for state in network_states]
    for epoch in range(how.max_epochs):
        for trainer in trainers:
            trainer.epoch(epoch)
    for trainer, state in zip(trainers, network_states, strict=True):
        twin, plain = as_plain(state.network)
        train_by_hand(plain, state, how)
        assert_learned_the_same(trained(trainer, 0), twin, table)
        constant, plain = as_plain(state.network)
        train_by_hand(plain, state, recipe(**settings))
        assert not torch.allclose(constant.linears[0].weight, twin.linears[0].weight, rtol=1e-3)


def test_dropout_falls_with_the_epochs_in_both_engines(monkeypatch):
    (state, *_) = make_network_states(make_table(), hidden=(200,), dropout=0.4)
    how = recipe(max_epochs=4, regularization_schedule="cosine")
    expected = [0.4 * (1 + np.cos(np.pi * epoch / 4)) / 2 for epoch in range(4)]
    pack, alone = pack_of([state], how), Solo([clone_of(state)], how)
    masks, dropped = [], []
    spied = pack._masks
    monkeypatch.setattr(pack, "_masks", lambda *args: masks.append(spied(*args)) or masks[-1])
    dropout = alone.network_states[0].network.dropout
    dropout.register_forward_hook(lambda *_: dropped.append(dropout.p))
    for epoch in range(4):
        pack.epoch(epoch)
        alone.epoch(epoch)
        kept = torch.cat([mask.flatten() for made in masks for (mask,) in made])
        masks.clear()
        assert float((kept == 0).double().mean()) == pytest.approx(expected[epoch], abs=0.03)
        assert float(kept.max()) == pytest.approx(1 / (1 - expected[epoch]))
    assert dropped[1:-1:6] == pytest.approx(expected)
    assert dropout.p == 0.4


def test_population_statistics_of_the_first_layer_are_those_of_the_numpy_algorithm():
    table = make_table()
    network_states = make_network_states(table)
    pack = pack_of(network_states, recipe())
    pack.population_statistics()
    for i, network_state in enumerate(network_states):
        batches = plain_batches(network_state.train, generator_like(network_state.order), 8)
        first = network_state.network.linears[0].weight.detach()
        mean, var = population_statistics([(table.inputs[rows] @ first.T).numpy() for rows in batches])
        norm = trained(pack, i).norms[0]
        torch.testing.assert_close(norm.running_mean, torch.from_numpy(mean), rtol=1e-10, atol=1e-10)
        torch.testing.assert_close(norm.running_var, torch.from_numpy(var), rtol=1e-10, atol=1e-10)


def test_population_statistics_of_large_parts_are_taken_from_some_of_their_rows(monkeypatch):
    monkeypatch.setattr(_pupil, "POPULATION_ROWS", 46)  # the shortest part is shorter
    table = make_table()
    network_states = make_network_states(table, input_batch_norm=True)
    pack = pack_of(network_states, recipe())
    pack.population_statistics()
    for i, network_state in enumerate(network_states):
        twin, plain = as_plain(network_state.network)
        order = network_state.train[
            torch.randperm(len(network_state.train), generator=generator_like(network_state.order))
        ]
        gather_by_hand(plain, torch.tensor_split(order[:46], 6), table.inputs)
        assert_same_state(trained(pack, i), twin)


def test_population_statistics_change_no_weight_and_drop_nothing():
    network_states = make_network_states(make_table(), dropout=0.5)
    pack = pack_of(network_states, recipe())
    pack.population_statistics()
    for i, network_state in enumerate(network_states):
        assert all(
            torch.equal(a, b)
            for a, b in zip(trained(pack, i).parameters(), network_state.network.parameters(), strict=True)
        )
        assert torch.equal(pack.network_states[i].noise.get_state(), network_state.noise.get_state())


def test_without_bn_there_are_no_statistics_to_take():
    network_states = make_network_states(make_table(), batch_norm=False)
    pack = pack_of(network_states, recipe())
    pack.population_statistics()
    assert_same_state(trained(pack, 0), network_states[0].network, 0)


@each_task
@pytest.mark.parametrize("activation", ["relu", "selu", "silu", "mish"])
def test_validation_losses_are_those_in_inference_without_dropout(classifier, activation):
    table = make_table(classifier=classifier)
    network_states = make_network_states(
        table, weighted=True, scaled=not classifier, dropout=0.5, input_batch_norm=True, activation=activation
    )
    for i, network_state in enumerate(network_states):
        taken = set(network_state.train.tolist())
        network_state.valid = torch.tensor([row for row in range(60) if row not in taken][: 5 + i])  # ragged too
    pack = pack_of(network_states, recipe(classifier=classifier))
    pack.epoch(0)
    found = pack.validation_losses()
    for i, network_state in enumerate(network_states):
        with torch.no_grad():
            loss = plain_loss(trained(pack, i).eval(), network_state, network_state.valid, classifier=classifier)
        assert found[i] == pytest.approx(float(loss), abs=1e-10)


@pytest.mark.parametrize("options", [{}, {"batch_norm": False}, {"input_batch_norm": True}], ids=str)
def test_features_that_a_network_does_not_see_are_zero_to_it_alone(options):
    """Also when others have left the pack; what has no weight at the start never gets any."""
    table, hidden = make_table(), [None, [1], [0, 2], [3]]
    network_states = make_network_states(table, **options)
    for network_state, columns in zip(network_states, hidden, strict=True):
        network_state.network.linears[0].weight.data[:, columns or []] = 0.0
        if "input_batch_norm" in options:
            network_state.network.input_norm.bias.data[columns or []] = 0.0
    others = [clone_of(network_state) for network_state in network_states]
    for network_state, other, columns in zip(network_states, others, hidden, strict=True):
        network_state.valid = other.valid = torch.arange(20)
        if columns is not None:
            network_state.unseen = torch.isin(torch.arange(4), torch.tensor(columns))
            other.table = TrainingTable(table.inputs.index_fill(1, torch.tensor(columns), 0.0), table.targets)
    pack, alone = pack_of(network_states, recipe()), [pack_of([other], recipe()) for other in others]
    assert pack.epoch(0) == pytest.approx([one.epoch(0)[0] for one in alone], abs=1e-9)
    pack.keep([1, 3])
    alone = [alone[1], alone[3]]
    assert pack.epoch(1) == pytest.approx([one.epoch(1)[0] for one in alone], abs=1e-9)
    assert pack.validation_losses() == pytest.approx([one.validation_losses()[0] for one in alone], abs=1e-9)
    pack.population_statistics()
    for i, one in enumerate(alone):
        one.population_statistics()
        assert_same_state(trained(pack, i), trained(one, 0), 1e-9)
        assert (trained(pack, i).linears[0].weight[:, [1, 3][i]] == 0).all()


@each_task
@pytest.mark.parametrize("scaling", [None, "standard", "robust-clip"])
def test_networks_with_encodings_of_their_own_learn_as_if_alone(scaling, classifier):
    """As in plain torch loops over the encoded rows, whatever columns, bins and unseen inputs the others have."""
    table, widths = make_table(n=sum(RAGGED), d=6, classifier=classifier), (4, 6, 3, 5)
    table.inputs[:, 1] = (table.inputs[:, 1] > 0).to(torch.float64)
    places = torch.arange(sum(RAGGED)).split(RAGGED)
    network_states, twins = [], []
    for i, (rows, width) in enumerate(zip(places, widths, strict=True)):
        table.inputs[rows, width:] = 0
        encoding = learn_encoding(table.inputs[rows, :width].numpy(), scaling, 3 + i)
        assert encoding.n_encoded > 2 * width
        network = make_mlp(encoding.n_encoded, seed=i, hidden=(6, 5))
        unseen = torch.zeros(encoding.n_encoded, dtype=torch.bool)
        unseen[2 * i] = True
        network.linears[0].weight.data[:, unseen] = 0
        state = make_pupil(network, table, rows, seed=i, n_features=width, encoding=encoding, unseen=unseen)
        state.valid = rows[: 7 + i]
        network_states.append(state)
        encoded = Encoder(encoding)(table.inputs[:, :width]).masked_fill(unseen, 0.0)
        twins.append(replace(state, table=TrainingTable(encoded, table.targets)))
    # Of a piece that is constant in a batch, Adam would make steps out of rounding errors.
    how = recipe(classifier=classifier, population=True, optimizer="sgd", lr=1e-3)
    pack = pack_of(network_states, how)
    for epoch in range(4):
        pack.epoch(epoch)
    losses = pack.validation_losses()
    pack.population_statistics()
    for i, twin_state in enumerate(twins):
        twin, plain = as_plain(twin_state.network)
        epochs = train_by_hand(plain, twin_state, how)
        assert losses[i] == pytest.approx(epochs[-1]["valid"], rel=1e-9)
        assert_learned_the_same(trained(pack, i), twin, twin_state.table)


def with_waves(table, widths, periodic, hidden):
    """Networks whose encoded columns, and columns for waves, are their own."""
    network_states = []
    for i, (rows, width, n_periodic) in enumerate(zip(parts(), widths, periodic, strict=True)):
        encoding = learn_encoding(table.inputs[rows, :width].numpy(), "robust-clip", 0, periodic=True)
        encoding = replace(encoding, periodic=encoding.periodic[:n_periodic])
        network = make_mlp(width, seed=i, hidden=hidden, n_periodic=n_periodic)
        state = make_pupil(network, table, rows, seed=i, n_features=width, encoding=encoding)
        network_states.append(replace(state, scaled=Encoder(encoding), valid=rows[: 7 + i]))
    return network_states


def assert_gradients_are_autograds(pack, table, network_states, rows, *, classifier):
    """Of one batch, with losses too; gives the networks with autograd's gradients."""
    view = pack._view(0, len(network_states))
    with torch.inference_mode():
        (batch,) = pack._several(view, rows.unsqueeze(0))
        losses = pack._learn(view, batch)
    twins = []
    for i, state in enumerate(network_states):
        twin = copy.deepcopy(state.network).train()
        encoded = TrainingTable(state.scaled(table.inputs[:, : state.n_features]), table.targets)
        loss = plain_loss(twin, replace(state, table=encoded), rows[i], classifier=classifier)
        loss.backward()
        assert losses[i] == pytest.approx(loss.item(), rel=1e-10)
        for name, parameter in twin.named_parameters():
            found = pack._gradient.part(name, i, parameter.shape)
            torch.testing.assert_close(found, parameter.grad, rtol=1e-9, atol=1e-10)
        twins.append(twin)
    return twins


@each_task
@pytest.mark.parametrize("hidden", [(), (6, 5)], ids=["0 layers", "2 layers"])
def test_gradients_of_waves_by_hand_are_autograds(hidden, classifier):
    table = make_table(d=5, classifier=classifier)
    network_states = with_waves(table, (5, 3, 4, 5), (2, 3, 0, 4), hidden)
    pack = pack_of(network_states, recipe(classifier=classifier))
    rows = torch.stack([state.train[:11] for state in network_states])
    assert_gradients_are_autograds(pack, table, network_states, rows, classifier=classifier)


@pytest.mark.parametrize("optimizer", ["adam", "sgd", "muon"])
def test_networks_with_waves_learn_as_alone_by_autograd(optimizer):
    table = make_table(d=5)
    network_states = with_waves(table, (5, 3, 4, 5), (2, 3, 0, 4), (6, 5))
    how = recipe(optimizer=optimizer, weight_decay=0.1, lr=0.01, population=True)
    pack, alone = pack_of(network_states, how), [Solo([clone_of(state)], how) for state in network_states]
    for epoch in range(3):
        expected = [solo.epoch(epoch)[0] for solo in alone]
        assert pack.epoch(epoch) == pytest.approx(expected, rel=1e-9)
    assert pack.validation_losses() == pytest.approx([solo.validation_losses()[0] for solo in alone], rel=1e-9)
    pack.population_statistics()
    for i, solo in enumerate(alone):
        solo.population_statistics()
        assert_same_state(trained(pack, i), solo.network_states[0].network)


@pytest.mark.parametrize("engine", [PackedMLP, Solo])
def test_waves_learn_at_a_tenth_of_the_rate_and_do_not_decay(engine):
    (state, *_) = with_waves(make_table(d=5), (5, 3, 4, 5), (2, 3, 0, 4), (6, 5))
    before = dict(state.network.named_parameters())
    how = recipe(lr=1e-3, weight_decay=5.0, batch_size=60)  # one step of Adam: by the rate, whatever the gradient
    trainer = engine([clone_of(state)], how)
    trainer.epoch(0)
    after = copy.deepcopy(state.network)
    load_state(after, trainer.state(0))
    moved = {name: float((value - before[name]).detach().abs().median()) for name, value in after.named_parameters()}
    for name in ("frequency", "phase", "weight"):
        assert moved[f"embedding.{name}"] == pytest.approx(1e-4, rel=0.01)
    assert moved["norms.0.weight"] == pytest.approx(1e-3, rel=0.01)
    for name in ("embedding.into.weight", "linears.0.weight"):
        assert moved[name] != pytest.approx(1e-3, rel=0.01)  # decayed beside


def with_levels(hidden, *, classifier=True):
    """Networks that lack levels, and columns with tables, beside others; one has no table."""
    table, draws = make_table(n=sum(RAGGED), d=5, classifier=classifier), np.random.default_rng(0)
    codes = np.column_stack([draws.integers(1, 14, sum(RAGGED)), draws.integers(0, 3, sum(RAGGED))])
    table.inputs[:, 2], table.inputs[:, 3] = (torch.from_numpy(column) for column in codes.astype(float).T)
    table.inputs[:, 4] = table.inputs[:, 2] * (torch.arange(sum(RAGGED)) % 2)
    places, columns = torch.arange(sum(RAGGED)).split(RAGGED), [[2, 3], [2, 3, 4], [3], [2, 4]]
    network_states = []
    for i, (rows, own) in enumerate(zip(places, columns, strict=True)):
        given = table.inputs[rows, : 3 + i % 3 if i else 4].numpy()
        encoding = learn_encoding(
            given, "robust-clip", 3, categories=[c for c in own if c < given.shape[1]], n_codes=14
        )
        encoding.tables.entry[:, 5:6] = 0  # a code without an entry
        n_inputs, _, n_tables, n_entries = encoding.shape
        network = make_mlp(n_inputs, seed=i, hidden=hidden, n_tables=n_tables, n_entries=n_entries, front_scale=True)
        state = make_pupil(network, table, rows, seed=i, n_features=given.shape[1], encoding=encoding)
        network_states.append(replace(state, scaled=Encoder(encoding), valid=rows[: 7 + i]))
    assert len({state.encoding.shape[2:] for state in network_states}) > 2
    return table, network_states


@each_task
@pytest.mark.parametrize("hidden", [(), (6, 5)], ids=["0 layers", "2 layers"])
def test_gradients_of_tables_by_hand_are_autograds(hidden, classifier):
    table, network_states = with_levels(hidden, classifier=classifier)
    pack = pack_of(network_states, recipe(classifier=classifier))
    rows = torch.stack([state.train[:31] for state in network_states])
    twins = assert_gradients_are_autograds(pack, table, network_states, rows, classifier=classifier)
    for i, twin in enumerate(twins):
        if twin.tables is not None:
            assert (twin.tables.weight.grad[1:].abs().sum(1) > 0).sum() > 3
            beyond = pack._gradient.of["tables.weight"][i, len(twin.tables.weight) :]
            assert not beyond.any()


@pytest.mark.parametrize("optimizer", ["adam", "sgd", "muon"])
def test_networks_with_tables_learn_as_alone_by_autograd(optimizer):
    _, network_states = with_levels((9, 8))
    how = recipe(optimizer=optimizer, weight_decay=0.1, lr=0.01, population=True)
    pack, alone = pack_of(network_states, how), [Solo([clone_of(state)], how) for state in network_states]
    for epoch in range(3):
        expected = [solo.epoch(epoch)[0] for solo in alone]
        assert pack.epoch(epoch) == pytest.approx(expected, rel=1e-9)
    assert pack.validation_losses() == pytest.approx([solo.validation_losses()[0] for solo in alone], rel=1e-9)
    pack.population_statistics()
    for i, solo in enumerate(alone):
        solo.population_statistics()
        assert_same_state(trained(pack, i), solo.network_states[0].network)
        if solo.network_states[0].network.tables is not None:
            assert not trained(pack, i).tables.weight[0].any()


@each_optimizer
@pytest.mark.parametrize("hidden", [(), (9, 8)], ids=["0 layers", "2 layers"])
def test_networks_with_factors_of_inputs_learn_as_alone_by_autograd(hidden, optimizer, weight_decay):
    table, widths = make_table(n=sum(RAGGED), d=12), (9, 12, 8, 10)
    network_states = []
    for i, (rows, width) in enumerate(zip(torch.arange(sum(RAGGED)).split(RAGGED), widths, strict=True)):
        network = make_mlp(width, seed=i, hidden=hidden, front_scale=True)
        network_states.append(make_pupil(network, table, rows, seed=i, n_features=width))
        network_states[-1].valid = rows[:9]
    how = recipe(optimizer=optimizer, weight_decay=weight_decay, population=True)
    pack, alone = pack_of(network_states, how), [Solo([clone_of(state)], how) for state in network_states]
    for epoch in range(3):
        expected = [solo.epoch(epoch)[0] for solo in alone]
        assert pack.epoch(epoch) == pytest.approx(expected, rel=1e-9)
    assert pack.validation_losses() == pytest.approx([solo.validation_losses()[0] for solo in alone], rel=1e-9)
    for i, solo in enumerate(alone):
        assert_same_state(trained(pack, i), solo.network_states[0].network)


@pytest.mark.parametrize("engine", [PackedMLP, Solo])
@pytest.mark.parametrize("lr", [1e-3, 2e-2])
@pytest.mark.parametrize("optimizer", ["adam", "muon", "sgd"])
def test_factors_of_inputs_learn_faster_and_do_not_decay(optimizer, lr, engine):
    table = make_table()
    state = make_pupil(make_mlp(front_scale=True), table, torch.arange(60))
    before, twin = dict(state.network.named_parameters()), clone_of(state).network.train()
    plain_loss(twin, state, state.train, classifier=True).backward()
    gradient = twin.front_scale.weight.grad
    trainer = engine([clone_of(state)], recipe(optimizer=optimizer, lr=lr, weight_decay=5.0, batch_size=60))
    trainer.epoch(0)
    after = copy.deepcopy(state.network)
    load_state(after, trainer.state(0))
    moved = after.front_scale.weight - before["front_scale.weight"]
    # One step of Adam is as long as the rate, whatever the gradient; the first of SGD with Nesterov's momentum, 1.9.
    step = 1.9 * gradient if optimizer == "sgd" else gradient.sign()
    torch.testing.assert_close(moved, -min(20 * lr, 0.06) * step, rtol=1e-3, atol=0)


def test_adams_memory_of_squared_gradients_is_as_long_as_asked_for():
    table, how = make_table(), recipe(beta_2=0.7)
    network_states = make_network_states(table)
    pack = pack_of(network_states, how)
    for epoch in range(4):
        pack.epoch(epoch)
    twin, plain = as_plain(network_states[0].network)
    adam = plain_optimizer(list(plain.parameters()), "adam", 0.0)
    for group in adam.param_groups:
        group["betas"] = (0.9, 0.7)
    train_by_hand(plain, network_states[0], replace(how, population=False), optimizers=[adam])
    assert_learned_the_same(trained(pack, 0), twin, table)


# --- who else is in the pack makes no difference ------------------------------------------------------------


@each_optimizer
@each_task
def test_a_network_learns_the_same_alone_as_packed(classifier, optimizer, weight_decay):
    table = make_table(classifier=classifier)
    network_states = make_network_states(table, scaled=not classifier, dropout=0.3, weighted=True)
    how = recipe(classifier=classifier, optimizer=optimizer, weight_decay=weight_decay)
    pack = pack_of(network_states, how)
    alone = [pack_of([network_state], how) for network_state in network_states]
    for epoch in range(4):
        losses = pack.epoch(epoch)
        assert losses == pytest.approx([loss for one in alone for loss in one.epoch(epoch)], abs=1e-12)
    pack.population_statistics()
    for i, one in enumerate(alone):
        one.population_statistics()
        assert_learned_the_same(trained(pack, i), trained(one, 0), table, 1e-12)


@each_optimizer
@pytest.mark.parametrize("kept", [[0, 2], [1, 3], [3]], ids=str)
def test_those_that_stay_learn_on_as_if_nobody_had_left(kept, optimizer, weight_decay):
    table = make_table()
    network_states = make_network_states(table, weighted=True, dropout=0.3)
    how = recipe(optimizer=optimizer, weight_decay=weight_decay)
    shrinking, full = pack_of(network_states, how), pack_of(network_states, how)
    for epoch in range(4):
        if epoch == 2:
            shrinking.keep(kept)
        full.epoch(epoch)
        shrinking.epoch(epoch)
    shrinking.population_statistics()
    full.population_statistics()
    assert len(shrinking.network_states) == len(kept)
    for place, i in enumerate(kept):
        assert_learned_the_same(trained(shrinking, place), trained(full, i), table, 1e-12)


def test_targets_on_each_networks_own_scale_stay_its_own_when_others_leave():
    table = make_table(classifier=False)
    network_states = make_network_states(table, scaled=True)
    how = recipe(classifier=False)
    pack, alone = pack_of(network_states, how), pack_of(network_states[2:3], how)
    pack.keep([2])
    assert pack.epoch(0) == pytest.approx(alone.epoch(0), abs=1e-12)
    assert_same_state(trained(pack, 0), trained(alone, 0), 1e-12)


def test_a_state_is_a_copy_that_training_on_leaves_alone():
    pack = pack_of(make_network_states(make_table()), recipe())
    state = pack.state(1)
    before = [tensor.clone() for tensor in state]
    pack.epoch(0)
    assert all(torch.equal(a, b) for a, b in zip(state, before, strict=True))
    assert not all(torch.equal(a, b) for a, b in zip(pack.state(1), before, strict=True))


def test_packing_and_unpacking_changes_nothing():
    network_states = make_network_states(make_table(), input_batch_norm=True)
    for network_state in network_states:
        network_state.network(network_state.table.inputs)  # running statistics of its own
    pack = pack_of(network_states, recipe())
    for i, network_state in enumerate(network_states):
        assert_same_state(trained(pack, i), network_state.network, 0)


# --- what the optimizer remembers ---------------------------------------------------------------------------


@each_optimizer
def test_a_network_that_is_packed_anew_with_its_moments_goes_on_as_if_it_had_not_been(optimizer, weight_decay):
    table = make_table()
    network_states = make_network_states(table)
    how = recipe(optimizer=optimizer, weight_decay=weight_decay)
    whole, first = pack_of(network_states, how), pack_of(network_states, how)
    for epoch in range(2):
        whole.epoch(epoch)
        first.epoch(epoch)
    for i, network_state in enumerate(first.network_states):
        load_state(network_state.network, first.state(i))
        network_state.moments = first.moments(i)
    second = PackedMLP(first.network_states[::-1], how)  # places in the pack do not count
    for epoch in range(2, 4):
        whole.epoch(epoch)
        second.epoch(epoch)
    for i in range(4):
        assert_same_state(trained(second, 3 - i), trained(whole, i), 1e-12)


def test_what_another_optimizer_remembers_is_of_no_use():
    network_states = make_network_states(make_table())
    adam = pack_of(network_states, recipe())
    adam.epoch(0)
    for i, network_state in enumerate(adam.network_states):
        network_state.moments = adam.moments(i)
    pack, fresh = (PackedMLP(states, recipe(optimizer="sgd")) for states in (adam.network_states, network_states))
    assert torch.equal(pack._moments["momentum_buffer"].flat, fresh._moments["momentum_buffer"].flat)


@each_optimizer
def test_torchs_own_optimizer_can_take_over_with_the_moments(optimizer, weight_decay):
    table = make_table(d=9)
    network_states = make_network_states(table, **WIDE)
    how = recipe(optimizer=optimizer, weight_decay=weight_decay)
    pack = pack_of(network_states, how)
    for epoch in range(2):
        pack.epoch(epoch)
    network_state = pack.network_states[1]
    network = network_state.network
    load_state(network, pack.state(1))
    theirs = plain_optimizers(list(network.parameters()), optimizer, weight_decay)
    moments = pack.moments(1)
    assert set(moments) == set(network.parameters())
    for one in theirs:
        for parameter in (parameter for group in one.param_groups for parameter in group["params"]):
            one.state[parameter] = moments[parameter]
    after_2 = train_by_hand(network, network_state, replace(how, max_epochs=2, population=False), optimizers=theirs)
    for epoch in range(2, 4):
        pack.epoch(epoch)
    assert len(after_2) == 2
    assert_same_state(trained(pack, 1), network)


# --- whether torch's inner functions are as expected --------------------------------------------------------


@pytest.fixture
def forget():
    """The check is made once a process."""
    is_exact_here.cache_clear()
    yield
    is_exact_here.cache_clear()


def wrong_backward(*arguments):
    d_input, d_gamma, d_beta = torch.ops.aten.native_batch_norm_backward(*arguments)
    return d_input, d_gamma * 1.001, d_beta


def fewer_arguments(dy, _x, gamma):
    return dy, gamma, gamma


OTHER_TORCHES = {
    "another result": {"native_batch_norm_backward": wrong_backward},
    "another signature": {"native_batch_norm_backward": fewer_arguments},
    "none at all": {},
}


@pytest.mark.usefixtures("forget")
def test_this_torch_is_exact():
    assert is_exact_here() is True


@pytest.mark.usefixtures("forget")
@pytest.mark.parametrize("functions", OTHER_TORCHES.values(), ids=list(OTHER_TORCHES))
def test_a_torch_that_differs_is_noticed(monkeypatch, functions):
    monkeypatch.setattr(_packed_layers, "aten", SimpleNamespace(**functions))
    assert is_exact_here() is False


@pytest.mark.usefixtures("forget")
@each_task
@pytest.mark.parametrize("optimizer", ["adam", "sgd", "muon"])
def test_with_a_torch_that_differs_networks_are_trained_one_by_one_to_the_same_result(
    monkeypatch, classifier, optimizer
):
    table = make_table(d=9, classifier=classifier)
    how = recipe(classifier=classifier, weight_decay=0.1, optimizer=optimizer)

    def members():
        courses = [make_course_on(table, rows, seed, classifier) for seed, rows in enumerate(parts())]
        train(courses, how)
        return [member for course in courses for member in course.net.module_.members]

    packed = members()
    monkeypatch.setattr(_packed_layers, "aten", SimpleNamespace(**OTHER_TORCHES["another result"]))
    is_exact_here.cache_clear()
    for found, expected in zip(members(), packed, strict=True):
        assert_learned_the_same(found, expected, table)


def make_course_on(table, rows, seed, classifier):
    return make_lesson(table, rows, make=lambda: BNMLP(9, 3, (8,)), seeds=(seed,), classifier=classifier)


@pytest.mark.usefixtures("forget")
def test_the_check_leaves_torchs_generator_alone():
    before = torch.get_rng_state()
    is_exact_here()
    assert torch.equal(torch.get_rng_state(), before)


# --- how many together --------------------------------------------------------------------------------------


@given(widest=st.integers(1, 5000), batch_size=st.integers(2, 5000), itemsize=st.sampled_from([4, 8]))
def test_a_packs_activation_fits_in_the_cache_if_that_of_one_network_does(widest, batch_size, itemsize):
    n, activation = pack_size(widest, batch_size, itemsize), widest * batch_size * itemsize
    assert 1 <= n <= MOST_NETWORKS
    assert n == 1 or n * activation <= CACHE_BYTES
    assert n == MOST_NETWORKS or (n + 1) * activation > CACHE_BYTES  # and no more would


def test_float32_networks_are_trained_in_float32():
    table = make_table(dtype=torch.float32)
    network_states = [make_pupil(BNMLP(4, 3, (6,)), table)]
    pack = pack_of(network_states, recipe())
    pack.epoch(0)
    assert {tensor.dtype for tensor in pack.state(0)} == {torch.float32}
    assert isinstance(trained(pack, 0), nn.Module)


def test_few_and_many_activations_are_normalised_alike(monkeypatch):
    draws = torch.Generator().manual_seed(0)
    z = 5 * torch.randn(2, 9, 11, generator=draws, dtype=torch.float64) + 1000
    dy = torch.randn(2, 9, 11, generator=draws, dtype=torch.float64)
    found = []
    for least in (0, z.numel() + 1):
        monkeypatch.setattr(_packed_layers, "LARGE_NORM", least)
        pack = pack_of(make_network_states(make_table(), hidden=(9,)), recipe())
        norm = pack._view(1, 3).hidden[0].norm
        with torch.inference_mode():
            y, saved = _packed_layers.normalise(z.clone(), norm, 0.3, pack._eps)
            dz = _packed_layers.normalise_backward(dy, norm, saved, pack._eps)
        found.append([y, dz, norm.mean, norm.var, norm.d_gamma, norm.d_beta])
    for own, torchs in zip(*found, strict=True):
        torch.testing.assert_close(own, torchs, rtol=1e-9, atol=1e-9)


# --- bfloat16 -------------------------------------------------------------------------------------------------


def in_ramps(network_states):
    """With the encoding of their rows, and networks as wide as it makes them."""
    first = network_states[0]
    encoding = learn_encoding(first.table.inputs[first.train].numpy(), "robust-clip", 4)
    network = make_mlp(encoding.n_encoded, first.table.targets.shape[1], (9, 8))
    return [replace(first, network=network, encoding=encoding)]


class Narrow(nn.Module):
    """A linear layer in bfloat16, as a user of torch writes it."""

    def __init__(self, linear):
        super().__init__()
        self.linear = linear

    def forward(self, x):
        z = nn.functional.linear(x.bfloat16(), self.linear.weight.bfloat16()).to(x.dtype)
        return z if self.linear.bias is None else z + self.linear.bias


def narrow_layers(network_states, **settings):
    pack = pack_of(network_states, recipe(**settings))
    return pack, [layer.narrow for layer in pack._view(0, len(network_states)).hidden]


@pytest.mark.parametrize("batch_norm", [True, False])
def test_gradients_in_bfloat16_are_autograds(monkeypatch, batch_norm):
    monkeypatch.setattr(_packed, "NARROW_PRODUCT", 9 * 8 * 8)
    states = make_network_states(
        make_table(n=600, dtype=torch.float32), lengths=(500, 500), batch_norm=batch_norm, hidden=(9, 9, 8)
    )
    for state in states:
        state.network.float()
    pack, narrow = narrow_layers(states, bfloat16=True)
    assert narrow == [False, True, True]
    rows = torch.stack([state.train for state in states])
    with torch.inference_mode():
        view = pack._view(0, 2)
        pack._learn(view, pack._batch(view, rows))
    for i, state in enumerate(states):
        expected, exact = (as_plain(state.network) for _ in range(2))
        linears = [place for place, layer in enumerate(expected[1]) if isinstance(layer, nn.Linear)]
        for place in linears[1:-1]:
            expected[1][place] = Narrow(expected[1][place])
        for _, module in (expected, exact):
            plain_loss(module, state, rows[i], classifier=True).backward()
        for (name, own), plain in zip(expected[0].named_parameters(), exact[0].parameters(), strict=True):
            found, size = pack._gradient.of[name][i], own.grad.norm()
            assert (found - own.grad).norm() <= 0.01 * size, name
            assert (found - own.grad).norm() < 0.5 * (found - plain.grad).norm(), name


def test_small_products_are_not_rounded(monkeypatch):
    states = make_network_states(make_table(dtype=torch.float32), **WIDE)
    monkeypatch.setattr(_packed, "NARROW_PRODUCT", 9 * 8 * 8 + 1)
    assert narrow_layers(states, bfloat16=True)[1] == [False, False]


def test_first_inputs_are_rounded_where_they_are_in_ramps(monkeypatch):
    """Years differ by less than bfloat16 can tell at two thousand; in ramps they do not."""
    monkeypatch.setattr(_packed, "NARROW_PRODUCT", 1)
    states = make_network_states(make_table(dtype=torch.float32), **WIDE)[:1]
    assert narrow_layers(states, bfloat16=True)[1] == [False, True]
    assert narrow_layers(in_ramps(states), bfloat16=True)[1] == [True, True]
    assert narrow_layers(in_ramps(states))[1] == [False, False]
