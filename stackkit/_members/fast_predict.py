"""The same predictions, bit for bit, by a shorter way: what a call of scikit-learn costs besides the arithmetic.

For one row a forest's predictions are a matter of microseconds; scikit-learn hands each tree to joblib, with the
settings and warnings of the thread, which takes a hundred times as long.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from typing import Any

import numpy as np
import pandas as pd
from joblib import effective_n_jobs
from sklearn.ensemble import ExtraTreesClassifier, ExtraTreesRegressor, RandomForestClassifier, RandomForestRegressor
from sklearn.frozen import FrozenEstimator
from sklearn.neighbors import KNeighborsClassifier, KNeighborsRegressor
from sklearn.pipeline import Pipeline
from sklearn.utils.parallel import Parallel, delayed
from sklearn.utils.validation import validate_data

from stackkit._members.near_neighbors import class_votes, has_tree, neighbors_mean
from stackkit._utils import sums_held

FEW_ROWS = 100  # which a forest's own threads do not pay for
MANY_ROWS = 1000  # which it pays to sort for a forest
SORTED_BY = 16  # features, of as many as there may be
NUMBERS = "fiub"


def ask(estimator: Any, method: str, X: Any) -> Any:
    """What a method of a fitted estimator, such as "predict_proba", gives for new rows."""
    steps, last = in_steps(estimator)
    for step in steps:
        X = step.transform(X)
    for ways, suits in ((_SHORTER, is_plain), (_BY_NEIGHBORS, has_tree)):
        shorter = ways.get((type(last), method))
        if shorter and suits(last, X):
            return shorter(last, X)
    # CatBoost asks neither joblib nor its own parameter, and takes all cores.
    own = type(last).__module__.partition(".")[0] == "catboost"  # what derives from it may take other arguments
    threads = {"thread_count": effective_n_jobs(-1)} if own else {}
    with sums_held(last):
        return getattr(last, method)(X, **threads)


def in_steps(estimator: Any) -> tuple[Sequence[Any], Any]:
    """What transforms the rows, in order, and what predicts from them; pipelines in pipelines are taken apart too."""
    if type(estimator) is FrozenEstimator:
        return in_steps(estimator.estimator)
    if type(estimator) is not Pipeline:  # what derives from it may do more than its steps
        return (), estimator
    *fronts, (_, last) = estimator.steps
    steps = [step for _, step in fronts if step is not None and not isinstance(step, str)]
    more, last = in_steps(last)
    return (*steps, *more), last


# --- forests ----------------------------------------------------------------------------------------


def goes_by_tree(forest: Any, method: str, X: Any) -> bool:
    """Whether a method of it is the mean over its trees, and needs no more of X than the numbers."""
    return (type(forest), method) in _SHORTER and is_plain(forest, X)


def is_plain(forest: Any, X: Any) -> bool:
    """Whether X is a table of numbers, and the forest has one output."""
    if isinstance(X, pd.DataFrame):
        numbers = all(isinstance(dtype, np.dtype) and dtype.kind in NUMBERS for dtype in X.dtypes)
    else:
        numbers = isinstance(X, np.ndarray) and X.ndim == 2 and X.dtype.kind in NUMBERS
    return numbers and forest.n_outputs_ == 1 and not forest.verbose


def _class_shares(forest: Any, X: Any) -> np.ndarray:
    return _mean_of_trees(forest, X)[:, : forest.n_classes_]


def _values(forest: Any, X: Any) -> np.ndarray:
    return _mean_of_trees(forest, X)[:, 0]


def _mean_of_trees(forest: Any, X: Any) -> np.ndarray:
    """Added up in the order of the trees, as scikit-learn does it in one thread.

    In several threads it adds them up in the order in which they are done, which shows in the last bit.
    """
    rows = rows_for_trees(forest, X)
    order = _alike_together(forest, rows) if len(rows) >= MANY_ROWS else slice(None)
    total = np.zeros((len(rows), getattr(forest, "n_classes_", 1)))
    for found in _by_tree(forest, rows[order]):
        total += found.reshape(total.shape)
    mean = np.empty_like(total)
    mean[order] = total / len(forest.estimators_)
    return mean


def _alike_together(forest: Any, rows: np.ndarray) -> np.ndarray:
    """An order of the rows in which those that go the same ways through trees follow each other.

    A processor guesses the way that the next row goes, and most of a tree's time is lost where it guesses wrong. In
    this order it does so less often, and a quarter of the time is saved.
    """
    roots = [(tree.tree_.feature[0], tree.tree_.threshold[0]) for tree in forest.estimators_]
    features, thresholds = (np.array(part) for part in zip(*roots, strict=True))
    times = np.bincount(features[features >= 0], minlength=1)
    code = np.zeros(len(rows), dtype=np.uint16)
    for feature in np.argsort(-times, kind="stable")[: min(SORTED_BY, np.count_nonzero(times))]:
        code = code * 2 + (rows[:, feature] > np.median(thresholds[features == feature]))
    return np.argsort(code, kind="stable")


def rows_for_trees(forest: Any, X: Any) -> np.ndarray:
    """Rows as its trees take them, checked as the forest checks them."""
    validate_data(forest, X, reset=False, skip_check_array=True)  # names and number of columns
    rows = np.asarray(X, dtype=np.float32)
    if not np.isfinite(rows).all():
        forest.estimators_[0].predict(rows)  # refuses the values that a tree cannot use
    return rows


def _by_tree(forest: Any, rows: np.ndarray) -> Iterable[np.ndarray]:
    """What each tree predicts, in order; many rows by as many threads as the forest is to have."""
    trees = [tree.tree_ for tree in forest.estimators_]
    n_jobs = 1 if len(rows) <= FEW_ROWS else effective_n_jobs(forest.n_jobs)
    if n_jobs == 1:
        return (tree.predict(rows) for tree in trees)
    found: Iterable[np.ndarray] = Parallel(n_jobs=n_jobs, require="sharedmem", return_as="generator")(
        delayed(tree.predict)(rows) for tree in trees
    )
    return found


Ways = dict[tuple[type, str], Callable[[Any, Any], np.ndarray]]

_SHORTER: Ways = {
    (RandomForestClassifier, "predict_proba"): _class_shares,
    (ExtraTreesClassifier, "predict_proba"): _class_shares,
    (RandomForestRegressor, "predict"): _values,
    (ExtraTreesRegressor, "predict"): _values,
}
_BY_NEIGHBORS: Ways = {
    (KNeighborsClassifier, "predict_proba"): class_votes,
    (KNeighborsRegressor, "predict"): neighbors_mean,
}
