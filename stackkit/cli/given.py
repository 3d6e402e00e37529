"""Predictions that others made, in files: rows matched by ID, columns by class; as a problem whose X are the learners.

What is wrong with a file is said with its line.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd

from stackkit._data import TaskName
from stackkit._oof import ROUNDED, OutOfFold, columns_of_classes
from stackkit._utils import SUM_TOLERANCE, as_figure, some
from stackkit.cli.columns import blank, kinds_of, missing_number, numbers_of
from stackkit.cli.problem import ColumnRoles, Problem, Schema, check_ids, index_columns, read_target, row_names
from stackkit.cli.reading import PACKED
from stackkit.cli.tables import STDIN, Say, TextTable, called, guess_or_options

# What files of predictions are called, besides the learner's name.
_WORDS = frozenset(
    "oof out of fold train test pred preds prediction predictions proba probs submission submissions sub".split()  # noqa: SIM905 - a line of words
)
_BETWEEN_WORDS = re.compile(r"[\W_]+")


@dataclass(frozen=True)
class GivenRoles:
    """What the user says of columns; all others are predictions."""

    target: str
    id: str | None
    folds: str | None
    drop: tuple[str, ...]


@dataclass(frozen=True)
class Given:
    """The problem whose features are predictions; their out-of-fold table; new rows with their IDs, or None."""

    problem: Problem
    oof: OutOfFold
    new: tuple[pd.DataFrame, np.ndarray | None] | None


def read_given(
    tables: dict[str, TextTable],
    new: dict[str, TextTable],
    truth: TextTable | None,
    roles: GivenRoles,
    *,
    task: TaskName | None,
    say: Say,
) -> Given:
    """Tables by the learner's name: of the training rows, of new rows; ``truth`` has the targets, where they do not."""
    source = truth or _with_target(tables, roles)
    reader = _Reader(roles, beside=truth is None, say=say)
    reader.check_names({"--train": truth} if truth else {}, tables, new)
    rows, y, task = read_target(source, roles.target, task, say)
    rows, y, places = reader.matched(source, rows, y, tables)
    classes = sorted(set(y.tolist())) if task == "classification" else None
    folds = _folds(source, tables, places, rows, roles) if roles.folds else None
    names = row_names(source, roles.id, rows)
    made = OutOfFold.from_frames(
        {name: reader.values(table, classes, places[name]) for name, table in tables.items()},
        pd.Series(y, names),
        _of_new_rows(reader, new, list(tables), classes),
        folds=folds,
        task=task,
    )
    X = made.to_frame()
    schema = Schema(
        roles.target, roles.id, task, classes, dict.fromkeys(made.columns, "number"), [], list(source.options.na)
    )
    problem = Problem(source, ColumnRoles(roles.target, roles.id), X, y, None, None, schema)
    return Given(problem, made, (made.test_frame(), _ids_of(new, tables, roles)) if new else None)


# --- files ----------------------------------------------------------------------------------------------


def learner_names(paths: Sequence[Path]) -> dict[str, Path]:
    """Files by what their names tell beside words such as "oof" and "test"; else by their folders'."""
    names = [_learner_of(path) for path in paths]
    twice = {name for name, count in Counter(names).items() if count > 1}
    folders = [_words(path.parent.name) if name in twice else "" for name, path in zip(names, paths, strict=True)]
    longer = ["_".join(filter(None, parts)) for parts in zip(folders, names, strict=True)]
    clash = [name for name, count in Counter(longer).items() if count > 1]
    if clash:
        files = [str(path) for name, path in zip(longer, paths, strict=True) if name == clash[0]]
        raise ValueError(f"the files {some(files)} would all be the learner {clash[0]!r}; give them names that differ")
    return dict(zip(longer, paths, strict=True))


def _learner_of(path: Path) -> str:
    if path == STDIN:
        return "standard_input"
    packed = path.suffix.lower() if path.suffix.lower() in PACKED else ""
    stem = Path(path.name[: len(path.name) - len(packed)]).stem
    return _words(stem) or _words(path.parent.name) or stem


def _words(text: str) -> str:
    return "_".join(word for word in _BETWEEN_WORDS.split(text) if word and word.lower() not in _WORDS)


def check_pairs(oof: dict[str, Path], new: dict[str, Path]) -> None:
    """Each learner needs both files, or new rows cannot be blended."""
    lacking = [name for name in oof if name not in new]
    odd = [str(path) for name, path in new.items() if name not in oof]
    if lacking or odd:
        parts = [f"there is none for {some(list(map(repr, lacking)))}"] if lacking else []
        parts += [f"{some(odd)} belongs to no other file"] if odd else []
        raise ValueError(
            f"--test takes a file for each of the others, of like names; {' and '.join(parts)}. Found are the learners "
            f"{some(list(map(repr, oof)))}"
        )


