"""What learners and stacks are worth: scores, intervals, marginal values, diversity.

In: an out-of-fold table. Out: numbers and data frames.
"""

from stackkit._assessment.conformal import (
    Scores,
    aps_scores,
    bounds,
    bounds_in_time,
    lac_scores,
    p_values,
    scores_of,
    sets_of,
)
from stackkit._assessment.decisions import (
    Choice,
    Judge,
    choose_temperature,
    choose_threshold,
    tempered,
    threshold_of_costs,
)
from stackkit._assessment.diversity import Diversity, correlations, diversity
from stackkit._assessment.fold_stacks import FoldStacks, check_rows_of_fit, fold_stacks, with_one_final
from stackkit._assessment.intervals import corrected_interval
from stackkit._assessment.label_issues import label_doubts
from stackkit._assessment.leaderboard import (
    full_board,
    ranked,
    score_board,
    shown_board,
    stack_label,
    stack_scores,
)
from stackkit._assessment.legend import better
from stackkit._assessment.marginal import STACK, block_of_stack, second_level, target_of
from stackkit._assessment.permutation import column_names, features_of, importances_of, table_of_fit
from stackkit._assessment.scorers import (
    Answers,
    Scoring,
    answers_of,
    constant_answers,
    labels_of,
    make_scoring,
)
from stackkit._assessment.verdict import BEST, MEAN, Evidence, Outcome, margin_of, who_is_best

__all__ = [
    "BEST",
    "MEAN",
    "STACK",
    "Answers",
    "Choice",
    "Diversity",
    "Evidence",
    "FoldStacks",
    "Judge",
    "Outcome",
    "Scores",
    "Scoring",
    "answers_of",
    "aps_scores",
    "better",
    "block_of_stack",
    "bounds",
    "bounds_in_time",
    "check_rows_of_fit",
    "choose_temperature",
    "choose_threshold",
    "column_names",
    "constant_answers",
    "corrected_interval",
    "correlations",
    "diversity",
    "features_of",
    "fold_stacks",
    "full_board",
    "importances_of",
    "label_doubts",
    "labels_of",
    "lac_scores",
    "make_scoring",
    "margin_of",
    "p_values",
    "ranked",
    "score_board",
    "scores_of",
    "second_level",
    "sets_of",
    "shown_board",
    "stack_label",
    "stack_scores",
    "table_of_fit",
    "target_of",
    "tempered",
    "threshold_of_costs",
    "who_is_best",
    "with_one_final",
]
