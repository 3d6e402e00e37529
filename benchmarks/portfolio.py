"""In which order do the default learners earn a seat in a stack, and what do blends make of them?

    STACKKIT_DATA=/path/to/data python benchmarks/portfolio.py --memory runs  # out-of-fold tables, then all
    python benchmarks/portfolio.py --memory runs --folds 10 --learners lightgbm splines  # the same with other folds
    python benchmarks/portfolio.py --memory runs --report

Every learner of the catalogue is cross-fitted on the tables of the first half of the suite (see tables.py; the second
half has no part in any choice), and predicts the quarter of the rows that is held out. Columns are kept, and what is
there is not fitted again. From them alone, without another fit of a learner:

- order: greedy forward selection by what the stack gains. Each step adds the learner that lowers the loss of the blend
  most, the mean over tables of the logarithm of its loss, half by cross-fitting the blend and half on the rows held
  out. Where a table is all but solved, a ratio counts as 1.35 at most, or a few such tables would decide.
- blends: their losses over those of the default one; and how much a blend's loss exceeds that of the best fixed
  weights in hindsight (the same blend fitted to the rows held out), by number of rows: what a better blend could gain.
- folds: losses of the blend of the same learners on other numbers of folds.
"""

import argparse
import warnings
from functools import cache
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pandas as pd
from _data import find
from _measure import quiet
from _table_systems import loss_of, read_table, split_rows
from sklearn.base import clone
from sklearn.model_selection import KFold, StratifiedKFold
from tables import half_of

from stackkit import (
    ConvexClassifier,
    ConvexRegressor,
    EnsembleSelectionClassifier,
    EnsembleSelectionRegressor,
    LinearPoolRegressor,
    LogPoolClassifier,
    cross_fit,
)
from stackkit._blending import default_blend
from stackkit._data import ShuffledFolds
from stackkit._learners import known_names, learners_named

MOST = 0.3  # logarithm of a ratio of losses that one table may count for
ROWS = (0, 1_000, 3_000, 10_000, np.inf)
BLENDS = {
    "classification": {
        "convex": ConvexClassifier(),
        "selection": EnsembleSelectionClassifier(),
        "ridge 1": LogPoolClassifier(ridge=1.0),
        "ridge 10": LogPoolClassifier(ridge=10.0),
        "no bias": LogPoolClassifier(fit_bias=False),
    },
    "regression": {
        "linear pool": LinearPoolRegressor(),
        "convex": ConvexRegressor(),
        "selection": EnsembleSelectionRegressor(),
    },
}


# --- out-of-fold tables -------------------------------------------------------------------------------


def fit_all(table, path, names, options):
    """Keep the columns of each learner that is not there yet."""
    known = dict(np.load(path)) if path.exists() else {}
    absent = [name for name in names if f"train {name}" not in known]
    if not absent:
        return
    job = SimpleNamespace(task=table.task, target=table.target, rows=options.rows, seed=options.seed)
    X, X_test, y, y_test, n_classes = split_rows(read_table(table.path, table.target), job)
    folds = ShuffledFolds(options.folds, stratified=n_classes is not None, random_state=options.seed)
    learners = learners_named(table.task, absent, X)
    settings = {"cv": folds, "n_jobs": options.n_jobs, "random_state": options.seed, "on_error": "drop"}
    oof = cross_fit(learners, X, y, X_test=X_test, **settings)
    known |= {"y": y, "y_test": y_test, "n_classes": np.array(n_classes or 0)}
    for name, block in oof.blocks.items():
        known |= {f"train {name}": oof.train[:, block.columns], f"test {name}": oof.test[:, block.columns]}
    np.savez_compressed(path, **known)
    print(f"{table.name}: {', '.join(oof.blocks)}", flush=True)


class Columns:
    """What learners predicted on one table, and losses of blends of them."""

    def __init__(self, table, path):
        self.task, self.rows = table.task, table.rows
        with np.load(path) as kept:
            self._kept = dict(kept)
        self.n_classes = int(self._kept["n_classes"]) or None
        self.names = [name.removeprefix("train ") for name in self._kept if name.startswith("train ")]
        self.held_out, self.crossed = cache(self.held_out), cache(self.crossed)

    def _part(self, part, names):
        return np.hstack([self._kept[f"{part} {name}"] for name in names])

    def _loss(self, blend, X, y):
        predicted = blend.predict(X) if self.n_classes is None else blend.predict_proba(X)
        known = None if self.n_classes is None else blend.classes_
        return loss_of(y, predicted, known, self.n_classes)

    def held_out(self, names, blend=None):
        fitted = clone(blend or default_blend(self.task)).fit(self._part("train", names), self._kept["y"])
        return self._loss(fitted, self._part("test", names), self._kept["y_test"])

    def crossed(self, names, blend=None):
        X, y = self._part("train", names), self._kept["y"]
        splitter = (KFold if self.n_classes is None else StratifiedKFold)(5, shuffle=True, random_state=0)
        losses, sizes = [], []
        for train, test in splitter.split(X, y):
            fitted = clone(blend or default_blend(self.task)).fit(X[train], y[train])
            losses.append(self._loss(fitted, X[test], y[test]))
            sizes.append(len(test))
        power = 2 if self.n_classes is None else 1
        return np.average(np.array(losses) ** power, weights=sizes) ** (1 / power)

    def hindsight(self, names):
        X, y = self._part("test", names), self._kept["y_test"]
        return self._loss(clone(default_blend(self.task)).fit(X, y), X, y)


