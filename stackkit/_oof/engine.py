"""The engine behind `cross_fit` and `StackingModel`: one flat list of tasks, and the table made of their results."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from typing import Any
from warnings import warn

import numpy as np
import pandas as pd

from stackkit._data import Folds, Target, is_pandas
from stackkit._execution import ALL_ROWS, NO_LIMITS, NOBODY, Job, Result, by_learner, make_tasks, run_tasks
from stackkit._members import Block, Member, is_prefit, make_blocks, settle
from stackkit._oof.failures import handle_failures, is_late, warn_of_fold_models
from stackkit._oof.scores import score
from stackkit._oof.settings import Settings
from stackkit._oof.table import OutOfFold, close_gaps
from stackkit._utils import some
from stackkit.exceptions import MissingClassWarning, MissingScoreWarning


@dataclass(frozen=True)
class CrossFitted:
    """An out-of-fold table together with the fitted members that predict new rows.

    ``incomplete`` names the learners whose fold models were wanted, but are not all there: their tables came from a
    store that keeps no models.
    """

    oof: OutOfFold
    fold_members: dict[str, list[Member]]
    refitted: dict[str, list[Member]]
    incomplete: list[str]


def run_cross_fit(
    learners: Sequence[tuple[str, Any]],
    X: Any,
    target: Target,
    *,
    folds: Folds,
    methods: Sequence[str],
    fit_params: dict[str, dict[str, Any]],
    weights: np.ndarray | None = None,
    X_test: Any = None,
    keep_members: bool = True,
    refit: bool = False,
    settings: Settings,
) -> CrossFitted:
    """The engine behind ``cross_fit`` and ``StackingModel``: arguments checked, one flat list of tasks."""
    job = Job(
        X,
        target,
        folds,
        make_blocks(learners, methods, target),
        fit_params,
        X_test=X_test,
        keep_members=keep_members,
    )
    tasks = make_tasks(learners, range(len(folds)), settings.entropy)
    if refit:
        tasks += make_tasks(learners, [ALL_ROWS], settings.entropy)
    results: list[Result] = []
    late_refits: list[Result] = []
    with settings.applied(job, tasks, "learners") as (job_with_store, announced, how):
        found = run_tasks(job_with_store, announced, **how)
    for result in found:
        (late_refits if is_late(result) and result.fold == ALL_ROWS else results).append(result)
    failures = handle_failures(results, dict(learners), folds, settings.on_error)
    names = [name for name, _ in learners if name not in set(failures["learner"])]
    warn_of_fold_models((r for r in late_refits if r.name in names), dict(learners), folds)
    return _collect(job, results, names, failures, weights)


def refit_members(
    learners: Sequence[tuple[str, Any]],
    X: Any,
    target: Target,
    *,
    like: OutOfFold,
    fit_params: dict[str, dict[str, Any]],
    settings: Settings,
) -> dict[str, list[Member]]:
    """One more fit on all rows for each of these learners.

    The final estimator counts on them already: with ``on_error="drop"``, or when time is over, one that fails now is
    not among those returned, and keeps its fold models.
    """
    job = Job(X, target, like.folds, like.blocks, fit_params)
    tasks = make_tasks(learners, [ALL_ROWS], settings.entropy)
    with settings.applied(job, tasks, "refits") as (job_with_store, announced, how):
        results = run_tasks(job_with_store, announced, **how)
    if settings.on_error == "raise":
        handle_failures([result for result in results if not is_late(result)], dict(learners), like.folds, "raise")
    warn_of_fold_models(results, dict(learners), like.folds)
    return {result.name: [result.member] for result in results if result.member}


def fold_members_again(
    learners: Sequence[tuple[str, Any]],
    X: Any,
    target: Target,
    *,
    like: OutOfFold,
    fit_params: dict[str, dict[str, Any]],
    settings: Settings,
) -> dict[str, list[Member]]:
    """The fold models of learners whose tables were kept without them: bit for bit the same."""
    job = Job(X, target, like.folds, like.blocks, fit_params)
    tasks = make_tasks(learners, range(len(like.folds)), settings.entropy)
    plain = replace(settings, store=None, limits=NO_LIMITS, on_error="raise", listeners=NOBODY)
    with plain.applied(job, tasks, "fold models") as (job_alone, announced, how):
        results = run_tasks(job_alone, announced, **how)
    handle_failures(results, dict(learners), like.folds, "raise")
    by_name = by_learner(results, [name for name, _ in learners])
    return {name: _members_of(found) for name, found in by_name.items()}


def _collect(
    job: Job, results: list[Result], names: list[str], failures: pd.DataFrame, weights: np.ndarray | None
) -> CrossFitted:
    """Place results by index: their order of arrival means nothing."""
    by_name = by_learner([result for result in results if not _is_refit(result)], names)
    blocks = close_gaps({name: job.blocks[name] for name in names})
    warn_of_missing_classes(by_name, job.target, job.folds)
    _warn_of_missing_scores(job.folds, weights)
    members = {name: _members_of(found) for name, found in by_name.items()}
    oof = OutOfFold(
        train=np.hstack([_out_of_fold(job, by_name[name], blocks[name]) for name in names]),
        test=_of_new_rows(job, by_name, blocks),
        columns=[column for name in names for column in blocks[name].names(name)],
        blocks=blocks,
        covered=job.folds.covered,
        folds=job.folds,
        scores=_score_table(job, by_name, blocks, weights),
        members={name: [member.estimator for member in found] for name, found in members.items()},
        failures=failures,
        index=job.X.index if is_pandas(job.X) else None,
        y=job.target.values,
        classes=job.target.classes,
        sample_weight=weights,
    )
    return CrossFitted(oof, members, _refitted(results, by_name), _lacking_models(job, results, by_name))


def _is_refit(result: Result) -> bool:
    """Whether it is a model of all rows."""
    return result.fold == ALL_ROWS and result.member is not None


def _refitted(results: list[Result], names: Iterable[str]) -> dict[str, list[Member]]:
    wanted = set(names)
    return {r.name: [r.member] for r in results if r.fold == ALL_ROWS and r.member and r.name in wanted}


def _lacking_models(job: Job, results: list[Result], names: Iterable[str]) -> list[str]:
    """Learners whose models were to be kept, but are not there (their results came from a store without models)."""
    lacking = {result.name for result in results if result.member and result.member.estimator is None}
    wanted = {result.name for result in results if job.keeps_member(result.fold)}
    return [name for name in names if name in lacking & wanted]


def _members_of(results: list[Result]) -> list[Member]:
    members = [result.member for result in results if result.member and result.member.estimator is not None]
    return members[:1] if members and is_prefit(members[0].estimator) else members


def _mean(parts: list[Any]) -> np.ndarray:
    return sum(parts[1:], start=parts[0]) / len(parts)


def _of_new_rows(job: Job, by_name: dict[str, list[Result]], blocks: dict[str, Block]) -> np.ndarray | None:
    """The mean over each learner's fold models, where there are new rows."""
    if job.X_test is None:
        return None
    means = {name: _mean([result.new for result in results]) for name, results in by_name.items()}
    return np.hstack([settle(mean, blocks[name]) for name, mean in means.items()])


