"""Seconds and memory: what several scripts measure alike."""

import gc
import time
import warnings
from concurrent.futures import ProcessPoolExecutor
from contextlib import suppress
from importlib import import_module
from itertools import count
from multiprocessing import get_context
from threading import Event, Thread

import joblib
import numpy as np
import psutil
from joblib.externals.loky import get_reusable_executor
from sklearn.naive_bayes import GaussianNB

from stackkit import cross_fit


class PeakMemory:
    """The largest private memory of this process and its children, above what it was at the start."""

    interval = 0.05
    refresh = 10  # samples between two looks for new child processes, which cost more than the sample itself

    def __enter__(self):
        gc.collect()
        self.start = self.peak = _private_memory(_processes())
        self._stop = Event()
        self._thread = Thread(target=self._watch, daemon=True)
        self._thread.start()
        return self

    def __exit__(self, *exception):
        self._stop.set()
        self._thread.join()

    @property
    def mebibytes(self):
        return (self.peak - self.start) / 2**20

    def _watch(self):
        for sample in count():
            if sample % self.refresh == 0:
                processes = _processes()
            self.peak = max(self.peak, _private_memory(processes))
            if self._stop.wait(self.interval):
                return


def _processes():
    this = psutil.Process()
    return [this, *this.children(recursive=True)]


def _private_memory(processes):
    total = 0
    for process in processes:
        with suppress(psutil.Error):  # it may have ended
            memory = process.memory_info()
            total += memory.rss - getattr(memory, "shared", 0)
    return total


def in_fresh_process(function, *arguments):
    with ProcessPoolExecutor(1, mp_context=get_context("spawn")) as pool:
        return pool.submit(_and_end, function, *arguments).result()


def _and_end(function, *arguments):
    """Without joblib's workers, or the process ends only when they have idled for minutes."""
    try:
        return function(*arguments)
    finally:
        get_reusable_executor().shutdown()


def start_workers(n_jobs):
    """Every worker process is up and has imported what the learners need: joblib's, and stackkit's own."""
    workers = joblib.effective_n_jobs(n_jobs)
    joblib.Parallel(n_jobs=n_jobs, batch_size=1)(joblib.delayed(_import_and_wait)() for _ in range(workers))
    rows = np.arange(20.0)[:, np.newaxis]
    cross_fit([_Imports() for _ in range(workers)], rows, np.tile([0, 1], 10), cv=2, n_jobs=n_jobs)


class _Imports(GaussianNB):
    def fit(self, X, y):
        _import_and_wait()
        return super().fit(X, y)


def _import_and_wait():
    for module in ("sklearn.ensemble", "sklearn.neighbors", "stackkit._execution.worker", "xgboost"):
        import_module(module)
    time.sleep(0.5)  # so that no worker takes two of these


def timed(function, *arguments):
    start = time.perf_counter()
    result = function(*arguments)
    return time.perf_counter() - start, result


def quiet():
    """What learners warn of (an early stop, float32 probabilities) they warn of in every stacker alike."""
    warnings.simplefilter("ignore")


def in_turn(names, turn):
    turn %= len(names)
    return names[turn:] + names[:turn]
