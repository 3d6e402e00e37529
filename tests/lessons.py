"""What networks learn from in tests, and a training loop as one writes it by hand, with torch alone."""

import copy

import numpy as np
import torch
from torch import nn
from torch.nn import functional

from stackkit.nn._modules import BNMLP, FrontScale
from stackkit.nn._network_state import NetworkState, TrainingTable, state_of
from stackkit.nn._setup import make_net, make_network_states, make_training_run

ACTIVATIONS = {
    "relu": nn.ReLU,
    "tanh": nn.Tanh,
    "sigmoid": nn.Sigmoid,
    "selu": nn.SELU,
    "silu": nn.SiLU,
    "mish": nn.Mish,
}


def make_table(n=60, d=4, c=3, *, classifier=True, seed=0, dtype=torch.float64):
    draws = torch.Generator().manual_seed(seed)
    x = torch.randn(n, d, generator=draws, dtype=torch.float64) * 2 + 1
    values = x @ torch.randn(d, c, generator=draws, dtype=torch.float64)
    values = 3 * values + torch.randn(n, c, generator=draws, dtype=torch.float64)
    targets = functional.one_hot((values - values.mean(0)).argmax(1), c) if classifier else values
    return TrainingTable(x.to(dtype), targets.to(dtype))


def seeded(make, seed=0, dtype=torch.float64):
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        return make().to(dtype)


def make_pupil(network, table, rows=None, seed=0, **fields):
    rows = torch.arange(len(table.inputs)) if rows is None else torch.as_tensor(rows)
    order, noise = (torch.Generator().manual_seed(1000 * seed + i) for i in range(2))
    return NetworkState(network, table, rows, order, noise, **fields)


def make_mlp(d=4, c=3, hidden=(6, 5), seed=0, **options):
    """BN's scales and shifts are random too, so that nothing is right by chance."""
    network = seeded(lambda: BNMLP(d, c, hidden, **options), seed)
    draws = torch.Generator().manual_seed(seed + 1)
    with torch.no_grad():
        for norm in network.modules():
            if isinstance(norm, FrontScale):
                norm.weight.copy_(1 + torch.rand(len(norm.weight), generator=draws))
            if isinstance(norm, nn.BatchNorm1d):
                norm.weight.copy_(1 + torch.rand(len(norm.weight), generator=draws))
                norm.bias.copy_(torch.randn(len(norm.bias), generator=draws) / 2)
    return network


def make_lesson(
    table,
    rows,
    *,
    make,
    seeds=(0,),
    classifier=True,
    output_affine=None,
    callbacks=None,
    verbose=0,
    remembers=False,
    **fields,
):
    """A skorch net and its network_states, one a seed, as the estimators make them."""
    net = make_net(
        make,
        seeds,
        classes=np.arange(table.targets.shape[1]) if classifier else None,
        dtype=table.inputs.dtype,
        input_affine=None,
        output_affine=output_affine,
        settings={"optimizer": torch.optim.AdamW, "lr": 0.01, "callbacks": callbacks, "verbose": verbose},
    )
    streams = np.array([[1000 * seed, 1000 * seed + 1] for seed in seeds])
    settings = {"n_features": None, "weights": None, "target_affine": None, "encoding": None} | fields
    splits = [(np.asarray(rows), settings.pop("valid", None))] * len(seeds)
    network_states = make_network_states(net, table, splits, streams=streams, unseen=[None] * len(seeds), **settings)
    return make_training_run(net, network_states, remembers=remembers)


# --- by hand ------------------------------------------------------------------------------------------------


def as_plain(network, masks=None):
    """A copy of a BNMLP, and the same copy as a chain of torch's layers; ``masks`` in the place of dropout."""
    twin, layers = copy.deepcopy(network), []
    if isinstance(twin.input_norm, nn.BatchNorm1d):
        layers.append(twin.input_norm)
    layers.append(twin.front_scale)
    for i, (linear, norm) in enumerate(zip(twin.linears, twin.norms, strict=True)):
        layers.append(linear)
        if isinstance(norm, nn.BatchNorm1d):
            layers.append(norm)
        layers.append(ACTIVATIONS[twin.activation_name]())
        if masks is not None:
            layers.append(Times(masks[i]))
    return twin, nn.Sequential(*layers, twin.output)


class Times(nn.Module):
    def __init__(self, mask):
        super().__init__()
        self.mask = mask

    def forward(self, x):
        return x * self.mask


def generator_like(generator):
    return torch.Generator().set_state(generator.get_state())


def plain_batches(rows, generator, batch_size):
    shuffled = rows[torch.randperm(len(rows), generator=generator)]
    return torch.tensor_split(shuffled, int(len(rows) / batch_size + 0.5))


