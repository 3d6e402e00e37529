"""Which learners a preset has for a table, on how many folds and rows: as its time allows."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import pandas as pd
from scipy import sparse

from stackkit._learners.catalogue import OF_TASK, Cost, Seat, TreeCost, is_usable
from stackkit._learners.frames import as_frame
from stackkit._learners.preparation import MAX_CATEGORIES, MAX_WORDS, SAMPLE_ROWS, coded_preprocessing, column_kind
from stackkit._utils import choice

PRESETS = ("fast", "balanced", "best")
SECONDS = {"fast": 10.0, "balanced": 60.0, "best": 600.0}  # of two cores
MOST_SEATS = {"fast": 6, "balanced": 11, "best": 20}
CORES = 2  # that the presets are meant for: on any machine they mean the same learners
USED = 0.75  # of the time, for some tables cost twice what was measured on others
STARTING = 4.5  # seconds for imports, workers and the final estimator
LEAST_SEATS = 2  # where no more have the time, there are fewer rows
LEAST_ROWS = 2000
LEAST_TREES = 60  # a boosting learner that there is not time for so many for is not worth a seat
# More folds leave more rows to learn from, which pays on small tables: how many, up to how many rows.
MORE_FOLDS = {"fast": (5, 0), "balanced": (8, 2_000), "best": (10, 10_000)}
N_FOLDS = 5
WIDTHS = {"date": 7, "text": 0, "empty": 0}  # columns of a column of this kind; 1 of others


@dataclass(frozen=True)
class TableSize:
    """What the cost of a learner follows from: rows, columns as learners see them, and classes.

    ``n_coded`` are the columns of those who get one column per category in place of one per level.
    """

    n_rows: int
    n_columns: int
    n_classes: int = 2
    n_coded: int | None = None

    def seconds(self, cost: Cost | TreeCost, seat: Seat, n_folds: int) -> float:
        """Of one fit in a fold."""
        trained = self.n_rows * (1 - 1 / n_folds)
        return cost.seconds(trained, self.columns_for(seat), self.n_classes)

    def columns_for(self, seat: Seat) -> int:
        if self.n_coded is None or seat.prepare is not coded_preprocessing:
            return self.n_columns
        return self.n_coded


@dataclass(frozen=True)
class Portfolio:
    """Names of learners with the seconds of one core that each is expected to take on all folds; of what table.

    ``trees`` are the most that there is time for, of the boosting learners.
    """

    seconds: dict[str, float]
    trees: dict[str, int]
    n_folds: int
    n_rows: int
    n_columns: int


def check_preset(preset: Any, owner: str) -> None:
    if preset is not None and preset not in PRESETS:
        raise choice("preset", owner, (*PRESETS, None), preset)


def size_of(X: Any, n_classes: int = 2) -> TableSize:
    """Of a table as given: columns of text and dates become several."""
    n_rows, n_columns = X.shape if hasattr(X, "shape") else np.shape(X)
    if sparse.issparse(X):
        return TableSize(n_rows, max(1, X.nnz // max(1, n_rows)), n_classes)
    if isinstance(X, np.ndarray) and X.dtype.kind in "fiub":
        return TableSize(n_rows, n_columns, n_classes)
    frame = as_frame(X[:SAMPLE_ROWS])
    columns = [frame.iloc[:, place] for place in range(frame.shape[1])]
    kinds = [column_kind(column) for column in columns]
    words = MAX_WORDS * ("text" in kinds)
    wide = sum(_columns_of(kind, column) for kind, column in zip(kinds, columns, strict=True))
    coded = sum(WIDTHS.get(kind, 1) for kind in kinds)
    return TableSize(n_rows, max(1, wide) + words, n_classes, max(1, coded) + words)


def _columns_of(kind: str, column: pd.Series) -> int:
    if kind == "category":
        return min(MAX_CATEGORIES, column.astype(str).nunique())
    return WIDTHS.get(kind, 1)


def preset_for(preset: str | None, time_limit: float | None) -> str:
    """The preset meant: without one, the largest that a time limit leaves time for."""
    if preset is not None:
        return preset
    within = [name for name in PRESETS if time_limit is not None and SECONDS[name] <= time_limit]
    return within[-1] if within else "fast"


def core_seconds(preset: str | None, time_limit: float | None, cores: int) -> float:
    """What may be spent on fits. A preset's time is that of two cores, so that it means the same on any machine."""
    if preset is None and time_limit is not None:
        limit = time_limit
    else:
        limit, cores = SECONDS[preset_for(preset, time_limit)], CORES
    return USED * cores * max(limit - STARTING, limit / 4)


