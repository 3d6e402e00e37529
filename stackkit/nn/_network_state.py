"""One network in training: what it learns from, and how far it has come."""

from collections.abc import Callable
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from stackkit.nn._encoding import Encoding

# Rows that the population statistics are taken from at most: they then are within a hundredth of a standard
# deviation, and cost a part of an epoch however many rows there are.
POPULATION_ROWS = 16_384


@dataclass(frozen=True, eq=False)
class TrainingTable:
    """What all networks of one fit read from: ``inputs`` (n, ...) and ``targets`` (n, c), one-hot for classes.

    The user's targets are ``targets * scale + mean``.
    """

    inputs: Tensor
    targets: Tensor
    mean: np.ndarray = field(default_factory=lambda: np.zeros(1))
    scale: np.ndarray = field(default_factory=lambda: np.ones(1))

    def seen(self, affine: tuple[np.ndarray, np.ndarray]) -> tuple[np.ndarray, np.ndarray]:
        """A mean and a scale of the user's targets, as they are in the table."""
        return (affine[0] - self.mean) / self.scale, affine[1] / self.scale

    @cached_property
    def joined(self) -> Tensor:
        """Inputs and targets side by side, so that a batch is gathered at once."""
        return torch.cat([self.inputs, self.targets], dim=1).contiguous()


@dataclass(eq=False)
class NetworkState:
    """One network and its own part of the table.

    Attributes
    ----------
    network : nn.Module
    table : TrainingTable
    train, valid : Tensor of int, and Tensor or None
        Rows of the table to learn from, and rows to decide on when to stop.
    order, noise : torch.Generator
        Shuffle its rows, and draw what it drops and distorts; its own, so that it learns the same alone and
        beside others.
    n_features : int or None
        How many of the table's columns it has, the first ones; None: all.
    weight : Tensor of shape (n,) or None
        A weight for each row of the table, mean one over ``train``.
    mean, scale : Tensor of shape (c,) or None
        Taken from the targets, and then divided by: of its own training rows.
    encoding : Encoding or None
        What its columns become before its first layer; None: they stay as they are.
    unseen : Tensor of bool, shape (d,) or (E,), or None
        Inputs of its first layer that are zero, whatever the table holds; None: it sees them all.
    scaled : callable
        Makes of a batch of the table's rows what the network expects.
    moments : dict of parameter -> dict of str -> Tensor
        What its optimizer remembers, as torch's optimizers keep it; empty at the start.
    kept : list of list of Tensor
        States to end with: the last or the best one, or one a snapshot.
    losses : dict
        Of the last epoch: ``"train"`` and, with rows to validate on, ``"valid"``.
    """

    network: nn.Module
    table: TrainingTable
    train: Tensor
    order: torch.Generator
    noise: torch.Generator
    valid: Tensor | None = None
    n_features: int | None = None
    weight: Tensor | None = None
    mean: Tensor | None = None
    scale: Tensor | None = None
    encoding: Encoding | None = None
    unseen: Tensor | None = None
    scaled: Callable[[Tensor], Tensor] = lambda inputs: inputs
    moments: dict[Tensor, dict[str, Any]] = field(default_factory=dict)
    kept: list[list[Tensor]] = field(default_factory=list)
    losses: dict[str, float] = field(default_factory=dict)
    best_loss: float = float("inf")
    epochs_without_gain: int = 0

    @property
    def valid_rows(self) -> Tensor:
        if self.valid is None:
            raise ValueError("no rows were set aside")
        return self.valid

    def shuffled(self) -> Tensor:
        return self.train[torch.randperm(len(self.train), generator=self.order)]

    def sample(self) -> Tensor:
        """Rows to take the final statistics of BN from."""
        return self.shuffled()[:POPULATION_ROWS]


def state_of(network: nn.Module) -> list[Tensor]:
    """All that training changes: parameters, then running statistics."""
    return [*network.parameters(), *(buffer for buffer in network.buffers() if buffer.is_floating_point())]


@torch.no_grad()
def load_state(network: nn.Module, state: list[Tensor]) -> None:
    for tensor, value in zip(state_of(network), state, strict=True):
        tensor.copy_(value)
