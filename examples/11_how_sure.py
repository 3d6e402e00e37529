"""How sure is a stack, row by row?
================================

A stack keeps the models of all folds, and a table of what they said of rows that they had not seen. That is enough to
tell, without another fit of a learner, how far a prediction may be off::

    intervals    `conformal(model).predict_interval(X, 0.9)`: nine of ten hold the true number, whatever the learners
    by group     a promise on the whole is kept by easy rows at the expense of hard ones; `by=` keeps it in each group
    sets         `predict_set`: the classes that cannot be excluded; several where a row is hard
    time         what comes later is not like what was; `predict_interval_in_time` adapts to what it missed
    doubt        `spread`: how unlike the fold models are, which ranks rows by error, without a promise
    decisions    `tune_threshold` for an F1 score or for costs, `scale_temperature` for probabilities

The data are made, or the passengers of the Titanic, and what is promised is counted on rows held out.

Run it (offline, about half a minute on two cores)::

    python examples/11_how_sure.py
"""

from __future__ import annotations

import argparse
import warnings
from collections.abc import Iterator

import numpy as np
from matplotlib.figure import Figure
from scipy.stats import spearmanr
from sklearn.compose import make_column_transformer
from sklearn.ensemble import ExtraTreesRegressor, RandomForestClassifier
from sklearn.impute import SimpleImputer
from sklearn.linear_model import LogisticRegression, RidgeCV
from sklearn.metrics import log_loss
from sklearn.model_selection import TimeSeriesSplit, train_test_split
from sklearn.neighbors import KNeighborsClassifier, KNeighborsRegressor
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import OneHotEncoder, StandardScaler
from sklearn.utils import Bunch

from stackkit import StackingClassifier, StackingRegressor
from stackkit.datasets import load_titanic
from stackkit.uncertainty import conformal, scale_temperature, spread, tune_threshold

CONFIDENCE = 0.9

# %%
# 1. Numbers: prices of flats in the old town and outside
# -------------------------------------------------------


def flats(n: int, seed: int) -> Bunch:
    """Outside, a price follows from size and floor; in the old town, much of it is taste."""
    random = np.random.default_rng(seed)
    size, floor, old = random.uniform(20, 120, n), random.integers(0, 6, n), random.random(n) < 0.2
    price = 3 * size + 5 * floor + 100 * old + np.where(old, 60, 12) * random.normal(size=n)
    return Bunch(X=np.column_stack([size, floor, old]), y=price, town=np.where(old, "old town", "outside"))


def pricing_stack(**params: object) -> StackingRegressor:
    learners = [
        ("ridge", make_pipeline(StandardScaler(), RidgeCV(np.logspace(-2, 3, 6)))),
        ("neighbours", make_pipeline(StandardScaler(), KNeighborsRegressor(15))),
        ("trees", ExtraTreesRegressor(60, min_samples_leaf=3)),
    ]
    return StackingRegressor(learners, n_jobs=2, random_state=0, **params)


def inside(intervals: np.ndarray, y: np.ndarray) -> np.ndarray:
    return (intervals[:, 0] <= y) & (y <= intervals[:, 1])


