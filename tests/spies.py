"""Learners that tell on whoever misuses them. In a module of their own: worker processes import it."""

import ctypes
import os
import signal
import threading
import time
import warnings
from itertools import count
from pathlib import Path

import numpy as np
from sklearn import get_config
from sklearn.base import BaseEstimator, ClassifierMixin, RegressorMixin
from sklearn.model_selection import check_cv
from sklearn.naive_bayes import GaussianNB
from threadpoolctl import threadpool_info

from stackkit._data.folds import make_folds
from stackkit._data.target import check_target
from stackkit._execution.tasks import Job
from stackkit._members.blocks import make_blocks


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


class Batches(ClassifierMixin, BaseEstimator):
    """Notes how many rows it is asked about at a time."""

    def fit(self, X, y):
        self.classes_, self.sizes_ = np.unique(y), []
        return self

    def predict_proba(self, X):
        self.sizes_.append(len(X))
        return np.full((len(X), len(self.classes_)), 1 / len(self.classes_))


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
    """Remembers the ``n_jobs`` that it had in fit, and how many threads OpenMP might start in fit and in predict."""

    def __init__(self, n_jobs=None):
        super().__init__()
        self.n_jobs = n_jobs

    def fit(self, X, y):
        self.fitted_with_ = self.n_jobs
        self.openmp_ = native_threads()["openmp"]
        return super().fit(X, y)

    def predict_proba(self, X):
        self.predicted_with_ = native_threads()["openmp"]
        return super().predict_proba(X)


def crash(how):
    """What no ``except`` sees."""
    if how == "kill":
        os.kill(os.getpid(), signal.SIGKILL)
    elif how == "segfault":
        ctypes.string_at(0)
    elif how == "exit":
        os._exit(3)


class Troubled(GaussianNB):
    """Notes in a log when a fit begins and ends, and has a trouble in the fits whose training rows lack a row.

    `without_row=None` means in all fits. No trouble once there is the file `cure`; `once` makes it. The trouble
    "lonely" ends as soon as a second process has begun a fit, by the log. `payload` is the size of the fitted model,
    `hunger` what a fit takes besides, in bytes.
    """

    def __init__(
        self,
        label="",
        *,
        log=None,
        seconds=0.0,
        trouble=None,
        without_row=None,
        cure=None,
        once=False,
        payload=0,
        hunger=0,
    ):
        super().__init__()
        self.label = label
        self.log = log
        self.seconds = seconds
        self.trouble = trouble
        self.without_row = without_row
        self.cure = cure
        self.once = once
        self.payload = payload
        self.hunger = hunger

    def fit(self, X, y):
        rows = set(np.asarray(X)[:, 0].astype(int).tolist())
        lacks = next(row for row in count() if row not in rows)
        self._note(lacks, "begins")
        if self.trouble and self.without_row in (None, lacks) and not (self.cure and Path(self.cure).exists()):
            if self.once:
                Path(self.cure).touch()
            self._suffer()
        self.var_smoothing = 1 / sum(self.label.encode())  # so that labels make a difference
        food = np.ones(self.hunger, dtype=np.uint8)
        time.sleep(self.seconds)
        self.cargo_ = np.zeros(self.payload, dtype=np.uint8)
        super().fit(X, y)
        del food
        self._note(lacks, "ends")
        return self

    def _suffer(self):
        if self.trouble == "raise":
            raise RuntimeError("boom")
        if self.trouble in ("hang", "dawdle"):
            time.sleep(3600 if self.trouble == "hang" else 3)
        if self.trouble == "lonely":
            self._await_another()
        else:
            crash(self.trouble)

    def _await_another(self):
        """For a minute after the first fit began, so that all of them give up together."""
        while True:
            noted = [line.split() for line in Path(self.log).read_text().splitlines()]
            if len({pid for *_, pid, _ in noted}) > 1:
                return
            if time.monotonic() > float(noted[0][-1]) + 60:
                raise RuntimeError("no other process has begun a fit in a minute")
            time.sleep(0.05)

    def _note(self, lacks, what):
        if self.log:
            log = os.open(self.log, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o600)
            os.write(log, f"{self.label} {lacks} {what} {os.getpid()} {time.monotonic()}\n".encode())  # a line at once
            os.close(log)


def note_line(log, text="fit"):
    """Several processes may write at once."""
    file = os.open(log, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o600)
    os.write(file, f"{text}\n".encode())
    os.close(file)


