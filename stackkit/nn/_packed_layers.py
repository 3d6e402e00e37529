"""The layers of some neighbouring networks of a pack, and what goes through them in one step.

Shapes: k networks, b rows per batch, d features (E encoded ones), m columns for waves, q with tables, h units, c
outputs.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial

import torch
from torch import Tensor

from stackkit.nn._encoding import PackedEncoding
from stackkit.nn._packed_embeddings import Tables, Waves

aten = torch.ops.aten

# Activations from which sums of our own are faster than torch.native_batch_norm, which makes less calls (measured).
LARGE_NORM = 50_000


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
    less than inputs of every row would. Inputs of another type than the weights are multiplied in theirs: ``narrow``
    layers learn from inputs in bfloat16.
    """

    weight: Tensor
    bias: Tensor | None
    d_weight: Tensor
    d_bias: Tensor | None
    norm: Norm | None = None
    scale: Tensor | None = None
    d_scale: Tensor | None = None
    narrow: bool = False

    @property
    def scaled_weight(self) -> Tensor:
        return self.weight if self.scale is None else self.weight * self.scale.unsqueeze(1)


@dataclass(frozen=True)
class View:
    """Some neighbouring networks of a pack."""

    start: int
    stop: int
    encoding: PackedEncoding | None
    waves: Waves | None
    tables: Tables | None
    input_norm: Norm | None
    hidden: list[Dense]
    output: Dense


@dataclass(frozen=True)
class Batch:
    """What some networks learn from in one step.

    ``inputs`` (k, d, b), or encoded (k, E, b), ``target`` (k, c, b), ``weight`` (k, 1, b) or None, columns for waves
    (k, m, b) and entries of tables (k, q, b) if there are any, and what dropout multiplies each hidden layer's
    activation by: ``masks``, each (k, h, b).
    """

    inputs: Tensor
    target: Tensor
    weight: Tensor | None
    periodic: Tensor | None = None
    entries: Tensor | None = None
    masks: Sequence[Tensor] = ()

    def part(self, rows: slice, masks: Sequence[Tensor]) -> "Batch":
        """Of some of the rows."""
        given = self.weight, self.periodic, self.entries
        weight, periodic, entries = (None if tensor is None else tensor[:, :, rows] for tensor in given)
        return Batch(self.inputs[:, :, rows], self.target[:, :, rows], weight, periodic, entries, masks)


def product(layer: Dense, x: Tensor) -> Tensor:
    weight = layer.scaled_weight
    if x.dtype != weight.dtype:
        z = torch.bmm(weight.to(x.dtype), x).to(weight.dtype)
        return z if layer.bias is None else z.add_(layer.bias)
    return torch.bmm(weight, x) if layer.bias is None else torch.baddbmm(layer.bias, weight, x)


def add_embedded(view: View, batch: Batch, z: Tensor) -> list[Callable[[Tensor], None]]:
    """Add to the first layer's product what it makes of waves and tables; give what takes the gradient back to them."""
    back: list[Callable[[Tensor], None]] = []
    pairs: tuple[tuple[Waves | Tables | None, Tensor | None], ...]
    pairs = (view.waves, batch.periodic), (view.tables, batch.entries)
    for embedding, columns in pairs:
        if embedding is not None and columns is not None:
            features, made_of = embedding.features(columns)
            z.baddbmm_(embedding.into, features)
            back.append(partial(embedding.backward, columns, features, made_of))
    return back


def backward(layer: Dense, x: Tensor, dz: Tensor, *, needs_input: bool) -> Tensor:
    """Write the layer's gradients; give the gradient at its input (nothing of use if nobody needs it)."""
    dy = dz.to(x.dtype)
    if dy is dz:
        torch.bmm(dz, x.transpose(1, 2), out=layer.d_weight)
    else:
        layer.d_weight.copy_(torch.bmm(dy, x.transpose(1, 2)))
    if layer.scale is not None and layer.d_scale is not None:
        torch.sum(layer.d_weight * layer.weight, 1, out=layer.d_scale)
        layer.d_weight.mul_(layer.scale.unsqueeze(1))
    if layer.d_bias is not None:
        torch.sum(dz, 2, out=layer.d_bias)
    if not needs_input:
        return dz
    return torch.bmm(layer.scaled_weight.to(x.dtype).transpose(1, 2), dy).to(dz.dtype)


def normalise(z: Tensor, norm: Norm, momentum: float, eps: float) -> tuple[Tensor, tuple[Tensor, Tensor, Tensor]]:
    """Normalised z, and what the gradient needs: rows (k * h, b), their means and 1 / standard deviations."""
    k, h, b = z.shape
    flat = z.reshape(k * h, b)
    if flat.numel() < LARGE_NORM:
        y, mean, inverse_sd = torch.native_batch_norm(
            flat.unsqueeze(0), norm.gamma, norm.beta, norm.mean, norm.var, True, momentum, eps
        )
        return y.view(k, h, b), (flat, mean, inverse_sd)
    mean = flat.mean(1)
    centred = flat - mean.unsqueeze(1)
    var = torch.linalg.vector_norm(centred, dim=1).square_().div_(b)
    inverse_sd = (var + eps).rsqrt_()
    y = (centred * (norm.gamma * inverse_sd).unsqueeze(1)).add_(norm.beta.unsqueeze(1))
    norm.mean.lerp_(mean, momentum)
    norm.var.lerp_(var.mul_(b / (b - 1)), momentum)
    return y.view(k, h, b), (centred, torch.zeros_like(mean), inverse_sd)


def normalise_backward(dy: Tensor, norm: Norm, saved: tuple[Tensor, Tensor, Tensor], eps: float) -> Tensor:
    flat, mean, inverse_sd = saved
    dz, d_gamma, d_beta = aten.native_batch_norm_backward(
        dy.reshape(1, *flat.shape), flat.unsqueeze(0), norm.gamma, norm.mean, norm.var, mean, inverse_sd, True,
        eps, [True] * 3,
    )  # fmt: skip
    norm.d_gamma.copy_(d_gamma)
    norm.d_beta.copy_(d_beta)
    return dz.view(dy.shape)
