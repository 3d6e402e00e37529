"""What the stack's score loses when columns are shuffled: each row predicted by models that did not see it."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from hashlib import blake2b
from typing import Any, Literal

import joblib
import numpy as np
import pandas as pd
from scipy import sparse
from sklearn.utils.parallel import Parallel, delayed

from stackkit._assessment.fold_stacks import check_same_rows, fold_columns, fold_members, width_of
from stackkit._assessment.intervals import corrected_interval
from stackkit._assessment.marginal import (
    FittedFinal,
    block_of_stack,
    cross_fitted_finals,
    second_level_folds,
    target_of,
)
from stackkit._assessment.scorers import Scoring, answers_of, labels_of, make_scoring
from stackkit._data import Folds, by_name, check_raw_table, is_pandas, is_polars, take_rows
from stackkit._members import Block, Member, settle
from stackkit._oof import OutOfFold
from stackkit._utils import did_you_mean, single_threaded_blas, thread_limits, threads_per_task

BATCH = 20_000  # rows, with their shuffled copies, that a learner is asked for at once

Features = dict[str, list[int]]


@dataclass(frozen=True)
class Importances:
    """By how much the score gets worse: of each feature (rows) on each fold (columns), the mean over the repeats.

    NaN on a fold whose rows all weigh zero.
    """

    values: pd.DataFrame
    baseline: np.ndarray
    scoring: Scoring
    folds: Folds

    def summary(self) -> pd.DataFrame:
        """Mean, standard deviation and 95 % interval over the folds that have a score, the largest mean first."""
        values, folds = self.values, self.folds
        if len(known := np.flatnonzero(~np.isnan(self.baseline))):
            values, folds = values.iloc[:, known], replace(folds, pairs=tuple(folds.pairs[fold] for fold in known))
        rows = {name: corrected_interval(row.to_numpy(), folds) for name, row in values.iterrows()}
        frame = pd.DataFrame.from_dict(
            {name: (i.mean, i.low, i.high) for name, i in rows.items()}, orient="index", columns=["mean", "low", "high"]
        )
        frame.insert(1, "std", values.std(axis=1, ddof=0))
        return frame.rename_axis("feature").sort_values("mean", ascending=False, kind="stable")


def importances_of(
    oof: OutOfFold,
    final: Any,
    X: Any,
    *,
    features: Features,
    scoring: Any,
    n_repeats: int,
    max_rows: int | None,
    entropy: int,
    picked: Sequence[int],
    n_jobs: int | None,
    of: Literal["columns", "learners"] = "columns",
) -> Importances:
    """Shuffle columns among the test rows of a fold, and ask the fold's models and its final estimator again.

    ``X`` are the training rows as they were fitted to, ``final`` the stack's final estimator, ``features`` the
    positions of columns by name, in X or, ``of`` learners, in the table: those of one name are shuffled together. Of
    more than ``max_rows`` rows that many are used, drawn by chance.
    """
    target = target_of(oof)
    methods = [method for method in ("predict", "predict_proba", "decision_function") if hasattr(final, method)]
    score = make_scoring(scoring, methods, X, target, oof.sample_weight, owner="permutation_importance")
    folds = second_level_folds(final, oof)
    finals = cross_fitted_finals(final, oof, folds, X=X, picked=picked, n_jobs=n_jobs)
    block, members = block_of_stack(final, oof), fold_members(oof) if of == "columns" else {}
    part_of = _Part if of == "columns" else _TablePart
    parts = []
    for k, (_, test) in enumerate(folds.pairs):
        rows = _some(test, folds, max_rows, entropy)
        parts.append(part_of(oof, members, finals[k], block, X, rows, _by_fold(oof, rows), score, (entropy, k)))
    workers = joblib.effective_n_jobs(n_jobs)
    shuffles = [(name, repeat) for name in features for repeat in range(n_repeats)]
    baseline, tasks = [], []
    with single_threaded_blas():
        for part in parts:
            table = part.table(part.rows)
            check_same_rows(oof, part.test, table)
            baseline.append(part.scores(table, part.rows)[0])
        for part in parts:
            size = max(1, BATCH // len(part.test))
            tasks += [(part, shuffles[start : start + size]) for start in range(0, len(shuffles), size)]
        found = Parallel(n_jobs=n_jobs, backend="threading")(
            delayed(part.shuffled_scores)(some, features, threads_per_task(workers)) for part, some in tasks
        )
    scores: dict[str, list[list[float]]] = {name: [[] for _ in parts] for name in features}
    for (part, some), values in zip(tasks, found, strict=True):
        for (name, _), value in zip(some, values, strict=True):
            scores[name][part.seed[1]].append(value)
    means = pd.DataFrame({name: [float(np.mean(of_fold)) for of_fold in by_fold] for name, by_fold in scores.items()}).T
    values = score.sign * means.rsub(np.array(baseline))
    return Importances(values, np.array(baseline), score, folds)


def _some(rows: np.ndarray, folds: Folds, most: int | None, entropy: int) -> np.ndarray:
    """The fold's share of the rows that are used."""
    n_rows = sum(len(test) for _, test in folds.pairs)
    if most is None or n_rows <= most:
        return rows
    n_kept = max(2, round(most * len(rows) / n_rows))
    if n_kept >= len(rows):
        return rows
    return np.sort(np.random.default_rng([entropy, len(rows)]).choice(rows, n_kept, replace=False))


