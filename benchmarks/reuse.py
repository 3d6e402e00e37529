"""What a store saves: add a learner, change the final estimator; and what it costs on a cold run.

Run it on an idle machine::

    pip install -c constraints.txt -e ".[bench]"
    STACKKIT_DATA=/path/to/data python benchmarks/reuse.py
    python benchmarks/reuse.py --quick

Seven learners are stacked once, with a store. Measured, each against what it is compared with in the same round,
which takes turns in which of the two comes first:

- cold: the fit with an empty store over the same fit without one;
- add: the fit with an eighth learner, its seven others in the store, over that learner's own K fits, done with joblib
  over the same number of workers and with nothing around them;
- change: the fit with another final estimator, all learners in the store, less the seconds that this final estimator
  takes to fit the out-of-fold table: what is left is stackkit's;
- beside them scikit-learn's StackingClassifier, which fits all of them again each time.

Nothing is asserted: times depend on the machine.
"""

import argparse
import shutil
import tempfile

import joblib
import numpy as np
import pandas as pd
from _measure import quiet, start_workers, timed
from peers import SETS, K, print_machine
from sklearn.base import clone
from sklearn.ensemble import HistGradientBoostingClassifier, StackingClassifier
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import StratifiedKFold
from sklearn.preprocessing import StandardScaler
from sklearn.tree import DecisionTreeClassifier

from stackkit import StackingModel, store_info

COLD_AIM, ADD_AIM, CHANGE_AIM = 1.03, 1.10, 2.0


def stack(learners, final, folder, n_jobs):
    return StackingModel(learners, final, cv=StratifiedKFold(K), n_jobs=n_jobs, memory=folder, random_state=0)


def own_fits(learner, X, y, n_jobs):
    """The learner's K fits, over as many workers: nobody who fits it can do with less."""

    def fit(rows):
        return clone(learner).fit(X[rows], y[rows])

    folds = [train for train, _ in StratifiedKFold(K).split(X, y)]
    joblib.Parallel(n_jobs=n_jobs, batch_size=1)(joblib.delayed(fit)(rows) for rows in folds)


def one_round(X, y, learners, *, n_jobs, turn):
    *seven, eighth = learners
    first, second = LogisticRegression(max_iter=1000), LogisticRegression(C=0.1, max_iter=1000)
    seconds = {}
    folder = tempfile.mkdtemp(prefix="reuse-")
    start_workers(n_jobs)
    try:
        steps = [("plain", None), ("cold", folder)]
        for what, memory in steps[:: -1 if turn % 2 else 1]:
            seconds[what] = timed(stack(seven, first, memory, n_jobs).fit, X, y)[0]  # the model goes: it may be large
        seconds["store MiB"] = store_info(folder).size / 2**20
        seconds["change"], changed = timed(stack(seven, second, folder, n_jobs).fit, X, y)
        seconds["its own fit"] = timed(clone(second).fit, changed.oof_.train, y)[0]
        del changed
        steps = [
            ("its K fits", lambda: own_fits(eighth[1], X, y, n_jobs)),
            ("add", lambda: stack([*seven, eighth], first, folder, n_jobs).fit(X, y)),
        ]
        for what, step in steps[:: -1 if turn % 2 else 1]:
            seconds[what] = timed(step)[0]
    finally:
        shutil.rmtree(folder)
    return seconds


def scikit_learn(X, y, learners, n_jobs):
    final = LogisticRegression(max_iter=1000)
    model = StackingClassifier(learners, final, cv=StratifiedKFold(K), stack_method="predict_proba", n_jobs=n_jobs)
    start_workers(n_jobs)
    return timed(model.fit, X, y)[0]


def compare(name, data, arguments):
    X, y, six = data
    X = StandardScaler().fit_transform(X)  # so that no final estimator or learner needs long for its scale
    seven = [*six, ("tree", DecisionTreeClassifier(max_depth=8, random_state=0))]
    eighth = ("boosting", HistGradientBoostingClassifier(max_iter=20 if arguments.quick else 50, random_state=0))
    print(f"\n{name}: {X.shape[0]:,} x {X.shape[1]}, {len(np.unique(y))} classes, {arguments.repeats} round(s)")
    rounds = pd.DataFrame(
        [one_round(X, y, [*seven, eighth], n_jobs=arguments.n_jobs, turn=turn) for turn in range(arguments.repeats)]
    )
    print(rounds.to_string(float_format="{:.2f}".format, index=False))
    report("cold with a store / without", rounds["cold"] / rounds["plain"], COLD_AIM)
    report("an eighth learner / its K fits", rounds["add"] / rounds["its K fits"], ADD_AIM)
    report("another final estimator, seconds besides its own fit", rounds["change"] - rounds["its own fit"], CHANGE_AIM)
    with_seven = scikit_learn(X, y, seven, arguments.n_jobs)
    with_eight = scikit_learn(X, y, [*seven, eighth], arguments.n_jobs)
    print(
        f"scikit-learn fits all again: {with_eight:.1f} s to add a learner ({with_eight / rounds['add'].median():.1f} "
        f"times stackkit), {with_seven:.1f} s to change the final estimator "
        f"({with_seven / rounds['change'].median():.1f} times)",
        flush=True,
    )


def report(what, values, aim):
    value = values.median()
    print(f"{what}: {value:.3f} (aim <= {aim}), {'met' if value <= aim else 'missed'}")


def parse(argv=None):
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--sets", nargs="+", choices=["medium", "otto"], default=["medium", "otto"])
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--n-jobs", type=int, default=2)
    parser.add_argument("--quick", action="store_true", help="tiny data: does it run? The times mean nothing")
    parser.add_argument("--seed", type=int, default=0)
    return parser.parse_args(argv)


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
