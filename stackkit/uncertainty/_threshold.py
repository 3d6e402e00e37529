"""Decisions by a threshold, or by what wrong ones cost."""

from __future__ import annotations

from typing import Any, Self

import numpy as np
import pandas as pd
from sklearn.utils.validation import check_is_fitted

from stackkit._assessment import Answers, Choice, Judge, choose_threshold, labels_of, make_scoring, threshold_of_costs
from stackkit._data import Target
from stackkit._model import StackingModel
from stackkit._utils import choice
from stackkit.uncertainty._inputs import check_kind, check_stack
from stackkit.uncertainty._of_stack import CrossFitted, TunedClassifier


class ThresholdClassifier(TunedClassifier):
    """A stack that decides by a threshold of its own, or by what wrong decisions cost.

    :func:`tune_threshold` makes one of a fitted stack, without a fit.

    Parameters
    ----------
    model : StackingModel
        ``fit`` fits a clone of it.
    scoring, costs, pos_label : optional
        As in :func:`tune_threshold`.

    Attributes
    ----------
    model_ : StackingModel
        Fitted.
    classes_ : ndarray of shape (n_classes,)
        Their labels.
    threshold_ : float or None
        From which probability on ``pos_label`` is predicted. None for more than two classes: then the class of the
        least expected cost is.
    kept_ : bool
        Whether the tuned threshold helps: there is a gain, for costs one above its standard error. If not,
        ``threshold_`` is the usual one: 0.5, or what the costs alone say.
    gain_, gain_se_ : float
        How much better than the usual threshold the one tuned on other folds' rows is on a fold's test rows (mean
        over the folds), and the standard error of that. NaN for more than two classes.
    curve_ : DataFrame or None
        Columns threshold and score: of all that were tried, on all training rows; costs are negative.
    n_features_in_ : int
        Columns of X.
    feature_names_in_ : ndarray of str
        Names of X's columns; only where it has them.

    References
    ----------
    Elkan (2001), The foundations of cost-sensitive learning. IJCAI.

    Examples
    --------
    >>> from sklearn.datasets import load_breast_cancer
    >>> from sklearn.naive_bayes import GaussianNB
    >>> from stackkit import StackingClassifier
    >>> from stackkit.uncertainty import ThresholdClassifier
    >>> X, y = load_breast_cancer(return_X_y=True)
    >>> stack = StackingClassifier([("bayes", GaussianNB())], random_state=0)
    >>> careful = ThresholdClassifier(stack, costs=[[0, 20], [1, 0]]).fit(X, y)
    >>> bool(careful.threshold_ > 0.5)  # to call a malignant tumour benign (1) costs 20 times as much
    True
    """

    _positive_code: int | None
    _costs: np.ndarray | None

    def __init__(self, model: Any = None, *, scoring: Any = None, costs: Any = None, pos_label: Any = None) -> None:
        self.model = model
        self.scoring = scoring
        self.costs = costs
        self.pos_label = pos_label

    def _take(self, model: StackingModel, X: Any) -> Self:
        oof = model.oof_
        check_kind(oof, model.final_estimator_, "tune_threshold", classes=True)
        costs = self._checked_costs(len(oof.classes))
        if len(oof.classes) > 2:
            self._take_costs(model, costs)
            return self
        positive = self._positive(oof.classes)
        cross = CrossFitted(model, X, "tune_threshold")
        usual = 0.5 if costs is None else threshold_of_costs(costs if positive else costs[::-1, ::-1])
        judge = self._scored_by(cross, positive) if costs is None else _cost_judge(cross, costs, positive)
        # 0.5 has no claim to be right for a score; what the costs say is right where probabilities are.
        errors = 0.0 if costs is None else 1.0
        found, thresholds, scores = choose_threshold(
            judge, cross.shares[:, positive], cross.folds, cross.rows, usual, errors=errors
        )
        self._set_model(model)
        self._positive_code, self._costs = positive, costs
        self._tell(found, pd.DataFrame({"threshold": thresholds, "score": scores}))
        return self

    def _take_costs(self, model: StackingModel, costs: np.ndarray | None) -> None:
        if costs is None:
            raise ValueError(
                f"A threshold decides between two classes; the target has {len(model.oof_.classes)}. Give 'costs', a "
                "matrix, for more."
            )
        self._set_model(model)
        self._positive_code, self._costs = None, costs
        self._tell(None, None)

    def _tell(self, found: Choice | None, curve: pd.DataFrame | None) -> None:
        self.threshold_ = None if found is None else found.value
        self.kept_ = found is not None and found.kept
        self.gain_, self.gain_se_ = (np.nan, np.nan) if found is None else (found.gain, found.se)
        self.curve_ = curve

    def _checked_costs(self, n_classes: int) -> np.ndarray | None:
        if self.costs is None:
            return None
        if self.scoring is not None:
            raise ValueError(
                "The 'scoring' and 'costs' parameters of tune_threshold are two ways to say what is good; got both. "
                "Leave one out."
            )
        costs = np.asarray(self.costs, dtype=float)
        if costs.shape != (n_classes, n_classes) or not np.isfinite(costs).all():
            raise ValueError(
                f"The 'costs' parameter of tune_threshold must be a matrix of finite numbers of shape "
                f"{(n_classes, n_classes)}: a row for each true class, a column for each predicted one; got one of "
                f"shape {costs.shape}. Order it as classes_."
            )
        if (costs - np.diag(costs)[:, np.newaxis] + np.eye(n_classes) <= 0).any():
            raise ValueError(
                "The 'costs' parameter of tune_threshold must have higher costs for each wrong class than for the "
                f"right one, on the diagonal; got {costs.tolist()}. Rows are true classes, columns predicted ones."
            )
        return costs

    def _positive(self, classes: np.ndarray) -> int:
        if self.pos_label is None:
            return 1
        if self.pos_label not in classes.tolist():
            raise choice("pos_label", "tune_threshold", classes.tolist(), self.pos_label)
        return classes.tolist().index(self.pos_label)

    def _scored_by(self, cross: CrossFitted, positive: int) -> Judge:
        """A scorer of scikit-learn: by its name with 1 for the positive class, as a callable with the user's labels."""
        scoring = "balanced_accuracy" if self.scoring is None else self.scoring
        target = cross.target
        if not callable(scoring):
            target, positive = Target((target.values == positive).astype(int), np.array([0, 1]), "classification"), 1
        truth, nothing = labels_of(target), np.zeros((len(target.values), 1))
        scorer = make_scoring(scoring, ["predict"], nothing, target, cross.weights, owner="tune_threshold")

        def judge(rows: np.ndarray, chosen: np.ndarray) -> float:
            answers = Answers(target.classes, {"predict": target.classes[np.where(chosen, positive, 1 - positive)]})
            return scorer.sign * scorer(answers, nothing[rows], truth[rows], cross.weights_of(rows))

        return judge

    def predict(self, X: Any) -> np.ndarray:
        """Predict classes, by the threshold or the costs.

        Parameters
        ----------
        X : array-like or DataFrame of shape (n_rows, n_features)
            New rows.

        Returns
        -------
        ndarray of shape (n_rows,)
            Classes.
        """
        shares = self.predict_proba(X)
        if self._positive_code is None:  # more than two classes
            return self.classes_[(shares @ self._costs).argmin(axis=1)]
        chosen = shares[:, self._positive_code] >= self.threshold_
        return self.classes_[np.where(chosen, self._positive_code, 1 - self._positive_code)]


