"""Predictions that others made, as an out-of-fold table: rows matched, columns checked, folds as far as they are known.

Nothing here can tell whether a row was predicted by a model that did not see it. What is taken on trust is said.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any
from warnings import warn

import numpy as np
import pandas as pd

from stackkit._data import (
    Folds,
    Target,
    TaskName,
    check_length,
    check_target,
    check_weights,
    is_pandas,
    is_polars,
    make_folds,
    splitter_of,
    task_of_target,
)
from stackkit._learners import as_frame
from stackkit._members import Block
from stackkit._oof.failures import FAILURE_COLUMNS
from stackkit._oof.scores import score
from stackkit._utils import SUM_TOLERANCE, some
from stackkit.exceptions import NotProbabilitiesWarning

ROUNDED = 0.01 + 1e-9  # by which rows may miss a sum of 1: files have few decimals, of many classes
ON_TRUST = (
    "The predictions were made elsewhere, on the folds that were given: that each row was predicted by models that did "
    "not see its target is taken on trust."
)
NO_FOLDS = (
    "The predictions were made elsewhere, and on which folds is not known: a leak cannot be excluded. Where models saw "
    "the target of a row that they predict, their scores, their weights and the blend's score are too good; and the "
    "folds of the blend, drawn by chance, may part rows that belong together."
)


@dataclass(frozen=True)
class _Rows:
    """In which order the rows stand; ``names`` are their labels, where there are such."""

    n: int
    names: pd.Index | None
    owner: str  # what errors say has these rows


def given_table(
    train: Any, y: Any, test: Any, *, folds: Any, task: TaskName | None, sample_weight: Any
) -> dict[str, Any]:
    """The fields of an `OutOfFold`; its `from_frames` tells what the arguments are."""
    tables = _named(train, "train")
    target = check_target(y, task or task_of_target(y), np.shape(y)[0])
    if target.n_outputs > 1:
        raise ValueError(
            f"y must be one column for given predictions; got {target.n_outputs}. Make one table for each of them."
        )
    rows = _rows_of(y, tables)
    weights = check_weights(_in_order("sample_weight", sample_weight, rows), rows.n)
    made = _folds_of(folds, y, rows, target)
    blocks = _blocks(list(tables), target)
    values = {name: _values(f"train[{name!r}]", table, rows, target, made.covered) for name, table in tables.items()}
    if target.n_classes:
        _warn_of_classes({name: table[made.covered] for name, table in values.items()})
    new, new_names = _new_rows(test, list(tables), target)
    return {
        "train": np.hstack(list(values.values())),
        "test": new,
        "columns": [column for name, block in blocks.items() for column in block.names(name)],
        "blocks": blocks,
        "covered": made.covered,
        "folds": made,
        "scores": _scores(values, blocks, target, made, weights),
        "members": {name: [] for name in tables},
        "failures": pd.DataFrame(columns=FAILURE_COLUMNS),
        "index": rows.names,
        "y": target.values,
        "classes": target.classes,
        "sample_weight": weights,
        "test_index": new_names,
        "caveat": NO_FOLDS if folds is None else ON_TRUST,
    }


# --- rows -----------------------------------------------------------------------------------------------


def _named(tables: Any, parameter: str) -> dict[str, Any]:
    if not isinstance(tables, Mapping) or len(tables) == 0:
        got = "an empty one" if isinstance(tables, Mapping) else f"a {type(tables).__name__}"
        raise TypeError(
            f"The {parameter!r} parameter of from_frames must be a dict of predictions by name; got {got}. "
            "Pass such as {'forest': frame}."
        )
    odd = [name for name in tables if not isinstance(name, str) or not name]
    if odd:
        raise ValueError(f"The {parameter!r} parameter of from_frames must name learners by text; got {odd[0]!r}.")
    return dict(tables)


def _rows_of(y: Any, tables: dict[str, Any]) -> _Rows:
    """Those of y; where it has no labels, tables that have some must have the same in the same order."""
    n_rows = np.shape(y)[0]
    if is_pandas(y):
        _check_unique(y.index, "y")
        return _Rows(n_rows, y.index, "y")
    labelled = {name: table for name, table in tables.items() if is_pandas(table)}
    if not labelled:
        return _Rows(n_rows, None, "y")
    first, table = next(iter(labelled.items()))
    for name, other in labelled.items():
        if not other.index.equals(table.index):
            raise ValueError(
                f"y must be a pandas Series, indexed as the tables are, where their rows differ: train[{name!r}] has "
                f"other row labels than train[{first!r}], or another order. Pass pd.Series(y, index=...)."
            )
    _check_unique(table.index, f"train[{first!r}]")
    check_length("y", np.asarray(y), len(table))
    return _Rows(n_rows, table.index, f"train[{first!r}]")


def _check_unique(index: pd.Index, owner: str) -> None:
    twice = index[index.duplicated()]
    if len(twice):
        raise ValueError(
            f"The row labels of {owner} must differ; got {twice[:1].tolist()[0]!r} twice. Set the ID as the index."
        )


def _in_order(owner: str, values: Any, rows: _Rows) -> Any:
    """In the order of the rows: by their labels where both have some, else as they stand."""
    if values is None or np.isscalar(values):
        return values
    if rows.names is None or not is_pandas(values):
        if np.shape(values)[0] != rows.n:
            raise ValueError(
                f"{owner} must have a row for each of the {rows.n} of {rows.owner}; got {np.shape(values)[0]}. Give "
                "both a pandas index, to match rows by label."
            )
        return values
    _check_unique(values.index, owner)
    lacking, odd = rows.names.difference(values.index, sort=False), values.index.difference(rows.names, sort=False)
    for what, labels in (("lacks", lacking), ("has in excess", odd)):
        if len(labels):
            raise ValueError(
                f"{owner} must have the rows of {rows.owner}; it {what} {len(labels)}, such as "
                f"{some([repr(label) for label in labels[:3].tolist()], 3)}. Its index must hold the same labels."
            )
    return values.loc[rows.names]


def _new_rows(test: Any, names: list[str], target: Target) -> tuple[np.ndarray | None, pd.Index | None]:
    if test is None:
        return None, None
    tables = _named(test, "test")
    if set(tables) != set(names):
        lacking, odd = ([n for n in a if n not in b] for a, b in ((names, tables), (tables, names)))
        raise ValueError(
            f"The 'test' parameter of from_frames must have the learners of 'train'; it lacks {lacking} and has "
            f"{odd} in excess. Give both the same names."
        )
    first = tables[names[0]]
    rows = _Rows(np.shape(first)[0], first.index if is_pandas(first) else None, f"test[{names[0]!r}]")
    if rows.names is not None:
        _check_unique(rows.names, rows.owner)
    every = np.ones(rows.n, dtype=bool)
    values = [_values(f"test[{name!r}]", tables[name], rows, target, every) for name in names]
    return np.hstack(values), rows.names


# --- columns --------------------------------------------------------------------------------------------


def _blocks(names: Sequence[str], target: Target) -> dict[str, Block]:
    labels = tuple(target.classes) if target.n_classes > 2 else (None,)
    method, kind = ("predict_proba", "probability") if target.n_classes else ("predict", "value")
    width = len(labels)
    return {
        name: Block(slice(k * width, (k + 1) * width), labels, method, kind, target.n_classes)  # type: ignore[arg-type]
        for k, name in enumerate(names)
    }


def _values(owner: str, table: Any, rows: _Rows, target: Target, covered: np.ndarray) -> np.ndarray:
    """A learner's columns in the order of rows and classes; NaN in rows that no fold tests."""
    frame = as_frame(_in_order(owner, table, rows))
    nameless = not (is_pandas(table) or is_polars(table)) and frame.shape[1] == target.n_classes
    places = list(range(target.n_classes)) if nameless else _places(owner, frame, target)
    try:
        given = frame.iloc[:, places].to_numpy(dtype=np.float64)
    except (TypeError, ValueError) as error:
        raise ValueError(f"{owner} must hold numbers; got others ({error}). Convert them.") from error
    known = given[covered]
    if not np.isfinite(known).all():
        n_bad = int((~np.isfinite(known)).any(axis=1).sum())
        raise ValueError(f"{owner} must have a finite prediction for each row; {n_bad} of {len(known)} have none.")
    values = np.full((rows.n, 1 if target.n_classes <= 2 else target.n_classes), np.nan)
    values[covered] = probabilities_of(owner, known, target.n_classes) if target.n_classes else known
    return values


