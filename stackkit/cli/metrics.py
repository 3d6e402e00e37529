"""The metric that a command line asks for: a scorer of scikit-learn, also by the name that our tables have for it."""

from __future__ import annotations

import re
from typing import Any
from warnings import warn

import numpy as np
import pandas as pd
from sklearn.metrics import get_scorer_names

from stackkit._assessment import STACK, Scoring, answers_of, better, labels_of, make_scoring, ranked, second_level
from stackkit._oof import METRICS
from stackkit.cli.problem import Problem
from stackkit.cli.tables import guess_or_options

# Scorers for numbers; codes of classes are numbers to them.
OF_NUMBERS = re.compile(r"r2|explained_variance|d2_(absolute|pinball|tweedie).*|.*(error|deviance)")
SUCH_AS = {"classification": "'log_loss', 'accuracy' or 'roc_auc'", "regression": "'rmse', 'mae' or 'r2'"}
SHORT = {
    "rmse": "neg_root_mean_squared_error",
    "mse": "neg_mean_squared_error",
    "mae": "neg_mean_absolute_error",
    "mape": "neg_mean_absolute_percentage_error",
    "logloss": "neg_log_loss",
    "auc": "roc_auc",
}


def scorer_name(name: str) -> str:
    """scikit-learn's name for a metric that may have another one here, such as rmse; others as they are."""
    known = get_scorer_names()
    spelled = name.lower()
    ways = (name, spelled, f"neg_{spelled}", SHORT.get(spelled, name))
    return next((given for given in ways if given in known), name)


def make_metric(name: str | None, problem: Problem) -> Scoring | None:
    """The scorer, tried out on a guess; None where the default will do."""
    if name is None:
        return None
    known = [*get_scorer_names(), *SHORT]
    if name not in known:
        raise ValueError(f"--metric: scikit-learn has no scorer {name!r}; {guess_or_options(name, known)}")
    if bool(OF_NUMBERS.fullmatch(name)) != (problem.task == "regression"):
        raise ValueError(f"--metric {name} is not for {problem.task}; choose another, such as {SUCH_AS[problem.task]}")
    methods = ["predict", "predict_proba"] if problem.task == "classification" else ["predict"]
    try:
        return make_scoring(name, methods, problem.X, problem.target, None)
    except ValueError as error:
        raise ValueError(f"--metric {name} does not suit this target: {error.__cause__ or error}") from error


def rescored(board: pd.DataFrame, stack: Any, problem: Problem, metric: Scoring) -> pd.DataFrame:
    """The leaderboard by another metric, of out-of-fold rows, all together: the stack, then the best learner first.

    NaN for a learner that cannot be scored, such as one of negative predictions by a logarithm: others can.
    """
    way = {"greater_is_better": metric.greater_is_better}
    if metric.metric in board:
        return ranked(board, metric.metric, **way)
    target, oof = problem.target, stack.oof_
    tables = {name: (oof, block) for name, block in oof.blocks.items()}
    if board[list(METRICS[target.task])].iloc[0].notna().any():  # whatever its score, its predictions can be had
        own = second_level(stack.final_estimator_, oof, n_jobs=stack.n_jobs)
        tables[str(board.index[0])] = own, own.blocks[STACK]
    scores: dict[str, float] = {}
    causes: dict[str, list[str]] = {}
    for name, (table, block) in tables.items():
        rows = np.flatnonzero(table.covered)
        answers = answers_of(table.train[rows, block.columns], block, target.classes)
        try:
            scores[name] = metric(answers, None, labels_of(target)[rows], None)
        except Exception as error:  # noqa: BLE001 - nothing that was fitted is lost because of a scorer
            scores[name] = np.nan
            causes.setdefault(str(error), []).append(name)
    for cause, names in causes.items():
        warn(f"The learner(s) {names} have no {metric.metric}: {cause}", stacklevel=2)
    board = board.copy()
    board.insert(0, metric.metric, pd.Series(scores))
    ways = board.attrs["greater_is_better"] | {metric.metric: metric.greater_is_better}
    told = f"{metric.metric}: {better(metric.greater_is_better)}; of all out-of-fold rows together."
    board.attrs = {"greater_is_better": ways, "legend": [told, *board.attrs["legend"]]}
    return ranked(board, metric.metric, **way)