def _with_target(tables: dict[str, TextTable], roles: GivenRoles) -> TextTable:
    found = next((table for table in tables.values() if roles.target in table.names), None)
    if found is not None:
        return found
    first = next(iter(tables.values()))
    hint = guess_or_options(roles.target, first.names)
    raise first.header_error(
        f"no column {roles.target!r}, which --target names; {hint}. Is it in another file? Then name that with --train"
    )


@dataclass(frozen=True)
class _Reader:
    """Reads files of predictions; ``beside`` says whether the targets stand beside them."""

    roles: GivenRoles
    beside: bool
    say: Say

    def check_names(self, *groups: dict[str, TextTable]) -> None:
        """Each table has the ID, and what is named stands somewhere."""
        tables = [table for group in groups for table in group.values()]
        for table in tables if self.roles.id else ():
            if self.roles.id not in table.names:
                hint = guess_or_options(str(self.roles.id), table.names)
                raise table.header_error(f"no column {self.roles.id!r}, which --id names; {hint}")
            check_ids(table, str(self.roles.id))
        for option, name in [("--folds", self.roles.folds), *(("--drop", name) for name in self.roles.drop)]:
            if name and not any(name in table.names for table in tables):
                hint = guess_or_options(name, tables[0].names)
                raise tables[0].header_error(
                    f"no column {name!r} here or in another file, which {option} names; {hint}"
                )

    # --- rows -----------------------------------------------------------------------------------------

    def matched(
        self, source: TextTable, rows: np.ndarray, y: np.ndarray, tables: dict[str, TextTable]
    ) -> tuple[np.ndarray, np.ndarray, dict[str, np.ndarray]]:
        """The rows of ``source`` that all have, with their targets, and where each table has them."""
        places = {name: self.places(source, rows, table) for name, table in tables.items()}
        there = np.array([found >= 0 for found in places.values()])
        some_lack = there.any(axis=0) & ~there.all(axis=0)
        if some_lack.any():
            row = int(rows[some_lack.argmax()])
            lacking = next(table for name, table in tables.items() if places[name][some_lack.argmax()] < 0)
            n_lacking = int((~there[list(tables.values()).index(lacking)] & there.any(axis=0)).sum())
            raise lacking.error(
                f"lacks {n_lacking} row(s) that others have, such as that of the ID {self.ids(source)[row]!r}; each "
                "learner has to predict the same rows"
            )
        kept = there.all(axis=0)
        if not kept.any():
            raise source.error("no row has both a target and predictions; are the IDs spelled alike in all files?")
        if not kept.all():
            self.say(f"{called(source.path)}: {int((~kept).sum())} row(s) without a prediction are left out")
        if self.beside:
            self._check_same_targets(source, rows[kept], tables, {name: p[kept] for name, p in places.items()})
        return rows[kept], y[kept], {name: found[kept] for name, found in places.items()}

    def ids(self, table: TextTable) -> pd.Series:
        return table.texts[self.roles.id].str.strip()

    def places(self, source: TextTable, rows: np.ndarray, table: TextTable) -> np.ndarray:
        """Of the rows of ``source`` in another table; -1 where it lacks one."""
        if table is source:
            return rows
        if not self.roles.id:
            if len(table.texts) != len(source.texts):
                raise table.error(
                    f"has {len(table.texts)} rows where {called(source.path)} has {len(source.texts)}; without --id "
                    "rows are matched by their place"
                )
            return rows
        theirs, ours = pd.Index(self.ids(table)), pd.Index(self.ids(source))
        odd = ours.get_indexer(theirs) < 0
        if odd.any():
            raise table.error(
                f"the ID {theirs[odd.argmax()]!r} is not in {called(source.path)}; {int(odd.sum())} are not",
                int(odd.argmax()),
            )
        found: np.ndarray = theirs.get_indexer(ours[rows])
        return found

    def _check_same_targets(
        self, source: TextTable, rows: np.ndarray, tables: dict[str, TextTable], places: dict[str, np.ndarray]
    ) -> None:
        """Files that have the targets, too, must have the same ones: else rows would be mixed up."""
        truth = source.texts[self.roles.target].str.strip().to_numpy()[rows]
        for name, table in tables.items():
            if table is not source and self.roles.target in table.names:
                theirs = table.texts[self.roles.target].str.strip().to_numpy()[places[name]]
                differ = (theirs != truth) & ~_equal_numbers(theirs, truth)
                if differ.any():
                    row = int(differ.argmax())
                    raise table.error(
                        f"the target {self.roles.target!r} is {theirs[row]!r}, and {truth[row]!r} in "
                        f"{called(source.path)}; are the rows the same ones?",
                        int(places[name][row]),
                    )

    # --- columns --------------------------------------------------------------------------------------

    def values(self, table: TextTable, classes: list[str] | None, places: np.ndarray) -> np.ndarray:
        """The predictions of these rows: numbers, or probabilities in one column per class."""
        columns = self._columns(table, classes)
        found = kinds_of(table, columns, np.arange(len(table.texts)), self.say)
        values = np.column_stack([_numbers(table, name, found[name].kind, places) for name in columns])
        if classes is not None:
            _check_probabilities(table, columns, values, places)
        return values

    def _columns(self, table: TextTable, classes: list[str] | None) -> list[str]:
        """Of the predictions, in the order of the classes."""
        roles = self.roles
        apart = {roles.id, roles.folds, *roles.drop, *index_columns(table)}
        names = [name for name in table.names if name not in apart]
        others = [name for name in names if name != roles.target]
        # In a submission the target's column holds the prediction.
        names = others or names
        if len(names) == 1 and (classes is None or len(classes) == 2):
            return names
        by_class = None if classes is None else columns_of_classes(names, classes)
        if by_class is not None:
            return [names[place] for place in by_class]
        what = "one column of predictions"
        if classes is not None:
            single = "one column, the probability of " + repr(classes[-1]) + ", or " if len(classes) == 2 else ""
            what = f"{single}a column for each class, called {some(list(map(repr, classes)))} with or without a prefix"
        there = some(list(map(repr, names))) or "none"
        raise table.header_error(
            f"needs {what}; there are {there}. Name the ID with --id, and leave others out with --drop"
        )


