"""What a network makes of a table before its first layer: columns on one scale, in pieces, and categories as numbers.

Shapes: d columns, of which q have tables of levels, E encoded columns; k networks, b rows. As in the packed engine, a
column lies along the last axis.

A piece of a column is a ramp: flat below one quantile of the training rows, rising up to the next, and flat above.
Side by side they give a network's first layer any piecewise-linear function of the column [1]_, where the bare column
gives a straight line. Encoding one column costs less than the products that follow it, and has nothing to learn.

.. [1] Y. Gorishniy, I. Rubachev and A. Babenko, "On Embeddings for Numerical Features in Tabular Deep Learning",
       NeurIPS 2022.
"""

from __future__ import annotations

import warnings
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from stackkit.nn._levels import Levels, PackedLevels, learn_levels

SCALINGS = ("standard", "robust-clip")
CLIP = 3.0  # x / sqrt(1 + (x / 3)^2): near the identity around zero, and never beyond 3
PIECE_HEIGHT = 1.0
BINS_OF_ROWS = 1 / 3  # times the root of the rows
MOST_BINS = 32
LEAST_VALUES, MOST_ALIKE = 11, 0.8  # of a column that waves are made of: values, and share of the most frequent one
MOST_ENCODED = 2000
LEAST_WIDTH = 1e-5  # of a piece on the common scale: thinner ones are jumps, which rounding alone could cross


@dataclass(frozen=True, eq=False)
class Encoding:
    """How the columns of some training rows are encoded.

    A column x becomes ``(x - centre) * slope``, smoothly clipped if ``clips``. The encoded columns are made of these:
    the bare columns, in their order, and then their pieces, each
    ``gain * clamp((x - middle) * steepness, -bound, bound)``. If it ``imputes``, a missing value is zero on the common
    scale, and a column with gaps is told once more: by one where it has none and 0 else, a piece of column d + j.

    Columns of categories are none of these: behind them come the indicators of their levels.

    Attributes
    ----------
    centre, slope : ndarray of shape (d,)
        The scale of each column; a slope of zero for one that is constant or holds categories.
    column : ndarray of int, shape (E less indicators,)
        Which column each encoded one is made of; d and more for the gaps of a column.
    middle, steepness, gain, bound : ndarray of shape (E less indicators,)
        Where a ramp is, how steep, and how high; infinity is the bound of a bare column that is not clipped.
    periodic : ndarray of int, shape (m,)
        Columns that come once more, bare, behind the encoded ones: those that waves are made of.
    clips, imputes : bool
        Whether columns are clipped, and whether there may be missing values.
    hot, tables : Levels
        Columns of categories that have indicators, and those that have rows of a table.
    """

    centre: np.ndarray
    slope: np.ndarray
    column: np.ndarray
    middle: np.ndarray
    steepness: np.ndarray
    gain: np.ndarray
    bound: np.ndarray
    periodic: np.ndarray
    clips: bool
    imputes: bool = False
    hot: Levels = field(default_factory=Levels)
    tables: Levels = field(default_factory=Levels)

    @property
    def has_ramps(self) -> bool:
        """Whether columns of numbers are in pieces, of which each is less high than the column is wide."""
        return bool((np.bincount(self.column)[: len(self.centre)] > 1).any())

    @property
    def n_encoded(self) -> int:
        return len(self.column) + self.hot.n_entries

    @property
    def shape(self) -> tuple[int, int, int, int]:
        """Of what a network gets: encoded columns, columns for waves, columns with tables, and entries of these."""
        return self.n_encoded, len(self.periodic), len(self.tables.column), self.tables.n_entries


def bins_for(rows: np.ndarray) -> int:
    """Pieces of a column that rows (n, d) of numbers support, and that do not make the first layer too wide."""
    n_rows = len(rows)
    # A column of two values has no pieces.
    low, high = np.fmin.reduce(rows), np.fmax.reduce(rows)
    several = ((rows > low) & (rows < high)).any(axis=0)
    most_encoded = min(n_rows, MOST_ENCODED)
    return int(min(BINS_OF_ROWS * n_rows**0.5, MOST_BINS, most_encoded / max(1, several.sum())))


