"""What a BN-MLP is worth on the Titanic: alone beside the random forest, and in the default stack.

    python benchmarks/titanic.py              # ten seeds: a few minutes on two cores
    python benchmarks/titanic.py --seeds 2

Each seed is another 5-fold split of the 1,309 passengers. Printed are out-of-fold log-losses, means over the seeds.
The stack's is nested: its pool predicts, for each tenth of the rows of the out-of-fold table, from the other nine.
"tuned" has the epochs that did best for the rows of Kaggle's train.csv among 3 to 10, at several learning rates;
the default learner is not tuned to any set.
"""

import argparse

import numpy as np
import pandas as pd
from _network_systems import BEFORE
from sklearn.metrics import log_loss
from sklearn.model_selection import StratifiedKFold, cross_val_predict
from sklearn.pipeline import Pipeline

from stackkit import LogPoolClassifier, cross_fit, default_learners
from stackkit._learners.preparation import scaled_preprocessing
from stackkit.datasets import load_titanic
from stackkit.nn import BNMLPClassifier

TUNED = "bn_mlp, tuned"


def learners(X):
    tuned = BNMLPClassifier(**BEFORE, max_epochs=5)
    return [
        *default_learners("classification", X),
        (TUNED, Pipeline([("prepare", scaled_preprocessing()), ("learner", tuned)])),
    ]


def nested_loss(oof, names, y, seed):
    """Out-of-fold log-loss of the pool over these learners' columns."""
    table = np.column_stack([oof.train[:, oof.blocks[name].columns] for name in names])
    folds = StratifiedKFold(10, shuffle=True, random_state=seed)
    return log_loss(y, cross_val_predict(LogPoolClassifier(), table, y, cv=folds, method="predict_proba"))


def one_seed(X, y, seed, n_jobs):
    folds = StratifiedKFold(5, shuffle=True, random_state=seed)
    oof = cross_fit(learners(X), X, y, cv=folds, n_jobs=n_jobs, random_state=seed)
    losses = {name: log_loss(y, oof.train[:, block.columns]) for name, block in oof.blocks.items()}
    others = [name for name in oof.blocks if not name.startswith("bn_mlp")]
    return losses | {
        "stack without": nested_loss(oof, others, y, seed),
        "stack with bn_mlp": nested_loss(oof, [*others, "bn_mlp"], y, seed),
        "stack with the tuned one": nested_loss(oof, [*others, TUNED], y, seed),
    }


def difference(runs, one, other):
    gaps = runs[one] - runs[other]
    print(f"{one} minus {other}: {gaps.mean():+.4f} (standard error {gaps.sem():.4f})")


def main():
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--seeds", type=int, default=10, help="default: %(default)s")
    parser.add_argument("--n-jobs", type=int, default=2, help="default: %(default)s")
    options = parser.parse_args()
    X, y = load_titanic(return_X_y=True)
    runs = pd.DataFrame([one_seed(X, y.to_numpy(), seed, options.n_jobs) for seed in range(options.seeds)])
    print(runs.agg(["mean", "std"]).T.round(4).to_string(), end="\n\n")
    difference(runs, "bn_mlp", "random_forest")
    difference(runs, TUNED, "random_forest")
    difference(runs, "stack with bn_mlp", "stack without")
    difference(runs, "stack with the tuned one", "stack without")


if __name__ == "__main__":
    main()
