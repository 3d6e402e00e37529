"""One network of any kind, trained by autograd: convolutions, and modules of the user's own."""

import warnings
from collections.abc import Iterable, Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager, nullcontext
from typing import Any

import torch
from torch import Tensor, nn

from stackkit.nn._batches import steps_of
from stackkit.nn._config import ADAM_EPS, BETA_1, SGD_MOMENTUM, Recipe, loss_of
from stackkit.nn._modules import decays, pace_of
from stackkit.nn._network_state import NetworkState, state_of
from stackkit.nn._weight_average import MovingAverage

NORMS = (nn.BatchNorm1d, nn.BatchNorm2d, nn.BatchNorm3d)
EVALUATION_ROWS = 1024
BFLOAT16_ERROR = 0.05  # relative, of the outputs; eight bits round to 0.004, and layers add up


class Solo:
    """A network in training by itself; offers what `PackedMLP` offers."""

    def __init__(self, network_states: Sequence[NetworkState], recipe: Recipe) -> None:
        (self._pupil,) = self.network_states = list(network_states)
        self._bfloat16 = recipe.bfloat16
        self.recipe, self._table = recipe, self._pupil.table
        self._network: Any = self._pupil.network
        self._average: MovingAverage | None = None
        if self._pupil.table.inputs.ndim == 4:  # the weights too: one channel looks alike in both layouts
            self._network.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
        self._parameters = _as_matrices(self._network) if recipe.optimizer == "muon" else {}
        self._optimizers = _optimizers(self._network, self._parameters, recipe)
        for optimizer in self._optimizers:
            for parameter in (p for group in optimizer.param_groups for p in group["params"]):
                own = self._parameters.get(parameter, parameter)
                if own in self._pupil.moments:
                    optimizer.state[parameter] = dict(self._pupil.moments[own])

    # --- one epoch -----------------------------------------------------------------------------------

    def epoch(self, epoch: int) -> list[float]:
        steps = list(self._steps())
        if epoch == 0:
            self._try_out(steps[0])
        if self.recipe.ema_decay is not None and (self._average is None or epoch in self.recipe.cycle_ends):
            self._average = MovingAverage(self._network, self.recipe.ema_decay)  # each cycle's own: so snapshots differ
        self._network.train()
        share = self.recipe.regularization(epoch)
        # What a module drops, it draws from torch's global generator.
        with _regularized(self._network, self._optimizers, share), torch.random.fork_rng(devices=[]):
            torch.manual_seed(int(torch.randint(2**31 - 1, (), generator=self._pupil.noise)))
            return self._epoch(epoch, steps)

    def _epoch(self, epoch: int, steps: list[Tensor]) -> list[float]:
        total = torch.zeros((), dtype=self._table.targets.dtype)
        for step, rows in enumerate(steps):
            lr = self.recipe.rate(epoch + step / len(steps))
            for optimizer in self._optimizers:
                for group in optimizer.param_groups:
                    group["lr"] = lr * group.get("pace", 1.0)
            total += self._learn(rows) * len(rows)
        return [float(total) / len(self._pupil.train)]

    def _steps(self) -> Iterable[Tensor]:
        return (parts[0][2][0] for parts in steps_of([self._pupil.shuffled()], self.recipe.batch_size))

    def _learn(self, rows: Tensor) -> Tensor:
        x = self._inputs(rows)
        if self.recipe.augment is not None:
            x = self.recipe.augment(x, self._pupil.noise)
        loss: Any = self._loss(self._output(x), rows)
        self._network.zero_grad()
        loss.backward()
        if self.recipe.clip_norm is not None:
            nn.utils.clip_grad_norm_(self._network.parameters(), self.recipe.clip_norm)
        for matrix, parameter in self._parameters.items():
            matrix.grad = None if parameter.grad is None else _as_matrix(parameter.grad)
        for optimizer in self._optimizers:
            optimizer.step()
        if self._average is not None:
            self._average.update()
        return loss.detach().cpu()

    @torch.no_grad()
    def _try_out(self, rows: Tensor, *, warn: bool = True) -> None:
        """Look at the first batch before anything is learned: is the output as it should be, also in bfloat16?"""
        self._network.eval()
        x, n_outputs = self._inputs(rows), self._table.targets.shape[1]
        self._bfloat16 = False
        output = self._output(x)
        if output.shape != (len(rows), n_outputs):
            raise ValueError(
                f"The module must give {n_outputs} outputs per row, shape {(len(rows), n_outputs)}; "
                f"{type(self._network).__name__} gave the shape {tuple(output.shape)}."
            )
        if self.recipe.bfloat16:
            self._bfloat16 = True
            error = (self._output(x) - output).norm() / output.norm().clamp(min=1e-12)
            if not error <= BFLOAT16_ERROR:
                self._bfloat16 = False
                if warn:
                    warnings.warn(
                        f"bfloat16 changes the first batch's outputs by {float(error):.0%}; training in float32.",
                        RuntimeWarning,
                        stacklevel=2,
                    )

    def _inputs(self, rows: Tensor) -> Tensor:
        x = self._table.inputs[rows]
        x = self._pupil.scaled(x if self._pupil.n_features is None else x[:, : self._pupil.n_features])
        unseen = self._pupil.unseen
        if unseen is not None:
            x[:, : len(unseen)].masked_fill_(unseen, 0.0)
        return x

    def _output(self, x: Tensor) -> Tensor:
        with torch.autocast(self.recipe.device.type, torch.bfloat16, enabled=self._bfloat16):
            output = self._network(x)
        return output.to(self._table.targets.dtype)

    def _loss(self, output: Tensor, rows: Tensor) -> Tensor:
        target, weight = self._table.targets[rows], self._pupil.weight
        if self._pupil.mean is not None and self._pupil.scale is not None:
            target = (target - self._pupil.mean) / self._pupil.scale
        weight = None if weight is None else weight[rows]
        return loss_of(output, target, weight, classifier=self.recipe.classifier)

    # --- between epochs --------------------------------------------------------------------------------

    @torch.no_grad()
    def validation_losses(self) -> list[float]:
        self._network.eval()
        valid: Any = self._pupil.valid_rows
        parts = valid.split(EVALUATION_ROWS)
        with self.shown(0):
            losses = [float(self._loss(self._output(self._inputs(rows)), rows)) * len(rows) for rows in parts]
        return [sum(losses) / len(valid)]

    @torch.no_grad()
    def population_statistics(self) -> None:
        """Algorithm 2 of Ioffe and Szegedy: means of the batches' means and unbiased variances, weights fixed."""
        if self._bfloat16:  # as in training, which may have found it too coarse
            self._try_out(self._pupil.train[: self.recipe.batch_size], warn=False)
        norms = [m for m in self._network.modules() if isinstance(m, NORMS) and m.track_running_stats]
        with _gathering(self._network, norms):
            for parts in steps_of([self._pupil.sample()], self.recipe.batch_size) if norms else ():
                self._output(self._inputs(parts[0][2][0]))

    def state(self, i: int) -> list[Tensor]:
        tensors = state_of(self._network) if self._average is None else self._average.state
        return [tensor.detach().clone() for tensor in tensors]

    def shown(self, i: int) -> AbstractContextManager[None]:
        """While the network is looked at, it holds what it would end with."""
        return nullcontext() if self._average is None else self._average.in_the_network()

    def moments(self, i: int) -> dict[Tensor, dict[str, Any]]:
        return {
            self._parameters.get(parameter, parameter): state
            for optimizer in self._optimizers
            for parameter, state in optimizer.state.items()
        }

    def keep(self, indices: list[int]) -> None:
        """Nobody else is here."""


