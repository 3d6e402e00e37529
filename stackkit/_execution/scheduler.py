"""All tasks: which one next, on whom, and what to do when workers die, hang or run out of time."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import ExitStack
from dataclasses import replace
from multiprocessing import current_process
from typing import Any
from warnings import warn

import joblib
import numpy as np
from joblib.parallel import LokyBackend, ThreadingBackend, get_active_backend

from stackkit._execution.backends.base import Backend, Lost
from stackkit._execution.backends.dask import DaskBackend, client_in_use
from stackkit._execution.backends.joblib import JoblibBackend
from stackkit._execution.backends.local import CallingThread, ThreadBackend
from stackkit._execution.backends.processes import ProcessBackend
from stackkit._execution.callbacks import announced
from stackkit._execution.interrupts import DoneFutures, interrupts_held
from stackkit._execution.limits import Limits
from stackkit._execution.memory import used_memory
from stackkit._execution.progress import Advance, progress
from stackkit._execution.result_cache import is_kept, named, read_results
from stackkit._execution.tasks import ALL_ROWS, OUT_OF_TIME, Failure, Job, Result, Task
from stackkit._execution.transfer import unpacked
from stackkit._store import Claim, StoreProblem
from stackkit._utils import single_threaded_blas
from stackkit.exceptions import StoreWarning

READERS = 2  # threads that read the store: verifying a seal and reading a file leave Python to others
POLL_SECONDS = 0.1  # how often to look whether another process has done with a task that both want


def run_tasks(
    job: Job, tasks: Sequence[Task], *, n_jobs: int | None, limits: Limits, stop_at_failure: bool, verbose: bool
) -> list[Result]:
    """Run them over joblib's active backend or a Dask cluster.

    After a failure no further task starts of that learner, or of any with ``stop_at_failure``;
    what runs already is finished and kept.
    """
    problems: list[str] = []
    if job.store is not None:
        job, tasks, problems = named(job, tasks)
    client = client_in_use(get_active_backend()[0], n_jobs)
    if client is not None:
        limits = replace(limits, max_memory=None)  # its workers have limits of their own
    schedule = _Schedule(
        job, tasks, lambda: _choose_backend(job, client, n_jobs, limits), limits, stop_at_failure=stop_at_failure
    )
    total = sum(len(task.folds) for task in tasks)
    with progress(schedule.plan(), total, verbose=verbose) as advance, single_threaded_blas():
        schedule.run(advance)
    if job.store is not None:
        job.store.prune()
    problems += schedule.problems + [text for result in schedule.results for text in result.problems]
    if problems:
        _warn_of_store(list(dict.fromkeys(problems)))  # parent and worker may meet the same
    return schedule.results


def _warn_of_store(problems: list[str]) -> None:
    others = f" So it went {len(problems)} times." if len(problems) > 1 else ""
    warn(
        f"The store did not serve as it should: {problems[0]}{others} Nothing is wrong with the results; what was not "
        "kept is computed again the next time.",
        StoreWarning,
        stacklevel=5,
    )


def _choose_backend(job: Job, client: Any, n_jobs: int | None, limits: Limits) -> Backend:
    if client is not None:
        return DaskBackend(job, client)
    backend, _ = get_active_backend()
    workers = joblib.effective_n_jobs(n_jobs)
    # Only a process can be ended, and only its memory be told from another's. A daemon may have no children.
    bounded = limits.task_timeout is not None or (limits.max_memory is not None and workers > 1)
    if (bounded and not current_process().daemon) or (isinstance(backend, LokyBackend) and workers > 1):
        return ProcessBackend(job, workers)
    if workers == 1:
        return CallingThread(job)
    return ThreadBackend(job, workers) if isinstance(backend, ThreadingBackend) else JoblibBackend(job, workers)


def _own_threads(learner: Any) -> int:
    params = learner.get_params(deep=True).items()
    return max([1, *(n for key, n in params if key.rpartition("__")[2] == "n_threads" and isinstance(n, int))])


class _Schedule:
    """The tasks in their states: kept in the store, waiting, running, to be run alone; and their results."""

    def __init__(
        self,
        job: Job,
        tasks: Sequence[Task],
        backend: Callable[[], Backend],
        limits: Limits,
        *,
        stop_at_failure: bool,
    ) -> None:
        self.results: list[Result] = []
        self.problems: list[str] = []  # of the store
        self._job, self._limits, self._stop_at_failure = job, limits, stop_at_failure
        self._make_backend = backend
        self._backend_in_use: Backend | None = None
        self._readers = ThreadPoolExecutor(READERS, thread_name_prefix="stackkit")
        self._reading: dict[Future[list[Result] | None], Task] = {}
        self._read = DoneFutures()
        self._unreadable: set[Task] = set()
        self._kept = [task for task in tasks if self._is_kept(task)]
        kept = set(self._kept)
        self._waiting = [task for task in tasks if task not in kept]
        self._alone: list[Task] = []
        self._tried_alone: set[Task] = set()
        self._running: dict[Task, Claim | None] = {}  # with the claim to its place in the store
        self._begun_at: dict[Task, float] = {}
        self._all_claimed = False
        self._failed: set[str] = set()
        self._seconds: dict[str, float] = {}  # a fold of each learner, as measured
        self._bytes: dict[str, int] = {}
        self._threads = {task.name: _own_threads(task.learner) for task in tasks}
        self._first_rows = len(job.training_rows(0)) if tasks else 0

    @property
    def _backend(self) -> Backend:
        """Made when there is something to do: with everything in the store no worker has to start."""
        if self._backend_in_use is None:
            self._backend_in_use = self._make_backend()
        return self._backend_in_use

    def plan(self) -> str:
        tasks = self._kept + self._waiting
        learners = len({task.name for task in tasks})
        fits, kept = (sum(len(task.folds) for task in some) for some in (tasks, self._kept))
        together = sorted({task.name for task in self._waiting if len(task.folds) > 1})
        stored = "" if self._job.store is None else f"; {kept} are in the store, {fits - kept} to do"
        lines = [f"{learners} learner{'s' * (learners > 1)}, {fits} fits{stored}"]
        if together:
            lines.append(f"all folds at once: {', '.join(together)}")
        return "; ".join([*lines, "first a fold of each learner, then the longest first"])

    def run(self, advance: Advance) -> None:
        came: list[tuple[Task, list[Result]]] = []
        try:
            while self._has_work() or came:
                for task in self._ready_to_start():
                    self._backend.start(task)
                # Results may be large: they are read when all workers have something to do again.
                self._unpack(came, advance)
                self._take(advance)
                came = self._await()
        except BaseException:
            self._close(now=True)
            raise
        self._close(now=False)

    def _has_work(self) -> bool:
        self._drop_idle()
        return bool(self._kept or self._reading or self._waiting or self._alone or self._running)

    def _drop_idle(self) -> None:
        """What nobody needs any more, or what came too late, does not start."""
        if time.monotonic() >= self._limits.deadline:
            self._give_up()
        if self._failed:
            for tasks in (self._kept, self._waiting, self._alone):
                tasks[:] = [task for task in tasks if not (self._stop_at_failure or task.name in self._failed)]

    def _give_up(self) -> None:
        late = f"not started within time_limit={self._limits.time_limit:g} seconds."
        for task in self._waiting + self._alone:
            self.results.append(Result(task.name, task.folds[0], failure=Failure(OUT_OF_TIME, late)))
        self._waiting, self._alone = [], []

    def _close(self, *, now: bool) -> None:
        with ExitStack() as stack:
            for claim in self._running.values():
                if claim is not None:
                    stack.callback(claim.release)
            if self._backend_in_use is not None:
                stack.callback(self._backend_in_use.close, now=now)
            self._readers.shutdown(cancel_futures=True)

    # --- from the store -----------------------------------------------------------------------------

    def _take(self, advance: Advance) -> None:
        """A task's results out of the store; if something is wrong with them, it is to do again."""
        while self._kept and len(self._reading) < READERS:
            assert self._job.store is not None  # noqa: S101 - nothing else is kept
            task = self._kept.pop(0)
            with interrupts_held():
                future = self._readers.submit(read_results, self._job.store, self._job, task)
                self._reading[future] = task
                self._read.expect(future)
        for future in self._read.wait(POLL_SECONDS) if self._reading else ():
            task = self._reading.pop(future)
            try:
                results = future.result()
            except StoreProblem as problem:
                self.problems.append(str(problem))
                self._unreadable.add(task)  # it is there, but not to be asked for again
                results = None
            if results is None:
                self._waiting.append(task)
            else:
                with announced(task):
                    self._note(results)
                    self._collect(results, advance)

    # --- starting -----------------------------------------------------------------------------------

    def _ready_to_start(self) -> Iterator[Task]:
        """Each is noted down as running, with the claim to its place in the store."""
        postponed: list[Task] = []
        while (task := self._next()) is not None:
            with interrupts_held():  # a claim that is not noted down would be there as long as this process
                to_start = self._claim(task, postponed)
            if to_start:
                yield task
        self._waiting += postponed
        self._all_claimed = bool(postponed) and not self._running  # by other processes

    def _claim(self, task: Task, postponed: list[Task]) -> bool:
        """Whether it is to be started; if not, it is on the list where it belongs now."""
        claim = None
        if self._job.store is not None and task.key is not None:
            claim = self._job.store.claim(task.key)
            if claim is None:  # another process is at it
                postponed.append(task)
                return False
            if self._is_kept(task):  # another process has just done with it
                claim.release()
                self._kept.append(task)
                return False
        self._running[task] = claim
        return True

    def _is_kept(self, task: Task) -> bool:
        store = self._job.store
        return store is not None and task not in self._unreadable and is_kept(store, self._job, task)

    def _next(self) -> Task | None:
        """Taken off its list; None while nothing may start."""
        if self._tried_alone & set(self._running):
            return None
        ready = self._ready()
        if not ready:
            return self._next_alone()
        task = self._choice(ready)
        self._waiting.remove(task)
        return task

    def _next_alone(self) -> Task | None:
        if not self._alone or self._running:
            return None
        task = self._alone.pop(0)
        self._tried_alone.add(task)
        return task

    def _choice(self, ready: list[Task]) -> Task:
        """A first task of each learner, then those of the slowest learners, so that no long one ends alone.

        When time will not do for all, the learner that needs the least comes first: one that lacks a fold at the end
        is of no use.
        """
        started = set(self._seconds) | {task.name for task in self._running}
        fresh = next((task for task in ready if task.name not in started), None)
        if fresh is not None:
            return fresh
        if self._time_is_short():
            return min(ready, key=lambda task: self._left_of(task.name))
        return max(ready, key=self._expected)

    def _expected(self, task: Task) -> float:
        """Seconds; a learner that nobody has seen yet may take for ever."""
        more_rows = self._job.folds.n_rows / self._first_rows if task.folds == (ALL_ROWS,) else 1.0
        return self._seconds.get(task.name, np.inf) * len(task.folds) * more_rows

    def _left_of(self, name: str) -> float:
        return sum(self._expected(task) for task in self._waiting if task.name == name)

    def _time_is_short(self) -> bool:
        left = self._limits.deadline - time.monotonic()
        if left == np.inf:
            return False
        known = [self._expected(task) for task in self._waiting if task.name in self._seconds]
        return sum(known) / self._backend.capacity > left

    def _ready(self) -> list[Task]:
        """The next task of each learner, and its refit, that there is room for."""
        if not self._waiting:
            return []
        capacity = self._backend.capacity
        free = capacity - sum(self._places(task.name, capacity) for task in self._running)
        if free <= 0:
            return []
        # Where one of a learner's tasks killed its worker the next may, too: first that one is tried alone.
        suspects = {task.name for task in self._alone}
        first: dict[Any, Task] = {}
        for task in self._waiting:
            if task.name not in suspects:
                first.setdefault((task.name, task.folds == (ALL_ROWS,)), task)
        if not self._running:
            return list(first.values())
        return [task for task in first.values() if self._places(task.name, capacity) <= free and self._has_memory(task)]

    def _places(self, name: str, capacity: int) -> int:
        """How many tasks' share of the cores it takes: networks bring a number of threads of their own."""
        share = self._backend.threads
        return min(capacity, -(-max(share, self._threads[name]) // share))

    def _has_memory(self, task: Task) -> bool:
        if self._limits.max_memory is None:
            return True
        names = [running.name for running in (*self._running, task)]
        if not all(name in self._bytes for name in names):  # not measured yet: alone
            return False
        return used_memory() + sum(self._bytes[name] for name in names) <= self._limits.max_memory

    # --- ending -------------------------------------------------------------------------------------

    def _await(self) -> list[tuple[Task, list[Result]]]:
        """What workers have given, still packed as it came."""
        if not self._running:
            if self._all_claimed and not (self._kept or self._reading):
                time.sleep(POLL_SECONDS)
            return []
        came: list[tuple[Task, list[Result]]] = []
        for task, outcome in self._backend.wait(self._patience()):
            self._release(task)
            if isinstance(outcome, Lost):
                self._lose(task, outcome.reason)
            else:
                self._note(outcome)
                came.append((task, outcome))
        self._stop_overdue()
        return came

    def _patience(self) -> float | None:
        """Seconds until something has to be seen to."""
        if self._kept or self._reading:
            return 0.0
        waits = [POLL_SECONDS] if self._waiting and self._job.store is not None else []
        if self._limits.task_timeout is not None:
            waits += [min(self._overdue_in(task), self._limits.task_timeout) for task in self._running]
            waits += [POLL_SECONDS for task in self._running if task not in self._begun_at]
        return max(0.0, min(waits)) if waits else None

    def _release(self, task: Task) -> None:
        with interrupts_held():
            claim = self._running.pop(task)
            self._begun_at.pop(task, None)
            if claim is not None:
                claim.release()

    def _note(self, results: list[Result]) -> None:
        for result in results:
            if result.failure:
                self._failed.add(result.name)
            elif result.fold != ALL_ROWS:
                self._seconds[result.name] = result.fit_seconds + result.predict_seconds
            if result.peak_bytes:  # not of a result out of the store
                self._bytes[result.name] = max(result.peak_bytes, self._bytes.get(result.name, 0))

    def _unpack(self, came: Sequence[tuple[Task, list[Result]]], advance: Advance) -> None:
        for task, packed in came:
            try:
                results = [unpacked(result, self._job, task) for result in packed]
            except StoreProblem as problem:
                self._lose(task, str(problem))
            else:
                self._failed |= {result.name for result in results if result.failure}
                self._collect(results, advance)

    def _lose(self, task: Task, reason: str) -> None:
        """Its worker died, perhaps of another's hunger for memory: once more, alone, to find whose fault it is."""
        if task in self._tried_alone:
            self._fail(task, reason)
        else:
            self._alone.append(task)

    def _collect(self, results: list[Result], advance: Advance) -> None:
        self.results += results
        advance(results[0].name, len(results))

    def _fail(self, task: Task, message: str) -> None:
        self._failed.add(task.name)
        self.results.append(Result(task.name, task.folds[0], failure=Failure("fit", message)))

    def _overdue_in(self, task: Task) -> float:
        if task not in self._begun_at:
            if not self._backend.has_begun(task):
                return np.inf
            self._begun_at[task] = time.monotonic()
        allowed = (self._limits.task_timeout or np.inf) * len(task.folds)
        return self._begun_at[task] + allowed - time.monotonic()

    def _stop_overdue(self) -> None:
        if self._limits.task_timeout is None:
            return
        for task in [task for task in self._running if self._overdue_in(task) <= 0]:
            self._backend.stop_worker(task)
            self._release(task)
            each = " a fold" if len(task.folds) > 1 else ""
            self._fail(task, f"not done within task_timeout={self._limits.task_timeout:g} seconds{each}.")
