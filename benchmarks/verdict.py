"""How often does the verdict say what, where the truth is known?

    python benchmarks/verdict.py verdicts.jsonl [--draws 150] [--jobs 2]

Each draw is a data set, `nested_scores` of a stack of quick learners on it, and the stack's true gain: the stack and
its learners, fitted to all rows of the draw, on 20,000 new ones. What is done is in the file, a line for each draw; a
run that was stopped goes on where it was. At the end a table: for each case, the shares of the three outcomes, how
often one contradicts the truth of its draw, and the means of the true gains and of the margins.
"""

from __future__ import annotations

import argparse
import json
from pathlib import Path

import numpy as np
import pandas as pd
from joblib import Parallel, delayed
from sklearn.compose import make_column_transformer
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import log_loss
from sklearn.model_selection import RepeatedStratifiedKFold, StratifiedKFold
from sklearn.naive_bayes import GaussianNB
from sklearn.pipeline import make_pipeline
from sklearn.tree import DecisionTreeClassifier

from stackkit import StackingModel
from stackkit.evaluation import nested_scores

N_NEW = 20_000
N_FEATURES = 9


def sees(*columns):
    """A logistic regression of some of the columns."""
    return make_pipeline(make_column_transformer(("passthrough", list(columns))), LogisticRegression())


ALL_KINDS = [("logistic", sees(*range(9))), ("bayes", GaussianNB()), ("tree", DecisionTreeClassifier(max_depth=3))]
THIRDS = [("first", sees(0, 1, 2)), ("second", sees(3, 4, 5)), ("third", sees(6, 7, 8))]
NEARLY_ALL = [("most", sees(*range(8))), ("rest", sees(8)), ("half", sees(*range(4)))]
EVEN = np.ones(N_FEATURES)
WEAK, WEAKER = np.r_[np.ones(8), 0.25], np.r_[np.ones(8), 0.1]  # what a single column tells beside the others

# Learners, true coefficients, rows, repeats of the five outer folds.
CASES = {
    "noise: no learner knows anything": (ALL_KINDS, 0 * EVEN, 600, 1),
    "noise, 10 times the rows": (ALL_KINDS, 0 * EVEN, 6000, 1),
    "one learner knows all": (ALL_KINDS, EVEN, 600, 1),
    "one learner knows all, 10 times the rows": (ALL_KINDS, EVEN, 6000, 1),
    "a small gain": (NEARLY_ALL, WEAK, 600, 1),
    "a small gain, outer folds 5 times": (NEARLY_ALL, WEAK, 600, 5),
    "a small gain, 10 times the rows": (NEARLY_ALL, WEAK, 6000, 1),
    "hardly any gain, 10 times the rows": (NEARLY_ALL, WEAKER, 6000, 1),
    "each of three learners knows a third": (THIRDS, EVEN, 300, 1),
}


def draw(coefficients, n_rows, rng):
    X = rng.normal(size=(n_rows, N_FEATURES))
    return X, (X @ coefficients + rng.logistic(size=n_rows) > 0).astype(int)


def true_gain(model, X_new, y_new):
    """Over the learner that is best on the new rows."""
    columns = model.transform(X_new)
    best = min(log_loss(y_new, columns[:, block.columns]) for block in model.oof_.blocks.values())
    return best - log_loss(y_new, model.predict_proba(X_new)[:, 1])


def one(case, seed):
    learners, coefficients, n_rows, repeats = CASES[case]
    rng = np.random.default_rng([seed, list(CASES).index(case)])
    X, y = draw(coefficients, n_rows, rng)
    model = StackingModel(learners, cv=StratifiedKFold(5, shuffle=True), random_state=seed)
    outer = RepeatedStratifiedKFold(n_splits=5, n_repeats=repeats, random_state=seed)
    nested = nested_scores(model, X, y, cv=outer)
    gain = nested.differences.loc["best learner"]
    return {
        "case": case,
        "seed": seed,
        "outcome": nested.outcome,
        "gain": gain["gain"],
        "low": gain["low"],
        "high": gain["high"],
        "margin": nested.margin,
        "true_gain": true_gain(model.fit(X, y), *draw(coefficients, N_NEW, rng)),
    }


def summary(found: pd.DataFrame) -> str:
    """As a Markdown table. A contradiction: help is claimed where the stack is worse, or denied where it gains more."""
    outcomes = ("helps", "does not help", "cannot be told")
    lines = ["| case | draws | helps | does not help | cannot be told | contradicts | true gain | margin |"]
    lines.append("|---" + "|--:" * 7 + "|")
    for case, rows in found.groupby("case", sort=False):
        shares = [f"{(rows['outcome'] == outcome).mean():.0%}" for outcome in outcomes]
        wrong = ((rows["outcome"] == "helps") & (rows["true_gain"] <= 0)) | (
            (rows["outcome"] == "does not help") & (rows["true_gain"] > rows["margin"])
        )
        numbers = [f"{rows['true_gain'].mean():.4f}", f"{rows['margin'].mean():.4f}"]
        lines.append(f"| {' | '.join([str(case), str(len(rows)), *shares, f'{wrong.mean():.0%}', *numbers])} |")
    return "\n".join(lines)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("file", type=Path, help="what is known already; new lines are appended")
    parser.add_argument("--draws", type=int, default=150, help="of each case (default: %(default)s)")
    parser.add_argument("--jobs", type=int, default=2, help="draws at once (default: %(default)s)")
    options = parser.parse_args()
    lines = options.file.read_text().splitlines() if options.file.exists() else []
    done = {(row["case"], row["seed"]) for row in map(json.loads, lines)}
    wanted = [(case, seed) for seed in range(options.draws) for case in CASES if (case, seed) not in done]
    results = Parallel(n_jobs=options.jobs, return_as="generator")(delayed(one)(*pair) for pair in wanted)
    with options.file.open("a", encoding="utf8") as file:
        for result in results:
            file.write(json.dumps(result) + "\n")
            file.flush()
    found = pd.DataFrame(map(json.loads, options.file.read_text().splitlines()))
    print(summary(found.sort_values("case", key=lambda names: names.map(list(CASES).index), kind="stable")))


if __name__ == "__main__":
    main()
