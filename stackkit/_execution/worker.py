"""One task in a worker: fit, predict, keep."""

from __future__ import annotations

import os
import pickle
import traceback
from dataclasses import replace
from time import perf_counter

import numpy as np

from stackkit._data import take_rows
from stackkit._execution.callbacks import announced
from stackkit._execution.interrupts import interrupts_noticed
from stackkit._execution.memory import forget_peak, peak_memory
from stackkit._execution.result_cache import read_members, write_results
from stackkit._execution.tasks import ALL_ROWS, Failure, Job, Result, Task
from stackkit._members import Member, fit_member, fit_members_at_once, own_copy, predict_block
from stackkit._utils import limit_threads, own_threads_held, thread_limits, ties_held


def run_task(job: Job, task: Task, threads: int | None) -> list[Result]:
    """Fit and predict. Never raises: what goes wrong is a result too."""
    if os.getpid() != job.home:  # at home whoever runs the tasks holds BLAS, for all of them
        limit_threads(1, "blas")
    forget_peak()
    params = job.fit_params[task.name]
    rows = [job.training_rows(fold) for fold in task.folds]
    with thread_limits(threads), own_threads_held(task.learner, threads), ties_held(task.learner):
        try:
            fitted, problems = read_members(job.store, task) if job.store else (None, [])
            if fitted is None:
                start = perf_counter()
                with interrupts_noticed(), announced(task):
                    # Threads share the task's learner with nobody: each task has its own clone.
                    if len(rows) == 1:
                        members = [fit_member(task.learner, job.X, job.target, rows[0], params)]
                    else:
                        members = fit_members_at_once(task.learner, job.X, job.target, rows, params)
                seconds = (perf_counter() - start) / len(members)
                fitted = [(member, seconds) for member in members]
        except Exception as error:  # noqa: BLE001 - any error of any learner is that learner's failure
            return [Result(task.name, task.folds[0], failure=failure_of("fit", error))]
        results = [
            replace(_predict(job, task.name, fold, member), fit_seconds=seconds, problems=tuple(problems))
            for fold, (member, seconds) in zip(task.folds, fitted, strict=True)
        ]
    if job.store:
        results = [write_results(job.store, job, task, result) for result in results]
    return [replace(result, peak_bytes=peak_memory()) for result in results]


def _predict(job: Job, name: str, fold: int, member: Member) -> Result:
    block, start = job.blocks[name], perf_counter()
    try:
        parts = [] if fold == ALL_ROWS else [take_rows(job.X, rows) for rows in job.test_parts(fold) if len(rows)]
        tables = [predict_block(member, part, block) for part in parts]
        oof = np.concatenate(tables) if len(tables) > 1 else next(iter(tables), None)
        seconds = perf_counter() - start
        new = None if job.X_test is None else predict_block(member, own_copy(job.X_test), block)
    except Exception as error:  # noqa: BLE001 - as above
        return Result(name, fold, failure=failure_of(block.method, error))
    kept = member if job.keeps_member(fold) else replace(member, estimator=None)
    return Result(name, fold, kept, oof, new, predict_seconds=seconds)


def failure_of(stage: str, error: Exception) -> Failure:
    message = f"{type(error).__name__}: {error}"
    trace = "".join(traceback.format_exception(error))
    try:
        pickle.loads(pickle.dumps(error))
    except Exception:  # noqa: BLE001 - an exception class may refuse in any way it likes
        return Failure(stage, message, trace)
    return Failure(stage, message, trace, error)
