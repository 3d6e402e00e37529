"""A stack as the final estimator of another: what the upper level takes over, and whether it is worth keeping."""

from __future__ import annotations

import time
from dataclasses import dataclass, replace
from typing import Any
from warnings import catch_warnings, simplefilter

import numpy as np
import pandas as pd
from sklearn.utils import Bunch

from stackkit._blending import default_final, final_labels, final_probabilities, seen_columns, upper_stack, with_folds
from stackkit._data import Folds, beside, take_rows
from stackkit._execution import seeded
from stackkit._members import Block, Member, fit_member, requested_weights
from stackkit._model.nested import OuterFold, nested_tables
from stackkit._model.plan import Plan
from stackkit._oof import Settings
from stackkit._utils import Summarised, Summary, choice, single_threaded_blas

UPPER = "final_estimator__"  # as scikit-learn's nested parameters spell it
MOST_TRAINED = 10_000  # rows that the check of a level fits learners to
MOST_TESTED = 10_000
LEAST_SHARE = 1e-15  # of a class that got none: scikit-learn's log_loss clips so


# --- what an upper level takes over -------------------------------------------------------------------


def on_level(final: Any, folds: Folds, rows: np.ndarray, settings: Settings) -> Any:
    """Let a stack that is a final estimator go on as the level below does: in place, where it says nothing itself."""
    stack = upper_stack(with_folds(final, folds, rows))
    if stack is not None:
        stack.set_params(**_open_settings(stack, settings))
    return final


def _open_settings(stack: Any, settings: Settings) -> dict[str, Any]:
    limits = settings.limits
    left = None if limits.time_limit is None else max(limits.deadline - time.monotonic(), 1e-3)
    offered = {
        "n_jobs": settings.n_jobs,
        "memory": settings.memory,
        "task_timeout": limits.task_timeout,
        "time_limit": left,
        "max_memory": limits.max_memory,
    }
    taken = {name: value for name, value in offered.items() if getattr(stack, name) is None}
    if settings.on_error == "drop":
        taken["on_error"] = "drop"
    return taken | {"verbose": stack.verbose or settings.verbose}


def upper_failures(final: Any) -> pd.DataFrame | None:
    """Who failed on the levels above, by the names that ``set_params`` knows them by."""
    stack = upper_stack(final)
    return None if stack is None else stack.failures_.assign(learner=UPPER + stack.failures_["learner"].astype(object))


def with_upper_board(board: pd.DataFrame, final: Any, **options: Any) -> pd.DataFrame:
    """The levels above, below the learners of this one; ``level`` counts from 1."""
    board.insert(len(board.columns) - 1, "level", 1)
    stack = upper_stack(final)
    if stack is None:
        return board
    above = stack.leaderboard(full=True, **options)
    above["level"] += 1
    above.index = (UPPER + above.index).rename(board.index.name)
    columns = list(dict.fromkeys([*board.columns[:-2], *above.columns[:-2], "level", "status"]))
    return pd.concat([board, above]).reindex(columns=columns)


# --- is it worth keeping? -----------------------------------------------------------------------------


@dataclass(frozen=True, repr=False)
class LevelCheck(Summarised):
    """What a second level was worth on rows that neither level saw.

    Attributes
    ----------
    kept : bool
        Whether the second level stays.
    metric : str
        "log_loss", "error rate" or "squared error", whose mean over rows is compared; lower is better.
    with_level, without_level : float
        That of the stack with its second level, and that of the blend of the first level that would stand instead.
    difference, se : float
        How much lower it is with the level, and the standard error of that over rows.
    n_rows : int
        Rows held out.
    reason : str
        All this in one sentence.
    """

    kept: bool
    metric: str
    with_level: float
    without_level: float
    difference: float
    se: float
    n_rows: int
    reason: str

    def _summary(self) -> Summary:
        return Summary("LevelCheck", self.reason)


def check_choice(levels: Any) -> bool:
    """Whether the second level has to prove itself."""
    if levels not in (None, "auto"):
        raise choice("levels", "StackingModel", ("auto", None), levels)
    return levels == "auto"


def check_levels(plan: Plan, rows: np.ndarray, settings: Settings) -> tuple[LevelCheck, Plan]:
    """Hold some of the rows out, compare the final estimator with a plain blend of the learners; plan for the better.

    The learners are fitted once more, on some thousand rows at most. The last fold's test rows are held out, the
    latest ones where time counts, and folds of the others make the table. The idea is that of AutoGluon's dynamic
    stacking (its ``DyStack``): out-of-fold scores of a second level are optimistic, for the rows of its table were
    predicted by learners that saw each other's targets.
    """
    without = _first_level_only(plan)
    try:
        with catch_warnings():
            simplefilter("ignore", UserWarning)  # classes of few rows: the fit itself will say so
            fold = _held_out(plan, rows, settings)
    except ValueError as error:
        return _unknown(f"the rows cannot be split twice ({error})"), without
    tables, blocks, _ = nested_tables(plan, [fold], settings)
    made = tables[0], blocks
    metric, loss = _losses(plan, fold, made, settings)
    _, loss_without = _losses(without, fold, made, settings)
    weights = None if plan.weights is None else plan.weights[fold.test]
    if weights is not None and not weights.any():
        return _unknown("the rows that were held out all weigh nothing"), without
    check = _decided(metric, loss, loss_without, type(without.final).__name__, weights)
    return check, plan if check.kept else without


