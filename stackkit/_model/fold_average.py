"""A learner's fold models as one estimator: what they predict on the average."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
from sklearn.base import BaseEstimator
from sklearn.utils import ClassifierTags, RegressorTags
from sklearn.utils.metaestimators import available_if

from stackkit._members import Block, last_step, settle
from stackkit._model.learner_predictor import LearnerPredictor, predict_table

NAME = "learner"


def _fills_columns_by(method: str) -> Callable[[Any], bool]:
    return lambda model: model.block.method == method


class FoldAverage(BaseEstimator):
    """Predicts the mean of a learner's fold models: what fills its columns of the table for new rows.

    Parameters
    ----------
    predictor : LearnerPredictor
        The fold models.
    block : Block
        The learner's columns.

    Attributes
    ----------
    estimators_ : list of estimators
        The fold models.
    classes_ : ndarray of shape (n_classes,)
        Codes of the classes, 0, 1, ...: as in scikit-learn's stackers, learners see no other names. Only for classes.
    """

    def __init__(self, predictor: LearnerPredictor, block: Block) -> None:
        self.predictor = predictor
        self.block = block

    @property
    def estimators_(self) -> list[Any]:
        """The fold models."""
        return [member.estimator for member in self.predictor.members]

    @property
    def classes_(self) -> np.ndarray:
        """Codes of the classes."""
        if not self.block.n_classes:
            raise AttributeError(f"{type(self).__name__} of numbers or labels has no classes_.")
        return np.arange(self.block.n_classes)

    def fit(self, X: Any, y: Any = None) -> FoldAverage:
        """Refuse: the models are fitted.

        Parameters
        ----------
        X, y : object
            Not used.
        """
        raise TypeError("A FoldAverage only predicts. Fit the stack that it was taken from.")

    def predict(self, X: Any) -> np.ndarray:
        """Codes of classes, or numbers.

        Parameters
        ----------
        X : array-like, sparse matrix or DataFrame of shape (n_rows, n_features)
            New rows.

        Returns
        -------
        ndarray of shape (n_rows,) or (n_rows, n_outputs)
            The class with the highest mean, or the mean of the numbers.
        """
        found = settle(self._mean(X), self.block)
        if self.block.kind in ("probability", "score"):
            threshold = 0.5 if self.block.kind == "probability" else 0.0
            return np.asarray(found[:, 0] > threshold, dtype=int) if found.shape[1] == 1 else found.argmax(axis=1)
        if self.block.kind == "indicator":
            return np.asarray(found > 0.5, dtype=int)
        found = found.astype(int) if self.block.kind == "label" else found
        return found[:, 0] if found.shape[1] == 1 else found

    @available_if(_fills_columns_by("predict_proba"))
    def predict_proba(self, X: Any) -> np.ndarray:
        """Mean of the fold models' probabilities.

        Parameters
        ----------
        X : array-like, sparse matrix or DataFrame of shape (n_rows, n_features)
            New rows.

        Returns
        -------
        ndarray of shape (n_rows, n_classes), or (n_rows, n_labels) for a multilabel target
            Probabilities.
        """
        found = self._mean(X)
        return np.hstack([1 - found, found]) if self.block.n_classes == 2 else found

    @available_if(_fills_columns_by("decision_function"))
    def decision_function(self, X: Any) -> np.ndarray:
        """Mean of the fold models' decision values.

        Parameters
        ----------
        X : array-like, sparse matrix or DataFrame of shape (n_rows, n_features)
            New rows.

        Returns
        -------
        ndarray of shape (n_rows,) or (n_rows, n_classes)
            Decision values.
        """
        found = self._mean(X)
        return found[:, 0] if found.shape[1] == 1 else found

    def _mean(self, X: Any) -> np.ndarray:
        return predict_table({NAME: self.predictor}, {NAME: self.block}, X, n_jobs=None)[NAME]

    def __repr__(self, N_CHAR_MAX: int = 700) -> str:
        # The parameters hold all fold models: to spell these out takes seconds.
        kinds = dict.fromkeys(type(last_step(estimator)).__name__ for estimator in self.estimators_)
        return f"FoldAverage({len(self.estimators_)} x {', '.join(kinds)})"

    def _repr_mimebundle_(self, **_: Any) -> dict[str, str]:
        return {"text/plain": repr(self)}

    def __sklearn_is_fitted__(self) -> bool:
        return True

    def __sklearn_tags__(self) -> Any:
        tags = super().__sklearn_tags__()
        of_numbers = self.block.kind == "value"
        tags.estimator_type = "regressor" if of_numbers else "classifier"
        tags.classifier_tags = None if of_numbers else ClassifierTags()
        tags.regressor_tags = RegressorTags() if of_numbers else None
        return tags
