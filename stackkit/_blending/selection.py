"""Ensemble selection: weights found by picking learners one after another, for any scorer."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
from sklearn.base import BaseEstimator, ClassifierMixin, RegressorMixin
from sklearn.metrics import get_scorer, get_scorer_names
from sklearn.utils import check_random_state

from stackkit._blending.base import BlendClassifier, BlendRegressor
from stackkit._blending.checks import is_integer, is_real, require
from stackkit._blending.optimise import Codes, Floats, Score
from stackkit._utils import EPSILON, closest

_TIE = 1e-9  # scores closer than this, relatively, are the same: the order of the rows must not decide


class _AsIsClassifier(ClassifierMixin, BaseEstimator):
    """Its X already is the prediction: so any scorer can judge a mean of predictions."""

    def __init__(self, classes_: np.ndarray) -> None:
        self.classes_ = classes_

    def predict_proba(self, X: Floats) -> Floats:
        return X

    def predict(self, X: Floats) -> np.ndarray:
        return self.classes_[np.argmax(X, axis=1)]

    def decision_function(self, X: Floats) -> Floats:
        logs = np.log(np.maximum(X, np.finfo(np.float64).tiny))
        return logs[:, 1] - logs[:, 0] if X.shape[1] == 2 else logs


class _AsIsRegressor(RegressorMixin, BaseEstimator):
    def predict(self, X: Floats) -> Floats:
        return X


def _get_scorer(owner: Any) -> Callable[..., float]:
    scoring = owner.scoring
    if not callable(scoring) and scoring not in get_scorer_names():
        close = closest(scoring, get_scorer_names())
        allowed = "a callable scorer(estimator, X, y) or a name out of sklearn.metrics.get_scorer_names()"
        require(owner, "scoring", False, allowed + (f" (did you mean {close!r}?)" if close else ""))
    return get_scorer(scoring)


def _make_score(owner: Any, judged: Any, y: np.ndarray, rows: Floats) -> Score:
    scorer = _get_scorer(owner)
    keywords = {} if (rows == 1).all() else {"sample_weight": rows}  # not every scorer takes weights

    def score(mean: Floats) -> float:
        result = float(scorer(judged, mean, y, **keywords))
        if np.isnan(result):
            raise ValueError(
                f"The scorer {owner.scoring!r} of {type(owner).__name__} returned nan: choose one that is "
                "defined for these targets."
            )
        return result

    return score


def _make_log_score(rows: Floats) -> Score:
    return lambda truth: float(np.average(np.log(np.maximum(truth, EPSILON)), weights=rows))


def _first_best(scores: Sequence[float]) -> int:
    values = np.asarray(scores)
    best = values.max()
    return int(np.flatnonzero(values >= best - _TIE * abs(best))[0])


def _best_first(scores: Sequence[float]) -> list[int]:
    left, order = list(range(len(scores))), []
    while left:
        order.append(left.pop(_first_best([scores[i] for i in left])))
    return order


def _select(library: Sequence[Floats], score: Score, n_init: int | None, n_rounds: int) -> list[int]:
    """Greedy forward selection with replacement: the members, a learner as often as it was picked."""
    picks = _best_first([score(predictions) for predictions in library])
    total, starts = np.zeros_like(library[0]), []
    for size, pick in enumerate(picks, start=1):
        total = total + library[pick]
        starts.append(score(total / size))
    n_start = _first_best(starts) + 1 if n_init is None else min(n_init, len(library))
    picks, reached = picks[:n_start], [starts[n_start - 1]]
    total = np.sum([library[pick] for pick in picks], axis=0)
    for size in range(n_start + 1, n_start + n_rounds + 1):
        trials = [score((total + predictions) / size) for predictions in library]
        picks.append(_first_best(trials))
        total = total + library[picks[-1]]
        reached.append(trials[picks[-1]])
    return picks[: n_start + _first_best(reached)]


def _check_selection(owner: Any) -> None:
    n_init, fraction = owner.n_init, owner.bag_fraction
    require(owner, "n_rounds", is_integer(owner.n_rounds, 0), "an integer of at least 0")
    require(owner, "n_init", n_init is None or is_integer(n_init, 1), "an integer of at least 1, or None")
    require(owner, "n_bags", is_integer(owner.n_bags, 1), "an integer of at least 1")
    require(owner, "bag_fraction", is_real(fraction) and 0 < fraction <= 1, "a number above 0, 1 at most")


def _selection_weights(owner: Any, library: Floats, score: Score) -> Floats:
    n_learners = len(library)
    counts = np.zeros(n_learners)
    generator = check_random_state(owner.random_state)
    size = n_learners if owner.n_bags == 1 else max(1, round(owner.bag_fraction * n_learners))
    for _ in range(owner.n_bags):
        bag = np.sort(generator.permutation(n_learners)[:size])  # sorted: of equals, the first learner wins
        picks = _select([library[m] for m in bag], score, owner.n_init, owner.n_rounds)
        np.add.at(counts, bag[picks], 1)
    return counts / counts.sum()


class EnsembleSelectionClassifier(BlendClassifier):
    """Greedy selection of an ensemble, with replacement, for any scorer.

    It starts with the best learners, adds in every round the one that helps most, be it in already or not,
    and keeps the best ensemble it has seen. How often a learner was picked is its weight in the mean of the
    probabilities.

    Parameters
    ----------
    n_rounds : int, default=25
        Rounds of adding a learner, after the start.
    scoring : str or callable, default="neg_log_loss"
        Name of a scikit-learn scorer, or a callable ``scorer(estimator, X, y)``; it must take
        ``sample_weight`` where `fit` is given that. The estimator that it is called with predicts the mean
        of the probabilities.
    n_init : int, default=None
        Number of learners to start with, the best ones by score. None takes as many as score best together.
    n_bags : int, default=1
        Number of selections, each from a random part of the learners; their counts are added up. Bags help
        against overfitting where there are many learners (the paper: 20 for libraries of hundreds); one bag
        is all learners.
    bag_fraction : float, default=0.5
        Share of the learners in each of several bags.
    random_state : int, RandomState instance or None, default=None
        Draws the bags; not used for one bag.

    Attributes
    ----------
    weights_ : ndarray of shape (n_learners,)
        Weight of each learner, a multiple of one over the number of picks; 0.0 for those never picked.
    classes_ : ndarray of shape (n_classes,)
        Labels, sorted.
    n_features_in_ : int
        Number of columns seen in `fit`.
    feature_names_in_ : ndarray of shape (n_features,)
        Names of the columns, where all are strings.

    References
    ----------
    R. Caruana, A. Niculescu-Mizil, G. Crew and A. Ksikes (2004). Ensemble selection from libraries of models.
    International Conference on Machine Learning 21.

    Examples
    --------
    Each learner errs where the other does not:

    >>> import numpy as np
    >>> from stackkit import EnsembleSelectionClassifier
    >>> X = np.array([[0.9, 0.6], [0.1, 0.4], [0.6, 0.9], [0.4, 0.1]])
    >>> EnsembleSelectionClassifier().fit(X, [1, 0, 1, 0]).weights_
    array([0.5, 0.5])
    """

    def __init__(
        self,
        n_rounds: int = 25,
        *,
        scoring: str | Callable[..., float] = "neg_log_loss",
        n_init: int | None = None,
        n_bags: int = 1,
        bag_fraction: float = 0.5,
        random_state: int | np.random.RandomState | None = None,
    ) -> None:
        self.n_rounds = n_rounds
        self.scoring = scoring
        self.n_init = n_init
        self.n_bags = n_bags
        self.bag_fraction = bag_fraction
        self.random_state = random_state

    def _solve(self, table: Floats, codes: Codes, rows: Floats) -> None:
        _check_selection(self)
        score = _make_score(self, _AsIsClassifier(self.classes_), self.classes_[codes], rows)
        if self.scoring == "neg_log_loss":  # the true class alone matters: a fraction of the scorer's time
            table, score = table[:, np.arange(len(codes)), codes], _make_log_score(rows)
        self.weights_ = _selection_weights(self, table, score)


class EnsembleSelectionRegressor(BlendRegressor):
    """Greedy selection of an ensemble, with replacement, for any scorer.

    It starts with the best learners, adds in every round the one that helps most, be it in already or not,
    and keeps the best ensemble it has seen. How often a learner was picked is its weight in the mean of the
    predictions.

    Parameters
    ----------
    n_rounds : int, default=25
        Rounds of adding a learner, after the start.
    scoring : str or callable, default="neg_root_mean_squared_error"
        Name of a scikit-learn scorer, or a callable ``scorer(estimator, X, y)``; it must take
        ``sample_weight`` where `fit` is given that. The estimator that it is called with predicts the mean
        of the predictions.
    n_init : int, default=None
        Number of learners to start with, the best ones by score. None takes as many as score best together.
    n_bags : int, default=1
        Number of selections, each from a random part of the learners; their counts are added up. Bags help
        against overfitting where there are many learners (the paper: 20 for libraries of hundreds); one bag
        is all learners.
    bag_fraction : float, default=0.5
        Share of the learners in each of several bags.
    random_state : int, RandomState instance or None, default=None
        Draws the bags; not used for one bag.

    Attributes
    ----------
    weights_ : ndarray of shape (n_learners,)
        Weight of each learner, a multiple of one over the number of picks; 0.0 for those never picked.
    n_features_in_ : int
        Number of columns seen in `fit`.
    feature_names_in_ : ndarray of shape (n_features,)
        Names of the columns, where all are strings.

    References
    ----------
    R. Caruana, A. Niculescu-Mizil, G. Crew and A. Ksikes (2004). Ensemble selection from libraries of models.
    International Conference on Machine Learning 21.

    Examples
    --------
    One learner is 1 too high, the other 3 too low:

    >>> import numpy as np
    >>> from stackkit import EnsembleSelectionRegressor
    >>> y = np.array([1.0, 2.0, 5.0])
    >>> EnsembleSelectionRegressor().fit(np.column_stack([y + 1, y - 3]), y).weights_
    array([0.75, 0.25])
    """

    def __init__(
        self,
        n_rounds: int = 25,
        *,
        scoring: str | Callable[..., float] = "neg_root_mean_squared_error",
        n_init: int | None = None,
        n_bags: int = 1,
        bag_fraction: float = 0.5,
        random_state: int | np.random.RandomState | None = None,
    ) -> None:
        self.n_rounds = n_rounds
        self.scoring = scoring
        self.n_init = n_init
        self.n_bags = n_bags
        self.bag_fraction = bag_fraction
        self.random_state = random_state

    def _solve(self, X: Floats, y: Floats, rows: Floats) -> None:
        _check_selection(self)
        score = _make_score(self, _AsIsRegressor(), y, rows)
        self.weights_ = _selection_weights(self, np.ascontiguousarray(X.T), score)
