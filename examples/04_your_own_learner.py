"""A learner of your own
=====================

A stack lives on learners that err in different ways, and the one that knows your data is often the one you write
yourself. Nothing is asked of it but scikit-learn's contract: settings in `__init__`, what is learned in `fit`, answers
from `predict_proba` (or `predict`). Five ways, on scikit-learn's small handwritten digits::

    a class        the nearest class mean, shrunken: a dozen lines; scikit-learn's own checks say whether it is right
    a function     features that a function computes, wrapped by FunctionTransformer, in front of any classifier
    preparation    what a learner needs of its input belongs in its own Pipeline, where each fold fits it anew
    all at once    `fit_folds` trains the models of all folds in one call: for a learner whose folds share work
    one that fails with `on_error="drop"` it leaves, the others are stacked, and it is said why

Run it (offline, about fifteen seconds on two cores)::

    python examples/04_your_own_learner.py
"""

from __future__ import annotations

import argparse
import warnings
from collections.abc import Sequence
from copy import copy
from time import perf_counter

import numpy as np
import pandas as pd
from scipy.linalg import solve
from scipy.special import softmax
from sklearn.base import BaseEstimator, ClassifierMixin, clone
from sklearn.datasets import load_digits
from sklearn.decomposition import PCA
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import StratifiedKFold
from sklearn.neighbors import KNeighborsClassifier
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import FunctionTransformer, StandardScaler
from sklearn.utils import check_random_state
from sklearn.utils.estimator_checks import check_estimator
from sklearn.utils.multiclass import check_classification_targets
from sklearn.utils.validation import check_is_fitted, validate_data

from stackkit import StackingClassifier, cross_fit
from stackkit.evaluation import nested_scores

# %%
# 1. A class
# ----------
#
# The rules: `__init__` stores its arguments and does nothing else; `fit` checks its input, sets what ends in an
# underscore and returns self. `classes_` tells whose probability each column is.


class ShrunkenMeans(ClassifierMixin, BaseEstimator):
    """The nearest class mean wins; each mean is drawn towards the mean of all, for few rows make it too extreme."""

    def __init__(self, shrinkage: float = 0.1) -> None:
        self.shrinkage = shrinkage

    def fit(self, X: np.ndarray, y: np.ndarray) -> ShrunkenMeans:
        X, y = validate_data(self, X, y)
        check_classification_targets(y)
        self.classes_ = np.unique(y)
        means = np.stack([X[y == label].mean(axis=0) for label in self.classes_])
        self.means_ = (1 - self.shrinkage) * means + self.shrinkage * X.mean(axis=0)
        return self

    def predict_proba(self, X: np.ndarray) -> np.ndarray:
        check_is_fitted(self)
        X = validate_data(self, X, reset=False)
        distances = ((X[:, np.newaxis] - self.means_) ** 2).sum(axis=2)
        return softmax(-distances / 2, axis=1)

    def predict(self, X: np.ndarray) -> np.ndarray:
        best = self.predict_proba(X).argmax(axis=1)
        return self.classes_[best]


# %%
# 2. A function
# -------------


def strokes(X: np.ndarray) -> np.ndarray:
    """Ink by row and by column, and how far the picture is from its mirror images: of each row by itself."""
    images = X.reshape(-1, 8, 8)
    ink = [images.sum(axis=1), images.sum(axis=2)]
    mirrored = [np.abs(images - images[:, ::-1]).sum(axis=1), np.abs(images - images[:, :, ::-1]).sum(axis=2)]
    return np.hstack([*ink, *mirrored])


# %%
# 3. All folds at once
# --------------------


