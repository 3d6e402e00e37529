"""Latency of one row and throughput of 10,000 rows: a stack, made compact, refitted, and scikit-learn's.

Run it on an idle machine::

    python benchmarks/predict.py               # minutes, most of them fits
    python benchmarks/predict.py --sets plain
    python benchmarks/predict.py --quick       # small learners: does it run? The times mean nothing

Two sets. ``titanic``: the raw data frame of the 1,309 passengers and the seven default learners, each with its
preprocessing. ``plain``: 891 rows of 12 numbers and seven learners on them. The final estimator is logistic
regression, so that all seven count; ``titanic`` is measured once more with the default pool, which gives some of
them no weight: these are not asked, and not kept. scikit-learn's StackingClassifier gets the same learners, folds
and logistic regression: it holds one refitted model a learner, as does ``compact(refit=True)``; a stack holds five.

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
    return X, y.to_numpy(), learners


def plain(*, trees):
    X, y = make_classification(891, 12, n_informative=6, flip_y=0.15, random_state=0)
    return (
        X,
        y,
        [
            ("logistic", make_pipeline(StandardScaler(), LogisticRegression())),
            ("knn", make_pipeline(StandardScaler(), KNeighborsClassifier(15))),
            ("naive_bayes", GaussianNB()),
            ("random_forest", RandomForestClassifier(trees)),
            ("extra_trees", ExtraTreesClassifier(trees)),
            ("xgboost", XGBClassifier(n_estimators=trees)),
            ("bn_mlp", make_pipeline(StandardScaler(), BNMLPClassifier())),
        ],
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
    np.testing.assert_allclose(found["compact"].predict_proba(X), model.predict_proba(X), rtol=0, atol=1e-12)
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
        places = np.random.default_rng(0).integers(0, len(X), n)
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


def main():
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--sets", nargs="+", choices=("titanic", "plain"), default=["titanic", "plain"])
    parser.add_argument("--rounds", type=int, default=None, help="of one row, a tenth of it of many; 50, or 3 if quick")
    parser.add_argument("--n-jobs", type=int, default=None, help="of all of them, for predictions; default: 1 thread")
    parser.add_argument("--quick", action="store_true", help="small learners: does it run? The times mean nothing")
    arguments = parser.parse_args()
    arguments.rounds = arguments.rounds or (3 if arguments.quick else 50)
    arguments.rows = 500 if arguments.quick else MANY
    quiet()
    packages = ", ".join(f"{name} {version(name)}" for name in ("stackkit", "scikit-learn", "torch", "numpy"))
    print(f"Python {platform.python_version()}, {packages}; {joblib.cpu_count()} cores, n_jobs={arguments.n_jobs}")
    for name in arguments.sets:
        X, y, learners = {"titanic": titanic, "plain": plain}[name](trees=5 if arguments.quick else 200)
        for pool in (False, True) if name == "titanic" else (False,):
            found = stacks(X, y, learners, arguments.n_jobs, pool=pool)
            compare(f"{name}, {'the default pool' if pool else 'logistic regression'} on top", found, X, arguments)


if __name__ == "__main__":
    main()
