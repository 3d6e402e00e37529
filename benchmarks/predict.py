"""Latency of one row and throughput of 10,000 rows: a stack, made compact, refitted, and scikit-learn's.

Run it on an idle machine::

    python benchmarks/predict.py               # minutes, most of them fits
    python benchmarks/predict.py --sets plain
    python benchmarks/predict.py --sets onnx   # graphs of to_onnx; needs the extra "onnx", and STACKKIT_DATA
    python benchmarks/predict.py --quick       # small learners: does it run? The times mean nothing

Two sets of stacks in Python. ``titanic``: the raw data frame of the 1,309 passengers and the default learners, each
with its preprocessing. ``plain``: 891 rows of 12 numbers and seven learners on them; 10,000 other rows are predicted.
The final estimator is logistic regression, so that all count; ``titanic`` is measured once more with the default pool,
which gives some of them no weight: these are not asked, and not kept. scikit-learn's StackingClassifier gets the same
learners, folds and logistic regression: it holds one refitted model a learner, as does ``compact(refit=True)``; a stack
holds five.

``onnx``: five public tables, 1,000 rows of each held out and at most 2,000 trained on. The default stack on raw
columns, and forests with a linear model on the numbers, beside scikit-learn's stack of the same through skl2onnx: how
many of the 1,000 labels are the same in ONNX Runtime as in Python (compact), the greatest difference of probabilities
or of values over their scale, and the seconds of both on one thread.

All are asked in turn, in an order that moves on by one each round. Printed are medians over the rounds, the ratios to
scikit-learn's of the same round, and the size of each pickle. Nothing is asserted: times depend on the machine.
"""

import argparse
import pickle
import platform
from importlib.metadata import version

import joblib
import numpy as np
import pandas as pd
from _data import find
from _deployed import TABLES, of_table
from _measure import in_turn, quiet, timed
from sklearn.datasets import make_classification
from sklearn.ensemble import ExtraTreesClassifier, RandomForestClassifier, StackingClassifier
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import StratifiedKFold
from sklearn.naive_bayes import GaussianNB
from sklearn.neighbors import KNeighborsClassifier
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from xgboost import XGBClassifier

from stackkit import StackingModel, default_learners
from stackkit.datasets import load_titanic
from stackkit.nn import BNMLPClassifier

REFERENCE = "scikit-learn"
MANY = 10_000


def titanic(*, trees):
    X, y = load_titanic(return_X_y=True)
    learners = default_learners("classification", X)
    for name, learner in learners:
        if name in ("random_forest", "extra_trees", "xgboost"):
            learner.set_params(learner__n_estimators=trees)
    return X, y.to_numpy(), learners, X


def plain(*, trees):
    X, y = make_classification(891 + MANY, 12, n_informative=6, flip_y=0.15, random_state=0)
    return (
        X[:891],
        y[:891],
        [
            ("logistic", make_pipeline(StandardScaler(), LogisticRegression())),
            ("knn", make_pipeline(StandardScaler(), KNeighborsClassifier(15))),
            ("naive_bayes", GaussianNB()),
            ("random_forest", RandomForestClassifier(trees)),
            ("extra_trees", ExtraTreesClassifier(trees)),
            ("xgboost", XGBClassifier(n_estimators=trees)),
            ("bn_mlp", make_pipeline(StandardScaler(), BNMLPClassifier())),
        ],
        X[891:],
    )


def stacks(X, y, learners, n_jobs, *, pool):
    """The same learners behind each name."""
    final, folds = LogisticRegression(max_iter=1000), StratifiedKFold(5)
    model = (
        StackingModel(learners, None if pool else final, cv=folds, random_state=0).fit(X, y).set_params(n_jobs=n_jobs)
    )
    found = {
        REFERENCE: StackingClassifier(learners, final, cv=folds, stack_method="predict_proba", n_jobs=n_jobs).fit(X, y),
        "stackkit": model,
        "compact": model.compact(),
        "compact, not packed": model.compact(pack=False),
        "compact, refitted": model.compact(refit=True, X=X, y=y),
    }
    np.testing.assert_array_equal(found["compact, not packed"].predict_proba(X), model.predict_proba(X))
    np.testing.assert_allclose(found["compact"].predict_proba(X), model.predict_proba(X), rtol=0, atol=1e-8)
    return found


