"""How cost grows with rows and learners, what a task costs stackkit itself, and how well workers are kept busy.

Run it on an idle machine::

    pip install -c constraints.txt -e ".[bench]"
    python benchmarks/scale.py
    python benchmarks/scale.py --quick

- rows and learners: seconds of one fit in a fresh process and the peak memory of its process tree over the size of X
  (private pages above the start, sampled every 50 ms);
- a task's overhead: 40 GaussianNB on 1,000 rows, five folds, in one process: the seconds of ``fit`` less those of a
  loop that fits and predicts the same 200 times and does nothing else, over 200; beside scikit-learn's
  StackingClassifier, which fits 240 times;
- load balance: learners of very unequal cost over two workers: the seconds of the fit over max(longest task, work /
  workers), where a task's seconds are those that its worker measured;
- presets: ``StackingModel(preset=...)`` and nothing else, on 50 columns: what was planned, the seconds of its fit in a
  fresh process, imports and workers included, and the peak memory.

Nothing is asserted: times depend on the machine.
"""

import argparse
import time

import joblib
import numpy as np
import pandas as pd
from _measure import PeakMemory, in_fresh_process, quiet, start_workers, timed
from peers import print_machine
from sklearn.base import clone
from sklearn.datasets import make_classification
from sklearn.ensemble import HistGradientBoostingClassifier, StackingClassifier
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import log_loss
from sklearn.model_selection import StratifiedKFold
from sklearn.naive_bayes import GaussianNB
from sklearn.tree import DecisionTreeClassifier

from stackkit import StackingModel, cross_fit
from stackkit._learners.portfolio import PRESETS

K = 5
TASK_AIM, SKLEARN_AIM, BALANCE_AIM = 5e-3, 1.0, 1.10


# --- rows and learners --------------------------------------------------------------------------------


def light_learners(n_learners):
    """Learners that fit half a million rows in seconds, of four kinds in turn, no two alike."""
    kinds = [
        lambda i: GaussianNB(var_smoothing=1e-9 * (1 + i)),
        lambda i: DecisionTreeClassifier(max_depth=4 + i % 8, random_state=i),
        lambda i: LogisticRegression(C=1 / (1 + i), max_iter=50),
        lambda i: HistGradientBoostingClassifier(max_iter=10, random_state=i),
    ]
    return [(f"learner{i}", kinds[i % 4](i)) for i in range(n_learners)]


def grow(n_rows, n_learners, n_jobs):
    """One fit in this process, which must be a fresh one."""
    quiet()
    X, y = make_classification(n_rows, 20, n_informative=10, random_state=0)
    model = StackingModel(light_learners(n_learners), LogisticRegression(), cv=K, n_jobs=n_jobs, random_state=0)
    start_workers(n_jobs)
    with PeakMemory() as memory:
        seconds, _ = timed(model.fit, X, y)
    return {
        "rows": n_rows,
        "learners": n_learners,
        "fit s": seconds,
        "peak MiB": memory.mebibytes,
        "peak / X": memory.mebibytes / (X.nbytes / 2**20),
    }


def show_growth(arguments):
    rows = [500, 1000] if arguments.quick else [5_000, 20_000, 100_000, 500_000]
    counts = [5, 8] if arguments.quick else [5, 10, 20, 40]
    sizes = [(n, counts[0]) for n in rows] + [(rows[1], n) for n in counts[1:]]
    table = pd.DataFrame([in_fresh_process(grow, *size, arguments.n_jobs) for size in sizes])
    print("\nrows and learners (x 20 columns, doubles)")
    print(table.to_string(index=False, float_format="{:.2f}".format), flush=True)


# --- presets ------------------------------------------------------------------------------------------


def fit_preset(preset, n_rows, n_jobs):
    """One fit in this process, which must be a fresh one: 10,000 further rows tell the log-loss."""
    quiet()
    X, y = make_classification(n_rows + 10_000, 50, n_informative=20, n_clusters_per_class=4, random_state=0)
    model = StackingModel(preset=preset, n_jobs=n_jobs, random_state=0)
    with PeakMemory() as memory:
        seconds, _ = timed(model.fit, X[:n_rows], y[:n_rows])
    plan = model.plan(X[:n_rows], y[:n_rows])
    return {
        "preset": preset,
        "rows": n_rows,
        "learners": len(plan),
        "folds": plan["folds"].iloc[0],
        "rows left out": plan.attrs["left_out"],
        "planned s": plan.attrs["seconds"],
        "fit s": seconds,
        "peak MiB": memory.mebibytes,
        "X MiB": X[:n_rows].nbytes / 2**20,
        "log-loss": log_loss(y[n_rows:], model.predict_proba(X[n_rows:])),
    }


