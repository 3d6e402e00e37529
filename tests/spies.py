"""Learners that tell on whoever misuses them. In a module of their own: worker processes import it."""

import os
import time

import numpy as np
from sklearn.base import BaseEstimator, ClassifierMixin, RegressorMixin
from sklearn.naive_bayes import GaussianNB
from threadpoolctl import threadpool_info


def with_row_ids(X):
    """X with the row number as its first column, for Witness."""
    return np.column_stack([np.arange(len(X)), X])


def native_threads():
    """The number of threads that each kind of native library may use here and now."""
    return {lib["user_api"]: lib["num_threads"] for lib in threadpool_info()}


class Witness(ClassifierMixin, BaseEstimator):
    """Predicts 1 for rows that it was fitted on and 0 for others: out-of-fold it must say 0."""

    def fit(self, X, y):
        self.classes_ = np.unique(y)
        self.seen_ = set(np.asarray(X)[:, 0])
        return self

    def predict_proba(self, X):
        seen = np.isin(np.asarray(X)[:, 0], list(self.seen_)).astype(float)
        return np.column_stack([1 - seen, seen])

    def predict(self, X):
        return self.classes_[self.predict_proba(X).argmax(axis=1)]


class Fails(ClassifierMixin, BaseEstimator):
    """Raises in the fit whose training rows include row `on_row` (all folds but one test it)."""

    def __init__(self, without_row=0, error=RuntimeError):
        self.without_row = without_row
        self.error = error

    def fit(self, X, y):
        if self.without_row not in np.asarray(X)[:, 0]:
            raise self.error("boom")
        self.classes_ = np.unique(y)
        return self

    def predict_proba(self, X):
        return np.full((len(X), len(self.classes_)), 1 / len(self.classes_))


class UnpicklableError(Exception):
    """Pickles, but does not come back."""

    def __init__(self, first, second):
        super().__init__(f"{first} {second}")


class Gives(ClassifierMixin, BaseEstimator):
    """Gives the same, possibly absurd, probabilities for every row."""

    def __init__(self, row=(0.5, 0.5)):
        self.row = row

    def fit(self, X, y):
        self.classes_ = np.unique(y)
        return self

    def predict_proba(self, X):
        return np.tile(np.asarray(self.row, dtype=float), (len(X), 1))


class Noisy(ClassifierMixin, BaseEstimator):
    """Random probabilities from its own seed: shows who seeded it."""

    def __init__(self, random_state=None):
        self.random_state = random_state

    def fit(self, X, y):
        self.classes_ = np.unique(y)
        return self

    def predict_proba(self, X):
        p = np.random.default_rng(self.random_state).uniform(size=len(X))
        return np.column_stack([1 - p, p])


class Scribbles(RegressorMixin, BaseEstimator):
    """Works in place, on X and y, as careless learners do."""

    def fit(self, X, y):
        X[:] = 0
        y[:] = 0
        self.fitted_ = True
        return self

    def predict(self, X):
        out = X.sum(axis=1)
        X[:] = -1
        return out


class Weighted(RegressorMixin, BaseEstimator):
    """Predicts the weighted mean of y: shows which weights arrived."""

    def fit(self, X, y, sample_weight=None):
        self.mean_ = np.average(y, weights=sample_weight)
        self.weights_ = sample_weight
        return self

    def predict(self, X):
        return np.full(len(X), self.mean_)


class Together(ClassifierMixin, BaseEstimator):
    """Trains all folds in one call: nearest class mean."""

    def __init__(self, random_state=None):
        self.random_state = random_state

    def fit(self, X, y, sample_weight=None):
        self.weights_ = sample_weight
        self.classes_ = np.unique(y)
        self.means_ = np.stack([X[y == c].mean(axis=0) for c in self.classes_])
        self.together_ = False
        return self

    def fit_folds(self, X, y, folds, sample_weight=None):
        X, fitted = np.asarray(X), []
        for rows in folds:
            weights = None if sample_weight is None else sample_weight[rows]
            model = Together(self.random_state).fit(X[rows], y[rows], weights)
            model.together_ = True
            fitted.append(model)
        return fitted

    def predict_proba(self, X):
        closeness = np.exp(-((np.asarray(X)[:, None] - self.means_) ** 2).mean(axis=2))
        return closeness / closeness.sum(axis=1, keepdims=True)


class Slow(ClassifierMixin, BaseEstimator):
    """Finishes its folds in reverse order; remembers the process and thread limits it ran under."""

    def __init__(self, seconds=0.05):
        self.seconds = seconds

    def fit(self, X, y):
        self.classes_ = np.unique(y)
        self.pid_ = os.getpid()
        self.threads_ = native_threads()
        self.mean_ = X[:, 0].mean()
        time.sleep(self.seconds * (1 + (X[0, 0] == 0)))
        return self

    def predict_proba(self, X):
        self.predicted_with_ = native_threads()
        p = 1 / (1 + np.exp(X[:, 0] - self.mean_))
        return np.column_stack([p, 1 - p])


class StartsThreads(GaussianNB):
    """Remembers the ``n_jobs`` that it had in fit."""

    def __init__(self, n_jobs=None):
        super().__init__()
        self.n_jobs = n_jobs

    def fit(self, X, y):
        self.fitted_with_ = self.n_jobs
        return super().fit(X, y)