def measure(found, rows, rounds):
    """Seconds of ``predict_proba``, a line a round, after one call that does not count."""
    for stack in found.values():
        stack.predict_proba(rows)
    return pd.DataFrame(
        [{name: timed(found[name].predict_proba, rows)[0] for name in in_turn(list(found), r)} for r in range(rounds)]
    )


def compare(title, found, X, arguments):
    def some(n):
        places = np.random.default_rng(0).choice(len(X), n, replace=n > len(X))
        return X.iloc[places].reset_index(drop=True) if hasattr(X, "iloc") else X[places]

    one = measure(found, some(1), arguments.rounds)
    many = measure(found, some(arguments.rows), max(1, arguments.rounds // 10))
    table = pd.DataFrame(
        {
            "one row, ms": 1000 * one.median(),
            "/ sklearn": one.div(one[REFERENCE], axis=0).median(),
            f"{arguments.rows} rows, ms": 1000 * many.median(),
            "rows a second": arguments.rows / many.median(),
            "/ sklearn ": many.div(many[REFERENCE], axis=0).median(),
            "pickle, MB": {name: len(pickle.dumps(stack)) / 1e6 for name, stack in found.items()},
        }
    ).loc[list(found)]
    print(f"\n{title}; kept: {', '.join(found['compact'].transformers_)}")
    print(table.to_string(float_format="{:,.2f}".format), flush=True)


def compare_graphs(arguments):
    sets = find("tabular/sets.csv")
    facts = None if sets is None else pd.read_csv(sets, index_col="name").loc[list(TABLES), ["task", "target"]]
    for name, task, target in () if facts is None else facts.itertuples(name=None):
        lines = pd.DataFrame(of_table(name, task, target, rounds=arguments.rounds, quick=arguments.quick))
        for column in ("pickle, MB", "ONNX, MB", *(column for column in lines if column.endswith("ms"))):
            lines[column] = lines[column].map("{:,.2f}".format)
        lines["difference"] = lines["difference"].map("{:.1e}".format)
        print(f"\n{lines.set_index(['table', 'stack']).T.to_string()}", flush=True)


def main():
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--sets", nargs="+", choices=("titanic", "plain", "onnx"), default=["titanic", "plain"])
    parser.add_argument("--rounds", type=int, default=None, help="of one row, a tenth of it of many; 50, or 3 if quick")
    parser.add_argument("--n-jobs", type=int, default=None, help="of all of them, for predictions; default: 1 thread")
    parser.add_argument("--quick", action="store_true", help="small learners: does it run? The times mean nothing")
    arguments = parser.parse_args()
    arguments.rounds = arguments.rounds or (3 if arguments.quick else 50)
    arguments.rows = 500 if arguments.quick else MANY
    quiet()
    packages = ", ".join(f"{name} {version(name)}" for name in ("stackkit", "scikit-learn", "torch", "numpy"))
    print(f"Python {platform.python_version()}, {packages}; {joblib.cpu_count()} cores, n_jobs={arguments.n_jobs}")
    if "onnx" in arguments.sets:
        compare_graphs(arguments)
    for name in (name for name in arguments.sets if name != "onnx"):
        X, y, learners, new = {"titanic": titanic, "plain": plain}[name](trees=5 if arguments.quick else 200)
        for pool in (False, True) if name == "titanic" else (False,):
            found = stacks(X, y, learners, arguments.n_jobs, pool=pool)
            compare(f"{name}, {'the default pool' if pool else 'logistic regression'} on top", found, new, arguments)


if __name__ == "__main__":
    main()
