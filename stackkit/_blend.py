"""Meta-learners that give one weight to a learner, so that few rows are enough to fit them: pool and means."""

from __future__ import annotations

import warnings
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Self

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.linalg import cho_factor, cho_solve, solve_triangular
from scipy.optimize import nnls
from scipy.special import log_softmax, softmax
from sklearn.base import BaseEstimator, ClassifierMixin, RegressorMixin
from sklearn.exceptions import ConvergenceWarning
from sklearn.utils import Tags, check_array, gen_batches
from sklearn.utils.multiclass import check_classification_targets
from sklearn.utils.validation import check_is_fitted, validate_data

from stackkit.exceptions import NotProbabilitiesWarning

Floats = NDArray[np.float64]
Codes = NDArray[np.intp]
Step = Callable[[Floats], tuple[Floats, float]]
Score = Callable[[Floats], float]

_SUM_TOLERANCE = 1e-3  # float16 and rounded tables of probabilities are still probabilities
_EMPTY = 1e-12  # a column that spreads less than that, as a share of its mean, is constant but for rounding
_NEGLIGIBLE = 1e-12  # shares below this are rounding; they must be 0.0, since they decide who is refitted
EPSILON = float(np.finfo(np.float64).eps)  # where scikit-learn's log_loss clips
_DAMPING = 1e-7  # what a weight of one costs: its square changes no weight, but for those of a million
_JITTER = 1e-12  # makes the curvature of copies definite where there is no ridge; the optimum stays
_CELLS = 1 << 15  # table cells worked on at once: what the cache of a core holds


# ---------------------------------------------------------------- input


def require(estimator: Any, name: str, ok: Any, allowed: str) -> None:
    if not ok:
        owner, value = type(estimator).__name__, getattr(estimator, name)
        raise ValueError(f"The {name!r} parameter of {owner} must be {allowed}; got {value!r}.")


def is_integer(value: Any, minimum: int) -> bool:
    return isinstance(value, int | np.integer) and not isinstance(value, bool) and bool(value >= minimum)


def is_real(value: Any) -> bool:
    numeric = isinstance(value, int | float | np.integer | np.floating) and not isinstance(value, bool)
    return numeric and bool(np.isfinite(value))


def _check_stopping(estimator: Any) -> None:
    require(estimator, "max_iter", is_integer(estimator.max_iter, 1), "an integer of at least 1")
    require(estimator, "tol", is_real(estimator.tol) and estimator.tol >= 0, "a number of at least 0")


def _check_weights(sample_weight: ArrayLike | None, n_rows: int) -> Floats:
    """Weights of mean one over the rows that have one: only what they are to each other is to count.

    Weights that sum to one would else leave all to a ridge that is weighed against the sum over the rows.
    """
    if sample_weight is None:
        return np.ones(n_rows)
    weights: Floats = check_array(sample_weight, ensure_2d=False, dtype=float, input_name="sample_weight")
    if weights.shape != (n_rows,):
        raise ValueError(f"sample_weight must have the shape ({n_rows},), one a row; got {weights.shape}.")
    if weights.min() < 0:
        raise ValueError(f"sample_weight must not be negative; got {weights.min()!r} as the smallest.")
    if not weights.any():
        raise ValueError("sample_weight must have a value above zero; got only zeros: no row would count.")
    normalised: Floats = weights / weights[weights > 0].mean()
    return normalised


def _check_classes(estimator: Any, codes: Codes, weights: Floats) -> None:
    present = np.unique(codes[weights > 0])
    if len(present) < 2:
        raise ValueError(
            f"{type(estimator).__name__} needs rows of at least two classes, with weights above zero; "
            f"got one class: {estimator.classes_[present[0]]!r}."
        )


