"""Are the defaults good? ``StackingModel(preset=...)`` beside what one would take else, on many data sets.

    python benchmarks/defaults.py --memory runs              # fast and balanced, two splits a set
    python benchmarks/defaults.py --memory runs --presets best --sets iris titanic
    python benchmarks/defaults.py --memory runs --report     # only what is there already, as tables
    python benchmarks/defaults.py --memory runs --inside     # which learners, which meta-learner: by the training rows
    python benchmarks/defaults.py --memory runs --folds      # how many folds and repeats, refits, which meta-learner
    python benchmarks/defaults.py --memory runs --finals     # which meta-learner, by preset, from few rows and all

A run that was interrupted goes on where it was: finished splits are in ``runs/results.csv``, fits of the others in a
store beside it.

Each split holds a quarter of the rows out (of Otto and MNIST, up to 4,000 others), and nothing is chosen by them:

- ``stack``: ``StackingModel(preset=...)``;
- ``best learner``: the one of the preset's learners with the best out-of-fold score, averaged over its fold models;
- ``scikit-learn``: its stacker of the same learners, with its own default final estimator. It is computed as
  ``StackingModel(learners, LogisticRegression() or RidgeCV(), refit=True)``, which gives scikit-learn's numbers (a test
  of stackkit's holds the two to 1e-12) and shares the fits of the folds;
- ``boosting``: HistGradientBoosting alone, with its defaults, behind the trees' preprocessing.

``--inside`` asks the out-of-fold tables of the same training rows alone: what the blend scores, cross-fitted on the
table, with each preset's learners, without each of these, and what other final estimators score. The presets were
chosen by that.

``--folds`` keeps to the training rows, too: with all learners (those of "best") it fits stacks of more folds, of
repeats, with refits and with other final estimators to three quarters of them, and scores the rest.

``--finals`` does so for the final estimators alone, with each preset's learners, and also with a hundred rows. Its
splits are all of the training rows of the first split.
"""

import argparse
import shutil
import warnings
from dataclasses import replace
from itertools import product
from pathlib import Path

import numpy as np
import pandas as pd
from _sets import data_sets
from sklearn.base import clone
from sklearn.ensemble import HistGradientBoostingClassifier, HistGradientBoostingRegressor
from sklearn.linear_model import LogisticRegression, RidgeCV
from sklearn.metrics import log_loss, root_mean_squared_error
from sklearn.model_selection import KFold, RepeatedKFold, RepeatedStratifiedKFold, StratifiedKFold
from sklearn.pipeline import make_pipeline

from stackkit import (
    ConvexClassifier,
    ConvexRegressor,
    EnsembleSelectionClassifier,
    EnsembleSelectionRegressor,
    LinearPoolRegressor,
    LogPoolClassifier,
    RidgePoolRegressor,
    StackingModel,
    cross_fit,
    default_learners,
)
from stackkit._assessment.marginal import only, second_level
from stackkit._learners.defaults import PRESETS
from stackkit._learners.preparation import tree_preprocessing

FEW = 100  # rows
RIVALS = ["best learner", "scikit-learn", "boosting"]
ALIKE = 0.005  # losses that differ by less than this share are a tie
FINALS = {
    "classification": [
        LogPoolClassifier(),
        ConvexClassifier(),
        EnsembleSelectionClassifier(),
        LogisticRegression(max_iter=1000),
    ],
    "regression": [
        RidgePoolRegressor(),
        LinearPoolRegressor(),
        ConvexRegressor(),
        EnsembleSelectionRegressor(),
        RidgeCV(),
    ],
}
SPLITTERS = {"classification": (StratifiedKFold, RepeatedStratifiedKFold), "regression": (KFold, RepeatedKFold)}


def loss(task, y, predicted):
    if task == "regression":
        return root_mean_squared_error(y, predicted)
    # 32-bit probabilities do not sum to one as exactly as log_loss wants them to.
    return log_loss(y, predicted / predicted.sum(axis=1, keepdims=True))