def choose(
    task: str, size: TableSize, *, preset: str, budget: float, sparse_input: bool, all_rows: bool = False
) -> Portfolio:
    """Seats in their order, as long as there is time: ``budget`` is in seconds of one core.

    Where it does not suffice for the first few, they are fitted to fewer rows, unless it has to be ``all_rows``.
    """
    seats = {name: seat for name, seat in OF_TASK[task].items() if _may_sit(seat, size, sparse_input=sparse_input)}
    more, up_to = MORE_FOLDS[preset]
    n_folds = more if size.n_rows <= up_to else N_FOLDS
    most = MOST_SEATS[preset]
    costs, least = _costs(seats, size, n_folds)
    while not _enough(chosen := _within(costs, least, budget, most), seats):
        if all_rows or size.n_rows <= LEAST_ROWS:
            break
        size = replace(size, n_rows=max(LEAST_ROWS, int(0.9 * size.n_rows)))
        costs, least = _costs(seats, size, n_folds)
    if len(chosen) < LEAST_SEATS:
        cheapest = sorted(costs, key=lambda name: costs[name])[:LEAST_SEATS]
        chosen = {name: cost for name, cost in costs.items() if name in cheapest}
    trees = _trees(chosen, seats, size, n_folds, budget / USED)
    return Portfolio(chosen, trees, n_folds, size.n_rows, size.n_columns)


def _within(costs: dict[str, float], least: dict[str, float], budget: float, most: int) -> dict[str, float]:
    """Those that there is time for, in their order; the first one makes do with less, where it can."""
    chosen: dict[str, float] = {}
    for name, usual in costs.items():
        left, cost = budget - sum(chosen.values()), usual
        if not chosen:
            rest = left - min((other for key, other in costs.items() if key != name), default=0.0)
            cost = max(least[name], min(usual, rest))
        if len(chosen) < most and cost <= left:
            chosen[name] = cost
    return chosen


def _enough(chosen: dict[str, float], seats: dict[str, Seat]) -> bool:
    """Two, and one of those that a stack begins with: the last ones of the list cost little, and are worth little."""
    first = list(seats)[: MOST_SEATS["fast"]]
    return len(chosen) >= LEAST_SEATS and any(name in chosen for name in first)


def _may_sit(seat: Seat, size: TableSize, *, sparse_input: bool) -> bool:
    worth = size.n_rows > seat.least_rows and (seat.most_columns is None or size.n_columns <= seat.most_columns)
    return worth and is_usable(seat, sparse_input=sparse_input)


def _trees(
    chosen: dict[str, float], seats: dict[str, Seat], size: TableSize, n_folds: int, seconds: float
) -> dict[str, int]:
    """The most trees of each boosting learner, with which all stay within so many seconds."""
    boosting = {name: tree for name in chosen if (tree := seats[name].tree) is not None}
    planned = sum(chosen[name] for name in boosting)
    spare = max(0.0, seconds - sum(chosen.values()))
    most = {}
    for name, tree in boosting.items():
        own = chosen[name] * (1 + spare / planned)
        most[name] = max(LEAST_TREES, int(own / (n_folds * size.seconds(tree, seats[name], n_folds))))
    return most


def _costs(seats: dict[str, Seat], size: TableSize, n_folds: int) -> tuple[dict[str, float], dict[str, float]]:
    """Seconds on all folds: what they usually are, and the least that makes sense."""
    costs, least = {}, {}
    for name, seat in seats.items():
        usual = n_folds * size.seconds(seat.cost, seat, n_folds)
        of_trees = 0.0 if seat.tree is None else n_folds * LEAST_TREES * size.seconds(seat.tree, seat, n_folds)
        costs[name] = max(usual, of_trees)
        least[name] = of_trees or usual
    return costs, least
