"""Newton's method and least squares, with weights that are not negative."""

from __future__ import annotations

import warnings
from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import nnls
from sklearn.exceptions import ConvergenceWarning

from stackkit._utils import EPSILON

Floats = NDArray[np.float64]

Codes = NDArray[np.intp]

Step = Callable[[Floats], tuple[Floats, float]]

Score = Callable[[Floats], float]

_NEGLIGIBLE = 1e-12  # shares below this are rounding; they must be 0.0, since they decide who is refitted


_DAMPING = 1e-7  # what a weight of one costs: its square changes no weight, but for those of a million


# ---------------------------------------------------------------- optimisation
def newton(value: Score, step: Step, start: Floats, max_iter: int, tol: float) -> tuple[Floats, int]:
    """Minimise a convex function: `step` gives the minimiser of its quadratic model and the gain promised.

    The last step is taken in full: it squares the error, and what the model's constraints hold at 0 is 0.0.
    """
    point, current = start, value(start)
    for iteration in range(1, max_iter + 1):
        target, promise = step(point)
        if promise <= max(tol, 10 * EPSILON):  # below that only rounding is left to gain
            return target, iteration
        length, reached = 1.0, value(target)
        while reached > current - 1e-4 * length * promise:
            length /= 2
            reached = value(point + length * (target - point))
        point, current = point + length * (target - point), reached
    warnings.warn(
        f"The weights did not converge in {max_iter} iterations: raise max_iter or tol.",
        ConvergenceWarning,
        stacklevel=4,
    )
    return point, max_iter


def _first_of_its_kind(columns: Floats) -> NDArray[np.bool_]:
    """Copies of a column would share its weight at the whim of rounding: only the first takes part."""
    kept = np.ones(columns.shape[1], dtype=bool)
    for j in range(1, len(kept)):
        kept[j] = np.abs(columns[:, :j] - columns[:, [j]]).max(axis=0).min() > 1e-12
    return kept


def _non_negative(columns: Floats, goal: Floats, *, damping: float = 0.0) -> Floats:
    """The w >= 0 that minimises |columns @ w - goal|; copies of a column, and columns of zeros, get none.

    ``damping`` is the length that a weight adds, as a share of the length of its column.
    """
    lengths = np.linalg.norm(columns, axis=0)
    empty = lengths == 0
    lengths[empty] = 1
    columns = columns / lengths  # of length 1, or one wild learner blinds the tolerance
    kept = ~empty & _first_of_its_kind(columns)
    shares = np.zeros(len(lengths))
    columns = columns[:, kept]
    if damping:
        columns = np.vstack([columns, damping * np.eye(columns.shape[1])])
        goal = np.append(goal, np.zeros(columns.shape[1]))
    if kept.any():
        shares[kept] = nnls(columns, goal, maxiter=100 * len(lengths))[0]
    weights: Floats = np.where(shares < _NEGLIGIBLE * shares.max(), 0.0, shares / lengths)
    return weights


def nearest_on_simplex(predictions: Floats, target: Floats | float, row_weights: Floats) -> Floats:
    """The w >= 0 with sum 1 that minimises |predictions @ w - target|, exactly.

    With residual columns D = predictions - target the aim is |D w|, as the weights sum to 1. Write any v >= 0
    as s w: then |D v|^2 + (sum(v) - 1)^2 = s^2 |D w|^2 + (s - 1)^2, which for every s has the same best w. So
    non-negative least squares with one row added solves the problem, without a penalty that has to be large.
    """
    residuals = (predictions - np.reshape(target, (-1, 1))) * np.sqrt(row_weights)[:, None]
    triangle = np.linalg.qr(residuals, mode="r")
    sizes = np.linalg.norm(triangle, axis=0)
    if sizes.min() == 0:  # a learner without any error
        return np.eye(len(sizes))[int(np.argmin(sizes))]
    columns = np.vstack([triangle / sizes.min(), np.ones(len(sizes))])
    goal = np.zeros(len(columns))
    goal[-1] = 1
    weights = _non_negative(columns, goal)
    return weights / weights.sum()


def nearest_without_negatives(predictions: Floats, target: Floats, row_weights: Floats, noise: Floats) -> Floats:
    """The w >= 0 that minimises |predictions @ w - target|; columns of a spread within `noise` are empty."""
    scale = np.sqrt(row_weights / row_weights.sum())[:, None]
    triangle = np.asarray(np.linalg.qr(np.column_stack([predictions, target]) * scale, mode="r"))
    columns, goal = triangle[:, :-1], triangle[:, -1]
    columns[:, np.linalg.norm(columns, axis=0) <= noise] = 0
    # Two columns that are each other's opposite but for rounding would be given weights of millions, to fit that.
    return _non_negative(columns, goal, damping=_DAMPING)
