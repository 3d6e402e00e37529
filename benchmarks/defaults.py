"""Are the defaults good? ``StackingModel(preset=...)`` beside what one would take else, on many data sets.

    python benchmarks/defaults.py --memory runs              # fast and balanced, two splits a set
    python benchmarks/defaults.py --memory runs --presets best --sets iris titanic
    python benchmarks/defaults.py --memory runs --report     # only what is there already, as tables
    python benchmarks/defaults.py --memory runs --inside     # which learners, which meta-learner: by the training rows

A run that was interrupted goes on where it was: finished splits are in ``runs/results.csv``, fits of the others in a
store beside it.

Each split holds a quarter of the rows out (of Otto and MNIST, up to 4,000 others), and nothing is chosen by them:

- ``stack``: ``StackingModel(preset=...)``;
- ``best learner``: the one of the preset's learners with the best out-of-fold score, averaged over its fold models;
- ``scikit-learn``: its stacker of the same learners, with its own default final estimator. It is computed as
  ``StackingModel(learners, LogisticRegression() or RidgeCV(), refit=True)``, which gives scikit-learn's numbers (a test
  of stackkit's holds the two to 1e-12) and shares the fits of the folds;
- ``boosting``: HistGradientBoosting alone, with its defaults, behind the trees' preprocessing.

``--inside`` asks the out-of-fold tables of the same training rows: what other final estimators score, cross-fitted on
the table, and what the stack would lose without each learner. The presets were chosen by that.
"""

import argparse
import shutil
import warnings
from itertools import product
from pathlib import Path

import numpy as np
import pandas as pd
from _sets import data_sets
from sklearn.ensemble import HistGradientBoostingClassifier, HistGradientBoostingRegressor
from sklearn.linear_model import LogisticRegression, RidgeCV
from sklearn.metrics import log_loss, root_mean_squared_error
from sklearn.pipeline import make_pipeline

from stackkit import (
    ConvexClassifier,
    ConvexRegressor,
    EnsembleSelectionClassifier,
    EnsembleSelectionRegressor,
    LogPoolClassifier,
    StackingModel,
    default_learners,
)
from stackkit._preparation import tree_preprocessing
from stackkit._second_level import marginal_values, second_level

RIVALS = ["best learner", "scikit-learn", "boosting"]
ALIKE = 0.005  # losses that differ by less than this share are a tie
FINALS = {
    "classification": [
        LogPoolClassifier(),
        ConvexClassifier(),
        EnsembleSelectionClassifier(),
        LogisticRegression(max_iter=1000),
    ],
    "regression": [ConvexRegressor(), EnsembleSelectionRegressor(), RidgeCV()],
}


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
    best = stack.leaderboard(marginal=False).index[0]
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


def inside(data, preset, seed, memory, n_jobs):
    """Of the training rows alone: the final estimators, cross-fitted, and what each learner adds to the first."""
    X, _, y, _ = data.split(seed)
    stack = StackingModel(preset=preset, task=data.task, n_jobs=n_jobs, memory=memory, random_state=seed).fit(X, y)
    oof, metric = stack.oof_, "rmse" if data.task == "regression" else "log_loss"
    best = stack.leaderboard(marginal=False)[metric].min()
    finals = {
        type(final).__name__: second_level(final, oof).scores[metric].mean() / best for final in FINALS[data.task]
    }
    gains = marginal_values(stack.final_estimator_, oof) / best
    costs = oof.scores.groupby(level="learner", sort=False)["fit_seconds"].sum()
    return finals, pd.DataFrame({"gain": gains, "seconds": costs}).assign(set=data.name).rename_axis("learner")


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


def report_inside(found):
    finals = pd.DataFrame([of_split for of_split, _ in found])
    print("Final estimators, cross-fitted, over the best learner: geometric means\n")
    print(np.exp(np.log(finals).mean()).to_string(float_format="{:.3f}".format))
    learners = pd.concat([table for _, table in found]).groupby(level="learner")
    print("\nWhat the stack loses without each learner, as a share of the best learner's loss, and seconds a fit:\n")
    gains = learners["gain"].agg(["mean", "median", "max"]).join(learners["seconds"].median())
    print(gains.sort_values("mean", ascending=False).to_string(float_format="{:.4f}".format))


def main():
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--memory", type=Path, required=True, help="folder for results and the store")
    parser.add_argument("--presets", nargs="+", default=["fast", "balanced"], choices=["fast", "balanced", "best"])
    parser.add_argument("--sets", nargs="+", help="names; default: all")
    parser.add_argument("--seeds", type=int, default=2, help="splits a set; default: %(default)s")
    parser.add_argument("--n-jobs", type=int, default=2, help="default: %(default)s")
    parser.add_argument("--report", action="store_true", help="fit nothing")
    parser.add_argument("--inside", action="store_true", help="ask the training rows which learners pay")
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
        for preset in options.presets:
            if options.inside:
                found.append(inside(data, preset, seed, store, options.n_jobs))
            elif (data.name, preset, seed) not in done:
                row = run(data, preset, seed, store, options.n_jobs)
                print(", ".join(f"{k} {v:.4g}" if isinstance(v, float) else f"{v}" for k, v in row.items()), flush=True)
                results = pd.concat([results, pd.DataFrame([row])], ignore_index=True)
                results.to_csv(file, index=False)
        if not options.inside:
            shutil.rmtree(store, ignore_errors=True)
    if options.inside:
        report_inside(found)
    else:
        report(results)


if __name__ == "__main__":
    main()