def answer(task, model, X):
    return model.predict(X) if task == "regression" else model.predict_proba(X)


def run(data, preset, seed, memory, n_jobs):
    """One split: a row of losses and seconds."""
    X, X_test, y, y_test = data.split(seed)
    settings = {"n_jobs": n_jobs, "memory": memory, "random_state": seed}
    stack = StackingModel(preset=preset, task=data.task, **settings).fit(X, y)
    plain_final = RidgeCV() if data.task == "regression" else LogisticRegression()
    learners = default_learners(data.task, X, preset=preset)
    folds = list(stack.oof_.folds.pairs[:5])
    peer = StackingModel(learners, plain_final, refit=True, cv=folds, **settings).fit(X, y)
    boosting = HistGradientBoostingRegressor if data.task == "regression" else HistGradientBoostingClassifier
    alone = make_pipeline(tree_preprocessing(), boosting(random_state=seed)).fit(X, y)
    best = stack.leaderboard(marginal=False).index[1]  # below the stack
    column = stack.transform(X_test)[:, stack.oof_.blocks[best].columns]
    own = column if data.task == "regression" or column.shape[1] > 1 else np.hstack([1 - column, column])
    scores = stack.oof_.scores
    return {
        "set": data.name,
        "preset": preset,
        "seed": seed,
        "rows": len(y),
        "stack": loss(data.task, y_test, answer(data.task, stack, X_test)),
        "best learner": loss(data.task, y_test, own),
        "scikit-learn": loss(data.task, y_test, answer(data.task, peer, X_test)),
        "boosting": loss(data.task, y_test, answer(data.task, alone, X_test)),
        "chosen": best,
        # What its fits and predictions took, spread over the workers: fits may have come from the store.
        "seconds": float(scores[["fit_seconds", "predict_seconds"]].to_numpy().sum() / n_jobs),
        "learners": len(stack.oof_.blocks),
    }


def inside(data, seed, memory, n_jobs):
    """By the training rows alone: losses of the presets' learners, also without each, and of other final estimators."""
    X, _, y, _ = data.split(seed)
    learners = default_learners(data.task, X, preset="best")
    cv = SPLITTERS[data.task][0](5, shuffle=True, random_state=seed)
    oof = cross_fit(learners, X, y, cv=cv, n_jobs=n_jobs, memory=memory, random_state=seed)
    sets = {preset: [name for name, _ in default_learners(data.task, X, preset=preset)] for preset in PRESETS}
    less = {(preset, left): [n for n in names if n != left] for preset, names in sets.items() for left in names}
    blend, *others = FINALS[data.task]
    found = {(preset, "all"): crossed(blend, oof, names) for preset, names in sets.items()}
    found |= {(preset, f"without {left}"): crossed(blend, oof, names) for (preset, left), names in less.items()}
    found |= {("best", f"by {type(final).__name__}"): crossed(final, oof, sets["best"]) for final in others}
    return pd.Series(found).rename((data.task, data.name))


def folds(data, seed, memory, n_jobs):
    """By the training rows alone: losses of stacks on a quarter of them, with other folds, final estimators, refits."""
    X, _, y, _ = data.split(seed)
    X, X_held, y, y_held = replace(data, X=X, y=y, n_train=None).split(seed)
    plain, repeated = SPLITTERS[data.task]
    thrice = list(repeated(n_splits=5, n_repeats=3, random_state=seed).split(np.zeros(len(y)), y))
    ten = list(plain(10, shuffle=True, random_state=seed).split(np.zeros(len(y)), y))
    blend, *others = FINALS[data.task]
    learners = default_learners(data.task, X, preset="best")

    def held_out(final, cv, *, refit=False):
        settings = {"cv": cv, "refit": refit, "n_jobs": n_jobs, "memory": memory, "random_state": seed}
        stack = StackingModel(learners, final, **settings).fit(X, y)
        return loss(data.task, y_held, answer(data.task, stack, X_held))

    found = {
        ("5 folds", "the blend"): held_out(blend, thrice[:5]),
        ("10 folds", "the blend"): held_out(blend, ten),
        ("3 x 5 folds", "the blend"): held_out(blend, thrice),
        ("5 folds, refitted", "the blend"): held_out(blend, thrice[:5], refit=True),
    }
    for final in others:
        name = type(final).__name__
        found["5 folds", name] = held_out(final, thrice[:5])
        found["5 folds, refitted", name] = held_out(final, thrice[:5], refit=True)
    return pd.Series(found).rename((data.task, data.name))


