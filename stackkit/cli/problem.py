"""What a command line asks for, made of tables: target, features, learners, scorer."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any
from warnings import warn

import numpy as np
import pandas as pd
from sklearn.linear_model import LogisticRegression, RidgeCV
from sklearn.metrics import get_scorer_names

from stackkit._assessment import STACK, Scoring, answers_of, better, labels_of, make_scoring, ranked, second_level
from stackkit._blending import (
    ConvexClassifier,
    ConvexRegressor,
    EnsembleSelectionClassifier,
    EnsembleSelectionRegressor,
    LinearPoolRegressor,
    LogPoolClassifier,
    RidgePoolRegressor,
)
from stackkit._data import Target, TaskName, task_of_target
from stackkit._learners import known_names, learners_named
from stackkit._oof import METRICS
from stackkit.cli.tables import (
    Say,
    TableError,
    TextTable,
    as_kind,
    blank,
    guess_or_options,
    kind_of,
    missing,
    numbers_of,
)

FINALS: dict[TaskName, dict[str, Any]] = {
    "classification": {
        "log_pool": LogPoolClassifier(),
        "convex": ConvexClassifier(),
        "ensemble_selection": EnsembleSelectionClassifier(),
        "logistic": LogisticRegression(max_iter=1000),
    },
    "regression": {
        "ridge_pool": RidgePoolRegressor(),
        "linear_pool": LinearPoolRegressor(),
        "convex": ConvexRegressor(),
        "ensemble_selection": EnsembleSelectionRegressor(),
        "ridge": RidgeCV(),
    },
}
LIKE_AN_ID = re.compile(r"(.*[\W_])?(id|uuid|guid|index|Unnamed: \d+)|.*[a-z0-9](Id|ID)|ID", re.DOTALL)

# Scorers for numbers; codes of classes are numbers to them.
OF_NUMBERS = re.compile(r"r2|explained_variance|d2_(absolute|pinball|tweedie).*|.*(error|deviance)")
SUCH_AS = {"classification": "'neg_log_loss', 'accuracy' or 'f1'", "regression": "'neg_mean_absolute_error' or 'r2'"}
MOST_SHOWN = 10  # classes on one line
WANTED = (
    "add columns that are known when a row is to be predicted: of a time series, such as the day of the week, the "
    "month, and the target of the days or weeks before"
)


@dataclass(frozen=True)
class ColumnRoles:
    """What the user says of the columns; all others are features."""

    target: str
    id: str | None = None
    groups: str | None = None
    time_order: str | None = None
    drop: tuple[str, ...] = ()

    def named(self) -> list[tuple[str, str]]:
        single = [("--target", self.target), ("--id", self.id), ("--groups", self.groups)]
        every = [*single, ("--time-order", self.time_order), *(("--drop", name) for name in dict.fromkeys(self.drop))]
        return [(option, name) for option, name in every if name is not None]


@dataclass(frozen=True)
class Schema:
    """How tables of new rows are to be read. It can be written as JSON."""

    target: str
    id: str | None
    task: TaskName
    classes: list[str] | None
    kinds: dict[str, str]
    unused: list[str]


@dataclass(frozen=True)
class Problem:
    """Training rows, in the order of time where that counts; ``y`` holds classes as spelled, or numbers.

    ``times`` are the ranks of the rows' times: equal times have the same one, and the next time has the next one.
    """

    table: TextTable
    columns: ColumnRoles
    X: pd.DataFrame
    y: np.ndarray
    groups: np.ndarray | None
    times: np.ndarray | None
    schema: Schema

    @property
    def task(self) -> TaskName:
        return self.schema.task

    @property
    def together(self) -> np.ndarray | None:
        """What splitters take as ``groups``: rows with the same value stay together."""
        return self.groups if self.times is None else self.times

    @property
    def target(self) -> Target:
        """With classes as codes, for scorers such as "f1" that know no other names than 0 and 1."""
        if self.schema.classes is None:
            return Target(self.y, None, "regression")
        codes = np.searchsorted(np.array(self.schema.classes, dtype=object), self.y)
        return Target(codes, np.arange(len(self.schema.classes)), "classification")


# --- training rows ----------------------------------------------------------------------------------


def read_problem(
    table: TextTable, columns: ColumnRoles, task: TaskName | None, say: Say, other: Sequence[str] = ()
) -> Problem:
    """The training table as X and y; ``other`` are names of the test file, which may be dropped too."""
    _check_columns(table, columns, other)
    if columns.id:
        check_ids(table, columns.id)
    rows, y, task = _read_target(table, columns.target, task, say)
    times = None
    if columns.time_order:
        times = _read_times(table, columns.time_order, rows, say)
        order = np.argsort(times, kind="stable")
        rows, y, times = rows[order], y[order], times[order]
    groups = _read_groups(table, columns.groups, rows, say) if columns.groups else None
    named = {name for _, name in columns.named()}
    kinds = _read_kinds(table, [name for name in table.names if name not in named], rows, say)
    X = pd.DataFrame({name: as_kind(table, name, kind, rows, say) for name, kind in kinds.items()})
    _check_features(table, X, say)
    X.index = _row_names(table, columns.id, rows)
    classes = sorted(set(y.tolist())) if task == "classification" else None
    unused = sorted(named - {columns.target, columns.id})
    schema = Schema(columns.target, columns.id, task, classes, kinds, unused)
    return Problem(table, columns, X, y, groups, times, schema)


def _check_columns(table: TextTable, columns: ColumnRoles, other: Sequence[str]) -> None:
    for option, name in columns.named():
        if name not in table.names and not (option == "--drop" and name in other):
            hint = guess_or_options(name, table.names)
            raise TableError(
                table.path, f"no column {name!r}, which {option} names; {hint}", 1 if table.lines else None
            )
    # A date that differs from row to row names the rows as well as it orders them.
    named = [name for option, name in columns.named() if (option, name) != ("--time-order", columns.id)]
    twice = [name for name, count in Counter(named).items() if count > 1]
    if twice:
        options = " and ".join(option for option, name in columns.named() if name == twice[0])
        raise table.error(f"the column {twice[0]!r} is named by {options}; a column is one of these only")


def check_ids(table: TextTable, name: str) -> None:
    texts = table.texts[name]
    empty = np.flatnonzero(blank(texts))
    if empty.size:
        raise table.error(f"the ID {name!r} is empty", int(empty[0]))
    twice = np.flatnonzero(texts.duplicated())
    if twice.size:
        raise table.error(f"the ID {name!r} is {texts.iloc[twice[0]]!r} again; IDs must differ", int(twice[0]))


def _row_names(table: TextTable, id_: str | None, rows: np.ndarray) -> pd.Index:
    """By which the user finds a row in the file again, wherever it stands by now."""
    if id_:
        return pd.Index(table.texts[id_].iloc[rows], name=id_)
    return pd.Index([f"line {table.lines[row]}" if table.lines else f"row {row + 1}" for row in rows])


def _read_target(
    table: TextTable, name: str, task: TaskName | None, say: Say
) -> tuple[np.ndarray, np.ndarray, TaskName]:
    """The rows that have one. A class keeps its text, "NA" and "007" too; among numbers "NA" is missing."""
    texts = table.texts[name]
    gone, numbers = blank(texts), numbers_of(texts)
    if gone.all():
        raise table.error(f"the target {name!r} is empty in all rows")
    odd = np.isnan(numbers) & ~gone
    spelled = odd & missing(texts)
    if task is None:
        known = numbers[~np.isnan(numbers)]
        quantity = len(known) > 1 and (odd == spelled).all() and task_of_target(known) == "regression"
        task = "regression" if quantity else "classification"
    if task == "regression":
        unusable = np.flatnonzero((odd & ~spelled) | np.isinf(numbers))
        if unusable.size:
            text = texts.iloc[unusable[0]]
            raise table.error(f"the target {name!r} is {text!r}, which is no finite number", int(unusable[0]))
        gone = gone | spelled
    rows = np.flatnonzero(~gone)
    if len(rows) < len(texts):
        say(f"{table.path}: {len(texts) - len(rows)} row(s) without a target are left out")
    y = numbers[rows] if task == "regression" else texts.iloc[rows].to_numpy(dtype=object)
    _describe_target(table, name, y, task, say)
    return rows, y, task


def _describe_target(table: TextTable, name: str, y: np.ndarray, task: TaskName, say: Say) -> None:
    if task == "regression":
        say(f"regression: {len(y)} rows, {name} from {y.min():g} to {y.max():g}")
        return
    counts = Counter(y.tolist())
    if len(counts) < 2:
        raise table.error(f"the target {name!r} has one class only, {next(iter(counts))!r}; two are needed")
    shown = ", ".join(f"{label} ({counts[label]})" for label in in_order(counts)[:MOST_SHOWN])
    more = ", ..." if len(counts) > MOST_SHOWN else ""
    say(f"classification: {len(counts)} classes, {shown}{more}")


def in_order(labels: Any) -> list[str]:
    """Classes that are numbers by size, others by name."""
    names = sorted(labels)
    values = numbers_of(pd.Series(names, dtype=object))
    return names if np.isnan(values).any() else [names[i] for i in np.argsort(values, kind="stable")]


def _read_times(table: TextTable, name: str, rows: np.ndarray, say: Say) -> np.ndarray:
    """The rank of each row's time among the different ones."""

    def quiet(_text: str) -> None:
        """What is wrong with the column is an error here."""

    texts = table.texts[name].iloc[rows]
    kind = (table.kinds or {}).get(name) or kind_of(name, texts, quiet)
    if kind == "text":
        raise table.error(f"--time-order needs numbers or dates such as 2024-12-31; {name!r} holds others")
    values = as_kind(table, name, kind, rows, quiet)
    if values.isna().any():
        raise table.error(f"{name!r}, which orders the rows, is empty", int(rows[values.isna().to_numpy().argmax()]))
    times, ranks = np.unique(values.to_numpy(), return_inverse=True)
    say(f"rows are ordered by {name!r}, which is no feature; it has {len(times)} different values")
    return ranks


