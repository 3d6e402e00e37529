"""Default learners: varied, and each with the preprocessing that it needs for a raw data frame."""

from collections.abc import Callable
from importlib import import_module
from types import ModuleType
from typing import Any

import numpy as np
from scipy import sparse
from sklearn.discriminant_analysis import LinearDiscriminantAnalysis
from sklearn.ensemble import (
    ExtraTreesClassifier,
    ExtraTreesRegressor,
    HistGradientBoostingClassifier,
    HistGradientBoostingRegressor,
    RandomForestClassifier,
    RandomForestRegressor,
)
from sklearn.linear_model import LogisticRegression, Ridge, RidgeCV
from sklearn.neighbors import KNeighborsClassifier, KNeighborsRegressor
from sklearn.pipeline import Pipeline

from stackkit._learners.bayes import SmoothedNB
from stackkit._learners.covariance import ShrunkCovariance
from stackkit._learners.preparation import scaled_preprocessing, sparse_preprocessing, tree_preprocessing
from stackkit._utils import choice

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
# As many trees as the rows that each fit sets aside ask for.
STOPPED = {"n_estimators": 1500, "early_stopping_rounds": 40, "subsample": 0.8, "tree_method": "hist"}
SHALLOW = STOPPED | {"learning_rate": 0.05, "max_depth": 5, "colsample_bytree": 0.6}
DEEP = STOPPED | {"learning_rate": 0.04, "max_depth": 9, "min_child_weight": 3, "colsample_bytree": 0.4}
# Its own early stopping refuses classes of one row.
BINNED = {"max_iter": 150, "learning_rate": 0.08, "max_leaf_nodes": 15, "early_stopping": False}
WIDE_NET = {"hidden_layer_sizes": (256, 128), "dropout": 0.3, "n_members": 4, "max_epochs": 20}

# Chosen by measurement (benchmarks/defaults.md): who is left out cost more than it gave. "best" has them all.
PRESETS = ("fast", "balanced", "best")
CLASSIFIERS_OF = {
    "fast": {"logistic", "naive_bayes", "extra_trees", "xgboost", "bn_mlp"},
    "balanced": {
        *("logistic", "naive_bayes", "random_forest", "extra_trees", "bn_mlp"),
        *("lda", "xgboost_stopped", "bn_mlp_wide"),
    },
}
REGRESSORS_OF = {
    "fast": {"ridge", "random_forest", "xgboost", "bn_mlp"},
    "balanced": {"ridge", "random_forest", "extra_trees", "xgboost", "bn_mlp", "bn_mlp_wide"},
}
REPEATS = {"fast": 1, "balanced": 1, "best": 3}  # of the default folds; what they give is averaged

DENSE = {"naive_bayes", "lda", "bn_mlp", "bn_mlp_wide", "hist_gradient_boosting"}  # they take no sparse matrix
OF_TREES = {"random_forest", "extra_trees", "xgboost", "xgboost_stopped", "xgboost_deep", "hist_gradient_boosting"}

# Made when asked for: some load slow libraries.
Catalogue = dict[str, Callable[[], Any]]


def _neighbors(X: Any) -> dict[str, Any]:
    # With 15, an eighth of the Titanic's rows get a probability of exactly 0 or 1; with 30, one in fifty.
    # A quarter of the rows is what the training part of two nested 2-fold splits still holds.
    most = 30 if X is None else np.shape(X)[0] // 4
    return {"n_neighbors": max(1, min(30, most)), "weights": "distance"}


# xgboost and torch load slowly, which `import stackkit` must not pay.


def _xgboost() -> ModuleType:
    return import_module("xgboost")


def _boosting() -> ModuleType:
    return import_module("stackkit._learners.boosting")


def _networks() -> ModuleType:
    return import_module("stackkit.nn")


def _classifiers(X: Any) -> Catalogue:
    return {
        "logistic": lambda: LogisticRegression(max_iter=1000),
        "knn": lambda: KNeighborsClassifier(**_neighbors(X)),
        # Columns made from one text or category are far from independent; without this much smoothing
        # the product over them is certain of everything.
        "naive_bayes": lambda: SmoothedNB(var_smoothing=1.0),
        "random_forest": lambda: RandomForestClassifier(**FOREST),
        "extra_trees": lambda: ExtraTreesClassifier(**FOREST),
        "xgboost": lambda: _xgboost().XGBClassifier(**BOOSTING),
        "bn_mlp": lambda: _networks().BNMLPClassifier(),
        "lda": lambda: LinearDiscriminantAnalysis(solver="lsqr", covariance_estimator=ShrunkCovariance()),
        "xgboost_stopped": lambda: _boosting().StoppedXGBClassifier(**SHALLOW),
        "bn_mlp_wide": lambda: _networks().BNMLPClassifier(**WIDE_NET),
        "xgboost_deep": lambda: _boosting().StoppedXGBClassifier(**DEEP),
        "hist_gradient_boosting": lambda: HistGradientBoostingClassifier(**BINNED),
    }


