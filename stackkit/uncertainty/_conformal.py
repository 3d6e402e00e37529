"""Intervals and sets of classes with a promise, from errors that were made of the training rows out of fold."""

from __future__ import annotations

from typing import Any, Self
from warnings import warn

import numpy as np
from sklearn.base import RegressorMixin
from sklearn.utils import check_random_state
from sklearn.utils.validation import check_is_fitted

from stackkit._assessment import (
    FoldStacks,
    Scores,
    answers_of,
    aps_scores,
    bounds,
    bounds_in_time,
    fold_stacks,
    lac_scores,
    p_values,
    scores_of,
    sets_of,
)
from stackkit._data import check_length
from stackkit._model import StackingModel, new_rows_of
from stackkit._oof import OutOfFold
from stackkit._utils import choice
from stackkit.uncertainty._inputs import (
    Groups,
    check_confidence,
    check_kind,
    check_stack,
    goes_forward,
    is_number,
    training_rows,
    weights_for,
)
from stackkit.uncertainty._of_stack import OfClassifier, OfStack

METHODS = ("lac", "aps")


class _Conformal(OfStack):
    """What intervals and sets have in common: the stack of each fold, and a score of each row by it."""

    scores_: np.ndarray
    _stacks: FoldStacks
    _weights: np.ndarray | None
    _groups: Groups

    def fit(self, X: Any, y: Any, *, by: Any = None, groups: Any = None, sample_weight: Any = None) -> Self:
        """Fit a clone of the stack, and score its training rows.

        Parameters
        ----------
        X : array-like or DataFrame of shape (n_rows, n_features)
            Training rows.
        y : array-like of shape (n_rows,)
            Targets.
        by : array-like of shape (n_rows,), optional
            The group of each row within which the confidence is to hold: see :func:`conformal`.
        groups, sample_weight : array-like of shape (n_rows,), optional
            As in ``StackingModel.fit``.

        Returns
        -------
        object
            This one, fitted.
        """
        return self._take(self._fitted_model(X, y, groups=groups, sample_weight=sample_weight), X, by, None)

    def _take(self, model: StackingModel, X: Any, by: Any, sample_weight: Any) -> Self:
        oof, final = model.oof_, model.final_estimator_
        self._check(oof, final)
        if goes_forward(oof):
            warn(
                "The folds of this stack go forward in time, and rows that come later are not like earlier ones: the "
                "confidence is not guaranteed. Use predict_interval_in_time of a ConformalRegressor, which adapts.",
                UserWarning,
                stacklevel=3,
            )
        rows, picked = training_rows(model, X, "conformal")
        groups, weights = Groups(by, len(oof.y)), weights_for(model, sample_weight)
        stacks = fold_stacks(final, oof, X=rows, picked=picked, n_jobs=model.n_jobs)
        self._set_model(model)
        self._stacks, self._groups, self._weights = stacks, groups, weights
        self.scores_ = self._scored(stacks.of_training_rows(oof, rows), oof)
        return self

    def _check(self, oof: OutOfFold, final: Any) -> None:
        raise NotImplementedError

    def _scored(self, values: np.ndarray, oof: OutOfFold) -> np.ndarray:
        raise NotImplementedError

    def _known(self, group: int, confidence: float) -> Scores:
        """The scores of a group's rows; told where they are too few for a bound."""
        among = ~np.isnan(self.scores_) & (self._groups.codes == group)
        found = scores_of([part.rows for part in self._stacks.parts], self.scores_, self._weights, among)
        if confidence * found.total > found.total - 1 + 1e-9:
            whose = f" of the group {self._groups.labels[group]!r}" if self._groups.named else ""
            warn(
                f"The {among.sum()} training rows{whose} are too few for a confidence of {confidence}: everything is "
                f"possible for new rows{whose}. Ask for less, or join groups.",
                UserWarning,
                stacklevel=3,
            )
        return found


