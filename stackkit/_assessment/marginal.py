"""The final estimator out of fold: cross-fitted on the table of predictions, by the same folds.

What it predicts for the rows that it was fitted on is no estimate of anything. Cross-fitted on the table it never saw
the target of the row that it predicts. A little of it is left all the same, for the table's other rows come from
learners that saw it: `stackkit.evaluation.nested_scores` is free of that.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import pandas as pd
from sklearn.utils.parallel import Parallel, delayed

from stackkit._blending import seen_columns, takes_folds, with_folds
from stackkit._data import Folds, Target, beside, check_methods, take_rows
from stackkit._execution import seeded
from stackkit._members import Block, Member, fit_member, make_blocks, predict_block, requested_weights, settle
from stackkit._oof import METRICS, OutOfFold, close_gaps, score
from stackkit._utils import single_threaded_blas

STACK = "stack"
MOST_PARTS = 10  # times that the final estimator is fitted, where folds can be merged
LEAST_LEFT = 0.7  # share of their training rows that merged folds must have in common
MOST_ROWS = 5000  # what tells the marginal values of forty learners in seconds, and their order well enough


def target_of(oof: OutOfFold) -> Target:
    return Target(oof.y, oof.classes, "regression" if oof.classes is None else "classification")


def second_level(
    final: Any, oof: OutOfFold, *, X: Any = None, picked: Sequence[int] = (), n_jobs: int | None = None
) -> OutOfFold:
    """The stack's predictions of the training rows, by a final estimator that did not see them.

    ``picked`` are the positions of the columns of ``X`` that it sees beside the table. Its ``train`` has the same rows
    as that of ``oof``, and the columns of one learner named "stack". ``covered`` are those that could be tested: in a
    time series, not the rows of the first fold, before which the table is empty.
    """
    folds, block = second_level_folds(final, oof), block_of_stack(final, oof)
    train = np.full((len(oof.train), block.width), np.nan)
    scores, trials = {}, _trials(final, oof, folds, list(oof.blocks), X=X, picked=picked)
    for fold, values in enumerate(_values(final, oof, trials, n_jobs)):
        if isinstance(values, Exception):
            raise values
        test = folds.pairs[fold][1]
        train[test] = settle(values, block)
        scores[STACK, fold] = _score(oof, values, test, block)
    frame = pd.DataFrame.from_dict(scores, orient="index")
    frame.index = pd.MultiIndex.from_tuples(list(scores), names=["learner", "fold"])
    return replace(
        oof,
        train=train,
        test=None,
        columns=block.names(STACK),
        blocks={STACK: block},
        covered=folds.covered,
        folds=folds,
        scores=frame,
        members={STACK: []},
        failures=oof.failures.iloc[:0],
    )


def marginal_values(final: Any, oof: OutOfFold, *, n_jobs: int | None = None) -> pd.Series:
    """What the stack loses when a learner leaves: the final estimator is cross-fitted with and without its columns.

    In log-loss or rmse; in accuracy where the final estimator gives no probabilities. Above zero: the learner is of
    use. NaN where it cannot be told. Of a long table only some rows are used, always the same.
    """
    names, block = list(oof.blocks), block_of_stack(final, oof)
    try:
        folds = _thinned(second_level_folds(final, oof))
    except ValueError:
        return pd.Series(np.nan, index=names, name="marginal")
    others = [[other for other in names if other != name] for name in names] if len(names) > 1 else []
    trials = [trial for kept in [names, *others] for trial in _trials(final, oof, folds, kept)]
    found = _values(final, oof, trials, n_jobs)
    by_choice = (found[start : start + len(folds)] for start in range(0, len(found), len(folds)))
    losses = [_loss(oof, values, folds, block) for values in by_choice]
    without = losses[1:] or [np.nan]
    return pd.Series(np.array(without) - losses[0], index=names, name="marginal")


def _loss(oof: OutOfFold, values: Sequence[np.ndarray | Exception], folds: Folds, block: Block) -> float:
    """The mean over folds; NaN where one failed."""
    parts = [part for part in values if not isinstance(part, Exception)]
    if len(parts) < len(values):
        return np.nan
    scores = pd.DataFrame([_score(oof, part, test, block) for part, (_, test) in zip(parts, folds.pairs, strict=True)])
    metric, fallback = METRICS[target_of(oof).task]
    means = scores.mean()  # without parts whose rows all weigh zero
    return float(-means[fallback] if np.isnan(means[metric]) else means[metric])


def second_level_folds(final: Any, oof: OutOfFold) -> Folds:
    """Which rows of the table the final estimator is trained on, and which it then predicts.

    It is trained on training rows of the fold whose test rows it predicts, not on all others: those that the fold left
    out are of the same group, or later, or in a gap. Each row is predicted once, in the first fold where it can be.
    """
    predicted, pairs = np.zeros(len(oof.train), dtype=bool), []
    for train, test in oof.folds.pairs:
        known, new = np.sort(train[oof.covered[train]]), test[~predicted[test]]
        if len(new) and _suffice(final, oof, known):
            pairs.append((known, new))
            predicted[new] = True
    if not pairs:
        raise ValueError(
            "no fold trains on enough rows that another fold has predicted, so that the final estimator cannot be "
            "cross-fitted. Use a 'cv' with more folds."
        )
    return Folds(tuple(_merged(pairs, len(oof.train))), len(oof.train))


def _suffice(final: Any, oof: OutOfFold, rows: np.ndarray) -> bool:
    """Whether a final estimator can be fitted to these rows; a stack that goes on with the folds needs some of them."""
    if takes_folds(final) and oof.folds.within(rows) is None:
        return False
    heavy = rows if oof.sample_weight is None else rows[oof.sample_weight[rows] != 0]
    return len(np.unique(oof.y[heavy]) if target_of(oof).n_classes else heavy) > 1


def _merged(pairs: list[tuple[np.ndarray, np.ndarray]], n_rows: int) -> list[tuple[np.ndarray, np.ndarray]]:
    """Of many folds, such as one for each row, several become one, trained on the rows that all of them train on.

    Not where these are much fewer, as when each fold trains on what went before it.
    """
    if len(pairs) <= MOST_PARTS:
        return pairs
    merged = []
    for start in range(MOST_PARTS):
        some = pairs[start::MOST_PARTS]
        times = np.zeros(n_rows, dtype=int)
        for train, _ in some:
            times[train] += 1
        common = np.flatnonzero(times == len(some))
        if len(common) < LEAST_LEFT * np.mean([len(train) for train, _ in some]):
            return pairs
        merged.append((common, np.sort(np.concatenate([test for _, test in some]))))
    return merged


def _thinned(folds: Folds) -> Folds:
    if folds.covered.sum() <= MOST_ROWS:
        return folds
    keep = np.zeros(folds.n_rows, dtype=bool)
    keep[np.random.default_rng(0).choice(np.flatnonzero(folds.covered), MOST_ROWS, replace=False)] = True
    pairs = [(train[keep[train]], test[keep[test]]) for train, test in folds.pairs]
    return Folds(tuple((train, test) for train, test in pairs if len(train) and len(test)), folds.n_rows)


# --- fitting the final estimator on parts of the table ------------------------------------------------


def block_of_stack(final: Any, oof: OutOfFold) -> Block:
    """The final estimator is to the table what a learner is to X."""
    target = target_of(oof)
    stack = [(STACK, final)]
    return make_blocks(stack, check_methods(stack, "auto", target.task), target)[STACK]


def _trials(
    final: Any, oof: OutOfFold, folds: Folds, names: Sequence[str], *, X: Any = None, picked: Sequence[int] = ()
) -> list[_Trial]:
    """For each fold, a final estimator that is to be fitted to the columns of these learners."""
    table, blocks = only(oof, names)
    return [
        _Trial(with_folds(seeded(final, 0, STACK, fold), oof.folds, pair[0]), table, blocks, *pair, X, list(picked))
        for fold, pair in enumerate(folds.pairs)
    ]


def _values(final: Any, oof: OutOfFold, trials: Sequence[_Trial], n_jobs: int | None) -> list[np.ndarray | Exception]:
    """What each trial's final estimator predicts for its test rows."""
    target, block = target_of(oof), block_of_stack(final, oof)
    params = requested_weights(final, oof.sample_weight)
    with single_threaded_blas():
        found: list[np.ndarray | Exception] = Parallel(n_jobs=n_jobs, backend="threading")(
            delayed(trial.predictions)(target, params, block) for trial in trials
        )
    return found