def _first_level_only(plan: Plan) -> Plan:
    final = default_final(plan.target, plan.methods, passthrough=False, mixed_columns=False)
    routed = Bunch(**plan.routed)
    routed.final_estimator = requested_weights(final, plan.weights)
    return replace(plan, final=final, picked=[], routed=routed)


def _held_out(plan: Plan, rows: np.ndarray, settings: Settings) -> OuterFold:
    train, test = (rows[part] for part in plan.folds_of(rows, settings.entropy).pairs[-1])
    rng = np.random.default_rng(settings.entropy)
    pair = _some(train, MOST_TRAINED, rng), _some(test, MOST_TESTED, rng)
    return OuterFold(plan, plan.learners, pair, settings.entropy, refit=False)


def _some(rows: np.ndarray, most: int, rng: np.random.Generator) -> np.ndarray:
    return rows if len(rows) <= most else np.sort(rng.choice(rows, most, replace=False))


def _losses(
    plan: Plan, fold: OuterFold, made: tuple[np.ndarray, dict[str, Block]], settings: Settings
) -> tuple[str, np.ndarray]:
    """Of each row held out, by the plan's final estimator on the table of the others."""
    (table, blocks), target = made, plan.target
    member, features = fit_final(plan, fold.inner_folds(len(table)), fold.covered, table, blocks, settings=settings)
    new, truth = take_rows(features, fold.test), target.values[fold.test]
    if target.n_classes and hasattr(member.estimator, "predict_proba"):
        given = final_probabilities(member, new, target.classes)[np.arange(len(truth)), truth]
        return "log_loss", -np.log(np.maximum(given, LEAST_SHARE))
    predicted = final_labels(member, new, target.classes)
    if target.n_classes:
        return "error rate", (predicted != target.classes[truth]).astype(float)
    wrong = (np.asarray(predicted) - truth).reshape(len(truth), -1) ** 2
    return "squared error", wrong.mean(axis=1)


def fit_final(
    plan: Plan, folds: Folds, rows: np.ndarray, table: np.ndarray, blocks: dict[str, Block], *, settings: Settings
) -> tuple[Member, Any]:
    """The plan's final estimator, fitted on these rows of a table that ``folds`` made, and what it sees of all rows."""
    final = on_level(seeded(plan.final, settings.entropy, "final_estimator", 0), folds, rows, settings)
    codes = np.unique(plan.target.values[rows]) if plan.target.n_classes else np.arange(0)
    features = beside(*seen_columns(final, table, blocks, codes), plan.X, plan.picked, final)
    with settings.listeners.hear_of_final(final), single_threaded_blas():
        return fit_member(final, features, plan.target, rows, plan.routed.final_estimator), features


def _decided(
    metric: str, with_level: np.ndarray, without: np.ndarray, instead: str, weights: np.ndarray | None
) -> LevelCheck:
    gained = without - with_level
    difference, se = weighted_mean(gained, weights)
    mean_with, mean_without = (float(np.average(losses, weights=weights)) for losses in (with_level, without))
    kept = difference > se
    way = "lower" if difference > 0 else "higher"
    told = (
        f"The second level is {'kept' if kept else 'left out'}: on {len(gained)} rows held out its {metric} is "
        f"{mean_with:.4g}, {abs(difference):.2g} {way} than the {mean_without:.4g} of {instead} on the first "
        f"level alone (standard error {se:.2g}; it stays where it is lower by more than that)."
    )
    return LevelCheck(kept, metric, mean_with, mean_without, difference, se, len(gained), told)


def weighted_mean(values: np.ndarray, weights: np.ndarray | None) -> tuple[float, float]:
    """A mean over rows and its standard error, 0 for one row; rows that weigh alike give those without weights."""
    shares = np.full(len(values), 1 / len(values)) if weights is None else weights / weights.sum()
    mean, n_heavy = shares @ values, np.count_nonzero(shares)
    # The linearised variance of a ratio of sums, with n / (n - 1) as for a plain mean.
    variance = ((shares * (values - mean)) ** 2).sum() * n_heavy / max(n_heavy - 1, 1)
    return float(mean), float(np.sqrt(variance))


def _unknown(why: str) -> LevelCheck:
    told = f"The second level is left out: whether it helps cannot be told, for {why}."
    return LevelCheck(False, "unknown", np.nan, np.nan, np.nan, np.nan, 0, told)
