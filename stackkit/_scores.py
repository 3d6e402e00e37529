"""What out-of-fold predictions are worth, on one fold's test rows."""

from __future__ import annotations

from typing import Any

import numpy as np
from sklearn.metrics import accuracy_score, log_loss, r2_score, root_mean_squared_error

from stackkit._checks import TaskName
from stackkit._members import Block

# The first one ranks learners; lower is better for both of these.
METRICS: dict[TaskName, tuple[str, str]] = {
    "classification": ("log_loss", "accuracy"),
    "regression": ("rmse", "r2"),
}


def score(y: np.ndarray, values: Any, block: Block, weight: np.ndarray | None) -> dict[str, float]:
    """The two metrics of the block's kind; NaN where its columns do not tell.

    ``y`` holds codes, indicators or numbers of shape (n_rows,) or (n_rows, n_outputs), ``values``
    predictions of shape (n_rows, block.width), or votes of shape (n_rows, n_classes).
    """
    if block.kind == "indicator":
        return _multilabel(y, values, block, weight)
    if block.kind == "value":
        return _regression(y, values, block, weight)
    return _classification(y, values, block, weight)


def _regression(y: np.ndarray, values: Any, block: Block, weight: Any) -> dict[str, float]:
    if block.n_classes:  # a regressor among the learners of a classification
        return {"log_loss": np.nan, "accuracy": np.nan}
    # R^2 needs a spread to compare with.
    r2 = r2_score(y, values, sample_weight=weight) if len(y) > 1 else np.nan
    return {"rmse": float(root_mean_squared_error(y, values, sample_weight=weight)), "r2": float(r2)}


def _classification(y: np.ndarray, values: Any, block: Block, weight: Any) -> dict[str, float]:
    loss = np.nan
    # One column is about the second of two classes: its probability, or a score above 0.
    middle = 0.5 if block.kind == "probability" else 0.0
    guess = values.argmax(axis=1) if values.shape[1] > 1 else (values[:, 0] > middle).astype(int)
    if block.kind == "probability":
        full = values if values.shape[1] > 1 else np.hstack([1 - values, values])
        # Learners that compute in float32 are off by more than log_loss likes.
        full = full / full.sum(axis=1, keepdims=True)
        loss = log_loss(y, full, labels=np.arange(block.n_classes), sample_weight=weight)
    return {"log_loss": float(loss), "accuracy": float(accuracy_score(y, guess, sample_weight=weight))}


def _multilabel(y: np.ndarray, values: Any, block: Block, weight: Any) -> dict[str, float]:
    middle = 0.0 if block.method == "decision_function" else 0.5
    losses = [np.nan]
    if block.method == "predict_proba":
        pairs = zip(y.T, values.T, strict=True)
        losses = [log_loss(label, p, labels=[0, 1], sample_weight=weight) for label, p in pairs]
    accuracy = accuracy_score(y, (values > middle).astype(int), sample_weight=weight)
    return {"log_loss": float(np.mean(losses)), "accuracy": float(accuracy)}