def _cost_judge(cross: CrossFitted, costs: np.ndarray, positive: int) -> Judge:
    def judge(rows: np.ndarray, chosen: np.ndarray) -> float:
        predicted = np.where(chosen, positive, 1 - positive)
        return -float(np.average(costs[cross.target.values[rows], predicted], weights=cross.weights_of(rows)))

    return judge


def tune_threshold(
    model: StackingModel, scoring: Any = None, *, costs: Any = None, pos_label: Any = None, X: Any = None
) -> ThresholdClassifier:
    """Choose from which probability on a fitted stack predicts a class. Nothing is refitted.

    Thresholds are tried on what the final estimator says of the training rows, cross-fitted on the table. That is what
    scikit-learn's ``TunedThresholdClassifierCV`` does with fits of the whole stack, once more for each of its folds.
    The best one is taken only if, tuned on the other folds' rows, it is better on a fold's rows than the usual one, on
    average over the folds; for costs, by more than the standard error of that. The usual one is 0.5, or, for costs, the
    threshold that is best where probabilities are right.

    Parameters
    ----------
    model : StackingModel
        Fitted; it gives probabilities of one class per row.
    scoring : str, callable or None
        One scorer of scikit-learn that asks for classes, such as "f1". None means "balanced_accuracy", without costs.
        Scorers by name take ``pos_label`` for the positive class.
    costs : array-like of shape (n_classes, n_classes), optional
        What it costs to predict a class (column) where another one is true (row), in the order of ``classes_``; the
        mean is to be low. For more than two classes, the class of the least expected cost is predicted, which no
        threshold is tuned for.
    pos_label : label, optional
        Of two classes the one whose probability the threshold is of; None means the second.
    X : array-like or DataFrame of shape (n_rows, n_features), optional
        The training rows, as they were given to ``fit``; needed only with ``passthrough``.

    Returns
    -------
    ThresholdClassifier
        It predicts the stack's probabilities, and classes by the threshold or the costs.

    Raises
    ------
    ValueError
        The stack gives no probabilities of one class per row, or a parameter cannot be used.
    TypeError
        ``model`` is not a StackingModel.

    Notes
    -----
    Rows are weighed by the weights of the fit. ``curve_`` has the score of each threshold; that of the best one is
    optimistic, because it was chosen by it.

    References
    ----------
    Elkan (2001), The foundations of cost-sensitive learning. IJCAI.

    Examples
    --------
    >>> from sklearn.datasets import make_classification
    >>> from sklearn.linear_model import LogisticRegression
    >>> from sklearn.naive_bayes import GaussianNB
    >>> from stackkit import StackingModel
    >>> from stackkit.uncertainty import tune_threshold
    >>> X, y = make_classification(500, weights=[0.9], random_state=0)
    >>> model = StackingModel([("logistic", LogisticRegression()), ("bayes", GaussianNB())], random_state=0).fit(X, y)
    >>> bool(tune_threshold(model, costs=[[0, 1], [10, 0]]).threshold_ < 0.5)
    True
    """
    check_stack(model, "tune_threshold")
    check_is_fitted(model)
    made = ThresholdClassifier(model, scoring=scoring, costs=costs, pos_label=pos_label)
    return made._take(model, X)  # noqa: SLF001 - it is of this module
