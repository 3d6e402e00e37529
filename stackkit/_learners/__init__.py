"""Default learners, and what prepares raw tables for them.

In: a task and a table. Out: unfitted estimators.
"""

from stackkit._learners.adapted import with_adapted_nets
from stackkit._learners.bayes import SmoothedNB
from stackkit._learners.calendar import CalendarColumns
from stackkit._learners.covariance import ShrunkCovariance
from stackkit._learners.defaults import REPEATS, check_preset, default_learners
from stackkit._learners.frames import as_frame
from stackkit._learners.number_columns import NumberColumns, parts_of_format
from stackkit._learners.preparation import (
    FUNCTIONS,
    CodedPreparation,
    TablePreparation,
    column_kind,
    prepares_tables,
    scaled_preprocessing,
)

__all__ = [
    "FUNCTIONS",
    "REPEATS",
    "CalendarColumns",
    "CodedPreparation",
    "NumberColumns",
    "ShrunkCovariance",
    "SmoothedNB",
    "TablePreparation",
    "as_frame",
    "check_preset",
    "column_kind",
    "default_learners",
    "parts_of_format",
    "prepares_tables",
    "scaled_preprocessing",
    "with_adapted_nets",
]
