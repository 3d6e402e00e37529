"""Lesson one: a stack on the passengers of the Titanic.

Seven learners of different kinds each say how likely a passenger was to survive. An eighth, small model
learns how far to trust each of the seven. That is stacking, and the one hard question in it is what the
eighth may learn from. Not from answers about passengers whose fate the seven were told: a forest knows
those by heart and would be trusted for its memory. It needs answers like those that new passengers will
get. So every learner is fitted five times, each time without one fifth of the passengers, and answers for
the fifth that it did not see:

    891 passengers to learn from, 418 new ones, 5 folds, 7 learners

    out of fold   Each learner is fitted on 712 or 713 passengers and predicts the other 179 or 178;
                  five times, so that everybody has one prediction:       P1 ... P7, each 891 x 1
    new rows      Each of its five fitted models predicts all the new
                  passengers; the mean of the five:                       p1 ... p7, each 418 x 1
    second level  Side by side they make P, 891 x 7, on which the final estimator is trained,
                  and p, 418 x 7, from which it predicts.

Run it (offline, about fifteen seconds on two cores):

    python examples/01_titanic.py

or with the two files of Kaggle's competition (https://www.kaggle.com/competitions/titanic):

    python examples/01_titanic.py --train train.csv --test test.csv --output submission.csv
"""

from __future__ import annotations

import argparse
import os
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from time import perf_counter

import numpy as np
import pandas as pd
from matplotlib.figure import Figure
from sklearn.base import BaseEstimator, TransformerMixin
from sklearn.model_selection import StratifiedKFold, train_test_split

from stackkit import StackingClassifier, default_learners
from stackkit.datasets import load_titanic

# --- 1. The passengers ------------------------------------------------------------------------------
#
# Two sources, one form. What only one of them has (a home town, a passenger number) no learner sees.

TEXT = ["name", "sex", "ticket", "cabin", "embarked"]
NUMBERS = ["pclass", "age", "sibsp", "parch", "fare"]


@dataclass
class Problem:
    """Passengers to learn from, and new ones; where nobody told us the fate of these, y_new is None."""

    X: pd.DataFrame
    y: np.ndarray
    X_new: pd.DataFrame
    y_new: np.ndarray | None
    ids: pd.Series


def passenger_list(seed: int) -> Problem:
    """All 1,309 passengers, cut into as many known and new ones as in Kaggle's competition."""
    X, y = load_titanic(return_X_y=True)
    # The list is sorted by class and name: the cut has to be random, and the same share must survive in both.
    known, new = train_test_split(X.index, train_size=891, test_size=418, stratify=y, random_state=seed)
    ids = pd.Series(new + 1, name="PassengerId").astype(str)
    X = X[TEXT + NUMBERS]
    return Problem(X.loc[known], y[known].to_numpy(), X.loc[new], y[new].to_numpy(), ids)


def kaggle_files(train: Path, test: Path) -> Problem:
    """Kaggle's files: the fate of the 418 in the second one is not told."""
    known = read_kaggle(train, needed=["survived"])
    if not known["survived"].isin(["0", "1"]).all():
        raise ValueError(f"{train}: Survived must be 0 or 1 in every row")
    new = read_kaggle(test, needed=["passengerid"])
    fate = known["survived"].astype(int).to_numpy()
    return Problem(known[TEXT + NUMBERS], fate, new[TEXT + NUMBERS], None, new["passengerid"])


def read_kaggle(path: Path, needed: list[str]) -> pd.DataFrame:
    """Read everything as text, so that an ID stays as it is written; then make numbers of the numbers."""
    frame = pd.read_csv(path, dtype=str, keep_default_na=False).rename(columns=str.lower)
    missing = [column for column in [*needed, *TEXT, *NUMBERS] if column not in frame]
    if missing:
        raise ValueError(f"{path} has no column {', '.join(missing)}: is it the right file?")
    frame[NUMBERS] = frame[NUMBERS].apply(pd.to_numeric)  # an empty cell becomes NaN
    frame[TEXT] = frame[TEXT].mask(frame[TEXT] == "")
    return frame


