"""Do nested intervals cover, does the verdict tell, and what does it cost beside cross-validating one by one?

    python benchmarks/nested.py [--seeds 30]

Noise: 600 rows, labels that nothing explains, three learners. Help by construction: each of three learners sees a third
of what matters. Cost: scikit-learn's cross_val_score of the stack and of each learner, which is what one would do else.
"""

from __future__ import annotations

import argparse
from statistics import median
from time import perf_counter

import numpy as np
from sklearn.compose import make_column_transformer
from sklearn.datasets import make_classification
from sklearn.ensemble import ExtraTreesClassifier, RandomForestClassifier
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import cross_val_score
from sklearn.naive_bayes import GaussianNB
from sklearn.neighbors import KNeighborsClassifier
from sklearn.pipeline import make_pipeline
from sklearn.tree import DecisionTreeClassifier

from stackkit import StackingModel
from stackkit.evaluation import nested_scores

KINDS = [
    ("logistic", LogisticRegression(max_iter=1000)),
    ("bayes", GaussianNB()),
    ("tree", DecisionTreeClassifier(max_depth=3)),
]


def on_noise(seeds: int, final) -> tuple[int, int, list[float]]:
    covered, claimed, scores = 0, 0, []
    for seed in range(seeds):
        rng = np.random.default_rng(seed)
        X, y = rng.normal(size=(600, 5)), rng.integers(0, 2, 600)
        nested = nested_scores(StackingModel(KINDS, final, random_state=seed), X, y, scoring="roc_auc")
        stack = nested.table.loc["stack"]
        covered += stack["low"] <= 0.5 <= stack["high"]
        claimed += bool(nested.helps)
        scores.append(stack["score"])
    return covered, claimed, scores


def where_it_helps(seeds: int) -> int:
    thirds = ([0, 1, 2], [3, 4, 5], [6, 7, 8])
    learners = [
        (f"third-{i}", make_pipeline(make_column_transformer(("passthrough", columns)), LogisticRegression()))
        for i, columns in enumerate(thirds)
    ]
    helps = 0
    for seed in range(seeds):
        rng = np.random.default_rng(seed)
        X = rng.normal(size=(300, 9))
        y = (X.sum(axis=1) + rng.normal(size=300) > 0).astype(int)
        helps += bool(nested_scores(StackingModel(learners, random_state=seed), X, y).helps)
    return helps


def cost(rounds: int) -> tuple[list[float], list[float]]:
    X, y = make_classification(3000, 20, n_informative=8, random_state=0)
    learners = [
        ("forest", RandomForestClassifier(60, random_state=0)),
        ("trees", ExtraTreesClassifier(60, random_state=0)),
        ("knn", KNeighborsClassifier(20)),
        ("logistic", LogisticRegression(max_iter=1000)),
    ]
    model = StackingModel(learners, n_jobs=2, random_state=0)
    ours, one_by_one = [], []
    for _ in range(rounds):
        start = perf_counter()
        nested_scores(model, X, y)
        ours.append(perf_counter() - start)
        start = perf_counter()
        for estimator in (model.set_params(n_jobs=1), *(learner for _, learner in learners)):
            cross_val_score(estimator, X, y, cv=5, scoring="neg_log_loss", n_jobs=2)
        one_by_one.append(perf_counter() - start)
        model.set_params(n_jobs=2)
    return ours, one_by_one


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seeds", type=int, default=30)
    parser.add_argument("--rounds", type=int, default=3)
    options = parser.parse_args()
    for name, final in (("log pool", None), ("logistic", LogisticRegression())):
        covered, claimed, scores = on_noise(options.seeds, final)
        print(
            f"noise, {name:<8}  the interval of the AUC covers 0.5 in {covered} of {options.seeds}, mean AUC "
            f"{np.mean(scores):.3f}; help is claimed in {claimed}"
        )
    print(f"help by construction is found in {where_it_helps(options.seeds)} of {options.seeds}")
    ours, one_by_one = cost(options.rounds)
    nested, apart = median(ours), median(one_by_one)
    print(f"nested_scores {nested:.2f} s; cross_val_score of the stack and of each learner {apart:.2f} s")
    print(f"{nested / apart:.2f} of its time")


if __name__ == "__main__":
    main()