class ConformalRegressor(RegressorMixin, _Conformal):
    """A stack that predicts numbers, with intervals: CV+, and jackknife+ where each fold tests one row.

    :func:`conformal` makes one of a fitted stack, without a fit, and tells what the intervals promise.

    Parameters
    ----------
    model : StackingModel
        ``fit`` fits a clone of it.

    Attributes
    ----------
    model_ : StackingModel
        Fitted.
    scores_ : ndarray of shape (n_rows,)
        The absolute error of each training row, by models that did not see it; NaN where no fold tests the row.
    n_features_in_ : int
        Columns of X.
    feature_names_in_ : ndarray of str
        Names of X's columns; only where it has them.

    References
    ----------
    Barber, Candes, Ramdas and Tibshirani (2021), Predictive inference with the jackknife+. Annals of Statistics 49,
    486-507.
    Gibbs and Candes (2021), Adaptive conformal inference under distribution shift. NeurIPS.

    Examples
    --------
    >>> from sklearn.datasets import load_diabetes
    >>> from sklearn.linear_model import Ridge
    >>> from sklearn.neighbors import KNeighborsRegressor
    >>> from stackkit import StackingRegressor
    >>> from stackkit.uncertainty import ConformalRegressor
    >>> X, y = load_diabetes(return_X_y=True)
    >>> stack = StackingRegressor([("ridge", Ridge(0.1)), ("knn", KNeighborsRegressor(15))], random_state=0)
    >>> sure = ConformalRegressor(stack).fit(X[:300], y[:300])
    >>> sure.predict_interval(X[300:], 0.9).shape
    (142, 2)
    """

    def __init__(self, model: Any = None) -> None:
        self.model = model

    def _check(self, oof: OutOfFold, final: Any) -> None:
        check_kind(oof, final, "ConformalRegressor", classes=False)

    def _scored(self, values: np.ndarray, oof: OutOfFold) -> np.ndarray:
        return np.abs(oof.y - values[:, 0])

    def predict_interval(self, X: Any, confidence: float = 0.9, *, by: Any = None) -> np.ndarray:
        """Predict an interval for each row.

        Parameters
        ----------
        X : array-like or DataFrame of shape (n_rows, n_features)
            New rows.
        confidence : float
            Which share of such intervals is to hold the true number, between 0 and 1.
        by : array-like of shape (n_rows,), optional
            The rows' groups, where ``conformal`` was given those of the training rows.

        Returns
        -------
        ndarray of shape (n_rows, 2)
            Lower and upper bounds, in the units of y. Infinite, with a warning, where there are too few training rows
            for the confidence: 0.9 needs 9 of them, 0.99 needs 99.

        Raises
        ------
        ValueError
            A parameter cannot be used, or a group is unknown.
        """
        check_is_fitted(self)
        confidence = check_confidence(confidence, "predict_interval")
        rows = new_rows_of(self.model_, X)
        codes = self._groups.codes_of(by, rows.shape[0])
        centres = [values[:, 0] for values in self._stacks.of_new_rows(rows)]
        found = np.empty((rows.shape[0], 2))
        for group in np.unique(codes):
            here = codes == group
            found[here] = bounds([centre[here] for centre in centres], self._known(group, confidence), confidence)
        return found

    def predict_interval_in_time(self, X: Any, y: Any, confidence: float = 0.9, *, step: float = 0.02) -> np.ndarray:
        """Predict intervals of rows that come one after the other, and adapt to what was missed.

        Each interval is made before the target of its row is known, from the targets of the rows before it: after a
        miss the next ones are wider, after a hit a little narrower. In the long run the share of misses comes as near
        to ``1 - confidence`` as ``1 / (step * n_rows)``, whatever happens to the series; no single interval is
        guaranteed anything. The stack itself does not learn.

        Parameters
        ----------
        X : array-like or DataFrame of shape (n_rows, n_features)
            Rows in the order of time, later than the training rows.
        y : array-like of shape (n_rows,)
            Their numbers, as they became known.
        confidence : float
            Which share of the intervals is to hold the true number, between 0 and 1.
        step : float
            How much a miss counts, above 0: more adapts faster, to wider and narrower intervals.

        Returns
        -------
        ndarray of shape (n_rows, 2)
            Lower and upper bounds. Infinite after many misses one after the other.

        References
        ----------
        Gibbs and Candes (2021), Adaptive conformal inference under distribution shift. NeurIPS.
        """
        check_is_fitted(self)
        confidence = check_confidence(confidence, "predict_interval_in_time")
        if not is_number(step) or step <= 0:
            raise ValueError(
                f"The 'step' parameter of predict_interval_in_time must be a number above 0; got {step!r}. Use such as "
                "0.02."
            )
        if self._groups.named:
            raise ValueError("predict_interval_in_time knows no groups. Call conformal without 'by' for it.")
        rows, truth = new_rows_of(self.model_, X), np.asarray(y, dtype=float)
        check_length("y", truth, rows.shape[0])
        centres = [values[:, 0] for values in self._stacks.of_new_rows(rows)]
        return bounds_in_time(centres, self._known(0, confidence), truth, confidence, step)