# --- 2. Features ------------------------------------------------------------------------------------
#
# Two kinds, and the difference is what honest scores depend on. What a passenger's own row says may be
# worked out for everybody at once. What is learned from other rows belongs inside each learner's
# pipeline, where it is fitted anew in every fold, on that fold's training passengers and nobody else.

TITLES = {"Mlle": "Miss", "Ms": "Miss", "Mme": "Mrs"}  # the rare ones (Dr, Rev, Col) stackkit puts together


def own_features(passengers: pd.DataFrame) -> pd.DataFrame:
    """What a passenger's own row says, and no other row."""
    family = passengers["sibsp"] + passengers["parch"] + 1
    return passengers[["pclass", "sex", "age", "fare", "embarked", "ticket"]].assign(
        # "Rothes, the Countess. of (Lucy ...)": what stands between the comma and the first full stop.
        title=passengers["name"].str.extract(r",\s*(?:the )?([^.]+)\.", expand=False).replace(TITLES),
        family=family,
        alone=(family == 1).astype(int),
        deck=passengers["cabin"].str[0],  # "C22 C26": deck C
        # "A/5 21171" and "A.5. 21171": A5. Most tickets are a bare number: no prefix, an empty text.
        ticket_prefix=passengers["ticket"].str.replace(r"\d+$|[^A-Za-z0-9]", "", regex=True).str.upper(),
    )


class TicketParty(TransformerMixin, BaseEstimator):
    """Those who travelled on the same ticket: how many, what each paid, and how many of them survived.

    The strongest feature of all, and the easiest to get wrong: it is made of fates. Those of the fold's other
    training passengers may be told, a passenger's own never. So ``fit_transform`` leaves the passenger himself out
    of every count, as he is left out of the counts that new passengers get.
    """

    def fit(self, X: pd.DataFrame, y: np.ndarray) -> TicketParty:
        self.parties_ = self._people(X, y).groupby(X["ticket"]).sum()
        self.rate_ = float(np.mean(y))
        return self

    def transform(self, X: pd.DataFrame) -> pd.DataFrame:
        return self._describe(X, self._parties_of(X))

    def fit_transform(self, X: pd.DataFrame, y: np.ndarray) -> pd.DataFrame:
        self.fit(X, y)
        return self._describe(X, self._parties_of(X) - self._people(X, y))

    def _people(self, X: pd.DataFrame, y: np.ndarray) -> pd.DataFrame:
        """What each passenger adds to his party; women and boys ("Master") were let into the boats first."""
        first = ((X["sex"] == "female") | (X["title"] == "Master")).astype(int)
        return pd.DataFrame({"all": 1, "all_survived": y, "first": first, "first_survived": y * first}, index=X.index)

    def _parties_of(self, X: pd.DataFrame) -> pd.DataFrame:
        return self.parties_.reindex(X["ticket"]).fillna(0).set_index(X.index)

    def _describe(self, X: pd.DataFrame, others: pd.DataFrame) -> pd.DataFrame:
        party = np.maximum(others["all"] + 1, X["family"])
        shares = {
            # One imagined companion with the usual chance keeps one fate from settling the matter; nobody: unknown.
            f"{who}_share": ((others[f"{who}_survived"] + self.rate_) / (others[who] + 1)).where(others[who] > 0)
            for who in ("all", "first")
        }
        return X.assign(
            companions=others["all"], first_in_boats=others["first"], fare_per_person=X["fare"] / party, **shares
        ).drop(columns="ticket")


# --- 3. The stack -----------------------------------------------------------------------------------


SEVEN = ["logistic", "knn", "naive_bayes", "random_forest", "extra_trees", "xgboost", "bn_mlp"]


