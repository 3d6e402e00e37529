"""LightGBM that finds its number of trees, and heeds categories. Importing this loads lightgbm."""

from __future__ import annotations

from typing import Any, Self

import lightgbm
import numpy as np
from sklearn.base import BaseEstimator, ClassifierMixin, RegressorMixin
from sklearn.utils import check_random_state
from sklearn.utils.multiclass import check_classification_targets
from sklearn.utils.validation import check_is_fitted

from stackkit._data import check_weights
from stackkit._learners.coded_tables import checked_table, new_table
from stackkit._learners.stopping import rows_to_stop_by, trees_on_all_rows


class _LightGBM(BaseEstimator):
    """Trees, and how they are found; a subclass knows what the target is."""

    def __init__(
        self,
        *,
        n_estimators: int = 2000,
        learning_rate: float = 0.05,
        num_leaves: int = 31,
        min_child_samples: int = 20,
        colsample_bytree: float = 1.0,
        subsample: float = 1.0,
        extra_trees: bool = False,
        linear_tree: bool = False,
        early_stopping_rounds: int = 40,
        validation_fraction: float = 0.15,
        refit: bool = True,
        n_jobs: int = 1,
        random_state: Any = None,
    ) -> None:
        self.n_estimators = n_estimators
        self.learning_rate = learning_rate
        self.num_leaves = num_leaves
        self.min_child_samples = min_child_samples
        self.colsample_bytree = colsample_bytree
        self.subsample = subsample
        self.extra_trees = extra_trees
        self.linear_tree = linear_tree
        self.early_stopping_rounds = early_stopping_rounds
        self.validation_fraction = validation_fraction
        self.refit = refit
        self.n_jobs = n_jobs
        self.random_state = random_state

    def _grow(
        self, table: np.ndarray, y: np.ndarray, categorical: list[int], weights: Any, groups: Any, **objective: Any
    ) -> None:
        """Boost until the rows set aside see no progress; with ``refit`` then on all rows, for as long."""
        weights = check_weights(weights, len(table))
        params = self._params() | objective
        dataset: dict[str, Any] = {"categorical_feature": categorical, "free_raw_data": False, "params": params}
        train, held = rows_to_stop_by(self, table, y, groups, classifier=objective["objective"] != "regression")
        inner = lightgbm.Dataset(table[train], y[train], weight=None if weights is None else weights[train], **dataset)
        outer = inner.create_valid(table[held], y[held], weight=None if weights is None else weights[held])
        stop = lightgbm.early_stopping(self.early_stopping_rounds, verbose=False)
        found = lightgbm.train(params, inner, self.n_estimators, valid_sets=[outer], callbacks=[stop])
        if not self.refit:
            self.n_estimators_, self.booster_ = found.best_iteration, found
            return
        self.n_estimators_ = trees_on_all_rows(found.best_iteration, self.n_estimators)
        everything = lightgbm.Dataset(table, y, weight=weights, **dataset)
        self.booster_ = lightgbm.train(params, everything, self.n_estimators_)

    def _params(self) -> dict[str, Any]:
        return {
            "learning_rate": self.learning_rate,
            "num_leaves": self.num_leaves,
            "min_data_in_leaf": self.min_child_samples,
            "feature_fraction": self.colsample_bytree,
            "bagging_fraction": self.subsample,
            "bagging_freq": int(self.subsample < 1),
            "extra_trees": self.extra_trees,
            "linear_tree": self.linear_tree,
            "linear_lambda": 1.0,  # a leaf's line through a handful of rows would swing wildly
            "num_threads": self.n_jobs,
            # The same trees on any number of threads, whatever the order in which sums are made.
            "deterministic": True,
            "force_row_wise": True,
            "seed": int(check_random_state(self.random_state).randint(2**31 - 1)),
            "verbosity": -1,
        }

    def _raw(self, X: Any) -> np.ndarray:
        return np.asarray(self.booster_.predict(new_table(self, X), num_threads=self.n_jobs))

    def __sklearn_tags__(self) -> Any:
        tags = super().__sklearn_tags__()
        tags.input_tags.allow_nan = True
        return tags


