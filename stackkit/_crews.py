"""Where tasks are worked on: here, in threads, in processes of this machine, or wherever joblib is told to."""

from __future__ import annotations

import os
import pickle
import re
import shutil
import signal
import tempfile
import threading
import time
import warnings
from collections.abc import Callable, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, wait
from contextlib import suppress
from dataclasses import dataclass, replace
from functools import lru_cache
from multiprocessing.util import Finalize
from pathlib import Path
from typing import Any, Protocol
from uuid import uuid4

import cloudpickle
import joblib
from filelock import FileLock, Timeout
from joblib.externals.loky import BrokenProcessPool, ProcessPoolExecutor, process_executor
from joblib.externals.loky.backend import resource_tracker
from sklearn import config_context, get_config
from sklearn.utils.parallel import Parallel, delayed

from stackkit._callbacks import without_callbacks
from stackkit._imports import users_files
from stackkit._recall import keep, recall_member
from stackkit._shelf import StoreProblem
from stackkit._tasks import Failure, Job, Result, Task
from stackkit._threads import share_of_cores
from stackkit._work import failure_of, run_task


@dataclass(frozen=True)
class Lost:
    """The worker died, or its results with it."""

    reason: str


Outcome = list[Result] | Lost


class Crew(Protocol):
    """Workers. Whoever starts tasks looks after ``capacity`` himself."""

    @property
    def capacity(self) -> int:
        """How many tasks there is room for."""

    @property
    def threads(self) -> int:
        """Each task's share of the cores."""

    def start(self, task: Task) -> None: ...

    def wait(self, timeout: float | None) -> list[tuple[Task, Outcome]]:
        """What has come of tasks, as soon as there is something, or after ``timeout`` seconds."""

    def began(self, task: Task) -> bool:
        """Whether its worker has begun: it may have to start first, and to load its libraries."""

    def dismiss(self, task: Task) -> None:
        """End the worker that is at this task."""

    def close(self, *, now: bool) -> None:
        """Let the workers go; ``now``: end what they are at."""


class Here:
    """The calling thread: a task is done when it is started."""

    capacity = 1
    threads = 1

    def __init__(self, job: Job) -> None:
        self._job = job
        self._done: list[tuple[Task, Outcome]] = []

    def start(self, task: Task) -> None:
        self._done.append((task, run_task(self._job, task, None)))

    def wait(self, timeout: float | None) -> list[tuple[Task, Outcome]]:
        done, self._done = self._done, []
        return done

    def began(self, task: Task) -> bool:
        return True

    def dismiss(self, task: Task) -> None:
        raise NotImplementedError

    def close(self, *, now: bool) -> None:
        pass


class Threads:
    """Threads of this process. Nothing crosses; nothing can be ended either."""

    def __init__(self, job: Job, workers: int) -> None:
        self.capacity = workers
        self.threads = share_of_cores(workers)
        self._job = job
        self._pool = ThreadPoolExecutor(workers)
        self._running: dict[Future, Task] = {}

    def start(self, task: Task) -> None:
        self._running[self._pool.submit(self._run, task, get_config())] = task

    def _run(self, task: Task, config: dict[str, Any]) -> list[Result]:
        with config_context(**config):  # scikit-learn's settings belong to a thread
            return run_task(self._job, task, self.threads)

    def wait(self, timeout: float | None) -> list[tuple[Task, Outcome]]:
        done, _ = wait(self._running, timeout, FIRST_COMPLETED)
        return [(self._running.pop(future), future.result()) for future in done]

    def began(self, task: Task) -> bool:
        return True

    def dismiss(self, task: Task) -> None:
        raise NotImplementedError

    def close(self, *, now: bool) -> None:
        self._pool.shutdown(wait=True, cancel_futures=now)


# --- processes --------------------------------------------------------------------------------------


class Processes:
    """Worker processes of this machine, each alone in its pool: when one dies, it is known at which task.

    The job lies in a file that each worker opens once, memory-mapped; fitted estimators come back in files too, so
    that a worker has its next task before this process has read them.
    """

    def __init__(self, job: Job, workers: int) -> None:
        self.capacity = workers
        self.threads = share_of_cores(workers)
        self._folder = _Folder()
        self._folder.put(job)
        self._running: dict[Future, tuple[Task, ProcessPoolExecutor]] = {}
        self._notes: dict[Task, Path] = {}  # each worker leaves one when it begins
        self._free: list[ProcessPoolExecutor] = []

    def start(self, task: Task) -> None:
        self._notes[task] = self._folder.path / f"begun-{len(self._notes)}"
        call = _Call(self._folder.path, self._notes[task], task, self.threads, get_config(), warnings.filters)
        while True:
            worker = self._free.pop() if self._free else _hire()
            try:
                future = worker.submit(_deliver, call)
            except BrokenProcessPool:  # it died while it waited
                worker.shutdown(kill_workers=True)
            else:
                self._running[future] = (task, worker)
                return

    def wait(self, timeout: float | None) -> list[tuple[Task, Outcome]]:
        done, _ = wait(self._running, timeout, FIRST_COMPLETED)
        return [self._outcome(future) for future in done]

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

    def began(self, task: Task) -> bool:
        return self._notes[task].exists()

    def dismiss(self, task: Task) -> None:
        for future, (running, worker) in list(self._running.items()):
            if running is task:
                del self._running[future]
                worker.shutdown(kill_workers=True)

    def close(self, *, now: bool) -> None:
        for _, worker in self._running.values():
            worker.shutdown(kill_workers=True)
        _WAITING.extend(self._free)
        _note_files()
        self._folder.remove()


