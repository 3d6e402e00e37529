"""Tasks: seeds, threads, what crosses to workers, order of arrival, progress."""

import json
import pickle

import joblib
import numpy as np
import pandas as pd
import pytest
from sklearn.base import BaseEstimator, ClassifierMixin
from sklearn.ensemble import RandomForestClassifier
from sklearn.linear_model import LogisticRegression
from sklearn.naive_bayes import GaussianNB
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from spies import Noisy, Slow, StartsThreads, Together, native_threads
from xgboost import XGBClassifier

from stackkit import StackingModel, cross_fit
from stackkit._tasks import (
    ALL_ROWS,
    _longest_first,
    make_tasks,
    run_tasks,
    seeded,
    single_threaded_blas,
    thread_limits,
    threads_per_task,
)


def _noise(n=60):
    rng = np.random.default_rng(0)
    return rng.normal(size=(n, 3)), rng.integers(0, 2, n)


# --- the list of tasks --------------------------------------------------------------------------------


def test_one_flat_list_all_first_folds_first():
    tasks = make_tasks([("a", GaussianNB()), ("b", GaussianNB())], range(3), entropy=0)
    assert [(task.name, task.folds) for task in tasks] == [(name, (fold,)) for fold in range(3) for name in "ab"]


def test_a_learner_with_fit_folds_is_one_task_but_is_refitted_alone():
    learners = [("together", Together()), ("bayes", GaussianNB())]
    assert [task.folds for task in make_tasks(learners, range(2), 0)] == [(0, 1), (0,), (1,)]
    assert [task.folds for task in make_tasks(learners, [ALL_ROWS], 0)] == [(ALL_ROWS,), (ALL_ROWS,)]


def test_after_the_first_of_each_the_longest_come_first():
    tasks = make_tasks([("quick", GaussianNB()), ("slow", GaussianNB()), ("unknown", GaussianNB())], range(3), 0)
    order = [(task.name, task.folds[0]) for task in _longest_first(tasks, {"quick": 0.1, "slow": 5.0})]
    assert order[:3] == [("quick", 0), ("slow", 0), ("unknown", 0)]
    assert order[3:] == [(name, fold) for name in ("unknown", "slow", "quick") for fold in (1, 2)]


# --- seeds --------------------------------------------------------------------------------------------


def test_seeds_depend_on_root_learner_and_fold():
    def seed(*key):
        return seeded(Noisy(), *key).random_state

    assert seed(0, "a", 0) == seed(0, "a", 0)
    others = {seed(0, "a", 0), seed(1, "a", 0), seed(0, "b", 0), seed(0, "a", 1), seed(0, "a", ALL_ROWS)}
    assert len(others) == 5


def test_nested_open_seeds_are_set_and_the_original_is_not():
    original = make_pipeline(StandardScaler(), RandomForestClassifier())
    learner = seeded(original, 0, "forest", 0)
    assert isinstance(learner[-1].random_state, int)
    assert original[-1].random_state is None


# --- threads ------------------------------------------------------------------------------------------


@pytest.mark.parametrize("n_jobs", [1, 2])
def test_workers_times_threads_stay_within_the_cores(n_jobs):
    oof = cross_fit([Slow()], *_noise(), cv=4, n_jobs=n_jobs)
    for member in oof.members["slow"]:
        assert member.threads_["blas"] == 1
        if n_jobs > 1:
            assert n_jobs * member.threads_["openmp"] <= max(n_jobs, joblib.cpu_count())


def test_limits_are_lifted_afterwards():
    before = native_threads()
    for _ in range(2):
        with single_threaded_blas(), thread_limits(1):
            assert native_threads() == {"blas": 1, "openmp": 1}
        assert native_threads() == before


def test_blas_is_held_in_threads_too_again_and_again():
    """threadpoolctl heeds only one thread at a time: a limit not given back would hold for nobody after."""
    X, y = _noise()
    model = StackingModel([Slow()], LogisticRegression(), cv=2, n_jobs=2)
    for _ in range(2):
        with joblib.parallel_config(backend="threading"):
            model.fit(X, y)
        assert {member.threads_["blas"] for member in model.members_["slow"]} == {1}
        model.predict_proba(X)
        assert {member.predicted_with_["blas"] for member in model.members_["slow"]} == {1}


@pytest.mark.parametrize("given", [None, -1, 1, 16])
def test_learners_with_threads_of_their_own_are_held_too(given):
    """XGBoost asks neither joblib nor OpenMP for a limit: only its own n_jobs holds it."""
    learner = make_pipeline(StandardScaler(), StartsThreads(n_jobs=given))
    oof = cross_fit([learner], *_noise(), cv=2, n_jobs=2)
    for member in oof.members["pipeline"]:
        assert 1 <= 2 * member[-1].fitted_with_ <= max(2, joblib.cpu_count())
        assert member[-1].n_jobs == given