@contextmanager
def _regularized(network: nn.Module, optimizers: Sequence[torch.optim.Optimizer], share: float) -> Iterator[None]:
    """Meanwhile dropout and weight decay are this share of what they are."""
    layers = [(layer, layer.p) for layer in network.modules() if isinstance(layer, nn.Dropout)]
    groups = [group for optimizer in optimizers for group in optimizer.param_groups]
    decays = [group["weight_decay"] for group in groups]
    for layer, whole in layers:
        layer.p = whole * share
    for group, whole in zip(groups, decays, strict=True):
        group["weight_decay"] = whole * share
    yield
    for layer, whole in layers:
        layer.p = whole
    for group, whole in zip(groups, decays, strict=True):
        group["weight_decay"] = whole


@contextmanager
def _gathering(network: nn.Module, norms: list[Any]) -> Iterator[None]:
    """BN keeps the plain mean over all batches; what else behaves otherwise in training (dropout) does not."""
    momenta = [norm.momentum for norm in norms]
    network.eval()
    for norm in norms:
        norm.reset_running_stats()
        norm.momentum = None
        norm.train()
    yield
    for norm, momentum in zip(norms, momenta, strict=True):
        norm.momentum = momentum


def inner_weights(network: nn.Module) -> list[nn.Parameter]:
    """What Muon moves: all weights but the output layer's, which come last, and nothing that waves are made of."""
    return [parameter for name, parameter in network.named_parameters() if decays(name, parameter.ndim)][:-1]


def _as_matrices(network: nn.Module) -> dict[Tensor, nn.Parameter]:
    """Muon works on matrices, sharing the parameters' memory."""
    return {_as_matrix(weight.detach()): weight for weight in inner_weights(network)}


def _as_matrix(weight: Tensor) -> Tensor:
    """A filter a row; where it lies channels last, so do the columns, which is a view and no copy."""
    if weight.ndim == 4 and not weight.is_contiguous():
        weight = weight.permute(0, 2, 3, 1)
    return weight.view(len(weight), -1)


def _optimizers(
    network: nn.Module, matrices: dict[Tensor, nn.Parameter], recipe: Recipe
) -> list[torch.optim.Optimizer]:
    inner = set(matrices.values())
    kinds: dict[tuple[float, float], list[Tensor]] = {}
    for name, parameter in network.named_parameters():
        if parameter not in inner:
            decay = recipe.weight_decay if decays(name, parameter.ndim) else 0.0
            kinds.setdefault((decay, pace_of(name, recipe.lr)), []).append(parameter)
    groups = [{"params": found, "weight_decay": decay, "pace": pace} for (decay, pace), found in kinds.items()]
    if isinstance(recipe.optimizer, type):
        own: Any = recipe.optimizer
        return [own(groups, lr=recipe.lr)]
    if recipe.optimizer == "sgd":
        return [torch.optim.SGD(groups, lr=recipe.lr, momentum=SGD_MOMENTUM, nesterov=True, fused=True)]
    adam = torch.optim.AdamW(groups, lr=recipe.lr, betas=(BETA_1, recipe.beta_2), eps=ADAM_EPS, fused=True)
    if not matrices:
        return [adam]
    muon = torch.optim.Muon(matrices, lr=recipe.lr, weight_decay=recipe.weight_decay, adjust_lr_fn="match_rms_adamw")
    return [adam, muon]
