"""Predictions that others made
============================

Three people predict who survived the Titanic. Each fits a learner of his own, in a program of his own, and sends two
files: predictions of the training passengers, each by a model that did not see him, and predictions of the new ones.
No model comes along, and the files are as files are: rows in any order, commas or semicolons, one column or two.

    the files        what they look like, and what is matched and checked before anything is blended
    the blend        the same leaderboard, weights and verdict as of a stack of one's own; then the new passengers
    the command      the same without Python: stackkit blend oof_*.csv --target survived --test test_*.csv
    one who cheats   a fourth file, of predictions by a model that saw the rows: what it claims, and what is true

Run it (offline, about half a minute on two cores)::

    python examples/13_blend_files.py
"""

from __future__ import annotations

import argparse
import subprocess
import sys
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np
import pandas as pd
from sklearn.base import clone
from sklearn.compose import make_column_transformer
from sklearn.ensemble import HistGradientBoostingClassifier, RandomForestClassifier
from sklearn.impute import SimpleImputer
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import log_loss
from sklearn.model_selection import StratifiedKFold, train_test_split
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import OneHotEncoder, StandardScaler

from stackkit import OutOfFold, StackingClassifier
from stackkit.datasets import load_titanic
from stackkit.evaluation import nested_scores

NUMBERS, CLASSES = ["age", "fare", "sibsp", "parch"], ["pclass", "sex", "embarked"]

# %%
# 1. Who predicts
# ---------------


def learner_of(classifier: object) -> object:
    numbers = make_pipeline(SimpleImputer(strategy="median"), StandardScaler())
    encode = OneHotEncoder(handle_unknown="ignore", sparse_output=False)
    return make_pipeline(make_column_transformer((numbers, NUMBERS), (encode, CLASSES)), classifier)


PEOPLE = {
    "logistic": LogisticRegression(max_iter=1000),
    "forest": RandomForestClassifier(200, min_samples_leaf=3, random_state=0),
    "boosting": HistGradientBoostingClassifier(max_iter=60, max_depth=3, random_state=0),
}


def predicted(learner: object, X: pd.DataFrame, y: np.ndarray, new: pd.DataFrame, folds: np.ndarray) -> tuple:
    """Each training row by the model of the other folds; new rows by the mean of these models."""
    out_of_fold, of_new = np.empty(len(X)), []
    for fold in np.unique(folds):
        fitted = clone(learner).fit(X[folds != fold], y[folds != fold])
        out_of_fold[folds == fold] = fitted.predict_proba(X[folds == fold])[:, 1]
        of_new.append(fitted.predict_proba(new)[:, 1])
    return out_of_fold, np.mean(of_new, axis=0)


def write_files(folder: Path, name: str, train: pd.DataFrame, test: pd.DataFrame) -> None:
    """Everybody writes files as he is used to."""
    how = {"index": False}
    if name == "forest":  # sorted by what he looked at last, in a country of decimal commas
        train, how = train.sort_values("p"), how | {"sep": ";", "decimal": ","}
    if name == "boosting":  # a column for each class, three decimals
        train, test = (
            f.assign(p_0=(1 - f["p"]).round(3), p_1=f["p"].round(3)).drop(columns="p") for f in (train, test)
        )
    train.to_csv(folder / f"oof_{name}.csv", **how)
    test.to_csv(folder / f"test_{name}.csv", **how)


# %%
# 2. From files to a blend
# ------------------------


def read_frames(folder: Path, names: list[str]) -> tuple[dict, dict, pd.Series, pd.Series]:
    """Indexed by the passengers' numbers: by these the rows are matched, in whatever order they stand."""
    how = {"forest": {"sep": ";", "decimal": ","}}
    train, test = (
        {name: pd.read_csv(folder / f"{kind}_{name}.csv", index_col="id", **how.get(name, {})) for name in names}
        for kind in ("oof", "test")
    )
    known = train[names[0]]
    predictions = {name: frame.drop(columns=["survived", "fold"]) for name, frame in train.items()}
    return predictions, test, known["survived"], known["fold"]


def show_files(folder: Path) -> None:
    for path in sorted(folder.glob("*.csv")):
        first, second = path.read_text(encoding="utf8").splitlines()[:2]
        print(f"  {path.name:<20}{first:<28}{second}")


