"""What the levels of categories become: an indicator each, or a row each of a table that is learned.

Few levels have indicators, many have a table [1]_: a network's first layer then gets a few numbers for each level, in
which alike levels come to be alike, where indicators would give each level weights of its own.

Shapes: n rows, q columns of categories, C codes; k networks, b rows of a batch.

.. [1] C. Guo and F. Berkhahn, "Entity Embeddings of Categorical Variables", arXiv:1604.06737, 2016.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np
import torch
from torch import Tensor

MOST_INDICATORS = 8  # of a column; with more levels it has a table
LEAST_ROWS = 3  # of a level that stands for itself; rarer ones are one level, together with those that rows lack


def _none(*shape: int) -> np.ndarray:
    return np.zeros(shape, dtype=int)


@dataclass(frozen=True, eq=False)
class Levels:
    """Entries of the levels of some columns: of all indicators, or of all rows of a table.

    Attributes
    ----------
    column : ndarray of int, shape (q,)
        Which columns of the inputs these are.
    entry : ndarray of int, shape (q, C)
        The entry that each code of a column has, from 1 on, numbered through; 0 for none.
    """

    column: np.ndarray = field(default_factory=lambda: _none(0))
    entry: np.ndarray = field(default_factory=lambda: _none(0, 1))

    @property
    def n_entries(self) -> int:
        return int(self.entry.max(initial=0))

    def rows_of_entries(self, rows: Tensor) -> Tensor:
        """How many of the rows (n, d) have no entry, and each of the entries: (1 + n_entries,)."""
        entries = PackedLevels([self], len(self.column), rows.device)(rows.T.unsqueeze(0))
        return entries.view(-1).bincount(minlength=1 + self.n_entries)


def learn_levels(rows: np.ndarray, columns: Sequence[int], n_codes: int) -> tuple[Levels, Levels]:
    """Learn from training rows (n, d), of which some columns hold codes: those with indicators, those with tables."""
    found: tuple[list, list] = ([], [])
    for column in columns:
        entry = _entries(rows[:, column].astype(int), n_codes)
        found[int(entry.max() > MOST_INDICATORS)].append((column, entry))
    hot, tables = (_numbered_through(pairs) for pairs in found)
    return hot, tables


def _entries(codes: np.ndarray, n_codes: int) -> np.ndarray:
    """Of each code, numbered for this column alone."""
    counts = np.bincount(codes, minlength=n_codes)
    frequent = np.flatnonzero(counts >= LEAST_ROWS)
    rare_ones = (counts > 0).sum() > len(frequent)
    entry = np.full(n_codes, len(frequent) + 1 if rare_ones else 0)
    entry[frequent] = np.arange(1, len(frequent) + 1)
    return entry


def _numbered_through(pairs: list[tuple[int, np.ndarray]]) -> Levels:
    if not pairs:
        return Levels()
    before, entries = 0, []
    for _, entry in pairs:
        entries.append(np.where(entry > 0, entry + before, 0))
        before += entry.max()
    return Levels(np.array([column for column, _ in pairs]), np.stack(entries))


class PackedLevels:
    """The entries of k networks' columns; what a network lacks beside others has none.

    Parameters
    ----------
    levels : sequence of Levels
        Each network's.
    n_columns : int
        Columns q to give entries of, at least as many as each network has.
    device : torch.device
    """

    def __init__(self, levels: Sequence[Levels], n_columns: int, device: torch.device) -> None:
        n_codes = max(own.entry.shape[1] for own in levels)
        column, entry = _none(len(levels), n_columns), _none(len(levels), n_columns, n_codes)
        for i, own in enumerate(levels):
            column[i, : len(own.column)] = own.column
            entry[i, : len(own.column), : own.entry.shape[1]] = own.entry
        lacks = np.arange(n_columns) >= np.array([len(own.column) for own in levels])[:, np.newaxis]
        parts = column, entry, lacks
        self._column, self._entry, self._lacks = (torch.as_tensor(part, device=device) for part in parts)

    def __call__(self, x: Tensor) -> Tensor:
        """Entries (k, q, b) of coded rows (k, d, b), or (1, d, b) where all networks get the same."""
        k, q = self._column.shape
        where = self._column.unsqueeze(2).expand(k, q, x.shape[2])
        codes = x.expand(k, -1, -1).gather(1, where).masked_fill_(self._lacks.unsqueeze(2), 0.0)
        return self._entry.gather(2, codes.long())
