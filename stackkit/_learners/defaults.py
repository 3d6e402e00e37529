"""Default learners: varied, and each with the preprocessing that it needs for a raw data frame."""

from collections.abc import Iterable, Mapping
from types import MappingProxyType
from typing import Any
from warnings import warn

import numpy as np
from scipy import sparse
from sklearn.linear_model import Ridge
from sklearn.pipeline import Pipeline

from stackkit._learners.catalogue import OF_TASK, Seat, is_usable, why_absent
from stackkit._learners.portfolio import (
    CORES,
    Portfolio,
    check_preset,
    choose,
    core_seconds,
    preset_for,
    size_of,
)
from stackkit._learners.preparation import sparse_preprocessing
from stackkit.exceptions import MissingPackageWarning

USUAL_ROWS = 1000  # where no table is given
NO_LIMIT: Mapping[str, int] = MappingProxyType({})
REACH = 20.0  # learning rate times trees, with which most tables are learned
MOST_RATE = 0.3


def portfolio_for(
    task: str,
    X: Any,
    *,
    n_classes: int = 2,
    preset: str | None = None,
    time_limit: float | None = None,
    cores: int = CORES,
    all_rows: bool = False,
) -> Portfolio:
    """Who is fitted by default, on how many folds of how many rows: ``all_rows``, where the folds are the user's."""
    if (cause := why_absent("lightgbm")) is not None:
        warn(
            f"The default learners are without those of LightGBM: {cause}. Where libgomp is missing, install it: "
            "apt-get install libgomp1, or dnf install libgomp.",
            MissingPackageWarning,
            stacklevel=2,
        )
    return choose(
        task,
        size_of(np.empty((USUAL_ROWS, 10)) if X is None else X, n_classes),
        preset=preset_for(preset, time_limit),
        budget=core_seconds(preset, time_limit, cores),
        sparse_input=sparse.issparse(X),
        all_rows=all_rows,
    )


def learners_named(
    task: str, names: Iterable[str], X: Any, trees: Mapping[str, int] = NO_LIMIT
) -> list[tuple[str, Any]]:
    """Learners of the catalogue, unfitted; boosting has so many ``trees`` at most."""
    return [(name, _pipeline(name, OF_TASK[task][name], X, trees.get(name))) for name in names]


def known_names(task: str, X: Any) -> list[str]:
    """All of them that can be fitted to this table."""
    is_sparse = sparse.issparse(X)
    return [name for name, seat in OF_TASK[task].items() if is_usable(seat, sparse_input=is_sparse)]


def _pipeline(name: str, seat: Seat, X: Any, trees: int | None) -> Pipeline:
    n_rows = USUAL_ROWS if X is None else np.shape(X)[0]
    if not sparse.issparse(X):
        between = [] if seat.between is None else [("kernel", seat.between())]
        return Pipeline([("prepare", seat.prepare()), *between, ("learner", _limited(seat.make(n_rows), trees))])
    # The leave-one-out formula of RidgeCV needs a dense decomposition of X.
    learner = Ridge() if name == "ridge" else _limited(seat.make(n_rows), trees)
    return Pipeline([("prepare", sparse_preprocessing()), ("learner", learner)])


def _limited(learner: Any, trees: int | None) -> Any:
    """Where there is time for few trees, each adds more."""
    if trees is None or trees >= learner.n_estimators:
        return learner
    rate = max(learner.learning_rate, min(MOST_RATE, REACH / trees))
    return learner.set_params(n_estimators=trees, learning_rate=rate)


def default_learners(task: str, X: Any = None, *, n_classes: int = 2, preset: str = "fast") -> list[tuple[str, Any]]:
    """Make a varied set of learners that take a raw table.

    Each one is an unfitted pipeline of steps ``"prepare"`` and ``"learner"``. The preparation
    finds out at ``fit``, from the training rows alone, which columns are numbers, dates, categories
    or free text, and encodes them for its learner: a frame with names, missing values, dates and
    categories goes in as it is, and so does an array. However many different values a column has,
    it becomes a bounded number of columns. A column without a value in these rows is left out, and
    infinite numbers count as missing. Text of which each value is a number ("1,234", "12 %", "$5",
    "1.234,5") is read as numbers where all are written in one way; codes such as "007", and few whole
    numbers that come again and again, stay categories. Dates, also as text, become what the calendar
    says of them: year, month, day, weekday, place in the year, hour.

    Parameters
    ----------
    task : {"classification", "regression"}
        What the learners are for.
    X : table, default=None
        The training data, where they are known already: their size says who has time to be fitted.
        For a scipy sparse matrix, the learners are prepared for sparse input: scaled and not centred,
        missing values not filled in, and without those that need a dense matrix. With few rows, k-NN
        asks fewer neighbours. Nothing is learned from ``X`` here. None means some thousand rows of ten
        columns.
    n_classes : int, default=2
        Of the target: the cost of boosting grows with them.
    preset : {"fast", "balanced", "best"}, default="fast"
        How many of them, and how costly: see :class:`~stackkit.StackingModel`.

    Returns
    -------
    learners : list of (str, Pipeline)
        The first ones of an ordered list, as time allows.

        - classification: ``"lightgbm"``, ``"splines"`` (a logistic regression that bends), ``"bn_mlp"``,
          ``"kernel"`` (one on a Gaussian kernel), ``"extra_trees"``, ``"xgboost"``: these six are "fast".
          "balanced" also ``"lightgbm_slow"`` (on large tables), ``"lda"``, ``"naive_bayes"``,
          ``"random_forest"``, ``"lightgbm_extra"`` (random thresholds), ``"lightgbm_small"``. "best" also
          ``"hist_gradient_boosting"``, ``"bn_mlp_wide"``, ``"logistic"``, ``"knn"``, and ``"catboost"`` where it
          is installed.
        - regression: ``"lightgbm"``, ``"ridge"``, ``"kernel"``, ``"extra_trees"``, ``"bn_mlp"``, ``"xgboost"``;
          ``"lightgbm_slow"``, ``"lightgbm_extra"``, ``"splines"``, ``"lightgbm_linear"`` (linear leaves),
          ``"random_forest"``, ``"hist_gradient_boosting"``; ``"lightgbm_small"``, ``"bn_mlp_wide"``, ``"knn"``,
          ``"catboost"``.

        Boosting makes as many trees as rows that it sets aside ask for, and no more than there is time for.
        Parameters are set as in every pipeline: ``set_params(learner__C=0.1)``; weights go in as
        ``learner__sample_weight``.

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
    ['lightgbm', 'ridge', 'kernel', 'extra_trees', 'bn_mlp', 'xgboost']
    >>> crew = learners["ridge"].fit(ships, [6, 14, 16, 5, 15, 7]).predict(ships)
    >>> crew.shape
    (6,)
    """
    if task not in OF_TASK:
        raise ValueError(f"task must be 'classification' or 'regression', got {task!r}")
    check_preset(preset, "default_learners")
    portfolio = portfolio_for(task, X, n_classes=n_classes, preset=preset)
    return learners_named(task, portfolio.seconds, X, portfolio.trees)
