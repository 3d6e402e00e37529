"""Rows that belong together, and rows that come later
===================================================

Folds stand for the future: each part is predicted as new rows will be. That only holds where the rows left out are as
new as those will be. Twice they are not::

    groups   Ten rows a patient. In random folds, other rows of the same patient are among the training rows, and who
             recognises the patient knows the diagnosis. New patients nobody recognises. GroupKFold leaves out whole
             patients: `fit(X, y, groups=patients)`.
    time     A day left out at random lies between two known days. The future does not. TimeSeriesSplit always learns
             from the past and predicts what follows; the first days nothing precedes, so they have no prediction.

Such a leak flatters, and it may do more: the final estimator learns from the table, and trusts the learner that cheats
best.
Here the truth is known, for the data are made: 500 new patients, and what came after.

Run it (offline, about half a minute on two cores; with --quick, fewer series)::

    python examples/03_groups_and_time.py
"""

from __future__ import annotations

import argparse
from collections.abc import Iterator

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from sklearn.ensemble import ExtraTreesRegressor, RandomForestClassifier
from sklearn.linear_model import LogisticRegression, RidgeCV
from sklearn.metrics import log_loss, root_mean_squared_error
from sklearn.model_selection import BaseCrossValidator, GroupKFold, KFold, TimeSeriesSplit
from sklearn.neighbors import KNeighborsClassifier, KNeighborsRegressor
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from sklearn.utils import Bunch

from stackkit import StackingClassifier, StackingRegressor
from stackkit.evaluation import nested_scores

# %%
# 1. Patients
# -----------

VISITS = 10
RANDOM = KFold(5, shuffle=True, random_state=0)
BY_PATIENT = GroupKFold(5)


def patients(n_patients: int, seed: int) -> Bunch:
    """Ten visits a patient: 10 measurements that tell a patient from others, and 5 that the illness shifts a little."""
    random = np.random.default_rng(seed)
    ill = np.arange(n_patients) % 2
    person = np.repeat(random.normal(size=(n_patients, 15)), VISITS, axis=0)
    shift = np.repeat(ill, VISITS)[:, np.newaxis] * np.r_[np.zeros(10), np.full(5, 0.8)]
    noise = random.normal(size=person.shape) * np.r_[np.full(10, 0.3), np.full(5, 1.0)]
    groups = np.repeat(np.arange(n_patients), VISITS)
    return Bunch(X=person + shift + noise, y=np.repeat(ill, VISITS), groups=groups)


def diagnosing_stack(cv: BaseCrossValidator) -> StackingClassifier:
    learners = [
        ("logistic", make_pipeline(StandardScaler(), LogisticRegression(C=0.1))),
        ("neighbours", make_pipeline(StandardScaler(), KNeighborsClassifier(15))),
        ("forest", RandomForestClassifier(100, min_samples_leaf=2)),
    ]
    return StackingClassifier(learners, cv=cv, n_jobs=2, random_state=0)


def score_patients(known: Bunch, new: Bunch) -> dict[str, pd.DataFrame]:
    """For each kind of folds: what it claims of the stack and its learners, and what is true of new patients."""
    found = {}
    for title, cv in {"random folds": RANDOM, "whole patients": BY_PATIENT}.items():
        stack = diagnosing_stack(cv)
        # The outer folds are as the inner ones. Random ones would only warn that they do not look at groups.
        groups = known.groups if cv is BY_PATIENT else None
        claimed = nested_scores(stack, known.X, known.y, cv=cv, groups=groups).table["score"]
        stack.fit(known.X, known.y, groups=groups)
        columns = stack.transform(new.X)
        true = {name: log_loss(new.y, columns[:, block.columns]) for name, block in stack.oof_.blocks.items()}
        true["stack"] = log_loss(new.y, stack.predict_proba(new.X))
        weights = dict(zip(stack.oof_.blocks, stack.final_estimator_.weights_, strict=True))
        table = pd.DataFrame({"claimed": claimed, "true": true, "weight": pd.Series(weights)})
        found[title] = table.loc[["stack", *weights]]
    return found


