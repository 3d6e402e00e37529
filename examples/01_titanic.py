"""A stack on the passengers of the Titanic
========================================

Seven learners of different kinds each say how likely a passenger was to survive. An eighth, small model, the
meta-learner, learns how far to trust each of the seven. That is stacking, and the one hard question in it is what the
meta-learner may learn from. Not from predictions of passengers whose fate the seven were told: a forest knows those by
heart, and would be trusted for its memory. So every learner is fitted five times, each time without one fifth of the
passengers, and predicts the fifth that it did not see::

    out of fold   Each learner is fitted on 712 or 713 passengers and predicts the other 179 or 178;
                  five times, so that everybody has one prediction:       P1 ... P7, each 891 x 1
    new rows      Each of its five fitted models predicts all the new
                  passengers; the mean of the five:                       p1 ... p7, each 418 x 1
    second level  Side by side they make P, 891 x 7, on which the meta-learner is trained,
                  and p, 418 x 7, from which it predicts.

Run it (offline, about fifteen seconds on two cores), or with the two files of Kaggle's competition
(https://www.kaggle.com/competitions/titanic)::

    python examples/01_titanic.py
    python examples/01_titanic.py --train train.csv --test test.csv --output submission.csv
"""

import argparse
from pathlib import Path

import numpy as np
import pandas as pd
from matplotlib.figure import Figure
from sklearn.base import BaseEstimator, TransformerMixin
from sklearn.metrics import log_loss
from sklearn.model_selection import StratifiedKFold, train_test_split

from stackkit import StackingClassifier, default_learners
from stackkit.datasets import load_titanic
from stackkit.plots import LeaderboardDisplay, WeightsDisplay

# %%
# 1. The passengers
# -----------------
#
# Two sources, one form. What only one of them has (a home town, a passenger number) no learner sees.

COLUMNS = ["name", "sex", "ticket", "cabin", "embarked", "pclass", "age", "sibsp", "parch", "fare"]
Problem = tuple[pd.DataFrame, np.ndarray, pd.DataFrame, np.ndarray | None, pd.Series]  # X, y, new X and y, new IDs


def passenger_list() -> Problem:
    """All 1,309 passengers, cut into as many known and new ones as in Kaggle's competition."""
    X, y = load_titanic(return_X_y=True)
    # The list is sorted by class and name: the cut has to be random, and the same share must survive in both.
    known, new = train_test_split(X.index, train_size=891, test_size=418, stratify=y, random_state=0)
    return X.loc[known, COLUMNS], y[known].to_numpy(), X.loc[new, COLUMNS], y[new].to_numpy(), new + 1


def kaggle_files(train: Path, test: Path) -> Problem:
    """Kaggle's two files: the fate of the 418 in the second one is not told."""
    known, new = (pd.read_csv(path, dtype={"PassengerId": str}).rename(columns=str.lower) for path in (train, test))
    for path, frame, column in ((train, known, "survived"), (test, new, "passengerid")):
        if missing := {column, *COLUMNS} - set(frame):
            raise ValueError(f"{path} has no column {', '.join(sorted(missing))}: is it the right file?")
    return known, known["survived"].to_numpy(), new, None, new["passengerid"]


# %%
# 2. Features
# -----------
#
# What a passenger's own row says may be worked out for everybody at once. What is learned from other rows belongs into
# each learner's pipeline, where every fold fits it anew, on its own training passengers.


def own_features(passengers: pd.DataFrame) -> pd.DataFrame:
    """What a passenger's own row says, and no other row."""
    family = passengers["sibsp"] + passengers["parch"] + 1
    title = passengers["name"].str.extract(r",\s*(?:the )?([^.]+)\.", expand=False)  # "Rothes, the Countess. of (...)"
    return passengers[["pclass", "sex", "age", "fare", "embarked", "ticket"]].assign(
        title=title.replace({"Mlle": "Miss", "Ms": "Miss", "Mme": "Mrs"}),  # stackkit puts the rare ones together
        family=family,
        alone=(family == 1).astype(int),
        deck=passengers["cabin"].str[0],  # "C22 C26": deck C
        # "A/5 21171" and "A.5. 21171": A5. Most tickets are a bare number: no prefix, an empty text.
        ticket_prefix=passengers["ticket"].str.replace(r"\d+$|[^A-Za-z0-9]", "", regex=True).str.upper(),
    )


class TicketParty(TransformerMixin, BaseEstimator):
    """Those who travelled on the same ticket: how many, what each paid, and how many of them survived.

    The strongest feature, and the easiest to get wrong: it is made of fates. Those of the fold's other training rows
    may be told, a passenger's own never: ``fit_transform`` leaves him out of every count, as new passengers are.
    """

    def fit(self, X: pd.DataFrame, y: np.ndarray) -> "TicketParty":
        self.parties_ = self._people(X, y).groupby(X["ticket"]).sum()
        self.rate_ = float(np.mean(y))
        return self

    def transform(self, X: pd.DataFrame) -> pd.DataFrame:
        return self._describe(X, self._parties_of(X))

    def fit_transform(self, X: pd.DataFrame, y: np.ndarray) -> pd.DataFrame:
        return self.fit(X, y)._describe(X, self._parties_of(X) - self._people(X, y))  # noqa: SLF001 -- itself

    def _people(self, X: pd.DataFrame, y: np.ndarray) -> pd.DataFrame:
        """What each passenger adds to his party; women and boys ("Master") were let into the boats first."""
        first = ((X["sex"] == "female") | (X["title"] == "Master")).astype(int)
        return pd.DataFrame({"all": 1, "all_survived": y, "first": first, "first_survived": y * first}, index=X.index)

    def _parties_of(self, X: pd.DataFrame) -> pd.DataFrame:
        return self.parties_.reindex(X["ticket"]).fillna(0).set_index(X.index)

    def _describe(self, X: pd.DataFrame, others: pd.DataFrame) -> pd.DataFrame:
        party = np.maximum(others["all"] + 1, X["family"])
        shares = {  # one imagined companion with the usual chance keeps one fate from settling the matter
            f"{who}_share": ((others[f"{who}_survived"] + self.rate_) / (others[who] + 1)).where(others[who] > 0)
            for who in ("all", "first")
        }
        counts = {"companions": others["all"], "first_in_boats": others["first"], "fare_per_person": X["fare"] / party}
        return X.assign(**counts, **shares).drop(columns="ticket")


