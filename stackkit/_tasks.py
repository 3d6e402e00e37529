"""Learner x fold tasks: one flat list, run over workers; a task returns results or failures."""

from __future__ import annotations

import os
import pickle
import sys
import tempfile
import traceback
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass, field, replace
from functools import lru_cache
from hashlib import blake2b
from pathlib import Path
from time import perf_counter
from typing import Any

import joblib
import numpy as np
from joblib.parallel import LokyBackend, MultiprocessingBackend, ThreadingBackend, get_active_backend
from rich.console import Console
from rich.progress import (
    BarColumn,
    MofNCompleteColumn,
    Progress,
    TextColumn,
    TimeElapsedColumn,
    TimeRemainingColumn,
)
from sklearn.base import clone
from sklearn.utils.parallel import Parallel, delayed
from threadpoolctl import ThreadpoolController

from stackkit._checks import Target, take_rows
from stackkit._folds import Folds
from stackkit._members import (
    Block,
    Member,
    fit_member,
    fit_members_at_once,
    own_copy,
    predict_block,
    trains_folds_together,
)

ALL_ROWS = -1  # the fold number of a fit on all rows


@dataclass(frozen=True, eq=False)
class Task:
    """Fit one learner on some folds: on one, or on all of them where it offers ``fit_folds``."""

    name: str
    learner: Any
    folds: tuple[int, ...]


@dataclass(frozen=True)
class Failure:
    """Why a learner has no result; the cause is kept where it can be pickled."""

    stage: str
    message: str
    traceback: str
    cause: BaseException | None


@dataclass(frozen=True)
class Result:
    """What one learner gave on one fold."""

    name: str
    fold: int
    member: Member | None = None
    oof: np.ndarray | None = None
    new: np.ndarray | None = None
    fit_seconds: float = np.nan
    predict_seconds: float = np.nan
    failure: Failure | None = None


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
    home: int = field(default_factory=os.getpid)  # the process that runs the tasks, or has them run

    def training_rows(self, fold: int) -> np.ndarray:
        return np.arange(self.folds.n_rows) if fold == ALL_ROWS else self.folds.pairs[fold][0]


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
    given = learner.get_params(deep=True)
    parameters = sorted(key for key in given if key == "random_state" or key.endswith("__random_state"))
    key = int.from_bytes(blake2b(name.encode(), digest_size=8).digest(), "little")
    seeds = np.random.SeedSequence([entropy, key, fold + 1]).generate_state(len(parameters))
    # 31 bits: what every library takes.
    fresh = {p: int(seed >> 1) for p, seed in zip(parameters, seeds, strict=True) if given[p] is None}
    return learner.set_params(**fresh) if fresh else learner


# --- one task, in a worker --------------------------------------------------------------------------


def run_task(shipment: Job | Path, task: Task, threads: int | None) -> list[Result]:
    """Fit and predict. Never raises: what goes wrong is a result too."""
    job = _open(str(shipment)) if isinstance(shipment, Path) else shipment
    elsewhere = os.getpid() != job.home  # at home whoever runs the tasks holds BLAS, for all of them
    blas = single_threaded_blas() if elsewhere else nullcontext()
    with blas, thread_limits(threads), own_threads_held(task.learner, threads):
        start = perf_counter()
        try:
            members = _fit(job, task)
        except Exception as error:  # noqa: BLE001 - any error of any learner is that learner's failure
            return [Result(task.name, fold, failure=_failure("fit", error)) for fold in task.folds[:1]]
        seconds = (perf_counter() - start) / len(members)
        return [
            replace(_predict(job, task.name, fold, member), fit_seconds=seconds)
            for fold, member in zip(task.folds, members, strict=True)
        ]


@lru_cache(maxsize=1)
def _open(path: str) -> Job:
    return joblib.load(path, mmap_mode="r")


def _fit(job: Job, task: Task) -> list[Member]:
    rows = [job.training_rows(fold) for fold in task.folds]
    # Threads share the task's learner with nobody: each task has its own clone.
    params = job.fit_params[task.name]
    if len(rows) == 1:
        return [fit_member(task.learner, job.X, job.target, rows[0], params)]
    return fit_members_at_once(task.learner, job.X, job.target, rows, params)


