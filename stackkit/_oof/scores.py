"""What out-of-fold predictions are worth, on one fold's test rows."""

from __future__ import annotations

from typing import Any

import numpy as np

from stackkit._data import TaskName
from stackkit._members import Block
from stackkit._utils import EPSILON

# The first one ranks learners; lower is better for both of these.
METRICS: dict[TaskName, tuple[str, str]] = {
    "classification": ("log_loss", "accuracy"),
    "regression": ("rmse", "r2"),
}
# As people write them.
METRIC_NAMES = {"log_loss": "log-loss", "accuracy": "accuracy", "rmse": "RMSE", "r2": "R²"}
LOWER_IS_BETTER = ("log_loss", "rmse")


def score(y: np.ndarray, values: Any, block: Block, weight: np.ndarray | None) -> dict[str, float]:
    """The two metrics of the block's kind; NaN where its columns do not tell, and where all rows weigh zero.

    ``y`` holds codes, indicators or numbers of shape (n_rows,) or (n_rows, n_outputs), ``values``
    predictions of shape (n_rows, block.width), or votes of shape (n_rows, n_classes).

    Written out: scikit-learn's metrics give the same, but their checks take longer than a small fit.
    """
    if weight is not None and not weight.any():
        of_classes = block.n_classes > 0 or block.kind == "indicator"
        return dict.fromkeys(METRICS["classification" if of_classes else "regression"], np.nan)
    if block.kind == "indicator":
        return _multilabel(y, values, block, weight)
    if block.kind == "value":
        return _regression(y, values, block, weight)
    return _classification(y, values, block, weight)


def _regression(y: np.ndarray, values: Any, block: Block, weight: Any) -> dict[str, float]:
    if block.n_classes:  # a regressor among the learners of a classification
        return {"log_loss": np.nan, "accuracy": np.nan}
    truth = y.reshape(values.shape)
    squares = np.average((truth - values) ** 2, axis=0, weights=weight)
    spread = np.average((truth - np.average(truth, axis=0, weights=weight)) ** 2, axis=0, weights=weight)
    with np.errstate(invalid="ignore", divide="ignore"):  # R^2 needs a spread to compare with
        r2 = np.where(spread > 0, 1 - squares / spread, np.nan)
    return {"rmse": float(np.sqrt(squares).mean()), "r2": float(r2.mean())}


def _classification(y: np.ndarray, values: Any, block: Block, weight: Any) -> dict[str, float]:
    loss = np.nan
    # One column is about the second of two classes: its probability, or a score above 0.
    middle = 0.5 if block.kind == "probability" else 0.0
    guess = values.argmax(axis=1) if values.shape[1] > 1 else values[:, 0] > middle
    if block.kind == "probability":
        full = values if values.shape[1] > 1 else np.hstack([1 - values, values])
        of_truth = full[np.arange(len(y)), y] / full.sum(axis=1)
        loss = _mean_loss(of_truth, weight)
    return {"log_loss": float(loss), "accuracy": float(np.average(guess == y, weights=weight))}


def _multilabel(y: np.ndarray, values: Any, block: Block, weight: Any) -> dict[str, float]:
    middle = 0.0 if block.method == "decision_function" else 0.5
    loss = np.nan
    if block.method == "predict_proba":
        of_truth = np.where(y == 1, values, 1 - values)
        loss = float(np.mean([_mean_loss(label, weight) for label in of_truth.T]))
    right = ((values > middle) == y).all(axis=1)
    return {"log_loss": float(loss), "accuracy": float(np.average(right, weights=weight))}


def _mean_loss(of_truth: np.ndarray, weight: Any) -> float:
    return float(np.average(-np.log(np.clip(of_truth, EPSILON, 1)), weights=weight))
