"""The same tasks on the machines of a Dask cluster. ``distributed`` is an extra: whoever has a client has loaded it."""

from __future__ import annotations

import os
import pickle
import re
import sys
import time
import warnings
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import CancelledError, ThreadPoolExecutor
from contextlib import contextmanager, nullcontext, suppress
from dataclasses import dataclass, replace
from functools import lru_cache
from importlib import metadata
from itertools import count
from math import inf
from queue import Empty, SimpleQueue
from typing import Any, TypeVar
from uuid import uuid4

import cloudpickle
import joblib
from joblib.parallel import LokyBackend
from sklearn import get_config

from stackkit._execution.backends.base import Backend, Lost, Outcome, same_settings
from stackkit._execution.backends.joblib import kept_from_elsewhere, run_elsewhere
from stackkit._execution.callbacks import without_callbacks
from stackkit._execution.tasks import Job, Result, Task
from stackkit._execution.worker import failure_of
from stackkit.exceptions import OtherVersionsError

LOOK_SECONDS = 0.5  # how often to look for what Dask calls nobody back for: lost futures, new workers
WORKERS_SECONDS = 60.0  # how long to wait while there are no workers at all
RESTART_SECONDS = 1.0  # after that time the scheduler counts a worker out that is to be restarted
FETCHERS = 4  # as many results are on their way at once
SHUNNED_SECONDS = 30.0  # how long a worker is given no tasks that did not take one
ASKED_AGAIN = 3  # how often a question is put to a scheduler that does not answer
DEATHS_BORNE = 1  # as many workers may die at a task: machines go down for reasons of their own
LIBRARIES = ("stackkit", "numpy", "scipy", "scikit-learn", "torch", "lightgbm", "xgboost", "xgboost-cpu")
GONE = ("lost", "cancelled")  # a future's status, when nobody works at it any more

T = TypeVar("T")


# --- which client -----------------------------------------------------------------------------------


def client_in_use(backend: Any, n_jobs: int | None) -> Any:
    """The client handed to joblib's Dask backend, or this process's, if neither n_jobs nor joblib say otherwise.

    None is found inside a worker: a stack that is a learner of another takes no further workers.
    """
    distributed: Any = sys.modules.get("distributed")
    if distributed is None:
        return None
    if type(backend).__name__ == "DaskDistributedBackend":
        return _usable(backend.client)
    chosen = n_jobs is not None or type(backend) is not LokyBackend or joblib.effective_n_jobs(None) != 1
    if chosen or _inside_worker():
        return None
    try:
        client = distributed.Client.current()
    except ValueError:
        return None
    return None if client.asynchronous or client.status != "running" else client


def _usable(client: Any) -> Any:
    if client.asynchronous:
        raise ValueError("The Dask client must not be asynchronous: a fit waits. Make one outside of async code.")
    if client.status in ("closing", "closed"):
        raise ValueError("The Dask client is closed. Hand in one that is connected to a scheduler.")
    return client


def _inside_worker() -> bool:
    try:
        sys.modules["distributed"].get_worker()
    except ValueError:
        return False
    return True


# --- in a worker ------------------------------------------------------------------------------------

_PROCESS = uuid4().hex  # of this process: on another machine another may have its number


def _here() -> str:
    return f"{_PROCESS}-{os.getpid()}"


@dataclass(frozen=True)
class _Payload:
    """What all tasks of a fit share, on its way to the workers."""

    job: Job
    sender: str
    versions: Mapping[str, str]


@dataclass(frozen=True)
class _DaskCall:
    """A task, and the settings of the process that wants it done.

    ``filters`` are pickled one by one: one may be of a library that a worker has not, and does not need.
    """

    task: Task
    config: Mapping[str, Any]
    filters: tuple[bytes, ...]


def _call_of(task: Task) -> bytes:
    return cloudpickle.dumps(_DaskCall(task, get_config(), tuple(pickle.dumps(one) for one in warnings.filters)))


def _work(payload: _Payload, pickled: bytes, fit: str, key: str) -> list[Result]:
    _check_versions(payload.versions)
    call: _DaskCall = pickle.loads(pickled)
    sys.modules["distributed"].get_worker().log_event(fit, key)  # all libraries are loaded
    near = payload.sender == _here()  # a cluster of threads: what belongs to the process is set already
    job = replace(payload.job, home=os.getpid()) if near else payload.job
    with same_settings(call.config), nullcontext() if near else _filtered(call.filters):
        return run_elsewhere(job, call.task, DaskBackend.threads)


