"""A stack is a scikit-learn estimator, and goes wherever one goes
===============================================================

What scikit-learn can do with a logistic regression it can do with a stack: put it behind preparation in a Pipeline,
cross-validate and tune it, hand weights through it, look inside it, stack it again. On the passengers of the Titanic::

    a Pipeline whose ColumnTransformer keeps names (set_output), with a stack as its last step
    cross_validate and GridSearchCV, over a parameter of a learner inside the stack
    weights for learners that ask for them (metadata routing), and for no other
    a stack as the final estimator of a stack
    permutation importance: what the whole pipeline lives on
    clone and pickle

Run it (offline, about half a minute on two cores)::

    python examples/02_sklearn_pipeline.py
"""

from __future__ import annotations

import argparse
import pickle

import numpy as np
import pandas as pd
from sklearn import config_context
from sklearn.base import clone
from sklearn.compose import make_column_transformer
from sklearn.ensemble import HistGradientBoostingClassifier, RandomForestClassifier
from sklearn.impute import SimpleImputer
from sklearn.inspection import permutation_importance
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import GridSearchCV, StratifiedKFold, cross_validate, train_test_split
from sklearn.naive_bayes import GaussianNB
from sklearn.pipeline import Pipeline, make_pipeline
from sklearn.preprocessing import OneHotEncoder, StandardScaler

from stackkit import ConvexClassifier, StackingClassifier
from stackkit.datasets import load_titanic

FOLDS = StratifiedKFold(5, shuffle=True, random_state=0)
NUMBERS, CLASSES = ["age", "fare", "sibsp", "parch"], ["pclass", "sex", "embarked"]

# %%
# 1. A pipeline
# -------------


def preparation() -> Pipeline:
    """Numbers filled in and scaled, classes as columns of 0 and 1; a data frame comes out, with names."""
    encode = OneHotEncoder(handle_unknown="ignore", sparse_output=False)
    numbers = make_pipeline(SimpleImputer(strategy="median"), StandardScaler())
    columns = make_column_transformer((numbers, NUMBERS), (encode, CLASSES), verbose_feature_names_out=False)
    return columns.set_output(transform="pandas")


def learners() -> list[tuple[str, object]]:
    return [
        ("logistic", LogisticRegression(max_iter=1000)),
        ("bayes", GaussianNB(var_smoothing=0.1)),
        ("forest", RandomForestClassifier(25, min_samples_leaf=3)),
        ("boosting", HistGradientBoostingClassifier(max_iter=20, max_depth=3)),
    ]


def make_model(**params: object) -> Pipeline:
    """The preparation learns from the rows of the outer training part only: it has no target to leak."""
    stack = StackingClassifier(learners(), cv=FOLDS, n_jobs=2, random_state=0, **params)
    return Pipeline([("prepare", preparation()), ("stack", stack)])


def show_names(model: Pipeline) -> None:
    """What the final estimator sees has names, too."""
    stack = model.named_steps["stack"]
    print(f"  the stack sees {', '.join(stack.feature_names_in_[:5])}, ... ({stack.n_features_in_} columns)")
    print(f"  its table P has {', '.join(stack.get_feature_names_out())}")


# %%
# 2. Cross-validated and tuned
# ----------------------------


def cross_validated(model: Pipeline, X: pd.DataFrame, y: pd.Series) -> float:
    scores = cross_validate(model, X, y, cv=3, scoring=["neg_log_loss", "accuracy"])
    loss, accuracy = -scores["test_neg_log_loss"], scores["test_accuracy"]
    for name, score in (("log-loss", loss), ("accuracy", accuracy)):
        print(f"  {name} {score.mean():.3f} (+/- {score.std():.3f})")
    return float(loss.mean())


def tuned(model: Pipeline, X: pd.DataFrame, y: pd.Series) -> GridSearchCV:
    """Parameters of learners are reached by name; a learner itself is one, and "drop" leaves it out."""
    grid = {
        "stack__forest__min_samples_leaf": [1, 3, 10],
        "stack__bayes": [GaussianNB(var_smoothing=0.1), "drop"],
    }
    search = GridSearchCV(model, grid, scoring="neg_log_loss", cv=3).fit(X, y)
    for params, score in zip(search.cv_results_["params"], search.cv_results_["mean_test_score"], strict=True):
        leaf = params["stack__forest__min_samples_leaf"]
        how = "without" if params["stack__bayes"] == "drop" else "with   "
        chosen = "  <- chosen" if params == search.best_params_ else ""
        print(f"  forest's leaves of {leaf:>2} rows, {how} bayes: {-score:.4f}{chosen}")
    return search


