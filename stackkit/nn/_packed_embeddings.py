"""What the first layers of some neighbouring networks of a pack get beside their inputs: waves of columns, and tables.

Shapes: k networks, b rows per batch, m columns for waves, q columns with tables of T levels in all, h units.
"""

import math
from dataclasses import dataclass

import torch
from torch import Tensor


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
class Tables:
    """`LevelTables` of some networks; each of its parameters (k, ...) and that one's gradient."""

    weight: Tensor  # (k, 1 + T, 8)
    into: Tensor  # (k, h, 8 q)
    gradients: dict[str, Tensor]

    def features(self, entries: Tensor) -> tuple[Tensor, Tensor]:
        """Features (k, 8 q, b) of entries (k, q, b), and places of the rows (k, q, b) among those of all networks."""
        k, q, b = entries.shape
        _, n_rows, width = self.weight.shape
        places = entries + (n_rows * torch.arange(k, device=entries.device)).view(-1, 1, 1)
        rows = self.weight.reshape(-1, width).index_select(0, places.reshape(-1)).view(k, q, b, width)
        return rows.transpose(2, 3).reshape(k, q * width, b), places

    def backward(self, _entries: Tensor, features: Tensor, places: Tensor, dz: Tensor) -> None:
        """Write the gradients, given the one at the first layer's product, (k, h, b)."""
        torch.bmm(dz, features.transpose(1, 2), out=self.gradients["into.weight"])
        k, q, b = places.shape
        gradient = self.gradients["weight"]  # (k, 1 + T, 8)
        d_features = torch.bmm(self.into.transpose(1, 2), dz).view(k, q, -1, b)
        d_rows = d_features.transpose(2, 3).reshape(-1, gradient.shape[2])  # (k q b, 8)
        gradient.zero_().view(-1, gradient.shape[2]).index_add_(0, places.reshape(-1), d_rows)
        gradient[:, 0] = 0.0  # of values without a level: it stays zero
