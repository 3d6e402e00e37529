"""Time, memory and test log-loss of stackkit beside scikit-learn, mlxtend and vecstack.

Run it on an idle machine::

    pip install -c constraints.txt -e ".[bench]"
    STACKKIT_DATA=/path/to/data python benchmarks/peers.py
    python benchmarks/peers.py --quick

Each stacker gets the same six learners, the same five stratified folds and the same final estimator (logistic
regression on probabilities). The stackers take turns: every round fits each of them once, in an order that
moves on by one a round, and ratios are taken within a round. Printed are medians over the rounds:

- fit: seconds of ``fit``, with the worker processes started and their imports done before;
- beside it its ratio to scikit-learn, and to the floor: the CPU time of the K fits of each learner, run one
  by one with one thread each, over the cores used;
- cold: seconds of the first fit in a fresh process, worker start included, memory sampled meanwhile;
- predict: seconds of ``predict_proba`` on the test rows, and the ratio to scikit-learn;
- peak: the largest private memory of the process and its children during the cold fit, above what it was
  before: RSS less shared pages (libraries, memory-mapped data), sampled every 50 ms. PSS would count those
  pages too, but reading it takes milliseconds a process and slows the fit. Where the system does not tell
  shared pages, it is RSS;
- log-loss on the test rows: a check that all did the same work, not a race.

The aims are printed beside the figures. Nothing is asserted: times depend on the machine.
"""

import argparse
import gc
import os
import platform
import time
from contextlib import suppress
from importlib.metadata import version

import joblib
import numpy as np
import pandas as pd
from _data import load_otto
from _measure import PeakMemory, in_fresh_process, in_turn, quiet, start_workers, timed
from mlxtend.classifier import StackingCVClassifier
from sklearn.base import clone
from sklearn.datasets import make_classification
from sklearn.ensemble import ExtraTreesClassifier, RandomForestClassifier, StackingClassifier
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import log_loss
from sklearn.model_selection import StratifiedKFold, train_test_split
from sklearn.naive_bayes import GaussianNB
from sklearn.neighbors import KNeighborsClassifier
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from threadpoolctl import threadpool_limits
from vecstack import StackingTransformer
from xgboost import XGBClassifier

from stackkit import StackingModel

K = 5
REFERENCE = "scikit-learn"
OURS = "stackkit"
FIT_AIM, FLOOR_AIM, PREDICT_AIM = 0.70, 1.10, 2.0
PREDICT_AIM_SET = "medium"
THREADS = {
    OURS: "{n} processes x {share} thread(s); predict: {n} threads",
    f"{OURS} refit": "{n} processes x {share} thread(s); predict: {n} threads",
    REFERENCE: "{n} processes, folds as threads inside; predict: 1 process",
    "mlxtend": "{n} processes for the folds; refits and predict: 1 process",
    "vecstack": "no n_jobs: 1 process",
}


# --- data and learners --------------------------------------------------------------------------------


def small(*, quick, seed):
    """891 training rows x 12, two classes: the size of the Titanic."""
    rows = 400 if quick else 1188
    X, y = make_classification(rows, 12, n_informative=6, flip_y=0.15, random_state=seed)
    return X, y, learners(seed, trees=10 if quick else 100)


def medium(*, quick, seed):
    """20,000 x 50, two classes."""
    rows = 1500 if quick else 20_000
    X, y = make_classification(rows, 50, n_informative=20, flip_y=0.05, random_state=seed)
    return X, y, learners(seed, trees=10 if quick else 100)


def otto(*, quick, seed):
    """61,878 x 93, nine classes; smaller learners, to end in time."""
    data = load_otto()
    if data is None:
        return None
    X, y = data
    if quick:
        X, _, y, _ = train_test_split(X, y, train_size=1500, stratify=y, random_state=seed)
    return X, y, learners(seed, trees=10 if quick else 50, depth=4)


SETS = {"small": small, "medium": medium, "otto": otto}


def learners(seed, *, trees, depth=None):
    """Return six learners, as a user would write them: no ``n_jobs`` anywhere, XGBoost's included."""
    return [
        ("knn", make_pipeline(StandardScaler(), KNeighborsClassifier(15))),
        ("forest", RandomForestClassifier(trees, random_state=seed)),
        ("extra", ExtraTreesClassifier(trees, random_state=seed)),
        ("bayes", GaussianNB()),
        ("logistic", make_pipeline(StandardScaler(), LogisticRegression(max_iter=200))),
        ("xgboost", XGBClassifier(n_estimators=trees, max_depth=depth, random_state=seed)),
    ]


