"""Predictions of a fitted member, checked and turned into columns of the table."""

from __future__ import annotations

from typing import Any

import numpy as np

from stackkit._data import is_polars
from stackkit._members.blocks import Block
from stackkit._members.fast_predict import ask
from stackkit._members.fitting import Member
from stackkit._utils import HALF_TOLERANCE, SUM_TOLERANCE


def predict_block(member: Member, X: Any, block: Block) -> np.ndarray:
    """A member's predictions as columns of the table."""
    return as_columns(member, ask(member.estimator, block.method, X), block, X.shape[0])


def as_columns(member: Member, raw: Any, block: Block, n_rows: int) -> np.ndarray:
    """What a member's method gave, checked, float64, in columns that may be averaged over members.

    Shape (n_rows, block.width); for labels (n_rows, n_classes), one vote a row.
    """
    if block.kind == "indicator":
        return _indicator(member, raw, block, n_rows)
    if block.kind == "label":
        return _votes(member, raw, block, n_rows)
    if block.kind == "value":
        return _shaped(raw, block, n_rows, block.width)
    if block.kind == "score" and len(member.codes) <= 2:
        return _binary_score(member, raw, block, n_rows)
    values = _shaped(raw, block, n_rows, len(member.codes))
    if block.kind == "probability":
        half = np.asarray(raw).dtype == np.float16
        _check_range(values, block, HALF_TOLERANCE if half else SUM_TOLERANCE)
        values = _with_sums(values, block, HALF_TOLERANCE if half else SUM_TOLERANCE)
        values = _aligned(values, member, block, 0.0)
        return values[:, 1:] if block.n_classes == 2 else values
    return _aligned(values, member, block, values.min(axis=1, keepdims=True))


def one_column(raw: Any) -> Any:
    """CatBoost gives the classes of rows as a column; a column becomes a plain array, all else stays as it is."""
    return raw[:, 0] if isinstance(raw, np.ndarray) and raw.ndim == 2 and raw.shape[1] == 1 else raw


def settle(values: np.ndarray, block: Block) -> np.ndarray:
    """Averaged predictions as the table holds them: votes become the code of the most voted class."""
    if block.kind != "label":
        return values
    winner = values.argmax(axis=1).astype(np.float64)
    return np.where(np.isnan(values[:, 0]), np.nan, winner)[:, np.newaxis]


def own_copy(X: Any) -> Any:
    """A learner that works in place must not spoil the rows for the next one, nor the user's data."""
    if is_polars(X):
        return X.clone()
    return X.copy() if hasattr(X, "copy") else X  # some transformer's own kind of rows


def _shaped(raw: Any, block: Block, n_rows: int, width: int) -> np.ndarray:
    values = np.asarray(raw, dtype=np.float64)
    if values.ndim == 1 and width == 1:
        values = values[:, np.newaxis]
    if values.shape != (n_rows, width):
        raise ValueError(f"{block.method} must give an array of shape {(n_rows, width)}; got the shape {values.shape}.")
    _check_finite(values, block)
    return values


def _check_finite(values: np.ndarray, block: Block) -> None:
    bad = ~np.isfinite(values).all(axis=1)
    if bad.any():
        raise ValueError(f"{block.method} gave NaN or infinity in {bad.sum()} of {len(bad)} rows.")


def _check_range(values: np.ndarray, block: Block, tolerance: float = SUM_TOLERANCE) -> None:
    if (values < 0).any() or (values > 1 + tolerance).any():
        raise ValueError(f"{block.method} gave values outside [0, 1]: {values.min():.4g} to {values.max():.4g}.")


def _with_sums(values: np.ndarray, block: Block, tolerance: float) -> np.ndarray:
    """The probabilities, if each row sums to one; what 16 bits made of that is made good."""
    total = values.sum(axis=1)
    off = np.abs(total - 1)
    if (off > tolerance).any():
        raise ValueError(f"{block.method} gave rows that do not sum to 1: off by up to {off.max():.4g}.")
    return values / total[:, np.newaxis] if (off > SUM_TOLERANCE).any() else values


def _aligned(values: np.ndarray, member: Member, block: Block, fill: Any) -> np.ndarray:
    """Columns in the order of all classes; a class that the member never saw gets ``fill``."""
    if len(member.codes) == block.n_classes:
        return values
    full = np.empty((len(values), block.n_classes))
    full[:] = fill
    full[:, member.codes] = values
    return full


def _binary_score(member: Member, raw: Any, block: Block, n_rows: int) -> np.ndarray:
    """Two classes have one score; where the stack knows more classes, it speaks for one of the two."""
    score = _shaped(raw, block, n_rows, 1)
    if len(member.codes) == 1:  # whatever its sign, it can only speak for the class that it saw
        size = np.abs(score)
        full = _aligned(size, member, block, -size)
        return full[:, 1:] if block.n_classes == 2 else full
    if block.n_classes == 2:
        return score
    return _aligned(np.hstack([-score, score]), member, block, -np.abs(score))


def _votes(member: Member, raw: Any, block: Block, n_rows: int) -> np.ndarray:
    raw = one_column(np.asarray(raw))
    if raw.shape != (n_rows,):
        raise ValueError(f"{block.method} must give one class per row, shape {(n_rows,)}; got the shape {raw.shape}.")
    found = np.searchsorted(member.labels, raw).clip(max=len(member.labels) - 1)
    if (member.labels[found] != raw).any():
        raise ValueError(f"{block.method} gave classes that it was not trained on.")
    return np.eye(block.n_classes)[member.codes[found]]


def _indicator(member: Member, raw: Any, block: Block, n_rows: int) -> np.ndarray:
    """One column per label. Forests and k-NN give a list of (n_rows, 2) probabilities instead."""
    if isinstance(raw, list):
        classes = member.estimator.classes_
        raw = np.column_stack(
            [
                np.asarray(label)[:, list(seen).index(1)] if 1 in seen else np.zeros(n_rows)
                for label, seen in zip(raw, classes, strict=True)
            ]
        )
    values = _shaped(raw, block, n_rows, block.width)
    if block.method == "predict_proba":
        _check_range(values, block)
    return values
