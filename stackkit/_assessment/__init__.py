"""What learners and stacks are worth: scores, intervals, marginal values, diversity.

In: an out-of-fold table. Out: numbers and data frames.
"""

from stackkit._assessment.diversity import Diversity, correlations, diversity
from stackkit._assessment.intervals import corrected_interval
from stackkit._assessment.leaderboard import full_board, score_board
from stackkit._assessment.marginal import STACK, second_level, target_of
from stackkit._assessment.scorers import Answers, Scoring, answers_of, labels_of, make_scoring

__all__ = [
    "STACK",
    "Answers",
    "Diversity",
    "Scoring",
    "answers_of",
    "corrected_interval",
    "correlations",
    "diversity",
    "full_board",
    "labels_of",
    "make_scoring",
    "score_board",
    "second_level",
    "target_of",
]
