"""What the user gives, checked once: rows, target, learners, folds, weights of classes.

Anything goes in; what comes out is as all other folders expect it.
"""

from stackkit._data.class_weights import check_class_weights, class_weights_coded, with_class_weights_of
from stackkit._data.default_folds import ShuffledFolds
from stackkit._data.estimators import Learners, check_clonable, check_learners, check_methods, infer_task, with_names
from stackkit._data.folds import Folds, SameFolds, TableFolds, make_folds, splitter_of
from stackkit._data.id_names import is_named_like_an_id
from stackkit._data.inner_split import inner_split
from stackkit._data.passthrough import as_features, beside, check_names_differ, picked_columns, position_of
from stackkit._data.raw_tables import COUNT, check_raw_table, raw_rows
from stackkit._data.row_order import warn_of_row_order
from stackkit._data.rows import (
    as_known,
    by_name,
    check_length,
    check_like,
    check_rows,
    is_pandas,
    is_polars,
    named,
    put_together,
    take_rows,
)
from stackkit._data.target import TASKS, Target, TaskName, check_target, check_weights, task_of_target
from stackkit._data.text_dates import date_formats, dates_of
from stackkit._data.text_numbers import (
    MISSING,
    NumberFormat,
    format_of_column,
    nearest_format,
    number_format,
    numbers_of,
    stands_for_missing,
)
from stackkit._data.time_split import TimeOrderSplit

__all__ = [
    "COUNT",
    "MISSING",
    "TASKS",
    "Folds",
    "Learners",
    "NumberFormat",
    "SameFolds",
    "ShuffledFolds",
    "TableFolds",
    "Target",
    "TaskName",
    "TimeOrderSplit",
    "as_features",
    "as_known",
    "beside",
    "by_name",
    "check_class_weights",
    "check_clonable",
    "check_learners",
    "check_length",
    "check_like",
    "check_methods",
    "check_names_differ",
    "check_raw_table",
    "check_rows",
    "check_target",
    "check_weights",
    "class_weights_coded",
    "date_formats",
    "dates_of",
    "format_of_column",
    "infer_task",
    "inner_split",
    "is_named_like_an_id",
    "is_pandas",
    "is_polars",
    "make_folds",
    "named",
    "nearest_format",
    "number_format",
    "numbers_of",
    "picked_columns",
    "position_of",
    "put_together",
    "raw_rows",
    "splitter_of",
    "stands_for_missing",
    "take_rows",
    "task_of_target",
    "warn_of_row_order",
    "with_class_weights_of",
    "with_names",
]
