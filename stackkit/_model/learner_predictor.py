"""The members of all learners at work: each learner's columns for new rows, the mean over its members."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import nullcontext
from dataclasses import dataclass, field
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
    ``pack``, where there is one, predicts for all members in one pass: its methods have the learner's names, and take
    and give one item a member. ``one_thread`` holds OpenMP: which of equally near neighbours are chosen depends on the
    number of threads, and boosters with ``n_jobs=1`` only wait for a second one.
    """

    members: tuple[Member, ...]
    fronts: tuple[Sequence[Any], ...]
    one_thread: bool
    pack: Any = None


def learner_predictor_of(members: Sequence[Member]) -> LearnerPredictor:
    """Members as they are: whatever transforms the rows for them is inside."""
    return LearnerPredictor(
        tuple(members), ((),) * len(members), any(keeps_to_one_thread(m.estimator) for m in members[:1])
    )


def predict_table(
    panels: dict[str, LearnerPredictor], blocks: dict[str, Block], X: Any, *, n_jobs: int | None
) -> dict[str, np.ndarray]:
    """Each learner's columns for new rows, side by side in threads where that pays."""
    few = X.shape[0] <= FEW_ROWS
    workers = 1 if few else joblib.effective_n_jobs(n_jobs)
    lines, threads = _lines(panels), threads_per_task(workers)
    totals = {name: _Total() for name in panels}
    inputs: dict[int, Any] = {}
    memo: dict[str, Any] | None = {} if X.shape[0] <= MEMO_ROWS else None
    with single_threaded_blas(), limit_threads(1, "openmp") if few else nullcontext():
        if workers == 1:
            found = (line.run(X, panels, blocks, threads, memo) for line in lines)
        else:
            found = Parallel(n_jobs=workers, backend="threading", return_as="generator")(
                delayed(line.run)(X, panels, blocks, threads, memo) for line in lines
            )
        for line, (rows, parts) in zip(lines, found, strict=True):
            for (name, i), part in parts.items():
                totals[name].take(i, part)
            if rows is not None:
                inputs[id(line.front)] = rows
        for name, panel in panels.items():
            if panel.pack is not None:
                for i, part in enumerate(_in_one_pass(panel, blocks[name], inputs, X.shape[0])):
                    totals[name].take(i, part)
    return {name: total.mean() for name, total in totals.items()}


@dataclass(frozen=True)
class _Line:
    """Rows go through a front, then to the members behind it, by name of the learner and number."""

    front: Sequence[Any]
    places: list[tuple[str, int]]

    def run(
        self,
        X: Any,
        panels: dict[str, LearnerPredictor],
        blocks: dict[str, Block],
        threads: int | None,
        memo: dict[str, Any] | None,
    ) -> tuple[Any, dict[tuple[str, int], np.ndarray]]:
        """The rows themselves where a pack needs them, and the members' columns."""
        places = [place for place in self.places if panels[place[0]].pack is None]
        with thread_limits(threads):
            rows = own_copy(X)
            for step in self.front:
                shares = getattr(step, "shares_work", False)
                rows = step.transform(rows, memo) if shares else step.transform(rows)
            parts = {}
            for name, i in places:
                own = rows if len(self.places) == 1 else own_copy(rows)
                with limit_threads(1, "openmp") if panels[name].one_thread else nullcontext():
                    parts[name, i] = predict_block(panels[name].members[i], own, blocks[name])
        return (rows if len(places) < len(self.places) else None), parts


def _lines(panels: dict[str, LearnerPredictor]) -> list[_Line]:
    """One for each front that is not empty, however many share it; one for each other member."""
    lines: list[_Line] = []
    shared: dict[int, _Line] = {}
    for name, panel in panels.items():
        for i, front in enumerate(panel.fronts):
            alone = not front and panel.pack is None
            line = None if alone else shared.get(id(front))
            if line is None:
                line = _Line(front, [])
                lines.append(line)
            if not alone:
                shared[id(front)] = line
            line.places.append((name, i))
    return lines


def _in_one_pass(panel: LearnerPredictor, block: Block, inputs: dict[int, Any], n_rows: int) -> list[np.ndarray]:
    found = getattr(panel.pack, block.method)([inputs[id(front)] for front in panel.fronts])
    return [as_columns(member, raw, block, n_rows) for member, raw in zip(panel.members, found, strict=True)]


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