class ConformalClassifier(_Conformal, OfClassifier):
    """A stack that predicts classes, with sets of them, by cross-conformal scores of its training rows.

    :func:`conformal` makes one of a fitted stack, without a fit, and tells what the sets promise.

    Parameters
    ----------
    model : StackingModel
        ``fit`` fits a clone of it.
    method : {"lac", "aps"}
        The score of a class. "lac": 1 minus its probability, which makes the smallest sets; the sets of hard rows are
        wrong more often, and some sets are empty: no class conforms. "aps": the probability of
        all likelier classes and a share of its own, drawn by chance; sets are larger, and hold more evenly for easy
        and for hard rows.
    random_state : int, RandomState or None
        Seeds the draws of "aps"; None is the same as 0. The draw of a row depends on its place among the rows.

    Attributes
    ----------
    model_ : StackingModel
        Fitted.
    classes_ : ndarray of shape (n_classes,)
        Their labels.
    scores_ : ndarray of shape (n_rows,)
        The score of each training row's class, by models that did not see it; NaN where no fold tests the row.
    n_features_in_ : int
        Columns of X.
    feature_names_in_ : ndarray of str
        Names of X's columns; only where it has them.

    References
    ----------
    Sadinle, Lei and Wasserman (2019), Least ambiguous set-valued classifiers with bounded error levels. Journal of the
    American Statistical Association 114, 223-234.
    Romano, Sesia and Candes (2020), Classification with valid and adaptive coverage. NeurIPS.

    Examples
    --------
    >>> from sklearn.datasets import load_iris
    >>> from sklearn.naive_bayes import GaussianNB
    >>> from sklearn.neighbors import KNeighborsClassifier
    >>> from stackkit import StackingClassifier
    >>> from stackkit.uncertainty import ConformalClassifier
    >>> X, y = load_iris(return_X_y=True)
    >>> stack = StackingClassifier([("knn", KNeighborsClassifier()), ("bayes", GaussianNB())], random_state=0)
    >>> sure = ConformalClassifier(stack, method="aps").fit(X, y)
    >>> sure.predict_set(X[:2], 0.9).shape
    (2, 3)
    """

    def __init__(self, model: Any = None, *, method: str = "lac", random_state: Any = None) -> None:
        self.model = model
        self.method = method
        self.random_state = random_state

    def _check(self, oof: OutOfFold, final: Any) -> None:
        if self.method not in METHODS:
            raise choice("method", "ConformalClassifier", METHODS, self.method)
        check_kind(oof, final, "ConformalClassifier", classes=True)

    def _scored(self, values: np.ndarray, oof: OutOfFold) -> np.ndarray:
        known = np.flatnonzero(~np.isnan(values[:, 0]))
        random = check_random_state(0 if self.random_state is None else self.random_state)
        draws = random.uniform(size=len(values))
        self._seed = int(random.randint(np.iinfo(np.int32).max))
        found = np.full(len(values), np.nan)
        found[known] = self._scores(values[known], draws[known])[np.arange(len(known)), oof.y[known]]
        return found

    def _scores(self, values: np.ndarray, draws: np.ndarray) -> np.ndarray:
        """Of each row and class."""
        given = answers_of(values, self._stacks.block, self.classes_).predict_proba(None)
        return lac_scores(given) if self.method == "lac" else aps_scores(given, draws)

    def predict_set(self, X: Any, confidence: float = 0.9, *, by: Any = None) -> np.ndarray:
        """Predict a set of classes for each row.

        Parameters
        ----------
        X : array-like or DataFrame of shape (n_rows, n_features)
            New rows.
        confidence : float
            Which share of such sets is to hold the true class, between 0 and 1.
        by : array-like of shape (n_rows,), optional
            The rows' groups, where ``conformal`` was given those of the training rows.

        Returns
        -------
        ndarray of bool, shape (n_rows, n_classes)
            Which classes are in the set, in the order of ``classes_``. A set may be empty. All classes, with a
            warning, where there are too few training rows for the confidence: 0.9 needs 9 of them, 0.99 needs 99.

        Raises
        ------
        ValueError
            A parameter cannot be used, or a group is unknown.
        """
        check_is_fitted(self)
        confidence = check_confidence(confidence, "predict_set")
        rows = new_rows_of(self.model_, X)
        codes = self._groups.codes_of(by, rows.shape[0])
        draws = np.random.default_rng(self._seed).uniform(size=rows.shape[0])
        scores = [self._scores(values, draws) for values in self._stacks.of_new_rows(rows)]
        found = np.empty((rows.shape[0], len(self.classes_)), dtype=bool)
        for group in np.unique(codes):
            here = codes == group
            known = self._known(group, confidence)
            found[here] = sets_of(p_values([of_part[here] for of_part in scores], known), confidence)
        return found


