"""The members of all learners at work: each learner's columns for new rows, the mean over its members."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from contextlib import nullcontext
from dataclasses import dataclass, field
from functools import partial
from typing import Any

import joblib
import numpy as np
from sklearn.utils.parallel import Parallel, delayed

from stackkit._members import Block, Member, as_columns, own_copy, predict_block
from stackkit._utils import keeps_to_one_thread, limit_threads, single_threaded_blas, thread_limits, threads_per_task

# Up to so many rows, setting up threads takes longer than they save.
FEW_ROWS = 20
# Of more rows, nothing is remembered for the fronts to come: it would take too much memory.
MEMO_ROWS = 100_000


@dataclass(frozen=True)
class LearnerPredictor:
    """What predicts new rows for one learner.

    ``fronts`` holds the transformers in front of each member, in order; members of any panel whose front is the same
    object share its work, and a first transformer with ``shares_work`` gets a dictionary that all of them share.
    ``pack``, where there is one, predicts for all members in one pass; if it has a method ``takes``, for as many rows
    as that says. Its other methods have the learner's names, and take and give one item a member. ``one_thread`` holds
    OpenMP: which of equally near neighbours are chosen depends on the number of threads, and boosters with ``n_jobs=1``
    only wait for a second one.
    """

    members: tuple[Member, ...]
    fronts: tuple[Sequence[Any], ...]
    one_thread: bool
    pack: Any = None

    def in_one_pass(self, n_rows: int) -> bool:
        """Whether the pack predicts so many rows."""
        takes = getattr(self.pack, "takes", None)
        return self.pack is not None and (takes is None or takes(n_rows))


def learner_predictor_of(members: Sequence[Member]) -> LearnerPredictor:
    """Members as they are: whatever transforms the rows for them is inside."""
    return LearnerPredictor(
        tuple(members), ((),) * len(members), any(keeps_to_one_thread(m.estimator) for m in members[:1])
    )


def predict_table(
    panels: dict[str, LearnerPredictor], blocks: dict[str, Block], X: Any, *, n_jobs: int | None
) -> dict[str, np.ndarray]:
    """Each learner's columns for new rows, side by side in threads where that pays."""
    n_rows = X.shape[0]
    few = n_rows <= FEW_ROWS
    workers = 1 if few else joblib.effective_n_jobs(n_jobs)
    packs = [name for name, panel in panels.items() if panel.in_one_pass(n_rows)]
    work = _Work(X, panels, blocks, packs, threads_per_task(workers), memo={} if n_rows <= MEMO_ROWS else None)
    lines = _lines(panels, packs)
    awaited = [partial(work.along, line) for line in lines if line.feeds(packs)]
    joint = [partial(work.in_one_pass, name) for name in packs]
    others = [partial(work.along, line) for line in lines if not line.feeds(packs)]
    totals = {name: _Total() for name in panels}
    with single_threaded_blas(), limit_threads(1, "openmp") if few else nullcontext():
        for tasks in (awaited, [*joint, *others]):
            for parts in _at_work(tasks, workers):
                for (name, i), part in parts.items():
                    totals[name].take(i, part)
    return {name: total.mean() for name, total in totals.items()}


Parts = dict[tuple[str, int], np.ndarray]  # the columns of members, by the learner's name and the member's number


def _at_work(tasks: Sequence[Callable[[], Parts]], workers: int) -> Iterable[Parts]:
    if workers == 1:
        return (task() for task in tasks)
    found: Iterable[Parts] = Parallel(n_jobs=workers, backend="threading", return_as="generator")(
        delayed(task)() for task in tasks
    )
    return found


@dataclass(frozen=True)
class _Line:
    """Rows go through a front, then to the members behind it, by name of the learner and number."""

    front: Sequence[Any]
    places: list[tuple[str, int]]

    def feeds(self, packs: Sequence[str]) -> bool:
        """Whether one of those that predict for all members in one pass waits for its rows."""
        return any(name in packs for name, _ in self.places)


@dataclass(frozen=True)
class _Work:
    """New rows, and what they go through; ``inputs`` are those that went through a front that feeds a pack."""

    X: Any
    panels: dict[str, LearnerPredictor]
    blocks: dict[str, Block]
    packs: Sequence[str]
    threads: int | None
    memo: dict[str, Any] | None
    inputs: dict[int, Any] = field(default_factory=dict)

    def along(self, line: _Line) -> Parts:
        """The columns of the members behind a front, but for those that are packed."""
        parts = {}
        with thread_limits(self.threads):
            rows = self._behind(line.front)
            for name, i in line.places:
                if name in self.packs:
                    self.inputs[id(line.front)] = rows
                else:
                    own = rows if len(line.places) == 1 else own_copy(rows)
                    with limit_threads(1, "openmp") if self.panels[name].one_thread else nullcontext():
                        parts[name, i] = predict_block(self.panels[name].members[i], own, self.blocks[name])
        return parts

    def _behind(self, front: Sequence[Any]) -> Any:
        # What shares its work writes to nobody's rows.
        rows = self.X if front and getattr(front[0], "shares_work", False) else own_copy(self.X)
        for step in front:
            shares = getattr(step, "shares_work", False)
            rows = step.transform(rows, self.memo) if shares else step.transform(rows)
        return rows

    def in_one_pass(self, name: str) -> Parts:
        """The columns of all members of a pack."""
        panel, block = self.panels[name], self.blocks[name]
        with thread_limits(self.threads):
            found = getattr(panel.pack, block.method)([self.inputs[id(front)] for front in panel.fronts])
        columns = [
            as_columns(member, raw, block, self.X.shape[0]) for member, raw in zip(panel.members, found, strict=True)
        ]
        return {(name, i): part for i, part in enumerate(columns)}


def _lines(panels: dict[str, LearnerPredictor], packs: Sequence[str]) -> list[_Line]:
    """One for each front that is not empty, however many share it; one for each other member."""
    lines: list[_Line] = []
    shared: dict[int, _Line] = {}
    for name, panel in panels.items():
        for i, front in enumerate(panel.fronts):
            alone = not front and name not in packs
            line = None if alone else shared.get(id(front))
            if line is None:
                line = _Line(front, [])
                lines.append(line)
            if not alone:
                shared[id(front)] = line
            line.places.append((name, i))
    return lines


@dataclass
class _Total:
    """Columns added up in the order of the members, in whatever order they come: rounding depends on it."""

    total: Any = None
    n_added: int = 0
    waiting: dict[int, np.ndarray] = field(default_factory=dict)

    def take(self, i: int, part: np.ndarray) -> None:
        self.waiting[i] = part
        while self.n_added in self.waiting:
            part = self.waiting.pop(self.n_added)
            self.total = part if self.total is None else self.total + part
            self.n_added += 1

    def mean(self) -> np.ndarray:
        mean: np.ndarray = self.total / self.n_added
        return mean
