"""Native threads inside a task: never more than its share of the cores, and BLAS always on one."""

from __future__ import annotations

import os
import sys
import threading
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from functools import lru_cache
from inspect import signature
from typing import Any

import joblib
import threadpoolctl
from joblib.parallel import ThreadingBackend
from threadpoolctl import ThreadpoolController

from stackkit._utils.foreign import is_of, parts_of, under

CATBOOST_THREADS = "thread_count"
THREADS = ("n_jobs", "num_threads", "nthread", CATBOOST_THREADS)  # as LightGBM and XGBoost call them, too


class _AtMost(ThreadingBackend):
    """joblib inside a task: threads, but never more than the task's share of the cores."""

    def __init__(self, threads: int, **options: Any) -> None:
        super().__init__(nesting_level=1, **options)  # what it nests again runs one after another
        self.threads = threads

    def effective_n_jobs(self, n_jobs: int | None) -> int:
        return min(super().effective_n_jobs(n_jobs), self.threads)


@lru_cache(maxsize=1)
def _native_libraries(_n_modules: int) -> ThreadpoolController:
    """The libraries loaded so far, searched for (3 ms) only if modules were loaded since."""
    return ThreadpoolController()


def limit_threads(limit: int, user_api: str) -> Any:
    """Limit the native threads of "blas" or "openmp", and leave the other kind alone, also when the limit ends.

    OpenMP's limit belongs to the calling thread, that of BLAS to the process: `single_threaded_blas` is for BLAS where
    others may come and go meanwhile.
    """
    return _native_libraries(len(sys.modules)).select(user_api=user_api).limit(limits=limit)


# --- BLAS --------------------------------------------------------------------------------------------


class _HeldBlas:
    """BLAS on one thread for as long as anybody in the process wants that.

    If each of two holders that overlap put back what it had found, the first to leave would lift the limit for the
    other, which would then leave one thread for good. So they are counted: the last one puts back what the first found.
    """

    def __init__(self) -> None:
        self.forget()

    def forget(self) -> None:
        """In a process forked off while somebody held BLAS: of its threads none does."""
        self._lock = threading.Lock()
        self._holders = 0
        self._limits: list[Any] = []
        self._paths: list[str] = []

    def enter(self, libraries: ThreadpoolController) -> None:
        with self._lock:
            self._holders += 1
            paths = [library.filepath for library in libraries.lib_controllers]
            if paths != self._paths:  # the first holder, or libraries were loaded since
                with _in_control():
                    self._limits.append(libraries.limit(limits=1))
                self._paths = paths

    def leave(self) -> None:
        with self._lock:
            self._holders -= 1
            if self._holders:
                return
            with _in_control():
                while self._limits:
                    self._limits.pop().restore_original_limits()
            self._paths = []


_HELD_BLAS = _HeldBlas()
if hasattr(os, "register_at_fork"):  # not on Windows
    os.register_at_fork(after_in_child=_HELD_BLAS.forget)


@contextmanager
def _in_control() -> Iterator[None]:
    """Since version 3.8 threadpoolctl heeds one Python thread only, the first that set a limit of OpenBLAS.

    Here the last holder need not be the first; the lock of `_HeldBlas` keeps them from fighting.
    """
    clear = getattr(threadpoolctl.OpenBLASController, "clear_controlling_thread", None)
    if clear:
        clear(force=True)
    try:
        yield
    finally:
        if clear:
            clear(force=True)


@contextmanager
def single_threaded_blas() -> Iterator[None]:
    """Hold BLAS to one thread, in the whole process, until all who asked for it have left.

    How BLAS splits a sum over threads shows in the last bit, and results must not depend on ``n_jobs``.
    """
    blas = _native_libraries(len(sys.modules)).select(user_api="blas")
    # The threads of an OpenBLAS on OpenMP belong to the calling thread, those of all others to the process.
    own = [library.filepath for library in blas.lib_controllers if getattr(library, "threading_layer", "") == "openmp"]
    shared = [library.filepath for library in blas.lib_controllers if library.filepath not in own]
    with blas.select(filepath=own).limit(limits=1):
        _HELD_BLAS.enter(blas.select(filepath=shared))
        try:
            yield
        finally:
            _HELD_BLAS.leave()


# --- one task ----------------------------------------------------------------------------------------


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
    return limit_threads(1, "openmp") if _has_part_of(parts_of(learner), "sklearn.neighbors") else nullcontext()


