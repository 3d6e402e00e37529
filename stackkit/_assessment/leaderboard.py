"""What each learner is worth: its out-of-fold scores, cost, weight, and what the stack would lose without it."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pandas as pd

from stackkit._assessment.intervals import corrected_interval
from stackkit._assessment.marginal import marginal_values, target_of
from stackkit._blending import BLENDS
from stackkit._data import Folds
from stackkit._execution import ALL_ROWS
from stackkit._oof import METRICS, OutOfFold
from stackkit._utils import choice

# An interval by Student's t does not know where a score ends.
BOUNDS = {"log_loss": (0.0, np.inf), "accuracy": (0.0, 1.0), "rmse": (0.0, np.inf), "r2": (-np.inf, 1.0)}
OUTER = {"score": "outer", "low": "outer_low", "high": "outer_high"}


def score_board(oof: OutOfFold) -> pd.DataFrame:
    """Scores and cost of each learner, the best first."""
    metrics = METRICS[target_of(oof).task]
    by_learner = oof.scores.groupby(level="learner", sort=False)
    board = pd.DataFrame(index=pd.Index(list(oof.blocks), name="learner"))
    for metric in metrics:
        board[metric] = by_learner[metric].mean()
        board[f"{metric}_std"] = by_learner[metric].std()
        intervals = {name: _interval(scores, oof.folds) for name, scores in by_learner[metric]}
        board[f"{metric}_low"] = {name: low for name, (low, _) in intervals.items()}
        board[f"{metric}_high"] = {name: high for name, (_, high) in intervals.items()}
    for seconds in ("fit_seconds", "predict_seconds"):
        board[seconds] = by_learner[seconds].sum()
    # Log-loss and rmse: lower is better. Learners without probabilities come last.
    return board.sort_values(metrics[0], na_position="last", kind="stable")


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
    """The learners' scores with all that only the fitted stack knows."""
    board = score_board(oof)
    if isinstance(final, BLENDS):
        board["weight"] = pd.Series(final.weights_, index=list(oof.blocks))
    board["marginal"] = np.nan
    if _wants_marginal(marginal, final) and not passthrough:
        board["marginal"] = marginal_values(final, oof, n_jobs=n_jobs)
    if nested is not None:
        if not hasattr(nested, "table"):
            raise TypeError(
                f"The 'nested' parameter of leaderboard must be what nested_scores gave, or None; got {nested!r}."
            )
        board = board.join(nested.table[list(OUTER)].rename(columns=OUTER))
    board["status"] = "ok"
    for failure in oof.failures.drop_duplicates("learner").itertuples():
        where = "its refit" if failure.fold == ALL_ROWS else f"fold {failure.fold}"
        board.loc[failure.learner, "status"] = f"failed in {where}, {failure.stage}: {failure.error}"
    return board


def _wants_marginal(marginal: bool | str, final: Any) -> bool:
    if marginal not in (True, False, "auto"):
        raise choice("marginal", "leaderboard", ("auto", True, False), marginal)
    # Some hundred fits of these take seconds; of a forest or of another stack, for ever.
    return isinstance(final, BLENDS) or hasattr(final, "coef_") if marginal == "auto" else bool(marginal)
