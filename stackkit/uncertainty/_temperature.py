"""Probabilities made less, or more, certain by one number."""

from __future__ import annotations

from typing import Any, Self

import numpy as np
from sklearn.utils.validation import check_is_fitted

from stackkit._assessment import choose_temperature, tempered
from stackkit._model import StackingModel
from stackkit.uncertainty._inputs import check_stack
from stackkit.uncertainty._of_stack import CrossFitted, TunedClassifier


class TemperatureClassifier(TunedClassifier):
    """A stack whose probabilities are made less, or more, certain by one number, where that helps.

    :func:`scale_temperature` makes one of a fitted stack, without a fit.

    Parameters
    ----------
    model : StackingModel
        ``fit`` fits a clone of it.

    Attributes
    ----------
    model_ : StackingModel
        Fitted.
    classes_ : ndarray of shape (n_classes,)
        Their labels.
    temperature_ : float
        Logarithms of the probabilities are divided by it; 1 where none was found to help.
    kept_ : bool
        Whether it helps: the gain is more than its standard error.
    gain_, gain_se_ : float
        How much lower the log-loss is on each fold's test rows by the temperature found on the others' (mean over the
        folds), and the standard error of that.
    n_features_in_ : int
        Columns of X.
    feature_names_in_ : ndarray of str
        Names of X's columns; only where it has them.

    References
    ----------
    Guo, Pleiss, Sun and Weinberger (2017), On calibration of modern neural networks. ICML.

    Examples
    --------
    >>> from sklearn.datasets import load_breast_cancer
    >>> from sklearn.naive_bayes import GaussianNB
    >>> from stackkit import ConvexClassifier, StackingClassifier
    >>> from stackkit.uncertainty import TemperatureClassifier
    >>> X, y = load_breast_cancer(return_X_y=True)
    >>> stack = StackingClassifier([("bayes", GaussianNB())], ConvexClassifier(), random_state=0)
    >>> scaled = TemperatureClassifier(stack).fit(X, y)
    >>> bool(scaled.temperature_ > 1)  # naive Bayes is too sure of itself
    True
    """

    def __init__(self, model: Any = None) -> None:
        self.model = model

    def _take(self, model: StackingModel, X: Any) -> Self:
        cross = CrossFitted(model, X, "scale_temperature")
        found = choose_temperature(cross.shares, cross.target.values, cross.weights, cross.folds, cross.rows)
        self._set_model(model)
        self.temperature_, self.kept_, self.gain_, self.gain_se_ = found.value, found.kept, found.gain, found.se
        return self

    def predict_proba(self, X: Any) -> np.ndarray:
        """Predict class probabilities, at the temperature.

        Parameters
        ----------
        X : array-like or DataFrame of shape (n_rows, n_features)
            New rows.

        Returns
        -------
        ndarray of shape (n_rows, n_classes)
            In the order of ``classes_``; the stack's own where the temperature is 1.
        """
        return tempered(super().predict_proba(X), self.temperature_)


def scale_temperature(model: StackingModel, X: Any = None) -> TemperatureClassifier:
    """Calibrate the probabilities of a fitted stack by one number, where that helps. Nothing is refitted.

    The temperature is the one with the least log-loss on what the final estimator says of the training rows,
    cross-fitted on the table. It is kept only if the temperature of the other folds' rows lowers the log-loss of a
    fold's rows by more than a standard error: blends such as ``LogPoolClassifier`` have one of their own already.

    Parameters
    ----------
    model : StackingModel
        Fitted; it gives probabilities of one class per row.
    X : array-like or DataFrame of shape (n_rows, n_features), optional
        The training rows, as they were given to ``fit``; needed only with ``passthrough``.

    Returns
    -------
    TemperatureClassifier
        It predicts the stack's classes, with these probabilities.

    Raises
    ------
    ValueError
        The stack gives no probabilities of one class per row, or ``X`` are not the training rows.
    TypeError
        ``model`` is not a StackingModel.

    Notes
    -----
    Rows are weighed by the weights of the fit. New rows are predicted by the mean over the fold models, which is a
    little less certain than one of them: what is chosen for these may be off by as much.

    References
    ----------
    Guo, Pleiss, Sun and Weinberger (2017), On calibration of modern neural networks. ICML.

    Examples
    --------
    >>> from sklearn.datasets import load_iris
    >>> from sklearn.naive_bayes import GaussianNB
    >>> from sklearn.neighbors import KNeighborsClassifier
    >>> from stackkit import StackingModel
    >>> from stackkit.uncertainty import scale_temperature
    >>> X, y = load_iris(return_X_y=True)
    >>> model = StackingModel([("knn", KNeighborsClassifier()), ("bayes", GaussianNB())], random_state=0).fit(X, y)
    >>> scale_temperature(model).predict_proba(X).shape
    (150, 3)
    """
    check_stack(model, "scale_temperature")
    check_is_fitted(model)
    return TemperatureClassifier(model)._take(model, X)  # noqa: SLF001 - it is of this module