def learn_encoding(
    rows: np.ndarray,
    scaling: str | None,
    n_bins: int,
    *,
    periodic: bool = False,
    imputes: bool = False,
    categories: Sequence[int] = (),
    n_codes: int = 0,
) -> Encoding:
    """Learn from training rows (n, d); ``n_bins`` pieces a column at most, none with 0 or 1.

    A column of few values keeps a piece between each two of them; a column of two values needs none. ``periodic``:
    whether there are columns for waves. ``categories``: columns that hold codes, all below ``n_codes``.
    """
    hot, tables = learn_levels(rows, categories, n_codes)
    rows = rows.astype(np.float64)
    missing = np.isnan(rows)
    with warnings.catch_warnings():  # of columns without a value, which are constant
        warnings.simplefilter("ignore", RuntimeWarning)
        least, most = np.nanmin(rows, axis=0), np.nanmax(rows, axis=0)
        centre, slope = _scale(rows, scaling, least, most)
    centre[list(categories)] = slope[list(categories)] = 0.0
    clips = scaling == "robust-clip"
    scaled = (rows - centre) * slope
    if clips:
        scaled = scaled / np.sqrt(1 + (scaled / CLIP) ** 2)
    d = rows.shape[1]
    # Where there is nothing else, the first column stays, as zeros: no layer is without an input.
    numbers = np.setdiff1d(np.arange(d), categories) if hot.n_entries or len(categories) < d else np.arange(1)
    constant = ~(least < most) | (slope == 0)
    reach, bound = (CLIP, 1.0) if clips else (1.0, np.inf)
    height = np.where(constant, 0.0, 1 / reach)[numbers]
    parts = [(numbers, np.zeros(len(numbers)), height, *(np.full(len(numbers), end) for end in (reach, bound)))]
    for j in np.flatnonzero(~constant) if n_bins > 1 else ():
        edges = _edges(scaled[~missing[:, j], j], n_bins)
        if len(edges) > 2:
            low, high = edges[:-1], edges[1:]
            n = len(low)
            parts.append((np.full(n, j), (low + high) / 2, 2 / (high - low), np.full(n, PIECE_HEIGHT / 2), np.ones(n)))
    gaps = np.flatnonzero(missing.any(axis=0) & ~missing.all(axis=0))
    parts.append((d + gaps, *np.broadcast_to([[0.5], [2.0], [PIECE_HEIGHT / 2], [1.0]], (4, len(gaps)))))
    column, middle, steepness, gain, ends = (np.concatenate(arrays) for arrays in zip(*parts, strict=True))
    waves = [j for j in numbers if periodic and _is_quantity(rows[~missing[:, j], j])]
    made = column, middle, steepness, gain, ends, np.array(waves, dtype=int)
    return Encoding(centre, slope, *made, clips, imputes, hot, tables)


def _is_quantity(column: np.ndarray) -> bool:
    """Whether waves are worth making, and whether the column changes in any good part of the rows."""
    counts = np.unique(column, return_counts=True)[1]
    return len(counts) >= LEAST_VALUES and counts.max() <= MOST_ALIKE * len(column)


