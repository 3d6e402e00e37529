"""Kernel machines of a compact model: what the kernel is multiplied by twice, it is multiplied by once.

Nystroem's map multiplies the kernel's values (n, m) by a square matrix, and the linear model behind it multiplies the
result by its weights. Both factors together are weights of the kernel's values themselves.

Shapes: n rows, d columns, m rows that the map compares with.
"""

from __future__ import annotations

from collections.abc import Sequence
from copy import copy
from dataclasses import dataclass
from typing import Any

import numpy as np
from sklearn.linear_model import LogisticRegression, RidgeCV
from sklearn.utils.extmath import row_norms

from stackkit._learners import KernelMap, TablePreparation

BLOCK_ROWS = 256  # whose values stay in the processor's cache from one pass to the next
LINEAR = (LogisticRegression, RidgeCV)


@dataclass(frozen=True)
class KernelValues:
    """Values of a Gaussian kernel between rows and the rows ``compared`` (m, d)."""

    compared: np.ndarray
    gamma: float

    def transform(self, X: np.ndarray) -> np.ndarray:
        """Return the values (n, m) for rows (n, d)."""
        factors = 2 * self.gamma * self.compared.T
        squares = self.gamma * row_norms(self.compared, squared=True)
        values = np.empty((len(X), len(self.compared)))
        for start in range(0, len(X), BLOCK_ROWS):
            rows = X[start : start + BLOCK_ROWS]
            part = np.matmul(rows, factors, out=values[start : start + BLOCK_ROWS])
            part -= self.gamma * row_norms(rows, squared=True)[:, np.newaxis]
            part -= squares
            np.minimum(part, 0.0, out=part)  # rounding may make squared distances negative
            np.exp(part, out=part)
        return values


def without_second_product(steps: Sequence[Any], last: Any) -> tuple[Sequence[Any], Any]:
    """The steps and the linear model of a default kernel machine with one matrix less; all others as they are."""
    if len(steps) != 2 or type(last) not in LINEAR:
        return steps, last
    front, kernel = steps
    if not isinstance(front, TablePreparation) or type(kernel) is not KernelMap:  # others may give other than numbers
        return steps, last
    linear = copy(last)
    linear.coef_ = last.coef_ @ kernel.map_.normalization_
    return (front, KernelValues(kernel.map_.components_, float(kernel.map_.gamma))), linear