def _as_table(X: NDArray[np.floating], n_classes: int) -> tuple[Floats, list[str]]:
    """Probabilities as (learner, row, class), and what had to be bent to get them."""
    n_rows, n_columns = X.shape
    single = n_classes == 2 or n_columns % n_classes != 0
    faults = []
    if n_classes > 2 and single:
        faults.append(f"{n_columns} columns, each of which counts as a learner's 1 - P(first class)")
    if X.min() < -_SUM_TOLERANCE or X.max() > 1 + _SUM_TOLERANCE:
        faults.append(f"values from {X.min():.3g} to {X.max():.3g}, which are clipped")
    if single:
        values = np.clip(X.T, 0, 1, dtype=np.float64)
        table = np.empty((n_columns, n_rows, n_classes))
        table[:, :, 0] = 1 - values
        table[:, :, 1:] = (values / (n_classes - 1))[:, :, None]
        return table, faults
    blocks = X.reshape(n_rows, -1, n_classes).transpose(1, 0, 2)
    table = np.array(blocks, dtype=np.float64, order="C")  # always a copy: it is written to
    np.clip(table, 0, 1, out=table)
    sums = table.sum(axis=2, keepdims=True)
    if np.abs(sums - 1).max() > _SUM_TOLERANCE:
        faults.append(f"rows of a block that sum to {sums.min():.3g} to {sums.max():.3g}, which are rescaled")
        empty = sums[:, :, 0] == 0
        table[empty] = 1
        sums[empty] = n_classes
    table /= sums
    return table, faults


def _as_probabilities(estimator: Any, X: NDArray[np.floating]) -> Floats:
    n_classes = len(estimator.classes_)
    table, faults = _as_table(X, n_classes)
    if faults:
        shape = "one column a learner" if n_classes == 2 else f"blocks of {n_classes} columns a learner"
        which = "of the second class" if n_classes == 2 else "that sum to 1, in the order of the classes"
        warnings.warn(
            f"{type(estimator).__name__} expects {shape}: probabilities {which}; got {'; '.join(faults)}. "
            "Give it what predict_proba returns, or choose another final estimator.",
            NotProbabilitiesWarning,
            stacklevel=3,
        )
    return table


# ---------------------------------------------------------------- optimisation


def _newton(value: Score, step: Step, start: Floats, max_iter: int, tol: float) -> tuple[Floats, int]:
    """Minimise a convex function: `step` gives the minimiser of its quadratic model and the gain promised.

    The last step is taken in full: it squares the error, and what the model's constraints hold at 0 is 0.0.
    """
    point, current = start, value(start)
    for iteration in range(1, max_iter + 1):
        target, promise = step(point)
        if promise <= max(tol, 10 * EPSILON):  # below that only rounding is left to gain
            return target, iteration
        length, reached = 1.0, value(target)
        while reached > current - 1e-4 * length * promise:
            length /= 2
            reached = value(point + length * (target - point))
        point, current = point + length * (target - point), reached
    warnings.warn(
        f"The weights did not converge in {max_iter} iterations: raise max_iter or tol.",
        ConvergenceWarning,
        stacklevel=4,
    )
    return point, max_iter


def _first_of_its_kind(columns: Floats) -> NDArray[np.bool_]:
    """Copies of a column would share its weight at the whim of rounding: only the first takes part."""
    kept = np.ones(columns.shape[1], dtype=bool)
    for j in range(1, len(kept)):
        kept[j] = np.abs(columns[:, :j] - columns[:, [j]]).max(axis=0).min() > 1e-12
    return kept


def _non_negative(columns: Floats, goal: Floats, *, damping: float = 0.0) -> Floats:
    """The w >= 0 that minimises |columns @ w - goal|; copies of a column, and columns of zeros, get none.

    ``damping`` is the length that a weight adds, as a share of the length of its column.
    """
    lengths = np.linalg.norm(columns, axis=0)
    empty = lengths == 0
    lengths[empty] = 1
    columns = columns / lengths  # of length 1, or one wild learner blinds the tolerance
    kept = ~empty & _first_of_its_kind(columns)
    shares = np.zeros(len(lengths))
    columns = columns[:, kept]
    if damping:
        columns = np.vstack([columns, damping * np.eye(columns.shape[1])])
        goal = np.append(goal, np.zeros(columns.shape[1]))
    if kept.any():
        shares[kept] = nnls(columns, goal, maxiter=100 * len(lengths))[0]
    weights: Floats = np.where(shares < _NEGLIGIBLE * shares.max(), 0.0, shares / lengths)
    return weights


