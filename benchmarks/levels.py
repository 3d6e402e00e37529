"""Which folds should a second level have: those of the first, or new ones? And how far are its scores from the truth?

    python benchmarks/levels.py                 # 30 draws of each kind
    python benchmarks/levels.py --draws 4

The rows of a first level's table are predicted by learners that saw the targets of all other folds. So a second level
that is cross-fitted on that table has a little knowledge of the rows that it predicts, with any folds. Here it is
measured: the out-of-fold log-loss of several second-level models against that on thousands of new rows, which are
predicted just as the table's rows were: by one fold model of each level, not by means of them. With the same folds a
row is new to both levels at once; with new ones, fold model i of the second level may meet any fold model of the first.

``noise``: targets are coins, so that all skill is a leak. ``signal``: a real task with noisy labels.
"""

import argparse

import numpy as np
import pandas as pd
from joblib import Parallel, delayed
from sklearn.datasets import make_classification
from sklearn.ensemble import ExtraTreesClassifier, RandomForestClassifier
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import log_loss, roc_auc_score
from sklearn.model_selection import StratifiedKFold
from sklearn.naive_bayes import GaussianNB
from sklearn.neighbors import KNeighborsClassifier
from sklearn.tree import DecisionTreeClassifier
from xgboost import XGBClassifier

from stackkit import cross_fit

N_ROWS, N_NEW, K = 400, 3000, 5


def first_level(seed):
    return [
        ("knn", KNeighborsClassifier(15)),
        ("bayes", GaussianNB()),
        ("logistic", LogisticRegression()),
        ("tree", DecisionTreeClassifier(min_samples_leaf=5, random_state=seed)),
        ("extra", ExtraTreesClassifier(50, min_samples_leaf=3, random_state=seed)),
    ]


def second_level(seed):
    return [
        ("logistic", LogisticRegression()),
        ("knn", KNeighborsClassifier(20)),
        ("forest", RandomForestClassifier(50, min_samples_leaf=5, random_state=seed)),
        ("xgboost", XGBClassifier(n_estimators=40, max_depth=3, learning_rate=0.1, n_jobs=1)),
    ]


def drawn(kind, seed):
    if kind == "noise":
        rng = np.random.default_rng(seed)
        return rng.normal(size=(N_ROWS + N_NEW, 10)), rng.integers(0, 2, N_ROWS + N_NEW)
    return make_classification(N_ROWS + N_NEW, 20, n_informative=6, flip_y=0.15, class_sep=0.7, random_state=seed)


def one_draw(kind, seed):
    X, y = drawn(kind, seed)
    X, X_new, y, y_new = X[:N_ROWS], X[N_ROWS:], y[:N_ROWS], y[N_ROWS:]
    first, other = (list(StratifiedKFold(K, shuffle=True, random_state=s).split(X, y)) for s in (seed, seed + 10_000))
    below = cross_fit(first_level(seed), X, y, cv=first)
    # What each fold's models say of the new rows, not their mean.
    seen = [
        np.column_stack([members[fold].predict_proba(X_new)[:, 1] for members in below.members.values()])
        for fold in range(K)
    ]
    rows = []
    for folds, name in ((first, "same"), (other, "new")):
        above = cross_fit(second_level(seed), below.train, y, cv=folds)
        for number, (learner, members) in enumerate(above.members.items()):
            column = above.train[:, number]
            new = [
                member.predict_proba(table)[:, 1]
                for fold, member in enumerate(members)
                for table in (seen[fold : fold + 1] if name == "same" else seen)
            ]
            rows.append(
                {
                    "kind": kind,
                    "learner": learner,
                    "folds": name,
                    "out of fold": log_loss(y, column),
                    "new rows": np.mean([log_loss(y_new, p) for p in new]),
                    "auc": np.mean([roc_auc_score(y[test], column[test]) for _, test in folds]),
                    "auc, new rows": np.mean([roc_auc_score(y_new, p) for p in new]),
                }
            )
    return rows


def main():
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--draws", type=int, default=30, help="default: %(default)s")
    parser.add_argument("--n-jobs", type=int, default=2, help="default: %(default)s")
    options = parser.parse_args()
    jobs = (delayed(one_draw)(kind, seed) for kind in ("noise", "signal") for seed in range(options.draws))
    runs = pd.DataFrame([row for rows in Parallel(n_jobs=options.n_jobs)(jobs) for row in rows])
    runs["optimism"] = runs["new rows"] - runs["out of fold"]
    runs["auc optimism"] = runs["auc"] - runs["auc, new rows"]
    shown = ["out of fold", "new rows", "optimism", "auc optimism"]
    by = runs.groupby(["kind", "learner", "folds"], sort=False)
    errors = by[["optimism", "auc optimism"]].sem().add_suffix(" (se)")
    print(by[shown].mean().join(errors).round(4).to_string())
    pairs = runs.pivot_table(index=["kind", "learner"], columns="folds", values="optimism", aggfunc=list, sort=False)
    for (kind, learner), (new, same) in pairs[["new", "same"]].iterrows():
        gap = np.array(same) - np.array(new)
        print(
            f"{kind}, {learner}: same folds more optimistic by {gap.mean():+.4f} (se {gap.std() / len(gap) ** 0.5:.4f})"
        )


if __name__ == "__main__":
    main()
