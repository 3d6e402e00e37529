"""Default learners, and what prepares raw tables for them.

In: a task and a table. Out: unfitted estimators.
"""

from stackkit._learners.adapted import with_adapted_nets
from stackkit._learners.bayes import SmoothedNB
from stackkit._learners.calendar import CalendarColumns, days_of, is_duration
from stackkit._learners.covariance import ShrunkCovariance
from stackkit._learners.defaults import default_learners, known_names, learners_named, portfolio_for
from stackkit._learners.frames import as_frame
from stackkit._learners.given import GivenNumbers, GivenProbabilities
from stackkit._learners.kernel_map import KernelMap
from stackkit._learners.number_columns import LARGEST, NumberColumns, parts_of_format
from stackkit._learners.portfolio import STARTING, Portfolio, check_preset
from stackkit._learners.preparation import (
    FUNCTIONS,
    MOST_DEVIATIONS,
    CodedPreparation,
    TablePreparation,
    column_kind,
    prepares_tables,
    scaled_preprocessing,
)

__all__ = [
    "FUNCTIONS",
    "LARGEST",
    "MOST_DEVIATIONS",
    "STARTING",
    "CalendarColumns",
    "CodedPreparation",
    "GivenNumbers",
    "GivenProbabilities",
    "KernelMap",
    "NumberColumns",
    "Portfolio",
    "ShrunkCovariance",
    "SmoothedNB",
    "TablePreparation",
    "as_frame",
    "check_preset",
    "column_kind",
    "days_of",
    "default_learners",
    "is_duration",
    "known_names",
    "learners_named",
    "parts_of_format",
    "portfolio_for",
    "prepares_tables",
    "scaled_preprocessing",
    "with_adapted_nets",
]
