"""The training loop, one for a single network and for the networks of all folds.

skorch's nets are trained here: their callbacks, history and modules are used as skorch uses them, and only the
rung below the epoch is ours, a tight loop over tensors. Networks of one shape go through it packed together.
"""

import copy
import math
from collections.abc import Iterable, Sequence
from contextlib import AbstractContextManager, ExitStack
from dataclasses import dataclass, field, replace
from itertools import chain, groupby, pairwise
from typing import Any, Protocol

from skorch import NeuralNet
from torch import Tensor, nn

from stackkit.nn._autograd_engine import Solo
from stackkit.nn._batches import n_batches
from stackkit.nn._config import Recipe
from stackkit.nn._modules import BNMLP, is_table
from stackkit.nn._network_state import NetworkState, load_state
from stackkit.nn._packed_engine import PackedMLP, is_exact_here, pack_size
from stackkit.nn._packed_optimizers import MOMENTS


class Engine(Protocol):
    """Networks in training that move together."""

    network_states: list[NetworkState]

    def epoch(self, epoch: int) -> list[float]: ...
    def validation_losses(self) -> list[float]: ...
    def population_statistics(self) -> None: ...
    def state(self, i: int) -> list[Tensor]: ...
    def shown(self, i: int) -> AbstractContextManager[None]: ...
    def moments(self, i: int) -> dict[Tensor, dict[str, Any]]: ...
    def keep(self, indices: list[int]) -> None: ...


@dataclass(eq=False)
class TrainingRun:
    """A skorch net in training; its module's members are the network_states' networks.

    Attributes
    ----------
    net : skorch.NeuralNet
        Initialized.
    network_states : list of NetworkState
    epoch_arguments : dict
        What skorch hands to callbacks at an epoch's beginning and end; empty if there are none to read it.
    remembers : bool
        Whether the net is to go on learning some day: its optimizer then keeps its moments.
    """

    net: NeuralNet
    network_states: list[NetworkState]
    epoch_arguments: dict[str, Any] = field(default_factory=dict)
    remembers: bool = False
    finished: bool = False


def train(training_runs: Sequence[TrainingRun], recipe: Recipe) -> None:
    """Train all networks of all nets, epoch by epoch."""
    for training_run in training_runs:
        training_run.net.notify("on_train_begin", X=None, y=None)
    engines: list[Engine] = []
    for epoch in range(recipe.max_epochs):
        going = [training_run for training_run in training_runs if not training_run.finished]
        for training_run in going:
            training_run.net.notify("on_epoch_begin", **training_run.epoch_arguments)
        if epoch == 0:  # only now: a callback may have frozen weights
            engines = _engines(list(chain.from_iterable(run.network_states for run in training_runs)), recipe)
        for engine in engines:
            _run_epoch(engine, epoch, recipe)
        for training_run in going:
            _end_epoch(training_run, engines, recipe)
        engines = _without_the_finished(engines, training_runs, recipe)
        if not engines:
            break
    for engine in engines:
        _finish(engine, range(len(engine.network_states)), training_runs)
    _settle(training_runs, recipe)
    for training_run in training_runs:
        training_run.net.notify("on_train_end", X=None, y=None)


def _engines(network_states: Sequence[NetworkState], recipe: Recipe) -> list[Engine]:
    """Networks that make as many steps an epoch, on one table, go together; longest part first."""
    packable = recipe.optimizer in MOMENTS and is_exact_here()
    if not packable or not all(_is_plain(network_state.network) for network_state in network_states):
        return [Solo([network_state], recipe) for network_state in network_states]

    def kind(network_state: NetworkState) -> tuple[int, int]:
        return id(network_state.table), n_batches(len(network_state.train), recipe.batch_size)

    ordered = sorted(network_states, key=lambda network_state: (*kind(network_state), -len(network_state.train)))
    engines: list[Engine] = []
    for _, group in groupby(ordered, key=kind):
        members = list(group)
        most = pack_size(_widest(members[0].network), recipe.batch_size, members[0].table.inputs.itemsize)
        packs = math.ceil(len(members) / most)
        edges = [round(len(members) * i / packs) for i in range(packs + 1)]
        engines += [PackedMLP(members[a:b], recipe) for a, b in pairwise(edges)]
    return engines


def _is_plain(network: nn.Module) -> bool:
    """Whether packing trains it as itself: a class of the user's may do otherwise, and frozen weights must stay."""
    return type(network) is BNMLP and all(parameter.requires_grad for parameter in network.parameters())


