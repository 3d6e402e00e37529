"""The out-of-fold table: each training row predicted by models that never saw it.

In: learners, rows, folds. Out: `OutOfFold`, and the fitted members.
"""

from stackkit._oof.cross_fit import cross_fit
from stackkit._oof.engine import CrossFitted, fold_members_again, refit_members, run_cross_fit, warn_of_missing_classes
from stackkit._oof.failures import handle_failures
from stackkit._oof.given import ROUNDED, columns_of_classes
from stackkit._oof.scores import LOWER_IS_BETTER, METRIC_NAMES, METRICS, score
from stackkit._oof.settings import Settings, learner_params, settings_of, split_seed
from stackkit._oof.table import OutOfFold, close_gaps

__all__ = [
    "LOWER_IS_BETTER",
    "METRICS",
    "METRIC_NAMES",
    "ROUNDED",
    "CrossFitted",
    "OutOfFold",
    "Settings",
    "close_gaps",
    "columns_of_classes",
    "cross_fit",
    "fold_members_again",
    "handle_failures",
    "learner_params",
    "refit_members",
    "run_cross_fit",
    "score",
    "settings_of",
    "split_seed",
    "warn_of_missing_classes",
]
