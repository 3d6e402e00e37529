"""CatBoost that finds its number of trees. The package is optional: the extra `catboost` installs it."""

from __future__ import annotations

from importlib import import_module
from types import ModuleType
from typing import Any, Self

import numpy as np
import pandas as pd
from sklearn.base import BaseEstimator, ClassifierMixin, RegressorMixin
from sklearn.utils import check_random_state
from sklearn.utils.multiclass import check_classification_targets
from sklearn.utils.validation import check_is_fitted

from stackkit._data import check_weights
from stackkit._learners.coded_tables import checked_table, new_table
from stackkit._learners.stopping import rows_to_stop_by, trees_on_all_rows


def _catboost() -> ModuleType:
    return import_module("catboost")


class _CatBoost(BaseEstimator):
    """Trees, and how they are found; a subclass knows what the target is."""

    def __init__(
        self,
        *,
        n_estimators: int = 1000,
        learning_rate: float = 0.06,
        max_depth: int = 6,
        early_stopping_rounds: int = 40,
        validation_fraction: float = 0.15,
        refit: bool = True,
        n_jobs: int = 1,
        random_state: Any = None,
    ) -> None:
        self.n_estimators = n_estimators
        self.learning_rate = learning_rate
        self.max_depth = max_depth
        self.early_stopping_rounds = early_stopping_rounds
        self.validation_fraction = validation_fraction
        self.refit = refit
        self.n_jobs = n_jobs
        self.random_state = random_state

    def _grow(self, table: np.ndarray, y: np.ndarray, weights: Any, groups: Any, *, maker: Any, loss: str) -> None:
        """Boost until the rows set aside see no progress; with ``refit`` then on all rows, for as long."""
        weights = check_weights(weights, len(table))
        train, held = rows_to_stop_by(self, table, y, groups, classifier=loss != "RMSE")
        params = {
            "learning_rate": self.learning_rate,
            "depth": self.max_depth,
            "loss_function": loss,
            "thread_count": self.n_jobs,
            "random_seed": int(check_random_state(self.random_state).randint(2**31 - 1)),
            "allow_writing_files": False,
            "verbose": False,
        }

        def pool(rows: Any) -> Any:
            of_rows = None if weights is None else weights[rows]
            columns = self._columns(table[rows])
            return _catboost().Pool(columns, y[rows], weight=of_rows, cat_features=self.categorical_)

        self.model_ = maker(iterations=self.n_estimators, **params)
        self.model_.fit(pool(train), eval_set=pool(held), early_stopping_rounds=self.early_stopping_rounds)
        if self.refit:
            n_trees = trees_on_all_rows(self.model_.tree_count_, self.n_estimators)
            self.model_ = maker(iterations=n_trees, **params).fit(pool(slice(None)))

    def _columns(self, table: np.ndarray) -> Any:
        """CatBoost takes categories as whole numbers; a level without a code is a level of its own."""
        if not self.categorical_:
            return table
        frame = pd.DataFrame(table)
        codes = frame[self.categorical_].fillna(-1).astype(int)
        return pd.concat([frame.drop(columns=self.categorical_), codes], axis=1)[list(frame.columns)]

    def _rows(self, X: Any) -> Any:
        check_is_fitted(self)
        return self._columns(new_table(self, X))

    def __sklearn_tags__(self) -> Any:
        tags = super().__sklearn_tags__()
        tags.input_tags.allow_nan = True
        return tags


class CatBoostClassifier(ClassifierMixin, _CatBoost):
    """CatBoost for classes, with as many trees as rows that it sets aside ask for.

    The rows set aside are some of those that ``fit`` is given: inside a fold of a stack, the rows to be predicted
    have no say. Columns of dtype "category" whose categories are codes, 0, 1, ..., are categories.

    Parameters
    ----------
    n_estimators : int
        The most trees.
    learning_rate : float
        What each tree adds.
    max_depth : int
        Depth of each tree.
    early_stopping_rounds : int
        Trees without progress after which to stop.
    validation_fraction : float
        Share of the rows set aside; with ``groups``, of the groups.
    refit : bool
        Whether to fit to all rows when the number of trees is found.
    n_jobs : int
        Threads.
    random_state : int, RandomState or None
        Seeds the trees, and which rows are set aside.

    References
    ----------
    L. Prokhorenkova and others (2018). CatBoost: unbiased boosting with categorical features. NeurIPS 31.
    """

    def fit(self, X: Any, y: Any, *, sample_weight: Any = None, groups: Any = None) -> Self:
        table, y, self.categorical_ = checked_table(self, X, y, y_numeric=False)
        check_classification_targets(y)
        self.classes_, codes = np.unique(y, return_inverse=True)
        if len(self.classes_) == 1:
            only = self.classes_.tolist()
            raise ValueError(f"CatBoostClassifier needs y of two classes or more; got one class, {only}.")
        loss = "Logloss" if len(self.classes_) == 2 else "MultiClass"
        self._grow(table, codes, sample_weight, groups, maker=_catboost().CatBoostClassifier, loss=loss)
        return self

    def predict_proba(self, X: Any) -> np.ndarray:
        return np.asarray(self.model_.predict_proba(self._rows(X), thread_count=self.n_jobs))

    def predict(self, X: Any) -> np.ndarray:
        labels: np.ndarray = self.classes_[self.predict_proba(X).argmax(axis=1)]
        return labels


class CatBoostRegressor(RegressorMixin, _CatBoost):
    """CatBoost for numbers, with as many trees as rows that it sets aside ask for: see CatBoostClassifier."""

    def fit(self, X: Any, y: Any, *, sample_weight: Any = None, groups: Any = None) -> Self:
        table, y, self.categorical_ = checked_table(self, X, y, y_numeric=True)
        self._grow(table, y, sample_weight, groups, maker=_catboost().CatBoostRegressor, loss="RMSE")
        return self

    def predict(self, X: Any) -> np.ndarray:
        return np.ravel(self.model_.predict(self._rows(X), thread_count=self.n_jobs))