def _by_fold(oof: OutOfFold, rows: np.ndarray) -> list[tuple[int, np.ndarray]]:
    """The folds that test some of these rows, each with the places where they stand."""
    found = [(fold, np.flatnonzero(np.isin(rows, test))) for fold, (_, test) in enumerate(oof.folds.pairs)]
    return [(fold, places) for fold, places in found if len(places)]


@dataclass(frozen=True)
class _Part:
    """Test rows of a fold, with those that predict them: fold models that did not see them, and a final estimator."""

    oof: OutOfFold
    members: dict[str, list[Member]]
    final: FittedFinal
    block: Block
    X: Any
    test: np.ndarray
    by_fold: list[tuple[int, np.ndarray]]
    scoring: Scoring
    seed: tuple[int, int]

    @property
    def rows(self) -> Any:
        return take_rows(self.X, self.test)

    def table(self, rows: Any) -> np.ndarray:
        """The learners' columns, for copies of the test rows: each by the fold models whose test row it is."""
        n_copies = rows.shape[0] // len(self.test)
        total = {name: np.zeros((rows.shape[0], width_of(block))) for name, block in self.oof.blocks.items()}
        times = np.zeros(len(self.test))
        for fold, here in self.by_fold:
            times[here] += 1
            places = (np.arange(n_copies)[:, np.newaxis] * len(self.test) + here).ravel()
            of_fold = take_rows(rows, places)
            for name, values in fold_columns(self.members, self.oof.blocks, fold, of_fold).items():
                total[name][places] += values
        share = np.tile(times, n_copies)[:, np.newaxis]
        return np.hstack([settle(values / share, self.oof.blocks[name]) for name, values in total.items()])

    def scores(self, table: np.ndarray, rows: Any) -> list[float]:
        """The stack's score on each copy of the test rows."""
        n = len(self.test)
        values = settle(self.final.predictions(table, rows, self.block), self.block)
        target, weights = target_of(self.oof), self.oof.sample_weight
        truth, weight = labels_of(target)[self.test], None if weights is None else weights[self.test]
        if weight is not None and self.scoring.takes_weights and not weight.any():
            return [np.nan] * (len(values) // n)
        found = []
        for start in range(0, len(values), n):
            answers = answers_of(values[start : start + n], self.block, self.oof.classes)
            found.append(self.scoring(answers, take_rows(rows, np.arange(start, start + n)), truth, weight))
        return found

    def shuffled_scores(
        self, shuffles: Sequence[tuple[str, int]], features: Features, threads: int | None
    ) -> list[float]:
        places = [(features[name], self._order(name, repeat)) for name, repeat in shuffles]
        rows = _with_shuffled(self.rows, places)
        with thread_limits(threads):
            return self.scores(self.table(rows), rows)

    def _order(self, name: str, repeat: int) -> np.ndarray:
        """By name, so that other features change nothing."""
        key = int.from_bytes(blake2b(name.encode(), digest_size=8).digest(), "little")
        return np.random.default_rng([*self.seed, repeat, key]).permutation(len(self.test))


@dataclass(frozen=True)
class _TablePart(_Part):
    """The same of the table: learners' columns are shuffled, and no learner is asked again."""

    @property
    def rows(self) -> Any:
        return self.oof.train[self.test]

    def table(self, rows: Any) -> np.ndarray:
        return rows

    def scores(self, table: np.ndarray, rows: Any) -> list[float]:
        beside = rows if self.X is None else take_rows(self.X, np.tile(self.test, len(table) // len(self.test)))
        return super().scores(table, beside)


# --- copies of rows -------------------------------------------------------------------------------------


def _with_shuffled(rows: Any, shuffles: Sequence[tuple[list[int], np.ndarray]]) -> Any:
    """A copy of the rows for each shuffle, one below the other, with the columns at its positions in its order."""
    n = rows.shape[0]
    plain = np.tile(np.arange(n), len(shuffles))
    orders: dict[int, np.ndarray] = {}
    for copy, (columns, order) in enumerate(shuffles):
        for column in columns:
            orders.setdefault(column, plain.copy())[copy * n : (copy + 1) * n] = order
    if is_pandas(rows):
        return _pandas_columns(rows, plain, orders)
    copies = rows[plain]
    if is_polars(rows):
        return copies.with_columns(rows[:, column][order] for column, order in orders.items())
    for column, order in orders.items():
        copies[:, column] = rows[order, column]
    return copies


def _pandas_columns(rows: pd.DataFrame, plain: np.ndarray, orders: dict[int, np.ndarray]) -> pd.DataFrame:
    columns = (rows.iloc[:, i].take(orders.get(i, plain)).reset_index(drop=True) for i in range(rows.shape[1]))
    found = pd.concat(columns, axis=1)
    found.columns = rows.columns
    return found


# --- what is shuffled -----------------------------------------------------------------------------------


def table_of_fit(model: Any, X: Any) -> Any:
    """The training rows as they were fitted to, with their columns in that order; an error for what is no table."""
    rows, _ = check_raw_table(X, training=False)
    if sparse.issparse(rows) or getattr(rows, "ndim", 2) != 2:
        raise ValueError(
            f"X must be an array or a data frame of rows and columns, for columns to be shuffled; got a "
            f"{type(rows).__name__} of shape {rows.shape}."
        )
    rows = by_name(rows, list(getattr(model, "feature_names_in_", ())))
    wanted = (len(model.oof_.y), model.n_features_in_)
    if rows.shape != wanted:
        raise ValueError(
            f"X must be the training rows of the model, of shape {wanted}; got {rows.shape}. Pass the X that was given "
            "to fit."
        )
    return rows


def column_names(X: Any) -> list[Any]:
    """scikit-learn's names for those of an array."""
    return list(X.columns) if hasattr(X, "columns") else [f"x{i}" for i in range(X.shape[1])]


def features_of(names: Sequence[Any], features: Any) -> Features:
    """Positions of columns by the name of what is shuffled, from what the user gave; ``names`` are X's columns."""
    if features is None:
        return {str(name): [i] for i, name in enumerate(names)}
    if isinstance(features, dict):
        return {str(name): _positions(names, columns) for name, columns in features.items()}
    if isinstance(features, str) or not hasattr(features, "__iter__"):
        raise ValueError(
            "The 'features' parameter of permutation_importance must be None, a list of columns and groups of columns, "
            f"or a dict of such by name; got {features!r}. For one column, pass [{features!r}]."
        )
    found: Features = {}
    for columns in features:
        positions = _positions(names, columns)
        found[", ".join(str(names[i]) for i in positions)] = positions
    return found


def _positions(names: Sequence[Any], columns: Any) -> list[int]:
    several = isinstance(columns, list | tuple | set | np.ndarray | pd.Index)
    return list(dict.fromkeys(_each_position(names, list(columns) if several else [columns])))


def _each_position(names: Sequence[Any], columns: list[Any]) -> Iterator[int]:
    if not columns:
        raise ValueError(
            "The 'features' parameter of permutation_importance has a group without a column. Leave it out."
        )
    for column in columns:
        if column in list(names):
            yield list(names).index(column)
        elif isinstance(column, int | np.integer) and not isinstance(column, bool) and 0 <= column < len(names):
            yield int(column)
        else:
            raise ValueError(
                "The 'features' parameter of permutation_importance must name columns of X, by name or by position "
                f"from 0 to {len(names) - 1}; got {column!r}."
                f"{did_you_mean(column, names) or ' Correct it.'}"
            )