def finals(data, seed, memory, n_jobs):
    """By the training rows alone: losses on a quarter of them of final estimators that saw few or all of the others."""
    X, _, y, _ = data.split(0)
    X, X_held, y, y_held = replace(data, X=X, y=y, n_train=None).split(seed)
    found = {}
    for rows, n in (("few rows", FEW), ("all rows", len(y))):
        learners = default_learners(data.task, X[:n], preset="best")
        cv = SPLITTERS[data.task][0](5, shuffle=True, random_state=seed)
        settings = {"cv": cv, "n_jobs": n_jobs, "memory": memory, "random_state": seed}
        oof = cross_fit(learners, X[:n], y[:n], X_test=X_held, **settings)
        for preset in PRESETS:
            names = [name for name, _ in default_learners(data.task, X, preset=preset)]
            columns, _ = only(oof, names)
            columns_held, _ = only(replace(oof, train=oof.test), names)
            for final in FINALS[data.task]:
                predicted = answer(data.task, clone(final).fit(columns, y[:n]), columns_held)
                found[f"{preset}, {rows}", type(final).__name__] = loss(data.task, y_held, predicted)
    return pd.Series(found).rename((data.task, data.name))


def crossed(final, oof, names):
    """The final estimator's loss, cross-fitted on the columns of some learners."""
    columns, blocks = only(oof, names)
    return second_level(final, replace(oof, train=columns, blocks=blocks)).scores.iloc[:, 0].mean()


def table_of(results):
    """Loss of each set over that of the stack, a row a set; means over its splits."""
    losses = results.groupby("set", sort=False)[["stack", *RIVALS]].mean()
    return losses.div(losses["stack"], axis=0).assign(
        loss=losses["stack"], seconds=results.groupby("set", sort=False)["seconds"].mean()
    )


def report(results):
    for preset, found in results.groupby("preset", sort=False):
        table = table_of(found)
        ranks = table[["stack", *RIVALS]].round(6).rank(axis=1)
        print(f"\n## preset={preset!r}: {len(table)} data sets, {len(found)} splits\n")
        print("Losses over the stack's own (above 1: the stack is better), the stack's loss, and its seconds:\n")
        print(table[[*RIVALS, "loss", "seconds"]].to_string(float_format="{:.3f}".format))
        print("\nMean rank of four: " + ", ".join(f"{name} {rank:.2f}" for name, rank in ranks.mean().items()))
        for rival in RIVALS:
            ratio = table[rival]
            counts = [
                int(n) for n in ((ratio > 1 + ALIKE).sum(), (abs(ratio - 1) <= ALIKE).sum(), (ratio < 1 - ALIKE).sum())
            ]
            print(
                f"against {rival}: {counts[0]} won, {counts[1]} tied, {counts[2]} lost; geometric mean of the ratios "
                f"{np.exp(np.log(ratio).mean()):.3f}"
            )


def report_folds(found):
    for task, losses in pd.DataFrame(found).groupby(level=0):
        shares = losses.dropna(axis=1).droplevel(0)
        shares = shares.div(shares["5 folds", "the blend"], axis=0)
        print(f"\n## {task}, {len(losses)} splits: losses over those of the blend on 5 folds\n")
        report_shares(shares)


