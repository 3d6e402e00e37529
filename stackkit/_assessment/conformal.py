"""Conformal prediction from scores of rows that the models did not see: bounds of numbers, p-values of classes.

In: for each part of the training rows, the models that did not see them, what these predict for new rows, and the
scores of the rows. CV+ and jackknife+ are the same sum over rows; they differ in how many rows a part has.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import numpy as np

ROUNDING = 1e-9  # of a sum of weights: 0.9 x 10 rows are 9 rows, whatever the last bit says
MOST_VALUES = 4_000_000  # that are held at once


@dataclass(frozen=True)
class Scores:
    """Of each part, scores of its rows and their weights, of which the mean over all is 1.

    A new row weighs 1, as the mean row does.
    """

    scores: list[np.ndarray]
    weights: list[np.ndarray]

    @property
    def total(self) -> float:
        """The weight of all rows and the new one."""
        return sum(float(part.sum()) for part in self.weights) + 1


def scores_of(parts: Sequence[np.ndarray], scores: np.ndarray, weights: np.ndarray | None, among: np.ndarray) -> Scores:
    """The scores of the rows of each part that are ``among`` those asked for, without those that weigh nothing."""
    weights = np.ones(len(scores)) if weights is None else weights
    asked = among & (weights > 0)
    mean = weights[asked].mean() if asked.any() else 1.0
    rows = [part[asked[part]] for part in parts]
    return Scores([scores[part] for part in rows], [weights[part] / mean for part in rows])


# --- numbers --------------------------------------------------------------------------------------------


def bounds(centres: Sequence[np.ndarray], errors: Scores, confidence: float) -> np.ndarray:
    """Lower and upper bound of each new row, shape (n_new, 2); infinite where the rows are too few.

    ``centres`` are what the stack of each part predicts for the new rows. Barber, Candes, Ramdas and Tibshirani (2021),
    Predictive inference with the jackknife+. Where the two cross, both are the middle.
    """
    weights, least = np.concatenate(errors.weights), confidence * errors.total
    found = np.empty((len(centres[0]), 2))
    step = max(1, MOST_VALUES // max(1, len(weights)))
    for start in range(0, len(found), step):
        some = slice(start, start + step)
        middle = [centre[some, np.newaxis] for centre in centres]
        upper = np.hstack([c + e for c, e in zip(middle, errors.scores, strict=True)])
        lower = np.hstack([e - c for c, e in zip(middle, errors.scores, strict=True)])
        found[some, 1] = _reached(upper, weights, least)
        found[some, 0] = -_reached(lower, weights, least)
    crossed = found[:, 0] > found[:, 1]
    found[crossed] = found[crossed].mean(axis=1, keepdims=True)
    return found


def _reached(values: np.ndarray, weights: np.ndarray, least: float) -> np.ndarray:
    """In each row the smallest value at which the weights of those up to it sum to ``least``, or infinity."""
    n = values.shape[1]
    if (weights == 1).all():  # the same without sorting
        place = max(int(np.ceil(least - ROUNDING)), 1) - 1
        return np.partition(values, place, axis=1)[:, place] if place < n else np.full(len(values), np.inf)
    order = np.argsort(values, axis=1)
    enough = np.cumsum(weights[order], axis=1) >= least - ROUNDING
    place = enough.argmax(axis=1)
    smallest = np.take_along_axis(values, np.take_along_axis(order, place[:, np.newaxis], 1), 1)[:, 0]
    return np.where(enough.any(axis=1), smallest, np.inf)


def bounds_in_time(
    centres: Sequence[np.ndarray], errors: Scores, y: np.ndarray, confidence: float, step: float
) -> np.ndarray:
    """Bounds of rows that come one after the other, wider after misses: each depends on the targets before it alone.

    Gibbs and Candes (2021), Adaptive conformal inference under distribution shift.
    """
    found, level = np.empty((len(y), 2)), confidence
    for row in range(len(y)):
        here = [centre[row : row + 1] for centre in centres]
        found[row] = bounds(here, errors, level)[0]
        missed = not found[row, 0] <= y[row] <= found[row, 1]
        level += step * (missed - (1 - confidence))
    return found


# --- classes --------------------------------------------------------------------------------------------


def lac_scores(probabilities: np.ndarray) -> np.ndarray:
    """Of each row and class: what the class lacks to certainty.

    Sadinle, Lei and Wasserman (2019), Least ambiguous set-valued classifiers with bounded error levels.
    """
    return 1 - probabilities


def aps_scores(probabilities: np.ndarray, draws: np.ndarray) -> np.ndarray:
    """Of each row and class: the probability of all likelier classes, and a share of its own, by a draw a row.

    Romano, Sesia and Candes (2020), Classification with valid and adaptive coverage. Without the draws,
    sets of classifiers that are often certain would be too large.
    """
    order = np.argsort(-probabilities, axis=1, kind="stable")
    sorted_ = np.take_along_axis(probabilities, order, 1)
    likelier = np.cumsum(sorted_, axis=1) - sorted_
    found = np.empty_like(probabilities)
    np.put_along_axis(found, order, likelier + draws[:, np.newaxis] * sorted_, 1)
    return found


def p_values(new: Iterable[np.ndarray], known: Scores) -> np.ndarray:
    """Of each new row and class: the share of rows, the new one included, that conform no better than it would.

    ``new`` are the scores of the new rows by the stack of each part, shape (n_new, n_classes). A set of confidence c
    has the classes whose p-value is above 1 - c: for equal weights these are the sets of CV+ of Romano et al. (2020).
    """
    better: list[np.ndarray] = []
    for of_part, scores, weights in zip(new, known.scores, known.weights, strict=True):
        order = np.argsort(scores)
        sums = np.r_[0, np.cumsum(weights[order])]
        better.append(sums[np.searchsorted(scores[order], of_part, side="left")])
    found: np.ndarray = 1 - np.sum(better, axis=0) / known.total
    return found


def sets_of(values: np.ndarray, confidence: float) -> np.ndarray:
    """Which classes are in the set of each row."""
    found: np.ndarray = values > 1 - confidence + ROUNDING
    return found
