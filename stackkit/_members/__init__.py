"""One learner fitted on some rows, and its predictions as checked columns.

In: a learner, rows and a target. Out: a fitted `Member`, and columns of the out-of-fold table.
"""

from stackkit._members.blocks import Block, make_blocks
from stackkit._members.fast_predict import FEW_ROWS, in_steps
from stackkit._members.fit_params import (
    asking,
    group_params,
    last_step,
    requested_weights,
    routed_params,
    rows_of_params,
    weight_params,
)
from stackkit._members.fitting import (
    Member,
    fit_member,
    fit_members_at_once,
    is_prefit,
    speaks_for,
    trains_folds_together,
)
from stackkit._members.packed_forests import JointForests, joint_forests
from stackkit._members.predicting import as_columns, one_column, own_copy, predict_block, settle

__all__ = [
    "FEW_ROWS",
    "Block",
    "JointForests",
    "Member",
    "as_columns",
    "asking",
    "fit_member",
    "fit_members_at_once",
    "group_params",
    "in_steps",
    "is_prefit",
    "joint_forests",
    "last_step",
    "make_blocks",
    "one_column",
    "own_copy",
    "predict_block",
    "requested_weights",
    "routed_params",
    "rows_of_params",
    "settle",
    "speaks_for",
    "trains_folds_together",
    "weight_params",
]
