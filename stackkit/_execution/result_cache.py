"""What the store knows of a task: the key that names its results, reading them back, keeping them."""

from __future__ import annotations

import pickle
from collections.abc import Iterable, Sequence
from dataclasses import replace
from importlib.metadata import version
from typing import Any

import cloudpickle
import numpy as np
from sklearn.base import clone
from sklearn.frozen import FrozenEstimator

from stackkit._execution.tasks import ALL_ROWS, Job, Result, Task
from stackkit._members import Member, last_step
from stackkit._store import (
    NotStorableError,
    StoreFiles,
    StoreProblem,
    data_fingerprint,
    fingerprint,
    learner_fingerprint,
    surroundings,
)


def named(job: Job, tasks: Sequence[Task]) -> tuple[Job, list[Task], list[str]]:
    """The job and its tasks with their names in the store; and why some have none."""
    if job.X_test is not None:
        try:
            job = replace(job, test_print=data_fingerprint(job.X_test))
        except NotStorableError as error:
            return job, list(tasks), [f"The new rows have no fingerprint: {error}"]
    return job, *with_keys(job, tasks)


def with_keys(job: Job, tasks: Sequence[Task]) -> tuple[list[Task], list[str]]:
    """The tasks with the keys of their results; and why some have none.

    A key stands for all that decides a result: the data, the rows, the learner with its code and its seed, what its
    ``fit`` gets, versions and settings; ``Store`` tells users what that covers. Where the learner stands in the list
    decides nothing.
    """
    try:
        data = _data_print(job)
    except NotStorableError as error:
        return list(tasks), [f"The data have no fingerprint: {error}"]
    learners: dict[str, str | None] = {}
    rows: dict[int, str] = {}
    keyed, problems = [], []
    for task in tasks:
        for fold in set(task.folds) - set(rows):
            parts = [job.training_rows(fold), *job.test_parts(fold)]
            rows[fold] = fingerprint(*(data_fingerprint(part) for part in parts))
        if task.name not in learners:
            try:
                learners[task.name] = _learner_print(job, task)
            except NotStorableError as error:
                learners[task.name] = None
                problems.append(f"The learner {task.name!r} has no fingerprint: {error}")
        learner = learners[task.name]
        # Folds that are trained together may round differently than alone: the key names all of them.
        identity = (data, learner, _seeds(task.learner), [rows[fold] for fold in task.folds])
        keyed.append(replace(task, key=None if learner is None else fingerprint(*identity)))
    return keyed, problems


def _data_print(job: Job) -> str:
    target = job.target
    return fingerprint(
        version("stackkit"),
        surroundings("stackkit._execution.worker"),
        data_fingerprint(job.X),
        data_fingerprint(target.values),
        data_fingerprint(target.classes),
        target.n_classes,
        target.multilabel,
    )


def _learner_print(job: Job, task: Task) -> str | None:
    """What is the same for all folds of a learner; None for one whose fit costs nothing."""
    if isinstance(last_step(task.learner), FrozenEstimator):
        return None
    block, params = job.blocks[task.name], job.fit_params[task.name]
    metadata = [(name, data_fingerprint(params[name])) for name in sorted(params)]
    unseeded = clone(task.learner)
    unseeded.set_params(**dict.fromkeys(_seeds(unseeded), 0))
    return fingerprint(learner_fingerprint(unseeded), block.method, block.kind, metadata)


def _seeds(learner: Any) -> dict[str, int]:
    params = sorted(learner.get_params(deep=True).items())
    return {key: value for key, value in params if key.rpartition("__")[2] == "random_state" and isinstance(value, int)}


def _table(task: Task, fold: int) -> str:
    return f"{task.key}-{task.folds.index(fold)}.table"


def _model(task: Task, fold: int) -> str:
    return f"{task.key}-{task.folds.index(fold)}.model"


def _new(task: Task, fold: int, job: Job) -> str:
    return f"{task.key}-{task.folds.index(fold)}.new-{job.test_print}"


# --- reading ----------------------------------------------------------------------------------------


def is_kept(store: StoreFiles, job: Job, task: Task) -> bool:
    """Whether all that the task would give seems to be there; reading it may still fail."""
    return task.key is not None and all(
        store.has(name) for fold in task.folds for name in _names(store, job, task, fold)
    )


