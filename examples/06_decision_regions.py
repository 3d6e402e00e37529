"""The well-known picture of stacking, and what it shows once one counts
=====================================================================

Every introduction to stacking has it: Iris with two of its four measurements, three learners, and their stack. Four
panels show which regions of the plane each gives to which species; above them stands an accuracy, and the stack's is
the highest. The classic report, three folds, mean (+/- standard deviation over the folds)::

    k-nearest neighbours (k = 1)                             0.91 (+/- 0.01)
    random forest                                            0.91 (+/- 0.06)
    Gaussian naive Bayes                                     0.92 (+/- 0.03)
    their stack, logistic regression as the final estimator  0.95 (+/- 0.03)

Three folds are three numbers, and how 150 flowers fall into them is chance. So this lesson asks 20 times, each time
with other folds, and compares stack and learners on the same flowers. The three learners are scored as they are: with
`refit=True` each is fitted once more on all training rows, and nested evaluation scores these fits beside the stack
that they belong to. Nothing is fitted for it that the stack does not need anyway.

Run it (offline, less than a minute on two cores; with --quick, two rounds and a shorter learning curve)::

    python examples/06_decision_regions.py
"""

from __future__ import annotations

import argparse
from collections.abc import Iterator

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from pandas.api.typing import DataFrameGroupBy, SeriesGroupBy
from sklearn.base import BaseEstimator
from sklearn.datasets import load_iris
from sklearn.ensemble import RandomForestClassifier
from sklearn.inspection import DecisionBoundaryDisplay
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import LearningCurveDisplay, RepeatedStratifiedKFold, StratifiedKFold, cross_val_score
from sklearn.naive_bayes import GaussianNB
from sklearn.neighbors import KNeighborsClassifier

from stackkit import StackingClassifier
from stackkit.evaluation import NestedScores, nested_scores

# %%
# 1. The flowers
# --------------

REPORTED = pd.DataFrame(
    {"accuracy": [0.91, 0.91, 0.92, 0.95], "spread": [0.01, 0.06, 0.03, 0.03]},
    index=["knn", "forest", "bayes", "stack"],
)
PAIRS = {"sepal length and petal length": [0, 2], "sepal width and petal length": [1, 2]}  # both are in use


def flowers() -> tuple[np.ndarray, np.ndarray, list[str], np.ndarray]:
    """Find out which two measurements the report is about: k-NN and Bayes have no chance in them, so they tell."""
    iris = load_iris()
    distance = {}
    for pair, columns in PAIRS.items():
        found = {name: _score(learner, iris.data[:, columns], iris.target) for name, learner in deterministic()}
        scores = "   ".join(f"{name} {score.mean():.2f} (+/- {score.std():.2f})" for name, score in found.items())
        print(f"  {pair:<30} {scores}")
        distance[pair] = sum(
            abs(round(score.mean(), 2) - REPORTED.accuracy[name]) + abs(round(score.std(), 2) - REPORTED.spread[name])
            for name, score in found.items()
        )
    nearest = min(distance, key=lambda pair: distance[pair])
    print(f"\nNearer to the report: {nearest}. These it is from here on.")
    columns = PAIRS[nearest]
    return iris.data[:, columns], iris.target, [iris.feature_names[i] for i in columns], iris.target_names


def _score(learner: BaseEstimator, X: np.ndarray, y: np.ndarray) -> np.ndarray:
    return cross_val_score(learner, X, y, cv=3)


# %%
# 2. Three learners and their stack
# ---------------------------------


def deterministic() -> list[tuple[str, BaseEstimator]]:
    return [("knn", KNeighborsClassifier(1)), ("bayes", GaussianNB())]


def make_stack(n_jobs: int | None = None) -> StackingClassifier:
    """Scikit-learn's defaults, as in the report; but its forest had ten trees then, and has a hundred now."""
    knn, bayes = deterministic()
    learners = [knn, ("forest", RandomForestClassifier()), bayes]
    folds = StratifiedKFold(5, shuffle=True)
    return StackingClassifier(learners, LogisticRegression(), cv=folds, refit=True, n_jobs=n_jobs, random_state=0)


# %%
# 3. Many times three folds
# -------------------------


def evaluate(X: np.ndarray, y: np.ndarray, n_rounds: int) -> NestedScores:
    """Score the stack and its learners on each of three folds, again and again: on flowers that none of them saw."""
    cv = RepeatedStratifiedKFold(n_splits=3, n_repeats=n_rounds, random_state=0)
    return nested_scores(make_stack(n_jobs=2), X, y, cv=cv, scoring="accuracy")


