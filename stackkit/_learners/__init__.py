"""Default learners, and what prepares raw tables for them.

In: a task and a table. Out: unfitted estimators.
"""

from stackkit._learners.adapted import with_adapted_nets
from stackkit._learners.calendar import CalendarColumns
from stackkit._learners.defaults import REPEATS, check_preset, default_learners
from stackkit._learners.preparation import (
    FUNCTIONS,
    CodedPreparation,
    TablePreparation,
    as_frame,
    column_kind,
    scaled_preprocessing,
)

__all__ = [
    "FUNCTIONS",
    "REPEATS",
    "CalendarColumns",
    "CodedPreparation",
    "TablePreparation",
    "as_frame",
    "check_preset",
    "column_kind",
    "default_learners",
    "scaled_preprocessing",
    "with_adapted_nets",
]