def _read_groups(table: TextTable, name: str, rows: np.ndarray, say: Say) -> np.ndarray:
    texts = table.texts[name].iloc[rows]
    empty = blank(texts)
    if empty.any():
        raise table.error(f"the group {name!r} is empty", int(rows[empty.argmax()]))
    texts = texts.str.strip()  # of a group that is spelled "a" and "a " no part may be tested on the other
    say(f"{texts.nunique()} groups by {name!r}, which is no feature")
    return texts.to_numpy(dtype=object)


def _read_kinds(table: TextTable, features: list[str], rows: np.ndarray, say: Say) -> dict[str, str]:
    if not features:
        raise table.error(f"no column is left to predict from; {WANTED}")
    known = table.kinds or {}
    kinds = {name: known.get(name) or kind_of(name, table.texts[name].iloc[rows], say) for name in features}
    if all(kind.startswith("date") for kind in kinds.values()):
        say(f"warning: there are no features but dates; {WANTED}")
    counts = Counter(kind.partition(" ")[0] for kind in kinds.values())
    say(f"features: {len(kinds)} (" + ", ".join(f"{kind} {counts[kind]}" for kind in sorted(counts)) + ")")
    for name in features:
        texts = table.texts[name].iloc[rows]
        if LIKE_AN_ID.fullmatch(name) and texts.is_unique and not any("." in text for text in texts):
            say(f"the column {name!r} looks like an ID and is used as a feature; name it with --id {name!r}")
    return kinds


