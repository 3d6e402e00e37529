"""What each learner and the stack are worth: scores, cost, weight, and what the stack would lose without a learner."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pandas as pd

from stackkit._assessment.intervals import corrected_interval
from stackkit._assessment.legend import GREATER_IS_BETTER, legend_of, metrics_of
from stackkit._assessment.marginal import STACK, marginal_values, second_level, second_level_folds, target_of
from stackkit._blending import BLENDS
from stackkit._data import Folds
from stackkit._execution import ALL_ROWS
from stackkit._oof import METRICS, OutOfFold
from stackkit._utils import choice

# An interval by Student's t does not know where a score ends.
BOUNDS = {"log_loss": (0.0, np.inf), "accuracy": (0.0, 1.0), "rmse": (0.0, np.inf), "r2": (-np.inf, 1.0)}
OUTER = {"score": "outer", "low": "outer_low", "high": "outer_high"}
SECONDS = ("fit_seconds", "predict_seconds")


def score_board(oof: OutOfFold) -> pd.DataFrame:
    """Scores and cost of each learner, the best first."""
    board = _scores(oof)
    for seconds in SECONDS:
        board[seconds] = oof.scores.groupby(level="learner", sort=False)[seconds].sum(min_count=1)
    # Log-loss and rmse: lower is better. Learners without probabilities come last.
    return board.sort_values(METRICS[target_of(oof).task][0], na_position="last", kind="stable")


def _scores(oof: OutOfFold) -> pd.DataFrame:
    by_learner = oof.scores.groupby(level="learner", sort=False)
    board = pd.DataFrame(index=pd.Index(list(oof.blocks), name="learner"))
    for metric in METRICS[target_of(oof).task]:
        board[metric] = by_learner[metric].mean()
        board[f"{metric}_std"] = by_learner[metric].std()
        intervals = {name: _interval(scores, oof.folds) for name, scores in by_learner[metric]}
        board[f"{metric}_low"] = {name: low for name, (low, _) in intervals.items()}
        board[f"{metric}_high"] = {name: high for name, (_, high) in intervals.items()}
    return board


def _interval(scores: pd.Series, folds: Folds) -> tuple[float, float]:
    values = scores.to_numpy()
    if len(known := np.flatnonzero(~np.isnan(values))):  # without folds whose rows all weigh zero
        values, folds = values[known], replace(folds, pairs=tuple(folds.pairs[fold] for fold in known))
    interval = corrected_interval(values, folds)
    low, high = np.clip([interval.low, interval.high], *BOUNDS[str(scores.name)])
    return float(low), float(high)


def full_board(
    oof: OutOfFold, final: Any, *, passthrough: bool, nested: Any, marginal: bool | str, n_jobs: int | None
) -> pd.DataFrame:
    """The stack, then its learners, the best first, with all that only the fitted stack knows."""
    if marginal not in (True, False, "auto"):
        raise choice("marginal", "leaderboard", ("auto", True, False), marginal)
    board = score_board(oof)
    if isinstance(final, BLENDS):
        board["weight"] = pd.Series(final.weights_, index=list(oof.blocks))
    board["marginal"] = np.nan
    if (_is_quick(final) if marginal == "auto" else marginal) and not passthrough:
        board["marginal"] = marginal_values(final, oof, n_jobs=n_jobs)
    board["status"] = "ok"
    board = _with_stack(board, oof, final, passthrough=passthrough, slow_too=marginal is True, n_jobs=n_jobs)
    if nested is not None:
        board = _with_outer(board, nested)
    for failure in oof.failures.drop_duplicates("learner").itertuples():
        where = "its refit" if failure.fold == ALL_ROWS else f"fold {failure.fold}"
        board.loc[failure.learner, "status"] = f"failed in {where}, {failure.stage}: {failure.error}"
    return board


def _is_quick(final: Any) -> bool:
    """Some hundred fits of these take seconds; of a forest or of another stack, for ever."""
    return isinstance(final, BLENDS) or hasattr(final, "coef_")


def _with_outer(board: pd.DataFrame, nested: Any) -> pd.DataFrame:
    if not hasattr(nested, "table"):
        raise TypeError(
            f"The 'nested' parameter of leaderboard must be what nested_scores gave, or None; got {nested!r}."
        )
    outer = nested.table[list(OUTER)].rename(columns=OUTER, index={STACK: board.index[0]})
    board = board.join(outer)
    return board[[*board.columns.drop("status"), "status"]]


# --- the stack's own row --------------------------------------------------------------------------------


def stack_label(oof: OutOfFold) -> str:
    """Of its row; a learner may have that name."""
    return STACK if STACK not in oof.blocks else f"the {STACK}"


def stack_scores(
    final: Any, oof: OutOfFold, *, passthrough: bool, slow_too: bool = False, n_jobs: int | None = None
) -> tuple[pd.Series | None, str]:
    """By the columns of a board, from the final estimator cross-fitted on the table, and "ok"; or None, and why not."""
    if passthrough:
        return None, "no score: passthrough"  # the table is not all that the final estimator needs
    if not (slow_too or _is_quick(final)):
        return None, f"no score: {type(final).__name__} is slow"
    try:
        second_level_folds(final, oof)
    except ValueError:
        return None, "no score: too few folds"
    try:
        stack = second_level(final, oof, n_jobs=n_jobs)
    except Exception as error:  # noqa: BLE001 - a final estimator may refuse in any way it likes
        return None, f"no score: {type(error).__name__}: {error}"
    tested, known = int(stack.covered.sum()), int(oof.covered.sum())
    return _scores(stack).iloc[0], "ok" if tested == known else f"scored on {tested:,} of {known:,} rows"


def _with_stack(board: pd.DataFrame, oof: OutOfFold, final: Any, **options: Any) -> pd.DataFrame:
    label = stack_label(oof)
    scores, status = stack_scores(final, oof, **options)
    seconds = board[list(SECONDS)].sum(min_count=1)
    board = board.reindex(pd.Index([label, *board.index], name="learner"))
    if scores is not None:
        board.loc[label, scores.index] = scores
    board.loc[label, seconds.index] = seconds
    board.loc[label, "status"] = status
    return board


def ranked(board: pd.DataFrame, metric: str, *, greater_is_better: bool) -> pd.DataFrame:
    """The stack first, whatever it scores; then the learners, the best first."""
    learners = board.iloc[1:].sort_values(metric, ascending=not greater_is_better, na_position="last", kind="stable")
    ordered = pd.concat([board.iloc[:1], learners])
    ordered.attrs = board.attrs
    return ordered


# --- what is shown --------------------------------------------------------------------------------------


def shown_board(board: pd.DataFrame, final: Any, *, full: bool, caveat: str = "") -> pd.DataFrame:
    """All columns, or those to look at first, with a legend in ``attrs``, which ends in the ``caveat``."""
    shown = board if full else board[_main_columns(board)]
    shown.attrs["greater_is_better"] = {metric: way for metric, way in GREATER_IS_BETTER.items() if metric in board}
    shown.attrs["legend"] = legend_of(board, final, caveat)
    return shown


def _main_columns(board: pd.DataFrame) -> list[str]:
    """What fits 80 characters, to which pandas cuts a table in a script, beside names of some 15."""
    first, second = metrics_of(board)
    scores = [first, *OUTER.values()] if "outer" in board else [first, second]
    cost = [] if "outer" in board else ["fit_seconds"]
    level = ["level"] if board["level"].max() > 1 else []
    status = [] if (board["status"] == "ok").all() else ["status"]
    wanted = [*scores, "weight", "marginal", *cost, *level, *status]
    return [column for column in wanted if column in board]