def _nearest_on_simplex(predictions: Floats, target: Floats | float, row_weights: Floats) -> Floats:
    """The w >= 0 with sum 1 that minimises |predictions @ w - target|, exactly.

    With residual columns D = predictions - target the aim is |D w|, as the weights sum to 1. Write any v >= 0
    as s w: then |D v|^2 + (sum(v) - 1)^2 = s^2 |D w|^2 + (s - 1)^2, which for every s has the same best w. So
    non-negative least squares with one row added solves the problem, without a penalty that has to be large.
    """
    residuals = (predictions - np.reshape(target, (-1, 1))) * np.sqrt(row_weights)[:, None]
    triangle = np.linalg.qr(residuals, mode="r")
    sizes = np.linalg.norm(triangle, axis=0)
    if sizes.min() == 0:  # a learner without any error
        return np.eye(len(sizes))[int(np.argmin(sizes))]
    columns = np.vstack([triangle / sizes.min(), np.ones(len(sizes))])
    goal = np.zeros(len(columns))
    goal[-1] = 1
    weights = _non_negative(columns, goal)
    return weights / weights.sum()


def _nearest_without_negatives(predictions: Floats, target: Floats, row_weights: Floats, noise: Floats) -> Floats:
    """The w >= 0 that minimises |predictions @ w - target|; columns of a spread within `noise` are empty."""
    scale = np.sqrt(row_weights / row_weights.sum())[:, None]
    triangle = np.asarray(np.linalg.qr(np.column_stack([predictions, target]) * scale, mode="r"))
    columns, goal = triangle[:, :-1], triangle[:, -1]
    columns[:, np.linalg.norm(columns, axis=0) <= noise] = 0
    # Two columns that are each other's opposite but for rounding would be given weights of millions, to fit that.
    return _non_negative(columns, goal, damping=_DAMPING)


