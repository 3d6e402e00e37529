"""Weighted means: weights that are not negative and sum to one."""

from __future__ import annotations

import numpy as np

from stackkit._blending.base import BlendClassifier, BlendRegressor
from stackkit._blending.checks import check_stopping
from stackkit._blending.optimise import Codes, Floats, nearest_on_simplex, newton
from stackkit._utils import EPSILON


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
    feature_names_in_ : ndarray of shape (n_features,)
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
        check_stopping(self)
        truth = np.maximum(table[:, np.arange(len(codes)), codes].T, EPSILON)
        rows = rows / rows.sum()

        def value(weights: Floats) -> float:
            return float(-rows @ np.log(truth @ weights))

        def step(weights: Floats) -> tuple[Floats, float]:
            # -log(u) near u = 1 is (u - 2)^2 / 2 and a constant, so the Newton step is a regression on 2.
            ratios = truth / (truth @ weights)[:, None]
            target = nearest_on_simplex(ratios, 2.0, rows)
            return target, float(rows @ (ratios @ (target - weights)))

        start = np.full(len(table), 1 / len(table))
        self.weights_, self.n_iter_ = newton(value, step, start, self.max_iter, self.tol)


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
    feature_names_in_ : ndarray of shape (n_features,)
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
        self.weights_ = nearest_on_simplex(X, y, rows)
