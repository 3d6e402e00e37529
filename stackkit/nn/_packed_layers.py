"""The layers of some neighbouring networks of a pack, and what goes through them in one step.

Shapes: k networks, b rows per batch, d features (E encoded ones), m columns for waves, h units, c outputs.
"""

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial

import torch
from torch import Tensor

from stackkit.nn._encoding import PackedEncoding


@dataclass(frozen=True)
class Norm:
    """BN of one layer of some networks; parameters, statistics and gradients of shape (k * h,)."""

    gamma: Tensor
    beta: Tensor
    mean: Tensor
    var: Tensor
    d_gamma: Tensor
    d_beta: Tensor


@dataclass(frozen=True)
class Dense:
    """One layer of some networks: weight (k, out, in), bias (k, out, 1) or None, and their gradients.

    Its inputs may have factors, ``scale`` (k, in): they are in the weights of ``product`` and ``backward``, which cost
    less than inputs of every row would.
    """

    weight: Tensor
    bias: Tensor | None
    d_weight: Tensor
    d_bias: Tensor | None
    norm: Norm | None = None
    scale: Tensor | None = None
    d_scale: Tensor | None = None

    @property
    def scaled_weight(self) -> Tensor:
        return self.weight if self.scale is None else self.weight * self.scale.unsqueeze(1)


@dataclass(frozen=True)
class Waves:
    """`PeriodicEmbedding` of some networks: each of its parameters (k, ...) and that one's gradient."""

    frequency: Tensor  # (k, m, 16)
    phase: Tensor  # (k, m, 16)
    weight: Tensor  # (k, m, 3, 16)
    into: Tensor  # (k, h, 3 m)
    gradients: dict[str, Tensor]

    def features(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """Features (k, 3 m, b) of columns (k, m, b), and the angles (k, m, 16, b) that they are made of."""
        angles = (2 * math.pi * self.frequency).unsqueeze(3) * x.unsqueeze(2) + self.phase.unsqueeze(3)
        features = torch.matmul(self.weight, angles.cos())  # (k, m, 3, b)
        return features.flatten(1, 2), angles

    def backward(self, x: Tensor, features: Tensor, angles: Tensor, dz: Tensor) -> None:
        """Write the gradients, given the one at the first layer's product, (k, h, b)."""
        torch.bmm(dz, features.transpose(1, 2), out=self.gradients["into.weight"])
        k, m, g, _ = self.weight.shape
        d_features = torch.bmm(self.into.transpose(1, 2), dz).view(k, m, g, -1)  # (k, m, 3, b)
        torch.matmul(d_features, angles.cos().transpose(2, 3), out=self.gradients["weight"])
        d_angles = torch.matmul(self.weight.transpose(2, 3), d_features).mul_(angles.sin()).neg_()  # (k, m, 16, b)
        torch.sum(d_angles, 3, out=self.gradients["phase"])
        torch.matmul(d_angles, x.unsqueeze(3), out=self.gradients["frequency"].unsqueeze(3))
        self.gradients["frequency"].mul_(2 * math.pi)


@dataclass(frozen=True)
class View:
    """Some neighbouring networks of a pack."""

    start: int
    stop: int
    encoding: PackedEncoding | None
    waves: Waves | None
    input_norm: Norm | None
    hidden: list[Dense]
    output: Dense


@dataclass(frozen=True)
class Batch:
    """What some networks learn from in one step.

    ``inputs`` (k, d, b), or encoded (k, E, b), columns for waves (k, m, b) if there are any, ``target`` (k, c, b),
    ``weight`` (k, 1, b) or None, and what dropout multiplies each hidden layer's activation by: ``masks``, each
    (k, h, b).
    """

    inputs: Tensor
    target: Tensor
    weight: Tensor | None
    periodic: Tensor | None = None
    masks: Sequence[Tensor] = ()

    def part(self, rows: slice, masks: Sequence[Tensor]) -> "Batch":
        """Of some of the rows."""
        weight, periodic = (None if tensor is None else tensor[:, :, rows] for tensor in (self.weight, self.periodic))
        return Batch(self.inputs[:, :, rows], self.target[:, :, rows], weight, periodic, masks)


def product(layer: Dense, x: Tensor) -> Tensor:
    weight = layer.scaled_weight
    return torch.bmm(weight, x) if layer.bias is None else torch.baddbmm(layer.bias, weight, x)


def add_waves(view: View, batch: Batch, z: Tensor) -> Callable[[Tensor], None] | None:
    """Add to the first layer's product what it makes of the waves; give what takes the gradient back to them."""
    if view.waves is None or batch.periodic is None:
        return None
    features, angles = view.waves.features(batch.periodic)
    z.baddbmm_(view.waves.into, features)
    return partial(view.waves.backward, batch.periodic, features, angles)


def backward(layer: Dense, x: Tensor, dz: Tensor, *, needs_input: bool) -> Tensor:
    """Write the layer's gradients; give the gradient at its input (nothing of use if nobody needs it)."""
    torch.bmm(dz, x.transpose(1, 2), out=layer.d_weight)
    if layer.scale is not None and layer.d_scale is not None:
        torch.sum(layer.d_weight * layer.weight, 1, out=layer.d_scale)
        layer.d_weight.mul_(layer.scale.unsqueeze(1))
    if layer.d_bias is not None:
        torch.sum(dz, 2, out=layer.d_bias)
    return torch.bmm(layer.scaled_weight.transpose(1, 2), dz) if needs_input else dz
