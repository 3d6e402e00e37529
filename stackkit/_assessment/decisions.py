"""From probabilities that were made without the rows' targets: a temperature, and the threshold of a decision.

Both are taken only where they are of use on rows that they were not chosen by.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from warnings import catch_warnings, simplefilter

import numpy as np
from scipy.optimize import minimize_scalar
from scipy.special import logsumexp

from stackkit._assessment.intervals import corrected_interval
from stackkit._data import Folds
from stackkit._utils import EPSILON

HOTTEST = 20.0  # times as unsure, or as sure, at most
MOST_CANDIDATES = 100

# Of some rows and their predictions (whether each is of the positive class): higher is better.
Judge = Callable[[np.ndarray, np.ndarray], float]


@dataclass(frozen=True)
class Choice:
    """What is best for all rows (``found``) and what it gains, cross-fitted over the folds, over ``usual``."""

    found: float
    usual: float
    gain: float
    se: float
    kept: bool

    @property
    def value(self) -> float:
        return self.found if self.kept else self.usual


def _parts(folds: Folds, rows: np.ndarray) -> Iterator[tuple[np.ndarray, np.ndarray]]:
    """The asked rows of each fold, and all others that were asked for: what is chosen by these is tried on those."""
    for _, test in folds.pairs:
        here = np.isin(rows, test)
        if here.any() and not here.all():
            yield rows[here], rows[~here]


def _gain(gains: list[float], folds: Folds) -> tuple[float, float]:
    """The mean over the folds and its standard error; NaN where nothing could be tried."""
    if not gains:
        return np.nan, np.nan
    if len(gains) != len(folds):  # there are folds whose rows all weigh nothing
        folds = Folds(folds.pairs[: len(gains)], folds.n_rows)
    interval = corrected_interval(np.array(gains), folds)
    return interval.mean, interval.se


# --- temperature ----------------------------------------------------------------------------------------


def tempered(probabilities: np.ndarray, temperature: float) -> np.ndarray:
    """Their logarithms divided by the temperature: above 1 they come nearer to each other; 1 changes nothing."""
    if temperature == 1:
        return probabilities
    logs = np.log(np.maximum(probabilities, EPSILON)) / temperature
    found: np.ndarray = np.exp(logs - logsumexp(logs, axis=1, keepdims=True))
    return found


def choose_temperature(
    probabilities: np.ndarray, y: np.ndarray, weights: np.ndarray | None, folds: Folds, rows: np.ndarray
) -> Choice:
    """The temperature of the least log-loss on these rows, kept where it gains more than a standard error over 1.

    Guo, Pleiss, Sun and Weinberger (2017), On calibration of modern neural networks.
    """

    def loss(some: np.ndarray, temperature: float) -> float:
        given = tempered(probabilities[some], temperature)[np.arange(len(some)), y[some]]
        return float(
            np.average(-np.log(np.maximum(given, EPSILON)), weights=None if weights is None else weights[some])
        )

    def best(some: np.ndarray) -> float:
        reach = float(np.log(HOTTEST))
        found = minimize_scalar(
            lambda log: loss(some, np.exp(log)), bounds=(-reach, reach), method="bounded", options={"xatol": 1e-6}
        )
        return float(np.exp(found.x))

    gain, se = _gain([loss(here, 1.0) - loss(here, best(others)) for here, others in _parts(folds, rows)], folds)
    return Choice(best(rows), 1.0, gain, se, kept=gain > se)


# --- thresholds -----------------------------------------------------------------------------------------


def candidates_of(shares: np.ndarray) -> np.ndarray:
    """Thresholds between the probabilities of rows, and one beyond either end."""
    values = np.unique(shares)
    between = (values[1:] + values[:-1]) / 2
    if len(between) > MOST_CANDIDATES:
        between = between[np.linspace(0, len(between) - 1, MOST_CANDIDATES).round().astype(int)]
    return np.r_[values[0], between, np.nextafter(values[-1], np.inf)]


def judged(judge: Judge, shares: np.ndarray, rows: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Candidates for the threshold, and how good each is on these rows."""
    candidates = candidates_of(shares[rows])
    with catch_warnings():
        simplefilter("ignore")  # precision and the like are undefined at either end
        return candidates, np.array([judge(rows, shares[rows] >= threshold) for threshold in candidates])


def choose_threshold(
    judge: Judge, shares: np.ndarray, folds: Folds, rows: np.ndarray, usual: float, *, errors: float
) -> tuple[Choice, np.ndarray, np.ndarray]:
    """The threshold that is best on these rows, and all candidates with their scores.

    It is kept where it gains more than so many standard ``errors``: one, where the usual one has a claim to be right.
    """
    with catch_warnings():
        simplefilter("ignore")
        gains = [
            judge(here, shares[here] >= _best(*judged(judge, shares, others))) - judge(here, shares[here] >= usual)
            for here, others in _parts(folds, rows)
        ]
    (gain, se), curve = _gain(gains, folds), judged(judge, shares, rows)
    return Choice(_best(*curve), usual, gain, se, kept=gain > (errors * se if errors else 0.0)), *curve


def _best(candidates: np.ndarray, scores: np.ndarray) -> float:
    """The middle one of those that are best."""
    highest = np.flatnonzero(scores >= scores.max() - EPSILON)
    return float(candidates[highest[len(highest) // 2]])


def threshold_of_costs(costs: np.ndarray) -> float:
    """Above which probability the second class costs less: Elkan (2001), The foundations of cost-sensitive learning."""
    false_alarm, miss = costs[0, 1] - costs[0, 0], costs[1, 0] - costs[1, 1]
    return float(false_alarm / (false_alarm + miss))