def show_presets(arguments):
    rows = [500, 1000] if arguments.quick else [1_000, 10_000, 100_000, 500_000]
    print("\npresets (x 50 columns, doubles)")
    for preset in arguments.presets:
        for n_rows in rows:
            line = in_fresh_process(fit_preset, preset, n_rows, arguments.n_jobs)
            print(pd.DataFrame([line]).to_string(index=False, float_format="{:.3g}".format), flush=True)


# --- one task -----------------------------------------------------------------------------------------


def bare_loop(learners, X, y):
    for train, test in StratifiedKFold(K).split(X, y):
        for _, learner in learners:
            clone(learner).fit(X[train], y[train]).predict_proba(X[test])


def show_overhead(arguments):
    n_learners = 4 if arguments.quick else 40
    X, y = make_classification(1000, 20, random_state=0)
    learners = [(f"bayes{i}", GaussianNB(var_smoothing=1e-9 * (1 + i))) for i in range(n_learners)]
    final = LogisticRegression(max_iter=1000)
    rounds = []
    for n_jobs in (1, arguments.n_jobs):
        start_workers(n_jobs)
        for _ in range(arguments.repeats):
            ours = StackingModel(learners, final, cv=K, n_jobs=n_jobs)
            theirs = StackingClassifier(learners, final, cv=K, stack_method="predict_proba", n_jobs=n_jobs)
            rounds.append(
                {
                    "n_jobs": n_jobs,
                    "stackkit s": timed(ours.fit, X, y)[0],
                    "scikit-learn s": timed(theirs.fit, X, y)[0],
                    "loop s": timed(bare_loop, learners, X, y)[0],
                    "final s": timed(clone(final).fit, ours.oof_.train, y)[0],
                }
            )
    table = pd.DataFrame(rounds)
    table["a task's ms"] = 1e3 * (table["stackkit s"] - table["loop s"] - table["final s"]) / (K * n_learners)
    table["/ scikit-learn"] = table["stackkit s"] / table["scikit-learn s"]
    medians = table.groupby("n_jobs").median()
    print(f"\n{n_learners} GaussianNB on 1,000 rows, {K} folds, medians of {arguments.repeats} (over one core's loop)")
    print(medians.to_string(float_format="{:.3f}".format))
    report("overhead of a task, seconds, n_jobs=1", medians["a task's ms"][1] / 1e3, TASK_AIM)
    report("stackkit / scikit-learn, n_jobs=1", medians["/ scikit-learn"][1], SKLEARN_AIM)
    report(f"the same, n_jobs={arguments.n_jobs}", medians["/ scikit-learn"][arguments.n_jobs], SKLEARN_AIM)


# --- load balance -------------------------------------------------------------------------------------


class Busy(GaussianNB):
    """Computes for a given time."""

    def __init__(self, seconds=0.1):
        super().__init__()
        self.seconds = seconds

    def fit(self, X, y):
        until = time.process_time() + self.seconds
        while time.process_time() < until:
            np.sort(X, axis=0)
        return super().fit(X, y)


def show_balance(arguments):
    unit = 0.02 if arguments.quick else 0.1
    costs = [1, 1, 1, 2, 3, 5, 8, 20]  # the dearest last, where a list in the user's order would do worst
    learners = [(f"busy{i}", Busy(unit * cost)) for i, cost in enumerate(costs)]
    X, y = make_classification(1000, 20, random_state=0)
    workers = joblib.effective_n_jobs(arguments.n_jobs)
    start_workers(arguments.n_jobs)
    ratios = []
    for _ in range(arguments.repeats):
        seconds, oof = timed(lambda: cross_fit(learners, X, y, cv=K, n_jobs=arguments.n_jobs))
        tasks = oof.scores["fit_seconds"] + oof.scores["predict_seconds"]
        ratios.append(seconds / max(tasks.max(), tasks.sum() / workers))
    print(f"\n{len(costs)} learners, costs {costs}, {K} folds over {workers} workers")
    report("makespan / max(longest task, work / workers)", float(np.median(ratios)), BALANCE_AIM)


def report(what, value, aim):
    print(f"{what}: {value:.4g} (aim <= {aim:g}), {'met' if value <= aim else 'missed'}", flush=True)


PARTS = {"growth": show_growth, "overhead": show_overhead, "balance": show_balance, "presets": show_presets}


def main():
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--parts", nargs="+", choices=PARTS, default=list(PARTS))
    parser.add_argument("--presets", nargs="+", choices=PRESETS, default=["fast", "balanced"])
    parser.add_argument("--repeats", type=int, default=5)
    parser.add_argument("--n-jobs", type=int, default=2)
    parser.add_argument("--quick", action="store_true", help="tiny data: does it run? The times mean nothing")
    arguments = parser.parse_args()
    quiet()
    print_machine(arguments)
    for part in arguments.parts:
        PARTS[part](arguments)


if __name__ == "__main__":
    main()