def make_stack(seed: int, n_jobs: int) -> StackingClassifier:
    """Seven unlike learners, and on top of them stackkit's default: a pool with one weight a learner."""
    ready = dict(default_learners("classification", preset="best"))
    learners = {name: ready[name] for name in SEVEN}
    # Weighed by distance, a twin among the neighbours settles the matter, and the probability is 0 or 1.
    # Neighbours that all count the same are less sure of themselves, and that is what log-loss rewards.
    learners["knn"].set_params(learner__weights="uniform")
    # So is a tree with leaves of one passenger: here each leaf has two at least.
    learners["random_forest"].set_params(learner__min_samples_leaf=2)
    for learner in learners.values():
        # A default learner is a pipeline that takes a raw table: it fills gaps, encodes text and scales,
        # as its learner needs. Our own step goes in front.
        learner.steps.insert(0, ("party", TicketParty()))
    # One set of folds for all learners: their columns of P have to be about the same fitting rows.
    folds = StratifiedKFold(5, shuffle=True, random_state=seed)
    return StackingClassifier(list(learners.items()), cv=folds, n_jobs=n_jobs, random_state=seed)


# --- 4. What came out -------------------------------------------------------------------------------


def show_shapes(model: StackingClassifier, p: np.ndarray) -> None:
    """Print every table of the picture in the docstring, with its size."""
    P = model.oof_.train
    rows = [
        (f"P{m}", P[:, block.columns], f"p{m}", p[:, block.columns], name)
        for m, (name, block) in enumerate(model.oof_.blocks.items(), start=1)
    ]
    for known, P_m, new, p_m, name in [*rows, ("P", P, "p", p, "all of them, side by side")]:
        print(f"  {known:<3}{size(P_m):>8}    {new:<3}{size(p_m):>8}    {name}")


def size(table: np.ndarray) -> str:
    return " x ".join(map(str, table.shape))


def show_learners(board: pd.DataFrame) -> None:
    """Print the leaderboard: out-of-fold scores with their spread over folds, cost, weight."""
    print(f"  {'':<15}{'log-loss':>15}{'accuracy':>17}{'fit':>9}{'weight':>9}")
    for name, row in board.iterrows():
        print(
            f"  {name:<15}{row.log_loss:>7.3f} ± {row.log_loss_std:.3f}{row.accuracy:>9.3f} ± {row.accuracy_std:.3f}"
            f"{row.fit_seconds:>7.1f} s" + ("" if name == "stack" else f"{row.weight:>9.2f}")
        )


def row_scores(y: np.ndarray, probability: np.ndarray) -> pd.DataFrame:
    """Score each passenger; the means of the columns are the usual log-loss and accuracy."""
    of_truth = np.where(y == 1, probability, 1 - probability)
    tiny = np.finfo(float).eps  # a probability of 0 for what happened would cost infinitely much
    right = (probability > 0.5) == (y == 1)
    return pd.DataFrame({"log_loss": -np.log(np.clip(of_truth, tiny, 1)), "accuracy": right.astype(float)})


def show_held_out(scores: dict[str, pd.DataFrame]) -> None:
    """Print what each is worth on the passengers that nobody learned from."""
    print(f"  {'':<32}{'log-loss':>8}{'accuracy':>11}{'right':>8}")
    for name, rows in scores.items():
        loss, accuracy, right = rows["log_loss"].mean(), rows["accuracy"].mean(), rows["accuracy"].sum()
        print(f"  {name:<32}{loss:>8.3f}{accuracy:>11.3f}{right:>8.0f}")


def verdict(stack: pd.DataFrame, rival: pd.DataFrame, name: str) -> list[str]:
    """Say whether the stack beat the rival, and whether so few passengers can tell."""
    sentences = []
    for metric, sign in (("log_loss", -1), ("accuracy", 1)):
        gain = sign * (stack[metric] - rival[metric])  # passenger by passenger, which tells most
        mean, error = gain.mean(), gain.std() / np.sqrt(len(gain))
        if mean > 0:
            outcome = f"The stack beat {name} in {metric.replace('_', '-')}, by {mean:.3f}"
        else:
            by = f"it is worse by {-mean:.3f}" if mean < 0 else "they are level"
            outcome = f"The stack did NOT beat {name} in {metric.replace('_', '-')}: {by}"
        chance = ", so it may be chance" if abs(mean) < 2 * error else ""
        sentences.append(f"{outcome} (standard error {error:.3f}{chance}).")
    return sentences


