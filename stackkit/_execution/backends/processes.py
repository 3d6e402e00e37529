"""Worker processes of this machine."""

from __future__ import annotations

import os
import re
import signal
import threading
import time
import warnings
from collections.abc import Sequence
from concurrent.futures import Future
from dataclasses import dataclass
from functools import lru_cache
from multiprocessing.util import Finalize
from pathlib import Path
from typing import Any

import joblib
from joblib.externals.loky import BrokenProcessPool, ProcessPoolExecutor, process_executor
from sklearn import get_config

from stackkit._execution.backends.base import Backend, Lost, Outcome, same_settings
from stackkit._execution.backends.shared_folder import SharedFolder
from stackkit._execution.interrupts import DoneFutures, interrupts_held
from stackkit._execution.tasks import Job, Result, Task
from stackkit._execution.transfer import packed
from stackkit._execution.worker import failure_of, run_task
from stackkit._store import users_files
from stackkit._utils import share_of_cores


class ProcessBackend(Backend):
    """Worker processes of this machine, each alone in its pool: when one dies, it is known at which task.

    The job lies in a file that each worker opens once, memory-mapped; fitted estimators come back in files too, so
    that a worker has its next task before this process has read them. Interrupts are held while loky's locks are taken.
    """

    def __init__(self, job: Job, workers: int) -> None:
        self.capacity = workers
        self.threads = share_of_cores(workers)
        self._folder = SharedFolder()
        self._folder.put(job)
        _stop_outdated_workers()
        self._running: dict[Future, tuple[Task, ProcessPoolExecutor]] = {}
        self._done = DoneFutures()
        self._notes: dict[Task, Path] = {}  # each worker leaves one when it begins
        self._free: list[ProcessPoolExecutor] = []

    def start(self, task: Task) -> None:
        self._notes[task] = self._folder.path / f"begun-{len(self._notes)}"
        call = _ProcessCall(self._folder.path, self._notes[task], task, self.threads, get_config(), warnings.filters)
        with interrupts_held():
            while True:
                worker = self._free.pop() if self._free else _start_worker()
                try:
                    future = worker.submit(_run_call, call)
                except BrokenProcessPool:  # it died while it waited
                    worker.shutdown(kill_workers=True)
                else:
                    self._running[future] = (task, worker)
                    self._done.expect(future)
                    return

    def wait(self, timeout: float | None) -> list[tuple[Task, Outcome]]:
        done = self._done.wait(timeout)
        with interrupts_held():
            return [self._outcome(future) for future in done if future in self._running]

    def _outcome(self, future: Future) -> tuple[Task, Outcome]:
        task, worker = self._running.pop(future)
        try:
            results = future.result()
        except BrokenProcessPool as error:
            worker.shutdown(kill_workers=True)
            return task, Lost(_cause_of_death(error))
        except Exception as error:  # noqa: BLE001 - what cannot cross to the worker is that learner's failure
            results = [Result(task.name, task.folds[0], failure=failure_of("fit", error))]
        self._free.append(worker)
        return task, results

    def has_begun(self, task: Task) -> bool:
        return self._notes[task].exists()

    def stop_worker(self, task: Task) -> None:
        with interrupts_held():
            for future, (running, worker) in list(self._running.items()):
                if running is task:
                    del self._running[future]
                    _end(worker, future)

    def close(self, *, now: bool) -> None:
        with interrupts_held():
            for future, (_, worker) in self._running.items():
                _end(worker, future)
            _WAITING.extend(self._free)
            _stop_outdated_workers()  # of what was edited meanwhile, they may have loaded what it was before
            self._folder.remove()


_PASSED_ON_AFTER = 5000  # milliseconds at most, or something is wrong with the worker
_IDLE_SECONDS = 300  # then a waiting worker ends, as joblib's do
_WAITING: list[ProcessPoolExecutor] = []  # starting a worker and loading its libraries takes a second or two

if hasattr(os, "register_at_fork"):  # not on Windows
    os.register_at_fork(after_in_child=_WAITING.clear)


def _stop_waiting_workers() -> None:
    while _WAITING:
        _WAITING.pop().shutdown()


# A process that multiprocessing started waits for them when it ends, after it has closed the queues (priority 10)
# through which they would hear that they may go.
Finalize(None, _stop_waiting_workers, exitpriority=20)

_FILES: dict[str, tuple[str, int, int]] = {}  # of the user's modules, as they were when workers may have loaded them


def _stop_outdated_workers() -> None:
    """Where a module that they may have loaded was edited since, or lies elsewhere, they would run the old code."""
    now = users_files()
    if any(_FILES.get(name, file) != file for name, file in now.items()):
        _stop_waiting_workers()
    _FILES.update(now)


def _start_worker() -> ProcessPoolExecutor:
    try:
        return _WAITING.pop()
    except IndexError:
        # joblib's own copy of loky: a second one in the same process confuses the tracker of joblib's files.
        return ProcessPoolExecutor(1, timeout=_IDLE_SECONDS, initializer=_prepare_worker, initargs=(os.getpid(),))


def _end(worker: ProcessPoolExecutor, future: Future) -> None:
    """With what it is at. Its thread fails if that happens before it has passed the task on (loky 3.6)."""
    for _ in range(_PASSED_ON_AFTER):
        if future.running() or future.done():
            break
        time.sleep(0.001)
    worker.shutdown(kill_workers=True)


def _cause_of_death(error: BrokenProcessPool) -> str:
    if "SIGKILL" in str(error):
        return "killed (likely out of memory)"
    found = re.search(r"\{(.+)\}", str(error))
    return f"its worker process died ({found[1] if found else error})"


# --- in a worker process ----------------------------------------------------------------------------


def _prepare_worker(parent: int) -> None:
    # loky takes a process that has grown by 300 MB for one that leaks, and starts another in its place. Here that is
    # no leak: it is the user's data, mapped into memory, or torch.
    process_executor._MAX_MEMORY_LEAK_SIZE = float("inf")  # noqa: SLF001 - there is no setting
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C reaches the whole group; the parent decides
    threading.Thread(target=_end_with, args=(parent,), daemon=True).start()


def _end_with(parent: int) -> None:
    """A worker whose parent was killed would go on for minutes."""
    while os.getppid() == parent:
        time.sleep(1)
    os._exit(1)


@dataclass(frozen=True)
class _ProcessCall:
    """What a worker is told: where the job lies, where to note that it begins, the task, and what surrounds it."""

    folder: Path
    note: Path
    task: Task
    threads: int
    config: dict[str, Any]
    filters: Sequence[Any]


def _run_call(call: _ProcessCall) -> list[Result]:
    job = _open(call.folder / "job.pkl")
    call.note.touch()
    with same_settings(call.config), warnings.catch_warnings():
        warnings.filters[:] = call.filters  # type: ignore[index]
        results = run_task(job, call.task, call.threads)
    return [packed(result, call.folder / f"{call.note.name}-{result.fold}.pkl") for result in results]


@lru_cache(maxsize=1)
def _open(path: Path) -> Job:
    return joblib.load(path, mmap_mode="r")