def _out_of_fold(job: Job, results: list[Result], block: Block) -> np.ndarray:
    width = block.n_classes if block.kind == "label" else block.width
    total = np.zeros((job.folds.n_rows, width))
    for result in results:
        total[job.folds.pairs[result.fold][1]] += result.oof
    with np.errstate(invalid="ignore"):  # 0 / 0: a row that no fold tests
        return settle(total / job.folds.n_tested[:, np.newaxis], block)


def _score_table(
    job: Job, by_name: dict[str, list[Result]], blocks: dict[str, Block], weights: np.ndarray | None
) -> pd.DataFrame:
    rows = {}
    for name, results in by_name.items():
        for result in results:
            test = job.folds.pairs[result.fold][1]
            weight = None if weights is None else weights[test]
            seconds = {"fit_seconds": result.fit_seconds, "predict_seconds": result.predict_seconds}
            rows[name, result.fold] = score(job.target.values[test], result.oof, blocks[name], weight) | seconds
    frame = pd.DataFrame.from_dict(rows, orient="index")
    frame.index = pd.MultiIndex.from_tuples(list(rows), names=["learner", "fold"])
    return frame


def _warn_of_missing_scores(folds: Folds, weights: np.ndarray | None) -> None:
    without = [] if weights is None else [fold for fold, (_, test) in enumerate(folds.pairs) if not weights[test].any()]
    if without:
        titles = ", ".join(folds.title(fold) for fold in without)
        warn(
            f"The rows that a fold tests all weigh zero in {titles}: there is no score of them. Means and intervals "
            "are of the other folds. Use a splitter that gives each fold rows that weigh something.",
            MissingScoreWarning,
            stacklevel=5,
        )


def warn_of_missing_classes(by_name: dict[str, list[Result]], target: Target, folds: Folds) -> None:
    """One warning for all: learners share the folds, so most lack the same classes."""
    lacking: dict[tuple[int, str], list[str]] = {}
    for name, results in by_name.items():
        for result in results:
            seen = result.member.codes if result.member and target.n_classes else np.arange(target.n_classes)
            missing = (
                target.classes[np.setdiff1d(np.arange(target.n_classes), seen)].tolist() if target.n_classes else []
            )
            if missing:
                lacking.setdefault((result.fold, some(list(map(repr, missing)))), []).append(name)
    if lacking:
        gaps = [
            f"{folds.title(fold)} lacks {missing} for {some(list(map(repr, names)))}"
            for (fold, missing), names in lacking.items()
        ]
        warn(
            "Some training parts lack a class, whose probability is 0 there: "
            f"{'; '.join(gaps)}. Use fewer folds, a stratified splitter, or more rows of such classes.",
            MissingClassWarning,
            stacklevel=5,
        )
