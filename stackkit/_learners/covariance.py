"""The covariance of a class, of however few rows."""

from __future__ import annotations

from typing import Any, Self

import numpy as np
from sklearn.base import BaseEstimator
from sklearn.covariance import ledoit_wolf
from sklearn.preprocessing import StandardScaler


class ShrunkCovariance(BaseEstimator):
    """What ``shrinkage="auto"`` means in scikit-learn's discriminant analysis, but one row gives no warning.

    Attributes
    ----------
    covariance_ : ndarray of shape (n_columns, n_columns)
        By Ledoit and Wolf, of columns on one scale; zeros for one row.
    """

    def fit(self, X: np.ndarray, y: Any = None) -> Self:
        """Estimate the covariance of these rows.

        Parameters
        ----------
        X : ndarray of shape (n_rows, n_columns)
            Rows of one class.
        y : ignored

        Returns
        -------
        ShrunkCovariance
            The fitted estimator.
        """
        if len(X) == 1:
            self.covariance_ = np.zeros((X.shape[1], X.shape[1]))
            return self
        scaler = StandardScaler()
        shrunk, _ = ledoit_wolf(scaler.fit_transform(X))
        self.covariance_ = scaler.scale_[:, np.newaxis] * shrunk * scaler.scale_[np.newaxis, :]
        return self
