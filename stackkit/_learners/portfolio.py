"""Which learners a preset has for a table, on how many folds and rows: as its time allows."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd
from scipy import sparse

from stackkit._learners.catalogue import OF_TASK, Seat, is_usable
from stackkit._learners.frames import as_frame
from stackkit._learners.preparation import MAX_CATEGORIES, MAX_WORDS, SAMPLE_ROWS, column_kind
from stackkit._utils import choice

PRESETS = ("fast", "balanced", "best")
SECONDS = {"fast": 10.0, "balanced": 60.0, "best": 600.0}  # of two cores
MOST_SEATS = {"fast": 6, "balanced": 11, "best": 20}
CORES = 2  # that the presets are meant for: on any machine they mean the same learners
USED = 0.75  # of the time, for some tables cost twice what was measured on others
STARTING = 4.5  # seconds for imports, workers and the final estimator
LEAST_SEATS = 2  # where no more have the time, there are fewer rows
LEAST_ROWS = 2000
# More folds leave more rows to learn from, which pays on small tables: how many, up to how many rows.
MORE_FOLDS = {"fast": (5, 0), "balanced": (8, 2_000), "best": (10, 10_000)}
N_FOLDS = 5
DATE_COLUMNS = 7


@dataclass(frozen=True)
class TableSize:
    """What the cost of a learner follows from: rows, columns as learners see them, and classes."""

    n_rows: int
    n_columns: int
    n_classes: int = 2


@dataclass(frozen=True)
class Portfolio:
    """Names of learners with the seconds of one core that each is expected to take on all folds; of what table."""

    seconds: dict[str, float]
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
    wide = sum(_columns_of(kind, column) for kind, column in zip(kinds, columns, strict=True))
    return TableSize(n_rows, max(1, wide) + MAX_WORDS * ("text" in kinds), n_classes)


def _columns_of(kind: str, column: pd.Series) -> int:
    if kind == "category":
        return min(MAX_CATEGORIES, column.astype(str).nunique())
    return {"number": 1, "date": DATE_COLUMNS, "text": 0, "empty": 0}[kind]


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
    n_rows, most = size.n_rows, MOST_SEATS[preset]
    costs = _costs(seats, size, n_folds, n_rows)
    while len(chosen := _within(costs, budget, most)) < LEAST_SEATS and n_rows > LEAST_ROWS and not all_rows:
        n_rows = max(LEAST_ROWS, int(0.9 * n_rows))
        costs = _costs(seats, size, n_folds, n_rows)
    if len(chosen) < LEAST_SEATS:
        cheapest = sorted(costs, key=lambda name: costs[name])[:LEAST_SEATS]
        chosen = {name: cost for name, cost in costs.items() if name in cheapest}
    return Portfolio(chosen, n_folds, n_rows, size.n_columns)


def _within(costs: dict[str, float], budget: float, most: int) -> dict[str, float]:
    """Those that there is time for, in their order."""
    chosen: dict[str, float] = {}
    for name, cost in costs.items():
        if len(chosen) < most and sum(chosen.values()) + cost <= budget:
            chosen[name] = cost
    return chosen


def _may_sit(seat: Seat, size: TableSize, *, sparse_input: bool) -> bool:
    worth = size.n_rows > seat.least_rows and (seat.most_columns is None or size.n_columns <= seat.most_columns)
    return worth and is_usable(seat, sparse_input=sparse_input)


def _costs(seats: dict[str, Seat], size: TableSize, n_folds: int, n_rows: int) -> dict[str, float]:
    trained = n_rows * (1 - 1 / n_folds)
    return {name: n_folds * seat.cost.seconds(trained, size.n_columns, size.n_classes) for name, seat in seats.items()}
