"""What learners and stacks are worth: scores, intervals, marginal values, diversity.

In: an out-of-fold table. Out: numbers and data frames.
"""

from stackkit._assessment.diversity import Diversity, correlations, diversity
from stackkit._assessment.intervals import corrected_interval
from stackkit._assessment.leaderboard import (
    full_board,
    ranked,
    score_board,
    shown_board,
    stack_label,
    stack_scores,
)
from stackkit._assessment.legend import better
from stackkit._assessment.marginal import STACK, second_level, target_of
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
    "Diversity",
    "Evidence",
    "Outcome",
    "Scoring",
    "answers_of",
    "better",
    "column_names",
    "constant_answers",
    "corrected_interval",
    "correlations",
    "diversity",
    "features_of",
    "full_board",
    "importances_of",
    "labels_of",
    "make_scoring",
    "margin_of",
    "ranked",
    "score_board",
    "second_level",
    "shown_board",
    "stack_label",
    "stack_scores",
    "table_of_fit",
    "target_of",
    "who_is_best",
]
