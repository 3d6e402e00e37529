"""How sure a fitted stack is: intervals, sets of classes, doubt, calibrated probabilities, thresholds.

In: a fitted stack. Out: estimators made of it, for new rows. No learner is fitted again.
"""

from stackkit.uncertainty._conformal import ConformalClassifier, ConformalRegressor, conformal
from stackkit.uncertainty._spread import spread
from stackkit.uncertainty._temperature import TemperatureClassifier, scale_temperature
from stackkit.uncertainty._threshold import ThresholdClassifier, tune_threshold

__all__ = [
    "ConformalClassifier",
    "ConformalRegressor",
    "TemperatureClassifier",
    "ThresholdClassifier",
    "conformal",
    "scale_temperature",
    "spread",
    "tune_threshold",
]
