"""Which meta-learner? Several of them compared on the same out-of-fold tables.

Run it::

    pip install -e .
    STACKKIT_DATA=/path/to/data python benchmarks/meta.py --output runs.csv
    python benchmarks/meta.py --quick

On each data set and split, six learners and five folds give one out-of-fold table P, on which every
meta-learner is fitted. It then predicts the test rows twice: from the mean over the fold models (p, averaged)
and from learners fitted once more on all training rows (p, refitted). All meta-learners see the same P and p.

Printed are, for both kinds of p:

- each set's test log-loss over that of the best single learner. Which one that is, is read off the test rows
  and from the same p: a reference that nobody has in practice. Below 1, the meta-learner beats it;
- the geometric mean and the median of these ratios over the sets, the worst run, how many runs beat the
  reference, and mean ranks by log-loss and by accuracy;
- whether an earlier ranking (pool < convex ~ selection < logistic < mean) held, pair by pair.

At last, what each meta-learner claims on pure noise, where the truth is an AUC of 0.5.
"""

import argparse
import time
import warnings
from dataclasses import dataclass
from functools import partial
from typing import Any

import numpy as np
import pandas as pd
from _data import load_mnist, load_otto
from _sets import MADE
from joblib import Parallel, delayed
from sklearn.base import BaseEstimator, ClassifierMixin, clone
from sklearn.datasets import load_breast_cancer, load_digits, load_iris, load_wine
from sklearn.decomposition import PCA
from sklearn.ensemble import ExtraTreesClassifier, HistGradientBoostingClassifier, RandomForestClassifier
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import accuracy_score, log_loss, roc_auc_score
from sklearn.model_selection import StratifiedKFold, cross_val_predict, train_test_split
from sklearn.neighbors import KNeighborsClassifier
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from xgboost import XGBClassifier

from stackkit import ConvexClassifier, EnsembleSelectionClassifier, LogPoolClassifier, cross_fit, default_learners
from stackkit.datasets import load_titanic

K = 5
BEST = "best single"
KINDS = ("averaged", "refitted")
EARLIER = "pool < convex ~ selection < logistic < mean"
PAIRS = [
    ("pool", "<", "convex"),
    ("pool", "<", "selection"),
    ("pool", "<", "logistic"),
    ("convex", "~", "selection"),
    ("convex", "<", "logistic"),
    ("selection", "<", "logistic"),
    ("logistic", "<", "mean"),
]
ALIKE = 0.02  # "~" holds where the losses differ by less than this share
SMALL = 1000  # training rows
SOLVED = 0.1  # log-loss of the best single learner, below which ratios are large for small differences


# --- meta-learners ------------------------------------------------------------------------------------


def by_learner(table, n_classes):
    """Probabilities as (learner, row, class); two classes have one column a learner in the table."""
    if n_classes == 2:
        return np.stack([1 - table.T, table.T], axis=2)
    return table.reshape(len(table), -1, n_classes).transpose(1, 0, 2)


class _Rule(ClassifierMixin, BaseEstimator):
    def predict(self, X):
        return self.classes_[self.predict_proba(X).argmax(axis=1)]


class Mean(_Rule):
    """The plain mean of the learners' probabilities."""

    def fit(self, X, y):
        self.classes_ = np.unique(y)
        return self

    def predict_proba(self, X):
        return by_learner(X, len(self.classes_)).mean(axis=0)


class ChosenSingle(_Rule):
    """The learner with the best log-loss on the table."""

    def fit(self, X, y):
        self.classes_ = np.unique(y)
        losses = [log_loss(y, proba) for proba in by_learner(X, len(self.classes_))]
        self.choice_ = int(np.argmin(losses))
        return self

    def predict_proba(self, X):
        return by_learner(X, len(self.classes_))[self.choice_]


META_LEARNERS = {
    "pool": LogPoolClassifier(),
    "convex": ConvexClassifier(),
    "selection": EnsembleSelectionClassifier(),
    "logistic": LogisticRegression(),  # what scikit-learn's stackers default to
    "mean": Mean(),
    "chosen single": ChosenSingle(),
}