def _names(store: StoreFiles, job: Job, task: Task, fold: int) -> Iterable[str]:
    yield _table(task, fold)
    if job.X_test is not None:
        yield _new(task, fold, job)
    if _needs_model(store, job, fold):
        yield _model(task, fold)


def _needs_model(store: StoreFiles, job: Job, fold: int) -> bool:
    """Of a fit on all rows nothing else is wanted; fold models that were not kept are fitted again at the end."""
    return fold == ALL_ROWS or (job.keep_members and store.store_models)


def read_results(store: StoreFiles, job: Job, task: Task) -> list[Result] | None:
    """The task's results as they were kept; None where a part is missing. Raises StoreProblem for a bad one."""
    results = [_read_fold(store, job, task, fold) for fold in task.folds]
    return None if any(result is None for result in results) else [result for result in results if result]


def _read_fold(store: StoreFiles, job: Job, task: Task, fold: int) -> Result | None:
    table = store.read_arrays(_table(task, fold))
    new = None if job.X_test is None else store.read_arrays(_new(task, fold, job))
    needs_model = _needs_model(store, job, fold)
    model = read_member(store, task, fold) if needs_model else None
    if table is None or (new is None and job.X_test is not None) or (model is None and needs_model):
        return None
    arrays, facts = table
    member = model[0] if model else Member(None, arrays["labels"], arrays["codes"])
    return Result(task.name, fold, member, arrays.get("oof"), new and new[0]["new"], **facts)


def read_member(store: StoreFiles, task: Task, fold: int) -> tuple[Member, float] | None:
    """A fitted member, and how many seconds its fit took."""
    name = _model(task, fold)
    sealed = store.read(name)
    if sealed is None:
        return None
    try:
        return pickle.loads(sealed)  # our own: the seal was verified
    except Exception as error:
        raise StoreProblem(f"{name} cannot be unpickled: {type(error).__name__}: {error}.") from error


def read_members(store: StoreFiles, task: Task) -> tuple[list[tuple[Member, float]] | None, list[str]]:
    """The members of all the task's folds, if all are there; and what was in the way."""
    if task.key is None or not all(store.has(_model(task, fold)) for fold in task.folds):
        return None, []
    try:
        found = [read_member(store, task, fold) for fold in task.folds]
    except StoreProblem as problem:
        return None, [str(problem)]
    return (None if None in found else [pair for pair in found if pair]), []


# --- keeping ----------------------------------------------------------------------------------------


def write_results(store: StoreFiles, job: Job, task: Task, result: Result) -> Result:
    """Keep a fold's result. What the store cannot do is noted in the result, which is good all the same."""
    if task.key is None or result.failure or result.member is None:
        return result
    try:
        result = replace(result, in_store=_keep_model(store, job, task, result))
        _keep_new(store, job, task, result)
        _keep_table(store, task, result)
    except StoreProblem as problem:
        result = replace(result, problems=(*result.problems, str(problem)))
    return result


def _keep_model(store: StoreFiles, job: Job, task: Task, result: Result) -> bool:
    if not (store.store_models and job.keeps_member(result.fold)):
        return False
    try:
        pickled = cloudpickle.dumps((result.member, result.fit_seconds))
    except Exception as error:
        raise StoreProblem(f"The fitted learner {task.name!r} cannot be pickled: {error}.") from error
    store.write(_model(task, result.fold), pickled)
    return True


def _keep_table(store: StoreFiles, task: Task, result: Result) -> None:
    assert result.member is not None  # noqa: S101 - failures are not kept
    arrays: dict[str, Any] = {"labels": result.member.labels, "codes": result.member.codes}
    if result.oof is not None:
        arrays["oof"] = result.oof
    facts = {"fit_seconds": float(result.fit_seconds), "predict_seconds": float(result.predict_seconds)}
    store.write_arrays(_table(task, result.fold), arrays, facts)


def _keep_new(store: StoreFiles, job: Job, task: Task, result: Result) -> None:
    if result.new is not None:
        store.write_arrays(_new(task, result.fold, job), {"new": np.asarray(result.new)}, {})
