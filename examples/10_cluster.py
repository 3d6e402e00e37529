"""The same stack on several machines, one of which dies
=====================================================

A stack is a flat list of tasks, learner times fold, and none needs another's answer. So it does not matter
which machine a task runs on, nor in which order, nor how often: every task carries its own seed. On a Dask
cluster the data go to each machine once, the tasks follow, and the predictions are equal to the last bit
to those of a single process.

A cluster is three kinds of processes. On one host the scheduler::

    pip install -c constraints.txt -e ".[dask]"
    dask scheduler --host ADDRESS --port 8786

on each of the others, with the same versions of everything installed, N workers, as many as it has cores::

    dask worker tcp://ADDRESS:8786 --nworkers N --nthreads 1

and the program that wants to be helped: Client("tcp://ADDRESS:8786"). Run it on yours,

    python examples/10_cluster.py tcp://ADDRESS:8786

or, to see it on one machine (offline, less than a minute), with those very commands on loopback::

    python examples/10_cluster.py

In this case one of the two workers is killed in mid-fit, as the kernel does when memory runs out. Nothing
is lost but its last task, which another worker does again.
"""

from __future__ import annotations

import argparse
import os
import signal
import socket
import subprocess
import sys
import tempfile
import threading
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from time import perf_counter
from typing import Any

import numpy as np
from sklearn.datasets import make_classification
from sklearn.ensemble import ExtraTreesClassifier, HistGradientBoostingClassifier, RandomForestClassifier
from sklearn.linear_model import LogisticRegression

from stackkit import StackingClassifier

try:
    from distributed import Client
except ImportError:
    print("This example needs Dask: pip install -c constraints.txt -e '.[dask]'")
    sys.exit(0)

# %%
# 1. Data and a stack
# -------------------


def make_data() -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """3,000 rows to learn from, and 1,000 new ones."""
    X, y = make_classification(4000, n_features=20, n_informative=8, flip_y=0.1, random_state=0)
    return X[:3000], y[:3000], X[3000:]


def make_stack(n_jobs: int | None = None, memory: Path | None = None) -> StackingClassifier:
    """Four learners, five folds: twenty tasks. With n_jobs=None a client that is there is made use of."""
    learners = [
        ("forest", RandomForestClassifier(60)),
        ("extra", ExtraTreesClassifier(60)),
        ("boosting", HistGradientBoostingClassifier(max_iter=50)),
        ("logistic", LogisticRegression(max_iter=1000)),
    ]
    return StackingClassifier(learners, cv=5, random_state=0, n_jobs=n_jobs, memory=memory)


# %%
# 2. A cluster on this machine
# ----------------------------


@contextmanager
def machines() -> Iterator[str]:
    """A scheduler and two workers as processes of this machine; what comes is the scheduler's address."""
    with socket.socket() as free, tempfile.TemporaryDirectory() as folder, ExitStack() as stack:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
        free.close()
        address = f"tcp://127.0.0.1:{port}"
        stack.enter_context(running("scheduler", "--host", "127.0.0.1", "--port", str(port), "--no-dashboard"))
        here = ["--no-dashboard", "--local-directory", folder]
        stack.enter_context(running("worker", address, "--nworkers", "2", "--nthreads", "1", *here))
        yield address


@contextmanager
def running(*arguments: str) -> Iterator[None]:
    """The command `dask ...`, until it is not needed any more."""
    print("  $ dask", *arguments)
    command = [sys.executable, "-m", "dask", *arguments]
    quiet = {"stdout": subprocess.DEVNULL, "stderr": subprocess.DEVNULL}
    with subprocess.Popen(command, **quiet) as process:  # noqa: S603 - our own command
        try:
            yield
        finally:
            process.terminate()  # a nanny ends its workers first


# %%
# 3. Who does what
# ----------------


def watch(client: Any, work: Counter[str], done: threading.Event, *, kill: bool) -> None:
    """Note which worker is at a task; with `kill`, end one of them after a while."""
    seen: set[str] = set()
    while not done.wait(0.02):
        for worker, keys in client.processing().items():
            new = set(keys) - seen
            seen |= new
            work[worker] += len(new)
        if kill and len(seen) >= 5:
            kill = False
            worker, process = next(iter(client.run(os.getpid).items()))
            os.kill(process, signal.SIGKILL)
            print(f"  worker {worker} was killed at the {len(seen)}th task")


def fit_on(client: Any, memory: Path, *, kill: bool) -> StackingClassifier:
    """Fit while another thread watches."""
    X, y, _ = make_data()
    work: Counter[str] = Counter()
    done = threading.Event()
    watcher = threading.Thread(target=watch, args=(client, work, done), kwargs={"kill": kill})
    watcher.start()
    start = perf_counter()
    try:
        with client.as_current():
            model = make_stack(memory=memory).fit(X, y)
    finally:
        seconds = perf_counter() - start
        done.set()
        watcher.join()
    for worker, tasks in work.items():
        print(f"  worker {worker} began {tasks} tasks")
    print(f"  {seconds:.1f} s")
    return model


# %%
# 4. From the first to the last
# -----------------------------


def main() -> None:
    parser = argparse.ArgumentParser(description="Fit a stack on a Dask cluster.")
    parser.add_argument("address", nargs="?", help="of a running scheduler; without it a cluster is started here")
    address = parser.parse_args().address

    X, y, X_new = make_data()
    print(f"{len(X)} rows, 4 learners, 5 folds: 20 tasks.\n\nIn this process alone:")
    start = perf_counter()
    local = make_stack(n_jobs=1).fit(X, y)
    print(f"  {perf_counter() - start:.1f} s\n\nOn the cluster:")

    with ExitStack() as stack:
        kill = address is None  # only our own
        address = address or stack.enter_context(machines())
        client = stack.enter_context(Client(address, set_as_default=False))
        client.wait_for_workers(2 if kill else 1)
        memory = Path(stack.enter_context(tempfile.TemporaryDirectory()))
        model = fit_on(client, memory, kill=kill)

        print("\nOnce more, with everything in the store:")
        start = time.perf_counter()
        with client.as_current():
            again = make_stack(memory=memory).fit(X, y)
        print(f"  {time.perf_counter() - start:.1f} s")

    expected = local.predict_proba(X_new)
    equal = all(np.array_equal(expected, other.predict_proba(X_new)) for other in (model, again))
    print(f"\nPredictions for {len(X_new)} new rows, bit for bit: {'equal' if equal else 'DIFFERENT'}.")
    assert equal


if __name__ == "__main__":
    main()
