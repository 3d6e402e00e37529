"""Pools, whose weights need not sum to one: of log-probabilities, and of numbers."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from scipy.linalg import cho_factor, cho_solve, solve_triangular
from scipy.optimize import nnls
from scipy.special import log_softmax, softmax
from sklearn.utils import gen_batches

from stackkit._blending.base import BlendClassifier, BlendRegressor
from stackkit._blending.checks import check_stopping, is_real, require
from stackkit._blending.optimise import Codes, Floats, nearest_without_negatives, newton

_EMPTY = 1e-12  # a column that spreads less than that, as a share of its mean, is constant but for rounding

_JITTER = 1e-12  # makes the curvature of copies definite where there is no ridge; the optimum stays

_BIAS_RIDGE = 10.0  # the ridge on the biases over that on the weights

_CELLS = 1 << 15  # table cells worked on at once: what the cache of a core holds


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
        return self.ridge * np.repeat([1.0, _BIAS_RIDGE], [n_learners, n_classes])

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


class LogPoolClassifier(BlendClassifier):
    """Logarithmic opinion pool: a weighted geometric mean of class probabilities, rescaled.

    The probability of class c is proportional to ``exp(sum_m w_m log p_m(c) + b_c)``, with one weight
    ``w_m >= 0`` per learner. The weights need not sum to 1, so the pool makes underconfident learners more certain,
    and overconfident ones less. They minimise the log-loss plus a light ridge that draws them to
    ``1/M``, where M is the number of learners.

    Parameters
    ----------
    clip : float, default=1e-4
        Probabilities below it are raised to it before the logarithm: it limits what a learner that is sure
        and wrong can cost. Above 0 and below 0.5.
    ridge : float, default=0.1
        Strength of ``sum (w_m - 1/M)^2 + 10 sum b_c^2``, beside the log-loss summed over the rows: it
        matters less the more rows there are. Where nearly all rows are predicted right, few errors are left to
        learn a bias per class from, so biases have the larger share. At 0 the weights grow without end where the
        classes can be separated.
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
    feature_names_in_ : ndarray of shape (n_features,)
        Names of the columns, where all are strings.

    References
    ----------
    C. Genest and J. V. Zidek (1986). Combining probability distributions: a critique and an annotated
    bibliography. Statistical Science 1(1), 114-135.

    Examples
    --------
    Two underconfident learners that agree deserve more trust than either:

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
        check_stopping(self)
        total = rows.sum()
        loss = _PoolLoss(self._log(table), codes, rows / total, self.ridge / total, bool(self.fit_bias))
        point, self.n_iter_ = newton(loss.value, loss.step, loss.start(), self.max_iter, self.tol)
        self.weights_, self.bias_ = np.split(point, [len(table)])

    def _mix(self, table: Floats) -> Floats:
        return softmax(np.tensordot(self.weights_, self._log(table), axes=1) + self.bias_, axis=1)


class LinearPoolRegressor(BlendRegressor):
    """Weighted sum of predictions and an intercept: least squares without negative weights.

    The prediction is ``sum_m w_m x_m + b`` with one weight ``w_m >= 0`` per learner. The weights need not sum to 1, so
    the pool stretches predictions that vary too little, as those of averaged models do, and shrinks those that vary
    too much; the intercept corrects a constant error. On the rows it was fitted to, the squared error is never
    above that of :class:`ConvexRegressor`. Of columns that are copies of each other the first alone gets weight.

    Attributes
    ----------
    weights_ : ndarray of shape (n_learners,)
        Weight of each learner; 0.0, exactly, for those that do not help. Where none does, the pool predicts the mean.
    intercept_ : float
        What is added, in units of the target.
    n_features_in_ : int
        Number of columns seen in `fit`.
    feature_names_in_ : ndarray of shape (n_features,)
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
        self.weights_ = nearest_without_negatives(X - means, y - mean, rows, _EMPTY * np.abs(means))
        self.intercept_ = float(mean - means @ self.weights_)

    def _offset(self) -> float:
        return self.intercept_