def by_round(scores: pd.Series | pd.DataFrame) -> SeriesGroupBy | DataFrameGroupBy:
    """Put the three folds of a round together."""
    return scores.groupby(np.arange(len(scores)) // 3)


def summary(scores: pd.DataFrame) -> pd.DataFrame:
    """Over the rounds: mean accuracy, range of the rounds' means, and the mean spread over a round's three folds."""
    means, spreads = by_round(scores).mean(), by_round(scores).std(ddof=0)  # ddof as in the report
    columns = {"accuracy": means.mean(), "low": means.min(), "high": means.max(), "spread": spreads.mean()}
    return pd.DataFrame(columns).loc[REPORTED.index]


def show_first(scores: pd.DataFrame) -> None:
    for name in REPORTED.index:
        first = scores[name][:3]
        print(f"  Accuracy: {first.mean():.2f} (+/- {first.std(ddof=0):.2f}) [{name}]")


def show(table: pd.DataFrame) -> None:
    print(f"  {'':<10}{'report':>16}{'rounds, mean':>18}{'lowest to highest':>20}")
    for name, row in table.iterrows():
        report = f"{REPORTED.accuracy[name]:.2f} (+/- {REPORTED.spread[name]:.2f})"
        ours = f"{row.accuracy:.3f} (+/- {row.spread:.2f})"
        print(f"  {name:<10}{report:>16}{ours:>18}{row.low:>12.2f} to {row.high:.2f}")


# %%
# 4. What holds up
# ----------------


def findings(nested: NestedScores, table: pd.DataFrame) -> Iterator[str]:
    """What the report says, and whether the rounds say it too."""
    for name, row in table.iterrows():
        reported, rounded = REPORTED.accuracy[name], 0.005
        if row.low - rounded <= reported <= row.high + rounded:
            yield f"{name}: {reported:.2f} holds up as one of the rounds; their mean is {row.accuracy:.3f}."
        else:
            side = "lower" if row.accuracy < reported else "higher"
            yield f"{name}: {reported:.2f} does NOT hold up: all rounds are {side}; their mean is {row.accuracy:.3f}."
    best = table["accuracy"].drop("stack").idxmax()
    gains = by_round(nested.scores["stack"] - nested.scores[best]).mean().round(6)
    better, level = int((gains > 0).sum()), int((gains == 0).sum())
    yield (
        f"The stack against {best}, the best learner on the whole: better in {better} of {len(gains)} rounds, level in "
        f"{level}, worse in {len(gains) - better - level}; by {gains.mean():+.3f} in the mean."
    )
    yield nested.verdict()
    gain, low, high = nested.differences.loc["best learner", ["gain", "low", "high"]]
    yield (
        f"Over the learner that looked best in each training part the gain is {gain:+.3f} (95 % interval {low:+.3f} to "
        f"{high:+.3f})."
    )
    reported = REPORTED.accuracy["stack"] - REPORTED.accuracy.drop("stack").max()
    if not low <= reported <= high:
        how = "does NOT hold up: it lies outside of that interval"
    elif low > 0:
        how = "holds up"
    else:
        how = "is NOT borne out: the interval has room for it, and for no gain at all"
    yield f"The report's gain of {reported:+.2f} over the best learner {how}."


def ten_trees(X: np.ndarray, y: np.ndarray, n_rounds: int) -> float:
    """Score the forest of the report's time."""
    cv = RepeatedStratifiedKFold(n_splits=3, n_repeats=n_rounds, random_state=0)
    return float(cross_val_score(RandomForestClassifier(10, random_state=0), X, y, cv=cv).mean())


# %%
# 5. One picture
# --------------

# Told apart by colour-blind people; shapes and line styles differ too.
BLUE, ORANGE, GREEN, GREY = "#0072B2", "#D55E00", "#009E73", "#6B6B6B"
SPECIES = [(BLUE, "o"), (ORANGE, "^"), (GREEN, "s")]
TITLES = {"knn": "1 nearest neighbour", "forest": "random forest", "bayes": "naive Bayes", "stack": "their stack"}


CAPTION = (
    "Left: which regions each gives to which species. Right: over many rounds the bars' whiskers overlap, and so do "
    "the bands of the learning curves: the lead that the classic report claims for the stack does not hold up."
)


def draw(
    X: np.ndarray, y: np.ndarray, axes_names: list[str], species: np.ndarray, table: pd.DataFrame, *, n_repeats: int
) -> Figure:
    """Four panels of regions, the accuracies, and the stack's accuracy by the number of training rows."""
    figure = Figure(figsize=(13, 7.9), layout="constrained")
    figure.suptitle("Iris by two of its measurements: three learners and their stack", x=0.01, ha="left", weight="bold")
    panels = figure.subplot_mosaic([["knn", "forest", "bars"], ["bayes", "stack", "curve"]], width_ratios=[4, 4, 5])
    model = make_stack(n_jobs=2).fit(X, y)
    for name in REPORTED.index:
        fitted = model if name == "stack" else model.members_[name][0]
        _draw_regions(panels[name], fitted, X, y, species)
        panels[name].set_title(TITLES[name], loc="left", fontweight="bold" if name == "stack" else "normal")
        panels[name].set(xlabel=axes_names[0], ylabel=axes_names[1])
        panels[name].label_outer()
    _draw_bars(panels["bars"], table)
    _draw_curves(panels["curve"], X, y, n_repeats)
    figure.legend(*panels["knn"].get_legend_handles_labels(), loc="outside lower left", ncols=3, frameon=False)
    return figure


def _draw_regions(axes: Axes, model: BaseEstimator, X: np.ndarray, y: np.ndarray, species: np.ndarray) -> None:
    colours = [colour for colour, _ in SPECIES]
    look = {"response_method": "predict", "plot_method": "pcolormesh", "multiclass_colors": colours, "alpha": 0.25}
    DecisionBoundaryDisplay.from_estimator(model, X, ax=axes, grid_resolution=200, eps=0.4, **look)
    for code, (colour, shape) in enumerate(SPECIES):
        points = X[y == code].T
        axes.scatter(*points, c=colour, marker=shape, s=22, edgecolors="white", linewidths=0.5, label=species[code])


def _draw_bars(axes: Axes, table: pd.DataFrame) -> None:
    places = np.arange(len(table))
    colours = [ORANGE if name == "stack" else BLUE for name in table.index]
    axes.bar(places, table["accuracy"], width=0.6, color=colours, yerr=table["spread"], capsize=4, ecolor="#333333")
    reported = {"marker": "D", "s": 44, "facecolors": "white", "edgecolors": "black", "zorder": 3}
    axes.scatter(places + 0.18, REPORTED["accuracy"], label="the classic report", **reported)
    for place, accuracy in zip(places, table["accuracy"], strict=True):
        axes.text(place - 0.04, accuracy + 0.004, f"{accuracy:.3f}", ha="right", va="bottom")
    axes.set_xticks(places, table.index)
    axes.set(ylim=(0.8, 1), ylabel="accuracy (the axis begins at 0.8)")
    axes.set_title("Mean of all rounds, spread over three folds", loc="left")
    axes.legend(frameon=False, loc="upper left")
    _tidy(axes)


def _draw_curves(axes: Axes, X: np.ndarray, y: np.ndarray, n_repeats: int) -> None:
    """Only scores on rows held out: the stack's score on its own training rows would say nothing."""
    cv = RepeatedStratifiedKFold(n_splits=3, n_repeats=n_repeats, random_state=0)
    curves = {
        "their stack": (make_stack(), {"color": ORANGE, "marker": "o"}),
        "random forest": (RandomForestClassifier(random_state=0), {"color": BLUE, "marker": "s", "linestyle": "--"}),
    }
    sizes = {"train_sizes": [30, 45, 60, 80, 100], "shuffle": True, "random_state": 0}
    for name, (model, look) in curves.items():
        looks = {"line_kw": look, "fill_between_kw": {"color": look["color"], "alpha": 0.12}}
        shown = LearningCurveDisplay.from_estimator(
            model, X, y, ax=axes, cv=cv, score_type="test", n_jobs=2, **sizes, **looks
        )
        shown.lines_[0].set_label(name)
    axes.set(xlabel="training rows", ylabel="accuracy on rows held out")
    axes.set_title(f"Learning curve, and its spread over {3 * n_repeats} splits", loc="left")
    axes.legend(handles=axes.get_lines(), frameon=False, loc="lower right")
    _tidy(axes)


def _tidy(axes: Axes) -> None:
    axes.spines[["top", "right"]].set_visible(False)
    axes.grid(axis="y", color="#E3E3E3")
    axes.set_axisbelow(True)


# %%
# 6. From the first to the last
# -----------------------------


def main() -> None:
    parser = argparse.ArgumentParser(description="The classic picture of stacking, counted 20 times.")
    parser.add_argument("--quick", action="store_true", help="2 rounds instead of 20")
    n_rounds, n_repeats = (2, 1) if parser.parse_args().quick else (20, 2)

    print("150 flowers. The two learners without chance, three unshuffled folds as in the report:\n")
    X, y, axes_names, species = flowers()

    nested = evaluate(X, y, n_rounds)
    table = summary(nested.scores)
    print("\nThe first round, three shuffled folds:\n")
    show_first(nested.scores)
    print(f"\nAll {n_rounds} rounds beside the report, mean (+/- spread over three folds):\n")
    show(table)
    print(f"\n  A forest of ten trees, the default of the report's time, has {ten_trees(X, y, n_rounds):.3f}.")

    print("\nLearned:\n")
    for sentence in findings(nested, table):
        print(f"- {sentence}")
    figure = draw(X, y, axes_names, species, table, n_repeats=n_repeats)
    figure.savefig("decision_regions.png", dpi=110, metadata={"Description": CAPTION})
    print("\nPicture: decision_regions.png")


if __name__ == "__main__":
    main()