# --- data ---------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Problem:
    """A data set. With `n_train`, that many rows train and the same `n_test` others are the test part."""

    name: str
    X: Any
    y: np.ndarray
    n_train: int | None = None
    n_test: int = 4000
    images: bool = False
    max_seeds: int = 100

    def split(self, seed):
        if self.n_train is None:
            return train_test_split(self.X, self.y, test_size=0.25, stratify=self.y, random_state=seed)
        pool, test = train_test_split(np.arange(len(self.y)), test_size=self.n_test, stratify=self.y, random_state=seed)
        train, _ = train_test_split(pool, train_size=self.n_train, stratify=self.y[pool], random_state=seed)
        return self.X[train], self.X[test], self.y[train], self.y[test]


def problems(*, quick):
    bundled = {"iris": load_iris, "wine": load_wine, "breast cancer": load_breast_cancer, "digits": load_digits}
    found = [Problem(name, *load(return_X_y=True)) for name, load in bundled.items()]
    X, y = load_titanic(return_X_y=True)
    found.append(Problem("titanic", X, y.to_numpy()))
    found += [Problem(f"made: {name}", *MADE[name]()) for name in MADE]
    found += sampled("otto", load_otto(), images=False)
    found += sampled("mnist", load_mnist(), images=True)
    if quick:
        found = [problem for problem in found if problem.name in QUICK]
    return found


QUICK = ("iris", "wine", "titanic", "made: few of many columns", "otto 500")


def sampled(name, data, *, images):
    """Subsets of several sizes, with the same test rows; fewer seeds for the large ones."""
    if data is None:
        return []
    sizes = {500: 5, 2000: 5, 8000: 2}
    return [
        Problem(f"{name} {size}", *data, n_train=size, images=images, max_seeds=seeds) for size, seeds in sizes.items()
    ]


# --- learners -----------------------------------------------------------------------------------------


def make_learners(seed, *, images, trees):
    """Six plain learners behind stackkit's preprocessing for tables, or behind 40 components of pixels."""
    six = {
        "logistic": LogisticRegression(max_iter=1000),
        "knn": KNeighborsClassifier(15),
        "forest": RandomForestClassifier(trees, random_state=seed),
        "extra": ExtraTreesClassifier(trees, random_state=seed),
        "boosting": HistGradientBoostingClassifier(max_iter=min(trees, 60), random_state=seed),
        "xgboost": XGBClassifier(n_estimators=trees, learning_rate=0.1, max_depth=4, random_state=seed),
    }
    if images:
        return [(name, make_pipeline(PCA(40, random_state=seed), learner)) for name, learner in six.items()]
    # Pipelines of "prepare" and "learner": scaled for the first two, as it is for the trees.
    ready = dict(default_learners("classification"))
    scaled, plain = ready["logistic"], ready["xgboost"]
    return [
        (name, clone(scaled if name in ("logistic", "knn") else plain).set_params(learner=learner))
        for name, learner in six.items()
    ]


def fit_predict(learner, X, y, X_test):
    return learner.fit(X, y).predict_proba(X_test)


def refitted(learners, X, y, X_test, n_jobs):
    """Return p of learners fitted on all training rows, with the columns that `cross_fit` makes."""
    parts = Parallel(n_jobs=n_jobs)(delayed(fit_predict)(clone(learner), X, y, X_test) for _, learner in learners)
    return np.hstack([part[:, 1:] if part.shape[1] == 2 else part for part in parts]).astype(float)


# --- one run ------------------------------------------------------------------------------------------


