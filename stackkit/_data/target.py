"""The target: class codes, an indicator of labels, or numbers; and what task it makes."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
import pandas as pd
from scipy import sparse
from sklearn.utils.multiclass import check_classification_targets, type_of_target
from sklearn.utils.validation import check_array, column_or_1d

from stackkit._data.rows import as_known, check_length

TaskName = Literal["classification", "regression"]

TASKS: tuple[TaskName, ...] = ("classification", "regression")

MOST_CLASSES = 20  # more different numbers than this are a quantity, where nobody says otherwise


@dataclass(frozen=True)
class Target:
    """What is to be predicted: class codes, a label indicator, or numbers.

    ``classes`` holds the labels behind the codes 0..k-1; for a multilabel indicator it holds one
    such array a label; for numbers it is None.
    """

    values: np.ndarray
    classes: Any
    task: TaskName

    @property
    def multilabel(self) -> bool:
        return isinstance(self.classes, list)

    @property
    def n_classes(self) -> int:
        """Classes of a single-label target; 0 for every other kind."""
        return 0 if self.classes is None or self.multilabel else len(self.classes)

    @property
    def n_outputs(self) -> int:
        return 1 if self.values.ndim == 1 else self.values.shape[1]


def task_of_target(y: Any) -> TaskName:
    """Where nobody tells: text and few different numbers are classes, many different ones a quantity.

    Whole numbers stand for both; the bounds are those under which people name classes by numbers.
    """
    values = _as_target(y)
    kind = type_of_target(values, input_name="y")
    if kind.startswith("continuous"):
        return "regression"
    if kind != "multiclass" or values.dtype.kind not in "iuf":
        return "classification"
    n_distinct = len(np.unique(values))
    return "regression" if n_distinct > max(MOST_CLASSES, 0.05 * len(values)) else "classification"


def check_target(y: Any, task: TaskName, n_rows: int) -> Target:
    y = _as_target(y)
    check_length("y", y, n_rows)
    return _check_numbers(y) if task == "regression" else _check_classes(y)


def _as_target(y: Any) -> Any:
    """Something with rows, none of them missing: what scikit-learn's checks of targets take for granted."""
    if y is None:
        raise ValueError("y must be given: a stack requires y to be passed, but the target y is None.")
    y = as_known(y)
    y = y.toarray() if sparse.issparse(y) else y
    y = y if hasattr(y, "shape") else np.asarray(y)
    if not y.shape:
        raise ValueError(
            f"y must hold one target per row; got the single value {y.tolist()!r}. Pass a list or an array."
        )
    if pd.isna(np.asarray(y)).any():
        raise ValueError("Input y contains NaN. Drop the rows without a target.")
    return _of_one_type(y) if getattr(y, "dtype", None) == np.dtype(object) else y


def _of_one_type(y: Any) -> Any:
    """Python's own booleans and numbers as NumPy's, as which scikit-learn knows them; else as it is."""
    values = pd.Series(np.ravel(y), dtype=object)
    kind = pd.api.types.infer_dtype(values)
    if kind in ("mixed", "mixed-integer"):
        types = sorted({type(value).__name__ for value in values})
        raise ValueError(
            f"y must hold values of one type; got {', '.join(types)}. Convert it, such as with astype(str)."
        )
    known = values.astype(float) if kind == "mixed-integer-float" else values.infer_objects()
    return y if known.dtype.kind not in "biuf" else known.to_numpy().reshape(y.shape)


def _check_numbers(y: Any) -> Target:
    values = check_array(y, ensure_2d=False, dtype="numeric", input_name="y")
    if values.ndim == 2 and values.shape[1] == 1:
        values = column_or_1d(values, warn=True)
    return Target(values.astype(np.float64, copy=False), None, "regression")


def _check_classes(y: Any) -> Target:
    check_classification_targets(y)
    kind = type_of_target(y, input_name="y")
    if kind == "multilabel-indicator":
        indicator = check_array(y, dtype=None, input_name="y").astype(np.int64)
        return Target(indicator, [np.unique(column) for column in indicator.T], "classification")
    if kind == "multiclass-multioutput":
        raise ValueError(
            "y must hold one class per row, or a 0/1 indicator of labels; got several multi-class columns. "
            "Fit one stack per column."
        )
    labels = column_or_1d(y, warn=True)
    classes, codes = np.unique(labels, return_inverse=True)
    if len(classes) < 2:
        raise ValueError(
            f"y must have at least two classes; got one class only, {classes.tolist()[0]!r}. Check how the rows were "
            "chosen."
        )
    return Target(codes.astype(np.int64), classes, "classification")


def check_weights(sample_weight: Any, n_rows: int) -> np.ndarray | None:
    """Weights as floats, one per row; a single number is the same weight for all."""
    if sample_weight is None:
        return None
    if np.isscalar(sample_weight):
        return np.full(n_rows, float(sample_weight))  # type: ignore[arg-type]
    weights: np.ndarray = check_array(
        as_known(sample_weight), ensure_2d=False, dtype=np.float64, input_name="sample_weight"
    )
    if weights.ndim != 1:
        raise ValueError(f"Sample weights must be 1D array or scalar; got an array of shape {weights.shape}.")
    check_length("sample_weight", weights, n_rows)
    if not weights.any():
        raise ValueError(
            f"sample_weight must not be zero for all rows; at least one must count. Got {n_rows} zeros: leave it out, "
            "or give some rows a weight."
        )
    return weights
