"""Time of the folds of a BN-MLP, and of a BN-CNN on MNIST, beside raw skorch and plain torch.

Run it on an idle machine::

    pip install -c constraints.txt -e ".[bench]"
    python benchmarks/nets.py
    STACKKIT_DATA=/path/to/data python benchmarks/nets.py --images
    python benchmarks/nets.py --quick

The BN-MLP: five folds, five ways to fit them. All have the same rows, shape of network, batch size, number of
epochs and constant learning rate, and Adam. The ways take turns: every round runs each of them once, in an order
that moves on by one a round, and ratios are taken within a round. Printed are medians over the rounds:

- s: seconds for all folds. What is paid once a process (imports, worker start, a first tiny fit) came before;
- packed is ... x faster: the way's seconds over those of stackkit's fold-batched fit;
- log-loss on the held-out rows, mean over folds and rounds, which differ in the first weights: a check that all
  learn the same, not a race. stackkit takes the population statistics once more after training, as is its
  default: in its loss and in its time.

Where the last batch of an epoch would have one row, on which BN has no variance, the peers drop it; that is
printed. stackkit spreads an epoch's rows evenly over its batches, so that it may make a step less an epoch:
both numbers are printed.

With --images, the BN-CNNs: stackkit's two presets and skorch with the net of "reference", each with the same number
of threads. Test accuracy is taken after each epoch while the clock stands, and from it the time until 99.02 %, the
figure of the classic reports. As the one-cycle schedule of "fast" depends on its length, each length is a fit of its
own there, and the shortest that gets to 99.02 % counts. Both sides so look at the test images; the aim is speed.

The aims are printed beside the figures. Nothing is asserted: times depend on the machine.
"""

import argparse
import os
import platform
import time
from collections import defaultdict
from dataclasses import dataclass, replace
from importlib.metadata import version
from itertools import pairwise

import joblib
import numpy as np
import pandas as pd
import torch
from _network_systems import BEFORE
from sklearn.datasets import make_classification
from sklearn.metrics import accuracy_score, log_loss
from sklearn.model_selection import StratifiedKFold
from sklearn.preprocessing import StandardScaler
from skorch import NeuralNetClassifier
from skorch.callbacks import Callback
from torch import nn

from stackkit.datasets import load_mnist
from stackkit.nn import BNCNNClassifier, BNMLPClassifier

K = 5
LR = 1e-3
PACKED = "stackkit, folds packed"
SKORCH = "skorch"
WORKERS = "skorch, two workers"


# --- the BN-MLP: data and ways --------------------------------------------------------------------------


@dataclass(frozen=True)
class Task:
    """A table, and how a network is trained on it; ``aims``: how many times faster than which way."""

    rows: int
    columns: int
    hidden: tuple[int, ...]
    batch_size: int
    epochs: int
    aims: tuple[tuple[str, float], ...]

    def table(self, seed):
        X, y = make_classification(
            self.rows, self.columns, n_informative=self.columns // 2, flip_y=0.1, random_state=seed
        )
        return StandardScaler().fit_transform(X).astype(np.float32), y.astype(np.int64)


SETS = {
    "titanic-size": Task(891, 12, (64, 64), 32, 50, ((SKORCH, 13), (WORKERS, 7))),
    "medium": Task(20_000, 50, (128, 128), 256, 20, ((SKORCH, 5),)),
    "large": Task(100_000, 100, (256, 256), 512, 2, ((SKORCH, 2.5),)),
}
TINY = Task(200, 12, (16, 16), 32, 1, ())  # starts workers and warms up


def make_network(task):
    layers = []
    for before, after in pairwise([task.columns, *task.hidden]):
        layers += [nn.Linear(before, after, bias=False), nn.BatchNorm1d(after), nn.ReLU()]
    return nn.Sequential(*layers, nn.Linear(task.hidden[-1], 2))


