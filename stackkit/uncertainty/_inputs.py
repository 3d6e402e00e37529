"""What comes in: a fitted stack, rows, weights, groups of rows, each checked."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd

from stackkit._assessment import block_of_stack, check_rows_of_fit
from stackkit._data import check_length, check_weights, picked_columns
from stackkit._members import Block
from stackkit._model import StackingModel, new_rows_of
from stackkit._oof import OutOfFold
from stackkit._utils import some


def check_stack(model: Any, owner: str) -> None:
    if not isinstance(model, StackingModel):
        raise TypeError(
            f"The 'model' parameter of {owner} must be a StackingModel; got a {type(model).__name__}. It is the "
            "out-of-fold table of the stack that tells how sure it is."
        )


def check_kind(oof: OutOfFold, final: Any, owner: str, *, classes: bool) -> Block:
    """The columns that the stack gives: one of numbers, or probabilities of classes."""
    block = block_of_stack(final, oof)
    wanted = block.kind == "probability" if classes else block.kind == "value" and block.width == 1
    if not wanted or (oof.classes is None) == classes:
        needed = "probabilities of one class per row" if classes else "numbers, one per row"
        got = f"{block.method} of {'several labels' if isinstance(oof.classes, list) else block.kind + 's'}"
        raise ValueError(
            f"{owner} needs a stack that predicts {needed}; this one gives {got}, in {block.width} column(s). Use a "
            f"{'final estimator with predict_proba' if classes else 'stack for each column of numbers'}."
        )
    return block


def training_rows(model: StackingModel, X: Any, owner: str) -> tuple[Any, list[int]]:
    """Where the final estimator sees raw columns: the rows that it was fitted to, and which columns."""
    if model.passthrough is False:
        return None, []
    if X is None:
        raise ValueError(
            f"The 'X' parameter of {owner} must be given for a stack with passthrough: its final estimator is fitted "
            "to raw columns beside the table. Pass the X that was given to fit."
        )
    rows = new_rows_of(model, X)
    check_length("X", rows, len(model.oof_.y))
    check_rows_of_fit(model.oof_, rows)
    return rows, picked_columns(model.passthrough, rows)


def is_number(value: Any) -> bool:
    return isinstance(value, int | float | np.integer | np.floating) and not isinstance(value, bool)


def check_confidence(confidence: Any, owner: str) -> float:
    if not is_number(confidence) or not 0 < confidence < 1:
        raise ValueError(
            f"The 'confidence' parameter of {owner} must be a number between 0 and 1; got {confidence!r}. Use such as "
            "0.9 for nine of ten rows."
        )
    return float(confidence)


def weights_for(model: StackingModel, sample_weight: Any) -> np.ndarray | None:
    if sample_weight is None:
        return model.oof_.sample_weight
    weights = check_weights(sample_weight, len(model.oof_.y))
    if weights is not None and weights.min() < 0:
        raise ValueError(
            f"The 'sample_weight' parameter of conformal must not be negative; got {weights.min():g} as the smallest. "
            "Use 0 for rows that are not to count."
        )
    return weights


def goes_forward(oof: OutOfFold) -> bool:
    """Whether each fold tests only rows that come after all those that it trains on."""
    return all(train.max() < test.min() for train, test in oof.folds.pairs)


class Groups:
    """Rows by the label of their group; without labels all are of one."""

    def __init__(self, by: Any, n_rows: int) -> None:
        self.labels = pd.Index([None]) if by is None else pd.Index(_group_labels(by, n_rows)).unique()
        self.named = by is not None
        self.codes = self.codes_of(by, n_rows)

    def codes_of(self, by: Any, n_rows: int) -> np.ndarray:
        if (by is None) == self.named:
            is_there, must_be = ("is not", "is") if self.named else ("is", "was not")
            raise ValueError(
                f"The 'by' parameter {is_there} given, but it {must_be} when the intervals or sets were made by "
                f"conformal. {'Pass the groups of the new rows.' if self.named else 'Leave it out.'}"
            )
        if by is None:
            return np.zeros(n_rows, dtype=int)
        labels = _group_labels(by, n_rows)
        codes = self.labels.get_indexer(pd.Index(labels))
        if (codes < 0).any():
            unknown = pd.unique(labels[codes < 0]).tolist()
            raise ValueError(
                f"The 'by' parameter must name groups of training rows, {some([repr(x) for x in self.labels])}; got "
                f"{some([repr(x) for x in unknown])}. Nothing is known of other groups."
            )
        return codes


def _group_labels(by: Any, n_rows: int) -> np.ndarray:
    labels = np.asarray(by, dtype=object)
    check_length("by", labels, n_rows)
    if labels.ndim != 1 or pd.isna(labels).any():
        got = f"an array of shape {labels.shape}" if labels.ndim != 1 else "missing values"
        raise ValueError(
            f"The 'by' parameter must hold one group per row; got {got}. Give rows without a group one of their own."
        )
    return labels
