"""The stack of each fold: its learners' models, and a final estimator that did not see the targets of its test rows.

It predicts training rows that it did not see, and new rows in the same way: what it gets wrong of the first tells what
it will get wrong of the second.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import joblib
import numpy as np
from sklearn.utils.parallel import Parallel, delayed

from stackkit._assessment.marginal import (
    FittedFinal,
    block_of_stack,
    cross_fitted_finals,
    second_level_folds,
    target_of,
)
from stackkit._blending import BLENDS
from stackkit._data import take_rows
from stackkit._members import Block, Member, is_prefit, own_copy, predict_block, settle, trains_folds_together
from stackkit._oof import OutOfFold
from stackkit._utils import EPSILON, single_threaded_blas, thread_limits, threads_per_task, ties_held

# Rounding differs with the size of a batch, and nearest neighbours with the number of threads.
NEAR, FEW = 1e-3, 0.05
MOST_CHECKED = 1000  # rows that tell whether these are those of the fit


@dataclass(frozen=True)
class FoldStack:
    """A final estimator, the folds whose models fill its table, and the training rows that none of these saw."""

    final: FittedFinal
    folds: tuple[int, ...]
    rows: np.ndarray


@dataclass(frozen=True)
class FoldStacks:
    """The stacks of all folds: each training row is of one of them, or of none.

    ``members`` are the fold models by learner, ``blocks`` their columns, ``block`` the columns that a stack gives.
    """

    members: dict[str, list[Member]]
    blocks: dict[str, Block]
    block: Block
    parts: list[FoldStack]
    n_jobs: int | None

    def of_training_rows(self, oof: OutOfFold, X: Any) -> np.ndarray:
        """What they predict for the rows that they did not see; NaN for rows of no fold."""
        found = np.full((len(oof.train), self.block.width), np.nan)
        for part in self.parts:
            rows = take_rows(X, part.rows) if part.final.picked else None
            found[part.rows] = settle(part.final.predictions(oof.train[part.rows], rows, self.block), self.block)
        return found

    def of_new_rows(self, X: Any) -> Iterator[np.ndarray]:
        """What each of them predicts, in the order of ``parts``."""
        columns = self._columns(X)
        for part in self.parts:
            table = np.hstack([_mean([columns[fold][name] for fold in part.folds], b) for name, b in self._ordered()])
            yield settle(part.final.predictions(table, X, self.block), self.block)

    def _columns(self, X: Any) -> dict[int, dict[str, np.ndarray]]:
        """Of each fold, each learner's columns for new rows; a constant for learners that nobody looks at."""
        folds = sorted({fold for part in self.parts for fold in part.folds})
        useful, threads = self._useful(), threads_per_task(joblib.effective_n_jobs(self.n_jobs))
        asked = {name: block for name, block in self._ordered() if name in useful}
        with single_threaded_blas():
            found = Parallel(n_jobs=self.n_jobs, backend="threading")(
                delayed(_columns_in_threads)(self.members, asked, fold, X, threads) for fold in folds
            )
        constant = {
            name: np.full((X.shape[0], width_of(block)), 1 / max(block.n_classes, 1))
            for name, block in self._ordered()
            if name not in useful
        }
        return {fold: columns | constant for fold, columns in zip(folds, found, strict=True)}

    def _ordered(self) -> list[tuple[str, Block]]:
        return sorted(self.blocks.items(), key=lambda item: item[1].columns.start)

    def _useful(self) -> set[str]:
        """Learners that some final estimator looks at."""
        finals = [part.final.member.estimator for part in self.parts]
        if not all(isinstance(final, BLENDS) for final in finals):
            return set(self.blocks)
        names = [name for name, _ in self._ordered()]
        # A pool that trusts nobody predicts the same for all; new rows must be checked all the same.
        return {name for final in finals for name, w in zip(names, final.weights_, strict=True) if w} or set(names)


def fold_stacks(
    final: Any, oof: OutOfFold, *, X: Any = None, picked: Sequence[int] = (), n_jobs: int | None = None
) -> FoldStacks:
    """Of each fold of a fitted stack: no learner is fitted again, ``final`` once per fold, to rows of the table.

    ``picked`` are the positions of the columns of ``X`` that it sees beside the table.
    """
    members = fold_members(oof)
    folds = second_level_folds(final, oof)
    finals = cross_fitted_finals(final, oof, folds, X=X, picked=picked, n_jobs=n_jobs)
    tested_by: list[list[int]] = [[] for _ in oof.train]
    for fold, (_, test) in enumerate(oof.folds.pairs):
        for row in test:
            tested_by[row].append(fold)
    parts = []
    for fitted, (_, test) in zip(finals, folds.pairs, strict=True):
        alike: dict[tuple[int, ...], list[int]] = {}
        for row in test:
            alike.setdefault(tuple(tested_by[row]), []).append(row)
        parts += [FoldStack(fitted, those, np.array(rows)) for those, rows in alike.items()]
    return FoldStacks(members, oof.blocks, block_of_stack(final, oof), parts, n_jobs)


