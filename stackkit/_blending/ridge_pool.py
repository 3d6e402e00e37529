"""Least squares whose weights a ridge draws to those of a weighted mean; how strongly, the predictions decide."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.linalg import cho_factor, cho_solve
from sklearn.model_selection import KFold

from stackkit._blending.base import BlendRegressor
from stackkit._blending.checks import is_integer, is_real, require
from stackkit._blending.optimise import Floats, nearest_on_simplex

_EMPTY = 1e-12  # a column that spreads less than that, as a share of its mean, is constant except for rounding

_ROUNDING = 1e-11  # what the diagonal gains at least, as a share: copies stay solvable at any strength

_FEWEST_ROWS = 10  # with fewer, folds would tell nothing

_SMALLEST = 1e-100  # size of a column, as a share of the target's, that it is divided by at least

_STANDARD_ERRORS = 0.5  # by which a stronger ridge may look worse

_CAUTION = 10.0  # what a learner's variance gains, times learners per row, as a share of the best one's

_WILDEST = 1e6  # size of a column over the target's from which on all are as useless


@dataclass(frozen=True)
class _Moments:
    """What the weights need to know of some rows of a table whose last column is the target."""

    weight: float
    means: Floats
    products: Floats  # of deviations from the means, summed over the rows


def _moments(table: Floats, rows: Floats) -> _Moments:
    means = np.average(table, axis=0, weights=rows)
    deviations = table - means
    deviations *= np.sqrt(rows)[:, None]
    return _Moments(float(rows.sum()), means, deviations.T @ deviations)


def _together(parts: Sequence[_Moments]) -> _Moments:
    """Added up, never subtracted: a wild value in one part leaves the sums of the others as exact as they are."""
    weights = np.array([part.weight for part in parts])
    means = np.average([part.means for part in parts], axis=0, weights=weights)
    shifts = np.sqrt(weights)[:, None] * ([part.means for part in parts] - means)
    return _Moments(float(weights.sum()), means, sum(part.products for part in parts) + shifts.T @ shifts)


def _divide_by_sizes(table: Floats) -> Floats:
    """Divide each column, in place, by its largest absolute value, and return these: no square can overflow."""
    sizes = np.abs(table).max(axis=0)
    sizes = np.maximum(sizes, _SMALLEST * sizes[-1])
    sizes[sizes == 0] = 1
    table /= sizes
    return sizes


def _weights(moments: _Moments, units: Floats, strengths: Floats) -> Floats:
    """The weights for columns divided by their sizes, one column per strength; ``units`` are sizes over the target's.

    Columns that are constant say nothing: they get 0.0, and the others are drawn to a weighted mean of themselves.
    """
    covariance, weights = moments.products / moments.weight, np.zeros((len(units), len(strengths)))
    varies = np.sqrt(np.diag(covariance)) > _EMPTY * np.abs(moments.means)
    kept = np.flatnonzero(varies[:-1])
    if not (varies[-1] and len(kept)):
        return weights
    curve, slope, variance = covariance[np.ix_(kept, kept)], covariance[kept, -1], covariance[-1, -1]
    units, spread = units[kept], np.diag(curve)
    drawn_to = _weighted_mean(curve, slope, variance, units, moments.weight)
    for number, strength in enumerate(strengths):
        # A weight of w for the columns as they were given is w * units here.
        pull = strength * variance / units
        pulled = curve.copy()
        pulled[np.diag_indices(len(kept))] += np.maximum(pull / units, _ROUNDING * spread)
        weights[kept, number] = cho_solve(cho_factor(pulled), slope + pull * drawn_to)
    return weights


def _weighted_mean(curve: Floats, slope: Floats, variance: float, units: Floats, n_rows: float) -> Floats:
    """Weights of a sum of one whose error varies least: the fewer rows there are, the nearer to equal ones."""
    units, n_learners = np.minimum(units, _WILDEST), len(units)
    with_target = units * slope
    of_errors = curve * np.outer(units, units) - with_target[:, None] - with_target + variance
    spread = np.diag(of_errors)
    of_errors[np.diag_indices(n_learners)] += _CAUTION * n_learners / n_rows * spread.min() + _ROUNDING * spread
    sizes, directions = np.linalg.eigh(of_errors)
    root = np.sqrt(np.maximum(sizes, 0.0))[:, None] * directions.T
    return nearest_on_simplex(root, 0.0, np.ones(n_learners))


def _folds(table: Floats, n_folds: int) -> list[NDArray[np.intp]]:
    """Rows drawn at random for each fold; the order in which they came changes nothing, for their values decide."""
    order = np.argsort(table.sum(axis=1), kind="stable")
    return [np.sort(order[test]) for _, test in KFold(n_folds, shuffle=True, random_state=0).split(table)]


def _squared_errors(table: Floats, rows: Floats, units: Floats, strengths: Floats, n_folds: int) -> Floats:
    """Of each row (first axis) at each strength, by weights that were found without the row."""
    folds = _folds(table, n_folds)
    parts = [_moments(table[test], rows[test]) for test in folds]
    errors = np.empty((len(table), len(strengths)))
    for fold, test in enumerate(folds):
        training = _together([*parts[:fold], *parts[fold + 1 :]])
        weights = _weights(training, units, strengths)
        deviations = table[test] - training.means
        errors[test] = (deviations[:, -1:] - deviations[:, :-1] @ weights) ** 2
    return errors


def _first_good(errors: Floats, rows: Floats) -> int:
    """The first column whose mean is within half a standard error of the lowest; rows are compared in pairs."""
    shares = rows / rows.sum()
    errors -= errors[:, [int(np.argmin(shares @ errors))]]
    means = shares @ errors
    standard_errors = np.sqrt(shares**2 @ (errors - means) ** 2)
    return int(np.argmax(means <= _STANDARD_ERRORS * standard_errors))


class RidgePoolRegressor(BlendRegressor):
    """Weighted sum of predictions and an intercept: least squares with a ridge that draws to a weighted mean.

    The prediction is ``sum_m w_m x_m + b``. The weights minimise the mean squared error, in units in which the target
    has a standard deviation of 1, plus ``strength * sum (w_m - v_m)^2``. The ``v_m`` are weights of a weighted mean:
    not negative and of sum 1, they minimise the variance of its error plus ``10 (M / n) s sum v_m^2``, where M is the
    number of learners, n that of rows, and s the variance of the best learner's error. With little to go by, learners
    count alike; with some, those that are nearly as good as the best are averaged; the more the rows tell, the more the
    weights may differ from that. They need not sum to 1, and may be negative: a learner that errs where another does,
    but more, is of use to take that error out.

    Each prediction is first brought within limits: the range of the target, and ``margin`` times its width beyond on
    both sides. A linear model or a network may go astray on a row unlike all others, and one such row can decide all
    weights.

    How strong the ridge is, the table decides: the rows are cut into folds, each fold is predicted by the weights that
    the other folds give at each strength, and of the strengths whose squared error is within half a standard error of
    the lowest, the largest is taken. No learner is fitted for that. Copies of a column share its weight.

    Parameters
    ----------
    strengths : float or sequence of float, default=(1e-4, 1e-3, 1e-2, 0.1, 1.0, 10.0)
        What to choose the strength from, each above 0. A single one is taken as it is. With less than ten rows the
        largest is.
    n_folds : int, default=5
        Number of folds that choose the strength, at least 2: of rows drawn at random, the same in each call and for any
        order of the rows. With fewer rows than that a fold has one row.
    margin : float or None, default=1.0
        How far beyond the range of the target predictions count, as a share of its width, at least 0. None: any.

    Attributes
    ----------
    weights_ : ndarray of shape (n_learners,)
        Weight of each learner; 0.0, exactly, for those that always predict the same. Where all do, or the target is
        constant, the mean is predicted.
    intercept_ : float
        What is added, in units of the target.
    strength_ : float
        The strength taken.
    limits_ : tuple (float, float)
        What predictions are brought within, in units of the target.
    n_features_in_ : int
        Number of columns seen in `fit`.
    feature_names_in_ : ndarray of shape (n_features,)
        Names of the columns, where all are strings.

    See Also
    --------
    LinearPoolRegressor : Without a ridge and without negative weights: it leaves learners out.
    ConvexRegressor : Weights that are not negative and sum to 1.

    References
    ----------
    L. Breiman (1996). Stacked regressions. Machine Learning 24, 49-64.

    A. E. Hoerl and R. W. Kennard (1970). Ridge regression: biased estimation for nonorthogonal problems.
    Technometrics 12(1), 55-67.

    L. Breiman, J. H. Friedman, R. A. Olshen and C. J. Stone (1984). Classification and regression trees. Wadsworth,
    section 3.4.3: the simplest model within one standard error of the best.

    T. Hastie, R. Tibshirani and J. Friedman (2009). The elements of statistical learning. Springer, section 7.10.

    Examples
    --------
    Both learners are right except for an error that they share, of which the second has twice as much:

    >>> import numpy as np
    >>> from stackkit import RidgePoolRegressor
    >>> y, error = np.arange(40.0), np.tile([1.0, -2.0, 0.0, 1.0], 10)
    >>> X = np.column_stack([y + error, y + 2 * error])
    >>> pool = RidgePoolRegressor().fit(X, y)
    >>> pool.weights_.round(1)
    array([ 2., -1.])
    >>> RidgePoolRegressor(strengths=1e6).fit(X, y).weights_.round(1) + 0.0
    array([1., 0.])
    """

    def __init__(
        self,
        strengths: float | Sequence[float] = (1e-4, 1e-3, 1e-2, 0.1, 1.0, 10.0),
        *,
        n_folds: int = 5,
        margin: float | None = 1.0,
    ) -> None:
        self.strengths = strengths
        self.n_folds = n_folds
        self.margin = margin

    def _solve(self, X: Floats, y: Floats, rows: Floats) -> None:
        strengths = _strongest_first(self)
        require(self, "n_folds", is_integer(self.n_folds, 2), "an integer of at least 2")
        if not rows.all():  # what weighs nothing is in no fold
            X, y, rows = X[rows > 0], y[rows > 0], rows[rows > 0]
        self.limits_ = _limits(self, y)
        table = np.column_stack([self._bounded(X), y])
        sizes = _divide_by_sizes(table)
        units, chosen = sizes[:-1] / sizes[-1], 0
        if len(strengths) > 1 and len(table) >= _FEWEST_ROWS:
            folds = min(self.n_folds, len(table))
            chosen = _first_good(_squared_errors(table, rows, units, strengths, folds), rows)
        self.strength_ = float(strengths[chosen])
        moments = _moments(table, rows)
        weights = _weights(moments, units, strengths[[chosen]])[:, 0]
        self.weights_ = weights / units
        self.intercept_ = float(sizes[-1] * (moments.means[-1] - moments.means[:-1] @ weights))

    def _bounded(self, X: Floats) -> Floats:
        return np.clip(X, *self.limits_)

    def _offset(self) -> float:
        return self.intercept_


def _limits(pool: Any, y: Floats) -> tuple[float, float]:
    usable = pool.margin is None or (is_real(pool.margin) and pool.margin >= 0)
    require(pool, "margin", usable, "None or a number of at least 0")
    beyond = np.inf if pool.margin is None else pool.margin * (y.max() - y.min())
    return float(y.min() - beyond), float(y.max() + beyond)


def _strongest_first(pool: Any) -> Floats:
    single = is_real(pool.strengths)
    listed = isinstance(pool.strengths, Sequence | np.ndarray) and not isinstance(pool.strengths, str)
    found = [pool.strengths] if single else list(pool.strengths) if listed else []
    allowed = "a number above 0, or a sequence of such numbers"
    require(pool, "strengths", found and all(is_real(value) and value > 0 for value in found), allowed)
    return np.unique(np.array(found, dtype=np.float64))[::-1]