def _check_features(table: TextTable, X: pd.DataFrame, say: Say) -> None:
    empty = [name for name in X if X[name].isna().all()]
    if empty:
        raise table.error(f"the column {empty[0]!r} has no value in any row; leave it out with --drop {empty[0]!r}")
    for name in X:
        texts = X[name].dropna()
        if X[name].dtype == object and texts.str.fullmatch(r"\s*[+-]?\d+,\d+\s*").all():
            say(f"the column {name!r} has decimal commas and is read as text; write numbers as 1.5")


# --- new rows ---------------------------------------------------------------------------------------


def read_new(table: TextTable, schema: Schema, say: Say, *, strict: bool) -> tuple[pd.DataFrame, np.ndarray | None]:
    """Rows to predict, with the training columns in their order, and their IDs."""
    extra = _check_same_columns(table, schema, strict=strict)
    ignored = [name for name in table.names if name in extra or name == schema.target]
    if ignored:
        say(f"{table.path}: ignored: {', '.join(map(repr, ignored))}")
    if schema.id:
        check_ids(table, schema.id)
    rows = np.arange(len(table.texts))
    X = pd.DataFrame({name: as_kind(table, name, kind, rows, say) for name, kind in schema.kinds.items()})
    return X, table.texts[schema.id].to_numpy(dtype=object) if schema.id else None


def _check_same_columns(table: TextTable, schema: Schema, *, strict: bool) -> list[str]:
    """Columns that the training file did not have; an error where one is missing, or where none may be extra."""
    wanted = [*schema.kinds, *filter(None, [schema.id])]
    lacking = [name for name in wanted if name not in table.names]
    extra = [name for name in table.names if name not in {*wanted, *schema.unused, schema.target}]
    if lacking or (strict and extra):
        found = [f"{word} {names}" for word, names in (("missing", lacking), ("extra", extra)) if names]
        advice = "" if lacking else "; leave out what is extra with --drop"
        raise TableError(
            table.path,
            f"columns differ from the training file's: {', '.join(found)}{advice}",
            1 if table.lines else None,
        )
    return extra


# --- learners, final estimator, scorer --------------------------------------------------------------


def make_learners(names: Sequence[str] | None, problem: Problem) -> list[tuple[str, Any]] | None:
    """None for those of the preset."""
    if names is None:
        return None
    known = known_names(problem.task, problem.X)
    for name in names:
        if name not in known:
            raise ValueError(f"--learners: no learner {name!r} for {problem.task}; {guess_or_options(name, known)}")
    twice = [name for name, count in Counter(names).items() if count > 1]
    if twice:
        raise ValueError(f"--learners names {twice[0]!r} more than once")
    return learners_named(problem.task, names, problem.X)


def make_final(name: str | None, problem: Problem) -> Any:
    finals = FINALS[problem.task]
    if name is not None and name not in finals:
        raise ValueError(
            f"--final: no final estimator {name!r} for {problem.task}; {guess_or_options(name, list(finals))}"
        )
    return None if name is None else finals[name]


def make_metric(name: str | None, problem: Problem) -> Scoring | None:
    """The scorer, tried out on a guess; None where the default will do."""
    if name is None:
        return None
    if name not in get_scorer_names():
        raise ValueError(f"--metric: scikit-learn has no scorer {name!r}; {guess_or_options(name, get_scorer_names())}")
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