class Counted(ClassifierMixin, BaseEstimator):
    """Writes a line into a file for each fit; nearest class mean."""

    def __init__(self, log, label="fit", scale=1.0):
        self.log = log
        self.label = label
        self.scale = scale

    def fit(self, X, y, sample_weight=None):
        note_line(self.log, self.label)
        X = np.asarray(X)
        self.classes_ = np.unique(y)
        weights = np.ones(len(X)) if sample_weight is None else sample_weight
        self.means_ = np.stack([np.average(X[y == c], axis=0, weights=weights[y == c]) for c in self.classes_])
        return self

    def predict_proba(self, X):
        closeness = np.exp(-self.scale * ((np.asarray(X)[:, None] - self.means_) ** 2).mean(axis=2))
        return closeness / closeness.sum(axis=1, keepdims=True)

    def predict(self, X):
        return self.classes_[self.predict_proba(X).argmax(axis=1)]


class CountedDraws(Counted):
    """Its fitted model depends on its seed."""

    def __init__(self, log, label="fit", scale=1.0, random_state=None):
        super().__init__(log, label, scale)
        self.random_state = random_state

    def fit(self, X, y):
        super().fit(X, y)
        self.means_ += np.random.default_rng(self.random_state).normal(scale=0.1, size=self.means_.shape)
        return self


class CountedNumbers(RegressorMixin, BaseEstimator):
    """The same for regression: the mean."""

    def __init__(self, log):
        self.log = log

    def fit(self, X, y):
        note_line(self.log)
        self.mean_ = np.mean(y)
        return self

    def predict(self, X):
        return np.full(len(X), self.mean_) + np.asarray(X)[:, 0]


class CountedTogether(Counted):
    """Trains all folds in one call, a line for it."""

    def fit_folds(self, X, y, folds):
        note_line(self.log, f"{self.label} together")
        return [Counted(os.devnull, scale=self.scale).fit(np.asarray(X)[rows], y[rows]) for rows in folds]


class Holds(GaussianNB):
    """Once fitted it cannot be pickled."""

    def fit(self, X, y):
        self.lock_ = threading.Lock()
        return super().fit(X, y)


class Stubborn:
    """Can be copied, but not pickled."""

    def __repr__(self):  # without its address: tests that are named after it have the same name in each process
        return "Stubborn()"

    def __deepcopy__(self, memo):
        return self

    def __reduce__(self):
        raise TypeError("this one stays")


class HoldsStubborn(GaussianNB):
    """Cannot be pickled even before it is fitted."""

    def __init__(self, part=None):
        super().__init__()
        self.part = part


class Observes(GaussianNB):
    """Remembers in which process and under which settings it was fitted."""

    def fit(self, X, y):
        self.pid_ = os.getpid()
        self.config_ = get_config()
        with warnings.catch_warnings(record=True) as caught:
            warnings.warn("observed", UserWarning, stacklevel=1)
        self.warned_ = len(caught)
        return super().fit(X, y)


class Interrupted(GaussianNB):
    """Ctrl-C comes while it is fitted, and it makes of it what it likes: skorch returns, half-trained."""

    def __init__(self, log, instead="return", at_fit=1):
        super().__init__()
        self.log = log
        self.instead = instead
        self.at_fit = at_fit

    def fit(self, X, y):
        note_line(self.log)
        super().fit(X, y)
        if len(Path(self.log).read_text().splitlines()) != self.at_fit:
            return self
        try:
            signal.raise_signal(signal.SIGINT)
        except KeyboardInterrupt:
            if self.instead == "raise":
                raise RuntimeError("made an error of it") from None
        return self


def job_of(learners, X, y, *, cv=3, method="predict_proba", fit_params=None, **options):
    """What a fit hands to its workers."""
    target = check_target(y, "classification", len(X))
    return Job(
        X,
        target,
        make_folds(check_cv(cv, y, classifier=True), X, y, seed=0),
        make_blocks(learners, [method] * len(learners), target),
        {name: (fit_params or {}).get(name, {}) for name, _ in learners},
        **options,
    )


class NeverBack(GaussianNB):
    """Once fitted it can be pickled, but not unpickled."""

    def __setstate__(self, state):
        if "theta_" in state:
            raise RuntimeError("not coming back")
        super().__setstate__(state)


class Remembers(str):
    """A text that counts its pickles: joblib does not memory-map objects."""

    __slots__ = ()
    pickled = 0

    def __reduce__(self):
        Remembers.pickled += 1
        return str, (str(self),)