def with_one_final(final: Any, oof: OutOfFold, *, picked: Sequence[int] = (), n_jobs: int | None = None) -> FoldStacks:
    """The fold models below the stack's own final estimator, which saw all rows: for new rows alone."""
    members, y = fold_members(oof), oof.y[oof.covered]
    fitted = FittedFinal(_member(final, y, oof.classes), oof.blocks, list(picked))
    nobody = np.arange(0)
    parts = [FoldStack(fitted, (fold,), nobody) for fold in range(len(oof.folds))]
    return FoldStacks(members, oof.blocks, block_of_stack(final, oof), parts, n_jobs)


def _columns_in_threads(
    members: dict[str, list[Member]], blocks: dict[str, Block], fold: int, X: Any, threads: int | None
) -> dict[str, np.ndarray]:
    with thread_limits(threads):
        return fold_columns(members, blocks, fold, X)


def fold_columns(
    members: dict[str, list[Member]], blocks: dict[str, Block], fold: int, X: Any
) -> dict[str, np.ndarray]:
    """What the models of one fold say of rows: the learners' columns, to be averaged and settled."""
    found = {}
    for name, block in blocks.items():
        member = members[name][fold]
        with ties_held(member.estimator):
            found[name] = predict_block(member, own_copy(X), block)
    return found


def _mean(values: Sequence[np.ndarray], block: Block) -> np.ndarray:
    return settle(np.mean(values, axis=0), block)


def width_of(block: Block) -> int:
    return block.n_classes if block.kind == "label" else block.width


# --- fold models ----------------------------------------------------------------------------------------


def fold_members(oof: OutOfFold) -> dict[str, list[Member]]:
    """The fold models of each learner, one per fold; an error where the stack has not kept them."""
    lacking = [name for name in oof.blocks if not oof.members.get(name)]
    if lacking:
        raise ValueError(
            f"The fold models of {lacking[0]!r} are not there: with refit=True, a stack keeps them only where its "
            "final estimator weighs the learners. Fit with refit=False."
        )
    target = target_of(oof)
    found = {}
    for name, estimators in oof.members.items():
        whole = estimators * len(oof.folds) if is_prefit(estimators[0]) else estimators
        found[name] = [
            _member(estimator, target.values[train], oof.classes)
            for estimator, (train, _) in zip(whole, oof.folds.pairs, strict=True)
        ]
    return found


def _member(estimator: Any, y: np.ndarray, classes: Any) -> Member:
    """A fold model with the names that it has for the classes of its training rows."""
    if not isinstance(classes, np.ndarray):
        return Member(estimator, np.arange(0), np.arange(0))
    if is_prefit(estimator) and hasattr(estimator, "classes_"):
        labels = np.asarray(estimator.classes_)
        return Member(estimator, labels, np.searchsorted(classes, labels))
    codes = np.unique(y)
    return Member(estimator, codes if trains_folds_together(estimator) else np.arange(len(codes)), codes)


def check_same_rows(oof: OutOfFold, test: np.ndarray, table: np.ndarray) -> None:
    """The fold models must give again what the table has, or these are other rows than those of the fit."""
    known = oof.train[test]
    scale = np.maximum(np.nanstd(oof.train, axis=0), EPSILON * np.nanmax(np.abs(oof.train), initial=1))
    if np.mean(np.abs(table - known) > NEAR * scale) > FEW:
        raise ValueError(
            "X must be the training rows of the model, in the order of the fit: for these rows its fold models predict "
            "otherwise than they did then. Pass the X that was given to fit."
        )


def check_rows_of_fit(oof: OutOfFold, X: Any) -> None:
    """Ask the fold models for some rows of the first fold, where these are there: is it what the table has?"""
    if not all(oof.members.get(name) for name in oof.blocks):
        return
    members, rows = fold_members(oof), oof.folds.pairs[0][1][:MOST_CHECKED]
    total = {name: np.zeros((len(rows), width_of(block))) for name, block in oof.blocks.items()}
    times = np.zeros((len(rows), 1))
    for fold, (_, test) in enumerate(oof.folds.pairs):
        here = np.flatnonzero(np.isin(rows, test))
        times[here] += 1
        for name, values in (
            fold_columns(members, oof.blocks, fold, take_rows(X, rows[here])).items() if len(here) else ()
        ):
            total[name][here] += values
    table = np.full((len(rows), oof.train.shape[1]), np.nan)
    for name, block in oof.blocks.items():
        table[:, block.columns] = settle(total[name] / times, block)
    check_same_rows(oof, rows, table)
