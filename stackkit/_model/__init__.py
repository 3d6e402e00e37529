"""`StackingModel`: plan, levels, nested folds, prediction, the compact form for production.

In: rows and a target. Out: a fitted model, and its predictions for new rows.
"""

from stackkit._model.compact import CompactModel
from stackkit._model.fit import checks_levels
from stackkit._model.kernel_values import KernelValues
from stackkit._model.learner_predictor import LearnerPredictor
from stackkit._model.levels import LevelCheck, check_levels, fit_final
from stackkit._model.nested import OuterFold, nested_tables
from stackkit._model.parameters import is_prefit_cv, known_task, learners_for, settings_for
from stackkit._model.plan import Plan, make_plan
from stackkit._model.predictor import Predictor, new_rows_of
from stackkit._model.shared_preparation import ColumnSteps, Levels, SplitPreparation, Words
from stackkit._model.stackers import StackingClassifier, StackingRegressor
from stackkit._model.stacking import StackingModel

__all__ = [
    "ColumnSteps",
    "CompactModel",
    "KernelValues",
    "LearnerPredictor",
    "LevelCheck",
    "Levels",
    "OuterFold",
    "Plan",
    "Predictor",
    "SplitPreparation",
    "StackingClassifier",
    "StackingModel",
    "StackingRegressor",
    "Words",
    "check_levels",
    "checks_levels",
    "fit_final",
    "is_prefit_cv",
    "known_task",
    "learners_for",
    "make_plan",
    "nested_tables",
    "new_rows_of",
    "settings_for",
]