def _equal_numbers(one: np.ndarray, other: np.ndarray) -> np.ndarray:
    ours, theirs = (pd.to_numeric(pd.Series(texts), errors="coerce").to_numpy(dtype=float) for texts in (one, other))
    equal: np.ndarray = ours == theirs
    return equal


def _numbers(table: TextTable, name: str, kind: str, places: np.ndarray) -> np.ndarray:
    """Of a column of predictions; what is none is an error with its line."""
    texts = table.texts[name].iloc[places]
    values = numbers_of(texts, kind if kind.startswith("number") else "number")
    bad = ~np.isfinite(values)
    if bad.any():
        first = int(bad.argmax())
        empty = missing_number(texts.iloc[first : first + 1])[0]
        cause = "is empty" if empty else f"holds {texts.iloc[first]!r}, which is no finite number"
        cure = "leave out columns that are no predictions with --drop"
        raise table.error(f"the prediction {name!r} {cause}; {cure}", int(places[first]))
    return values


def _check_probabilities(table: TextTable, columns: list[str], values: np.ndarray, places: np.ndarray) -> None:
    outside = (values < -SUM_TOLERANCE) | (values > 1 + SUM_TOLERANCE)
    if outside.any():
        row, column = (int(place) for place in np.argwhere(outside)[0])
        raise table.error(
            f"{columns[column]!r} is {as_figure(values[row, column])}, and a probability is from 0 to 1; "
            f"{int(outside.any(axis=1).sum())} row(s) have such. Is it a percentage, or a score?",
            int(places[row]),
        )
    off = np.abs(values.sum(axis=1) - 1) > ROUNDED
    if values.shape[1] > 1 and off.any():
        row = int(off.argmax())
        raise table.error(
            f"the probabilities sum to {as_figure(values[row].sum())}, not to 1; {int(off.sum())} row(s) are off",
            int(places[row]),
        )


def _folds(
    source: TextTable, tables: dict[str, TextTable], places: dict[str, np.ndarray], rows: np.ndarray, roles: GivenRoles
) -> np.ndarray:
    """The fold of each row, from the first file that has it."""
    name = str(roles.folds)
    held = {"": source, **tables}
    owner = next(key for key, table in held.items() if name in table.names)
    table, where = held[owner], rows if owner == "" else places[owner]
    texts = table.texts[name].iloc[where].str.strip()
    empty = blank(texts)
    if empty.any():
        raise table.error(f"the fold {name!r} is empty", int(where[empty.argmax()]))
    return texts.to_numpy(dtype=object)


# --- new rows -------------------------------------------------------------------------------------------


def _of_new_rows(
    reader: _Reader, new: dict[str, TextTable], names: Sequence[str], classes: list[str] | None
) -> dict[str, np.ndarray] | None:
    """In the order of the first file."""
    if not new:
        return None
    first = new[names[0]]
    every = np.arange(len(first.texts))
    found = {}
    for name in names:
        places = reader.places(first, every, new[name])
        if (places < 0).any():
            lacking = reader.ids(first)[int((places < 0).argmax())]
            raise new[name].error(
                f"lacks {int((places < 0).sum())} row(s) of {called(first.path)}, such as {lacking!r}"
            )
        found[name] = reader.values(new[name], classes, places)
    return found


def _ids_of(new: dict[str, TextTable], tables: dict[str, TextTable], roles: GivenRoles) -> np.ndarray | None:
    first = new[next(iter(tables))]
    return first.texts[roles.id].to_numpy(dtype=object) if roles.id else None