def report_finals(found):
    for task, losses in pd.DataFrame(found).groupby(level=0):
        blend = type(FINALS[task][0]).__name__
        shares = losses.dropna(axis=1).droplevel(0)
        shares = shares / shares.xs(blend, axis=1, level=1)[shares.columns.get_level_values(0)].to_numpy()
        print(f"\n## {task}, {len(losses)} splits: losses over those of {blend}\n")
        report_shares(shares.drop(columns=blend, level=1))


def report_shares(shares):
    print(shares.T.round(3).to_string())
    print("\nGeometric means, and how many are lower, level (within half a per cent), higher:\n")
    counts = {"lower": shares < 1 - ALIKE, "level": (shares - 1).abs() <= ALIKE, "higher": shares > 1 + ALIKE}
    summary = pd.DataFrame({"mean": np.exp(np.log(shares).mean()).round(3)})
    print(summary.assign(**{name: met.sum() for name, met in counts.items()}).to_string())


def report_inside(found):
    for task, losses in pd.DataFrame(found).groupby(level=0):
        print(f"\n## {task}, {len(losses)} splits: losses over those of the preset's learners, geometric means\n")
        shares = losses.dropna(axis=1).apply(
            lambda row: row / row.xs("all", level=1).reindex(row.index, level=0), axis=1
        )
        print(np.exp(np.log(shares).mean()).round(4).to_string())
        print("\nPresets over fast, by set:\n")
        presets = losses.xs("all", axis=1, level=1).droplevel(0)
        print(presets.div(presets["fast"], axis=0).round(3).to_string())


def main():
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--memory", type=Path, required=True, help="folder for results and the store")
    parser.add_argument("--presets", nargs="+", default=["fast", "balanced"], choices=PRESETS)
    parser.add_argument("--sets", nargs="+", help="names; default: all")
    parser.add_argument("--seeds", type=int, default=2, help="splits a set; default: %(default)s")
    parser.add_argument("--n-jobs", type=int, default=2, help="default: %(default)s")
    instead = parser.add_mutually_exclusive_group()
    instead.add_argument("--report", action="store_true", help="fit nothing")
    ask = {"action": "store_const", "dest": "ask"}
    instead.add_argument("--inside", **ask, const=(inside, report_inside), help="ask the training rows who pays")
    instead.add_argument("--folds", **ask, const=(folds, report_folds), help="ask them for folds and final estimators")
    instead.add_argument("--finals", **ask, const=(finals, report_finals), help="ask them for final estimators alone")
    options = parser.parse_args()
    warnings.filterwarnings("ignore", category=UserWarning)
    options.memory.mkdir(parents=True, exist_ok=True)
    file = options.memory / "results.csv"
    results = pd.read_csv(file) if file.exists() else pd.DataFrame(columns=["set", "preset", "seed"])
    done = set(zip(results["set"], results["preset"], results["seed"], strict=True))
    chosen = [data for data in data_sets() if not options.sets or data.name in options.sets]
    found = []
    for data, seed in [] if options.report else product(chosen, range(options.seeds)):
        store = options.memory / "store" / f"{data.name} {seed}"
        if options.ask:
            found.append(options.ask[0](data, seed, store, options.n_jobs))
            print(f"{data.name}, split {seed}: done", flush=True)
            continue
        for preset in options.presets:
            if (data.name, preset, seed) not in done:
                row = run(data, preset, seed, store, options.n_jobs)
                print(", ".join(f"{k} {v:.4g}" if isinstance(v, float) else f"{v}" for k, v in row.items()), flush=True)
                results = pd.concat([results, pd.DataFrame([row])], ignore_index=True)
                results.to_csv(file, index=False)
        shutil.rmtree(store, ignore_errors=True)
    if options.ask:
        options.ask[1](found)
    else:
        report(results)


if __name__ == "__main__":
    main()
