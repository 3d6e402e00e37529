"""Meta-learners that give one weight to a learner, and the choice of the final estimator.

In: the out-of-fold table. Out: an estimator that predicts from such tables.
"""

from stackkit._blending.checks import is_integer
from stackkit._blending.convex import ConvexClassifier, ConvexRegressor
from stackkit._blending.final_estimator import (
    BLENDS,
    LabelLogisticRegression,
    check_final,
    check_takes_folds,
    check_usable,
    default_blend,
    default_final,
    final_labels,
    final_probabilities,
    final_scores,
    seen_columns,
    takes_folds,
    upper_stack,
    warn_of_constant_labels,
    with_folds,
)
from stackkit._blending.pools import LinearPoolRegressor, LogPoolClassifier
from stackkit._blending.ridge_pool import RidgePoolRegressor
from stackkit._blending.selection import EnsembleSelectionClassifier, EnsembleSelectionRegressor

__all__ = [
    "BLENDS",
    "ConvexClassifier",
    "ConvexRegressor",
    "EnsembleSelectionClassifier",
    "EnsembleSelectionRegressor",
    "LabelLogisticRegression",
    "LinearPoolRegressor",
    "LogPoolClassifier",
    "RidgePoolRegressor",
    "check_final",
    "check_takes_folds",
    "check_usable",
    "default_blend",
    "default_final",
    "final_labels",
    "final_probabilities",
    "final_scores",
    "is_integer",
    "seen_columns",
    "takes_folds",
    "upper_stack",
    "warn_of_constant_labels",
    "with_folds",
]
