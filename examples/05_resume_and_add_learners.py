"""A fit that is killed, and nothing is lost
=========================================

A stack is a list of tasks, learner times fold, and with `memory=` each task's result goes into a folder as soon as
it is there. It lies there under a key made of all that decides it: the rows, the fold, the learner with its code,
its parameters and its seed, the versions of the libraries. So a fit first looks up what it is about to do::

    killed and started again   only what was not there yet is fitted, and the result has the same bits
    a learner more             its folds are fitted, nobody else's
    another final estimator    no learner is fitted: the table P is there
    a grid search over them    the learners of each of its training parts are fitted once, for all candidates

To believe that, one has to count. Every learner here leaves a line in a file whenever it is fitted, in whichever
process that happens.

Run it (offline, about twenty seconds on two cores)::

    python examples/05_resume_and_add_learners.py
"""

from __future__ import annotations

import argparse
import os
import subprocess
import sys
import tempfile
from pathlib import Path
from time import monotonic, sleep

import numpy as np
import psutil
from sklearn.base import BaseEstimator, ClassifierMixin, clone
from sklearn.datasets import make_classification
from sklearn.ensemble import ExtraTreesClassifier, HistGradientBoostingClassifier, RandomForestClassifier
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import GridSearchCV
from sklearn.naive_bayes import GaussianNB
from sklearn.utils.validation import validate_data

from stackkit import ConvexClassifier, LogPoolClassifier, StackingClassifier, Store, store_info

FOLDER = "LESSON_FOLDER"  # the environment variable that tells all processes where the store and the list of fits are

# %%
# 1. Learners that can be counted
# -------------------------------


class Counted(ClassifierMixin, BaseEstimator):
    """A learner around another one. It writes a line for each fit: workers are other processes, so into a file."""

    def __init__(self, learner: BaseEstimator) -> None:
        self.learner = learner

    def fit(self, X: np.ndarray, y: np.ndarray) -> Counted:
        X, y = validate_data(self, X, y)
        self.learner_ = clone(self.learner).fit(X, y)
        self.classes_ = self.learner_.classes_
        with list_of_fits().open("a", encoding="utf8") as lines:  # at the end of a file, short lines do not mix
            lines.write(f"{type(self.learner).__name__}\n")
        return self

    def predict_proba(self, X: np.ndarray) -> np.ndarray:
        return self.learner_.predict_proba(X)

    def predict(self, X: np.ndarray) -> np.ndarray:
        return self.learner_.predict(X)


def list_of_fits() -> Path:
    return Path(os.environ[FOLDER], "fits.txt")


def count() -> int:
    """Count the fits since the last call of `forget`."""
    return len(list_of_fits().read_text(encoding="utf8").splitlines())


def forget() -> None:
    list_of_fits().write_text("", encoding="utf8")


# %%
# 2. Data, a stack and its store
# ------------------------------


def make_data() -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """1,500 rows to learn from, and 500 new ones."""
    X, y = make_classification(2000, n_features=20, n_informative=8, flip_y=0.1, random_state=0)
    return X[:1500], y[:1500], X[1500:]


def make_stack(
    final_estimator: BaseEstimator | None = None, *, memory: Store | None, more: bool = False
) -> StackingClassifier:
    """Four learners, or five with `more`."""
    learners = [
        ("forest", Counted(RandomForestClassifier(40))),
        ("extra", Counted(ExtraTreesClassifier(40))),
        ("boosting", Counted(HistGradientBoostingClassifier(max_iter=20))),
        ("logistic", Counted(LogisticRegression(max_iter=1000))),
    ]
    if more:
        learners.append(("bayes", Counted(GaussianNB())))
    return StackingClassifier(learners, final_estimator, cv=5, n_jobs=2, memory=memory, random_state=0)


def make_store() -> Store:
    """The folder of the lesson. The key of the seal lies beside it, not with your own keys: both are thrown away."""
    folder = Path(os.environ[FOLDER])
    return Store(folder / "store", key_file=folder / "store.key")


# %%
# 3. Killed
# ---------


def fit_and_kill(enough: int) -> tuple[int, int]:
    """Fit in another process, kill it after so many fits; return how many it had done, and its workers left alive."""
    command = [sys.executable, sys.argv[0], "child"]
    child = subprocess.Popen(command, stderr=subprocess.DEVNULL)  # noqa: S603 -- this very file
    give_up = monotonic() + 120
    while count() < enough and child.poll() is None and monotonic() < give_up:
        sleep(0.005)
    workers = psutil.Process(child.pid).children(recursive=True) if child.poll() is None else []
    child.kill()  # SIGKILL: it cannot clean up, nor say good-bye
    child.wait()
    _, alive = psutil.wait_procs(workers, timeout=30)
    return count(), len(alive)


