"""What a command line asks for, made of tables: target, features, learners, scorer."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import pandas as pd
from sklearn.linear_model import LogisticRegression, RidgeCV

from stackkit._blending import (
    ConvexClassifier,
    ConvexRegressor,
    EnsembleSelectionClassifier,
    EnsembleSelectionRegressor,
    LinearPoolRegressor,
    LogPoolClassifier,
    RidgePoolRegressor,
)
from stackkit._data import Target, TaskName, is_named_like_an_id, task_of_target
from stackkit._learners import known_names, learners_named
from stackkit._utils import as_figure, some
from stackkit.cli.columns import Found, blank, kind_of, kinds_of, missing_number, new_values, numbers_of, values_of
from stackkit.cli.tables import INDEX, Say, TextTable, called, guess_or_options

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
    """How tables of new rows are to be read. It can be written as JSON.

    ``unused`` are columns of the training file that new rows may have, and ``na`` texts that count as missing.
    """

    target: str
    id: str | None
    task: TaskName
    classes: list[str] | None
    kinds: dict[str, str]
    unused: list[str]
    na: list[str] = field(default_factory=list)


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
    table = table.without(table.options.na, but=[columns.id])
    if columns.id:
        check_ids(table, columns.id)
    with_target = _with_target(table, columns.target)
    features, left_out = _features(table, columns, with_target, say)
    found = kinds_of(table, [*features, columns.target], with_target, say)
    rows, y, task = _targets(table, columns.target, found.pop(columns.target), with_target, task=task, say=say)
    times = None
    if columns.time_order:
        times = _read_times(table, columns.time_order, rows, say)
        order = np.argsort(times, kind="stable")
        rows, y, times = rows[order], y[order], times[order]
    groups = _read_groups(table, columns.groups, rows, say) if columns.groups else None
    kinds = {name: each.kind for name, each in found.items()}
    _describe_features(table, kinds, rows, say)
    X = pd.DataFrame({name: values_of(table, name, kind, rows)[0] for name, kind in kinds.items()})
    X.index = row_names(table, columns.id, rows)
    classes = sorted(set(y.tolist())) if task == "classification" else None
    unused = sorted({name for _, name in columns.named()} - {columns.target, columns.id} | set(left_out))
    schema = Schema(columns.target, columns.id, task, classes, kinds, unused, list(table.options.na))
    return Problem(table, columns, X, y, groups, times, schema)


def read_target(
    table: TextTable, name: str, task: TaskName | None, say: Say
) -> tuple[np.ndarray, np.ndarray, TaskName]:
    """The rows that have a target, their targets, and the task; of a table that is read for nothing else."""
    rows = _with_target(table, name)
    return _targets(table, name, kinds_of(table, [name], rows, say)[name], rows, task=task, say=say)


def _with_target(table: TextTable, name: str) -> np.ndarray:
    rows = np.flatnonzero(~blank(table.texts[name]))
    if not rows.size:
        raise table.error(f"the target {name!r} is empty in all rows")
    return rows


def _targets(
    table: TextTable, name: str, found: Found, rows: np.ndarray, *, task: TaskName | None, say: Say
) -> tuple[np.ndarray, np.ndarray, TaskName]:
    task = task or _task_of(table, name, found, rows)
    rows, y = _read_target(table, name, found, task, rows)
    if len(rows) < len(table.texts):
        say(f"{called(table.path)}: {len(table.texts) - len(rows)} row(s) without a target are left out")
    _describe_target(table, name, y, task, say)
    return rows, y, task


def _check_columns(table: TextTable, columns: ColumnRoles, other: Sequence[str]) -> None:
    for option, name in columns.named():
        if name not in table.names and not (option == "--drop" and name in other):
            hint = guess_or_options(name, table.names)
            raise table.header_error(f"no column {name!r}, which {option} names; {hint}")
        if name in table.repeated:
            raise table.header_error(f"several columns have the name {name!r}, which {option} names; rename the others")
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


def row_names(table: TextTable, id_: str | None, rows: np.ndarray) -> pd.Index:
    """By which the user finds a row in the file again, wherever it stands by now."""
    if id_:
        return pd.Index(table.texts[id_].iloc[rows], name=id_)
    return pd.Index([f"line {table.lines[row]}" if table.lines else f"row {row + 1}" for row in rows])


def _read_target(
    table: TextTable, name: str, found: Found, task: TaskName, rows: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """The rows that have one. A class keeps its text, "NA" and "007" too; among numbers "NA" is missing."""
    texts = table.texts[name].iloc[rows]
    numbers = numbers_of(texts, found.kind if found.is_number else "number")
    odd = np.isnan(numbers)
    spelled = odd & missing_number(texts)
    if task == "regression":
        unusable = np.flatnonzero((odd & ~spelled) | np.isinf(numbers))
        if unusable.size:
            text = texts.iloc[unusable[0]]
            raise table.error(f"the target {name!r} is {text!r}, which is no finite number", int(rows[unusable[0]]))
        rows, numbers = rows[~spelled], numbers[~spelled]
    return rows, numbers if task == "regression" else texts.to_numpy(dtype=object)


def _task_of(table: TextTable, name: str, found: Found, rows: np.ndarray) -> TaskName:
    texts = table.texts[name].iloc[rows]
    numbers = numbers_of(texts, found.kind if found.is_number else "number")
    if found.strays:
        first = texts[texts.isin(found.strays)]
        raise table.error(
            f"the target {name!r} is a number in most rows, and in {len(first)} it is not, such as "
            f"{some([repr(text) for text in found.strays], 3)}; name with --na what stands for a missing value, or "
            "give --task classification",
            int(first.index[0]),
        )
    known = numbers[~np.isnan(numbers)]
    all_numbers = (np.isnan(numbers) == missing_number(texts)).all()
    quantity = len(known) > 1 and all_numbers and task_of_target(known) == "regression"
    return "regression" if quantity else "classification"


def _describe_target(table: TextTable, name: str, y: np.ndarray, task: TaskName, say: Say) -> None:
    if task == "regression":
        say(f"regression: {len(y)} rows, {name} from {as_figure(y.min())} to {as_figure(y.max())}")
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
    texts = table.texts[name].iloc[rows]
    kind = (table.kinds or {}).get(name) or kind_of(texts, table.options.decimal).kind
    if kind == "text":
        raise table.error(f"--time-order needs numbers or dates such as 2024-12-31; {name!r} holds others")
    values, _ = values_of(table, name, kind, rows)
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


def _features(table: TextTable, columns: ColumnRoles, rows: np.ndarray, say: Say) -> tuple[list[str], list[str]]:
    """Columns to predict from, and those that nothing can be learned from: an index, and columns without a value."""
    named = {name for _, name in columns.named()}
    names = [name for name in table.names if name not in named]
    index = [name for name in index_columns(table) if name in names]
    if index:
        say(f"{called(table.path)}: the column {index[0]!r} numbers the rows; it is taken for an index and left out")
    names = [name for name in names if name not in index]
    empty = [name for name in names if missing_number(table.texts[name].iloc[rows]).all()]
    if empty:
        say(f"{called(table.path)}: left out, without a value in any row: {some(list(map(repr, empty)), MOST_SHOWN)}")
    names = [name for name in names if name not in empty]
    if not names:
        raise table.error(f"no column is left to predict from; {WANTED}")
    return names, [*index, *empty]


def index_columns(table: TextTable) -> list[str]:
    """What pandas writes of an index: a column without a name that numbers the rows, whatever their order."""
    return [
        name
        for name in INDEX
        if name in table.names
        and table.texts[name].is_unique
        and table.texts[name].str.fullmatch(r"\s*\d+(\.0)?\s*").all()
    ]


def _describe_features(table: TextTable, kinds: dict[str, str], rows: np.ndarray, say: Say) -> None:
    if all(kind.startswith("date") for kind in kinds.values()):
        say(f"warning: there are no features but dates; {WANTED}")
    counts = Counter(kind.partition(" ")[0] for kind in kinds.values())
    say(f"features: {len(kinds)} (" + ", ".join(f"{kind} {counts[kind]}" for kind in sorted(counts)) + ")")
    for name in kinds:
        texts = table.texts[name].iloc[rows]
        if is_named_like_an_id(name) and texts.is_unique and not any("." in text for text in texts):
            say(f"the column {name!r} looks like an ID and is used as a feature; name it with --id {name!r}")


# --- new rows ---------------------------------------------------------------------------------------


def read_new(table: TextTable, schema: Schema, say: Say, *, strict: bool) -> tuple[pd.DataFrame, np.ndarray | None]:
    """Rows to predict, with the training columns in their order, and their IDs."""
    table = table.without([*schema.na, *table.options.na], but=[schema.id])
    extra = _check_same_columns(table, schema, strict=strict)
    ignored = [name for name in table.names if name in extra or name == schema.target]
    if ignored:
        say(f"{called(table.path)}: ignored: {some(list(map(repr, ignored)), MOST_SHOWN)}")
    if schema.id:
        check_ids(table, schema.id)
    X = new_values(table, schema.kinds, say)
    return X, table.texts[schema.id].to_numpy(dtype=object) if schema.id else None


def _check_same_columns(table: TextTable, schema: Schema, *, strict: bool) -> list[str]:
    """Columns that the training file did not have; an error where one is missing, or where none may be extra."""
    wanted = [*schema.kinds, *filter(None, [schema.id])]
    lacking = [name for name in wanted if name not in table.names]
    extra = [name for name in table.names if name not in {*wanted, *schema.unused, schema.target}]
    index = index_columns(table)
    odd = [name for name in extra if name not in index]
    if lacking or (strict and odd):
        found = [f"{word} {names}" for word, names in (("missing", lacking), ("extra", odd)) if names]
        advice = "" if lacking else "; leave out what is extra with --drop"
        raise table.header_error(f"columns differ from the training file's: {', '.join(found)}{advice}")
    return extra


# --- learners, final estimator ----------------------------------------------------------------------


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