def _predict(job: Job, name: str, fold: int, member: Member) -> Result:
    block, start = job.blocks[name], perf_counter()
    try:
        oof = None
        if fold != ALL_ROWS:
            oof = predict_block(member, take_rows(job.X, job.folds.pairs[fold][1]), block)
        seconds = perf_counter() - start
        new = None if job.X_test is None else predict_block(member, own_copy(job.X_test), block)
    except Exception as error:  # noqa: BLE001 - as above
        return Result(name, fold, failure=_failure(block.method, error))
    kept = member if job.keep_members or fold == ALL_ROWS else replace(member, estimator=None)
    return Result(name, fold, kept, oof, new, predict_seconds=seconds)


def _failure(stage: str, error: Exception) -> Failure:
    message = f"{type(error).__name__}: {error}"
    trace = "".join(traceback.format_exception(error))
    try:
        pickle.loads(pickle.dumps(error))
    except Exception:  # noqa: BLE001 - an exception class may refuse in any way it likes
        return Failure(stage, message, trace, None)
    return Failure(stage, message, trace, error)


# --- threads ----------------------------------------------------------------------------------------


class _AtMost(ThreadingBackend):
    """joblib inside a task: threads, but never more than the task's share of the cores."""

    def __init__(self, threads: int, **options: Any) -> None:
        super().__init__(nesting_level=1, **options)  # what it nests again runs one after another
        self.threads = threads

    def effective_n_jobs(self, n_jobs: int | None) -> int:
        return min(super().effective_n_jobs(n_jobs), self.threads)


@lru_cache(maxsize=1)
def _native_libraries(_n_modules: int) -> ThreadpoolController:
    return ThreadpoolController()


def limit_threads(limit: int, user_api: str) -> Any:
    """Limit native threads, searching for their libraries (3 ms) only if modules were loaded since."""
    return _native_libraries(len(sys.modules)).limit(limits=limit, user_api=user_api)


def single_threaded_blas() -> Any:
    """Hold BLAS to one thread, in the whole process.

    How BLAS splits a sum over threads shows in the last bit, and results must not depend on
    ``n_jobs``. Tasks that are threads must not set this themselves: threadpoolctl heeds only the
    first thread that does, and when that one ends, its limit ends for all.
    """
    return limit_threads(1, "blas")


@contextmanager
def thread_limits(threads: int | None) -> Iterator[None]:
    """Hold joblib and OpenMP inside a task to its share of the cores, so that workers x threads <= cores."""
    if threads is None:
        yield
        return
    # OpenMP's limit belongs to the calling thread, so each task sets its own.
    with joblib.parallel_config(backend=_AtMost(threads)), limit_threads(threads, "openmp"):
        yield


@contextmanager
def own_threads_held(learner: Any, threads: int | None) -> Iterator[None]:
    """Hold learners that start threads by an ``n_jobs`` of their own, as XGBoost does.

    It asks neither joblib nor OpenMP for a limit, and on more threads than cores it stands still.
    scikit-learn's learners ask joblib; setting theirs too would bring deprecation warnings.
    """
    held = {} if threads is None else _own_n_jobs(learner, threads)
    if held:
        learner.set_params(**dict.fromkeys(held, threads))
    try:
        yield
    finally:
        if held:
            learner.set_params(**held)


def _own_n_jobs(learner: Any, threads: int) -> dict[str, Any]:
    params = learner.get_params(deep=True)
    found = {}
    for key, value in params.items():
        owner, _, name = key.rpartition("__")  # of a pipeline's "step__n_jobs"
        if name == "n_jobs" and (value is None or value < 1 or value > threads):
            home = type(params[owner] if owner else learner).__module__
            if home.partition(".")[0] != "sklearn":
                found[key] = value
    return found