# --- 5. One picture ---------------------------------------------------------------------------------

BLUE, ORANGE, GREY = "#0072B2", "#D55E00", "#6B6B6B"  # told apart by colour-blind people; shapes differ too


def draw(board: pd.DataFrame, held_out: pd.Series | None) -> Figure:
    """Each learner's log-loss and weight; with `held_out` (log-loss by name), also on new passengers."""
    names = list(board.index) if held_out is None else ["stack", *board.index]
    height = pd.Series(range(len(names), 0, -1), index=names)
    figure = Figure(figsize=(8, 0.42 * len(names) + 1.7), layout="constrained")
    left, right = figure.subplots(1, 2, sharey=True, width_ratios=[3, 1])
    spread = {"fmt": "o", "color": BLUE, "capsize": 3, "markersize": 7}
    label = "out of fold: mean and standard deviation over folds"
    left.errorbar(board["log_loss"], height[board.index], xerr=board["log_loss_std"], label=label, **spread)
    if held_out is not None:
        left.axvline(held_out["stack"], color=ORANGE, linewidth=1, linestyle=":", zorder=0)
        label = "passengers held out (dotted: the stack)"
        hollow = {"facecolors": "white", "edgecolors": ORANGE, "linewidths": 1.8, "zorder": 3}
        left.scatter(held_out[names], height, marker="D", s=42, label=label, **hollow)
    left.set_xlabel("log-loss (lower is better)")
    left.set_yticks(height, names)
    right.barh(height[board.index], board["weight"], height=0.55, color=BLUE)
    for name, weight in board["weight"].items():
        right.text(weight + 0.02 * board["weight"].max(), height[name], f"{weight:.2f}", va="center", color=GREY)
    right.set_xlabel("weight in the stack")
    right.set_xlim(0, 1.25 * board["weight"].max() or 1)
    right.set_xticks([])
    for axes in (left, right):
        axes.spines[["top", "right", "left"]].set_visible(False)
        axes.tick_params(axis="y", length=0)
    left.grid(axis="x", color="#E3E3E3")
    left.set_axisbelow(True)
    figure.suptitle("Seven learners on the passengers of the Titanic", x=0.02, ha="left", fontweight="bold")
    figure.legend(loc="outside lower left", ncols=2, frameon=False, fontsize="small")
    return figure


# --- 6. Files ---------------------------------------------------------------------------------------


def write_whole(path: Path, write: Callable[[Path], object]) -> None:
    """Write all of a file or nothing: beside its place first, then moved there in one step."""
    draft = draft_of(path)
    try:
        write(draft)
        draft.replace(path)
    finally:
        draft.unlink(missing_ok=True)


def draft_of(path: Path) -> Path:
    return path.with_name(f".{path.name}.{os.getpid()}")


def check_can_write(path: Path) -> None:
    """Find out before the work, not after it."""
    if path.is_dir():
        raise ValueError(f"cannot write {path}: it is a folder")
    try:
        draft_of(path).touch()
    except OSError as error:
        raise ValueError(f"cannot write {path}: {error.strerror}") from error
    draft_of(path).unlink()


@contextmanager
def plain_errors() -> Iterator[None]:
    """What the user can mend is said in one line, without a traceback."""
    try:
        yield
    except (OSError, ValueError) as error:
        sys.exit(f"error: {str(error).splitlines()[0]}")


# --- 7. From the first to the last ------------------------------------------------------------------


def arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description="Train a stack on the passengers of the Titanic.")
    parser.add_argument("--train", type=Path, metavar="CSV", help="Kaggle's train.csv (with --test)")
    parser.add_argument("--test", type=Path, metavar="CSV", help="Kaggle's test.csv (with --train)")
    parser.add_argument("--output", type=Path, metavar="CSV", help="write PassengerId,Survived here")
    parser.add_argument("--picture", type=Path, default=Path("titanic.png"), help="default: %(default)s")
    parser.add_argument("--n-jobs", type=int, default=2, help="workers, -1 for all cores (default: %(default)s)")
    parser.add_argument("--seed", type=int, default=0, help="default: %(default)s")
    return parser.parse_args()


def load(options: argparse.Namespace) -> Problem:
    """Load what the command line asks for, and find out whether its files can be written."""
    for path in filter(None, (options.picture, options.output)):
        check_can_write(path)
    kinds = sorted(Figure().canvas.get_supported_filetypes())
    if options.picture.suffix[1:].lower() not in kinds:
        raise ValueError(f"--picture must end in one of .{', .'.join(kinds)}; got {options.picture}")
    if options.train and options.test:
        return kaggle_files(options.train, options.test)
    if options.train or options.test:
        raise ValueError("--train and --test go together: give both, or neither for the list of all passengers")
    return passenger_list(options.seed)


def main() -> None:
    options = arguments()
    with plain_errors():
        problem = load(options)
    X, X_new = own_features(problem.X), own_features(problem.X_new)
    print(f"{len(X)} passengers to learn from ({problem.y.mean():.0%} survived), {len(X_new)} new ones.")

    start = perf_counter()
    model = make_stack(options.seed, options.n_jobs).fit(X, problem.y)
    seconds, folds = perf_counter() - start, len(model.oof_.folds)
    p = model.transform(X_new)
    print(f"\n{len(model.oof_.blocks)} learners, each fitted {folds} times, in {seconds:.1f} s:\n")
    show_shapes(model, p)

    board = model.leaderboard(full=True)
    print("\nOut of fold, the best first (mean ± standard deviation over the folds):\n")
    show_learners(board)
    board = board.drop("stack")  # below, by what it is worth on new passengers
    print(
        "\n  The stack's own score is slightly optimistic: its table comes from learners that saw the other rows' fate."
    )
    print("  Weight: how far the stack trusts a learner. What the others say already earns none, be it right.")

    survival = model.predict_proba(X_new)[:, 1]
    held_out = None
    if problem.y_new is None:
        print("\nNo score on the new passengers: the file does not tell their fate. Kaggle scores a submission.")
    else:
        held_out = report_held_out(problem.y_new, survival, pd.DataFrame(p, columns=model.oof_.columns), board)

    picture = draw(board, held_out)
    kind = options.picture.suffix[1:].lower()
    with plain_errors():
        write_whole(options.picture, lambda draft: picture.savefig(draft, format=kind, dpi=120))
        print(f"\nPicture: {options.picture}")
        if options.output:
            guesses = pd.DataFrame({"PassengerId": problem.ids.to_numpy(), "Survived": model.predict(X_new)})
            write_whole(options.output, lambda draft: guesses.to_csv(draft, index=False, lineterminator="\n"))
            print(f"Submission: {options.output}, {len(guesses)} rows, {guesses['Survived'].sum()} survivors")


def report_held_out(y: np.ndarray, survival: np.ndarray, p: pd.DataFrame, board: pd.DataFrame) -> pd.Series:
    """Print the stack's score on the held-out passengers beside its rivals'; return each one's log-loss."""
    best = board.index[0]  # chosen out of fold: choosing by these scores would be looking at the answers
    stack, alone, mean = (row_scores(y, column) for column in (survival, p[best], p.mean(axis=1)))
    print(f"\nOn the {len(y)} passengers held out, whom nobody learned from:\n")
    show_held_out({"the stack": stack, f"the best learner, {best}": alone, "the mean of all learners": mean})
    print()
    for sentence in verdict(stack, alone, best) + verdict(stack, mean, "the mean"):
        print(f"  {sentence}")
    return pd.Series(
        {name: row_scores(y, p[name])["log_loss"].mean() for name in board.index} | {"stack": stack["log_loss"].mean()}
    )


if __name__ == "__main__":
    main()