def conformal(
    model: StackingModel,
    X: Any = None,
    *,
    by: Any = None,
    sample_weight: Any = None,
    method: str = "lac",
    random_state: Any = None,
) -> ConformalRegressor | ConformalClassifier:
    """Give a fitted stack intervals, or sets of classes, that hold with a chosen confidence. Nothing is refitted.

    The stack has K models of each learner, and each training row was predicted by those that did not see it. A final
    estimator is fitted to the table once per fold, without the fold's test rows, and predicts these: how far off it is
    tells how far off it will be for new rows. That needs no rows to be put aside, as split-conformal prediction does,
    which also learns from fewer rows.

    Parameters
    ----------
    model : StackingModel
        Fitted, with ``refit=False``, or with a final estimator that weighs the learners: it needs the fold models.
        It predicts numbers, or probabilities of one class per row. Learners that were fitted beforehand must not have
        seen the training rows.
    X : array-like or DataFrame of shape (n_rows, n_features), optional
        The training rows, as they were given to ``fit``; needed only with ``passthrough``.
    by : array-like of shape (n_rows,), optional
        The group of each training row: then the confidence holds within each group (Mondrian), not only on the whole,
        where easy groups make up for hard ones. A group is known by its own rows alone.
    sample_weight : array-like of shape (n_rows,), optional
        How many rows like it there will be for each training row; a new row counts as the mean of them, rows of weight
        0 do not count. None means the weights that the model was fitted with, if any.
    method : {"lac", "aps"}
        For classes: see :class:`ConformalClassifier`.
    random_state : int, RandomState or None
        For classes: see :class:`ConformalClassifier`.

    Returns
    -------
    ConformalRegressor or ConformalClassifier
        With ``predict_interval(X, confidence)`` or ``predict_set(X, confidence)``.

    Raises
    ------
    ValueError
        The stack or its target does not suit, the fold models are not there, or a parameter cannot be used.
    TypeError
        ``model`` is not a StackingModel.

    Notes
    -----
    What is guaranteed, whatever the learners are: if training rows and new ones are exchangeable (drawn from one
    source, in no order), intervals of confidence c hold the truth with a probability of at least 2c - 1, less a term
    of the order of the square root of 2 / n_rows (Barber et al. 2021, CV+). In practice it is about c, or a point or
    two more where the fold models differ. The same is true of sets (Romano et al. 2020).

    What is not: that it holds for one row, or one kind of rows, but those of ``by``; that it holds where the new rows
    come from elsewhere or later; nor where rows of one group are on both sides of a fold. The theory takes the models
    of a fold for ones that know nothing of its test rows. The learners do not, nor was the final estimator fitted to
    these rows; but the rows that it was fitted to were predicted by learners of other folds, which did see them. As
    far as the few weights of a blend go that is too little to be found (benchmarks/uncertainty.py); on top of a
    flexible final estimator it may be more. With weights the guarantee is of a new row drawn by these weights, and it
    is approximate.

    References
    ----------
    Vovk, Gammerman and Shafer (2005), Algorithmic learning in a random world. Springer.
    Barber, Candes, Ramdas and Tibshirani (2021), Predictive inference with the jackknife+. Annals of Statistics 49,
    486-507.
    Romano, Sesia and Candes (2020), Classification with valid and adaptive coverage. NeurIPS.

    Examples
    --------
    >>> from sklearn.datasets import load_diabetes
    >>> from sklearn.linear_model import Ridge
    >>> from sklearn.neighbors import KNeighborsRegressor
    >>> from stackkit import StackingModel
    >>> from stackkit.uncertainty import conformal
    >>> X, y = load_diabetes(return_X_y=True)
    >>> model = StackingModel([("ridge", Ridge(0.1)), ("knn", KNeighborsRegressor(15))], random_state=0)
    >>> model = model.fit(X[:300], y[:300])
    >>> intervals = conformal(model).predict_interval(X[300:], 0.9)
    >>> inside = (intervals[:, 0] <= y[300:]) & (y[300:] <= intervals[:, 1])
    >>> bool(inside.mean() > 0.8)
    True
    """
    check_stack(model, "conformal")
    check_is_fitted(model)
    made: ConformalRegressor | ConformalClassifier = (
        ConformalRegressor(model)
        if model.oof_.classes is None
        else ConformalClassifier(model, method=method, random_state=random_state)
    )
    return made._take(model, X, by, sample_weight)  # noqa: SLF001 - it is of this module