def threads_per_task(workers: int) -> int | None:
    """None for a single worker: then the learner's own settings hold."""
    return None if workers == 1 else max(1, joblib.cpu_count() // workers)


# --- all tasks --------------------------------------------------------------------------------------


def run_tasks(
    job: Job, tasks: Sequence[Task], *, n_jobs: int | None, stop_at_failure: bool, verbose: bool
) -> list[Result]:
    """Run over joblib's active backend, in whatever order workers come free.

    After a failure no further task starts of that learner, or of any with ``stop_at_failure``;
    what runs already is finished and kept.
    """
    workers = joblib.effective_n_jobs(n_jobs)
    failed: set[str] = set()
    seconds: dict[str, float] = {}
    results: list[Result] = []

    def open_tasks(shipment: Job | Path) -> Iterator[Any]:
        for task in _longest_first(tasks, seconds):
            if not (task.name in failed or (failed and stop_at_failure)):
                yield delayed(run_task)(shipment, task, threads_per_task(workers))

    total = sum(len(task.folds) for task in tasks)
    with _shipped(job, workers) as shipment, _progress(total, verbose) as advance, single_threaded_blas():
        for batch in Parallel(n_jobs=n_jobs, batch_size=1, return_as=_return_as())(open_tasks(shipment)):
            results += batch
            failed |= {result.name for result in batch if result.failure}
            seconds |= {result.name: result.fit_seconds for result in batch}
            advance(batch[0].name, len(batch))
    return results


def _longest_first(tasks: Sequence[Task], seconds: dict[str, float]) -> Iterator[Task]:
    """Each learner's first task, then those of the slowest learners, so that no long one ends alone.

    joblib asks for a task when a worker comes free; by then ``seconds`` has grown.
    """
    waiting = list(tasks)
    started: set[str] = set()
    while waiting:
        fresh = (task for task in waiting if task.name not in started)
        task = next(fresh, None) or max(waiting, key=lambda task: seconds.get(task.name, np.inf))
        started.add(task.name)
        waiting.remove(task)
        yield task


def _return_as() -> str:
    """Some backends (Ray) hand back a list only."""
    backend, _ = get_active_backend()
    return "generator_unordered" if getattr(backend, "supports_return_generator", False) else "list"


@contextmanager
def _shipped(job: Job, workers: int) -> Iterator[Job | Path]:
    """The job itself for threads; for processes a file that each opens once, memory-mapped.

    joblib maps large arrays by itself, but pickles frames with text anew for each task.
    """
    backend, _ = get_active_backend()
    if workers == 1 or not isinstance(backend, LokyBackend | MultiprocessingBackend):
        yield job
        return
    with tempfile.TemporaryDirectory(
        prefix="stackkit-", dir=os.environ.get("JOBLIB_TEMP_FOLDER"), ignore_cleanup_errors=True
    ) as folder:
        path = Path(folder, "job.pkl")
        joblib.dump(job, path)
        yield path


@contextmanager
def _progress(total: int, verbose: bool) -> Iterator[Callable[[str, int], None]]:
    """Learners x folds done, elapsed, expected end: on stderr, from the parent, only if asked."""
    if not verbose:
        yield lambda _name, _n: None
        return
    columns = (
        TextColumn("[bold]stackkit[/] {task.description}"),
        BarColumn(),
        MofNCompleteColumn(),
        TimeElapsedColumn(),
        TextColumn("left"),
        TimeRemainingColumn(),
    )
    with Progress(*columns, console=Console(stderr=True)) as progress:
        bar = progress.add_task("learners x folds", total=total)

        def advance(name: str, n: int) -> None:
            progress.update(bar, advance=n, description=f"learners x folds ({name})")

        yield advance


def predict_table(
    members: dict[str, list[Member]], blocks: dict[str, Block], X: Any, *, n_jobs: int | None
) -> dict[str, np.ndarray]:
    """Each learner's columns for new rows: the mean over its members, run side by side in threads."""
    workers = joblib.effective_n_jobs(n_jobs)
    work = [(name, member) for name in members for member in members[name]]
    totals: dict[str, np.ndarray] = {}
    with single_threaded_blas():
        parts = Parallel(n_jobs=workers, backend="threading", return_as="generator")(
            delayed(_predict_alone)(member, X, blocks[name], threads_per_task(workers)) for name, member in work
        )
        for (name, _), part in zip(work, parts, strict=True):
            totals[name] = totals[name] + part if name in totals else part
    return {name: total / len(members[name]) for name, total in totals.items()}


def _predict_alone(member: Member, X: Any, block: Block, threads: int | None) -> np.ndarray:
    with thread_limits(threads):
        return predict_block(member, own_copy(X), block)