# %%
# 3. The stack
# ------------

SEVEN = ["logistic", "knn", "naive_bayes", "random_forest", "extra_trees", "xgboost", "bn_mlp"]


def make_stack() -> StackingClassifier:
    """Seven unlike learners, and on top of them stackkit's default meta-learner: one weight per learner."""
    ready = dict(default_learners("classification", preset="best"))
    learners = {name: ready[name] for name in SEVEN}
    # Neighbours weighed by distance, and trees with leaves of one passenger, are too sure of themselves.
    learners["knn"].set_params(learner__weights="uniform")
    learners["random_forest"].set_params(learner__min_samples_leaf=2)
    for learner in learners.values():
        learner.steps.insert(0, ("party", TicketParty()))  # a default learner is a pipeline: ours goes in front
    folds = StratifiedKFold(5, shuffle=True, random_state=0)  # one set of folds for all learners
    return StackingClassifier(list(learners.items()), cv=folds, n_jobs=2, random_state=0)


# %%
# 4. What came out
# ----------------


def show_held_out(y: np.ndarray, survival: np.ndarray, p: pd.DataFrame, best: str) -> None:
    """Print what the stack is worth on passengers that nobody learned from, beside its rivals."""
    print(f"\nOn the {len(y)} passengers held out, whom nobody learned from:\n")
    print(f"  {'':<32}{'log-loss':>8}{'accuracy':>11}{'right':>8}    the stack is better by")
    rivals = {f"the best learner, {best}": p[best], "the mean of all learners": p.mean(axis=1)}
    told = pd.DataFrame({"the stack": survival, **rivals})
    losses = -np.log(told.sub(1 - y, axis=0).abs().clip(1e-15))  # of the probability of what happened
    for name, probability in told.items():
        gain, right = losses[name] - losses["the stack"], (probability > 0.5) == y
        by = "" if name == "the stack" else f"{gain.mean():>10.3f} (standard error {gain.sem():.3f})"
        print(f"  {name:<32}{log_loss(y, probability):>8.3f}{right.mean():>11.3f}{right.sum():>8}{by}")


def main() -> None:
    parser = argparse.ArgumentParser(description="Train a stack on the passengers of the Titanic.")
    parser.add_argument("--train", type=Path, metavar="CSV", help="Kaggle's train.csv (with --test)")
    parser.add_argument("--test", type=Path, metavar="CSV", help="Kaggle's test.csv (with --train)")
    parser.add_argument("--output", metavar="CSV", help="write PassengerId,Survived here")
    options = parser.parse_args()
    if bool(options.train) != bool(options.test):
        parser.error("--train and --test go together: give both, or neither for the list of all passengers")
    try:
        X, y, X_new, y_new, ids = kaggle_files(options.train, options.test) if options.train else passenger_list()
    except (OSError, ValueError) as error:
        parser.error(str(error))

    X, X_new = own_features(X), own_features(X_new)
    model = make_stack().fit(X, y)
    P, p = model.oof_.to_frame(), pd.DataFrame(model.transform(X_new), columns=SEVEN)
    for m, name in enumerate(SEVEN, start=1):
        print(f"  P{m}  {len(P)} x 1    p{m}  {len(p)} x 1    {name}")
    print(f"  P   {len(P)} x {P.shape[1]}    p   {len(p)} x {p.shape[1]}    all of them, side by side")

    board = model.leaderboard()
    print("\nOut of fold, the best first:\n", board.round(3), *board.attrs["legend"], sep="\n")
    survival = model.predict_proba(X_new)[:, 1]
    if y_new is not None:  # the best is chosen out of fold: choosing it by new passengers would be looking ahead
        show_held_out(y_new, survival, p, board.index.drop("stack")[0])

    left, right = Figure(figsize=(10, 3.6), layout="constrained").subplots(1, 2, width_ratios=[3, 2])
    LeaderboardDisplay.from_estimator(model, ax=left)
    WeightsDisplay.from_estimator(model, ax=right)
    caption = "Left: who predicts passengers well that he did not see. Right: how far the stack trusts each of them."
    left.figure.savefig("titanic.png", dpi=110, metadata={"Description": caption})
    if options.output:
        guesses = pd.DataFrame({"PassengerId": ids, "Survived": (survival > 0.5).astype(int)})
        guesses.to_csv(options.output, index=False)


if __name__ == "__main__":
    main()