def run_command(folder: Path) -> tuple[pd.Series, list[str]]:
    """Blend the same files on the command line; the probabilities that it writes, and the first lines that it says."""
    oof, test = (sorted(path.name for path in folder.glob(f"{kind}_*.csv")) for kind in ("oof", "test"))
    words = ["blend", *oof, "--target", "survived", "--id", "id", "--folds", "fold", "--test", *test]
    words += ["--output", "submission.csv", "--probabilities", "positive"]
    command = [sys.executable, "-m", "stackkit", *words]
    done = subprocess.run(command, cwd=folder, capture_output=True, text=True, check=True)  # noqa: S603 - our own words
    written = pd.read_csv(folder / "submission.csv", index_col="id")["survived"]
    (folder / "submission.csv").unlink()
    return written, done.stdout.splitlines()


def main() -> None:
    argparse.ArgumentParser(description="Blend predictions that others made, in files.").parse_args()
    X, y = load_titanic(return_X_y=True)
    y = y.to_numpy().astype(int)
    rows, held_out = train_test_split(np.arange(len(X)), test_size=418, stratify=y, random_state=0)
    folds = np.empty(len(rows), dtype=int)
    for fold, (_, test) in enumerate(StratifiedKFold(5, shuffle=True, random_state=0).split(rows, y[rows])):
        folds[test] = fold
    known = pd.DataFrame({"id": rows, "survived": y[rows], "fold": folds})

    with TemporaryDirectory() as name:
        folder = Path(name)
        for person, classifier in PEOPLE.items():
            made = predicted(learner_of(classifier), X.iloc[rows], y[rows], X.iloc[held_out], folds)
            write_files(folder, person, known.assign(p=made[0].round(4)), pd.DataFrame({"id": held_out, "p": made[1]}))
        print("Six files, and the first row of each:\n")
        show_files(folder)
        train, test, truth, fold = read_frames(folder, list(PEOPLE))
        oof = OutOfFold.from_frames(train, truth, test, folds=fold)
        model = StackingClassifier.from_oof(oof)
        submission, said = run_command(folder)

    print("\nBlended, out of fold:\n")
    print(model.leaderboard().drop(columns="fit_seconds").round(3).to_string())
    print(f"\n  {oof.caveat}\n")

    now = pd.Series(y, name="survived").loc[oof.test_index]
    given = model.predict_proba(oof.test_frame())[:, 1]
    new = oof.test_frame()
    best = model.leaderboard().index[1]
    print("On the 418 passengers held out, log-loss:\n")
    print(f"  {'the blend':<24}{log_loss(now, given):.3f}")
    print(f"  {'mean of all':<24}{log_loss(now, new.mean(axis=1)):.3f}")
    print(f"  {f'best learner {best}':<24}{log_loss(now, new[best]):.3f}")

    print("\nThe command line says of the same files:\n")
    print("\n".join(f"  {line}" for line in said[:6]))
    apart = np.abs(submission.loc[oof.test_index].to_numpy() - given).max()

    # A model that saw the rows which it predicts: it knows them by heart.
    heart = learner_of(RandomForestClassifier(200, random_state=0)).fit(X.iloc[rows], y[rows])
    train["by_heart"] = pd.Series(heart.predict_proba(X.iloc[rows])[:, 1], rows)
    test["by_heart"] = pd.Series(heart.predict_proba(X.iloc[held_out])[:, 1], held_out)
    fooled_oof = OutOfFold.from_frames(train, truth, test)
    fooled = StackingClassifier.from_oof(fooled_oof)
    claimed = fooled.leaderboard().loc["stack", "log_loss"]
    true = log_loss(now.loc[fooled_oof.test_index], fooled.predict_proba(fooled_oof.test_frame()))
    print("\nWith a fourth file, of a forest that saw the rows which it predicts, log-loss:\n")
    print(f"  {'claimed with a leak':<24}{claimed:.3f}")
    print(f"  {'with a leak':<24}{true:.3f}")
    print(f"\n  {fooled_oof.caveat}")

    verdict = nested_scores(model, oof.to_frame(), truth, cv=model.cv).verdict()
    print("\nLearned:\n")
    print(f"- The command and Python give the same probabilities, but for {apart:.0e}.")
    print(f"- {verdict}")
    print(f"- A file with a leak claims {claimed:.2f} and is worth {true:.2f}: no check of files can see that.")


if __name__ == "__main__":
    main()
