"""Learners that were fitted elsewhere, and of which only the predictions are here: their rows are what they give."""

from __future__ import annotations

from typing import Any, Self

import numpy as np
from sklearn.base import BaseEstimator, ClassifierMixin, RegressorMixin


class GivenProbabilities(ClassifierMixin, BaseEstimator):
    """Takes the probabilities out of X: its columns from ``start`` to ``stop``.

    Parameters
    ----------
    classes : ndarray of shape (n_classes,)
        What the columns are about. Of two classes there may be the second one's column alone.
    start, stop : int
        Positions in X.
    """

    def __init__(self, classes: np.ndarray, start: int, stop: int) -> None:
        self.classes = classes
        self.start = start
        self.stop = stop

    @property
    def classes_(self) -> np.ndarray:
        return self.classes

    def fit(self, X: Any, y: Any = None) -> Self:
        return self

    def predict_proba(self, X: Any) -> np.ndarray:
        values = np.asarray(X, dtype=np.float64)[:, self.start : self.stop]
        return values if values.shape[1] > 1 else np.hstack([1 - values, values])

    def predict(self, X: Any) -> np.ndarray:
        best = self.predict_proba(X).argmax(axis=1)
        return self.classes[best]

    def __sklearn_is_fitted__(self) -> bool:
        return True


class GivenNumbers(RegressorMixin, BaseEstimator):
    """Takes the predicted numbers out of X: its column ``start``."""

    def __init__(self, start: int) -> None:
        self.start = start

    def fit(self, X: Any, y: Any = None) -> Self:
        return self

    def predict(self, X: Any) -> np.ndarray:
        return np.asarray(X, dtype=np.float64)[:, self.start]

    def __sklearn_is_fitted__(self) -> bool:
        return True
