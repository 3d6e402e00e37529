"""What matters, and which labels are wrong
========================================

The out-of-fold table knows more than how good the stack is. Each row in it was predicted by models that did not see it,
so the table can be asked what a single model can only be asked with rows held out or with many more fits::

    columns          shuffle one among the rows that a fold did not see: how much worse are they predicted?
    groups           columns that tell the same make up for each other: shuffle them together
    learners         the same of the final estimator: whose predictions does it live on?
    labels           which rows do predictions that never saw their labels not believe? Some labels are changed on
                     purpose, so that it is known
    numbers          the same, by residuals beside those of rows that are predicted alike

Run it (offline, about half a minute on two cores)::

    python examples/12_what_matters.py
"""

from __future__ import annotations

import argparse

import numpy as np
import pandas as pd
from scipy.stats import spearmanr
from sklearn import inspection
from sklearn.compose import make_column_transformer
from sklearn.datasets import load_diabetes, load_digits
from sklearn.ensemble import HistGradientBoostingClassifier
from sklearn.impute import SimpleImputer
from sklearn.linear_model import LogisticRegression, Ridge
from sklearn.model_selection import train_test_split
from sklearn.naive_bayes import GaussianNB
from sklearn.neighbors import KNeighborsClassifier, KNeighborsRegressor
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import OneHotEncoder, StandardScaler

from stackkit import StackingClassifier, StackingRegressor
from stackkit.datasets import load_titanic
from stackkit.inspection import label_issues, permutation_importance

NUMBERS, CLASSES = ["age", "fare", "sibsp", "parch"], ["pclass", "sex", "embarked"]
GROUPS = {"sex": ["sex"], "age": ["age"], "ticket (class, fare)": ["pclass", "fare"], "family": ["sibsp", "parch"]}

# %%
# 1. Columns, groups and learners
# -------------------------------


def titanic_stack() -> StackingClassifier:
    numbers = make_pipeline(SimpleImputer(strategy="median"), StandardScaler())
    encode = OneHotEncoder(handle_unknown="ignore", sparse_output=False)
    learners = {
        "logistic": LogisticRegression(max_iter=1000),
        "neighbours": KNeighborsClassifier(25),
        "boosting": HistGradientBoostingClassifier(max_iter=60, max_depth=3),
    }
    prepared = [
        (name, make_pipeline(make_column_transformer((numbers, NUMBERS), (encode, CLASSES)), learner))
        for name, learner in learners.items()
    ]
    return StackingClassifier(prepared, random_state=0)


def show(frame: pd.DataFrame) -> None:
    for name, row in frame.iterrows():
        print(f"  {name:<24}{row['mean']:>7.3f}   ({row['low']:.3f} to {row['high']:.3f})")


def on_held_out_rows(model: StackingClassifier, X: pd.DataFrame, y: pd.Series) -> pd.Series:
    """scikit-learn's function needs rows that the whole stack did not see."""
    found = inspection.permutation_importance(model, X, y, scoring="neg_log_loss", n_repeats=5, random_state=0)
    return pd.Series(found.importances_mean, X.columns)


# %%
# 2. Labels
# ---------


def with_wrong_labels(y: np.ndarray, share: float) -> tuple[np.ndarray, np.ndarray]:
    """Some labels become another one, whichever; their rows, too."""
    rng = np.random.default_rng(0)
    rows = rng.choice(len(y), int(share * len(y)), replace=False)
    wrong = y.copy()
    wrong[rows] = (y[rows] + rng.integers(1, 10, len(rows))) % 10
    return wrong, rows


def digits_stack() -> StackingClassifier:
    learners = [
        ("logistic", make_pipeline(StandardScaler(), LogisticRegression(max_iter=200, C=0.01))),
        ("neighbours", KNeighborsClassifier(15)),
        ("bayes", GaussianNB(var_smoothing=0.01)),
    ]
    return StackingClassifier(learners, random_state=0)


def main() -> None:
    argparse.ArgumentParser(description="Which columns and learners count, and which labels are wrong.").parse_args()
    X, y = load_titanic(return_X_y=True)
    X = X[[*NUMBERS, *CLASSES]]
    train, test = train_test_split(np.arange(len(X)), test_size=0.3, stratify=y, random_state=0)
    model = titanic_stack().fit(X.iloc[train], y.iloc[train])
    columns = permutation_importance(model, X.iloc[train], random_state=0)
    print("Titanic: by how much the stack's log-loss rises when a column is shuffled (95 % interval over the folds):\n")
    show(columns.frame)
    print("\nWhen columns of a group are shuffled together:\n")
    groups = permutation_importance(model, X.iloc[train], features=GROUPS, random_state=0)
    show(groups.frame)
    print("\nWhen a learner's predictions are shuffled, before the final estimator sees them:\n")
    learners = permutation_importance(model, of="learners", random_state=0)
    show(learners.frame)
    theirs = on_held_out_rows(model, X.iloc[test], y.iloc[test])
    likeness = spearmanr(theirs, pd.Series(columns.importances_mean, X.columns)).statistic

    digits, right = load_digits(return_X_y=True)
    labels, changed = with_wrong_labels(right, 0.05)
    stack = digits_stack().fit(digits, labels)
    found = label_issues(stack)
    issues = found[found["issue"]]
    worst = found[: len(changed)]
    print(f"\n{len(right)} digits, {len(changed)} of them with a label that was changed. The most doubtful ones:\n")
    print(f"  {'row':<7}{'label':<8}{'rather':<9}{'truth':<8}doubt")
    for row in worst[:5].itertuples():
        print(f"  {row.position:<7}{row.given:<8}{row.suggested:<9}{right[row.position]:<8}{row.doubt:.4f}")
    n_found = int(np.isin(worst["position"], changed).sum())
    n_repaired = int((issues["suggested"].to_numpy() == right[issues["position"]]).sum())

    X, y = load_diabetes(return_X_y=True)
    slips = np.random.default_rng(0).choice(len(y), 10, replace=False)
    y[slips] *= 10  # a digit too many
    number_stack = StackingRegressor([("ridge", Ridge(0.1)), ("neighbours", KNeighborsRegressor(15))], random_state=0)
    doubts = label_issues(number_stack.fit(X, y))
    n_slips = int(np.isin(doubts["position"][:10], slips).sum())

    print("\nLearned:\n")
    print(f"- What counts most is {columns.frame.index[0]!r}; on rows held out, scikit-learn ranks the columns alike:")
    print(f"  rank correlation {likeness:.2f}. No learner was fitted again, and no row was held out.")
    alone, ticket = columns.frame["mean"], groups.frame["mean"]["ticket (class, fare)"]
    print(f"- Class and fare count for {alone['pclass']:.3f} and {alone['fare']:.3f} alone, together for {ticket:.3f}.")
    print(f"- The final estimator lives most on {learners.frame.index[0]!r}.")
    print(
        f"- {n_found} of the {len(changed)} labels that were changed are among the {len(changed)} most doubtful rows."
    )
    print(f"- {len(issues)} rows are called issues, and of {n_repaired} of them the suggested label is the true one.")
    print(f"- {n_slips} of 10 numbers with a digit too many are the 10 most doubtful ones.")


if __name__ == "__main__":
    main()
