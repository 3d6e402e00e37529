"""What a mean over folds is worth: intervals that allow for folds sharing their training rows."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from scipy.stats import t as student

from stackkit._data import Folds

LEVEL = 0.95


class Interval(NamedTuple):
    """A mean over folds, its standard error, its 95 % interval, and how likely chance alone would be as far from 0."""

    mean: float
    se: float
    low: float
    high: float
    p_value: float


def corrected_interval(values: np.ndarray, folds: Folds) -> Interval:
    """The corrected resampled t-test of Nadeau and Bengio (2003), section 4.2.1: one value per fold.

    Folds are not independent, for their training rows overlap: the variance of the mean is not s^2 / J, but nearer to
    (1 / J + n_test / n_train) s^2. With one fold, or a value that is missing, nothing can be said.

    Nadeau and Bengio (2003), Inference for the generalization error. Machine Learning 52, 239-281.
    """
    values = np.asarray(values, dtype=np.float64)
    mean = float(values.mean())
    if len(values) < 2 or np.isnan(mean):
        return Interval(mean, np.nan, np.nan, np.nan, np.nan)
    ratio = np.mean([len(test) / len(train) for train, test in folds.pairs])
    se = float(values.std(ddof=1) * np.sqrt(1 / len(values) + ratio))
    reach = float(student.ppf((1 + LEVEL) / 2, len(values) - 1)) * se
    if se == 0:
        return Interval(mean, se, mean, mean, float(mean == 0))
    return Interval(mean, se, mean - reach, mean + reach, float(2 * student.sf(abs(mean) / se, len(values) - 1)))
