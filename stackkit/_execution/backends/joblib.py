"""Any backend of joblib, such as Ray's."""

from __future__ import annotations

from dataclasses import replace

from sklearn.utils.parallel import Parallel, delayed

from stackkit._execution.backends.base import Backend, Outcome
from stackkit._execution.callbacks import without_callbacks
from stackkit._execution.result_cache import write_results
from stackkit._execution.tasks import Job, Result, Task
from stackkit._execution.transfer import packed, unpacked
from stackkit._execution.worker import run_task
from stackkit._utils import share_of_cores


class JoblibBackend(Backend):
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
        elsewhere = replace(self._job, store=None)
        work = (delayed(run_elsewhere)(elsewhere, without_callbacks(task), self.threads) for task in tasks)
        outcomes = Parallel(n_jobs=self._workers, batch_size=1)(work)
        return [
            (task, kept_from_elsewhere(self._job, task, results)) for task, results in zip(tasks, outcomes, strict=True)
        ]

    def close(self, *, now: bool) -> None:
        pass


def run_elsewhere(job: Job, task: Task, threads: int | None) -> list[Result]:
    """On another machine, which has neither this one's store nor its files."""
    return [packed(result, None) for result in run_task(job, task, threads)]


def kept_from_elsewhere(job: Job, task: Task, results: list[Result]) -> list[Result]:
    results = [unpacked(result, job, task) for result in results]
    return results if job.store is None else [write_results(job.store, job, task, result) for result in results]