def plain_loss(module, network_state, rows, *, classifier):
    x, y = network_state.table.inputs[rows], network_state.table.targets[rows]
    if network_state.mean is not None:
        y = (y - network_state.mean) / network_state.scale
    if classifier:
        losses = functional.cross_entropy(module(x), y.argmax(1), reduction="none")
    else:
        losses = functional.mse_loss(module(x), y, reduction="none").mean(1)
    return losses.mean() if network_state.weight is None else (losses * network_state.weight[rows]).mean()


def plain_optimizer(parameters, name, weight_decay):
    matrices = [p for p in parameters if p.ndim > 1]
    vectors = [p for p in parameters if p.ndim < 2]
    groups = [{"params": matrices, "weight_decay": weight_decay}, {"params": vectors, "weight_decay": 0.0}]
    if name == "adam":
        return torch.optim.AdamW(groups, lr=0.0, foreach=False)
    if name == "sgd":
        return torch.optim.SGD(groups, lr=0.0, momentum=0.9, nesterov=True, foreach=False)
    return name(groups, lr=0.0)


def plain_optimizers(parameters, name, weight_decay):
    """Muon leaves the output layer's weight, and all that is no matrix, to Adam."""
    inner = [p for p in parameters if p.ndim > 1][:-1] if name == "muon" else []
    others = [p for p in parameters if all(p is not one for one in inner)]
    rest = plain_optimizer(others, "adam" if name == "muon" else name, weight_decay)
    if not inner:
        return [rest]
    return [rest, torch.optim.Muon(inner, lr=0.0, weight_decay=weight_decay, adjust_lr_fn="match_rms_adamw")]


def train_by_hand(module, network_state, recipe, *, optimizers=None, generator=None, steps=None):
    """Epoch for epoch the state and the losses; the learning rate is constant, or falls once along a cosine.

    Weight decay is constant, or falls along a cosine from the middle on, where there is no dropout.

    A list given as ``steps`` gets the state after each.
    """
    generator = generator_like(network_state.order) if generator is None else generator
    if optimizers is None:
        optimizers = plain_optimizers(list(module.parameters()), recipe.optimizer, recipe.weight_decay)
    epochs = []
    groups = [group for optimizer in optimizers for group in optimizer.param_groups]
    whole = [group["weight_decay"] for group in groups]
    for epoch in range(recipe.max_epochs):
        module.train()
        for group, decay in zip(groups, whole, strict=True):
            falls = recipe.regularization_schedule == "flat-cosine" and 2 * epoch > recipe.max_epochs
            group["weight_decay"] = decay * ((1 - np.cos(2 * np.pi * epoch / recipe.max_epochs)) / 2 if falls else 1)
        batches = plain_batches(network_state.train, generator, recipe.batch_size)
        total = 0.0
        for step, rows in enumerate(batches):
            done = (epoch + step / len(batches)) / recipe.max_epochs
            for group in (group for optimizer in optimizers for group in optimizer.param_groups):
                group["lr"] = recipe.lr * ((1 + np.cos(np.pi * done)) / 2 if recipe.schedule == "cosine" else 1)
            loss = plain_loss(module, network_state, rows, classifier=recipe.classifier)
            module.zero_grad()
            loss.backward()
            if recipe.clip_norm is not None:
                nn.utils.clip_grad_norm_(module.parameters(), recipe.clip_norm)
            for optimizer in optimizers:
                optimizer.step()
            if steps is not None:
                steps.append(copy_of(module))
            total += loss.item() * len(rows)
        epochs.append({"train": total / len(network_state.train), "state": copy_of(module)})
        if network_state.valid is not None:
            with torch.no_grad():
                loss = plain_loss(module.eval(), network_state, network_state.valid, classifier=recipe.classifier)
            epochs[-1]["valid"] = float(loss)
    if recipe.population:
        gather_by_hand(
            module, plain_batches(network_state.train, generator, recipe.batch_size), network_state.table.inputs
        )
    return epochs


@torch.no_grad()
def gather_by_hand(module, batches, inputs):
    """BN's statistics over all batches, with the momentum of torch that makes them plain means."""
    module.eval()
    norms = [layer for layer in module.modules() if isinstance(layer, nn.modules.batchnorm._BatchNorm)]
    for norm in norms:
        norm.train()
        norm.reset_running_stats()
        norm.momentum = None
    for rows in batches:
        module(inputs[rows])


def averaged(states, decay):
    """States by name, of which each counts ``decay`` times the next."""
    weights = decay ** np.arange(len(states) - 1, -1, -1.0)
    every = {name: np.stack([state[name].numpy() for state in states]) for name in states[0]}
    return {name: torch.as_tensor(np.average(values, axis=0, weights=weights)) for name, values in every.items()}


def copy_of(module):
    return {name: value.clone() for name, value in module.state_dict().items()}


def assert_same_state(found, expected, tolerance=1e-9):
    """Parameters and running statistics of two modules of one kind."""
    pairs = list(zip(state_of(found), state_of(expected), strict=True))
    assert pairs
    for a, b in pairs:
        torch.testing.assert_close(a, b, rtol=tolerance, atol=tolerance)
