"""Stacked generalisation behind scikit-learn's contract: out-of-fold, leak-free, fast."""

from stackkit._blend import ConvexClassifier, ConvexRegressor, LogPoolClassifier
from stackkit._learners import default_learners
from stackkit._oof import OutOfFold, cross_fit
from stackkit._selection import EnsembleSelectionClassifier, EnsembleSelectionRegressor
from stackkit._stacking import StackingModel

__all__ = [
    "ConvexClassifier",
    "ConvexRegressor",
    "EnsembleSelectionClassifier",
    "EnsembleSelectionRegressor",
    "LogPoolClassifier",
    "OutOfFold",
    "StackingModel",
    "cross_fit",
    "default_learners",
]