def our_learner(task, seed):
    """The network that skorch trains: nothing is encoded, dropped or set aside."""
    return BNMLPClassifier(
        task.hidden,
        **BEFORE | {"lr": LR},
        n_members=1,
        max_epochs=task.epochs,
        batch_size=task.batch_size,
        schedule="constant",
        device="cpu",
        n_threads=None,  # torch's own number, which is the same for all ways
        random_state=seed,
    )


def raw_skorch(make, *, epochs, batch_size, drop_last=False, callbacks=None):
    """Skorch as it comes, less what only prints or validates."""
    return NeuralNetClassifier(
        make,
        criterion=nn.CrossEntropyLoss,
        optimizer=torch.optim.Adam,
        lr=LR,
        max_epochs=epochs,
        batch_size=batch_size,
        iterator_train__shuffle=True,
        iterator_train__drop_last=drop_last,
        train_split=None,
        callbacks=callbacks,
        callbacks__print_log=None,
        callbacks__valid_acc=None,
        verbose=0,
    )


def packed(X, y, folds, task, seed):
    return our_learner(task, seed).fit_folds(X, y, folds)


def one_by_one(X, y, folds, task, seed):
    return [our_learner(task, seed + k).fit(X[rows], y[rows]) for k, rows in enumerate(folds)]


def skorch(X, y, folds, task, seed):
    return [fit_skorch(X, y, rows, task, seed + k) for k, rows in enumerate(folds)]


def fit_skorch(X, y, rows, task, seed):
    torch.manual_seed(seed)
    net = raw_skorch(
        lambda: make_network(task),
        epochs=task.epochs,
        batch_size=task.batch_size,
        drop_last=has_single(len(rows), task),
    )
    return net.fit(X[rows], y[rows])


def has_single(n_rows, task):
    return n_rows % task.batch_size == 1


def skorch_in_workers(X, y, folds, task, seed):
    tasks = (joblib.delayed(fit_skorch)(X, y, rows, task, seed + k) for k, rows in enumerate(folds))
    return in_two_workers(tasks)


def in_two_workers(tasks):
    with joblib.parallel_config("loky", n_jobs=2, inner_max_num_threads=1):
        return joblib.Parallel(batch_size=1)(tasks)


def plain(X, y, folds, task, seed):
    return [Fitted(fit_plain(X[rows], y[rows], task, seed + k)) for k, rows in enumerate(folds)]


def fit_plain(X, y, task, seed):
    torch.manual_seed(seed)
    network, inputs, targets = make_network(task), torch.from_numpy(X), torch.from_numpy(y)
    adam = torch.optim.Adam(network.parameters(), lr=LR)
    for _ in range(task.epochs):
        for rows in torch.randperm(len(X)).split(task.batch_size):
            if len(rows) > 1:
                loss = nn.functional.cross_entropy(network(inputs[rows]), targets[rows])
                adam.zero_grad()
                loss.backward()
                adam.step()
    return network


@dataclass
class Fitted:
    """A torch network that predicts like the others."""

    network: nn.Module

    def predict_proba(self, X):
        with torch.inference_mode():
            return self.network.eval()(torch.from_numpy(X)).softmax(1).numpy()


WAYS = {
    PACKED: packed,
    "stackkit, one by one": one_by_one,
    SKORCH: skorch,
    "plain torch": plain,
    WORKERS: skorch_in_workers,
}


# --- the BN-MLP: measuring --------------------------------------------------------------------------------


def compare(name, task, arguments):
    X, y = task.table(seed=0)
    folds = list(StratifiedKFold(K, shuffle=True, random_state=0).split(X, y))
    threads = arguments.threads or 1
    torch.set_num_threads(threads)
    print(
        f"\n{name}: {task.rows:,} x {task.columns}, {K} folds, network {'-'.join(map(str, task.hidden))}, "
        f"batch size {task.batch_size}, {task.epochs} epochs, {threads} torch thread(s) in the main process, one in "
        f"each worker, {arguments.repeats} round(s)"
    )
    print_steps(task, [len(train) for train, _ in folds])
    rounds = [
        {way: measure(way, X, y, folds, task, seed=K * turn) for way in _in_turn(list(WAYS), turn)}
        for turn in range(arguments.repeats)
    ]
    table = summarise(rounds)
    print(table.to_string(float_format="{:.2f}".format, formatters={"s": "{:.3f}".format, "log-loss": "{:.4f}".format}))
    for way, aim in task.aims:
        _print_aim(f"packed times faster than {way}", table.loc[way, "packed is ... x faster"], aim)


