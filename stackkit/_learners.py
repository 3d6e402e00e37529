"""Default learners: varied, and each with the preprocessing that it needs for a raw data frame."""

from importlib import import_module
from types import ModuleType
from typing import Any

import numpy as np
from scipy import sparse
from sklearn.ensemble import (
    ExtraTreesClassifier,
    ExtraTreesRegressor,
    RandomForestClassifier,
    RandomForestRegressor,
)
from sklearn.linear_model import LogisticRegression, Ridge, RidgeCV
from sklearn.naive_bayes import GaussianNB
from sklearn.neighbors import KNeighborsClassifier, KNeighborsRegressor
from sklearn.pipeline import Pipeline

from stackkit._preparation import scaled_preprocessing, sparse_preprocessing, tree_preprocessing

# scikit-learn's leaves of one row give probabilities of exactly 0, which cost an unbounded log-loss.
FOREST = {"n_estimators": 200, "min_samples_leaf": 2}
BOOSTING = {
    "n_estimators": 200,
    "learning_rate": 0.05,
    "max_depth": 4,
    "subsample": 0.8,
    "colsample_bytree": 0.8,
    "tree_method": "hist",
}


def _neighbors(X: Any) -> dict[str, Any]:
    # With 15, an eighth of the Titanic's rows get a probability of exactly 0 or 1; with 30, one in fifty.
    # A quarter of the rows is what the training part of two nested 2-fold splits still holds.
    most = 30 if X is None else np.shape(X)[0] // 4
    return {"n_neighbors": max(1, min(30, most)), "weights": "distance"}


def _networks() -> ModuleType:
    return import_module("stackkit.nn")  # loads torch, which `import stackkit` must not pay


def _classifiers(X: Any) -> dict[str, Any]:
    from xgboost import XGBClassifier  # noqa: PLC0415  # a slow import that `import stackkit` must not pay

    return {
        "logistic": LogisticRegression(max_iter=1000),
        "knn": KNeighborsClassifier(**_neighbors(X)),
        # Columns made from one text or category are far from independent; without this much smoothing
        # the product over them is certain of everything.
        "naive_bayes": GaussianNB(var_smoothing=1.0),
        "random_forest": RandomForestClassifier(**FOREST),
        "extra_trees": ExtraTreesClassifier(**FOREST),
        "xgboost": XGBClassifier(**BOOSTING),
        "bn_mlp": _networks().BNMLPClassifier(),
    }


def _regressors(X: Any) -> dict[str, Any]:
    from xgboost import XGBRegressor  # noqa: PLC0415  # a slow import that `import stackkit` must not pay

    return {
        # The leave-one-out formula of RidgeCV needs a dense decomposition of X.
        "ridge": Ridge() if sparse.issparse(X) else RidgeCV(alphas=(0.01, 0.1, 1.0, 10.0, 100.0, 1000.0)),
        "knn": KNeighborsRegressor(**_neighbors(X)),
        "random_forest": RandomForestRegressor(max_features=0.5, **FOREST),
        "extra_trees": ExtraTreesRegressor(max_features=0.5, **FOREST),
        "xgboost": XGBRegressor(**BOOSTING),
        "bn_mlp": _networks().BNMLPRegressor(),
    }


def _preparation(name: str, X: Any) -> Any:
    if sparse.issparse(X):
        return sparse_preprocessing()
    if name in {"random_forest", "extra_trees", "xgboost"}:
        return tree_preprocessing()
    return scaled_preprocessing()


def default_learners(task: str, X: Any = None) -> list[tuple[str, Any]]:
    """Make a varied set of learners that take a raw table.

    Each one is an unfitted pipeline of two steps, ``"prepare"`` and ``"learner"``. The preparation
    finds out at ``fit``, from the training rows alone, which columns are numbers, dates, categories
    or free text, and encodes them for its learner: a frame with names, missing values, dates and
    categories goes in as it is, and so does an array. However many different values a column has,
    it becomes a bounded number of columns.

    Parameters
    ----------
    task : {"classification", "regression"}
        What the learners are for.
    X : table, default=None
        The training data, where they are known already. For a scipy sparse matrix, the learners are
        prepared for sparse input: scaled and not centred, missing values not filled in, and without
        naive Bayes and the network, which need a dense matrix. With few rows, k-NN asks fewer neighbours. Nothing
        is learned from ``X`` here. None gives the learners for data frames and dense arrays.

    Returns
    -------
    learners : list of (str, Pipeline)
        ``"logistic"``, ``"knn"``, ``"naive_bayes"``, ``"random_forest"``, ``"extra_trees"``,
        ``"xgboost"`` and ``"bn_mlp"`` for classification; ``"ridge"``, ``"knn"``, ``"random_forest"``,
        ``"extra_trees"``, ``"xgboost"`` and ``"bn_mlp"`` for regression. Parameters are set as in every pipeline:
        ``set_params(learner__C=0.1)``; weights go in as ``learner__sample_weight``.

    Raises
    ------
    ValueError
        If ``task`` is neither of the two.

    Examples
    --------
    >>> import pandas as pd
    >>> from stackkit import default_learners
    >>> ships = pd.DataFrame({
    ...     "rig": ["sloop", "brig", None, "sloop", "brig", "sloop"],
    ...     "built": pd.to_datetime(["1801", None, "1833", "1840", "1812", "1825"], format="%Y"),
    ...     "length": [11.5, 24.0, 30.1, None, 26.3, 12.2],
    ... })
    >>> learners = dict(default_learners("regression", ships))
    >>> list(learners)
    ['ridge', 'knn', 'random_forest', 'extra_trees', 'xgboost', 'bn_mlp']
    >>> crew = learners["ridge"].fit(ships, [6, 14, 16, 5, 15, 7]).predict(ships)
    >>> crew.shape
    (6,)
    """
    if task not in ("classification", "regression"):
        raise ValueError(f"task must be 'classification' or 'regression', got {task!r}")
    learners = _classifiers(X) if task == "classification" else _regressors(X)
    if sparse.issparse(X):
        for dense in ("naive_bayes", "bn_mlp"):
            learners.pop(dense, None)
    return [
        (name, Pipeline([("prepare", _preparation(name, X)), ("learner", learner)]))
        for name, learner in learners.items()
    ]
