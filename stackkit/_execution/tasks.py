"""Learner x fold tasks: one flat list, and what comes of each."""

from __future__ import annotations

import os
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from hashlib import blake2b
from pathlib import Path
from typing import Any

import numpy as np
from sklearn.base import clone

from stackkit._data import Folds, Target
from stackkit._members import Block, Member, trains_folds_together
from stackkit._store import StoreFiles
from stackkit._utils import is_of, parts_of, under

ALL_ROWS = -1  # the fold number of a fit on all rows
SEEDS = ("random_state", "random_seed", "seed")
OUT_OF_TIME = "time_limit"  # the stage of the failure of a learner that was not fitted in time


@dataclass(frozen=True, eq=False)
class Task:
    """Fit one learner on some folds: on one, or on all of them where it offers ``fit_folds``.

    ``key`` names its results in the store, None where they cannot be kept there; ``node`` is its place in the tree
    of scikit-learn's callbacks, None where nobody listens.
    """

    name: str
    learner: Any
    folds: tuple[int, ...]
    key: str | None = None
    node: Any = None


@dataclass(frozen=True)
class Failure:
    """Why a learner has no result; the cause is kept where it can be pickled."""

    stage: str
    message: str
    traceback: str = ""
    cause: BaseException | None = None


@dataclass(frozen=True)
class Result:
    """What one learner gave on one fold.

    ``pickled`` is the member's estimator on its way between processes, ``in_store`` tells that the store has it;
    ``peak_bytes`` is the most memory that the worker's process had; ``problems`` tells what the store could not keep
    or give back.
    """

    name: str
    fold: int
    member: Member | None = None
    oof: np.ndarray | None = None
    new: np.ndarray | None = None
    fit_seconds: float = np.nan
    predict_seconds: float = np.nan
    failure: Failure | None = None
    pickled: bytes | Path | None = None
    in_store: bool = False
    peak_bytes: int = 0
    problems: tuple[str, ...] = ()


@dataclass(frozen=True)
class Job:
    """What all tasks share: it crosses to each worker process once."""

    X: Any
    target: Target
    folds: Folds
    blocks: dict[str, Block]
    fit_params: dict[str, dict[str, Any]]
    X_test: Any = None
    keep_members: bool = True
    store: StoreFiles | None = None
    test_print: str = ""  # what the store calls X_test
    home: int = field(default_factory=os.getpid)  # the process that runs the tasks, or has them run

    def training_rows(self, fold: int) -> np.ndarray:
        return np.arange(self.folds.n_rows) if fold == ALL_ROWS else self.folds.pairs[fold][0]

    def test_parts(self, fold: int) -> list[np.ndarray]:
        return [np.arange(0)] if fold == ALL_ROWS else self.folds.test_parts(fold)

    def keeps_member(self, fold: int) -> bool:
        return self.keep_members or fold == ALL_ROWS


def make_tasks(learners: Sequence[tuple[str, Any]], folds: Sequence[int], entropy: int) -> list[Task]:
    """All learners' first folds first, so that a learner that cannot work is found out early."""
    together = {name for name, learner in learners if trains_folds_together(learner) and ALL_ROWS not in folds}
    tasks = [
        Task(name, seeded(learner, entropy, name, folds[0]), tuple(folds))
        for name, learner in learners
        if name in together
    ]
    tasks += [
        Task(name, seeded(learner, entropy, name, fold), (fold,))
        for fold in folds
        for name, learner in learners
        if name not in together
    ]
    return tasks


def seeded(learner: Any, entropy: int, name: str, fold: int) -> Any:
    """A clone whose open ``random_state`` parameters are set, by learner and fold alone.

    Not by its place in the list: a learner more or less changes nothing for the others.
    """
    learner = clone(learner)
    given = parts_of(learner)
    parameters = sorted(key for key in given if key == "random_state" or key.endswith("__random_state"))
    # It tells of no parameter that was not given.
    parameters += sorted(under(owner, "random_seed") for owner, part in given.items() if is_of(part, "catboost"))
    key = int.from_bytes(blake2b(name.encode(), digest_size=8).digest(), "little")
    seeds = np.random.SeedSequence([entropy, key, fold + 1]).generate_state(len(parameters))
    # 31 bits: what every library takes.
    fresh = {p: int(seed >> 1) for p, seed in zip(parameters, seeds, strict=True) if _is_open(p, given)}
    return learner.set_params(**fresh) if fresh else learner


def _is_open(parameter: str, given: dict[str, Any]) -> bool:
    """Whether no seed was given, under none of the names that LightGBM, XGBoost and CatBoost have for it."""
    owner = parameter.rpartition("__")[0]
    fitted = is_of(given[owner], "catboost") and given[owner].is_fitted()  # then it takes no parameter
    return not fitted and all(given.get(under(owner, name)) is None for name in SEEDS)


def by_learner(results: Iterable[Result], names: Iterable[str]) -> dict[str, list[Result]]:
    """The results of these learners, each learner's in the order of its folds."""
    found: dict[str, list[Result]] = {name: [] for name in names}
    for result in sorted(results, key=lambda result: result.fold):
        if result.name in found:
            found[result.name].append(result)
    return found