def run(problem, seed, *, trees, n_jobs):
    """All meta-learners on one split: a list of rows."""
    X, X_test, y, y_test = problem.split(seed)
    learners = make_learners(seed, images=problem.images, trees=trees)
    folds = StratifiedKFold(K, shuffle=True, random_state=seed)
    oof = cross_fit(learners, X, y, X_test=X_test, cv=folds, n_jobs=n_jobs, random_state=seed)
    fitted = {name: clone(meta).fit(oof.train, y) for name, meta in META_LEARNERS.items()}
    tables = {"averaged": oof.test, "refitted": refitted(learners, X, y, X_test, n_jobs)}
    rows = []
    for kind, table in tables.items():
        singles = [normalised(proba) for proba in by_learner(table, len(np.unique(y)))]
        predictions = {BEST: min(singles, key=partial(log_loss, y_test))}
        predictions |= {name: normalised(meta.predict_proba(table)) for name, meta in fitted.items()}
        rows += [
            {
                "set": problem.name,
                "rows": len(y),
                "seed": seed,
                "p": kind,
                "meta": name,
                "log_loss": log_loss(y_test, proba),
                "accuracy": accuracy_score(y_test, proba.argmax(axis=1)),
            }
            for name, proba in predictions.items()
        ]
    return rows


def normalised(proba):
    """XGBoost's probabilities are 32-bit floats; log_loss wants sums of 1."""
    return proba / proba.sum(axis=1, keepdims=True)


def run_all(found, n_seeds, *, trees, n_jobs):
    rows = []
    for problem in found:
        start = time.perf_counter()
        seeds = range(min(n_seeds, problem.max_seeds))
        for seed in seeds:
            rows += run(problem, seed, trees=trees, n_jobs=n_jobs)
        print(f"{problem.name}: {len(seeds)} split(s), {time.perf_counter() - start:.0f} s", flush=True)
    return pd.DataFrame(rows)


# --- what came out ------------------------------------------------------------------------------------


def ratios(runs, kind):
    """Log-loss over that of the best single learner: a row a (set, seed), a column a meta-learner."""
    losses = _table(runs, kind, "log_loss")
    return losses.div(losses[BEST], axis=0)[list(META_LEARNERS)]


def _table(runs, kind, column):
    return runs[runs["p"] == kind].pivot_table(index=["set", "seed"], columns="meta", values=column, sort=False)


def by_set(ratio):
    """The geometric mean over each set's splits."""
    return np.exp(np.log(ratio).groupby(level="set", sort=False).mean())


def geometric_mean(ratio):
    return np.exp(np.log(ratio).mean())


def print_results(runs, kind):
    ratio = ratios(runs, kind)
    sets = by_set(ratio)
    sizes = runs.groupby("set", sort=False)["rows"].first()
    print(f"\n=== p {kind}: test log-loss over that of the best single learner (hindsight) ===")
    best = _table(runs, kind, "log_loss")[BEST].groupby(level="set", sort=False).mean()
    print(sets.assign(**{"(its log-loss)": best}).to_string(float_format="{:.3f}".format))
    accuracy = _table(runs, kind, "accuracy")[list(META_LEARNERS)]
    summary = pd.DataFrame(
        {
            "geometric mean": geometric_mean(sets),
            "median": sets.median(),
            f"< {SMALL} rows": geometric_mean(sets[sizes < SMALL]),
            f">= {SMALL} rows": geometric_mean(sets[sizes >= SMALL]),
            "not solved": geometric_mean(sets[best >= SOLVED]),
            "worst run": ratio.max(),
            f"beats it, of {len(ratio)}": (ratio < 1).sum(),
            "rank, log-loss": ratio.rank(axis=1).mean(),
            "rank, accuracy": accuracy.rank(axis=1, ascending=False).mean(),
            "accuracy": accuracy.groupby(level="set").mean().mean(),
        }
    )
    print(f"\nover the sets, best first (not solved: the best single learner's log-loss is at least {SOLVED}):")
    print(summary.sort_values("geometric mean").to_string(float_format="{:.3f}".format))
    print_ranking(sets)


