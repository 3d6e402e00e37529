"""The training loop, one for a single network and for the networks of all folds.

skorch's nets are trained here: their callbacks, history and modules are used as skorch uses them, and only the
rung below the epoch is ours, a tight loop over tensors. Networks of one shape go through it packed together.
"""

import copy
import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field, replace
from itertools import groupby, pairwise
from typing import Any, Protocol

from skorch import NeuralNet
from torch import Tensor, nn

from stackkit.nn._autograd_engine import Solo
from stackkit.nn._batches import n_batches
from stackkit.nn._config import Recipe
from stackkit.nn._modules import BNMLP
from stackkit.nn._network_state import Pupil, load_state
from stackkit.nn._packed_engine import PackedMLP, is_exact_here, pack_size


class Engine(Protocol):
    """Networks in training that move together."""

    pupils: list[Pupil]

    def epoch(self, epoch: int) -> list[float]: ...
    def validation_losses(self) -> list[float]: ...
    def population_statistics(self) -> None: ...
    def state(self, i: int) -> list[Tensor]: ...
    def moments(self, i: int) -> dict[Tensor, dict[str, Any]]: ...
    def keep(self, indices: list[int]) -> None: ...


@dataclass(eq=False)
class Course:
    """A skorch net in training; its module's members are the pupils' networks.

    Attributes
    ----------
    net : skorch.NeuralNet
        Initialized.
    pupils : list of Pupil
    epoch_arguments : dict
        What skorch hands to callbacks at an epoch's beginning and end; empty if there are none to read it.
    remembers : bool
        Whether the net is to go on learning some day: its optimizer then keeps its moments.
    """

    net: NeuralNet
    pupils: list[Pupil]
    epoch_arguments: dict[str, Any] = field(default_factory=dict)
    remembers: bool = False
    finished: bool = False


def train(courses: Sequence[Course], recipe: Recipe) -> None:
    """Train all networks of all nets, epoch by epoch."""
    for course in courses:
        course.net.notify("on_train_begin", X=None, y=None)
    engines: list[Engine] = []
    for epoch in range(recipe.max_epochs):
        for course in (c for c in courses if not c.finished):
            course.net.notify("on_epoch_begin", **course.epoch_arguments)
        if epoch == 0:  # only now: a callback may have frozen weights
            engines = _engines([pupil for course in courses for pupil in course.pupils], recipe)
        for engine in engines:
            _run_epoch(engine, epoch, recipe)
        for course in (c for c in courses if not c.finished):
            _end_epoch(course, engines, recipe)
        engines = _without_the_finished(engines, courses, recipe)
        if not engines:
            break
    for engine in engines:
        _take_leave(engine, range(len(engine.pupils)), courses)
    _settle(courses, recipe)
    for course in courses:
        course.net.notify("on_train_end", X=None, y=None)


def _engines(pupils: Sequence[Pupil], recipe: Recipe) -> list[Engine]:
    """Networks that make as many steps an epoch, on one table, go together; longest part first."""
    packable = recipe.optimizer in ("adam", "sgd") and is_exact_here()
    if not packable or not all(_is_plain(pupil.network) for pupil in pupils):
        return [Solo([pupil], recipe) for pupil in pupils]

    def kind(pupil: Pupil) -> tuple[int, int]:
        return id(pupil.table), n_batches(len(pupil.train), recipe.batch_size)

    ordered = sorted(pupils, key=lambda pupil: (*kind(pupil), -len(pupil.train)))
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
    return max(parameter.shape[0] for parameter in network.parameters())


def _run_epoch(engine: Engine, epoch: int, recipe: Recipe) -> None:
    for pupil, loss in zip(engine.pupils, engine.epoch(epoch), strict=True):
        if not math.isfinite(loss):
            raise ValueError(
                f"Training diverged: the loss of epoch {epoch + 1} is {loss}. Use a smaller lr (it is {recipe.lr}), "
                f"and look for extreme values in X and y."
            )
        pupil.losses["train"] = loss
    if recipe.patience is not None:
        for i, (pupil, loss) in enumerate(zip(engine.pupils, engine.validation_losses(), strict=True)):
            pupil.losses["valid"] = loss
            if loss < pupil.best_loss - recipe.tol or not pupil.kept:
                pupil.best_loss, pupil.epochs_without_gain, pupil.kept = loss, 0, [engine.state(i)]
            else:
                pupil.epochs_without_gain += 1
    elif epoch + 1 in recipe.cycle_ends:
        for i, pupil in enumerate(engine.pupils):
            pupil.kept.append(engine.state(i))


def _end_epoch(course: Course, engines: Sequence[Engine], recipe: Recipe) -> None:
    """Report the epoch to skorch as one batch, so that its own callbacks and history work as always."""
    history = course.net.history
    history.new_batch()
    for name in course.pupils[0].losses:
        rows = getattr(course.pupils[0], name)
        history.record_batch(f"{name}_loss", sum(p.losses[name] for p in course.pupils) / len(course.pupils))
        history.record_batch(f"{name}_batch_size", len(rows))
    if course.epoch_arguments:
        for engine in engines:
            for i, pupil in enumerate(engine.pupils):
                if pupil in course.pupils:
                    load_state(pupil.network, engine.state(i))
    try:
        course.net.notify("on_epoch_end", **course.epoch_arguments)
    except KeyboardInterrupt:  # so skorch's callbacks say that it is enough
        course.finished = True
    if recipe.patience is not None and all(p.epochs_without_gain >= recipe.patience for p in course.pupils):
        course.finished = True


def _without_the_finished(engines: Sequence[Engine], courses: Sequence[Course], recipe: Recipe) -> list[Engine]:
    stopped = {id(pupil) for course in courses if course.finished for pupil in course.pupils}
    going = []
    for engine in engines:
        patience = math.inf if recipe.patience is None else recipe.patience
        done = [i for i, p in enumerate(engine.pupils) if id(p) in stopped or p.epochs_without_gain >= patience]
        on = [i for i in range(len(engine.pupils)) if i not in done]
        if done:
            _take_leave(engine, done, courses)
        if on:
            if done:
                engine.keep(on)
            going.append(engine)
    return going


def _take_leave(engine: Engine, indices: Iterable[int], courses: Sequence[Course]) -> None:
    remembering = {id(pupil): course for course in courses if course.remembers for pupil in course.pupils}
    for i in indices:
        pupil = engine.pupils[i]
        if not pupil.kept:
            pupil.kept = [engine.state(i)]
        if id(pupil) in remembering:
            remembering[id(pupil)].net.optimizer_.state.update(engine.moments(i))


def _settle(courses: Sequence[Course], recipe: Recipe) -> None:
    """Give each net its final members, each with its final statistics."""
    every: list[Pupil] = []
    for course in courses:
        members = [
            replace(pupil, network=pupil.network if i == 0 else copy.deepcopy(pupil.network), kept=[state])
            for pupil in course.pupils
            for i, state in enumerate(pupil.kept)
        ]
        for member in members:
            load_state(member.network, member.kept[0])
        course.net.module_.members = nn.ModuleList(member.network for member in members)
        every += members
    if recipe.population:
        for engine in _engines(every, recipe):
            engine.population_statistics()
            for i, pupil in enumerate(engine.pupils):
                load_state(pupil.network, engine.state(i))
