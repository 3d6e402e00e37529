"""Results on their way between processes: fitted estimators travel in files, or lie in the store already."""

from __future__ import annotations

import pickle
from dataclasses import replace
from pathlib import Path

import cloudpickle

from stackkit._execution.result_cache import read_member
from stackkit._execution.tasks import Failure, Job, Result, Task
from stackkit._store import StoreProblem

_NO_PICKLES = "With n_jobs=1, or in threads, it need not be."


def packed(result: Result, path: Path | None) -> Result:
    """The result without its estimator, which goes into a file, if it does not lie in the store already."""
    if result.member is None or result.member.estimator is None:
        return result
    light = replace(result, member=replace(result.member, estimator=None))
    if result.in_store:
        return light
    try:
        pickled = cloudpickle.dumps(result.member.estimator)
    except Exception as error:  # noqa: BLE001 - any object of any learner
        reason = f"once fitted it cannot be pickled: {error}. {_NO_PICKLES}"
        return Result(result.name, result.fold, failure=Failure("fit", reason))
    return replace(light, pickled=pickled if path is None else _in_file(pickled, path))


def _in_file(pickled: bytes, path: Path) -> bytes | Path:
    try:
        path.write_bytes(pickled)
    except OSError:  # a full disk: then it goes through the pipe
        return pickled
    return path


def unpacked(result: Result, job: Job, task: Task) -> Result:
    """Raises StoreProblem if the store has lost the estimator meanwhile."""
    if result.member is None or result.member.estimator is not None:
        return result
    if result.in_store and job.store is not None:
        kept = read_member(job.store, task, result.fold)
        if kept is None:
            raise StoreProblem(f"The model of the learner {task.name!r}, fold {result.fold}, is gone.")
        return replace(result, member=kept[0])
    if result.pickled is None:
        return result  # nobody asked for it
    pickled = result.pickled
    if isinstance(pickled, Path):
        path, pickled = pickled, pickled.read_bytes()
        path.unlink()
    try:
        estimator = pickle.loads(pickled)
    except Exception as error:  # noqa: BLE001 - as above
        reason = f"once fitted it pickles, but cannot be unpickled: {type(error).__name__}: {error}. {_NO_PICKLES}"
        return Result(result.name, result.fold, failure=Failure("fit", reason))
    return replace(result, member=replace(result.member, estimator=estimator), pickled=None)