def _scale(rows: np.ndarray, scaling: str | None, least: np.ndarray, most: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    if scaling is None:
        return np.zeros(rows.shape[1]), np.where(most > least, 1.0, 0.0)
    if scaling == "standard":
        return np.nan_to_num(np.nanmean(rows, axis=0)), _inverse(np.nanstd(rows, axis=0), most > least)
    low, centre, high = np.nanquantile(rows, [0.25, 0.5, 0.75], axis=0)
    # Where half of the rows have one value, the range has to do.
    return np.nan_to_num(centre), _inverse(np.where(high > low, high - low, (most - least) / 2), most > least)


def _inverse(scale: np.ndarray, varies: np.ndarray) -> np.ndarray:
    usable = varies & (scale > 0)
    return np.where(usable, 1 / np.where(usable, scale, 1.0), 0.0)


def _edges(column: np.ndarray, n_bins: int) -> np.ndarray:
    values = np.unique(column)
    if len(values) > n_bins + 1:
        values = np.unique(np.quantile(column, np.linspace(0, 1, n_bins + 1)))
    apart = np.diff(values, prepend=-np.inf) > LEAST_WIDTH
    kept: np.ndarray = values[apart]
    return kept


class PackedEncoding:
    """The encodings of k networks as one, for rows (k, d, b); what a network lacks beside others is zero.

    Parameters
    ----------
    encodings : sequence of Encoding
        All clip, or none does; all impute, or none does.
    n_columns : int
        Columns d of the rows, of which a network may have the first ones only.
    shape : tuple of three int
        Encoded columns E, columns m for waves, and columns q with tables, to give: at least as many as each network
        has.
    like : Tensor
        Its type and device are taken.
    """

    def __init__(
        self, encodings: Sequence[Encoding], n_columns: int, shape: tuple[int, int, int], like: Tensor
    ) -> None:
        n_encoded, n_periodic, n_tables = shape

        def joined(name: str, length: int) -> Tensor:
            padded = np.zeros((len(encodings), length))
            for own, encoding in zip(padded, encodings, strict=True):
                values = getattr(encoding, name)
                own[: len(values)] = values
            return torch.as_tensor(padded, dtype=like.dtype, device=like.device).unsqueeze(2)

        self._clips, self._imputes, self._k = encodings[0].clips, encodings[0].imputes, len(encodings)
        self._centre, self._slope = joined("centre", n_columns), joined("slope", n_columns)
        self._middle, self._steepness, self._gain = (
            joined(name, n_encoded) for name in ("middle", "steepness", "gain")
        )
        # One number where it is the same for all: several times faster.
        self._bound: Any = 1.0 if self._clips else joined("bound", n_encoded)
        # With missing values, the rows (k, d, b) are followed by whether these are missing.
        first = torch.arange(self._k, device=like.device).view(-1, 1, 1) * (n_columns * (1 + self._imputes))
        column = joined("column", n_encoded).long()
        own = torch.tensor([len(encoding.centre) for encoding in encodings], device=like.device).view(-1, 1, 1)
        self._row = (column + (n_columns - own) * (column >= own) + first).view(-1)
        self._periodic = (joined("periodic", n_periodic).long() + first).view(-1)
        n_hot = max(len(encoding.hot.column) for encoding in encodings)
        hot, tables = ([getattr(encoding, kind) for encoding in encodings] for kind in LEVELS)
        self._hot = PackedLevels(hot, n_hot, like.device) if n_hot else None
        self._tables = PackedLevels(tables, n_tables, like.device) if n_tables else None
        of_numbers = [len(encoding.column) for encoding in encodings]
        self._before_first = torch.tensor(of_numbers, device=like.device).view(-1, 1, 1) - 1

    def __call__(self, x: Tensor) -> tuple[Tensor, Tensor, Tensor | None]:
        """Encoded rows (k, E, b), columns for waves (k, m, b), and entries of tables (k, q, b), of rows (k, d, b).

        Rows (1, d, b) are those that all networks get. A network with less columns for waves than others gets some of
        its columns once more, at the end; one with less columns that have tables gets the entry 0. Without tables there
        are no entries.
        """
        given = x
        x = (x - self._centre).mul_(self._slope)
        if self._clips:
            x = x.div_((x / CLIP).square_().add_(1).sqrt_())
        if self._imputes:
            missing = x.isnan()
            x = torch.cat([x.masked_fill_(missing, 0.0), missing.to(x.dtype)], 1)
        b = x.shape[2]
        x = x.reshape(-1, b)
        periodic = x.index_select(0, self._periodic).view(self._k, -1, b)
        encoded = x.index_select(0, self._row).view(self._k, -1, b)
        encoded.sub_(self._middle).mul_(self._steepness).clamp_(-self._bound, self._bound).mul_(self._gain)
        if self._hot is not None:
            entries = self._hot(given)
            place = (entries + self._before_first).clamp_(min=0)
            encoded.scatter_add_(1, place, (entries > 0).to(x.dtype))
        return encoded, periodic, None if self._tables is None else self._tables(given)


class Encoder(nn.Module):
    """An `Encoding` as a module: rows (n, d) in, rows (n, E + m + q) out, in the precision of the rows."""

    centre: Tensor

    def __init__(self, encoding: Encoding) -> None:
        super().__init__()
        self.clips, self.imputes = encoding.clips, encoding.imputes
        for name, array in arrays_of(encoding).items():
            self.register_buffer(name, torch.tensor(array))

    def forward(self, x: Tensor) -> Tensor:
        encoding = self.encoding()
        packed = PackedEncoding([encoding], len(encoding.centre), encoding.shape[:3], x)
        encoded, periodic, entries = packed(x.T.unsqueeze(0))
        parts = [encoded, periodic] if entries is None else [encoded, periodic, entries.to(x.dtype)]
        return torch.cat(parts, 1)[0].T.contiguous()

    def encoding(self) -> Encoding:
        arrays = {name: buffer.cpu().numpy() for name, buffer in self.named_buffers()}
        return encoding_of(arrays, clips=self.clips, imputes=self.imputes)


ARRAYS = ("centre", "slope", "column", "middle", "steepness", "gain", "bound", "periodic")
LEVELS = ("hot", "tables")


def arrays_of(encoding: Encoding) -> dict[str, np.ndarray]:
    """All that it holds, by name; levels are among it where there are any."""
    arrays = {name: getattr(encoding, name) for name in ARRAYS}
    for kind in LEVELS:
        levels: Levels = getattr(encoding, kind)
        if len(levels.column):
            arrays |= {f"{kind}_column": levels.column, f"{kind}_entry": levels.entry}
    return arrays


def encoding_of(arrays: Mapping[str, np.ndarray], *, clips: bool, imputes: bool) -> Encoding:
    """What `arrays_of` took apart."""
    own: dict[str, Any] = {name: arrays[name] for name in ARRAYS}
    kinds = [kind for kind in LEVELS if f"{kind}_column" in arrays]
    own |= {kind: Levels(arrays[f"{kind}_column"], arrays[f"{kind}_entry"]) for kind in kinds}
    return Encoding(**own, clips=clips, imputes=imputes)