def _regressors(X: Any) -> Catalogue:
    return {
        # The leave-one-out formula of RidgeCV needs a dense decomposition of X.
        "ridge": lambda: Ridge() if sparse.issparse(X) else RidgeCV(alphas=(0.01, 0.1, 1.0, 10.0, 100.0, 1000.0)),
        "knn": lambda: KNeighborsRegressor(**_neighbors(X)),
        "random_forest": lambda: RandomForestRegressor(max_features=0.5, **FOREST),
        "extra_trees": lambda: ExtraTreesRegressor(max_features=0.5, **FOREST),
        "xgboost": lambda: _xgboost().XGBRegressor(**BOOSTING),
        "bn_mlp": lambda: _networks().BNMLPRegressor(),
        "xgboost_stopped": lambda: _boosting().StoppedXGBRegressor(**SHALLOW),
        "bn_mlp_wide": lambda: _networks().BNMLPRegressor(**WIDE_NET),
        "xgboost_deep": lambda: _boosting().StoppedXGBRegressor(**DEEP),
        "hist_gradient_boosting": lambda: HistGradientBoostingRegressor(**BINNED),
    }


def _preparation(name: str, X: Any) -> Any:
    if sparse.issparse(X):
        return sparse_preprocessing()
    return tree_preprocessing() if name in OF_TREES else scaled_preprocessing()


def check_preset(preset: Any, owner: str) -> None:
    if preset not in PRESETS:
        raise choice("preset", owner, PRESETS, preset)


def default_learners(task: str, X: Any = None, *, preset: str = "fast") -> list[tuple[str, Any]]:
    """Make a varied set of learners that take a raw table.

    Each one is an unfitted pipeline of two steps, ``"prepare"`` and ``"learner"``. The preparation
    finds out at ``fit``, from the training rows alone, which columns are numbers, dates, categories
    or free text, and encodes them for its learner: a frame with names, missing values, dates and
    categories goes in as it is, and so does an array. However many different values a column has,
    it becomes a bounded number of columns. A column without a value in these rows is left out, and
    infinite numbers count as missing. Text of which each value is a number ("1,234", "12 %", "$5",
    "1.234,5") is read as numbers where all are written in one way; codes such as "007", and few whole
    numbers that come again and again, stay categories.

    Parameters
    ----------
    task : {"classification", "regression"}
        What the learners are for.
    X : table, default=None
        The training data, where they are known already. For a scipy sparse matrix, the learners are
        prepared for sparse input: scaled and not centred, missing values not filled in, and without
        those that need a dense matrix: naive Bayes, discriminant analysis, histogram boosting,
        networks. With few rows, k-NN asks fewer neighbours. Nothing is learned from ``X`` here. None
        gives the learners for data frames and dense arrays.
    preset : {"fast", "balanced", "best"}, default="fast"
        How many of them, and how costly: see :class:`~stackkit.StackingModel`.

    Returns
    -------
    learners : list of (str, Pipeline)
        For classification "fast" has ``"logistic"``, ``"naive_bayes"``, ``"extra_trees"``, ``"xgboost"`` and
        ``"bn_mlp"``; "balanced" has ``"xgboost_stopped"`` (as many trees as rows that it sets aside ask for)
        in place of ``"xgboost"``, and ``"lda"``, ``"random_forest"`` and ``"bn_mlp_wide"`` besides. For
        regression "fast" has ``"ridge"``, ``"random_forest"``, ``"xgboost"`` and ``"bn_mlp"``; "balanced"
        also ``"extra_trees"`` and ``"bn_mlp_wide"``. "best" has all of the task's, with ``"knn"``,
        ``"xgboost_deep"`` and ``"hist_gradient_boosting"``. Parameters are set as in every pipeline:
        ``set_params(learner__C=0.1)``; weights go in as ``learner__sample_weight``.

    Raises
    ------
    ValueError
        If ``task`` or ``preset`` is none of those.

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
    ['ridge', 'random_forest', 'xgboost', 'bn_mlp']
    >>> crew = learners["ridge"].fit(ships, [6, 14, 16, 5, 15, 7]).predict(ships)
    >>> crew.shape
    (6,)
    """
    if task not in ("classification", "regression"):
        raise ValueError(f"task must be 'classification' or 'regression', got {task!r}")
    check_preset(preset, "default_learners")
    classes = task == "classification"
    catalogue = _classifiers(X) if classes else _regressors(X)
    wanted = set((CLASSIFIERS_OF if classes else REGRESSORS_OF).get(preset, catalogue))
    if sparse.issparse(X):
        wanted -= DENSE
    return [
        (name, Pipeline([("prepare", _preparation(name, X)), ("learner", make())]))
        for name, make in catalogue.items()
        if name in wanted
    ]