def print_ranking(sets):
    """Compare with the earlier ranking; the standard error is that of the mean logarithm over the sets."""
    print(f"\nranking here: {' < '.join(geometric_mean(sets).sort_values().index)}")
    print(f"earlier:      {EARLIER}")
    for left, sign, right in PAIRS:
        difference = np.log(sets[left] / sets[right])
        mean, error = difference.mean(), difference.std() / np.sqrt(len(difference))
        held = mean < 0 if sign == "<" else abs(np.expm1(mean)) < ALIKE
        clear = "" if sign == "~" or abs(mean) > 2 * error else ", but within two standard errors of 1"
        print(
            f"  {left} {sign} {right}: {'held' if held else 'did NOT hold'}{clear}; ratio {np.exp(mean):.3f} "
            f"(standard error {error:.3f}), {left} better on {(difference < 0).sum()} of {len(difference)} sets"
        )


def print_kinds(runs):
    """Does one more fit on all rows pay?"""
    losses = {kind: _table(runs, kind, "log_loss") for kind in KINDS}
    sets = by_set(losses["refitted"] / losses["averaged"])
    print("\nlog-loss with p refitted over that with p averaged, geometric mean over the sets:")
    print(
        geometric_mean(sets)[[BEST, *META_LEARNERS]].to_frame().T.to_string(index=False, float_format="{:.3f}".format)
    )


def noise(n_seeds, n_jobs):
    """Cross-validate meta-learners on the out-of-fold table of labels that have nothing to do with X."""
    rows = []
    for seed in range(n_seeds):
        random = np.random.default_rng(seed)
        X, y = random.normal(size=(600, 10)), random.integers(0, 2, 600)
        three = [
            ("logistic", make_pipeline(StandardScaler(), LogisticRegression())),
            ("knn", KNeighborsClassifier(15)),
            ("forest", RandomForestClassifier(50, random_state=seed)),
        ]
        folds = StratifiedKFold(K, shuffle=True, random_state=seed)
        table = cross_fit(three, X, y, cv=folds, n_jobs=n_jobs, random_state=seed).train
        again = StratifiedKFold(K, shuffle=True, random_state=seed + 1000)
        for name, meta in META_LEARNERS.items():
            proba = cross_val_predict(clone(meta), table, y, cv=again, method="predict_proba")
            rows.append({"meta": name, "AUC": roc_auc_score(y, proba[:, 1]), "log-loss": log_loss(y, proba)})
    return pd.DataFrame(rows)


def print_noise(runs):
    grouped = runs.groupby("meta", sort=False)
    n_seeds = len(runs) // len(META_LEARNERS)
    print(f"\n=== pure noise: 600 rows, three learners, {n_seeds} tables; the truth is 0.5 and 0.693 ===")
    errors = grouped.std() / np.sqrt(n_seeds)
    table = grouped.mean().join(errors.rename(columns="{} error".format))
    print(table.to_string(float_format="{:.3f}".format))


def parse(argv=None):
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--quick", action="store_true", help="five sets, one split, few trees: does it run?")
    parser.add_argument("--seeds", type=int, default=None, help="splits of each set; 5, or 1 with --quick")
    parser.add_argument("--n-jobs", type=int, default=2)
    parser.add_argument("--output", metavar="FILE.csv", help="write every run's losses there")
    arguments = parser.parse_args(argv)
    if arguments.seeds is None:
        arguments.seeds = 1 if arguments.quick else 5
    return arguments


def main():
    warnings.simplefilter("ignore")
    arguments, start = parse(), time.perf_counter()
    runs = run_all(
        problems(quick=arguments.quick),
        arguments.seeds,
        trees=20 if arguments.quick else 200,
        n_jobs=arguments.n_jobs,
    )
    if arguments.output:
        runs.to_csv(arguments.output, index=False)
    for kind in KINDS:
        print_results(runs, kind)
    print_kinds(runs)
    print_noise(noise(4 if arguments.quick else 40, arguments.n_jobs))
    print(f"\n{(time.perf_counter() - start) / 60:.1f} minutes")


if __name__ == "__main__":
    main()
