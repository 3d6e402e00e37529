"""Estimators that are made of a stack: together with it, or of one that is fitted."""

from __future__ import annotations

from typing import Any, Self

import numpy as np
from sklearn.base import BaseEstimator, ClassifierMixin, clone
from sklearn.utils.validation import check_is_fitted

from stackkit._assessment import answers_of, second_level, target_of
from stackkit._model import StackingModel
from stackkit.uncertainty._inputs import check_kind, check_stack, training_rows


class OfStack(BaseEstimator):
    """Made together with a stack, by ``fit``, or of one that is fitted, by a function of this module."""

    model: Any
    model_: StackingModel

    def _fitted_model(self, X: Any, y: Any, **params: Any) -> StackingModel:
        check_stack(self.model, type(self).__name__)
        return clone(self.model).fit(X, y, **{name: value for name, value in params.items() if value is not None})

    def _set_model(self, model: StackingModel) -> None:
        self.model_ = model
        self.n_features_in_ = model.n_features_in_
        if hasattr(model, "classes_"):
            self.classes_ = model.classes_
        if hasattr(model, "feature_names_in_"):
            self.feature_names_in_ = model.feature_names_in_

    def predict(self, X: Any) -> np.ndarray:
        """Predict as the stack does.

        Parameters
        ----------
        X : array-like or DataFrame of shape (n_rows, n_features)
            New rows.

        Returns
        -------
        ndarray of shape (n_rows,)
            Classes or numbers.
        """
        check_is_fitted(self)
        return self.model_.predict(X)


class OfClassifier(ClassifierMixin, OfStack):
    def predict_proba(self, X: Any) -> np.ndarray:
        """Predict class probabilities as the stack does.

        Parameters
        ----------
        X : array-like or DataFrame of shape (n_rows, n_features)
            New rows.

        Returns
        -------
        ndarray of shape (n_rows, n_classes)
            In the order of ``classes_``.
        """
        check_is_fitted(self)
        return self.model_.predict_proba(X)


class TunedClassifier(OfClassifier):
    """One number of it is chosen from the out-of-fold table."""

    def _take(self, model: StackingModel, X: Any) -> Self:
        raise NotImplementedError

    def fit(self, X: Any, y: Any, *, groups: Any = None, sample_weight: Any = None) -> Self:
        """Fit a clone of the stack, and choose the number from its out-of-fold table.

        Parameters
        ----------
        X : array-like or DataFrame of shape (n_rows, n_features)
            Training rows.
        y : array-like of shape (n_rows,)
            Classes.
        groups, sample_weight : array-like of shape (n_rows,), optional
            As in ``StackingModel.fit``.

        Returns
        -------
        object
            This one, fitted.
        """
        return self._take(self._fitted_model(X, y, groups=groups, sample_weight=sample_weight), X)


class CrossFitted:
    """What the stack says of its training rows, its final estimator cross-fitted on the table."""

    def __init__(self, model: StackingModel, X: Any, owner: str) -> None:
        oof, final = model.oof_, model.final_estimator_
        block = check_kind(oof, final, owner, classes=True)
        rows, picked = training_rows(model, X, owner)
        self.stack = second_level(final, oof, X=rows, picked=picked, n_jobs=model.n_jobs)
        self.weights, self.folds, self.target = oof.sample_weight, self.stack.folds, target_of(oof)
        known = self.stack.covered if self.weights is None else self.stack.covered & (self.weights > 0)
        self.rows = np.flatnonzero(known)
        self.shares = answers_of(self.stack.train, block, oof.classes).predict_proba(None)

    def weights_of(self, rows: np.ndarray) -> np.ndarray | None:
        return None if self.weights is None else self.weights[rows]