# %%
# 2. Days
# -------

DAYS, FUTURE = 600, 100
SHUFFLED = KFold(5, shuffle=True, random_state=0)
FORWARD = TimeSeriesSplit(5)


def series(seed: int) -> Bunch:
    """Sales by day: season, weather, and a mood of the market that lasts for weeks and returns to nothing."""
    random = np.random.default_rng(seed)
    day = np.arange(DAYS + FUTURE)
    weather, mood = random.normal(size=len(day)), np.zeros(len(day))
    for today in day[1:]:
        mood[today] = 0.97 * mood[today - 1] + random.normal()
    angle = 2 * np.pi * day / 100
    sales = 50 + 3 * np.sin(angle) + 2 * weather + mood + random.normal(size=len(day))
    X = np.column_stack([day, np.sin(angle), np.cos(angle), weather])
    return Bunch(X=X[:DAYS], y=sales[:DAYS], X_new=X[DAYS:], y_new=sales[DAYS:])


def forecasting_stack(cv: BaseCrossValidator) -> StackingRegressor:
    learners = [
        ("ridge", make_pipeline(StandardScaler(), RidgeCV(np.logspace(-2, 3, 6)))),
        ("neighbours", make_pipeline(StandardScaler(), KNeighborsRegressor(10))),
        ("trees", ExtraTreesRegressor(50, min_samples_leaf=2)),
    ]
    return StackingRegressor(learners, cv=cv, n_jobs=2, random_state=0)


def score_series(n_series: int) -> tuple[dict[str, pd.DataFrame], int]:
    """The same for days, as means over several series; and how many first days no fold predicts."""
    found: dict[str, list[pd.DataFrame]] = {"random days": [], "forward in time": []}
    uncovered = 0
    for seed in range(n_series):
        data = series(seed)
        for title, cv in zip(found, (SHUFFLED, FORWARD), strict=True):
            stack = forecasting_stack(cv).fit(data.X, data.y)
            uncovered = max(uncovered, int((~stack.oof_.covered).sum()))
            claimed = nested_scores(stack, data.X, data.y, cv=cv).table["score"]
            columns = stack.transform(data.X_new)
            true = {
                name: root_mean_squared_error(data.y_new, columns[:, block.columns])
                for name, block in stack.oof_.blocks.items()
            }
            true["stack"] = root_mean_squared_error(data.y_new, stack.predict(data.X_new))
            weights = dict(zip(stack.oof_.blocks, stack.final_estimator_.weights_, strict=True))
            table = pd.DataFrame({"claimed": claimed, "true": true, "weight": pd.Series(weights)})
            found[title].append(table.loc[["stack", *weights]])
    return {title: sum(tables[1:], start=tables[0]) / n_series for title, tables in found.items()}, uncovered


# %%
# 3. What was claimed, and what is true
# -------------------------------------


def show(found: dict[str, pd.DataFrame], metric: str) -> None:
    names = found[next(iter(found))].index
    print(f"  {metric:<12}" + "".join(f"{title:>32}" for title in found))
    print(" " * 14 + f"{'claimed':>14}{'true':>9}{'weight':>9}" * len(found))
    for name in names:
        rows = [table.loc[name] for table in found.values()]
        cells = [
            f"{row.claimed:>14.3f}{row.true:>9.3f}" + (" " * 9 if np.isnan(row.weight) else f"{row.weight:>9.2f}")
            for row in rows
        ]
        print(f"  {name:<12}" + "".join(cells).rstrip())


