"""What the columns of a leaderboard mean, in sentences to stand below it."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd

from stackkit._blending import BLENDS, LinearPoolRegressor, LogPoolClassifier, RidgePoolRegressor, upper_stack
from stackkit._oof import METRICS

GREATER_IS_BETTER = {"log_loss": False, "accuracy": True, "rmse": False, "r2": True}


def legend_of(board: pd.DataFrame, final: Any, caveat: str = "") -> list[str]:
    """A sentence or two for each kind of column that is there; ``final`` is the fitted final estimator.

    ``caveat`` is what has to be taken on trust, where the learners' predictions were given.
    """
    lines = [
        _scores(board, given=bool(caveat)),
        _of_given(board) if caveat else _stack(board),
        "" if caveat else _outer(board),
        _weights(board, final),
        _marginal(board, final),
        _level(board),
        caveat,
    ]
    return [line for line in lines if line]


def better(greater_is_better: bool) -> str:
    return f"{'higher' if greater_is_better else 'lower'} is better"


def metrics_of(board: pd.DataFrame) -> tuple[str, str]:
    return next(pair for pair in METRICS.values() if pair[0] in board)


def _scores(board: pd.DataFrame, *, given: bool) -> str:
    ways = "; ".join(
        f"{metric}: {better(GREATER_IS_BETTER[metric])}" for metric in metrics_of(board) if metric in board
    )
    return f"{ways}. Means over the folds{'' if given else ', of rows that the learner did not see'}."


def _stack(board: pd.DataFrame) -> str:
    if board[list(metrics_of(board))].iloc[0].isna().all():
        return ""
    return (
        f"{board.index[0]}: the final estimator, cross-fitted on the learners' out-of-fold predictions. Slightly "
        "optimistic, because these come from learners that were trained on each other's test rows; nested scores are "
        "free of that."
    )


def _of_given(board: pd.DataFrame) -> str:
    outer = " outer: the same on outer folds." if "outer" in board else ""
    return (
        f"{board.index[0]}: the final estimator, cross-fitted on the predictions that were given: it learned from the "
        f"targets of other rows than those that it predicts.{outer}"
    )


def _outer(board: pd.DataFrame) -> str:
    return "outer: the nested score, on outer folds that nothing was learned from." if "outer" in board else ""


def _weights(board: pd.DataFrame, final: Any) -> str:
    if "weight" not in board:
        return ""
    stack = upper_stack(final)
    blend = final if stack is None else stack.final_estimator_
    if not isinstance(blend, BLENDS):
        return "weight: what the learner counts in the final estimator of its level; 0: it is not used."
    total = f"{np.sum(blend.weights_):.2f}"
    if isinstance(blend, LogPoolClassifier):
        return (
            "weight: the power to which the pool raises the learner's probabilities; 0: it is not used. The weights "
            f"sum to {total}: 1 would be an average, above 1 the pool is more certain than its learners are on "
            "average, below 1 less certain."
        )
    if isinstance(blend, LinearPoolRegressor | RidgePoolRegressor):
        below = "; below 0: it takes out an error that others share with it" * bool(np.min(blend.weights_) < 0)
        return (
            f"weight: what the learner's prediction is multiplied by; 0: it is not used{below}. The weights sum to "
            f"{total}: 1 would be an average, above 1 the pool stretches it, below 1 it shrinks it."
        )
    return "weight: the learner's share in the average; 0: it is not used. The weights sum to 1."


def _marginal(board: pd.DataFrame, final: Any) -> str:
    if "marginal" not in board or board["marginal"].isna().all():
        return ""
    metric, fallback = metrics_of(board)
    used = fallback if metric == "log_loss" and not hasattr(final, "predict_proba") else metric
    return (
        f"marginal: by how much the stack's {used} gets worse without the learner. Above 0: it is of use; around 0: "
        "the others make up for it."
    )


def _level(board: pd.DataFrame) -> str:
    if "level" not in board or board["level"].max() == 1:
        return ""
    return "level: 1 for the learners, 2 for those of the stack on top of them, and so on."