def sums_held(learner: Any) -> AbstractContextManager[Any]:
    """Hold joblib to one thread for ensembles that add up in threads: in which order shows in the last bit."""
    # To ask for all that is inside takes as long as to predict one row.
    parts = {"": learner} if _is_alone(learner) else parts_of(learner)
    adds_up = _has_part_of(parts, "sklearn.ensemble")
    return joblib.parallel_config(backend=_AtMost(1)) if adds_up else nullcontext()


def _is_alone(learner: Any) -> bool:
    """Whether it is clear at a glance that there is no other learner inside it."""
    held = getattr(learner, "__dict__", {"": learner}).values()
    return not any(
        (isinstance(value, list | tuple | dict) and len(value)) or hasattr(value, "get_params") for value in held
    )


def keeps_to_one_thread(learner: Any) -> bool:
    """Whether its predictions want one thread of OpenMP: nearest neighbours, and learners that have but one."""
    parts = parts_of(learner)
    own = _own_threads(parts)
    return _has_part_of(parts, "sklearn.neighbors") or (bool(own) and all(value == 1 for value in own.values()))


def _has_part_of(parts: dict[str, Any], module: str) -> bool:
    """Whether one of them is of that module of scikit-learn, or derives from what is."""
    classes = {cls for part in parts.values() for cls in type(part).__mro__}
    return any(cls.__module__.startswith(module) for cls in classes)


@contextmanager
def own_threads_held(learner: Any, threads: int | None) -> Iterator[None]:
    """Hold learners that start threads by a number of their own to so many; None: to as many as there are cores.

    XGBoost is one. It does not ask joblib, and stands still on more threads than cores. Even with ``n_jobs=1`` it has
    OpenMP start as many threads as there may be: these only wait for each other, for minutes where the cores are busy.
    CatBoost keeps the number: it lets nobody change a fitted model.
    """
    threads = share_of_cores(1) if threads is None else threads
    own = _own_threads(parts_of(learner))
    held = {key: value for key, value in own.items() if value is None or value < 1 or value > threads}
    if held:
        learner.set_params(**dict.fromkeys(held, threads))
    try:
        with _most_threads(max(threads if key in held else own[key] for key in own)) if own else nullcontext():
            yield
    finally:
        given = {key: value for key, value in held.items() if not key.endswith(CATBOOST_THREADS)}
        if given:
            learner.set_params(**given)


def _own_threads(parts: dict[str, Any]) -> dict[str, Any]:
    """The numbers of threads of learners that do not ask joblib, as those of scikit-learn and ensembles do.

    To set theirs too would bring deprecation warnings.
    """
    found = {}
    for key, value in parts.items():
        owner, _, name = key.rpartition("__")  # of a pipeline's "step__n_jobs"
        if name in THREADS and not _asks_joblib(parts[owner]) and not _is_fixed(parts[owner]):
            found[key] = value
    for owner, part in parts.items():
        if is_of(part, "catboost") and not _is_fixed(part):  # it tells of no parameter that was not given
            found.setdefault(under(owner, CATBOOST_THREADS), None)
    return found


def _is_fixed(learner: Any) -> bool:
    """Whether it is a model of CatBoost that is fitted."""
    return is_of(learner, "catboost") and learner.is_fitted()


def _asks_joblib(learner: Any) -> bool:
    """Of scikit-learn, derived from a learner of it that has ``n_jobs``, or an ensemble."""
    return hasattr(learner, "estimators") or any(
        cls.__module__.partition(".")[0] == "sklearn" and "n_jobs" in signature(cls).parameters
        for cls in type(learner).__mro__
    )


def _most_threads(most: int) -> AbstractContextManager[Any]:
    """Hold OpenMP to so many threads, where there may be more."""
    libraries = _native_libraries(len(sys.modules)).select(user_api="openmp").lib_controllers
    now = max((library.num_threads for library in libraries), default=1)
    return limit_threads(most, "openmp") if now > most else nullcontext()


def share_of_cores(workers: int) -> int:
    """How many threads each of the workers may have."""
    return max(1, joblib.cpu_count() // workers)


def threads_per_task(workers: int) -> int | None:
    """None for a single worker: then the learner's own settings hold."""
    return None if workers == 1 else share_of_cores(workers)