def findings(found: dict[str, pd.DataFrame], unit: str) -> Iterator[str]:
    (wrong, leaky), (right, honest) = found.items()
    for title, table in found.items():
        claimed, true = table.loc["stack", ["claimed", "true"]]
        way = "flatters" if claimed < true else "does not flatter"
        by = claimed / true - 1
        yield f"{title}: {claimed:.2f} was claimed for the stack, {true:.2f} is true: it {way} ({by:+.0%})."
    ours, theirs = honest.loc["stack", "true"], leaky.loc["stack", "true"]
    better = "better" if ours < theirs else "NOT better"
    trusted, other = honest["weight"].idxmax(), leaky["weight"].idxmax()
    yield (
        f"Trained on the table of '{right}' the stack is {better} in truth, {unit} {ours:.2f} against {theirs:.2f}: it "
        f"trusts {trusted} most, on that of '{wrong}' {'too' if other == trusted else other}."
    )


# %%
# 4. One picture
# --------------

BLUE, ORANGE = "#0072B2", "#D55E00"  # told apart by colour-blind people; shapes differ too


CAPTION = (
    "The further a diamond lies to the right of its dot, the more the folds flatter. Above: random folds; below: folds "
    "that leave out what new rows will be, whole patients or later days."
)


def draw(panels: dict[str, dict[str, pd.DataFrame]]) -> Figure:
    figure = Figure(figsize=(10, 4.7), layout="constrained")
    figure.suptitle("What folds claim, and what is true of new rows", x=0.01, ha="left", fontweight="bold")
    for axes, (title, found) in zip(figure.subplots(1, len(panels)), panels.items(), strict=True):
        _draw_claims(axes, found)
        axes.set_title(title, loc="left")
        axes.set_xlabel(title.split(": ")[1] + " (lower is better)")
    figure.legend(*axes.get_legend_handles_labels(), loc="outside lower left", ncols=2, frameon=False)
    return figure


def _draw_claims(axes: Axes, found: dict[str, pd.DataFrame]) -> None:
    places, labels = [], []
    for block, (title, table) in enumerate(found.items()):
        for row, (name, values) in enumerate(table.iterrows()):
            place = -(block * (len(table) + 1) + row)
            places.append(place)
            labels.append(f"{name}, {title}" if name == "stack" else name)
            axes.plot([values.claimed, values.true], [place, place], color="#BBBBBB", zorder=1)
        at = places[-len(table) :]
        label = ("claimed by cross-validation", "true of new rows") if block == 0 else (None, None)
        axes.scatter(table["claimed"], at, marker="o", s=50, color=BLUE, label=label[0], zorder=2)
        hollow = {"facecolors": "white", "edgecolors": ORANGE, "linewidths": 1.8, "zorder": 3}
        axes.scatter(table["true"], at, marker="D", s=42, label=label[1], **hollow)
    axes.set_yticks(places, labels)
    axes.spines[["top", "right", "left"]].set_visible(False)
    axes.tick_params(axis="y", length=0)
    axes.grid(axis="x", color="#E3E3E3")
    axes.set_axisbelow(True)


# %%
# 5. From the first to the last
# -----------------------------


def main() -> None:
    parser = argparse.ArgumentParser(description="What folds claim when rows belong together or follow each other.")
    parser.add_argument("--quick", action="store_true", help="2 series instead of 10")
    n_series = 2 if parser.parse_args().quick else 10

    known, new = patients(60, seed=0), patients(500, seed=1)
    print(f"Groups: 60 patients, {VISITS} rows each; in truth, 500 new patients.\n")
    groups = score_patients(known, new)
    show(groups, "log-loss")

    print(f"\nTime: {DAYS} days to learn from, the {FUTURE} that follow to be predicted; means of {n_series} series.\n")
    time, uncovered = score_series(n_series)
    show(time, "rmse")
    print(f"\n  The first {uncovered} days have no day before them to learn from: oof_.covered is false there, their")
    print("  rows of P are NaN, and the final estimator learns from the others.")

    print("\nLearned:\n")
    for sentence in (*findings(groups, "log-loss"), *findings(time, "rmse")):
        print(f"- {sentence}")
    draw({"Patients: log-loss": groups, "Sales by day: rmse": time}).savefig(
        "groups_and_time.png", dpi=110, metadata={"Description": CAPTION}
    )
    print("\nPicture: groups_and_time.png")


if __name__ == "__main__":
    main()
