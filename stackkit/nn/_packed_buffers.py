"""Where the tensors of a pack's networks lie in memory, and the layers of neighbouring networks as views of them.

Shapes: N networks, of which k neighbours are looked at.
"""

from collections.abc import Collection, Sequence

import torch
from torch import Tensor

from stackkit.nn._encoding import Encoding, PackedEncoding
from stackkit.nn._modules import TABLE_WIDTH
from stackkit.nn._packed_embeddings import Tables, Waves
from stackkit.nn._packed_layers import Dense, Norm, View


class Blocks:
    """N networks' tensors of several names in one flat buffer, a block (N, *shape) a name."""

    def __init__(self, shapes: dict[str, torch.Size], n: int, like: Tensor) -> None:
        self.shapes = shapes
        self.flat = torch.zeros(
            n * sum(shape.numel() for shape in shapes.values()), dtype=like.dtype, device=like.device
        )
        self.of: dict[str, Tensor] = {}
        start = 0
        for name, shape in shapes.items():
            end = start + n * shape.numel()
            self.of[name] = self.flat[start:end].view(n, *shape)
            start = end

    def part(self, name: str, i: int, shape: torch.Size) -> Tensor:
        """One network's own tensor; the block may be larger, with zeros for features that this network lacks."""
        return self.of[name][i][tuple(slice(length) for length in shape)]

    def together(self, names: list[str]) -> Tensor:
        """The tensors of neighbouring names as one: flat, but for a single one, which keeps its shape."""
        first, last = self.of[names[0]], self.of[names[-1]]
        if len(names) == 1:
            return first
        return self.flat[first.storage_offset() : last.storage_offset() + last.numel()]

    def select(self, keep: list[int]) -> "Blocks":
        chosen = Blocks(self.shapes, len(keep), self.flat)
        for name, block in self.of.items():
            chosen.of[name].copy_(block[keep])
        return chosen


class Views:
    """Makes the layers of the networks from one to before another.

    Parameters
    ----------
    theta, gradient, running : Blocks
        Parameters, their gradients, and BN's statistics.
    encodings : sequence of Encoding or None
        Each network's.
    widths : tuple of two int
        Columns of the table, and inputs of the first layer.
    depth : int
        Hidden layers.
    narrow : collection of str
        Names of the layers that learn from inputs in bfloat16.
    """

    def __init__(
        self,
        theta: Blocks,
        gradient: Blocks,
        running: Blocks,
        encodings: Sequence[Encoding | None],
        widths: tuple[int, int],
        depth: int,
        narrow: Collection[str] = (),
    ) -> None:
        self._theta, self._gradient, self._running = theta, gradient, running
        self._encodings, self._widths, self._depth, self._narrow = encodings, widths, depth, narrow

    def __call__(self, start: int, stop: int) -> View:
        return View(
            start,
            stop,
            self._encoding(start, stop),
            self._waves(start, stop),
            self._tables(start, stop),
            self._norm("input_norm", start, stop),
            [self._dense(f"linears.{i}", start, stop, f"norms.{i}") for i in range(self._depth)],
            self._dense("output", start, stop),
        )

    def _encoding(self, start: int, stop: int) -> PackedEncoding | None:
        encodings = [encoding for encoding in self._encodings[start:stop] if encoding is not None]
        if not encodings:
            return None
        n_columns, n_inputs = self._widths
        n_periodic = self._theta.shapes.get("embedding.frequency", (0,))[0]
        n_tables = self._theta.shapes.get("tables.into.weight", (0, 0))[1] // TABLE_WIDTH
        return PackedEncoding(encodings, n_columns, (n_inputs, n_periodic, n_tables), self._theta.flat)

    def _waves(self, start: int, stop: int) -> Waves | None:
        theta, gradients = (self._parts(blocks, "embedding.", start, stop) for blocks in (self._theta, self._gradient))
        return Waves(into=theta.pop("into.weight"), **theta, gradients=gradients) if theta else None

    def _tables(self, start: int, stop: int) -> Tables | None:
        theta, gradients = (self._parts(blocks, "tables.", start, stop) for blocks in (self._theta, self._gradient))
        return Tables(theta["weight"], theta["into.weight"], gradients) if theta else None

    @staticmethod
    def _parts(blocks: Blocks, prefix: str, start: int, stop: int) -> dict[str, Tensor]:
        """What belongs to one module, by its own names."""
        return {n.removeprefix(prefix): block[start:stop] for n, block in blocks.of.items() if n.startswith(prefix)}

    def _dense(self, name: str, start: int, stop: int, norm: str = "") -> Dense:
        def cut(blocks: Blocks, what: str) -> Tensor | None:
            block = blocks.of.get(what)
            return None if block is None else block[start:stop]

        bias, d_bias = cut(self._theta, f"{name}.bias"), cut(self._gradient, f"{name}.bias")
        is_first = name == ("linears.0" if self._depth else "output")
        scale, d_scale = (
            cut(blocks, "front_scale.weight") if is_first else None for blocks in (self._theta, self._gradient)
        )
        return Dense(
            self._theta.of[f"{name}.weight"][start:stop],
            None if bias is None else bias.unsqueeze(2),
            self._gradient.of[f"{name}.weight"][start:stop],
            d_bias,
            self._norm(norm, start, stop),
            scale,
            d_scale,
            name in self._narrow,
        )

    def _norm(self, name: str, start: int, stop: int) -> Norm | None:
        if f"{name}.weight" not in self._theta.of:
            return None

        def cut(blocks: Blocks, what: str) -> Tensor:
            return blocks.of[f"{name}.{what}"][start:stop].view(-1)

        return Norm(
            cut(self._theta, "weight"),
            cut(self._theta, "bias"),
            cut(self._running, "running_mean"),
            cut(self._running, "running_var"),
            cut(self._gradient, "weight"),
            cut(self._gradient, "bias"),
        )