# %%
# 3. Weights, for those who ask
# -----------------------------


def weighted(X: pd.DataFrame, y: pd.Series) -> tuple[float, float]:
    """The survivors count three times, but for the forest only: it alone has asked for weights.

    What it says of them is how its mean prediction changes; logistic regression's is as it was.
    """
    weights = np.where(y == 1, 3.0, 1.0)
    with config_context(enable_metadata_routing=True):
        asks = RandomForestClassifier(25, min_samples_leaf=3).set_fit_request(sample_weight=True)
        asks_not = LogisticRegression(max_iter=1000).set_fit_request(sample_weight=False)
        final = ConvexClassifier().set_fit_request(sample_weight=False)
        stack = StackingClassifier([("forest", asks), ("logistic", asks_not)], final, cv=FOLDS, random_state=0)
        rows = preparation().fit_transform(X)
        plain = clone(stack).fit(rows, y).oof_.to_frame().mean()
        change = stack.fit(rows, y, sample_weight=weights).oof_.to_frame().mean() - plain
    print(f"  mean probability of surviving: forest {change['forest']:+.3f}, logistic {change['logistic']:+.3f}")
    return change["forest"], change["logistic"]


# %%
# 4. A stack of stacks
# --------------------


def two_levels() -> StackingClassifier:
    """The second level's learners see the first one's predictions; a convex blend weighs them at the top."""
    second = [("logistic", LogisticRegression()), ("forest", RandomForestClassifier(25, min_samples_leaf=10))]
    return StackingClassifier(second, ConvexClassifier(), cv=FOLDS)


# %%
# 5. From the first to the last
# -----------------------------


def main() -> None:
    argparse.ArgumentParser(description="A stack in pipelines, searches and metadata routing.").parse_args()
    X, y = load_titanic(return_X_y=True)
    X = X[NUMBERS + CLASSES]
    X_train, X_new, y_train, y_new = train_test_split(X, y, test_size=400, stratify=y, random_state=0)

    print(f"A pipeline, fitted to {len(X_train)} passengers:\n")
    model = make_model().fit(X_train, y_train)
    show_names(model)
    print("\nCross-validated, preparation and all:\n")
    one_level = cross_validated(make_model(), X_train, y_train)

    print("\nTuned, a learner's parameter and its presence:\n")
    search = tuned(make_model(), X_train, y_train)
    print("\nThe survivors count three times, for the forest alone:\n")
    forest, logistic = weighted(X_train, y_train)
    print("\nTwo levels, cross-validated:\n")
    levels = cross_validated(make_model(final_estimator=two_levels()), X_train, y_train)

    print("\nWhat the tuned pipeline lives on: accuracy lost on 400 new passengers when a column is shuffled\n")
    found = permutation_importance(search.best_estimator_, X_new, y_new, n_repeats=3, random_state=0)
    importance = pd.Series(found.importances_mean, index=X_new.columns).sort_values(ascending=False)
    for name, lost in importance.items():
        print(f"  {name:<10}{lost:+.3f}")

    again = pickle.loads(pickle.dumps(search.best_estimator_))
    same = np.array_equal(again.predict_proba(X_new), search.best_estimator_.predict_proba(X_new))
    refitted = clone(make_model()).fit(X_train, y_train)
    equal = np.array_equal(refitted.predict_proba(X_new), model.predict_proba(X_new))

    print("\nLearned:\n")
    print(f"- A pickled pipeline predicts {'the same bits' if same else 'SOMETHING ELSE'}; so does a clone")
    print(f"  that is fitted anew, since every seed follows from one random_state: {'yes' if equal else 'NO'}.")
    asked = "and for nobody else" if logistic == 0 and forest != 0 else "but NOT only there"
    print(f"- Weights count where they were asked for, {asked}.")
    better = "better" if levels < one_level else "no better"
    print(f"- The second level makes it {better} here: {levels:.3f} against {one_level:.3f}.")
    print(f"- Most of what the pipeline knows is in {importance.index[0]!r}.")


if __name__ == "__main__":
    main()
