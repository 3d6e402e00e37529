"""The folds that a command line asks for: who makes them, and whether all of them can be made and used."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any
from warnings import catch_warnings, simplefilter

import numpy as np
from sklearn.base import clone
from sklearn.model_selection import (
    GroupKFold,
    KFold,
    RepeatedKFold,
    RepeatedStratifiedKFold,
    StratifiedGroupKFold,
    StratifiedKFold,
)

from stackkit._data import Folds, TimeOrderSplit, make_folds
from stackkit.cli.problem import Problem
from stackkit.cli.tables import TableError
from stackkit.evaluation import plan_nested

CV, OUTER, VERDICT = "--cv", "--outer", "--verdict"  # options that ask for folds


def make_splitter(problem: Problem, n_folds: int, *, repeats: int, seed: int, option: str, gap: int = 0) -> Any:
    """Shuffled, and stratified for classes; by groups or in time order where asked for."""
    classes = problem.task == "classification"
    if repeats > 1 and problem.together is not None:
        raise ValueError("--repeats goes with neither --groups nor --time-order; leave one of them out")
    if problem.groups is not None and problem.times is not None:
        raise ValueError("--groups and --time-order exclude each other; leave one of them out")
    if gap and problem.times is None:
        raise ValueError("--gap leaves out times, and goes with --time-order only; add that, or leave --gap out")
    if problem.times is not None:
        what = f"different values of {problem.columns.time_order!r}"
        _enough(problem, what, len(set(problem.times)), n_folds, option=option, spare=1 + gap)
        return TimeOrderSplit(n_folds, gap=gap)
    if classes:
        label, count = min(Counter(problem.y.tolist()).items(), key=lambda item: item[1])
        _enough(problem, f"rows of the class {label!r}", count, n_folds, option=option)
    _enough(problem, "rows", len(problem.y), n_folds, option=option)
    if problem.groups is not None:
        _enough(problem, "groups", len(set(problem.groups)), n_folds, option=option)
        grouped = StratifiedGroupKFold if classes else GroupKFold
        return grouped(n_folds, shuffle=True, random_state=seed)
    if repeats > 1:
        repeated = RepeatedStratifiedKFold if classes else RepeatedKFold
        return repeated(n_splits=n_folds, n_repeats=repeats, random_state=seed)
    return (StratifiedKFold if classes else KFold)(n_folds, shuffle=True, random_state=seed)


def _enough(problem: Problem, what: str, found: int, n_folds: int, *, option: str, spare: int = 0) -> None:
    most = found - spare
    if most >= n_folds:
        return
    verdict, gap = option == VERDICT, max(0, spare - 1)
    asked = f"{option} makes {n_folds} outer folds and" if verdict else f"{option} {n_folds}"
    ways = [f"leave {VERDICT} out"] if verdict else []
    if most >= 2:
        ways += [f"use {'stackkit compare --outer' if verdict else option} {most}"]
    if gap and found > 2:
        ways += ["use a smaller --gap"]
    advice = ", or ".join(ways) or "that is too little for folds; get more, or leave it out"
    with_gap = f" with --gap {gap}" if gap else ""
    raise problem.table.error(f"{asked}{with_gap} needs {n_folds + spare} {what}, and there are {found}; {advice}")


# --- all of them, before anything is fitted -----------------------------------------------------------


def check_folds(problem: Problem, stack: Any, n_folds: int) -> None:
    """Make the folds of a fit; an error says which cannot be made or used."""
    asked = _Asked(problem, stack.cv, f"{CV} {n_folds}", CV)
    folds = asked.folds(stack.cv, "fold")
    asked.check_classes(folds.covered, "the folds test")


def check_nested(problem: Problem, stack: Any, outer: Any, n_folds: int, *, option: str) -> None:
    """Make the folds of nested scores, with the ``outer`` splitter that ``option`` asks for; errors likewise."""
    n_outer = outer.get_n_splits()
    name = f"{VERDICT} with {n_outer} outer folds" if option == VERDICT else f"{option} {n_outer}"
    asked = _Asked(problem, stack.cv, f"{name} and {CV} {n_folds} in each", option)
    asked.folds(outer, "outer fold")
    bare = clone(stack).set_params(memory=None, time_limit=None)  # so that nothing but folds can be wrong with it
    given = {"cv": outer, "scoring": None, "groups": problem.together, "sample_weight": None}
    try:
        with catch_warnings():
            simplefilter("ignore", UserWarning)  # classes of few rows: the fits will say so
            made = plan_nested(bare, problem.X, problem.target.values, **given)
    except ValueError as error:
        raise asked.error(str(error)) from error
    if problem.task == "classification" and problem.together is None:
        _check_strata(problem, [fold.train for fold in made.folds], n_folds, asked)
    for number, fold in enumerate(made.folds):
        where = f"of outer fold {number} of {n_outer}"
        for inner, (train, _) in enumerate(fold.inner):
            asked.check_classes(train, f"inner fold {inner} {where} trains on")
        asked.check_classes(fold.covered, f"the inner folds {where} test")


def _check_strata(problem: Problem, parts: Sequence[np.ndarray], n_folds: int, asked: _Asked) -> None:
    """A row of each class for each stratified fold, inside the outer folds too."""
    counts = [Counter(problem.y[rows].tolist()) for rows in parts]
    left, label = min((count[label], label) for count in counts for label in problem.schema.classes or ())
    if left < n_folds:
        rows = f"{left} rows of the class {label!r}"
        raise problem.table.error(
            f"{len(parts)} outer folds leave {rows} to {CV} {n_folds} inner ones; {asked.advice()}"
        )


@dataclass(frozen=True)
class _Asked:
    """Folds that were asked for by some options, in ``words``; the last one is ``option``."""

    problem: Problem
    cv: Any
    words: str
    option: str

    def folds(self, splitter: Any, title: str) -> Folds:
        by_row = {} if self.problem.together is None else {"groups": self.problem.together}
        try:
            folds = make_folds(splitter, self.problem.X, self.problem.y, seed=0, **by_row)
        except ValueError as error:
            raise self.error(str(error)) from error
        for fold, (train, _) in enumerate(folds.pairs):
            self.check_classes(train, f"{title} {fold} of {len(folds)} trains on")
        return folds

    def check_classes(self, rows: np.ndarray, what: str) -> None:
        """Neither half of the classifiers nor a final estimator can be fitted to one class."""
        found = set(self.problem.y[rows].tolist()) if self.problem.task == "classification" else set()
        if len(found) == 1:
            spread = "each class has to be in more of the groups" if self.problem.groups is not None else None
            raise self.error(f"{what} rows of the class {found.pop()!r} only", spread)

    def error(self, cause: str, cure: str | None = None) -> TableError:
        columns, gap = self.problem.columns, getattr(self.cv, "gap", 0)
        how = f" by --groups {columns.groups!r}" if columns.groups else ""
        how += f" by --time-order {columns.time_order!r}" if columns.time_order else ""
        how += f" with --gap {gap}" if gap else ""
        # What an error in Python advises is about parameters.
        what = cause.partition(". ")[0].rstrip(".")
        return self.problem.table.error(f"{self.words}{how} cannot be used: {what}; {self.advice(cure)}")

    def advice(self, cure: str | None = None) -> str:
        """Inside an outer fold there are fewer rows, groups and times to split."""
        smaller = [CV, *([OUTER] if self.option == OUTER and self.problem.groups is None else [])]
        smaller += ["--gap"] if getattr(self.cv, "gap", 0) else []
        other = f", or leave {VERDICT} out" if self.option == VERDICT else ""
        return (cure or f"use a smaller {' or '.join(smaller)}") + other
