"""Parameters of meta-learners, weights of rows, classes: checked."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import ArrayLike
from sklearn.utils import check_array

from stackkit._blending.optimise import Codes, Floats


# ---------------------------------------------------------------- input
def require(estimator: Any, name: str, ok: Any, allowed: str) -> None:
    if not ok:
        owner, value = type(estimator).__name__, getattr(estimator, name)
        raise ValueError(f"The {name!r} parameter of {owner} must be {allowed}; got {value!r}.")


def is_integer(value: Any, minimum: int) -> bool:
    return isinstance(value, int | np.integer) and not isinstance(value, bool) and bool(value >= minimum)


def is_real(value: Any) -> bool:
    numeric = isinstance(value, int | float | np.integer | np.floating) and not isinstance(value, bool)
    return numeric and bool(np.isfinite(value))


def check_stopping(estimator: Any) -> None:
    require(estimator, "max_iter", is_integer(estimator.max_iter, 1), "an integer of at least 1")
    require(estimator, "tol", is_real(estimator.tol) and estimator.tol >= 0, "a number of at least 0")


def weights_of_mean_one(sample_weight: ArrayLike | None, n_rows: int) -> Floats:
    """Weights of mean one over the rows that have one: only what they are to each other is to count.

    Weights that sum to one would else leave all to a ridge that is weighed against the sum over the rows.
    """
    if sample_weight is None:
        return np.ones(n_rows)
    weights: Floats = check_array(sample_weight, ensure_2d=False, dtype=float, input_name="sample_weight")
    if weights.shape != (n_rows,):
        raise ValueError(f"sample_weight must have the shape ({n_rows},), one per row; got {weights.shape}.")
    if weights.min() < 0:
        raise ValueError(f"sample_weight must not be negative; got {weights.min()!r} as the smallest.")
    if not weights.any():
        raise ValueError("sample_weight must have a value above zero; got only zeros: no row would count.")
    normalised: Floats = weights / weights[weights > 0].mean()
    return normalised


def check_two_classes(estimator: Any, codes: Codes, weights: Floats) -> None:
    present = np.unique(codes[weights > 0])
    if len(present) < 2:
        raise ValueError(
            f"{type(estimator).__name__} needs rows of at least two classes, with weights above zero; "
            f"got one class: {estimator.classes_[present[0]]!r}."
        )