# --- the stackers -------------------------------------------------------------------------------------


class Vecstack:
    """vecstack's transformer, variant A (fold-averaged), with a final estimator on top.

    Its ``fit_transform`` predicts the training rows a second time; its function ``stacking`` does not, but
    has no ``predict`` of its own.
    """

    def __init__(self, learners, final):
        self.stack = StackingTransformer(
            learners, regression=False, variant="A", needs_proba=True, n_folds=K, stratified=True
        )
        self.final = final

    def fit(self, X, y):
        self.n_classes = len(np.unique(y))
        self.final.fit(self._columns(self.stack.fit_transform(X, y)), y)
        return self

    def predict_proba(self, X):
        return self.final.predict_proba(self._columns(self.stack.transform(X)))

    def _columns(self, table):
        """For two classes one column a learner, as the others have it."""
        return table[:, 1::2] if self.n_classes == 2 else table


def make_stacker(name, learners, n_classes, n_jobs):
    learners = [(label, clone(learner)) for label, learner in learners]
    final, folds = LogisticRegression(max_iter=1000), StratifiedKFold(K)
    if name == REFERENCE:
        return StackingClassifier(learners, final, cv=folds, stack_method="predict_proba", n_jobs=n_jobs)
    if name == "mlxtend":
        return StackingCVClassifier(
            [learner for _, learner in learners],
            final,
            use_probas=True,
            drop_proba_col="first" if n_classes == 2 else None,
            cv=folds,
            n_jobs=n_jobs,
        )
    if name == "vecstack":
        return Vecstack(learners, final)
    return StackingModel(learners, final, cv=folds, refit=name.endswith("refit"), n_jobs=n_jobs, random_state=0)


# --- measuring ----------------------------------------------------------------------------------------


def cold(name, learners, X, y, n_jobs):
    """Fit once in this process, which must be a fresh one: (seconds, peak in MiB)."""
    quiet()
    stacker = make_stacker(name, learners, len(np.unique(y)), n_jobs)
    with PeakMemory() as memory:
        seconds, _ = timed(stacker.fit, X, y)
    return seconds, memory.mebibytes


def warm(name, learners, split, n_jobs):
    """Fit and predict with workers that stand ready: (fit seconds, predict seconds, test log-loss)."""
    X, X_test, y, y_test = split
    stacker = make_stacker(name, learners, len(np.unique(y)), n_jobs)
    gc.collect()
    start_workers(n_jobs)
    fit_seconds, _ = timed(stacker.fit, X, y)
    predict_seconds = []
    while len(predict_seconds) < 5 and sum(predict_seconds) < 2:
        seconds, proba = timed(stacker.predict_proba, X_test)
        predict_seconds.append(seconds)
    return fit_seconds, float(np.median(predict_seconds)), log_loss(y_test, proba)


def cpu_seconds(learners, X, y):
    """CPU time of all fits of the folds, one by one with one thread, and of their out-of-fold predictions."""
    fits = predictions = 0.0
    with threadpool_limits(1):
        for train, test in StratifiedKFold(K).split(X, y):
            for _, learner in learners:
                alone = _single_threaded(learner)
                start = time.process_time()
                alone.fit(X[train], y[train])
                fitted = time.process_time()
                alone.predict_proba(X[test])
                fits += fitted - start
                predictions += time.process_time() - fitted
    return fits, predictions


def _single_threaded(learner):
    """XGBoost looks only at its own ``n_jobs``; inside pipelines nothing is parallel by default."""
    learner = clone(learner)
    return learner.set_params(n_jobs=1) if "n_jobs" in learner.get_params() else learner


# --- one data set -------------------------------------------------------------------------------------