def cross_fitted_finals(
    final: Any, oof: OutOfFold, folds: Folds, *, X: Any, picked: Sequence[int], n_jobs: int | None
) -> list[FittedFinal]:
    """The final estimators behind `second_level`, one for each of its folds."""
    target, params = target_of(oof), requested_weights(final, oof.sample_weight)
    trials = _trials(final, oof, folds, list(oof.blocks), X=X, picked=picked)
    with single_threaded_blas():
        found: list[FittedFinal] = Parallel(n_jobs=n_jobs, backend="threading")(
            delayed(trial.fitted)(target, params) for trial in trials
        )
    return found


def only(oof: OutOfFold, names: Sequence[str]) -> tuple[np.ndarray, dict[str, Block]]:
    """Columns of some learners, and where each has its own."""
    blocks = close_gaps({name: oof.blocks[name] for name in names})
    return np.hstack([oof.train[:, oof.blocks[name].columns] for name in names]), blocks


@dataclass(frozen=True)
class FittedFinal:
    """A final estimator that was fitted to some rows of a table with these blocks, and of X the columns ``picked``."""

    member: Member
    blocks: dict[str, Block]
    picked: list[int]

    def predictions(self, table: np.ndarray, X: Any, block: Block) -> np.ndarray:
        """Of rows by their learners' columns, and by X where some of it is picked."""
        seen = seen_columns(self.member.estimator, table, self.blocks, self.member.codes)
        # The final estimator of a stack that was fitted to a frame knows its columns by name.
        final = self.member.estimator
        named = hasattr(final, "feature_names_in_")
        features = (beside if named else _with_picked)(*seen, X, self.picked, final)
        return predict_block(self.member, features, block)