class LightGBMClassifier(ClassifierMixin, _LightGBM):
    """LightGBM for classes, with as many trees as rows that it sets aside ask for.

    The rows set aside are some of those that ``fit`` is given: inside a fold of a stack, the rows to be predicted
    have no say. Columns of dtype "category" whose categories are codes, 0, 1, ..., are split by categories.

    Parameters
    ----------
    n_estimators : int
        The most trees.
    learning_rate : float
        What each tree adds.
    num_leaves : int
        Leaves per tree, at most.
    min_child_samples : int
        Rows per leaf, at least.
    colsample_bytree : float
        Share of the columns that each tree sees.
    subsample : float
        Share of the rows that each tree sees.
    extra_trees : bool
        Whether to try one random threshold per column in place of all.
    linear_tree : bool
        Whether leaves are linear functions in place of constants.
    early_stopping_rounds : int
        Trees without progress after which to stop.
    validation_fraction : float
        Share of the rows set aside; with ``groups``, of the groups.
    refit : bool
        Whether to fit to all rows when the number of trees is found.
    n_jobs : int
        Threads. The trees do not depend on it. On a busy machine more than one can take fifty times as long: they
        wait for each other at each split.
    random_state : int, RandomState or None
        Seeds columns, rows and thresholds, and which rows are set aside.

    Attributes
    ----------
    booster_ : lightgbm.Booster
        The trees.
    n_estimators_ : int
        How many rounds of them.
    classes_ : ndarray of shape (n_classes,)
        Labels, sorted.

    References
    ----------
    G. Ke and others (2017). LightGBM: a highly efficient gradient boosting decision tree. NeurIPS 30.

    Examples
    --------
    >>> from sklearn.datasets import load_iris
    >>> from stackkit._learners.light_boosting import LightGBMClassifier
    >>> X, y = load_iris(return_X_y=True)
    >>> LightGBMClassifier(random_state=0).fit(X, y).n_estimators_ < 200
    True
    """

    def fit(self, X: Any, y: Any, *, sample_weight: Any = None, groups: Any = None) -> Self:
        """Find the number of trees, then fit to all rows.

        Parameters
        ----------
        X : array-like or DataFrame of shape (n_rows, n_features)
            Training rows; NaN is a missing value.
        y : array-like of shape (n_rows,)
            Labels.
        sample_weight : array-like of shape (n_rows,), optional
            Weights, in training and stopping.
        groups : array-like of shape (n_rows,), optional
            Rows of one group stay on one side.

        Returns
        -------
        LightGBMClassifier
            The fitted model.
        """
        table, y, categorical = checked_table(self, X, y, y_numeric=False)
        check_classification_targets(y)
        self.classes_, codes = np.unique(y, return_inverse=True)
        n_classes = len(self.classes_)
        objective = {"objective": "binary"} if n_classes <= 2 else {"objective": "multiclass", "num_class": n_classes}
        self._grow(table, codes, categorical, sample_weight, groups, **objective)
        return self

    def predict_proba(self, X: Any) -> np.ndarray:
        """Predict probabilities.

        Parameters
        ----------
        X : array-like of shape (n_rows, n_features)
            Rows.

        Returns
        -------
        ndarray of shape (n_rows, n_classes)
            Probabilities in the order of ``classes_``.
        """
        check_is_fitted(self)
        found = self._raw(X)
        if len(self.classes_) == 1:
            return np.ones((len(found), 1))
        return found if found.ndim == 2 else np.column_stack([1 - found, found])

    def predict(self, X: Any) -> np.ndarray:
        """Predict labels.

        Parameters
        ----------
        X : array-like of shape (n_rows, n_features)
            Rows.

        Returns
        -------
        ndarray of shape (n_rows,)
            The likeliest class of each row.
        """
        check_is_fitted(self)
        labels: np.ndarray = self.classes_[self.predict_proba(X).argmax(axis=1)]
        return labels


class LightGBMRegressor(RegressorMixin, _LightGBM):
    """LightGBM for numbers, with as many trees as rows that it sets aside ask for.

    The parameters are those of :class:`LightGBMClassifier`.

    Parameters
    ----------
    n_estimators, learning_rate, num_leaves, min_child_samples, colsample_bytree, subsample : int or float
        See there.
    extra_trees, linear_tree : bool
        See there.
    early_stopping_rounds, validation_fraction : int or float
        See there.
    refit : bool
        See there.
    n_jobs, random_state : int or None
        See there.

    Examples
    --------
    >>> from sklearn.datasets import load_diabetes
    >>> from stackkit._learners.light_boosting import LightGBMRegressor
    >>> X, y = load_diabetes(return_X_y=True)
    >>> LightGBMRegressor(random_state=0).fit(X, y).n_estimators_ < 200
    True
    """

    def fit(self, X: Any, y: Any, *, sample_weight: Any = None, groups: Any = None) -> Self:
        """Find the number of trees, then fit to all rows.

        Parameters
        ----------
        X : array-like or DataFrame of shape (n_rows, n_features)
            Training rows; NaN is a missing value.
        y : array-like of shape (n_rows,)
            Numbers.
        sample_weight : array-like of shape (n_rows,), optional
            Weights, in training and stopping.
        groups : array-like of shape (n_rows,), optional
            Rows of one group stay on one side.

        Returns
        -------
        LightGBMRegressor
            The fitted model.
        """
        table, y, categorical = checked_table(self, X, y, y_numeric=True)
        self._grow(table, y, categorical, sample_weight, groups, objective="regression")
        return self

    def predict(self, X: Any) -> np.ndarray:
        """Predict numbers.

        Parameters
        ----------
        X : array-like of shape (n_rows, n_features)
            Rows.

        Returns
        -------
        ndarray of shape (n_rows,)
            Predictions.
        """
        check_is_fitted(self)
        return self._raw(X)
