"""From new rows to a stack's predictions: the learners' columns, what the final estimator sees of them, its answer."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
from sklearn import get_config
from sklearn.metrics import accuracy_score, r2_score
from sklearn.utils.metadata_routing import process_routing
from sklearn.utils.metaestimators import available_if
from sklearn.utils.validation import check_is_fitted, validate_data

from stackkit._blending import BLENDS, final_labels, final_probabilities, final_scores, seen_columns
from stackkit._data import as_known, beside, by_name, named
from stackkit._members import Block, Member, settle
from stackkit._model.learner_predictor import LearnerPredictor, predict_table
from stackkit._model.new_rows import check_new_rows, tell_of_values


@dataclass(frozen=True)
class Predictor:
    """All that predicting needs.

    ``panels`` are what predicts for each learner; ``final`` is the fitted final estimator, which sees the columns of
    ``blocks`` and those of X at the positions ``picked``; ``classes`` are the user's labels, None for numbers.
    """

    panels: dict[str, LearnerPredictor]
    blocks: dict[str, Block]
    final: Member
    classes: Any
    picked: list[int]

    def useful(self) -> list[str]:
        """The learners that the final estimator looks at."""
        names = list(self.blocks)
        if not isinstance(self.final.estimator, BLENDS):
            return names
        weighty = [name for name, weight in zip(names, self.final.estimator.weights_, strict=True) if weight != 0]
        # A pool that trusts nobody predicts the class frequencies; new rows must be checked all the same.
        return weighty or names

    def table(self, X: Any, names: list[str], n_jobs: int | None) -> np.ndarray:
        """Columns of all learners; those not named are not computed, for nobody looks at them."""
        means = predict_table({name: self.panels[name] for name in names}, self.blocks, X, n_jobs=n_jobs)
        unseen = 1 / len(self.classes) if isinstance(self.classes, np.ndarray) else 0.0
        table = np.full((X.shape[0], sum(block.width for block in self.blocks.values())), unseen)
        for name, values in means.items():
            table[:, self.blocks[name].columns] = settle(values, self.blocks[name])
        return table

    def final_input(self, X: Any, n_jobs: int | None) -> Any:
        table = self.table(X, self.useful(), n_jobs)
        seen = seen_columns(self.final.estimator, table, self.blocks, self.final.codes)
        return beside(*seen, X, self.picked, self.final.estimator)


def _final_has(method: str) -> Callable[[Any], bool]:
    """The model has a method when its final estimator has it."""

    def check(model: Predicts) -> bool:
        getattr(model._final_prototype(), method)  # noqa: SLF001 - the model asks itself
        return True

    return check


class Predicts:
    """The predicting methods of a stack, which have the same names as the final estimator's."""

    n_jobs: Any
    _predictor: Predictor

    def _final_prototype(self) -> Any:
        """The final estimator as far as it is known."""
        raise NotImplementedError

    @available_if(_final_has("predict"))
    def predict(self, X: Any, **params: Any) -> Any:
        """Predict classes or numbers.

        Parameters
        ----------
        X : array-like, sparse matrix or DataFrame of shape (n_rows, n_features)
            New rows.
        **params : dict
            Passed to the final estimator's ``predict``, such as ``return_std=True``.

        Returns
        -------
        ndarray of shape (n_rows,) or (n_rows, n_outputs)
            Predictions.
        """
        table = self._final_input(X)
        if params and get_config()["enable_metadata_routing"]:
            params = process_routing(self, "predict", **params)["final_estimator"]["predict"]
        return final_labels(self._predictor.final, table, self._predictor.classes, **params)

    @available_if(_final_has("predict_proba"))
    def predict_proba(self, X: Any) -> np.ndarray:
        """Predict class probabilities.

        Parameters
        ----------
        X : array-like, sparse matrix or DataFrame of shape (n_rows, n_features)
            New rows.

        Returns
        -------
        ndarray of shape (n_rows, n_classes)
            In the order of ``classes_``; for a multilabel target of shape (n_rows, n_labels), the
            probability of each label.
        """
        table = self._final_input(X)
        return final_probabilities(self._predictor.final, table, self._predictor.classes)

    @available_if(_final_has("decision_function"))
    def decision_function(self, X: Any) -> np.ndarray:
        """Return the final estimator's decision values.

        Parameters
        ----------
        X : array-like, sparse matrix or DataFrame of shape (n_rows, n_features)
            New rows.

        Returns
        -------
        ndarray of shape (n_rows,), (n_rows, n_classes) or (n_rows, n_labels)
            Decision values.
        """
        table = self._final_input(X)
        return final_scores(self._predictor.final, table, self._predictor.classes)

    def score(self, X: Any, y: Any, sample_weight: Any = None) -> float:
        """Accuracy of the classes, or R^2 of the numbers, predicted for new rows.

        Parameters
        ----------
        X : array-like, sparse matrix or DataFrame of shape (n_rows, n_features)
            New rows.
        y : array-like of shape (n_rows,) or (n_rows, n_outputs)
            Their true targets.
        sample_weight : array-like of shape (n_rows,), optional
            Weights.

        Returns
        -------
        float
            Higher is better; at most 1.
        """
        predicted = self.predict(X)
        metric = r2_score if self._predictor.classes is None else accuracy_score
        return float(metric(as_known(y), predicted, sample_weight=sample_weight))

    def _final_input(self, X: Any) -> Any:
        rows = self._new_rows(X)
        return self._predictor.final_input(rows, self.n_jobs)

    def _new_rows(self, X: Any) -> Any:
        check_is_fitted(self)
        known = getattr(self, "_known_columns", {})  # a model that was saved by an earlier version has none
        checked, told = check_new_rows(X, known)
        names = list(getattr(self, "feature_names_in_", ()))
        rows = by_name(checked, names)
        validate_data(self, X=rows, reset=False, skip_check_array=True)
        tell_of_values(rows, known, told, verbose=getattr(self, "verbose", False))
        return named(rows, names)  # told once that they have no names, not by each member


def new_rows_of(model: Predicts, X: Any) -> Any:
    """Rows, checked as the model's own ``predict`` checks them."""
    return model._new_rows(X)  # noqa: SLF001 - it is of this module