@dataclass(frozen=True)
class _Trial:
    """A final estimator, the columns of some learners, and the rows that it is fitted to and tested on."""

    final: Any
    table: np.ndarray
    blocks: dict[str, Block]
    train: np.ndarray
    test: np.ndarray
    X: Any
    picked: list[int]

    def fitted(self, target: Target, params: dict[str, Any]) -> FittedFinal:
        codes = np.unique(target.values[self.train]) if target.n_classes else np.arange(0)
        seen = seen_columns(self.final, self.table, self.blocks, codes)
        features = _with_picked(*seen, self.X, self.picked, self.final)
        return FittedFinal(fit_member(self.final, features, target, self.train, params), self.blocks, self.picked)

    def predictions(self, target: Target, params: dict[str, Any], block: Block) -> np.ndarray | Exception:
        rows = take_rows(self.X, self.test) if self.picked else None
        try:
            return self.fitted(target, params).predictions(self.table[self.test], rows, block)
        except Exception as error:  # noqa: BLE001 - a final estimator may refuse in any way it likes
            return error


def _with_picked(table: np.ndarray, names: list[str], X: Any, picked: list[int], final: Any) -> Any:
    return beside(table, names, X, picked, final) if picked else table


def _score(oof: OutOfFold, values: np.ndarray, test: np.ndarray, block: Block) -> dict[str, float]:
    return score(oof.y[test], values, block, None if oof.sample_weight is None else oof.sample_weight[test])