@contextmanager
def _filtered(filters: tuple[bytes, ...]) -> Iterator[None]:
    known = []
    for pickled in filters:
        with suppress(ImportError, AttributeError):
            known.append(pickle.loads(pickled))
    with warnings.catch_warnings():
        warnings.filters[:] = known  # type: ignore[index]
        yield


@lru_cache(maxsize=1)
def _versions() -> dict[str, str]:
    found = {}
    for library in LIBRARIES:
        with suppress(metadata.PackageNotFoundError):
            found[library] = metadata.version(library).partition("+")[0]  # built for which device
    return found


def _check_versions(theirs: Mapping[str, str]) -> None:
    for library, version in _versions().items():
        if theirs.get(library, version) != version:
            raise OtherVersionsError(
                f"A worker of the Dask cluster has {library} {version}, this process {theirs[library]}: results would "
                "depend on who computed them. Install the same on all machines."
            )


# --- the cluster ------------------------------------------------------------------------------------


@dataclass(frozen=True)
class _Place:
    """Where a task is: with which future, on which worker."""

    task: Task
    future: Any
    worker: str


class DaskBackend(Backend):
    """Workers anywhere. The data go to each once; workers may come and go.

    Each task is tied to one worker. Dask by itself would give one that kills workers to the next, and to the next,
    until the data are gone with all of them; so this class sees each death, and bears one.
    """

    threads = 1  # as many as Dask lends a task

    def __init__(self, job: Job, client: Any) -> None:
        self._job, self._client = job, client
        self._address = client.scheduler.address
        self._fit, self._numbers = uuid4().hex, count()
        self._running: dict[str, _Place] = {}  # by the key of the future
        self._ended: SimpleQueue[tuple[str, Any]] = SimpleQueue()
        self._answers: dict[str, Any] = {}  # results, or what was raised
        self._fetchers = ThreadPoolExecutor(FETCHERS, thread_name_prefix="stackkit")
        self._begun: set[str] = set()
        self._refused: list[tuple[Task, Outcome]] = []
        self._deaths: Counter[Task] = Counter()
        self._adrift: dict[str, float] = {}  # since when no worker is at it
        self._threads: dict[str, int] = {}
        self._others_tasks: Counter[str] = Counter()
        self._shunned: dict[str, float] = {}  # until when, though it is there
        self._looked_at = -inf
        self._seceded = _inside_worker()
        if self._seceded:  # others may have this one's place while it waits for them
            sys.modules["distributed"].secede()
        self._send_job()

    @property  # workers come and go
    def capacity(self) -> int:  # type: ignore[override]
        if time.monotonic() - self._looked_at > LOOK_SECONDS:
            self._look()
        return max(1, sum(self._threads.values()))

    # --- starting -----------------------------------------------------------------------------------

    def start(self, task: Task) -> None:
        try:
            call = _call_of(without_callbacks(task))
        except Exception as error:  # noqa: BLE001 - what cannot cross to the worker is that learner's failure
            self._refused.append((task, [Result(task.name, task.folds[0], failure=failure_of("fit", error))]))
            return
        key = self._key(task.name)
        place = self._running[key] = self._submitted(key, task, call)
        place.future.add_done_callback(self._fetch_soon)

    def _fetch_soon(self, future: Any) -> None:
        with suppress(RuntimeError):  # the fit is over
            self._fetchers.submit(self._fetch, future)

    def _submitted(self, key: str, task: Task, call: bytes) -> _Place:
        options = {"key": key, "pure": False, "allow_other_workers": False}
        for _ in range(ASKED_AGAIN):
            worker = self._least_busy()
            if not self._data_are_there():
                self._send_job()
            # A large learner, fitted before, is no mistake of the user's to be warned of.
            with sys.modules["dask"].config.set({"distributed.admin.large-graph-warning-threshold": 1 << 60}):
                try:
                    future = self._client.submit(_work, self._sent, call, self._fit, key, workers=[worker], **options)
                except CancelledError:  # the last worker that had the data has died just now
                    continue
            return _Place(task, future, worker)
        raise self._cut_off()

    def _least_busy(self) -> str:
        self._look()
        while not self._threads:
            self._await_workers()
            self._look()
        tasks = Counter(place.worker for place in self._running.values()) + self._others_tasks
        now = time.monotonic()

        def order(worker: str) -> tuple[bool, float]:
            return self._shunned.get(worker, 0) > now, tasks[worker] / self._threads[worker]

        return min(self._threads, key=order)

    def _key(self, what: str) -> str:
        """Dask names files and rows of its dashboard after it."""
        readable = re.sub(r"[^A-Za-z0-9]+", "_", what)[:40]
        return f"stackkit_{readable}-{self._fit}-{next(self._numbers)}"

    def _send_job(self) -> None:
        # A worker has neither this process's store nor the limits that this process holds for all of its threads: the
        # home of 0 is no process's number.
        payload = _Payload(replace(self._job, store=None, home=0), _here(), _versions())
        key, begun = self._key("data"), self._begun
        self._await_workers()
        # A client forgets no handler: it must not hold all this. After a new start the scheduler has forgotten it.
        self._client.subscribe_topic(self._fit, lambda event: begun.add(event[1]))
        self._sent = self._ask(self._client.scatter, {key: payload}, broadcast=True)[key]

    def _data_are_there(self) -> bool:
        try:
            return self._sent.status not in GONE and any(self._ask(self._client.who_has, [self._sent]).values())
        except CancelledError:  # since just now
            return False

    # --- looking after them -------------------------------------------------------------------------

    def wait(self, timeout: float | None) -> list[tuple[Task, Outcome]]:
        if self._refused:
            refused, self._refused = self._refused, []
            return refused
        until = inf if timeout is None else time.monotonic() + timeout
        capacity = self.capacity
        while self._running:
            self._collect(min(LOOK_SECONDS, until - time.monotonic()))
            found = [outcome for key in self._over() if (outcome := self._outcome(key)) is not None]
            if found or time.monotonic() >= until or self.capacity > capacity:
                return found
        return []

    def _fetch(self, future: Any) -> None:
        """In a thread of its own: it may take its time, or for ever if the result went down with its worker."""
        try:
            answer = future.result()
        except Exception as error:  # noqa: BLE001 - whatever Dask raises, or a learner that is unpickled
            answer = error
        self._ended.put((future.key, answer))

    def _collect(self, seconds: float) -> None:
        with suppress(Empty):  # all of them: what has ended must not look overdue
            key, answer = self._ended.get(timeout=max(0.0, seconds))
            while True:
                self._answers[key] = answer
                key, answer = self._ended.get_nowait()

    def _over(self) -> list[str]:
        """Those of the running that have an end of one kind or another."""
        late = time.monotonic() - LOOK_SECONDS  # what has just ended is with no worker either
        lost = [key for key, since in self._adrift.items() if since < late]
        lost += [key for key, place in self._running.items() if place.future.status in GONE]
        return [key for key in dict.fromkeys([*self._answers, *lost]) if key in self._running]

    def _look(self) -> None:
        """Who is there, and at what: Dask calls nobody back for a worker's coming or going."""
        self._threads = self._ask(self._client.nthreads)
        at_work = self._ask(self._client.processing)
        self._others_tasks = Counter(
            {worker: sum(self._fit not in str(key) for key in keys) for worker, keys in at_work.items()}
        )
        cared_for = {key for keys in at_work.values() for key in keys}
        pending = [key for key, place in self._running.items() if place.future.status == "pending"]
        now = self._looked_at = time.monotonic()
        self._adrift = {key: self._adrift.get(key, now) for key in pending if key not in cared_for}

    def _outcome(self, key: str) -> tuple[Task, Outcome] | None:
        """None if the task had to be started again."""
        place = self._running.pop(key)
        task, answer = place.task, self._answers.pop(key, None)
        if isinstance(answer, OtherVersionsError):
            raise answer
        if isinstance(answer, list):
            return task, self._kept(task, answer)
        # It may go down with its worker between Dask's message and the question for it.
        lost = place.future.status != "error" and isinstance(answer, OSError | CancelledError)
        if answer is None or lost or type(answer).__name__ == "KilledWorker":
            return self._start_again(place)
        return task, [Result(task.name, task.folds[0], failure=failure_of("fit", answer))]

    def _kept(self, task: Task, results: list[Result]) -> list[Result]:
        try:
            return kept_from_elsewhere(self._job, task, results)
        except Exception as error:  # noqa: BLE001 - whatever a learner does when it is unpickled
            return [Result(task.name, task.folds[0], failure=failure_of("fit", error))]

    def _start_again(self, place: _Place) -> tuple[Task, Outcome] | None:
        task, waits = place.task, place.future.status == "pending"
        place.future.cancel()
        self._look()
        if place.worker not in self._threads:
            self._deaths[task] += 1
        elif waits:  # it takes no tasks, for want of memory
            self._shunned[place.worker] = time.monotonic() + SHUNNED_SECONDS
        if self._deaths[task] > DEATHS_BORNE:
            del self._deaths[task]
            return task, Lost(
                f"killed (likely out of memory): {DEATHS_BORNE + 1} workers died at it, one after another"
            )
        self.start(task)
        return None

    def has_begun(self, task: Task) -> bool:
        return any(place.task is task and key in self._begun for key, place in self._running.items())

    def stop_worker(self, task: Task) -> None:
        key = next(key for key, place in self._running.items() if place.task is task)
        place = self._running.pop(key)
        place.future.cancel()
        try:
            self._restart([place.worker])
        except ValueError as error:
            raise RuntimeError(
                f"The learner {task.name!r} is not done within task_timeout, and nobody can end it: its worker has no "
                "nanny. Start workers with one (dask worker does, LocalCluster with processes=True), or set no "
                "task_timeout."
            ) from error

    def _restart(self, workers: list[str]) -> None:
        """Their nannies give them four seconds to end; no need to wait for that, nor for their return."""
        self._client.restart_workers(workers, timeout=RESTART_SECONDS, raise_for_error=False)

    # --- the scheduler ------------------------------------------------------------------------------

    def _ask(self, question: Callable[..., T], *details: Any, **more: Any) -> T:
        """The scheduler's answer. A lost connection the client mends by itself, or gives up after a while."""
        for again in range(ASKED_AGAIN + 1):
            while self._client.status == "connecting":
                time.sleep(0.1)
            if self._client.status != "running":
                raise self._cut_off()
            try:
                return question(*details, **more)
            except OSError as error:
                if again == ASKED_AGAIN:
                    raise self._cut_off() from error
                time.sleep(LOOK_SECONDS)
        raise AssertionError

    def _cut_off(self) -> ConnectionError:
        return ConnectionError(
            f"The Dask scheduler at {self._address} does not answer any more. Start it, or another, and its workers, "
            "and fit again: with memory=, what was done by now is not done again."
        )

    def _await_workers(self) -> None:
        if self._ask(self._client.nthreads):
            return
        # An adaptive cluster starts workers for tasks, not for data.
        call = self._client.submit(_versions, key=self._key("call"), pure=False)
        try:
            self._client.wait_for_workers(1, timeout=WORKERS_SECONDS)
        except TimeoutError as error:
            raise ConnectionError(
                f"The Dask cluster at {self._address} has had no workers for {WORKERS_SECONDS:g} seconds. Start some "
                f"(dask worker {self._address}), or wait for them: client.wait_for_workers(1)."
            ) from error
        finally:
            call.release()
            self._looked_at = -inf

    # --- the end ------------------------------------------------------------------------------------

    def close(self, *, now: bool) -> None:
        with suppress(OSError):  # the scheduler may be what was wrong
            if self._client.status == "running":
                self._let_go(now=now)
        self._running.clear()
        self._begun.clear()
        self._fetchers.shutdown(wait=False, cancel_futures=True)
        if self._seceded:
            sys.modules["distributed"].rejoin()

    def _let_go(self, *, now: bool) -> None:
        workers = self._only_ours() if now and self._running else []
        self._client.unsubscribe_topic(self._fit)
        self._client.cancel([*(place.future for place in self._running.values()), self._sent])
        if workers:  # a task that is cancelled goes on all the same
            with suppress(ValueError):
                self._restart(workers)

    def _only_ours(self) -> list[str]:
        """The workers that are at this fit's tasks, and at nobody else's, nor have anybody's data."""
        at_work, has = self._client.processing(), self._client.has_what()
        return [
            worker
            for worker in {place.worker for place in self._running.values()} & set(at_work)
            if all(self._fit in str(key) for key in [*at_work[worker], *has.get(worker, ())])
        ]
