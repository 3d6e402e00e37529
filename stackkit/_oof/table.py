"""The out-of-fold table: each training row predicted by models that never saw it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Self

import numpy as np
import pandas as pd

from stackkit._data import Folds, TaskName
from stackkit._members import Block
from stackkit._oof.given import given_table
from stackkit._utils import (
    Summarised,
    Summary,
    decode_frame,
    decode_index,
    did_you_mean,
    encode_frame,
    encode_index,
    some,
)


@dataclass(frozen=True, repr=False)
class OutOfFold(Summarised):
    """Out-of-fold predictions of several learners, and what made them. It computes nothing.

    :func:`~stackkit.cross_fit` and a stack's ``fit`` make one; ``from_frames`` makes one of predictions from elsewhere.

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
    scores : DataFrame, one row per (learner, fold)
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
        The labels behind the codes; a list of them, one per label, for a multilabel target; None for numbers.
    sample_weight : ndarray of shape (n_rows,) or None
        The weights that ``scores`` are made with.
    test_index : Index or None
        The row labels of ``test``, where the predictions were given with such: see ``from_frames``.
    caveat : str
        What has to be taken on trust, where others made the predictions; else empty.
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
    test_index: pd.Index | None = None
    caveat: str = ""

    @classmethod
    def from_frames(
        cls,
        train: Any,
        y: Any,
        test: Any = None,
        *,
        folds: Any = None,
        task: TaskName | None = None,
        sample_weight: Any = None,
    ) -> Self:
        """Make a table of predictions that others made: other people, other languages, foundation models.

        No learner is needed, only its out-of-fold predictions of the training rows, and its predictions of new rows.
        ``StackingModel.from_oof`` blends the table.

        Parameters
        ----------
        train : dict of str to DataFrame, Series or array
            By the learner's name, its predictions of the training rows: each row by a model that did not see it. For
            two classes one column, the probability of the last class in sorted order; else one column per class,
            named as the classes are (``"cat"``, or with the same letters in front, ``"p_cat"``), in any order; columns
            without names are in sorted order. For numbers one column.
        y : Series or array of shape (n_rows,)
            Classes or numbers. Rows are matched by label where ``y`` and a table have a pandas index, else by place.
        test : dict of the same names, optional
            Predictions of new rows: the mean of the fold models, or those of a refit. They are matched with each other.
        folds : Series or array of shape (n_rows,), splitter, or list of index pairs, optional
            The folds that the predictions were made on, such as a label of its fold for each row. Without them the
            folds of scores and blends are drawn by chance, and a leak cannot be excluded: see ``caveat``.
        task : {"classification", "regression"} or None
            None follows from the type of ``y``.
        sample_weight : Series or array of shape (n_rows,), optional
            Weights of the rows.

        Returns
        -------
        OutOfFold
            The table. It has no members, and seconds in ``scores`` are NaN.

        Raises
        ------
        TypeError
            ``train`` or ``test`` is no dict.
        ValueError
            Rows or learners do not match, or columns are no probabilities or numbers; the message says which.

        Warns
        -----
        NotProbabilitiesWarning
            A learner gives nothing but 0 and 1.

        Notes
        -----
        Probabilities whose rows miss a sum of 1 by up to 0.01, as rounded ones do, are divided by it.

        Examples
        --------
        >>> import pandas as pd
        >>> from stackkit import OutOfFold
        >>> y = pd.Series(["no", "yes", "yes", "no"], index=[11, 12, 13, 14])
        >>> forest = pd.DataFrame({"yes": [0.9, 0.7, 0.2, 0.4], "no": [0.1, 0.3, 0.8, 0.6]}, index=[12, 13, 14, 11])
        >>> oof = OutOfFold.from_frames({"forest": forest}, y, folds=[1, 1, 2, 2])
        >>> oof.to_frame()["forest"].to_dict()
        {11: 0.4, 12: 0.9, 13: 0.7, 14: 0.2}
        """
        return cls(**given_table(train, y, test, folds=folds, task=task, sample_weight=sample_weight))

    def __getstate__(self) -> dict[str, Any]:
        """Plain arrays in place of pandas' objects, of which skops and MLflow cannot make a file."""
        state = vars(self) | {name: encode_frame(getattr(self, name)) for name in ("scores", "failures")}
        labels = {name: getattr(self, name) for name in ("index", "test_index")}
        return state | {name: None if index is None else encode_index(index) for name, index in labels.items()}

    def __setstate__(self, state: dict[str, Any]) -> None:
        frames = {name: decode_frame(state[name]) for name in ("scores", "failures")}
        labels = {name: state.get(name) for name in ("index", "test_index")}
        indices = {name: None if index is None else decode_index(index) for name, index in labels.items()}
        vars(self).update(state | frames | indices)

    def to_frame(self) -> pd.DataFrame:
        """P as a DataFrame with the learners' names and the row labels of X."""
        return pd.DataFrame(self.train, index=self.index, columns=self.columns)

    def proba(self, learner: str) -> pd.DataFrame:
        """A learner's out-of-fold probabilities, one column per class.

        In ``train`` two classes have one column, the probability of the second.

        Parameters
        ----------
        learner : str
            Its name.

        Returns
        -------
        DataFrame of shape (n_rows, n_classes)
            Columns are ``classes``, the index is that of ``to_frame``; NaN in rows without a prediction.

        Raises
        ------
        ValueError
            There is no such learner, or it gives no probabilities.

        Examples
        --------
        >>> from stackkit import OutOfFold
        >>> y = ["no", "yes", "yes", "no"]
        >>> oof = OutOfFold.from_frames({"mine": [0.25, 0.5, 0.75, 0.5]}, y, folds=[0, 0, 1, 1])
        >>> oof.proba("mine").iloc[0].to_dict()
        {'no': 0.75, 'yes': 0.25}
        """
        if learner not in self.blocks:
            hint = did_you_mean(learner, self.blocks) or f" There are {some(list(map(repr, self.blocks)))}."
            raise ValueError(f"The 'learner' parameter of proba must name a learner; got {learner!r}.{hint}")
        block = self.blocks[learner]
        if block.kind != "probability":
            raise ValueError(
                f"The 'learner' parameter of proba must name one with probabilities; {learner!r} gives "
                f"{block.kind!r} columns by {block.method}. Use a learner with predict_proba."
            )
        values = self.train[:, block.columns]
        full = values if block.width > 1 else np.hstack([1 - values, values])
        return pd.DataFrame(full, index=self.index, columns=self.classes)

    def test_frame(self) -> pd.DataFrame:
        """P as a DataFrame with the columns of ``to_frame``, for a blend of the table to predict.

        Raises
        ------
        ValueError
            There are no new rows.
        """
        if self.test is None:
            raise ValueError("This table has no new rows; got test=None. Give test= or X_test= where it is made.")
        return pd.DataFrame(self.test, index=self.test_index, columns=self.columns)

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
        if self.caveat:
            facts["note"] = self.caveat
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
