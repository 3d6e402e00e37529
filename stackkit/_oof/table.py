"""The out-of-fold table: each training row predicted by models that never saw it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd

from stackkit._data import Folds
from stackkit._members import Block
from stackkit._utils import Summarised, Summary


@dataclass(frozen=True, repr=False)
class OutOfFold(Summarised):
    """Out-of-fold predictions of several learners, and what made them. It computes nothing.

    Attributes
    ----------
    train : ndarray of shape (n_rows, n_columns)
        P: each row predicted by models that did not see it; the mean over repeats. NaN where
        ``covered`` is false.
    test : ndarray of shape (n_test_rows, n_columns) or None
        p: the same columns for ``X_test``, the mean over each learner's fold models.
    columns : list of str
        Names: the learner, or learner_class where it has several columns.
    blocks : dict of str to Block
        Each learner's columns: where they stand, their class labels, and how they were made.
    covered : ndarray of bool, shape (n_rows,)
        Which rows have a prediction.
    folds : Folds
        The index pairs that all learners shared.
    scores : DataFrame, one row a (learner, fold)
        Scores on the fold's test rows (classification: log_loss, accuracy; regression: rmse, r2)
        and seconds to fit and to predict.
    members : dict of str to list of estimators
        Each learner's fold models.
    failures : DataFrame
        Learners that failed and were dropped: learner, fold, stage, error, traceback.
    index : Index or None
        The row labels of X, where it was a pandas DataFrame.
    y : ndarray of shape (n_rows,) or (n_rows, n_outputs)
        The target as the learners saw it: codes 0, 1, ... of ``classes``, a 0/1 indicator of labels, or numbers.
    classes : ndarray, list of ndarray or None
        The labels behind the codes; a list of them, one a label, for a multilabel target; None for numbers.
    sample_weight : ndarray of shape (n_rows,) or None
        The weights that ``scores`` are made with.
    """

    train: np.ndarray
    test: np.ndarray | None
    columns: list[str]
    blocks: dict[str, Block]
    covered: np.ndarray
    folds: Folds
    scores: pd.DataFrame
    members: dict[str, list[Any]]
    failures: pd.DataFrame
    index: pd.Index | None
    y: np.ndarray
    classes: Any
    sample_weight: np.ndarray | None

    def to_frame(self) -> pd.DataFrame:
        """P as a DataFrame with the learners' names and the row labels of X."""
        return pd.DataFrame(self.train, index=self.index, columns=self.columns)

    def _summary(self) -> Summary:
        n_rows, n_columns = self.train.shape
        n_covered = np.count_nonzero(self.covered)
        facts = {
            "target": self._target(),
            "rows with a prediction": "all" if n_covered == n_rows else f"{n_covered:,}",
            "new rows predicted": "none" if self.test is None else f"{len(self.test):,}",
        }
        if len(self.failures):
            facts["failed"] = ", ".join(map(str, self.failures["learner"].unique()))
        means = self.scores.groupby(level="learner", sort=False).mean().reindex(list(self.blocks))
        size = f"{n_rows:,} rows x {n_columns} columns, of {len(self.blocks)} learners on {len(self.folds)} folds"
        return Summary(f"OutOfFold: {size}", facts=facts, tables={"Mean over folds": means})

    def _target(self) -> str:
        if self.classes is None:
            return "numbers" if self.y.ndim == 1 else f"numbers in {self.y.shape[1]} columns"
        return f"{len(self.classes)} {'labels' if isinstance(self.classes, list) else 'classes'}"


def close_gaps(blocks: dict[str, Block]) -> dict[str, Block]:
    """Where a learner was dropped the others' columns move up."""
    closed, start = {}, 0
    for name, block in blocks.items():
        columns = slice(start, start + block.width)
        closed[name] = Block(columns, block.labels, block.method, block.kind, block.n_classes)
        start += block.width
    return closed