class _Folder:
    """What crosses between processes. It goes with its owner.

    If that was killed, joblib's tracker removes it once all its workers have ended; if that was killed too, the
    next one that is made.
    """

    def __init__(self) -> None:
        place = os.environ.get("JOBLIB_TEMP_FOLDER") or tempfile.gettempdir()
        for left_behind in Path(place).glob("stackkit-*/owner.lock"):
            _remove_if_orphaned(left_behind)
        while (owned := self._make(Path(place))) is None:
            pass
        self._owned = owned

    def _make(self, place: Path) -> FileLock | None:
        self.path = (place / f"stackkit-{uuid4().hex}").absolute()
        self._tell_tracker(resource_tracker.register)  # first: who is killed in between leaves nothing
        try:
            owned = _made(self.path)
        except OSError:
            self._tell_tracker(resource_tracker.unregister)
            raise
        if owned is None:
            self._tell_tracker(resource_tracker.unregister)
        return owned

    def put(self, job: Job) -> None:
        try:
            joblib.dump(job, self.path / "job.pkl")
        except OSError as error:
            self.remove()
            raise OSError(
                f"The data cannot be written to the temporary folder {self.path.parent} for the worker processes: "
                f"{error}. Set the environment variable JOBLIB_TEMP_FOLDER to one with more room, or use threads: "
                "joblib.parallel_config(backend='threading')."
            ) from error

    def remove(self) -> None:
        self._owned.release()
        shutil.rmtree(self.path, ignore_errors=True)
        self._tell_tracker(resource_tracker.unregister)

    def _tell_tracker(self, what: Callable[[str, str], None]) -> None:
        with suppress(ValueError):  # a path too long for it, or with letters beyond ASCII
            what(str(self.path), "folder")


def _made(path: Path) -> FileLock | None:
    """Make a folder and lock it; None if another process took it for an orphan before it was locked."""
    path.mkdir(mode=0o700)
    mark, lock = path / "new", FileLock(path / "owner.lock", thread_local=False)
    with suppress(FileNotFoundError):
        mark.touch()
        lock.acquire()
        if mark.exists():  # else filelock has made the folder anew, open to others
            mark.unlink(missing_ok=True)
            return lock
    lock.release()
    shutil.rmtree(path, ignore_errors=True)
    return None


def _remove_if_orphaned(lock_file: Path) -> None:
    """The lock of a process ends with it, on whatever machine, or in whatever container, it was."""
    try:
        with FileLock(lock_file, timeout=0):
            shutil.rmtree(lock_file.parent, ignore_errors=True)
    except (OSError, Timeout):
        return  # somebody's


_IDLE_SECONDS = 300  # then a waiting worker ends, as joblib's do
_WAITING: list[ProcessPoolExecutor] = []  # starting a worker and loading its libraries takes a second or two
if hasattr(os, "register_at_fork"):  # not on Windows
    os.register_at_fork(after_in_child=_WAITING.clear)


def _send_home() -> None:
    while _WAITING:
        _WAITING.pop().shutdown()


# A process that multiprocessing started waits for them when it ends, after it has closed the queues (priority 10)
# through which they would hear that they may go.
Finalize(None, _send_home, exitpriority=20)


_FILES: dict[str, tuple[int, int]] = {}  # of the user's modules, as they were when workers may have loaded them


def _note_files() -> bool:
    """Whether a file that a waiting worker may have loaded was edited since: it would compute with the old code."""
    now = users_files()
    edited = any(_FILES.get(path, status) != status for path, status in now.items())
    _FILES.update(now)
    return edited


def _hire() -> ProcessPoolExecutor:
    if _note_files():
        _send_home()
    try:
        return _WAITING.pop()
    except IndexError:
        # joblib's own copy of loky: a second one in the same process confuses the tracker of joblib's files.
        return ProcessPoolExecutor(1, timeout=_IDLE_SECONDS, initializer=_settle_in, initargs=(os.getpid(),))