def _widest(network: nn.Module) -> int:
    return max(parameter.shape[0] for name, parameter in network.named_parameters() if not is_table(name))


def _run_epoch(engine: Engine, epoch: int, recipe: Recipe) -> None:
    for network_state, loss in zip(engine.network_states, engine.epoch(epoch), strict=True):
        if not math.isfinite(loss):
            raise ValueError(
                f"Training diverged: the loss of epoch {epoch + 1} is {loss}. Use a smaller lr (it is {recipe.lr}), "
                f"and look for extreme values in X and y."
            )
        network_state.losses["train"] = loss
    if recipe.patience is not None:
        for i, (network_state, loss) in enumerate(zip(engine.network_states, engine.validation_losses(), strict=True)):
            network_state.losses["valid"] = loss
            enough = loss < network_state.best_loss - recipe.tol
            network_state.epochs_without_gain = 0 if enough else network_state.epochs_without_gain + 1
            if loss < network_state.best_loss or not network_state.kept:
                network_state.best_loss, network_state.kept = loss, [engine.state(i)]
    elif epoch + 1 in recipe.cycle_ends:
        for i, network_state in enumerate(engine.network_states):
            network_state.kept.append(engine.state(i))


def _end_epoch(training_run: TrainingRun, engines: Sequence[Engine], recipe: Recipe) -> None:
    """Report the epoch to skorch as one batch, so that its own callbacks and history work as always."""
    history = training_run.net.history
    history.new_batch()
    for name in training_run.network_states[0].losses:
        rows = getattr(training_run.network_states[0], name)
        history.record_batch(
            f"{name}_loss", sum(p.losses[name] for p in training_run.network_states) / len(training_run.network_states)
        )
        history.record_batch(f"{name}_batch_size", len(rows))
    with ExitStack() as showing:
        if training_run.epoch_arguments:
            for engine in engines:
                for i, network_state in enumerate(engine.network_states):
                    if network_state in training_run.network_states:
                        showing.enter_context(engine.shown(i))
        try:
            training_run.net.notify("on_epoch_end", **training_run.epoch_arguments)
        except KeyboardInterrupt:  # so skorch's callbacks say that it is enough
            training_run.finished = True
    if recipe.patience is not None and all(
        p.epochs_without_gain >= recipe.patience for p in training_run.network_states
    ):
        training_run.finished = True


def _without_the_finished(
    engines: Sequence[Engine], training_runs: Sequence[TrainingRun], recipe: Recipe
) -> list[Engine]:
    stopped = chain.from_iterable(run.network_states for run in training_runs if run.finished)
    stopped_ids = {id(network_state) for network_state in stopped}
    patience = math.inf if recipe.patience is None else recipe.patience

    def is_done(state: NetworkState) -> bool:
        return id(state) in stopped_ids or state.epochs_without_gain >= patience

    going = []
    for engine in engines:
        done = [i for i, state in enumerate(engine.network_states) if is_done(state)]
        on = [i for i in range(len(engine.network_states)) if i not in done]
        if done:
            _finish(engine, done, training_runs)
        if on:
            if done:
                engine.keep(on)
            going.append(engine)
    return going


def _finish(engine: Engine, indices: Iterable[int], training_runs: Sequence[TrainingRun]) -> None:
    remembering = {
        id(network_state): training_run
        for training_run in training_runs
        if training_run.remembers
        for network_state in training_run.network_states
    }
    for i in indices:
        network_state = engine.network_states[i]
        if not network_state.kept:
            network_state.kept = [engine.state(i)]
        if id(network_state) in remembering:
            remembering[id(network_state)].net.optimizer_.state.update(engine.moments(i))


def _settle(training_runs: Sequence[TrainingRun], recipe: Recipe) -> None:
    """Give each net its final members, each with its final statistics."""
    every: list[NetworkState] = []
    for training_run in training_runs:
        members = [
            replace(
                network_state,
                network=network_state.network if i == 0 else copy.deepcopy(network_state.network),
                kept=[state],
            )
            for network_state in training_run.network_states
            for i, state in enumerate(network_state.kept)
        ]
        for member in members:
            load_state(member.network, member.kept[0])
        training_run.net.module_.members = nn.ModuleList(member.network for member in members)
        every += members
    if recipe.population:
        for engine in _engines(every, recipe):
            engine.population_statistics()
            for i, network_state in enumerate(engine.network_states):
                load_state(network_state.network, engine.state(i))
