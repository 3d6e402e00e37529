"""Threads inside tasks: workers times threads stay within the cores, and BLAS on one."""

import json

import joblib
import numpy as np
import pytest
from sklearn.linear_model import LogisticRegression
from sklearn.neighbors import KNeighborsClassifier
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from spies import Slow, StartsThreads, native_threads
from xgboost import XGBClassifier

from stackkit import StackingModel, cross_fit
from stackkit._threads import limit_threads, single_threaded_blas, thread_limits, threads_per_task


def _noise(n=60):
    rng = np.random.default_rng(0)
    return rng.normal(size=(n, 3)), rng.integers(0, 2, n)


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


def test_without_a_limit_nothing_changes():
    before = native_threads(), joblib.effective_n_jobs(3)
    with thread_limits(None):
        assert (native_threads(), joblib.effective_n_jobs(3)) == before


def test_of_equally_near_neighbours_the_same_ones_count_on_any_number_of_threads():
    """scikit-learn's search shares out the rows; each thread keeps the first that it saw."""
    rng = np.random.default_rng(0)
    X, y = rng.integers(0, 2, (900, 16)).astype(float), rng.integers(0, 2, 900)
    learners = [
        ("knn", KNeighborsClassifier(5)),
        ("in_a_pipeline", make_pipeline(StandardScaler(), KNeighborsClassifier(7))),
    ]
    tables = []
    for threads in (1, 2, 4):
        with limit_threads(threads, "openmp"):
            tables.append(cross_fit(learners, X, y, X_test=X, cv=3))
    for other in tables[1:]:
        np.testing.assert_array_equal(other.train, tables[0].train)
        np.testing.assert_array_equal(other.test, tables[0].test)