def _cause_of_death(error: BrokenProcessPool) -> str:
    if "SIGKILL" in str(error):
        return "killed (likely out of memory)"
    found = re.search(r"\{(.+)\}", str(error))
    return f"its worker process died ({found[1] if found else error})"


# In a worker process:


def _settle_in(parent: int) -> None:
    # loky takes 300 MB more for a leak, and starts the worker anew; here they are the data, mapped, or torch.
    process_executor._MAX_MEMORY_LEAK_SIZE = float("inf")  # noqa: SLF001 - there is no setting
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C reaches the whole group; the parent decides
    threading.Thread(target=_end_with, args=(parent,), daemon=True).start()


def _end_with(parent: int) -> None:
    """A worker whose parent was killed would go on for minutes."""
    while os.getppid() == parent:
        time.sleep(1)
    os._exit(1)


@dataclass(frozen=True)
class _Call:
    """What a worker is told: where the job lies, where to note that it begins, the task, and what surrounds it."""

    folder: Path
    note: Path
    task: Task
    threads: int
    config: dict[str, Any]
    filters: Sequence[Any]


def _deliver(call: _Call) -> list[Result]:
    job = _open(call.folder / "job.pkl")
    call.note.touch()
    with config_context(**call.config), warnings.catch_warnings():
        warnings.filters[:] = call.filters  # type: ignore[index]
        results = run_task(job, call.task, call.threads)
    return [packed(result, call.folder / f"{call.note.name}-{result.fold}.pkl") for result in results]


@lru_cache(maxsize=1)
def _open(path: Path) -> Job:
    return joblib.load(path, mmap_mode="r")


# --- parcels ----------------------------------------------------------------------------------------


_NO_PICKLES = "With n_jobs=1, or in threads, it need not be."


def packed(result: Result, path: Path | None) -> Result:
    """The result without its estimator, which goes into a file, if it does not lie in the store already."""
    if result.member is None or result.member.estimator is None:
        return result
    light = replace(result, member=replace(result.member, estimator=None))
    if result.on_shelf:
        return light
    try:
        pickled = cloudpickle.dumps(result.member.estimator)
    except Exception as error:  # noqa: BLE001 - any object of any learner
        reason = f"once fitted it cannot be pickled: {error}. {_NO_PICKLES}"
        return Result(result.name, result.fold, failure=Failure("fit", reason))
    return replace(light, parcel=pickled if path is None else _in_file(pickled, path))


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
    if result.on_shelf and job.shelf is not None:
        kept = recall_member(job.shelf, task, result.fold)
        if kept is None:
            raise StoreProblem(f"The model of the learner {task.name!r}, fold {result.fold}, is gone.")
        return replace(result, member=kept[0])
    if result.parcel is None:
        return result  # nobody asked for it
    parcel = result.parcel
    if isinstance(parcel, Path):
        path, parcel = parcel, parcel.read_bytes()
        path.unlink()
    try:
        estimator = pickle.loads(parcel)
    except Exception as error:  # noqa: BLE001 - as above
        reason = f"once fitted it pickles, but cannot be unpickled: {type(error).__name__}: {error}. {_NO_PICKLES}"
        return Result(result.name, result.fold, failure=Failure("fit", reason))
    return replace(result, member=replace(result.member, estimator=estimator), parcel=None)


# --- through joblib ---------------------------------------------------------------------------------


class ThroughJoblib:
    """Any other backend of joblib, such as Ray's: some tasks at a time, handed back as a list.

    Its workers may be on other machines: this process keeps in the store what they send.
    """

    def __init__(self, job: Job, workers: int) -> None:
        self.capacity = 4 * workers  # nothing comes back before the last of them
        self.threads = share_of_cores(workers)
        self._workers = workers
        self._job = job
        self._started: list[Task] = []

    def start(self, task: Task) -> None:
        self._started.append(task)

    def wait(self, timeout: float | None) -> list[tuple[Task, Outcome]]:
        tasks, self._started = self._started, []
        afar = replace(self._job, shelf=None)
        work = (delayed(run_afar)(afar, without_callbacks(task), self.threads) for task in tasks)
        outcomes = Parallel(n_jobs=self._workers, batch_size=1)(work)
        return [(task, kept_from_afar(self._job, task, results)) for task, results in zip(tasks, outcomes, strict=True)]

    def began(self, task: Task) -> bool:
        return True

    def dismiss(self, task: Task) -> None:
        raise NotImplementedError

    def close(self, *, now: bool) -> None:
        pass


def run_afar(job: Job, task: Task, threads: int | None) -> list[Result]:
    """On another machine, which has neither this one's store nor its files."""
    return [packed(result, None) for result in run_task(job, task, threads)]


def kept_from_afar(job: Job, task: Task, results: list[Result]) -> list[Result]:
    results = [unpacked(result, job, task) for result in results]
    return results if job.shelf is None else [keep(job.shelf, job, task, result) for result in results]
