"""Threads inside tasks: workers times threads stay within the cores, and BLAS on one."""

import json
import os
import threading
import warnings

import joblib
import numpy as np
import pytest
from sklearn.linear_model import LogisticRegression
from sklearn.neighbors import KNeighborsClassifier
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from spies import Slow, StartsThreads, native_threads
from threadpoolctl import threadpool_info
from xgboost import XGBClassifier

from stackkit import StackingModel, cross_fit
from stackkit._utils.threads import (
    limit_threads,
    own_threads_held,
    single_threaded_blas,
    thread_limits,
    threads_per_task,
)


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


def _blas():
    """The number of threads of each BLAS, asked for by name: there may be several in one process."""
    return {lib["filepath"]: lib["num_threads"] for lib in threadpool_info() if lib["user_api"] == "blas"}


class _Holder(threading.Thread):
    """Holds BLAS in a thread of its own, until it is told to let go."""

    def __init__(self):
        super().__init__(daemon=True)
        self.holding, self.enough = threading.Event(), threading.Event()
        self.start()
        assert self.holding.wait(10)

    def run(self):
        with single_threaded_blas():
            self.holding.set()
            self.enough.wait(10)

    def let_go(self):
        self.enough.set()
        self.join()


@pytest.mark.parametrize("order", [(0, 1, 2), (2, 1, 0), (1, 0, 2)])
def test_holders_that_overlap_in_threads_give_blas_back_when_the_last_one_leaves(order):
    """The first to leave lifted the limit for the others, and the last one left one thread for good."""
    before = _blas()
    assert before
    with limit_threads(2, "blas"):  # also where there is one core
        holders = [_Holder() for _ in range(3)]
        for place in order:
            assert set(_blas().values()) == {1}
            holders[place].let_go()
        assert set(_blas().values()) == {2}
    assert _blas() == before


def test_a_limit_of_openmp_leaves_blas_as_it_is():
    """The one that a task sets for its thread ends while others still hold BLAS."""
    with limit_threads(2, "blas"):
        limit = limit_threads(1, "openmp")
        with single_threaded_blas():
            with limit:
                pass
            assert set(_blas().values()) == {1}


def test_fits_and_predictions_that_overlap_in_threads_keep_to_one_thread_and_give_it_back():
    X, y = _noise()
    quick = StackingModel([Slow(0.01)], LogisticRegression(), cv=2).fit(X, y)
    models = [StackingModel([Slow(pause)], LogisticRegression(), cv=2) for pause in (0.02, 0.1)]
    with limit_threads(2, "blas"):
        threads = [threading.Thread(target=model.fit, args=(X, y)) for model in models]
        for thread in threads:
            thread.start()
        while any(thread.is_alive() for thread in threads):
            quick.predict_proba(X)
        assert set(_blas().values()) == {2}
    seen = {member.threads_["blas"] for model in models for member in model.members_["slow"]}
    assert seen | {member.predicted_with_["blas"] for member in quick.members_["slow"]} == {1}


@pytest.mark.skipif(not hasattr(os, "fork"), reason="needs fork")
def test_a_process_forked_off_meanwhile_holds_blas_anew():
    with single_threaded_blas():
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", DeprecationWarning)  # Python 3.12: forking beside threads may hang
            pid = os.fork()
        if pid == 0:
            with limit_threads(2, "blas"):
                with single_threaded_blas():
                    held = set(_blas().values()) == {1}
                os._exit(0 if held and set(_blas().values()) == {2} else 1)
    assert os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) == 0


@pytest.mark.parametrize("given", [None, -1, 1, 16])
def test_learners_with_threads_of_their_own_are_held_too(given):
    """XGBoost asks neither joblib nor OpenMP for a limit: only its own n_jobs holds it."""
    learner = make_pipeline(StandardScaler(), StartsThreads(n_jobs=given))
    oof = cross_fit([learner], *_noise(), cv=2, n_jobs=2)
    for member in oof.members["pipeline"]:
        assert 1 <= 2 * member[-1].fitted_with_ <= max(2, joblib.cpu_count())
        assert member[-1].n_jobs == given


@pytest.mark.parametrize("given", [None, -1, 1, 16])
def test_a_learner_alone_has_the_cores_at_most(given, monkeypatch):
    monkeypatch.setattr(joblib, "cpu_count", lambda: 3)
    oof = cross_fit([make_pipeline(StandardScaler(), StartsThreads(n_jobs=given))], *_noise(), cv=2, n_jobs=1)
    for member in oof.members["pipeline"]:
        assert member[-1].fitted_with_ == (given if given == 1 else 3)
        assert member[-1].n_jobs == given


@pytest.mark.parametrize("n_jobs", [1, 2])
def test_openmp_has_no_more_threads_than_a_learner_asks_for(n_jobs):
    """XGBoost starts as many as there may be, which wait for each other: with n_jobs=1 too."""
    before = native_threads()["openmp"]
    X, y = _noise()
    with limit_threads(3, "openmp"):
        model = StackingModel([StartsThreads(n_jobs=1)], cv=2, n_jobs=n_jobs).fit(X, y)
        assert native_threads()["openmp"] == 3
        for member in model.members_["startsthreads"]:
            assert member.openmp_ == 1
        model.predict_proba(X)
        for member in model.members_["startsthreads"]:
            assert member.predicted_with_ == 1
        assert native_threads()["openmp"] == 3
        with thread_limits(2), own_threads_held(StartsThreads(n_jobs=5), 2):
            assert native_threads()["openmp"] == 2  # never more than before
        with thread_limits(1), own_threads_held(StartsThreads(), 2):
            assert native_threads()["openmp"] == 1
    assert native_threads()["openmp"] == before


class OwnRegression(LogisticRegression):
    """Of one's own, but with scikit-learn's ``n_jobs``, which it warns of where that is set."""


@pytest.mark.parametrize("n_jobs", [1, 2])
def test_learners_derived_from_scikit_learns_ask_joblib(n_jobs):
    oof = cross_fit([make_pipeline(StandardScaler(), OwnRegression())], *_noise(), cv=2, n_jobs=n_jobs)
    assert [member[-1].n_jobs for member in oof.members["pipeline"]] == [None, None]


def test_stacks_as_learners_keep_their_workers():
    """They ask joblib; what is inside them is held."""
    inner = StackingModel([("own", StartsThreads())], LogisticRegression())
    with own_threads_held(inner, 4):
        assert inner.n_jobs is None
        assert inner.get_params()["own__n_jobs"] == 4
    assert inner.get_params()["own__n_jobs"] is None


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