def price_flats() -> Iterator[str]:
    known, new = flats(1000, seed=0), flats(4000, seed=1)
    model = pricing_stack().fit(known.X, known.y)
    ways = {
        "one promise": conformal(model).predict_interval(new.X, CONFIDENCE),
        "by group": conformal(model, by=known.town).predict_interval(new.X, CONFIDENCE, by=new.town),
    }
    print(f"  {'':<14}{'all flats':>20}{'old town':>20}{'outside':>20}")
    kept = {}
    for way, intervals in ways.items():
        cells = []
        for here in (np.full(len(new.y), True), new.town == "old town", new.town == "outside"):
            share, width = inside(intervals, new.y)[here].mean(), np.diff(intervals)[here].mean()
            cells.append(f"{share:>10.1%} in {width:>6.0f}")
            kept[way] = min(share, kept.get(way, 1))
        print(f"  {way:<14}" + "".join(f"{cell:>20}" for cell in cells))
    doubt, error = spread(model, new.X), np.abs(new.y - model.predict(new.X))
    rank = spearmanr(doubt, error)[0]
    surest = doubt.argsort()[: len(doubt) // 4]
    least = doubt.argsort()[-len(doubt) // 4 :]
    print(f"\n  Spread of the fold models: rank correlation with the error {rank:.2f}; mean error of the quarter with")
    print(f"  the least spread {error[surest].mean():.0f}, with the most {error[least].mean():.0f}.")
    yield (
        f"One promise for all flats holds for {kept['one promise']:.0%} where prices are hard to tell; by group it "
        f"holds for at least {kept['by group']:.0%} everywhere, with wider intervals there, narrower ones elsewhere."
    )
    yield f"The fold models' spread ranks rows by error ({rank:.2f}), for nothing but their predictions."


# %%
# 2. Time
# -------


def follow_prices(axes: object) -> Iterator[str]:
    """After day 600 prices swing ever more, which no model of the first 500 days knows."""
    random = np.random.default_rng(0)
    day = np.arange(1000)
    noise = random.normal(size=1000) * (1 + 3 * np.clip((day - 600) / 200, 0, 1))
    X = np.column_stack([np.sin(day / 20), random.normal(size=1000)])
    y = 5 * X[:, 0] + 2 * X[:, 1] + noise
    with warnings.catch_warnings(record=True) as told:
        warnings.simplefilter("always")
        sure = conformal(pricing_stack(cv=TimeSeriesSplit(5)).fit(X[:500], y[:500]))
    print(f"  It warns: {str(told[-1].message).partition(':')[0]} ...")
    fixed = sure.predict_interval(X[500:], CONFIDENCE)
    adapted = sure.predict_interval_in_time(X[500:], y[500:], CONFIDENCE, step=0.05)
    shares = {}
    for name, intervals in (("as they were", fixed), ("adapting", adapted)):
        shares[name] = inside(intervals, y[500:])
        early, late = shares[name][:100].mean(), shares[name][-200:].mean()
        print(f"  {name:<14}{early:>8.1%} of days 500 to 600, {late:>6.1%} of the last 200")
    draw_time(axes, day[500:], y[500:], fixed, adapted)
    yield (
        f"Where the series becomes wilder, intervals as they were hold for {shares['as they were'][-200:].mean():.0%} "
        f"of the last days, those that adapt for {shares['adapting'][-200:].mean():.0%}."
    )


def draw_time(axes: object, day: np.ndarray, y: np.ndarray, fixed: np.ndarray, adapted: np.ndarray) -> None:
    finite = np.clip(adapted, y.min() - 5, y.max() + 5)
    axes.fill_between(day, *finite.T, color="#56B4E9", alpha=0.5, linewidth=0, label="adapting")
    axes.plot(day, fixed, color="#D55E00", linewidth=0.8, label=["as they were", None])
    axes.plot(day, y, ".", color="black", markersize=2.5, label="true")
    axes.set_title("Intervals of 90 % for days that come one after the other", loc="left")
    axes.set_xlabel("day")
    axes.legend(loc="upper left", ncols=3, frameon=False)


# %%
# 3. Classes, probabilities, decisions
# ------------------------------------

NUMBERS, CLASSES = ["age", "fare", "sibsp", "parch"], ["sex", "embarked"]


def passengers() -> list[np.ndarray]:
    """In which class did they travel? By all else that is known of them."""
    X, _ = load_titanic(return_X_y=True)
    prepare = make_column_transformer(
        (make_pipeline(SimpleImputer(strategy="median"), StandardScaler()), NUMBERS),
        (OneHotEncoder(handle_unknown="ignore", sparse_output=False), CLASSES),
    )
    # Medians and scales of all passengers; no target is in them.
    return train_test_split(prepare.fit_transform(X), X["pclass"].to_numpy(), test_size=0.5, random_state=0)


def guessing_stack() -> StackingClassifier:
    learners = [
        ("logistic", LogisticRegression(max_iter=1000)),
        ("neighbours", KNeighborsClassifier(20)),
        ("forest", RandomForestClassifier(100, min_samples_leaf=2)),
    ]
    return StackingClassifier(learners, n_jobs=2, random_state=0)


def guess_classes(axes: object) -> Iterator[str]:
    X, X_new, y, y_new = passengers()
    model = guessing_stack().fit(X, y)
    place = np.searchsorted(model.classes_, y_new)
    print(f"  {'':<6}{'sets of no, one, two, three classes':>38}{'hold':>9}")
    sizes, held = {}, {}
    for method in ("lac", "aps"):
        found = conformal(model, method=method).predict_set(X_new, CONFIDENCE)
        sizes[method] = np.bincount(found.sum(axis=1), minlength=4) / len(found)
        held[method] = found[np.arange(len(place)), place].mean()
        print(f"  {method:<6}" + f"{'  '.join(f'{share:6.1%}' for share in sizes[method]):>38}{held[method]:>9.1%}")
        axes.plot(range(4), sizes[method], marker="o", label=method)
    axes.set_title("Classes in a set of 90 %", loc="left")
    axes.set_xticks(range(4))
    axes.set_xlabel("classes in the set")
    axes.set_ylabel("share of passengers")
    axes.legend(frameon=False)
    scaled = scale_temperature(model)
    before, after = (log_loss(y_new, each.predict_proba(X_new)) for each in (model, scaled))
    what = "kept" if scaled.kept_ else "left out, for it gains no more than chance would"
    print(f"\n  Temperature: {what}; log-loss {before:.3f}, with it {after:.3f}.")
    yield (
        f"Sets of 90 % hold for {held['lac']:.0%} (LAC) and {held['aps']:.0%} (APS) of new passengers; of these sets "
        f"{sizes['lac'][1]:.0%} and {sizes['aps'][1]:.0%} name one class."
    )


def decide() -> Iterator[str]:
    """Who travelled in the second class? To overlook one costs five times as much as a false alarm."""
    X, X_new, y, y_new = passengers()
    y, y_new = (y == 2).astype(int), (y_new == 2).astype(int)
    model = guessing_stack().fit(X, y)
    costs = np.array([[0, 1], [5, 0]])
    tuned = tune_threshold(model, costs=costs)
    spent = {name: costs[y_new, each.predict(X_new)].mean() for name, each in (("0.5", model), ("tuned", tuned))}
    told = f"a passenger costs {spent['tuned']:.3f}, not {spent['0.5']:.3f}"
    print(f"  Threshold {tuned.threshold_:.2f} in place of 0.50: {told}.")
    way = "less" if spent["tuned"] < spent["0.5"] else "NOT less"
    yield f"By a threshold for their costs, decisions cost {way}: {spent['tuned']:.2f} against {spent['0.5']:.2f}."


# %%
# 4. From the first to the last
# -----------------------------


CAPTION = (
    "Left: as prices move away from those of the fit, fixed intervals miss them, and adapting ones follow. Right: most "
    "passengers get a set of one class or two; three where nothing can be excluded."
)


def main() -> None:
    argparse.ArgumentParser(description="Intervals, sets of classes and thresholds of a stack.").parse_args()
    figure = Figure(figsize=(10, 4), layout="constrained")
    of_time, of_sets = figure.subplots(1, 2, width_ratios=[2.2, 1])
    learned = []
    print(f"Numbers: intervals of {CONFIDENCE:.0%}; which share of new flats they hold, and how wide they are.\n")
    learned += price_flats()
    print("\nTime: the same, for days that come after those of the fit.\n")
    learned += follow_prices(of_time)
    print(f"\nClasses: in which class did a passenger travel? Sets of {CONFIDENCE:.0%} for new ones.\n")
    learned += guess_classes(of_sets)
    print("\nDecisions: who travelled in the second class? To overlook one costs 5, a false alarm 1.\n")
    learned += decide()
    print("\nLearned:\n")
    for sentence in learned:
        print(f"- {sentence}")
    figure.suptitle("How sure is a stack?", x=0.01, ha="left", fontweight="bold")
    figure.savefig("how_sure.png", dpi=110, metadata={"Description": CAPTION})
    print("\nPicture: how_sure.png")


if __name__ == "__main__":
    main()
