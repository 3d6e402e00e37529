"""Pictures of a stack and of its out-of-fold table, after scikit-learn's Display classes.

Each class is made by `from_estimator` (a fitted :class:`~stackkit.StackingModel`) or `from_oof` (what
:func:`~stackkit.cross_fit` returns), keeps the numbers that it shows, and draws them by `plot`: into ``ax``, in the
style of keyword arguments that go to the main artists. Colours are told apart by colour-blind people, and shapes differ
too; text can be read on white and on black.
"""

from stackkit.plots._correlation import CorrelationDisplay
from stackkit.plots._curves import LearningCurvesDisplay

# What the report draws by itself looks the same.
from stackkit.plots._drawing import GREY as GREY
from stackkit.plots._drawing import INK as INK
from stackkit.plots._drawing import STACK_STYLE as STACK_STYLE
from stackkit.plots._drawing import STYLES as STYLES
from stackkit.plots._drawing import as_drawn as as_drawn
from stackkit.plots._drawing import finish as finish
from stackkit.plots._drawing import legend_above as legend_above
from stackkit.plots._hardest import HardestRowsDisplay
from stackkit.plots._leaderboard import LeaderboardDisplay
from stackkit.plots._reliability import ReliabilityDisplay
from stackkit.plots._weights import WeightsDisplay

__all__ = [
    "CorrelationDisplay",
    "HardestRowsDisplay",
    "LeaderboardDisplay",
    "LearningCurvesDisplay",
    "ReliabilityDisplay",
    "WeightsDisplay",
]
