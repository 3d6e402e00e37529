"""Native threads inside a task: never more than its share of the cores, and BLAS always on one."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from functools import lru_cache
from typing import Any

import joblib
from joblib.parallel import ThreadingBackend
from threadpoolctl import ThreadpoolController


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


def limit_threads(limit: int, user_api: str | None = None) -> Any:
    """Limit native threads, searching for their libraries (3 ms) only if modules were loaded since.

    ``user_api`` is "blas" or "openmp"; None limits both.
    """
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


def ties_held(learner: Any) -> AbstractContextManager[Any]:
    """Hold OpenMP to one thread for nearest neighbours: which of equally near ones counts depends on how many."""
    return limit_threads(1, "openmp") if searches_neighbours(learner) else nullcontext()


def searches_neighbours(learner: Any) -> bool:
    params = learner.get_params(deep=True) if hasattr(learner, "get_params") else {}
    parts = (learner, *params.values())
    return any(type(part).__module__.startswith("sklearn.neighbors") for part in parts)


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


def share_of_cores(workers: int) -> int:
    """How many threads each of the workers may have."""
    return max(1, joblib.cpu_count() // workers)


def threads_per_task(workers: int) -> int | None:
    """None for a single worker: then the learner's own settings hold."""
    return None if workers == 1 else share_of_cores(workers)
