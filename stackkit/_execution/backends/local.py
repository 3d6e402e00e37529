"""The calling thread, and threads of this process."""

from __future__ import annotations

from concurrent.futures import Future, ThreadPoolExecutor
from typing import Any

from sklearn import get_config

from stackkit._execution.backends.base import Backend, Outcome, same_settings
from stackkit._execution.interrupts import DoneFutures, interrupts_held
from stackkit._execution.tasks import Job, Result, Task
from stackkit._execution.worker import run_task
from stackkit._utils import share_of_cores


class CallingThread(Backend):
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

    def close(self, *, now: bool) -> None:
        pass


class ThreadBackend(Backend):
    """Threads of this process. Nothing crosses; nothing can be ended either."""

    def __init__(self, job: Job, workers: int) -> None:
        self.capacity = workers
        self.threads = share_of_cores(workers)
        self._job = job
        self._pool = ThreadPoolExecutor(workers)
        self._running: dict[Future, Task] = {}
        self._done = DoneFutures()

    def start(self, task: Task) -> None:
        with interrupts_held():
            future = self._pool.submit(self._run, task, get_config())
            self._running[future] = task
            self._done.expect(future)

    def _run(self, task: Task, config: dict[str, Any]) -> list[Result]:
        with same_settings(config):  # scikit-learn's settings belong to a thread
            return run_task(self._job, task, self.threads)

    def wait(self, timeout: float | None) -> list[tuple[Task, Outcome]]:
        done = self._done.wait(timeout)
        with interrupts_held():
            return [(self._running.pop(future), future.result()) for future in done]

    def close(self, *, now: bool) -> None:
        self._pool.shutdown(wait=True, cancel_futures=now)
