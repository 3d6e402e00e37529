"""Columns in which a linear model finds smooth functions of all columns together."""

from __future__ import annotations

from typing import Any, Self

import numpy as np
from sklearn.base import BaseEstimator, TransformerMixin
from sklearn.kernel_approximation import Nystroem
from sklearn.utils.validation import check_is_fitted


class KernelMap(TransformerMixin, BaseEstimator):
    """Nystroem's approximation of a Gaussian kernel, whose width follows from the number of columns.

    A ridge or a logistic regression on top is a kernel machine, at the price of a linear model.

    Parameters
    ----------
    n_components : int
        Columns to make: rows to compare with. Of fewer rows, all.
    width : float
        Distance at which similarity falls to 0.6, in units of that between two rows of scaled columns.
    random_state : int, RandomState or None
        Seeds which rows.

    References
    ----------
    C. K. I. Williams and M. Seeger (2001). Using the Nystroem method to speed up kernel machines. NIPS 13.
    """

    def __init__(self, n_components: int = 400, *, width: float = 1.0, random_state: Any = None) -> None:
        self.n_components = n_components
        self.width = width
        self.random_state = random_state

    def fit(self, X: np.ndarray, y: Any = None) -> Self:
        n_rows, n_columns = X.shape
        # Scaled columns lie 2 * n_columns apart in the square, on the average.
        gamma = 1 / (4 * self.width**2 * n_columns)
        found = Nystroem(gamma=gamma, n_components=min(self.n_components, n_rows), random_state=self.random_state)
        self.map_ = found.fit(X)
        return self

    def transform(self, X: np.ndarray) -> np.ndarray:
        check_is_fitted(self)
        found: np.ndarray = self.map_.transform(X)
        return found
