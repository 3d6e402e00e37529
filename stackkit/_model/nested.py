"""Outer folds around the inner ones: all their fits as one flat list, and a table for each outer fold."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from itertools import pairwise

import numpy as np
import pandas as pd

from stackkit._data import Folds, Learners
from stackkit._execution import ALL_ROWS, Job, Result, Task, by_learner, make_tasks, run_tasks
from stackkit._members import Block, is_prefit, make_blocks, settle
from stackkit._model.plan import Plan
from stackkit._oof import Settings, close_gaps, handle_failures, warn_of_missing_classes


class OuterFold:
    """Which models are fitted inside an outer fold, and on which rows.

    Each of them predicts, besides the rows that its inner fold tests, those of the outer fold: both are rows that it
    did not see.
    """

    def __init__(
        self, plan: Plan, learners: Learners, pair: tuple[np.ndarray, np.ndarray], entropy: int, *, refit: bool
    ) -> None:
        self.train, self.test = train, _ = pair
        inner = plan.folds_of(train, entropy)
        self.learners, self.entropy, self.refit = learners, entropy, refit
        self.inner = [(train[fitted], train[tested]) for fitted, tested in inner.pairs]
        self.covered = train[inner.covered]

    def pairs(self) -> list[tuple[np.ndarray, np.ndarray]]:
        inner = [(fitted, np.concatenate([tested, self.test])) for fitted, tested in self.inner]
        return [*inner, (self.train, self.test)] if self.refit else inner

    def inner_folds(self, n_rows: int) -> Folds:
        return Folds(tuple(self.inner), n_rows)

    def cuts(self) -> list[int]:
        inner = [len(tested) for _, tested in self.inner]
        return [*inner, len(self.test)] if self.refit else inner

    def titles(self, number: int) -> list[str]:
        inner = [f"inner fold {fold} of outer fold {number}" for fold in range(len(self.inner))]
        return [*inner, f"the refit of outer fold {number}"] if self.refit else inner

    def tasks(self, first: int) -> list[Task]:
        """Seeded as a fit on these training rows would be; ``first`` is the number of the first of ``pairs``."""
        tasks = make_tasks(self.learners, range(len(self.inner)), self.entropy)
        if self.refit:
            refits = make_tasks(self.learners, [ALL_ROWS], self.entropy)
            tasks += [replace(task, folds=(len(self.inner),)) for task in refits]
        return [replace(task, folds=tuple(fold + first for fold in task.folds)) for task in tasks]

    def table(self, results: dict[str, list[Result]], blocks: dict[str, Block], n_rows: int) -> np.ndarray:
        """P in the rows of the training part, p in those that the outer fold tests, NaN elsewhere."""
        table = np.full((n_rows, sum(block.width for block in blocks.values())), np.nan)
        for name, block in blocks.items():
            table[:, block.columns] = self._columns(name, results[name], block, n_rows)
        return table

    def _columns(self, name: str, results: list[Result], block: Block, n_rows: int) -> np.ndarray:
        inner = results[: len(self.inner)]
        width = block.n_classes if block.kind == "label" else block.width
        total, times = np.zeros((n_rows, width)), np.zeros((n_rows, 1))
        for (_, tested), result in zip(self.inner, inner, strict=True):
            total[tested] += _values(result)[: len(tested)]
            times[tested] += 1
        members = results[-1:] if self.refit else inner[:1] if is_prefit(dict(self.learners)[name]) else inner
        new = [_values(result)[-len(self.test) :] for result in members]
        total[self.test], times[self.test] = sum(new[1:], start=new[0]), len(new)
        with np.errstate(invalid="ignore"):  # 0 / 0: a row of neither part
            return settle(total / times, block)


def _values(result: Result) -> np.ndarray:
    assert result.oof is not None  # noqa: S101 - failures were sorted out
    return result.oof


def _all_folds(outer: Sequence[OuterFold], n_rows: int, first_number: int) -> Folds:
    """The inner folds of all outer folds, one after the other; the outer ones are numbered from the first."""
    return Folds(
        tuple(pair for fold in outer for pair in fold.pairs()),
        n_rows,
        tuple(title for number, fold in enumerate(outer, first_number) for title in fold.titles(number)),
        tuple(cut for fold in outer for cut in fold.cuts()),
    )


def nested_tables(
    plan: Plan, outer: Sequence[OuterFold], settings: Settings, first_number: int = 0
) -> tuple[list[np.ndarray], dict[str, Block], pd.DataFrame]:
    """A table for each outer fold, the blocks of the learners that have all their fits, and who failed."""
    starts = np.cumsum([0, *(len(fold.pairs()) for fold in outer)]).tolist()
    folds = _all_folds(outer, plan.X.shape[0], first_number)
    tasks = [task for fold, first in zip(outer, starts[:-1], strict=True) for task in fold.tasks(first)]
    blocks = make_blocks(plan.learners, plan.methods, plan.target)
    job = Job(plan.X, plan.target, folds, blocks, plan.routed.learners, keep_members=False)
    with settings.applied(job, tasks, "nested") as (job_with_store, announced, how):
        results = run_tasks(job_with_store, announced, **how)
    failures = handle_failures(results, dict(plan.learners), folds, settings.on_error)
    by_name = by_learner(results, [name for name in blocks if name not in set(failures["learner"])])
    warn_of_missing_classes(by_name, plan.target, folds)
    blocks = close_gaps({name: blocks[name] for name in by_name})
    tables = [
        fold.table({name: found[first:last] for name, found in by_name.items()}, blocks, plan.X.shape[0])
        for fold, (first, last) in zip(outer, pairwise(starts), strict=True)
    ]
    return tables, blocks, failures.assign(fold=[folds.title(fold) for fold in failures["fold"]])
