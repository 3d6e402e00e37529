"""What all blends share: input, labels and predictions."""

from __future__ import annotations

import warnings
from typing import Any, Self

import numpy as np
from numpy.typing import ArrayLike, NDArray
from sklearn.base import BaseEstimator, ClassifierMixin, RegressorMixin
from sklearn.utils import Tags
from sklearn.utils.multiclass import check_classification_targets
from sklearn.utils.validation import check_is_fitted, validate_data

from stackkit._blending.checks import check_two_classes, weights_of_mean_one
from stackkit._blending.optimise import Codes, Floats
from stackkit._utils import SUM_TOLERANCE
from stackkit.exceptions import NotProbabilitiesWarning


def _as_table(X: NDArray[np.floating], n_classes: int) -> tuple[Floats, list[str]]:
    """Probabilities as (learner, row, class), and what had to be bent to get them."""
    n_rows, n_columns = X.shape
    single = n_classes == 2 or n_columns % n_classes != 0
    faults = []
    if n_classes > 2 and single:
        faults.append(f"{n_columns} columns, each of which counts as a learner's 1 - P(first class)")
    if X.min() < -SUM_TOLERANCE or X.max() > 1 + SUM_TOLERANCE:
        faults.append(f"values from {X.min():.3g} to {X.max():.3g}, which are clipped")
    if single:
        values = np.clip(X.T, 0, 1, dtype=np.float64)
        table = np.empty((n_columns, n_rows, n_classes))
        table[:, :, 0] = 1 - values
        table[:, :, 1:] = (values / (n_classes - 1))[:, :, None]
        return table, faults
    blocks = X.reshape(n_rows, -1, n_classes).transpose(1, 0, 2)
    table = np.array(blocks, dtype=np.float64, order="C")  # always a copy: it is written to
    np.clip(table, 0, 1, out=table)
    sums = table.sum(axis=2, keepdims=True)
    if np.abs(sums - 1).max() > SUM_TOLERANCE:
        faults.append(f"rows of a block that sum to {sums.min():.3g} to {sums.max():.3g}, which are rescaled")
        empty = sums[:, :, 0] == 0
        table[empty] = 1
        sums[empty] = n_classes
    table /= sums
    return table, faults


def _as_probabilities(estimator: Any, X: NDArray[np.floating]) -> Floats:
    n_classes = len(estimator.classes_)
    table, faults = _as_table(X, n_classes)
    if faults:
        shape = "one column per learner" if n_classes == 2 else f"blocks of {n_classes} columns per learner"
        which = "of the second class" if n_classes == 2 else "that sum to 1, in the order of the classes"
        warnings.warn(
            f"{type(estimator).__name__} expects {shape}: probabilities {which}; got {'; '.join(faults)}. "
            "Give it what predict_proba returns, or choose another final estimator.",
            NotProbabilitiesWarning,
            stacklevel=3,
        )
    return table


# ---------------------------------------------------------------- classes
class BlendClassifier(ClassifierMixin, BaseEstimator):
    """Input, labels and predictions; a blend says how it finds its weights."""

    def _solve(self, table: Floats, codes: Codes, rows: Floats) -> None:
        raise NotImplementedError

    def fit(self, X: Any, y: Any, sample_weight: ArrayLike | None = None) -> Self:
        """Find the weights.

        Parameters
        ----------
        X : array-like of shape (n_rows, n_learners * width)
            Probabilities that did not see the row's label (out-of-fold), a block of columns per learner. For
            two classes a block is one column, the probability of the second class; for more it has a column
            a class. Classes stand in sorted order.
        y : array-like of shape (n_rows,)
            Labels.
        sample_weight : array-like of shape (n_rows,), default=None
            Weight of each row. They are divided by their mean over the rows whose weight is not zero: a row that
            weighs twice as much as another counts twice as much, and all weights times ten change nothing.

        Returns
        -------
        self : object
            The fitted blend.
        """
        X, y = validate_data(self, X, y, dtype=[np.float64, np.float32])
        check_classification_targets(y)
        rows = weights_of_mean_one(sample_weight, len(X))
        self.classes_, codes = np.unique(y, return_inverse=True)
        check_two_classes(self, codes, rows)
        self._solve(_as_probabilities(self, X), codes, rows)
        return self

    def predict_proba(self, X: Any) -> Floats:
        """Blend the learners' probabilities.

        Parameters
        ----------
        X : array-like of shape (n_rows, n_learners * width)
            Probabilities, laid out as in `fit`.

        Returns
        -------
        proba : ndarray of shape (n_rows, n_classes)
            Probabilities in the order of `classes_`.
        """
        check_is_fitted(self)
        X = validate_data(self, X, dtype=[np.float64, np.float32], reset=False)
        return self._mix(_as_probabilities(self, X))

    def predict(self, X: Any) -> NDArray[Any]:
        """Predict the most probable class.

        Parameters
        ----------
        X : array-like of shape (n_rows, n_learners * width)
            Probabilities, laid out as in `fit`.

        Returns
        -------
        y : ndarray of shape (n_rows,)
            Labels.
        """
        most_probable = self.predict_proba(X).argmax(axis=1)
        return self.classes_[most_probable]

    def _mix(self, table: Floats) -> Floats:
        # Shares that sum to one by a hair too much give probabilities that log_loss refuses.
        return np.clip(np.tensordot(self.weights_, table, axes=1), 0, 1)

    def __sklearn_tags__(self) -> Tags:
        tags = super().__sklearn_tags__()
        tags.classifier_tags.poor_score = True  # no learner of raw features
        return tags


class BlendRegressor(RegressorMixin, BaseEstimator):
    """Input and predictions; a blend says how it finds its weights."""

    def _solve(self, X: Floats, y: Floats, rows: Floats) -> None:
        raise NotImplementedError

    def fit(self, X: Any, y: Any, sample_weight: ArrayLike | None = None) -> Self:
        """Find the weights.

        Parameters
        ----------
        X : array-like of shape (n_rows, n_learners)
            Predictions that did not see the row's target (out-of-fold), one column per learner.
        y : array-like of shape (n_rows,)
            Targets.
        sample_weight : array-like of shape (n_rows,), default=None
            Weight of each row. They are divided by their mean over the rows whose weight is not zero: a row that
            weighs twice as much as another counts twice as much, and all weights times ten change nothing.

        Returns
        -------
        self : object
            The fitted blend.
        """
        X, y = validate_data(self, X, y, dtype=np.float64, order="C", y_numeric=True)  # same bits for frames
        self._solve(X, np.asarray(y, dtype=np.float64), weights_of_mean_one(sample_weight, len(X)))
        return self

    def predict(self, X: Any) -> Floats:
        """Add the learners' predictions up with the weights found.

        Parameters
        ----------
        X : array-like of shape (n_rows, n_learners)
            Predictions, one column per learner.

        Returns
        -------
        y : ndarray of shape (n_rows,)
            Weighted means, or sums.
        """
        check_is_fitted(self)
        table = self._bounded(validate_data(self, X, dtype=np.float64, reset=False))
        return table @ self.weights_ + self._offset()

    def _bounded(self, X: Floats) -> Floats:
        """The predictions as they are weighed."""
        return X

    def _offset(self) -> float:
        return 0.0

    def __sklearn_tags__(self) -> Tags:
        tags = super().__sklearn_tags__()
        tags.regressor_tags.poor_score = True  # no learner of raw features
        return tags