def _places(owner: str, frame: pd.DataFrame, target: Target) -> list[int]:
    """Of the columns, in the order of the classes."""
    names, classes = list(frame.columns), target.classes
    if len(names) == 1 and target.n_classes <= 2:
        return [0]
    if not target.n_classes:
        raise ValueError(f"{owner} must be one column of numbers; got {some([repr(n) for n in names])}. Choose one.")
    by_class = columns_of_classes(names, classes)
    if by_class is not None:
        return by_class
    one = "one column, the probability of the last class, or " if len(classes) == 2 else ""
    raise ValueError(
        f"{owner} must have {one}a column for each of the classes {some([str(c) for c in classes])}, named as they "
        f"are; got {some([repr(n) for n in names])}. Rename or drop columns."
    )


def columns_of_classes(names: Sequence[Any], classes: Any) -> list[int] | None:
    """Where the columns of the classes stand, by names that are theirs, alone or behind the same few letters."""
    spelled, wanted = [str(name) for name in names], [str(label) for label in classes]
    if len(spelled) != len(wanted):
        return None
    if set(spelled) == set(wanted):
        return [spelled.index(label) for label in wanted]
    ends = [name.removesuffix(label) for name in spelled for label in wanted if name.endswith(label)]
    for prefix in sorted(set(ends), key=len):  # of "p_1" and "p_11" it is "p_", not "p_1"
        if prefix and set(spelled) == {prefix + label for label in wanted}:
            return [spelled.index(prefix + label) for label in wanted]
    return None