class Waves(ClassifierMixin, BaseEstimator):
    """A small kernel classifier: least squares on random waves (Rahimi and Recht 2007), which imitate an RBF kernel."""

    def __init__(
        self, n_waves: int = 800, gamma: float = 0.15, alpha: float = 1e-3, random_state: int | None = None
    ) -> None:
        self.n_waves = n_waves
        self.gamma = gamma
        self.alpha = alpha
        self.random_state = random_state

    def fit(self, X: np.ndarray, y: np.ndarray) -> Waves:
        X, y = validate_data(self, X, y)
        check_classification_targets(y)
        classes, codes = np.unique(y, return_inverse=True)
        waves, target = self.draw().waves(X), np.eye(len(classes))[codes]
        return self.solved(waves.T @ waves, waves.T @ target, classes)

    def draw(self) -> Waves:
        """Waves depend on the seed and the number of columns, on no row: all folds may have the same."""
        random = check_random_state(self.random_state)
        self.directions_ = np.sqrt(2 * self.gamma) * random.normal(size=(self.n_features_in_, self.n_waves))
        self.phases_ = random.uniform(0, 2 * np.pi, self.n_waves)
        return self

    def waves(self, X: np.ndarray) -> np.ndarray:
        return np.sqrt(2 / self.n_waves) * np.cos(X @ self.directions_ + self.phases_)

    def solved(self, gram: np.ndarray, moments: np.ndarray, classes: np.ndarray) -> Waves:
        self.classes_ = classes
        self.coef_ = solve(gram + self.alpha * np.eye(self.n_waves), moments, assume_a="pos")
        return self

    def predict_proba(self, X: np.ndarray) -> np.ndarray:
        check_is_fitted(self)
        shares = np.clip(self.waves(validate_data(self, X, reset=False)) @ self.coef_, 1e-3, None)
        return shares / shares.sum(axis=1, keepdims=True)

    def predict(self, X: np.ndarray) -> np.ndarray:
        best = self.predict_proba(X).argmax(axis=1)
        return self.classes_[best]


class WavesAtOnce(Waves):
    """The same learner with `fit_folds`, the one method that the stack asks for beyond scikit-learn's.

    The costly part of a fit is a sum over its rows, and the folds' sums differ little: the sum over all rows is taken
    once, and each fold takes off the rows that it must not see. They are gone from it: nothing leaks.
    """

    def fit_folds(self, X: np.ndarray, y: np.ndarray, folds: Sequence[np.ndarray]) -> list[WavesAtOnce]:
        """Return one fitted estimator a fold; the k-th may learn from X[folds[k]] and nothing else."""
        shared = clone(self)
        X, y = validate_data(shared, X, y)
        classes, codes = np.unique(y, return_inverse=True)
        waves, target = shared.draw().waves(X), np.eye(len(classes))[codes]
        gram, moments = waves.T @ waves, waves.T @ target
        fitted = []
        for rows in folds:
            out = np.setdiff1d(np.arange(len(X)), rows)
            assert len(out) + len(rows) == len(X), "a fold that has a row twice"  # none of scikit-learn's K-folds has
            seen = np.unique(codes[rows])  # a class that the fold lacks has no column
            own_moments = (moments - waves[out].T @ target[out])[:, seen]
            fitted.append(copy(shared).solved(gram - waves[out].T @ waves[out], own_moments, classes[seen]))
        return fitted


def show_saving(X: np.ndarray, y: np.ndarray, n_folds: int = 10) -> float:
    """Print what ten folds take one by one and at once, in turns, and how far the two tables are apart."""
    folds = StratifiedKFold(n_folds, shuffle=True, random_state=0)
    seconds: dict[type[Waves], list[float]] = {Waves: [], WavesAtOnce: []}
    tables = {}
    for _ in range(5):
        for kind, times in seconds.items():
            start = perf_counter()
            tables[kind] = cross_fit([("waves", kind(random_state=0))], X, y, cv=folds, n_jobs=1).train
            times.append(perf_counter() - start)
    alone, together = (float(np.median(times)) for times in seconds.values())
    apart = np.abs(tables[Waves] - tables[WavesAtOnce]).max()
    print(f"  one by one   {alone:.2f} s    {n_folds} tasks")
    print(f"  at once      {together:.2f} s    1 task, {alone / together:.1f} times as fast")
    print(f"  largest difference of any probability: {apart:.0e}")
    return alone / together if apart < 1e-6 else 0.0