@pytest.mark.parametrize("given", [None, -1, 3])
def test_a_learner_alone_keeps_its_threads(given):
    oof = cross_fit([StartsThreads(n_jobs=given)], *_noise(), cv=2, n_jobs=1)
    assert oof.members["startsthreads"][0].fitted_with_ == given


def test_xgboost_is_held():
    oof = cross_fit([XGBClassifier(n_estimators=2)], *_noise(), cv=2, n_jobs=2)
    config = json.loads(oof.members["xgbclassifier"][0].get_booster().save_config())
    assert 2 * int(config["learner"]["generic_param"]["nthread"]) <= max(2, joblib.cpu_count())


def test_joblib_inside_a_task_stays_within_its_share():
    with thread_limits(1):
        assert joblib.effective_n_jobs(-1) == 1
    with thread_limits(2):
        assert joblib.effective_n_jobs(8) == 2


def test_share_of_the_cores(monkeypatch):
    monkeypatch.setattr(joblib, "cpu_count", lambda: 8)
    assert [threads_per_task(workers) for workers in (1, 2, 3, 16)] == [None, 4, 2, 1]


# --- workers ------------------------------------------------------------------------------------------


def test_results_are_placed_by_index_not_by_arrival():
    X, y = _noise()
    X[0, 0] = 0  # the folds that train on row 0 are slow, so fold 0 comes first, the others as they like
    assert len({m.pid_ for m in cross_fit([Slow()], X, y, cv=4, n_jobs=2).members["slow"]}) == 2
    np.testing.assert_array_equal(
        cross_fit([Slow()], X, y, cv=4, n_jobs=2).train, cross_fit([Slow()], X, y, cv=4, n_jobs=1).train
    )


class Remembers(str):
    """A text that counts its pickles: joblib does not memory-map objects."""

    __slots__ = ()
    pickled = 0

    def __reduce__(self):
        Remembers.pickled += 1
        return str, (str(self),)


class TextLength(ClassifierMixin, BaseEstimator):
    def fit(self, X, y):
        self.classes_ = np.unique(y)
        return self

    def predict_proba(self, X):
        p = 1 / (1 + X["text"].astype(str).str.len().to_numpy())
        return np.column_stack([p, 1 - p])


def test_x_is_pickled_once_for_all_tasks():
    X, y = _noise()
    frame = pd.DataFrame(X, columns=list("abc"))
    frame["text"] = pd.Series([Remembers(str(i)) for i in range(len(frame))], dtype=object)
    Remembers.pickled = 0
    learners = [("one", TextLength()), ("two", TextLength()), ("three", TextLength())]
    cross_fit(learners, frame, y, cv=5, n_jobs=2)
    assert Remembers.pickled == len(frame)  # once a cell, for 15 tasks


def test_list_mode_where_a_backend_has_no_generators(monkeypatch):
    X, y = _noise()
    expected = cross_fit([GaussianNB()], X, y, cv=3).train
    monkeypatch.setattr("joblib._parallel_backends.ThreadingBackend.supports_return_generator", False)
    with joblib.parallel_config(backend="threading"):
        np.testing.assert_array_equal(cross_fit([GaussianNB()], X, y, cv=3, n_jobs=2).train, expected)


def test_after_a_failure_no_further_task_starts():
    started = []

    class Counts(GaussianNB):
        def fit(self, X, y):
            started.append(len(X))
            raise RuntimeError("boom")

    with pytest.raises(ValueError, match="boom"):
        cross_fit([Counts()], *_noise(), cv=10)
    assert len(started) == 1


def test_learners_defined_in_the_calling_script_reach_the_workers():
    class Local(GaussianNB):
        pass

    oof = cross_fit([Local()], *_noise(), cv=3, n_jobs=2)
    assert len(oof.members["local"]) == 3


# --- progress -----------------------------------------------------------------------------------------


@pytest.mark.parametrize("verbose", [False, True])
def test_progress_goes_to_stderr_and_only_when_asked(verbose, capsys):
    cross_fit([GaussianNB(), Together()], *_noise(), cv=3, verbose=verbose)
    captured = capsys.readouterr()
    assert captured.out == ""
    assert ("6/6" in captured.err) is verbose


# --- predictions --------------------------------------------------------------------------------------


def test_predictions_are_the_same_for_any_n_jobs():
    X, y = _noise(200)
    learners = [("logistic", LogisticRegression()), ("forest", RandomForestClassifier(5))]
    one = StackingModel(learners, random_state=0, n_jobs=1).fit(X, y)
    two = pickle.loads(pickle.dumps(one)).set_params(n_jobs=2)
    np.testing.assert_array_equal(one.predict_proba(X), two.predict_proba(X))


def test_run_tasks_of_nothing_is_nothing():
    assert run_tasks(None, [], n_jobs=1, stop_at_failure=True, verbose=False) == []
