"""What the page is about: a fitted stack, its out-of-fold predictions, and the rows that are at hand."""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any

import numpy as np
import pandas as pd
from scipy import sparse

from stackkit._assessment import Answers, answers_of, labels_of, score_board, second_level, table_of_fit, target_of
from stackkit._blending import upper_stack
from stackkit._data import Target, picked_columns
from stackkit._learners import as_frame
from stackkit._oof import METRICS, OutOfFold

MOST_COLUMNS = 200  # of X, with a row each
MOST_CLASSES = 30  # of y, with a row each


@dataclass(frozen=True)
class Subject:
    """All that the sections of the page are made of.

    ``X`` are the training rows and ``X_test`` new ones, or None; ``target_name`` and ``source`` say what is predicted
    and where the rows came from, where that is known; ``command`` is the line that repeats it.
    """

    model: Any
    X: Any
    X_test: Any
    nested: Any
    target_name: str | None
    source: str | None
    command: str | None

    @property
    def oof(self) -> OutOfFold:
        table: OutOfFold = self.model.oof_
        return table

    @property
    def caveat(self) -> str:
        """What has to be taken on trust, where others made the predictions; else empty."""
        return self.oof.caveat

    @cached_property
    def target(self) -> Target:
        return target_of(self.oof)

    @property
    def y_name(self) -> str:
        return self.target_name or "y"

    @property
    def metrics(self) -> tuple[str, str]:
        return METRICS[self.target.task]

    @cached_property
    def table(self) -> Any:
        """The training rows as a table, or None where they are none, such as images and sparse matrices."""
        if self.X is None or sparse.issparse(self.X) or getattr(self.X, "ndim", 2) != 2:
            return None
        return table_of_fit(self.model, self.X)

    @cached_property
    def frame(self) -> pd.DataFrame | None:
        """The same as a frame, of as many columns as the page has rows for."""
        return None if self.table is None else frame_of(self.table)

    @cached_property
    def stack(self) -> OutOfFold | None:
        """The stack's own out-of-fold predictions; see ``no_stack`` for why there are none."""
        return self._stack_and_why[0]

    @property
    def no_stack(self) -> str:
        return self._stack_and_why[1]

    @cached_property
    def stack_scores(self) -> pd.Series | None:
        """The stack's means and intervals over the folds."""
        if self.stack is None:
            return None
        no_seconds = self.stack.scores.assign(fit_seconds=np.nan, predict_seconds=np.nan)
        return score_board(replace(self.stack, scores=no_seconds)).iloc[0]

    @cached_property
    def _stack_and_why(self) -> tuple[OutOfFold | None, str]:
        final = self.model.final_estimator_
        if upper_stack(final) is not None:
            return None, "the final estimator is a stack, which would have to be fitted once more for each fold"
        picked = [] if self.model.passthrough is False or self.table is None else self._picked
        if self.model.passthrough is not False and self.table is None:
            return None, "with passthrough, the final estimator needs the training rows, which were not given (X)"
        try:
            return second_level(final, self.oof, X=self.table, picked=picked, n_jobs=self.model.n_jobs), ""
        except Exception as error:  # noqa: BLE001 - the rest of the page can be shown, whatever the final estimator says
            return None, str(error)

    @property
    def _picked(self) -> list[int]:
        return picked_columns(self.model.passthrough, self.table)

    @cached_property
    def best(self) -> str:
        """The learner of the best score out of fold."""
        board = score_board(self.oof)
        first, second = self.metrics
        if board[first].isna().all() and not board[second].isna().all():
            return str(board[second].idxmax())
        return str(board.index[0])

    @cached_property
    def answers(self) -> dict[str, tuple[Answers, np.ndarray]]:
        """Out-of-fold predictions of the stack, where there are any, and of the best learner; with their rows.

        Of the rows that both have, so that they can be compared.
        """
        tables = {"stack": self.stack} if self.stack is not None else {}
        tables[self.best if self.best != "stack" else "the learner stack"] = self.oof
        rows = np.flatnonzero((self.stack or self.oof).covered)
        found = {}
        for name, table in tables.items():
            block = table.blocks["stack" if table is self.stack else self.best]
            found[name] = (answers_of(table.train[rows, block.columns], block, self.oof.classes), rows)
        return found

    def truth(self, rows: np.ndarray) -> np.ndarray:
        """The targets in the user's words."""
        return labels_of(self.target)[rows]


def frame_of(rows: Any) -> pd.DataFrame:
    """Names of columns as text."""
    frame = as_frame(rows[:, :MOST_COLUMNS] if isinstance(rows, np.ndarray) else rows).iloc[:, :MOST_COLUMNS]
    names = frame.columns if hasattr(rows, "columns") else [f"x{k}" for k in range(frame.shape[1])]
    return frame.set_axis([str(name) for name in names], axis=1)