@dataclass(frozen=True)
class _PoolLoss:
    """Mean log-loss of the pool plus its ridge, as a function of the weights followed by the biases."""

    log_proba: Floats  # (learner, row, class)
    codes: Codes  # of the rows' true classes
    rows: Floats  # weight of a row; they sum to 1
    ridge: float
    fit_bias: bool

    def _logits(self, point: Floats) -> Floats:
        weights, bias = np.split(point, [len(self.log_proba)])
        return np.tensordot(weights, self.log_proba, axes=1) + bias

    def _penalty(self) -> Floats:
        n_learners, _, n_classes = self.log_proba.shape
        return self.ridge * np.repeat([1.0, 0.1], [n_learners, n_classes])

    def start(self) -> Floats:
        n_learners, _, n_classes = self.log_proba.shape
        return np.repeat([1 / n_learners, 0.0], [n_learners, n_classes])

    def value(self, point: Floats) -> float:
        log_loss = -log_softmax(self._logits(point), axis=1)[np.arange(len(self.codes)), self.codes]
        return float(self.rows @ log_loss + self._penalty() @ (point - self.start()) ** 2)

    def derivatives(self, point: Floats) -> tuple[Floats, Floats]:
        """Gradient and Hessian."""
        m, n_rows, n_classes = self.log_proba.shape
        proba = softmax(self._logits(point), axis=1)
        mass = self.rows[:, None] * proba
        hessian = np.diag(2 * self._penalty())
        hessian[m:, m:] += np.diag(mass.sum(axis=0)) - proba.T @ mass
        for batch in gen_batches(n_rows, max(1, _CELLS // (m * n_classes))):
            part = self.log_proba[:, batch]
            centred = part - np.einsum("mnc,nc->mn", part, proba[batch])[:, :, None]
            scaled = centred * mass[batch]
            hessian[:m, :m] += scaled.reshape(m, -1) @ centred.reshape(m, -1).T
            hessian[:m, m:] += scaled.sum(axis=1)
        hessian[m:, :m] = hessian[:m, m:].T
        mass[np.arange(n_rows), self.codes] -= self.rows
        gradient = np.concatenate([self.log_proba.reshape(m, -1) @ mass.ravel(), mass.sum(axis=0)])
        return gradient + 2 * self._penalty() * (point - self.start()), hessian

    def step(self, point: Floats) -> tuple[Floats, float]:
        """The Newton step within w >= 0: the free biases are eliminated, the rest is least squares."""
        m, (gradient, hessian) = len(self.log_proba), self.derivatives(point)
        slope, bias_slope = np.split(gradient, [m])
        curve, cross = np.hsplit(hessian[:m], [m])
        target = point.copy()
        if self.fit_bias:
            # A constant added to all biases changes nothing: the 1 holds their sum, even without a ridge.
            biases = cho_factor(hessian[m:, m:] + 1 + _JITTER * np.eye(len(bias_slope)))
            slope = slope - cross @ cho_solve(biases, bias_slope)
            curve = curve - cross @ cho_solve(biases, cross.T)
        lower = np.linalg.cholesky(curve + _JITTER * np.eye(m))
        goal = solve_triangular(lower, curve @ point[:m] - slope, lower=True)
        target[:m] = nnls(lower.T, goal, maxiter=100 * m)[0]
        if self.fit_bias:
            target[m:] -= cho_solve(biases, bias_slope + cross.T @ (target - point)[:m])
        return target, float(gradient @ (point - target))


# ---------------------------------------------------------------- classes


class BlendClassifier(ClassifierMixin, BaseEstimator):
    """Input, labels and predictions; a blend says how it finds its weights."""

    def _solve(self, table: Floats, codes: Codes, rows: Floats) -> None:
        raise NotImplementedError

    def fit(self, X: Any, y: Any, sample_weight: ArrayLike | None = None) -> Self:
        """Find the weights.

        Parameters
        ----------
        X : array-like of shape (n_rows, n_learners * width)
            Probabilities that did not see the row's label (out-of-fold), a block of columns a learner. For
            two classes a block is one column, the probability of the second class; for more it has a column
            a class. Classes stand in sorted order.
        y : array-like of shape (n_rows,)
            Labels.
        sample_weight : array-like of shape (n_rows,), default=None
            Weight of each row. They are divided by their mean over the rows whose weight is not zero: a row that
            weighs twice as much as another counts twice as much, and all weights times ten change nothing.

        Returns
        -------
        self : object
            The fitted blend.
        """
        X, y = validate_data(self, X, y, dtype=[np.float64, np.float32])
        check_classification_targets(y)
        rows = _check_weights(sample_weight, len(X))
        self.classes_, codes = np.unique(y, return_inverse=True)
        _check_classes(self, codes, rows)
        self._solve(_as_probabilities(self, X), codes, rows)
        return self

    def predict_proba(self, X: Any) -> Floats:
        """Blend the learners' probabilities.

        Parameters
        ----------
        X : array-like of shape (n_rows, n_learners * width)
            Probabilities, laid out as in `fit`.

        Returns
        -------
        proba : ndarray of shape (n_rows, n_classes)
            Probabilities in the order of `classes_`.
        """
        check_is_fitted(self)
        X = validate_data(self, X, dtype=[np.float64, np.float32], reset=False)
        return self._mix(_as_probabilities(self, X))

    def predict(self, X: Any) -> NDArray[Any]:
        """Predict the most probable class.

        Parameters
        ----------
        X : array-like of shape (n_rows, n_learners * width)
            Probabilities, laid out as in `fit`.

        Returns
        -------
        y : ndarray of shape (n_rows,)
            Labels.
        """
        most_probable = self.predict_proba(X).argmax(axis=1)
        return self.classes_[most_probable]

    def _mix(self, table: Floats) -> Floats:
        # Shares that sum to one by a hair too much give probabilities that log_loss refuses.
        return np.clip(np.tensordot(self.weights_, table, axes=1), 0, 1)

    def __sklearn_tags__(self) -> Tags:
        tags = super().__sklearn_tags__()
        tags.classifier_tags.poor_score = True  # no learner of raw features
        return tags


class BlendRegressor(RegressorMixin, BaseEstimator):
    """Input and predictions; a blend says how it finds its weights."""

    def _solve(self, X: Floats, y: Floats, rows: Floats) -> None:
        raise NotImplementedError

    def fit(self, X: Any, y: Any, sample_weight: ArrayLike | None = None) -> Self:
        """Find the weights.

        Parameters
        ----------
        X : array-like of shape (n_rows, n_learners)
            Predictions that did not see the row's target (out-of-fold), one column a learner.
        y : array-like of shape (n_rows,)
            Targets.
        sample_weight : array-like of shape (n_rows,), default=None
            Weight of each row. They are divided by their mean over the rows whose weight is not zero: a row that
            weighs twice as much as another counts twice as much, and all weights times ten change nothing.

        Returns
        -------
        self : object
            The fitted blend.
        """
        X, y = validate_data(self, X, y, dtype=np.float64, order="C", y_numeric=True)  # same bits for frames
        self._solve(X, np.asarray(y, dtype=np.float64), _check_weights(sample_weight, len(X)))
        return self

    def predict(self, X: Any) -> Floats:
        """Add the learners' predictions up with the weights found.

        Parameters
        ----------
        X : array-like of shape (n_rows, n_learners)
            Predictions, one column a learner.

        Returns
        -------
        y : ndarray of shape (n_rows,)
            Weighted means, or sums.
        """
        check_is_fitted(self)
        return validate_data(self, X, dtype=np.float64, reset=False) @ self.weights_ + self._offset()

    def _offset(self) -> float:
        return 0.0

    def __sklearn_tags__(self) -> Tags:
        tags = super().__sklearn_tags__()
        tags.regressor_tags.poor_score = True  # no learner of raw features
        return tags


class LogPoolClassifier(BlendClassifier):
    """Logarithmic opinion pool: a weighted geometric mean of class probabilities, rescaled.

    The probability of class c is proportional to ``exp(sum_m w_m log p_m(c) + b_c)``, with one weight
    ``w_m >= 0`` a learner. The weights need not sum to 1, so the pool sharpens learners that are too timid
    and softens those that are too sure. They minimise the log-loss plus a light ridge that draws them to
    ``1/M``, where M is the number of learners.

    Parameters
    ----------
    clip : float, default=1e-4
        Probabilities below it are raised to it before the logarithm: it limits what a learner that is sure
        and wrong can cost. Above 0 and below 0.5.
    ridge : float, default=0.1
        Strength of ``sum (w_m - 1/M)^2 + 0.1 sum b_c^2``, beside the log-loss summed over the rows: it
        matters less the more rows there are. At 0 the weights grow without end where the classes can be
        separated.
    fit_bias : bool, default=True
        Whether to fit the biases ``b_c``; they sum to 0.
    max_iter : int, default=100
        Largest number of Newton steps.
    tol : float, default=1e-12
        Stop when the next step promises a smaller gain in mean log-loss than this.

    Attributes
    ----------
    weights_ : ndarray of shape (n_learners,)
        Weight of each learner; 0.0, exactly, for those that do not help.
    bias_ : ndarray of shape (n_classes,)
        Bias of each class.
    classes_ : ndarray of shape (n_classes,)
        Labels, sorted.
    n_iter_ : int
        Number of Newton steps.
    n_features_in_ : int
        Number of columns seen in `fit`.
    feature_names_in_ : ndarray of shape (n_features_in_,)
        Names of the columns, where all are strings.

    References
    ----------
    C. Genest and J. V. Zidek (1986). Combining probability distributions: a critique and an annotated
    bibliography. Statistical Science 1(1), 114-135.

    Examples
    --------
    Two timid learners that agree deserve more trust than either:

    >>> import numpy as np
    >>> from stackkit import LogPoolClassifier
    >>> X = np.array([[0.6, 0.7], [0.4, 0.3], [0.7, 0.6], [0.3, 0.4]] * 10)
    >>> y = ["yes", "no", "yes", "no"] * 10
    >>> pool = LogPoolClassifier().fit(X, y)
    >>> bool(pool.weights_.sum() > 1)
    True
    >>> pool.predict([[0.6, 0.6]])
    array(['yes'], dtype='<U3')
    """

    def __init__(
        self,
        *,
        clip: float = 1e-4,
        ridge: float = 0.1,
        fit_bias: bool = True,
        max_iter: int = 100,
        tol: float = 1e-12,
    ) -> None:
        self.clip = clip
        self.ridge = ridge
        self.fit_bias = fit_bias
        self.max_iter = max_iter
        self.tol = tol

    def _log(self, table: Floats) -> Floats:
        """Logarithms in place: the table is the largest thing here."""
        return np.log(np.maximum(table, self.clip, out=table), out=table)

    def _solve(self, table: Floats, codes: Codes, rows: Floats) -> None:
        require(self, "clip", is_real(self.clip) and 0 < self.clip < 0.5, "a number above 0 and below 0.5")
        require(self, "ridge", is_real(self.ridge) and self.ridge >= 0, "a number of at least 0")
        require(self, "fit_bias", isinstance(self.fit_bias, bool | np.bool_), "True or False")
        _check_stopping(self)
        total = rows.sum()
        loss = _PoolLoss(self._log(table), codes, rows / total, self.ridge / total, bool(self.fit_bias))
        point, self.n_iter_ = _newton(loss.value, loss.step, loss.start(), self.max_iter, self.tol)
        self.weights_, self.bias_ = np.split(point, [len(table)])

    def _mix(self, table: Floats) -> Floats:
        return softmax(np.tensordot(self.weights_, self._log(table), axes=1) + self.bias_, axis=1)


class ConvexClassifier(BlendClassifier):
    """Weighted mean of class probabilities: the weights that minimise its log-loss.

    The weights are at least 0 and sum to 1. On the rows it was fitted to, the log-loss is never above that of
    the best learner.

    Parameters
    ----------
    max_iter : int, default=100
        Largest number of Newton steps.
    tol : float, default=1e-12
        Stop when the next step promises a smaller gain in mean log-loss than this.

    Attributes
    ----------
    weights_ : ndarray of shape (n_learners,)
        Weight of each learner; 0.0, exactly, for those that do not help.
    classes_ : ndarray of shape (n_classes,)
        Labels, sorted.
    n_iter_ : int
        Number of Newton steps.
    n_features_in_ : int
        Number of columns seen in `fit`.
    feature_names_in_ : ndarray of shape (n_features_in_,)
        Names of the columns, where all are strings.

    References
    ----------
    L. Breiman (1996). Stacked regressions. Machine Learning 24, 49-64.

    M. J. van der Laan, E. C. Polley and A. E. Hubbard (2007). Super learner. Statistical Applications in
    Genetics and Molecular Biology 6(1), article 25.

    Examples
    --------
    The second learner knows nothing:

    >>> import numpy as np
    >>> from stackkit import ConvexClassifier
    >>> X = np.array([[0.8, 0.5], [0.1, 0.5], [0.9, 0.5], [0.2, 0.5]])
    >>> ConvexClassifier().fit(X, [1, 0, 1, 0]).weights_
    array([1., 0.])
    """

    def __init__(self, *, max_iter: int = 100, tol: float = 1e-12) -> None:
        self.max_iter = max_iter
        self.tol = tol

    def _solve(self, table: Floats, codes: Codes, rows: Floats) -> None:
        _check_stopping(self)
        truth = np.maximum(table[:, np.arange(len(codes)), codes].T, EPSILON)
        rows = rows / rows.sum()

        def value(weights: Floats) -> float:
            return float(-rows @ np.log(truth @ weights))

        def step(weights: Floats) -> tuple[Floats, float]:
            # -log(u) near u = 1 is (u - 2)^2 / 2 and a constant, so the Newton step is a regression on 2.
            ratios = truth / (truth @ weights)[:, None]
            target = _nearest_on_simplex(ratios, 2.0, rows)
            return target, float(rows @ (ratios @ (target - weights)))

        start = np.full(len(table), 1 / len(table))
        self.weights_, self.n_iter_ = _newton(value, step, start, self.max_iter, self.tol)


class ConvexRegressor(BlendRegressor):
    """Weighted mean of predictions: the weights that minimise its squared error.

    The weights are at least 0 and sum to 1. On the rows it was fitted to, the squared error is never above
    that of the best learner. Of columns that are copies of each other the first alone gets weight.

    Attributes
    ----------
    weights_ : ndarray of shape (n_learners,)
        Weight of each learner; 0.0, exactly, for those that do not help.
    n_features_in_ : int
        Number of columns seen in `fit`.
    feature_names_in_ : ndarray of shape (n_features_in_,)
        Names of the columns, where all are strings.

    References
    ----------
    L. Breiman (1996). Stacked regressions. Machine Learning 24, 49-64.

    M. J. van der Laan, E. C. Polley and A. E. Hubbard (2007). Super learner. Statistical Applications in
    Genetics and Molecular Biology 6(1), article 25.

    Examples
    --------
    One learner is 1 too high, the other 3 too low:

    >>> import numpy as np
    >>> from stackkit import ConvexRegressor
    >>> y = np.array([1.0, 2.0, 5.0])
    >>> ConvexRegressor().fit(np.column_stack([y + 1, y - 3]), y).weights_
    array([0.75, 0.25])
    """

    def _solve(self, X: Floats, y: Floats, rows: Floats) -> None:
        self.weights_ = _nearest_on_simplex(X, y, rows)


class LinearPoolRegressor(BlendRegressor):
    """Weighted sum of predictions and an intercept: least squares without negative weights.

    The prediction is ``sum_m w_m x_m + b`` with one weight ``w_m >= 0`` a learner. The weights need not sum to 1, so
    the pool stretches learners that are too timid, as averaged models are, and shrinks those that overshoot; the
    intercept takes out what they are too high or too low. On the rows it was fitted to, the squared error is never
    above that of :class:`ConvexRegressor`. Of columns that are copies of each other the first alone gets weight.

    Attributes
    ----------
    weights_ : ndarray of shape (n_learners,)
        Weight of each learner; 0.0, exactly, for those that do not help. Where none does, the pool predicts the mean.
    intercept_ : float
        What is added, in units of the target.
    n_features_in_ : int
        Number of columns seen in `fit`.
    feature_names_in_ : ndarray of shape (n_features_in_,)
        Names of the columns, where all are strings.

    References
    ----------
    L. Breiman (1996). Stacked regressions. Machine Learning 24, 49-64: without the intercept.

    C. W. J. Granger and R. Ramanathan (1984). Improved methods of combining forecasts. Journal of Forecasting 3(2),
    197-204: with it, and with negative weights.

    Examples
    --------
    A learner that saw half of each deviation from 3 is stretched:

    >>> import numpy as np
    >>> from stackkit import LinearPoolRegressor
    >>> y = np.array([1.0, 2.0, 3.0, 6.0])
    >>> pool = LinearPoolRegressor().fit(3 + (y.reshape(-1, 1) - 3) / 2, y)
    >>> pool.weights_, round(pool.intercept_, 6)
    (array([2.]), -3.0)
    """

    def _solve(self, X: Floats, y: Floats, rows: Floats) -> None:
        means, mean = np.average(X, axis=0, weights=rows), np.average(y, weights=rows)
        self.weights_ = _nearest_without_negatives(X - means, y - mean, rows, _EMPTY * np.abs(means))
        self.intercept_ = float(mean - means @ self.weights_)

    def _offset(self) -> float:
        return self.intercept_
