"""The default learners, each with what it costs: in the order in which they earn a seat in a stack.

The order, and the figures of cost, were measured: see benchmarks/defaults.md.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import cache
from importlib import import_module
from importlib.util import find_spec
from types import ModuleType
from typing import Any

import numpy as np
from sklearn.discriminant_analysis import LinearDiscriminantAnalysis
from sklearn.ensemble import (
    ExtraTreesClassifier,
    ExtraTreesRegressor,
    HistGradientBoostingClassifier,
    HistGradientBoostingRegressor,
    RandomForestClassifier,
    RandomForestRegressor,
)
from sklearn.linear_model import LogisticRegression, RidgeCV
from sklearn.neighbors import KNeighborsClassifier, KNeighborsRegressor

from stackkit._learners.bayes import SmoothedNB
from stackkit._learners.covariance import ShrunkCovariance
from stackkit._learners.kernel_map import KernelMap
from stackkit._learners.preparation import (
    coded_preprocessing,
    network_preprocessing,
    scaled_preprocessing,
    spline_preprocessing,
    tree_preprocessing,
)

FULL = 2_000  # rows from which on trees have all the leaves that they may have
LARGE = 10_000  # rows from which on boosting learns faster, and is not fitted again to the rows set aside


@dataclass(frozen=True)
class Cost:
    """Seconds of one core for one fit with its predictions: measured on some forty tables.

    ``per_1000`` rows of 10 columns and two classes; more rows, columns and classes cost more by these powers.
    """

    base: float
    per_1000: float
    columns: float = 0.0
    classes: float = 0.0
    rows: float = 1.0

    def seconds(self, n_rows: float, n_columns: int, n_classes: int) -> float:
        of_rows = self.per_1000 * (n_rows / 1000) ** self.rows * (n_columns / 10) ** self.columns
        return (self.base + of_rows) * (n_classes / 2) ** self.classes


@dataclass(frozen=True)
class TreeCost:
    """Milliseconds of one core for one tree of a boosting learner: what keeps it within its time.

    How many trees a table asks for is not known before; on smooth functions of many columns they can be thousands.
    ``fits`` is 2 where the learner is fitted again when the number is found; ``fits_if_large`` is it on large tables.
    """

    per_column: float
    per_cell: float  # of a thousand
    per_row: float  # of a thousand
    fits: int = 1
    fits_if_large: int = 1

    def seconds(self, n_rows: float, n_columns: int, n_classes: int) -> float:
        full = min(1.0, n_rows / FULL) ** 0.5  # few rows make small trees
        thousands = n_rows / 1000
        of_one = n_columns * (self.per_column * full + self.per_cell * thousands) + self.per_row * thousands
        fits = self.fits_if_large if n_rows > LARGE else self.fits
        return fits * of_one * (1 if n_classes == 2 else n_classes) / 1000


@dataclass(frozen=True)
class Seat:
    """A learner that a stack may have.

    ``make`` gets the number of rows; what ``between`` makes stands between preparation and learner.
    A boosting learner has no more trees than ``tree`` leaves time for. ``most_columns`` and ``least_rows`` are
    those that it is worth its time for, ``package`` is what may be absent, and ``sparse`` says whether it takes a
    sparse matrix.
    """

    make: Callable[[int], Any]
    prepare: Callable[[], Any]
    cost: Cost
    most_columns: int | None = None
    least_rows: int = 0
    package: str | None = None
    between: Callable[[], Any] | None = None
    sparse: bool = False
    tree: TreeCost | None = None


# xgboost, lightgbm and torch load slowly, which `import stackkit` must not pay: learners are made when asked for.


def _xgboost() -> ModuleType:
    return import_module("stackkit._learners.boosting")


def _lightgbm() -> ModuleType:
    return import_module("stackkit._learners.light_boosting")


def _catboost() -> ModuleType:
    return import_module("stackkit._learners.cat_boosting")


def _networks() -> ModuleType:
    return import_module("stackkit.nn")


# Five or more of each forest answer for each row: 100 trees are enough.
FOREST = {"n_estimators": 100}
XGBOOST = {
    "n_estimators": 1500,
    "early_stopping_rounds": 40,
    "learning_rate": 0.05,
    "max_depth": 5,
    "subsample": 0.8,
    "colsample_bytree": 0.6,
    "tree_method": "hist",
    "n_jobs": 1,
}
# For large tables, where the plain one is in a hurry.
LIGHT_SLOW = {"learning_rate": 0.04, "num_leaves": 31, "min_child_samples": 20}
LIGHT = {"learning_rate": 0.05, "num_leaves": 31, "min_child_samples": 20}
# Random thresholds and half of the columns: slower to learn by heart, and unlike the others.
LIGHT_EXTRA = {
    "learning_rate": 0.04,
    "num_leaves": 48,
    "min_child_samples": 5,
    "colsample_bytree": 0.5,
    "subsample": 0.9,
    "extra_trees": True,
    "n_estimators": 1500,
}
LIGHT_SMALL = {
    "learning_rate": 0.05,
    "num_leaves": 7,
    "min_child_samples": 10,
    "colsample_bytree": 0.5,
    "subsample": 0.8,
}
LIGHT_LINEAR = {
    "learning_rate": 0.05,
    "num_leaves": 8,
    "min_child_samples": 20,
    "linear_tree": True,
    "n_estimators": 500,
}
CAT = {"learning_rate": 0.06}
LIGHT_TREE = TreeCost(0.085, 0.004, 0.02, fits=2)
LIGHT_SLOW_TREE = replace(LIGHT_TREE, fits_if_large=2)
LIGHT_EXTRA_TREE = TreeCost(0.05, 0.0025, 0.03, fits=2)
LIGHT_SMALL_TREE = TreeCost(0.012, 0.0015, 0.03, fits=2)
LIGHT_LINEAR_TREE = TreeCost(0.025, 0.002, 0.04, fits=2)
XGBOOST_TREE = TreeCost(0.05, 0.0015, 0.05)
CAT_TREE = TreeCost(0.2, 0.002, 0.08, fits=2)


def _hurried(settings: dict[str, Any], n_rows: int) -> dict[str, Any]:
    if n_rows <= LARGE:
        return settings
    return settings | {"learning_rate": 2 * settings["learning_rate"], "refit": False}


# Its own early stopping refuses classes of one row.
BINNED = {"max_iter": 150, "learning_rate": 0.08, "max_leaf_nodes": 15, "early_stopping": False}
CATEGORIES = {"categorical_features": "from_dtype"}
WIDE_NET = CATEGORIES | {"hidden_layer_sizes": (256, 128), "dropout": 0.3, "n_members": 3}
RIDGES = np.logspace(-5, 3, 9)
KERNEL_RIDGES = np.logspace(-6, 1, 8)


def _neighbors(n_rows: int) -> dict[str, Any]:
    # With 15, an eighth of the Titanic's rows get a probability of exactly 0 or 1; with 30, one in fifty.
    # A quarter of the rows is what the training part of two nested 2-fold splits still holds.
    return {"n_neighbors": max(1, min(30, n_rows // 4)), "weights": "distance"}


CLASSIFIERS: dict[str, Seat] = {
    "lightgbm": Seat(
        lambda n_rows: _lightgbm().LightGBMClassifier(**_hurried(LIGHT, n_rows)),
        coded_preprocessing,
        Cost(0.033, 0.0226, 1.0, 1.25),
        package="lightgbm",
        tree=LIGHT_TREE,
    ),
    "splines": Seat(
        lambda _: LogisticRegression(C=0.3, max_iter=1000),
        spline_preprocessing,
        Cost(0.016, 0.0077, 0.75, 0.5),
        most_columns=300,
    ),
    "bn_mlp": Seat(
        lambda _: _networks().BNMLPClassifier(**CATEGORIES), network_preprocessing, Cost(0.07, 0.165, 0.5, 0.5)
    ),
    "kernel": Seat(
        lambda _: LogisticRegression(C=30.0, max_iter=200),
        scaled_preprocessing,
        Cost(0.001, 0.066, 0.0, 1.25),
        between=KernelMap,
    ),
    "extra_trees": Seat(
        # Leaves of one row give probabilities of exactly 0, which cost an unbounded log-loss.
        lambda _: ExtraTreesClassifier(min_samples_leaf=2, **FOREST),
        tree_preprocessing,
        Cost(0.055, 0.05, 0.5),
        sparse=True,
    ),
    "xgboost": Seat(
        lambda _: _xgboost().StoppedXGBClassifier(**XGBOOST),
        tree_preprocessing,
        Cost(0.01, 0.0267, 0.5, 1.25),
        sparse=True,
        tree=XGBOOST_TREE,
    ),
    "lightgbm_slow": Seat(
        lambda _: _lightgbm().LightGBMClassifier(**LIGHT_SLOW),
        coded_preprocessing,
        Cost(0.13, 0.11, 1.0, 1.25),
        least_rows=LARGE,
        package="lightgbm",
        tree=LIGHT_SLOW_TREE,
    ),
    "lda": Seat(
        lambda _: LinearDiscriminantAnalysis(solver="lsqr", covariance_estimator=ShrunkCovariance()),
        scaled_preprocessing,
        Cost(0.018, 0.0024, 1.0),
    ),
    "naive_bayes": Seat(
        # Columns made from one text or category are far from independent; without this much smoothing
        # the product over them is certain of everything.
        lambda _: SmoothedNB(var_smoothing=1.0),
        scaled_preprocessing,
        Cost(0.016, 0.0015, 1.0),
    ),
    "random_forest": Seat(
        lambda _: RandomForestClassifier(**FOREST), tree_preprocessing, Cost(0.081, 0.0817, 0.5), sparse=True
    ),
    "lightgbm_extra": Seat(
        lambda n_rows: _lightgbm().LightGBMClassifier(**_hurried(LIGHT_EXTRA, n_rows)),
        coded_preprocessing,
        Cost(0.079, 0.055, 0.75, 1.25),
        package="lightgbm",
        tree=LIGHT_EXTRA_TREE,
    ),
    "lightgbm_small": Seat(
        lambda n_rows: _lightgbm().LightGBMClassifier(**_hurried(LIGHT_SMALL, n_rows)),
        coded_preprocessing,
        Cost(0.016, 0.0346, 0.5, 1.25),
        package="lightgbm",
        tree=LIGHT_SMALL_TREE,
    ),
    "hist_gradient_boosting": Seat(
        lambda _: HistGradientBoostingClassifier(**BINNED), tree_preprocessing, Cost(0.09, 0.0169, 1.0, 1.0)
    ),
    "bn_mlp_wide": Seat(
        lambda _: _networks().BNMLPClassifier(**WIDE_NET), network_preprocessing, Cost(0.05, 0.39, 0.25, 0.5)
    ),
    "logistic": Seat(
        lambda _: LogisticRegression(max_iter=1000), scaled_preprocessing, Cost(0.011, 0.0052, 0.5, 0.5), sparse=True
    ),
    "knn": Seat(
        lambda n_rows: KNeighborsClassifier(**_neighbors(n_rows)),
        scaled_preprocessing,
        Cost(0.018, 0.0028, 0.5, rows=2.0),
        sparse=True,
    ),
    "catboost": Seat(
        lambda n_rows: _catboost().CatBoostClassifier(**_hurried(CAT, n_rows)),
        coded_preprocessing,
        Cost(0.07, 0.107, 1.0, 1.25),
        package="catboost",
        tree=CAT_TREE,
    ),
}

REGRESSORS: dict[str, Seat] = {
    "lightgbm": Seat(
        lambda n_rows: _lightgbm().LightGBMRegressor(**_hurried(LIGHT, n_rows)),
        coded_preprocessing,
        Cost(0.101, 0.0221, 1.0),
        package="lightgbm",
        tree=LIGHT_TREE,
    ),
    "ridge": Seat(lambda _: RidgeCV(alphas=RIDGES), scaled_preprocessing, Cost(0.015, 0.0023, 1.0), sparse=True),
    "kernel": Seat(
        lambda _: RidgeCV(alphas=KERNEL_RIDGES),
        scaled_preprocessing,
        Cost(0.014, 0.1295),
        between=KernelMap,
    ),
    "extra_trees": Seat(
        lambda _: ExtraTreesRegressor(max_features=0.5, **FOREST),
        tree_preprocessing,
        Cost(0.036, 0.0796, 0.75),
        sparse=True,
    ),
    "bn_mlp": Seat(lambda _: _networks().BNMLPRegressor(**CATEGORIES), network_preprocessing, Cost(0.28, 0.24, 0.25)),
    "xgboost": Seat(
        lambda _: _xgboost().StoppedXGBRegressor(**XGBOOST),
        tree_preprocessing,
        Cost(0.053, 0.0132, 1.0),
        sparse=True,
        tree=XGBOOST_TREE,
    ),
    "lightgbm_slow": Seat(
        lambda _: _lightgbm().LightGBMRegressor(**LIGHT_SLOW),
        coded_preprocessing,
        Cost(0.4, 0.11, 1.0),
        least_rows=LARGE,
        package="lightgbm",
        tree=LIGHT_SLOW_TREE,
    ),
    "lightgbm_extra": Seat(
        lambda n_rows: _lightgbm().LightGBMRegressor(**_hurried(LIGHT_EXTRA, n_rows)),
        coded_preprocessing,
        Cost(0.068, 0.11, 0.25),
        package="lightgbm",
        tree=LIGHT_EXTRA_TREE,
    ),
    "splines": Seat(lambda _: RidgeCV(alphas=RIDGES), spline_preprocessing, Cost(0.017, 0.0051, 1.0), most_columns=300),
    "lightgbm_linear": Seat(
        lambda n_rows: _lightgbm().LightGBMRegressor(**_hurried(LIGHT_LINEAR, n_rows)),
        coded_preprocessing,
        Cost(0.122, 0.0112, 1.0),
        package="lightgbm",
        tree=LIGHT_LINEAR_TREE,
    ),
    "random_forest": Seat(
        lambda _: RandomForestRegressor(max_features=0.5, **FOREST),
        tree_preprocessing,
        Cost(0.068, 0.0835, 0.75),
        sparse=True,
    ),
    "hist_gradient_boosting": Seat(
        lambda _: HistGradientBoostingRegressor(**BINNED), tree_preprocessing, Cost(0.119, 0.0109, 1.0)
    ),
    "lightgbm_small": Seat(
        lambda n_rows: _lightgbm().LightGBMRegressor(**_hurried(LIGHT_SMALL, n_rows)),
        coded_preprocessing,
        Cost(0.098, 0.0293, 0.75),
        package="lightgbm",
        tree=LIGHT_SMALL_TREE,
    ),
    "bn_mlp_wide": Seat(lambda _: _networks().BNMLPRegressor(**WIDE_NET), network_preprocessing, Cost(0.53, 0.66)),
    "knn": Seat(
        lambda n_rows: KNeighborsRegressor(**_neighbors(n_rows)),
        scaled_preprocessing,
        Cost(0.022, 0.002, 0.5, rows=2.0),
        sparse=True,
    ),
    "catboost": Seat(
        lambda n_rows: _catboost().CatBoostRegressor(**_hurried(CAT, n_rows)),
        coded_preprocessing,
        Cost(0.3, 0.12, 1.0),
        package="catboost",
        tree=CAT_TREE,
    ),
}

OF_TASK = {"classification": CLASSIFIERS, "regression": REGRESSORS}


@cache
def why_absent(package: str) -> str | None:
    """What keeps a package from being used; None where nothing does.

    LightGBM's wheel needs a library of the system, which slim images lack: that shows only when it is loaded.
    """
    if find_spec(package) is None:
        return f"the package {package} is not installed"
    if package != "lightgbm":
        return None
    try:
        import_module(package)
    except OSError as error:
        return f"it cannot be loaded ({error})"
    return None


def is_usable(seat: Seat, *, sparse_input: bool) -> bool:
    present = seat.package is None or why_absent(seat.package) is None
    return present and (seat.sparse or not sparse_input)
