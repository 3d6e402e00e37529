"""XGBoost that stops by itself. Importing this loads xgboost, which `import stackkit` must not pay."""

from __future__ import annotations

from typing import Any

import numpy as np
from xgboost import XGBClassifier, XGBRegressor

from stackkit._data import take_rows
from stackkit._learners.stopping import rows_to_stop_by


class StoppedXGBClassifier(XGBClassifier):
    """XGBClassifier whose number of trees is found on rows that it sets aside.

    These are some of the rows that ``fit`` is given, so that nothing else decides: inside a fold of a stack, the
    rows to be predicted have no say. The best number of trees then predicts.

    Parameters
    ----------
    validation_fraction : float
        Share of the rows set aside; with ``groups``, of the groups.
    **kwargs : dict
        As for :class:`xgboost.XGBClassifier`. ``early_stopping_rounds`` counts trees without progress,
        ``n_estimators`` is the most.

    Examples
    --------
    >>> from sklearn.datasets import load_iris
    >>> from stackkit._learners.boosting import StoppedXGBClassifier
    >>> X, y = load_iris(return_X_y=True)
    >>> model = StoppedXGBClassifier(n_estimators=1000, early_stopping_rounds=5, random_state=0).fit(X, y)
    >>> model.best_iteration < 100
    True
    """

    def __init__(self, *, validation_fraction: float = 0.15, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.validation_fraction = validation_fraction

    def get_xgb_params(self) -> dict[str, Any]:
        """Parameters that XGBoost itself knows.

        Returns
        -------
        dict
            Name to value.
        """
        return _without_ours(super().get_xgb_params())

    def fit(self, X: Any, y: Any, *, sample_weight: Any = None, groups: Any = None) -> StoppedXGBClassifier:
        """Fit on most rows, stop by the others.

        Parameters
        ----------
        X : array-like of shape (n_rows, n_features)
            Training rows.
        y : array-like of shape (n_rows,)
            Classes, coded 0, 1, ...
        sample_weight : array-like of shape (n_rows,), optional
            Weights, in training and stopping.
        groups : array-like of shape (n_rows,), optional
            Rows of one group stay on one side.

        Returns
        -------
        StoppedXGBClassifier
            The fitted model.
        """
        labels = np.asarray(y)
        train, held = rows_to_stop_by(self, X, labels, groups, classifier=True)
        return super().fit(**_arguments(X, labels, sample_weight, train, held))


class StoppedXGBRegressor(XGBRegressor):
    """XGBRegressor whose number of trees is found on rows that it sets aside.

    Parameters
    ----------
    validation_fraction : float
        Share of the rows set aside; with ``groups``, of the groups.
    **kwargs : dict
        As for :class:`xgboost.XGBRegressor`. ``early_stopping_rounds`` counts trees without progress,
        ``n_estimators`` is the most.

    Examples
    --------
    >>> from sklearn.datasets import load_diabetes
    >>> from stackkit._learners.boosting import StoppedXGBRegressor
    >>> X, y = load_diabetes(return_X_y=True)
    >>> model = StoppedXGBRegressor(n_estimators=1000, early_stopping_rounds=5, random_state=0).fit(X, y)
    >>> model.best_iteration < 100
    True
    """

    def __init__(self, *, validation_fraction: float = 0.15, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.validation_fraction = validation_fraction

    def get_xgb_params(self) -> dict[str, Any]:
        """Parameters that XGBoost itself knows.

        Returns
        -------
        dict
            Name to value.
        """
        return _without_ours(super().get_xgb_params())

    def fit(self, X: Any, y: Any, *, sample_weight: Any = None, groups: Any = None) -> StoppedXGBRegressor:
        """Fit on most rows, stop by the others.

        Parameters
        ----------
        X : array-like of shape (n_rows, n_features)
            Training rows.
        y : array-like of shape (n_rows,) or (n_rows, n_outputs)
            Numbers.
        sample_weight : array-like of shape (n_rows,), optional
            Weights, in training and stopping.
        groups : array-like of shape (n_rows,), optional
            Rows of one group stay on one side.

        Returns
        -------
        StoppedXGBRegressor
            The fitted model.
        """
        numbers = np.asarray(y)
        train, held = rows_to_stop_by(self, X, numbers, groups, classifier=False)
        return super().fit(**_arguments(X, numbers, sample_weight, train, held))


def _without_ours(params: dict[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in params.items() if name != "validation_fraction"}


def _arguments(X: Any, y: np.ndarray, weights: Any, train: np.ndarray, held: np.ndarray) -> dict[str, Any]:
    arguments = {"X": take_rows(X, train), "y": y[train], "eval_set": [(take_rows(X, held), y[held])]}
    if weights is not None:
        weights = np.asarray(weights)
        arguments |= {"sample_weight": weights[train], "sample_weight_eval_set": [weights[held]]}
    return arguments | {"verbose": False}
