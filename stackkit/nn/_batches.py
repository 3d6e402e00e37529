"""Which rows each network sees at each step of an epoch, for one network or for many side by side.

An epoch's rows are split evenly: ``round(n / batch_size)`` batches whose sizes differ by one at most. No row
is left out, and there is no small rest: BN has no variance on one row, and a poor one on a few.
"""

from collections.abc import Iterator, Sequence
from itertools import pairwise

import numpy as np
import torch
from torch import Tensor

# (first network, one behind the last, their rows at this step of shape (networks, batch))
BatchGroup = tuple[int, int, Tensor]
# The same for several steps: rows of shape (steps, networks, batch)
Stretch = tuple[int, int, Tensor]


def n_batches(n_rows: int, batch_size: int) -> int:
    """Batches in an epoch; each has two rows at least."""
    return max(1, min(int(n_rows / batch_size + 0.5), n_rows // 2))


def batch_sizes(n_rows: int, batch_size: int) -> np.ndarray:
    steps = n_batches(n_rows, batch_size)
    base, longer = divmod(n_rows, steps)
    return np.where(np.arange(steps) < longer, base + 1, base)


def steps_of(orders: Sequence[Tensor], batch_size: int) -> Iterator[list[BatchGroup]]:
    """One epoch, step by step.

    Parameters
    ----------
    orders : sequence of Tensor of shape (n_rows_of_network,)
        Each network's rows, shuffled. All networks have the same number of batches.
    batch_size : int

    Yields
    ------
    parts : list of (start, stop, rows)
        Neighbouring networks whose batches are of one size go together; ``rows`` has the shape
        (stop - start, size).
    """
    for parts in stretches_of(orders, batch_size):
        for step in range(len(parts[0][2])):
            yield [(a, b, rows[step]) for a, b, rows in parts]


def stretches_of(orders: Sequence[Tensor], batch_size: int) -> Iterator[list[Stretch]]:
    """As `steps_of`, several steps at a time: all those through which no network's batches change their size."""
    sizes = np.array([batch_sizes(len(order), batch_size) for order in orders])  # (networks, steps)
    starts = np.cumsum(sizes, axis=1) - sizes
    changes = np.flatnonzero((np.diff(sizes, axis=1) != 0).any(axis=0)) + 1
    for first, stop in pairwise([0, *changes, sizes.shape[1]]):
        yield [
            (a, b, _stretch(orders[a:b], starts[a:b, first], size, stop - first))
            for a, b, size in _neighbours(sizes[:, first])
        ]


def _neighbours(sizes: np.ndarray) -> list[tuple[int, int, int]]:
    edges = [0, *(np.flatnonzero(np.diff(sizes)) + 1), len(sizes)]
    return [(int(a), int(b), int(sizes[a])) for a, b in pairwise(edges)]


def _stretch(orders: Sequence[Tensor], starts: np.ndarray, size: int, steps: int) -> Tensor:
    """The rows of several steps at once, of shape (steps, networks, size)."""
    cut = [order[start : start + size * steps] for order, start in zip(orders, starts, strict=True)]
    return torch.stack(cut).view(len(cut), steps, size).transpose(0, 1).contiguous()