def measure(way, X, y, folds, task, *, seed):
    """(seconds to fit all folds, mean held-out log-loss)."""
    start_workers()
    start = time.perf_counter()
    models = WAYS[way](X, y, [train for train, _ in folds], task, seed)
    seconds = time.perf_counter() - start
    losses = [log_loss(y[test], model.predict_proba(X[test])) for model, (_, test) in zip(models, folds, strict=True)]
    return seconds, np.mean(losses)


def summarise(rounds):
    seconds = pd.DataFrame([{way: run[0] for way, run in turn.items()} for turn in rounds])
    loss = pd.DataFrame([{way: run[1] for way, run in turn.items()} for turn in rounds])
    faster = seconds.div(seconds[PACKED], axis=0)
    table = {
        "s": seconds.median(),
        "packed is ... x faster": faster.median(),
        "from": faster.min(),
        "to": faster.max(),
        "log-loss": loss.mean(),
    }
    return pd.DataFrame(table).loc[list(WAYS)]


def print_steps(task, sizes):
    single = [has_single(size, task) for size in sizes]
    theirs = sorted({-(-size // task.batch_size) - one for size, one in zip(sizes, single, strict=True)})
    ours = sorted({round(size / task.batch_size) for size in sizes})
    print(f"steps an epoch: {_joined(ours)} in stackkit, {_joined(theirs)} elsewhere", end="")
    print(f"; {sum(single)} fold(s) drop a last batch of one row there" if any(single) else "", flush=True)


def warm_up():
    """Everything has run once."""
    X, y = TINY.table(seed=0)
    for way in WAYS.values():
        way(X, y, [np.arange(150), np.arange(50, 200)], TINY, 0)


def start_workers():
    """Both are up, with their imports done; idle ones leave after some minutes."""
    X, y = TINY.table(seed=0)
    in_two_workers(joblib.delayed(_start_worker)(X, y) for _ in range(2))


def _start_worker(X, y):
    assert torch.get_num_threads() == 1
    fit_skorch(X, y, np.arange(len(X)), TINY, seed=0)
    time.sleep(0.5)  # so that no worker takes two of these


def _in_turn(names, turn):
    turn %= len(names)
    return names[turn:] + names[:turn]


# --- the BN-CNN -------------------------------------------------------------------------------------------

TARGET = 0.9902
TARGET_LOSS = 0.0435
IMAGES_AIM = 12
LENGTHS = (1, 2, 5)  # epochs of "fast"
REFERENCE_EPOCHS = 10


class Clock(Callback):
    """Seconds of training and test accuracy after each epoch; the clock stands while the test images are looked at."""

    def __init__(self, name, images, labels):
        self.name, self.images, self.labels = name, images, labels

    def fit(self, learner, X, y):
        self.epochs = []
        self.start = time.perf_counter()
        learner.fit(X, y)
        return time.perf_counter() - self.start

    def on_epoch_end(self, net, **_):
        now = time.perf_counter()
        with torch.inference_mode():
            parts = [net.module_.eval()(part).argmax(1) for part in self.images.split(500)]
        accuracy = accuracy_score(self.labels, torch.cat(parts).numpy())
        self.epochs.append((now - self.start, accuracy))
        print(f"  {self.name}, epoch {len(self.epochs)}: {now - self.start:.1f} s, {accuracy:.2%}", flush=True)
        self.start += time.perf_counter() - now

    def seconds_to_target(self):
        return next((seconds for seconds, accuracy in self.epochs if accuracy >= TARGET), np.inf)


@dataclass
class Run:
    """One way and seed: seconds of the fit and an epoch of it, what came out, seconds until the target."""

    fit: float
    epoch: float
    accuracy: float
    loss: float
    to_target: float = np.inf

    def report(self, name):
        print(
            f"{name}: {self.fit:.1f} s, {self.epoch:.2f} s an epoch, test {self.accuracy:.2%}, loss {self.loss:.4f}",
            flush=True,
        )


def scores(learner, X, y):
    probabilities = learner.predict_proba(X)
    return accuracy_score(y, probabilities.argmax(1)), log_loss(y, probabilities)


def run_fast(images, seed, *, quick):
    """Fit several lengths, the shortest first; the run of the longest, with the time of the first that got there."""
    X, y, X_test, y_test = images
    runs = []
    for epochs in LENGTHS[:2] if quick else LENGTHS:
        learner = BNCNNClassifier("fast", max_epochs=epochs, n_threads=None, device="cpu", random_state=seed)
        start = time.perf_counter()
        learner.fit(X, y)
        seconds = time.perf_counter() - start
        runs.append(Run(seconds, seconds / epochs, *scores(learner, X_test, y_test)))
        runs[-1].report(f"stackkit fast, seed {seed}, {epochs} epoch(s)")
    runs[-1].to_target = next((run.fit for run in runs if run.accuracy >= TARGET), np.inf)
    return runs[-1]


def run_reference(images, seed, *, quick):
    """Accuracy after an epoch is with running averages: population statistics are taken at the end."""
    name, epochs = f"stackkit reference, seed {seed}", 2 if quick else REFERENCE_EPOCHS
    clock = Clock(name, torch.from_numpy(images[2][:, np.newaxis].astype(np.float32)), images[3])
    learner = BNCNNClassifier(
        "reference", max_epochs=epochs, callbacks=[clock], n_threads=None, device="cpu", random_state=seed
    )
    return run_on_clock(clock, learner, images, epochs)


def run_skorch(images, seed, *, quick):
    X, y, X_test, y_test = images
    X, X_test = (part[:, np.newaxis].astype(np.float32) / 255 for part in (X, X_test))
    name, epochs = f"skorch, seed {seed}", 2 if quick else REFERENCE_EPOCHS
    clock = Clock(name, torch.from_numpy(X_test), y_test)
    torch.manual_seed(seed)
    net = raw_skorch(make_reference, epochs=epochs, batch_size=32, callbacks=[clock])
    return run_on_clock(clock, net, (X, y, X_test, y_test), epochs)


def run_on_clock(clock, learner, images, epochs):
    X, y, X_test, y_test = images
    seconds = clock.fit(learner, X, y)
    run = Run(seconds, seconds / epochs, *scores(learner, X_test, y_test), clock.seconds_to_target())
    run.report(clock.name)
    return run


def make_reference():
    """The network of the preset "reference", with plain torch."""
    return nn.Sequential(
        *[nn.Conv2d(1, 32, 3, bias=False), nn.BatchNorm2d(32), nn.ReLU()],
        *[nn.Conv2d(32, 32, 3, bias=False), nn.BatchNorm2d(32), nn.ReLU(), nn.MaxPool2d(2), nn.Flatten()],
        *[nn.Linear(32 * 12 * 12, 128, bias=False), nn.BatchNorm1d(128), nn.ReLU()],
        nn.Linear(128, 10),
    )


IMAGE_WAYS = {"fast": run_fast, "reference": run_reference, "skorch": run_skorch}


def compare_images(ways, arguments):
    images = load_images(quick=arguments.quick)
    if images is None:
        return
    threads = arguments.threads or 2
    print(f"\nMNIST: {len(images[0]):,} training and {len(images[2]):,} test images, {threads} thread(s)", flush=True)
    torch.set_num_threads(threads)
    BNCNNClassifier(max_epochs=1, n_threads=None, device="cpu").fit(images[0][:256], images[1][:256])  # warms up
    runs = defaultdict(list)
    for seed in arguments.seeds:
        for way in ways:
            runs[way].append(IMAGE_WAYS[way](images, seed, quick=arguments.quick))
    table = pd.DataFrame({way: pd.DataFrame(of_seeds).median() for way, of_seeds in runs.items()}).T
    print(f"\nmedians over {len(arguments.seeds)} seed(s); fast: of its longest fits, to_target of the shortest enough")
    digits = {"fit": 1, "epoch": 2, "accuracy": 4, "loss": 4, "to_target": 1}
    print(table.to_string(formatters={name: f"{{:.{n}f}}".format for name, n in digits.items()}))
    print_image_aims(runs, table)


def print_image_aims(runs, table):
    for run in runs.get("reference", []):
        _print_aim("reference accuracy", run.accuracy, TARGET, "{:.4f}")
        _print_aim("reference loss", run.loss, TARGET_LOSS, "{:.4f}", at_most=True)
    for way, of_seeds in runs.items():
        print(f"{way}: seconds to 99.02 %, by seed: {', '.join(_seconds(run.to_target) for run in of_seeds)}")
    if {"fast", "skorch"} <= runs.keys():
        ours, theirs = table.loc[["fast", "skorch"], "to_target"]
        _print_aim("fast to 99.02 %, times faster than skorch", theirs / ours if ours < np.inf else 0, IMAGES_AIM)


def load_images(*, quick):
    """Training images and labels, test images and labels; None where there is no MNIST."""
    try:
        mnist = load_mnist()
    except FileNotFoundError as error:
        print(f"skipped: {error}")
        return None
    parts = [array[rows] for rows in (mnist.train, mnist.test) for array in (mnist.data, mnist.target)]
    return [part[:2000] for part in parts] if quick else parts


# --- the command line ---------------------------------------------------------------------------------------


def _print_aim(what, value, aim, form="{:.1f}", *, at_most=False):
    met = value <= aim if at_most else value >= aim
    sign = "<=" if at_most else ">="
    print(f"aim, {what} {sign} {aim}: {form.format(value)}, {'met' if met else 'missed'}")


def _seconds(value):
    return f"{value:.1f}" if value < np.inf else "never"


def _joined(numbers):
    return " or ".join(map(str, numbers))


def print_machine():
    packages = ("stackkit", "torch", "skorch", "scikit-learn", "joblib", "numpy")
    print(f"Python {platform.python_version()}, {', '.join(f'{package} {version(package)}' for package in packages)}")
    load = f", load {os.getloadavg()[0]:.1f}" if hasattr(os, "getloadavg") else ""
    print(f"{joblib.cpu_count()} cores{load}")


def parse(argv=None):
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--sets", nargs="+", choices=SETS, help="default: all, or none with --images")
    parser.add_argument("--repeats", type=int, default=None, help="rounds of the sets; 5, or 1 with --quick")
    parser.add_argument("--images", nargs="*", choices=IMAGE_WAYS, help="on MNIST; default: all three")
    parser.add_argument("--seeds", nargs="+", type=int, default=[0, 1, 2], help="of --images; default: 0 1 2")
    parser.add_argument("--threads", type=int, default=None, help="torch's; default: 1, and 2 for --images")
    parser.add_argument("--quick", action="store_true", help="tiny data: does it run? The times mean nothing")
    arguments = parser.parse_args(argv)
    if arguments.repeats is None:
        arguments.repeats = 1 if arguments.quick else 5
    if arguments.sets is None:
        arguments.sets = list(SETS) if arguments.images is None else []
    return arguments


def main():
    arguments = parse()
    print_machine()
    if arguments.sets:
        warm_up()
    for name in arguments.sets:
        compare(name, replace(SETS[name], rows=400, epochs=2) if arguments.quick else SETS[name], arguments)
    if arguments.images is not None:
        compare_images(arguments.images or list(IMAGE_WAYS), arguments)


if __name__ == "__main__":
    main()