def probabilities_of(owner: str, values: np.ndarray, n_classes: int) -> np.ndarray:
    """Checked, of a sum of exactly 1; of two classes the second one's. Rounding in files is forgiven."""
    low, high = float(values.min(initial=0)), float(values.max(initial=1))
    if low < -SUM_TOLERANCE or high > 1 + SUM_TOLERANCE:
        percent = low >= 0 and 1 < high <= 100
        cure = "Divide by 100 if these are percentages." if percent else "Turn scores into probabilities."
        raise ValueError(f"{owner} must hold probabilities, from 0 to 1; got {low:.4g} to {high:.4g}. {cure}")
    values = np.clip(values, 0, 1)
    if values.shape[1] > 1:
        sums = values.sum(axis=1, keepdims=True)
        off = np.abs(sums - 1)
        if off.max(initial=0) > ROUNDED:
            raise ValueError(
                f"{owner} must hold probabilities whose sum is 1 in each row; {int((off > ROUNDED).sum())} of "
                f"{len(values)} rows are off, by up to {off.max():.4g}. Are columns lacking, or are these scores?"
            )
        values = values / sums
    return values[:, 1:] if values.shape[1] == 2 and n_classes == 2 else values


def _warn_of_classes(values: dict[str, np.ndarray]) -> None:
    certain = [name for name, table in values.items() if np.isin(table, (0.0, 1.0)).all()]
    if certain:
        warn(
            f"The predictions of {some(list(map(repr, certain)))} are nothing but 0 and 1, as if they were classes. A "
            "blend needs to know how sure a learner is: give what predict_proba gives.",
            NotProbabilitiesWarning,
            stacklevel=4,
        )


# --- folds ----------------------------------------------------------------------------------------------


def _folds_of(folds: Any, y: Any, rows: _Rows, target: Target) -> Folds:
    """From a label per row, a splitter or pairs; where they are not known, shuffled ones."""
    labels = None if folds is None or hasattr(folds, "split") else _labels_of(folds)
    if labels is not None:
        return _by_label(_in_order("folds", folds if is_pandas(folds) else labels, rows))
    given = np.asarray(y)
    splitter = splitter_of(folds, given, classifier=target.n_classes > 0)
    return make_folds(splitter, np.zeros((rows.n, 1)), given, seed=0)


def _labels_of(folds: Any) -> np.ndarray | None:
    """A label per row, or None for pairs and numbers of folds."""
    if np.isscalar(folds) or (isinstance(folds, tuple | list) and folds and not np.isscalar(folds[0])):
        return None
    values = np.asarray(folds) if hasattr(folds, "__len__") else None
    return values if values is not None and values.ndim == 1 else None


def _by_label(folds: Any) -> Folds:
    labels = np.asarray(folds)
    if pd.isna(labels).any():
        raise ValueError("folds must name the fold of each row; some have none. Fill them in, or leave folds out.")
    codes, names = pd.factorize(labels, sort=True)
    if len(names) < 2:
        raise ValueError(f"folds must name two folds or more; got {names.tolist()!r} only. Leave folds out.")
    pairs = tuple((np.flatnonzero(codes != fold), np.flatnonzero(codes == fold)) for fold in range(len(names)))
    return Folds(pairs, len(labels), tuple(f"fold {name}" for name in names))


def _scores(
    values: dict[str, np.ndarray], blocks: dict[str, Block], target: Target, folds: Folds, weights: np.ndarray | None
) -> pd.DataFrame:
    """Of each learner on the rows that each fold tests; what it took is not known."""
    found = {}
    for name, table in values.items():
        for fold, (_, test) in enumerate(folds.pairs):
            weight = None if weights is None else weights[test]
            found[name, fold] = score(target.values[test], table[test], blocks[name], weight)
    frame = pd.DataFrame.from_dict(found, orient="index").assign(fit_seconds=np.nan, predict_seconds=np.nan)
    frame.index = pd.MultiIndex.from_tuples(list(found), names=["learner", "fold"])
    return frame