# --- what they tell -----------------------------------------------------------------------------------


def order(tables, names, n_seats):
    """Greedy forward selection over all tables of one task."""

    def value(chosen):
        found = []
        for table in tables:
            seated = tuple(name for name in chosen if name in table.names)
            if not seated:
                return np.inf
            loss = 0.5 * np.log(table.crossed(seated)) + 0.5 * np.log(table.held_out(seated))
            found.append(np.clip(loss - best[table], -MOST, MOST))
        return float(np.mean(found))

    best = {
        table: min(0.5 * np.log(table.crossed((name,))) + 0.5 * np.log(table.held_out((name,))) for name in table.names)
        for table in tables
    }
    chosen, steps = [], []
    while len(chosen) < min(n_seats, len(names)):
        found = {name: value([*chosen, name]) for name in names if name not in chosen}
        ranked = sorted(found, key=found.get)
        chosen.append(ranked[0])
        runners = ", ".join(f"{name} {np.exp(found[name]):.4f}" for name in ranked[1:4])
        steps.append({"learner": ranked[0], "loss / best learner's": np.exp(found[ranked[0]]), "next": runners})
    return pd.DataFrame(steps, index=range(1, len(steps) + 1))


def blends(tables, task):
    rows = {}
    for name, table in tables.items():
        usual = table.held_out(tuple(table.names))
        others = {label: table.held_out(tuple(table.names), blend) / usual for label, blend in BLENDS[task].items()}
        rows[name] = {"rows": table.rows, "default / hindsight": usual / table.hindsight(tuple(table.names))} | others
    found = pd.DataFrame(rows).T
    bins = pd.cut(found["rows"], ROWS, labels=[f"to {most:,.0f} rows" for most in ROWS[1:]])
    means = np.exp(np.log(found.drop(columns="rows")).groupby(bins, observed=True).mean())
    means.loc["all"] = np.exp(np.log(found.drop(columns="rows")).mean())
    return means


def folds(path, tables, usual):
    """Losses on each number of folds over those on the usual one, with the learners that both have."""
    found = {}
    for name, (table, columns) in tables.items():
        for other in sorted(path.glob(f"{name}.*.npz")):
            number = int(other.suffixes[0].removeprefix("."))
            if number != usual:
                rival = Columns(table, other)
                both = tuple(learner for learner in columns.names if learner in rival.names)
                found.setdefault(number, {})[name] = rival.held_out(both) / columns.held_out(both)
    return pd.DataFrame(found)


def report(path, tables, options):
    kept = {table.name: (table, Columns(table, path / f"{table.name}.{options.folds}.npz")) for table in tables}
    for task in ("classification", "regression"):
        found = {name: columns for name, (_, columns) in kept.items() if columns.task == task}
        if not found:
            continue
        names = sorted({learner for columns in found.values() for learner in columns.names})
        print(f"\n## {task}: {len(found)} tables, {options.folds} folds\n")
        print(order(list(found.values()), names, options.seats).round(4).to_string())
        print(f"\n{blends(found, task).round(3).to_string()}")
    others = folds(path, kept, options.folds)
    if len(others):
        print(f"\n## losses over those on {options.folds} folds\n\n{others.round(4).to_string()}")
        print(f"geometric means: {np.exp(np.log(others).mean()).round(4).to_dict()}")


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--memory", type=Path, required=True, help="a folder for the columns")
    parser.add_argument("--tables", nargs="+", help="of the first half; all by default")
    parser.add_argument("--learners", nargs="+", help="of the catalogue; all by default")
    parser.add_argument("--folds", type=int, default=5)
    parser.add_argument("--seats", type=int, default=10, help="how many to select")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--rows", type=int, help="of each table, drawn by chance")
    parser.add_argument("--n-jobs", type=int, default=2)
    parser.add_argument("--report", action="store_true", help="fit nothing")
    options = parser.parse_args()
    quiet()
    warnings.filterwarnings("ignore")
    sets = find("tabular/sets.csv")
    if sets is None:
        print("skipped: set STACKKIT_DATA to a folder with tabular/sets.csv")
        return
    described = pd.read_csv(sets)
    halves = half_of(described["name"])
    described["path"] = [str(sets.with_name(f"{name}.csv.gz")) for name in described["name"]]
    first = [row for row in described.sort_values("rows").itertuples() if halves[row.name] == "first"]
    tables = [row for row in first if row.name in (options.tables or halves)]
    options.memory.mkdir(parents=True, exist_ok=True)
    for table in tables if not options.report else ():
        names = [name for name in known_names(table.task, np.empty((1, 1))) if name in (options.learners or [name])]
        fit_all(table, options.memory / f"{table.name}.{options.folds}.npz", names, options)
    done = [table for table in tables if (options.memory / f"{table.name}.{options.folds}.npz").exists()]
    report(options.memory, done, options)


if __name__ == "__main__":
    main()