def show_kill_and_resume() -> bool:
    """Print how many fits were done before and after; return whether nothing was done twice without need."""
    X, y, X_new = make_data()
    before, alive = fit_and_kill(enough=10)
    kept = make_store().info().n_tables
    print(f"  killed (SIGKILL) after {before} fits of 20; workers left behind: {alive}; results in the store: {kept}")
    forget()
    resumed = make_stack(memory=make_store()).fit(X, y)
    after = count()
    print(f"  started again: {after} fits")
    whole = make_stack(memory=None).fit(X, y)
    equal = np.array_equal(whole.predict_proba(X_new), resumed.predict_proba(X_new))
    equal &= np.array_equal(whole.oof_.train, resumed.oof_.train)
    print(f"  table P and predictions of 500 new rows, against a fit without a break: {_bits(equal)}")
    lost = before + after - 20
    print(f"  {before} + {after} = 20 + {lost}: {lost} had finished, but were not yet in the store, when the end came")
    return equal and after == 20 - kept and alive == 0


def _bits(equal: bool) -> str:
    return "equal, bit for bit" if equal else "DIFFERENT"


# %%
# 4. Added, exchanged, searched
# -----------------------------


def fits_of_changes() -> dict[str, int]:
    """What is fitted when something changes, by what it was."""
    X, y, _ = make_data()
    store, fits = make_store(), {}
    for change, model in {
        "nothing changed": make_stack(memory=store),
        "a fifth learner": make_stack(memory=store, more=True),
        "without two of the five": make_stack(memory=store, more=True).set_params(extra="drop", forest="drop"),
        "logistic regression as the final estimator": make_stack(LogisticRegression(), memory=store, more=True),
    }.items():
        forget()
        model.fit(X, y)
        fits[change] = count()
    return fits


def fits_of_search() -> tuple[int, int, GridSearchCV]:
    """Fits with one candidate, then with eight; three training parts, so the first time 3 x 4 learners x 5 folds."""
    X, y, _ = make_data()
    finals = [LogPoolClassifier(), ConvexClassifier()]
    grids = [
        {"final_estimator": finals[:1]},
        [
            {"final_estimator": finals},
            {"final_estimator": [LogisticRegression()], "final_estimator__C": [0.01, 0.03, 0.1, 0.3, 1, 3]},
        ],
    ]
    fits = []
    for grid in grids:
        forget()
        search = GridSearchCV(make_stack(memory=make_store()), grid, scoring="neg_log_loss", cv=3).fit(X, y)
        fits.append(count())
    return fits[0], fits[1], search


# %%
# 5. From the first to the last
# -----------------------------


def main() -> None:
    print("1,500 rows, 4 learners, 5 folds: 20 fits.\n\nA fit that is killed half way:\n")
    forget()
    resumed_well = show_kill_and_resume()

    print("\nLater, with that store, what is fitted again when ...\n")
    fits = fits_of_changes()
    for change, number in fits.items():
        print(f"  {change:<45}{number:>3} fits")

    print("\nA grid search, 3 training parts of 20 fits each:\n")
    first, second, search = fits_of_search()
    print(f"  1 final estimator    {first:>3} fits")
    print(f"  8 final estimators   {second:>3} fits")
    best = search.best_estimator_.final_estimator
    print(f"  the best of them: {best}, log-loss {-search.best_score_:.4f} (chosen by it, so a little optimistic)")

    print(f"\n{store_info(make_store().folder)}".replace(os.environ[FOLDER], "..."))
    as_said = list(fits.values()) == [0, 5, 0, 0] and (first, second) == (60, 0) and resumed_well
    print("\nLearned: " + ("what is in the store is not computed again." if as_said else "NOT all was as said above."))


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description="Kill a fit, start it again, add learners: nothing is done twice.")
    parser.add_argument("role", nargs="?", choices=["child"], help="what the example calls itself with, to be killed")
    if parser.parse_args().role == "child":
        rows, target, _ = make_data()
        make_stack(memory=make_store()).fit(rows, target)
    else:
        with tempfile.TemporaryDirectory() as home:
            os.environ[FOLDER] = home
            main()