# %%
# 4. One that fails
# -----------------


class Careless(ShrunkenMeans):
    """Divides each column by its spread, also where there is none: the corners of the pictures are always white."""

    def fit(self, X: np.ndarray, y: np.ndarray) -> Careless:
        with np.errstate(invalid="ignore", divide="ignore"):
            self.spread_ = X.std(axis=0)
            self.classes_ = np.unique(y)
            self.means_ = np.stack([(X[y == label] / self.spread_).mean(axis=0) for label in self.classes_])
        return self

    def predict_proba(self, X: np.ndarray) -> np.ndarray:
        with np.errstate(invalid="ignore", divide="ignore"):
            return softmax(-((X[:, np.newaxis] / self.spread_ - self.means_) ** 2).sum(axis=2), axis=1)


# %%
# 5. Side by side
# ---------------


def make_stack(*, on_error: str) -> StackingClassifier:
    learners = [
        ("means", ShrunkenMeans()),
        ("strokes", make_pipeline(FunctionTransformer(strokes), StandardScaler(), LogisticRegression(max_iter=1000))),
        ("neighbours", make_pipeline(StandardScaler(), PCA(25), KNeighborsClassifier(5))),
        ("waves", WavesAtOnce()),
        ("careless", Careless()),
    ]
    folds = StratifiedKFold(5, shuffle=True)
    return StackingClassifier(learners, cv=folds, on_error=on_error, n_jobs=2, random_state=0)


def show_checks(estimator: BaseEstimator) -> bool:
    """Let scikit-learn check it as it checks its own estimators."""
    found = pd.Series([check["status"] for check in check_estimator(estimator, on_skip=None, on_fail=None)])
    passed, failed, skipped = ((found == status).sum() for status in ("passed", "failed", "skipped"))
    # What was skipped concerns what this machine or this kind of estimator does not have.
    print(f"  {type(estimator).__name__:<15}{passed} passed, {failed} failed, {skipped} skipped")
    return failed == 0


def show_learners(board: pd.DataFrame) -> None:
    print(f"  {'':<12}{'log-loss':>9}{'accuracy':>10}{'fit':>9}{'weight':>8}   status")
    for name, row in board.iterrows():
        weight = f"{row.weight:.2f}" if name != "stack" else ""
        scores = f"{row.log_loss:>9.3f}{row.accuracy:>10.3f}{row.fit_seconds:>7.2f} s{weight:>8}"
        print(f"  {name:<12}{scores if row.status == 'ok' else ' ' * 36}   {row.status}")


def main() -> None:
    argparse.ArgumentParser(description="Learners of your own in a stack.").parse_args()
    digits = load_digits()
    X, y = digits.data / 16, digits.target
    print("Scikit-learn's checks of an estimator, on our own classes:\n")
    right = [show_checks(estimator) for estimator in (ShrunkenMeans(), Waves(n_waves=100), WavesAtOnce(n_waves=100))]

    print(f"\n{len(X)} digits, 10 folds of one learner, which trains one after another or all at once:\n")
    saved = show_saving(X, y)

    print("\nThe stack, with a learner that fails:\n")
    with warnings.catch_warnings(record=True) as heard:
        warnings.simplefilter("always")
        model = make_stack(on_error="drop").fit(X, y)
    show_learners(model.leaderboard(full=True))
    print(f"\n  warning: {str(heard[0].message).splitlines()[0]}")
    print(f"  failures_ has its traceback, beside {', '.join(model.failures_.columns[:-1])}")

    nested = nested_scores(make_stack(on_error="raise").set_params(careless="drop"), X, y, cv=5)

    print("\nLearned:\n")
    print(f"- {sum(right)} of 3 classes of our own are estimators that scikit-learn finds nothing wrong with.")
    print(f"- fit_folds {f'saved: {saved:.1f} times as fast' if saved > 1 else 'did NOT save anything'}, same table.")
    print(f"- {nested.verdict()}")


if __name__ == "__main__":
    main()
