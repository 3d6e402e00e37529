"""What learners and stacks are worth: scores, intervals, marginal values, diversity.

In: an out-of-fold table. Out: numbers and data frames.
"""

from stackkit._assessment.diversity import Diversity, correlations, diversity
from stackkit._assessment.intervals import corrected_interval
from stackkit._assessment.leaderboard import full_board, score_board
from stackkit._assessment.marginal import STACK, second_level, target_of
from stackkit._assessment.scorers import (
    Answers,
    Scoring,
    answers_of,
    constant_answers,
    labels_of,
    make_scoring,
)
from stackkit._assessment.verdict import BEST, MEAN, Evidence, Outcome, counted, margin_of

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
    "constant_answers",
    "corrected_interval",
    "correlations",
    "counted",
    "diversity",
    "full_board",
    "labels_of",
    "make_scoring",
    "margin_of",
    "score_board",
    "second_level",
    "target_of",
]
