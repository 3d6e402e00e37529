"""Naive Bayes for columns that do not vary."""

from __future__ import annotations

from typing import Any, Self

import numpy as np
from sklearn.naive_bayes import GaussianNB


class SmoothedNB(GaussianNB):
    """GaussianNB that gives the frequencies of classes where no column varies; scikit-learn's divides by zero there."""

    def fit(self, X: Any, y: Any, sample_weight: Any = None) -> Self:
        """Fit as scikit-learn's does.

        Parameters
        ----------
        X : array-like of shape (n_rows, n_columns)
            Training rows.
        y : array-like of shape (n_rows,)
            Classes.
        sample_weight : array-like of shape (n_rows,), optional
            Weights.

        Returns
        -------
        SmoothedNB
            The fitted model.
        """
        super().fit(X, y, sample_weight=sample_weight)
        fitted: Any = self
        if not fitted.var_.any():
            fitted.var_ = np.ones_like(fitted.var_)
        return self