def compare(name, data, arguments):
    X, y, six = data
    split = train_test_split(X, y, test_size=0.25, stratify=y, random_state=arguments.seed)
    X_train, X_test, y_train, _ = split
    print(
        f"\n{name}: {len(X_train):,} training and {len(X_test):,} test rows x {X.shape[1]}, "
        f"{len(np.unique(y))} classes, {len(six)} learners, {K} folds, {arguments.repeats} round(s)",
        flush=True,
    )
    cold_runs = {
        stacker: in_fresh_process(cold, stacker, six, X_train, y_train, arguments.n_jobs) for stacker in THREADS
    }
    rounds, floors = [], []
    for turn in range(arguments.repeats):
        floors.append(cpu_seconds(six, X_train, y_train))
        rounds.append(
            {stacker: warm(stacker, six, split, arguments.n_jobs) for stacker in in_turn(list(THREADS), turn)}
        )
    workers = joblib.effective_n_jobs(arguments.n_jobs)
    cores = min(workers, joblib.cpu_count())
    fits, predictions = np.median(floors, axis=0) / cores
    print(
        f"floor: {fits:.2f} s, the CPU time of the fits over {cores} core(s); their out-of-fold predictions "
        f"would add {predictions:.2f} s"
    )
    table = summarise(rounds, cold_runs, fits, workers)
    print(table.to_string(float_format="{:.2f}".format, formatters={"log-loss": "{:.4f}".format}))
    print_aims(name, table.loc[OURS])


def summarise(rounds, cold_runs, floor, workers):
    fit = pd.DataFrame([{name: run[0] for name, run in turn.items()} for turn in rounds])
    predict = pd.DataFrame([{name: run[1] for name, run in turn.items()} for turn in rounds])
    loss = pd.DataFrame([{name: run[2] for name, run in turn.items()} for turn in rounds])
    share = max(1, joblib.cpu_count() // workers)
    table = pd.DataFrame(
        {
            "fit s": fit.median(),
            "/ sklearn": fit.div(fit[REFERENCE], axis=0).median(),
            "/ floor": fit.median() / floor,
            "cold s": pd.Series({name: run[0] for name, run in cold_runs.items()}),
            "predict s": predict.median(),
            "predict / sklearn": predict.div(predict[REFERENCE], axis=0).median(),
            "peak MiB": pd.Series({name: run[1] for name, run in cold_runs.items()}),
            "log-loss": loss.median(),
            "processes and threads": pd.Series(
                {name: text.format(n=workers, share=share) for name, text in THREADS.items()}
            ),
        }
    )
    return table.loc[list(THREADS)]


def print_aims(name, ours):
    aims = [
        ("fit / sklearn", ours["/ sklearn"], FIT_AIM),
        ("fit / floor", ours["/ floor"], FLOOR_AIM),
    ]
    if name == PREDICT_AIM_SET:
        aims.append(("predict / sklearn", ours["predict / sklearn"], PREDICT_AIM))
    for what, value, aim in aims:
        print(f"aim, {OURS} {what} <= {aim:.2f}: {value:.2f}, {'met' if value <= aim else 'missed'}")


def print_machine(arguments):
    packages = ("stackkit", "scikit-learn", "mlxtend", "vecstack", "xgboost-cpu", "xgboost", "joblib", "numpy")
    found = []
    for package in packages:
        with suppress(ModuleNotFoundError):
            found.append(f"{package} {version(package)}")
    print(f"Python {platform.python_version()}, {', '.join(found)}")
    load = f", load {os.getloadavg()[0]:.1f}" if hasattr(os, "getloadavg") else ""
    print(f"{joblib.cpu_count()} cores{load}, n_jobs={arguments.n_jobs} for all but vecstack, which has none.")
    print(
        "No learner has n_jobs: in one process XGBoost, k-NN and BLAS take the threads they want; in worker "
        "processes joblib and stackkit hold them to their share of the cores."
    )


def parse(argv=None):
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--sets", nargs="+", choices=SETS, default=list(SETS))
    parser.add_argument("--repeats", type=int, default=None, help="rounds; 3, or 1 with --quick")
    parser.add_argument("--n-jobs", type=int, default=2)
    parser.add_argument("--quick", action="store_true", help="tiny data: does it run? The times mean nothing")
    parser.add_argument("--seed", type=int, default=0)
    arguments = parser.parse_args(argv)
    if arguments.repeats is None:
        arguments.repeats = 1 if arguments.quick else 3
    return arguments


def main():
    arguments = parse()
    quiet()
    print_machine(arguments)
    for name in arguments.sets:
        data = SETS[name](quick=arguments.quick, seed=arguments.seed)
        if data is not None:
            compare(name, data, arguments)


if __name__ == "__main__":
    main()
