"""Who works: here, in threads, in processes, or elsewhere, all with the same results."""

import contextlib
import os
import pickle
import shutil
import signal
import subprocess
import sys
import tempfile
import time
import warnings
from dataclasses import replace
from multiprocessing.pool import ThreadPool
from pathlib import Path

import joblib
import numpy as np
import pandas as pd
import psutil
import pytest
from filelock import FileLock, Timeout
from joblib.parallel import ParallelBackendBase, register_parallel_backend
from sklearn import config_context, get_config
from sklearn.base import BaseEstimator, ClassifierMixin
from sklearn.ensemble import RandomForestClassifier
from sklearn.linear_model import LogisticRegression
from sklearn.naive_bayes import GaussianNB
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from spies import (
    Counted,
    Fails,
    Gives,
    Holds,
    HoldsStubborn,
    NeverBack,
    Noisy,
    Observes,
    Remembers,
    Slow,
    Stubborn,
    Together,
    Troubled,
    job_of,
    with_row_ids,
)

import stackkit
from stackkit import StackingModel, Store, cross_fit
from stackkit._execution import scheduler as _schedule
from stackkit._execution.backends import processes, shared_folder
from stackkit._execution.backends.base import Lost
from stackkit._execution.backends.joblib import JoblibBackend
from stackkit._execution.backends.local import CallingThread, ThreadBackend
from stackkit._execution.backends.processes import ProcessBackend
from stackkit._execution.result_cache import with_keys
from stackkit._execution.tasks import Failure, Result, make_tasks
from stackkit._execution.transfer import packed, unpacked
from stackkit._members.fitting import Member
from stackkit._store.files import StoreProblem
from stackkit._store.store import open_store
from stackkit.exceptions import LearnerDroppedWarning, LearnerFailedError

RNG = np.random.default_rng(0)
X = RNG.normal(size=(60, 3))
Y = (X[:, 0] + RNG.normal(size=60) > 0).astype(int)
NEW = RNG.normal(size=(7, 3))
LEARNERS = [
    ("logistic", LogisticRegression()),
    ("forest", RandomForestClassifier(5)),
    ("noisy", Noisy()),
    ("together", Together()),
]
SOON = 120  # seconds: long after it must have happened


class Elsewhere(ParallelBackendBase):
    """A backend of some other library: joblib has to wait for all, and nobody knows its class."""

    uses_threads = True
    supports_sharedmem = True
    supports_return_generator = False

    def effective_n_jobs(self, n_jobs):
        return 2 if n_jobs is None or n_jobs < 0 else n_jobs

    def configure(self, n_jobs=1, parallel=None, **_):
        self.parallel = parallel
        self._pool = ThreadPool(n_jobs)
        return n_jobs

    def terminate(self):
        self._pool.terminate()

    def submit(self, func, callback=None):
        return self._pool.apply_async(func, callback=callback)

    def retrieve_result_callback(self, out):
        return out

    apply_async = submit


register_parallel_backend("elsewhere", Elsewhere)

# How to have whom work: joblib's backend, n_jobs, and options of the fit.
WAYS = {
    "CallingThread": (None, 1, {}),
    "Threads": ("threading", 2, {}),
    "one process": (None, 1, {"task_timeout": 600}),
    "Processes": ("loky", 2, {}),
    "Processes of limited memory": ("loky", 2, {"max_memory": "500 GB"}),
    "multiprocessing": ("multiprocessing", 2, {}),
    "elsewhere": ("elsewhere", 2, {}),
}
BACKENDS = {
    "CallingThread": CallingThread,
    "Threads": ThreadBackend,
    "one process": ProcessBackend,
    "Processes": ProcessBackend,
    "Processes of limited memory": ProcessBackend,
    "multiprocessing": JoblibBackend,
    "elsewhere": JoblibBackend,
}
FAR = ["one process", "Processes", "multiprocessing"]


@contextlib.contextmanager
def working(way):
    """Options for a fit; joblib is told."""
    backend, n_jobs, options = WAYS[way]
    with contextlib.nullcontext() if backend is None else joblib.parallel_config(backend=backend):
        yield {"n_jobs": n_jobs} | options


def _bits(oof):
    return oof.train.tobytes() + oof.test.tobytes()


def _soon(condition):
    end = time.monotonic() + SOON
    while not condition():
        assert time.monotonic() < end, "it does not happen"
        time.sleep(0.02)


@pytest.fixture
def temp(tmp_path, monkeypatch):
    """Where joblib's files and the backends' are."""
    folder = tmp_path / "temp"
    folder.mkdir()
    monkeypatch.setenv("JOBLIB_TEMP_FOLDER", str(folder))
    return folder


# --- the same results ---------------------------------------------------------------------------------


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize("kept", [False, True])
def test_whoever_works_the_bits_are_the_same(way, kept, tmp_path, monkeypatch):
    used = []
    hire = _schedule._choose_backend
    monkeypatch.setattr(_schedule, "_choose_backend", lambda *args: used.append(hire(*args)) or used[-1])
    options = {"X_test": NEW, "cv": 3, "random_state": 1, "memory": tmp_path / "store" if kept else None}
    expected = cross_fit(LEARNERS, X, Y, X_test=NEW, cv=3, random_state=1)
    used.clear()
    for n_backends in (1, 1 if kept else 2):
        with working(way) as how:
            found = cross_fit(LEARNERS, X, Y, **options, **how)
        assert _bits(found) == _bits(expected)
        for name, members in expected.members.items():
            for one, other in zip(members, found.members[name], strict=True):
                assert one.predict_proba(NEW).tobytes() == other.predict_proba(NEW).tobytes()
        assert [type(backend) for backend in used] == [
            BACKENDS[way]
        ] * n_backends  # and none is made to read what is kept


@pytest.mark.slow
def test_networks_have_the_same_bits_whoever_trains_them():
    from stackkit.nn import BNMLPClassifier

    net = make_pipeline(StandardScaler(), BNMLPClassifier(hidden_layer_sizes=(4,), n_members=1, max_epochs=2))
    learners = [("net", net), ("together", Together())]
    expected = StackingModel(learners, random_state=0, cv=3).fit(X, Y).predict_proba(NEW)
    for way in ("Threads", "Processes"):
        with working(way) as how:
            found = StackingModel(learners, random_state=0, cv=3, **how).fit(X, Y).predict_proba(NEW)
        assert found.tobytes() == expected.tobytes(), way


@pytest.mark.parametrize("way", ["Threads", "Processes", "elsewhere"])
def test_frames_and_refits_too(way):
    frame, new = pd.DataFrame(X, columns=list("abc")), pd.DataFrame(NEW, columns=list("abc"))
    learners = [("forest", RandomForestClassifier(3)), ("noisy", Noisy())]
    model = StackingModel(learners, LogisticRegression(), refit=True, cv=3, random_state=0)
    expected = model.fit(frame, Y).predict_proba(new)
    with working(way) as how:
        found = model.set_params(**how).fit(frame, Y).predict_proba(new)
    assert found.tobytes() == expected.tobytes()


def test_results_are_placed_by_index_not_by_arrival():
    X, y = RNG.normal(size=(60, 3)), np.arange(60) % 2
    X[0, 0] = 0  # the folds that train on row 0 are slow, so fold 0 comes first, the others as they like
    assert len({m.pid_ for m in cross_fit([Slow()], X, y, cv=4, n_jobs=2).members["slow"]}) == 2
    np.testing.assert_array_equal(
        cross_fit([Slow()], X, y, cv=4, n_jobs=2).train, cross_fit([Slow()], X, y, cv=4, n_jobs=1).train
    )


@pytest.mark.parametrize("way", ["CallingThread", "Threads", "Processes", "multiprocessing", "elsewhere"])
def test_failures_are_told_the_same_way(way):
    rows = with_row_ids(X)
    learners = [("bayes", GaussianNB()), ("fails", Fails(without_row=25)), ("gives", Gives((0.7, 0.7)))]
    with working(way) as how:
        with pytest.raises(LearnerFailedError, match=r"'(fails|gives)' \(\w+\) failed in fold \d of 3"):
            cross_fit(learners, rows, Y, cv=3, **how)
        with pytest.warns(LearnerDroppedWarning) as caught:
            found = cross_fit(learners, rows, Y, cv=3, on_error="drop", **how)
    assert {"'fails'" in str(w.message) for w in caught} == {True, False}
    assert found.columns == ["bayes"]
    stages = {row.learner: (row.stage, row.error) for row in found.failures.itertuples()}
    assert stages["fails"] == ("fit", "RuntimeError: boom")
    assert stages["gives"][0] == "predict_proba"


@pytest.mark.parametrize("way", [*FAR, "elsewhere"])
def test_workers_without_the_store_have_it_kept_here(way, tmp_path):
    log, store = tmp_path / "log", Store(tmp_path / "store")
    learners = [("counted", Counted(str(log)))]
    with working(way) as how:
        for _ in range(2):
            cross_fit(learners, X, Y, cv=3, memory=store, **how)
    assert log.read_text() == "fit\n" * 3
    assert store.info().n_models == 3


# --- what crosses -------------------------------------------------------------------------------------


class TextLength(ClassifierMixin, BaseEstimator):
    def fit(self, X, y):
        self.classes_ = np.unique(y)
        return self

    def predict_proba(self, X):
        p = 1 / (1 + X["text"].astype(str).str.len().to_numpy())
        return np.column_stack([p, 1 - p])


def test_x_is_pickled_once_for_all_tasks():
    frame = pd.DataFrame(X, columns=list("abc"))
    frame["text"] = pd.Series([Remembers(str(i)) for i in range(len(frame))], dtype=object)
    Remembers.pickled = 0
    learners = [("one", TextLength()), ("two", TextLength()), ("three", TextLength())]
    cross_fit(learners, frame, Y, cv=5, n_jobs=2)
    assert Remembers.pickled == len(frame)  # once a cell, for 15 tasks


@pytest.mark.parametrize("way", ["one process", "Processes"])
def test_learners_defined_in_the_calling_script_reach_the_workers(way):
    class Local(GaussianNB):
        pass

    with working(way) as how:
        oof = cross_fit([Local()], X, Y, cv=3, **how)
    assert [type(member) for member in oof.members["local"]] == [Local] * 3


@pytest.mark.parametrize("way", ["CallingThread", "Threads", "Processes", "multiprocessing", "elsewhere"])
def test_settings_of_scikit_learn_reach_the_workers(way):
    with config_context(assume_finite=True, transform_output="pandas", working_memory=77), working(way) as how:
        expected = get_config()
        members = cross_fit([Observes()], X, Y, cv=3, **how).members["observes"]
    assert [member.config_ for member in members] == [expected] * 3
    with working(way) as how:  # the same workers, other settings
        members = cross_fit([Observes()], X, Y, cv=3, **how).members["observes"]
    assert [member.config_ for member in members] == [get_config()] * 3


@pytest.mark.parametrize("way", ["Threads", "Processes"])
def test_settings_that_a_worker_does_not_know_are_left_out(way, monkeypatch):
    """Of a scikit-learn patched by Intel's extension; each worker died of an unexpected keyword."""
    here = get_config() | {"target_offload": "auto", "working_memory": 77}
    for backend in ("processes", "local"):
        monkeypatch.setattr(f"stackkit._execution.backends.{backend}.get_config", lambda: here)
    with working(way) as how:
        members = cross_fit([Observes()], X, Y, cv=3, **how).members["observes"]
    assert [member.config_ for member in members] == [get_config() | {"working_memory": 77}] * 3


@pytest.mark.parametrize("way", ["CallingThread", "Processes"])
def test_filters_of_warnings_reach_the_workers(way):
    for action, expected in (("ignore", 0), ("always", 1), ("ignore", 0)):
        with warnings.catch_warnings(), working(way) as how:
            warnings.filterwarnings(action, message="observed")
            members = cross_fit([Observes()], X, Y, cv=3, **how).members["observes"]
        assert [member.warned_ for member in members] == [expected] * 3


# --- what cannot cross --------------------------------------------------------------------------------


@pytest.mark.parametrize("way", FAR)
def test_what_cannot_be_pickled_once_fitted_fails_with_its_name_and_the_cure(way):
    learners = [("bayes", GaussianNB()), ("holds", Holds())]
    with working(way) as how:
        with pytest.raises(LearnerFailedError, match=r"'holds' .* once fitted it cannot be pickled: .*n_jobs=1"):
            cross_fit(learners, X, Y, cv=3, **how)
        with pytest.warns(LearnerDroppedWarning, match=r"'holds'.*in threads, it need not be"):
            assert cross_fit(learners, X, Y, cv=3, on_error="drop", **how).columns == ["bayes"]


@pytest.mark.parametrize("way", ["CallingThread", "Threads"])
@pytest.mark.parametrize("learner", [Holds(), HoldsStubborn(Stubborn()), NeverBack()], ids=str)
def test_where_nothing_crosses_nothing_need_be_pickled(way, learner):
    with working(way) as how:
        found = cross_fit([("it", learner)], X, Y, cv=3, **how)
    np.testing.assert_array_equal(found.train, cross_fit([GaussianNB()], X, Y, cv=3).train)
    assert len(found.members["it"]) == 3


@pytest.mark.parametrize("way", FAR)
def test_models_nobody_asked_for_need_not_be_pickled(way):
    """With refit their tables are enough; the refitted one is wanted."""
    job = job_of([("holds", Holds())], X, Y, keep_members=False)
    tasks = make_tasks([("holds", Holds())], range(2), 0)
    with working(way) as how:
        backend = ProcessBackend(job, 1) if BACKENDS[way] is ProcessBackend else JoblibBackend(job, how["n_jobs"])
        results = _done(backend, tasks)
    assert [result.failure for result in results.values() if result.failure] == []
    backend.close(now=False)


@pytest.mark.parametrize("way", ["one process", "Processes"])
def test_what_cannot_be_pickled_at_all_fails_with_its_name(way):
    learners = [("bayes", GaussianNB()), ("stubborn", HoldsStubborn(Stubborn()))]
    with working(way) as how:
        with pytest.raises(LearnerFailedError, match=r"'stubborn' .*(pickle|this one stays)"):
            cross_fit(learners, X, Y, cv=3, **how)
        with pytest.warns(LearnerDroppedWarning, match="'stubborn'"):
            assert cross_fit(learners, X, Y, cv=3, on_error="drop", **how).columns == ["bayes"]


@pytest.mark.parametrize("way", FAR)
def test_what_does_not_come_back_fails_with_its_name(way):
    learners = [("bayes", GaussianNB()), ("never", NeverBack())]
    with working(way) as how:
        with pytest.raises(LearnerFailedError, match=r"'never' .*not coming back"):
            cross_fit(learners, X, Y, cv=3, **how)
        with pytest.warns(LearnerDroppedWarning, match="'never'.*not coming back"):
            assert cross_fit(learners, X, Y, cv=3, on_error="drop", **how).columns == ["bayes"]


# --- parcels ------------------------------------------------------------------------------------------


def _result(**options):
    fitted = GaussianNB().fit(X, Y)
    return Result("bayes", 1, Member(fitted, np.arange(2), np.arange(2)), np.ones((3, 1)), None, 1.5, **options)


def _task():
    (task,) = make_tasks([("bayes", GaussianNB())], [1], 0)
    return task


@pytest.mark.parametrize("in_file", [True, False])
def test_a_parcel_is_unpacked_as_it_was(tmp_path, in_file):
    path = tmp_path / "pickled.pkl" if in_file else None
    sent = packed(_result(), path)
    assert sent.member.estimator is None
    assert sent.pickled == path if in_file else isinstance(sent.pickled, bytes)
    found = unpacked(pickle.loads(pickle.dumps(sent)), job_of([("bayes", GaussianNB())], X, Y), _task())
    np.testing.assert_array_equal(found.member.estimator.theta_, _result().member.estimator.theta_)
    assert found.pickled is None
    assert not list(tmp_path.iterdir())  # read and removed
    assert (found.name, found.fold, found.fit_seconds) == ("bayes", 1, 1.5)
    np.testing.assert_array_equal(found.oof, np.ones((3, 1)))


def test_on_a_full_disk_a_parcel_goes_through_the_pipe(tmp_path, monkeypatch):
    def full(*_):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(Path, "write_bytes", full)
    sent = packed(_result(), tmp_path / "pickled.pkl")
    assert isinstance(sent.pickled, bytes)
    found = unpacked(sent, job_of([("bayes", GaussianNB())], X, Y), _task())
    np.testing.assert_array_equal(found.member.estimator.theta_, _result().member.estimator.theta_)


def test_what_lies_in_the_store_is_not_sent_a_second_way(tmp_path):
    sent = packed(_result(in_store=True), tmp_path / "pickled.pkl")
    assert sent.pickled is None
    assert sent.member.estimator is None
    assert not list(tmp_path.iterdir())


def test_what_the_store_has_lost_meanwhile_is_a_problem(tmp_path):
    store_files = open_store(Store(tmp_path / "store", key="a secret that both sides know"))
    job = job_of([("bayes", GaussianNB())], X, Y, store=store_files)
    (task,), _ = with_keys(job, [_task()])
    with pytest.raises(StoreProblem, match="The model of the learner 'bayes', fold 1, is gone"):
        unpacked(packed(_result(in_store=True), None), job, task)


def test_failures_and_models_nobody_asked_for_need_no_parcel():
    job = job_of([("bayes", GaussianNB())], X, Y)
    failed = Result("bayes", 1, failure=Failure("fit", "boom"))
    light = replace(_result(), member=Member(None, np.arange(2), np.arange(2)))
    for result in (failed, light):
        assert unpacked(packed(result, None), job, _task()) is result


# --- workers ------------------------------------------------------------------------------------------


def _done(backend, tasks):
    """All that comes of them, by learner and fold."""
    waiting, outcomes, end = list(tasks), {}, time.monotonic() + SOON
    while len(outcomes) < len(tasks):
        assert time.monotonic() < end, "the backend does not end"
        while waiting and len(tasks) - len(waiting) - len(outcomes) < backend.capacity:
            backend.start(waiting.pop(0))
        for task, outcome in backend.wait(1.0):
            if isinstance(outcome, Lost):
                outcomes[task.name, task.folds[0]] = outcome
            else:
                outcomes |= {(result.name, result.fold): result for result in outcome}
    return outcomes


def _pids(crew_options):
    return {member.pid_ for member in cross_fit([Observes()], X, Y, cv=4, **crew_options).members["observes"]}


def test_workers_go_on_from_fit_to_fit():
    first, second = _pids({"n_jobs": 2}), _pids({"n_jobs": 2})
    assert len(first) == 2
    assert first == second
    assert os.getpid() not in first
    assert _pids({"n_jobs": 1, "task_timeout": 600}) < first


def test_a_worker_that_died_between_two_fits_is_replaced():
    first = _pids({"n_jobs": 2})
    victim = psutil.Process(max(first))
    victim.kill()
    _soon(lambda: any(worker._flags.broken for worker in processes._WAITING))
    expected = cross_fit(LEARNERS, X, Y, X_test=NEW, cv=3, random_state=0)
    assert _bits(cross_fit(LEARNERS, X, Y, X_test=NEW, cv=3, random_state=0, n_jobs=2)) == _bits(expected)
    again = _pids({"n_jobs": 2})
    assert victim.pid not in again
    assert len(again) == 2


@pytest.mark.parametrize(
    ("trouble", "reason"),
    [("kill", "killed (likely out of memory)"), ("exit", "its worker process died (EXIT(3))")],
)
def test_a_worker_that_dies_is_known_by_its_task_and_the_others_go_on(temp, trouble, reason):
    rows = with_row_ids(X)
    learners = [("bayes", GaussianNB()), ("dies", Troubled("dies", trouble=trouble, without_row=0))]
    job = job_of(learners, rows, Y)
    backend = ProcessBackend(job, 2)
    outcomes = _done(backend, make_tasks(learners, range(3), 0))
    backend.close(now=False)
    lost = outcomes.pop(("dies", 0))
    assert isinstance(lost, Lost)
    assert lost.reason == reason
    assert [result.failure for result in outcomes.values() if result.failure] == []
    assert len(outcomes) == 5
    assert not list(temp.glob("stackkit-*"))


@pytest.mark.slow
def test_a_task_that_is_dismissed_loses_its_worker_and_no_other_does():
    rows = with_row_ids(X)
    learners = [("hangs", Troubled("hangs", trouble="hang", without_row=0)), ("observes", Observes())]
    backend = ProcessBackend(job_of(learners, rows, Y), 2)
    hangs, first, *others = make_tasks(learners, range(3), 0)
    children = set(psutil.Process().children())
    backend.start(hangs)
    _soon(lambda: backend._running)
    backend.start(first)
    ((task, _),) = backend.wait(SOON)
    assert task is first
    backend.stop_worker(hangs)
    outcomes = _done(backend, others)
    backend.close(now=False)
    assert len(outcomes) == 4
    assert [result.failure for result in outcomes.values() if result.failure] == []
    assert len(set(psutil.Process().children()) - children) <= 2


@pytest.mark.parametrize("now", [False, True])
def test_who_is_at_work_when_all_is_over_is_ended(now, temp):
    learners = [("hangs", Troubled("hangs", trouble="hang"))]
    backend = ProcessBackend(job_of(learners, with_row_ids(X), Y), 1)
    (task,) = make_tasks(learners, [0], 0)
    backend.start(task)
    assert backend.wait(0.2) == []
    waiting = len(processes._WAITING)
    backend.close(now=now)
    assert not list(temp.iterdir())
    assert len(processes._WAITING) == waiting  # one that hangs is of no use to the next fit


def test_waiting_takes_no_longer_than_asked():
    learners = [("slow", Slow(30.0))]
    backend = ProcessBackend(job_of(learners, X, Y), 1)
    (task,) = make_tasks(learners, [0], 0)
    backend.start(task)
    assert backend.wait(0.1) == []  # it would have something if it had waited for the end
    assert backend.wait(0.0) == []
    backend.close(now=True)


@pytest.mark.parametrize("kind", [CallingThread, lambda job: ThreadBackend(job, 2)])
def test_who_cannot_be_ended_is_left_to_finish(kind):
    backend, task = kind(job_of([("bayes", GaussianNB())], X, Y)), _task()
    backend.start(task)
    backend.stop_worker(task)
    ((done, results),) = backend.wait(None)
    assert done is task
    assert all(result.failure is None for result in results)
    backend.close(now=True)


def test_here_a_task_is_done_when_it_is_started():
    backend = CallingThread(job_of([("observes", Observes())], X, Y))
    (task,) = make_tasks([("observes", Observes())], [0], 0)
    backend.start(task)
    ((done, (result,)),) = backend.wait(None)
    assert done is task
    assert result.member.estimator.pid_ == os.getpid()
    assert backend.wait(None) == []


# --- files --------------------------------------------------------------------------------------------


def test_files_are_gone_when_the_fit_is_done(temp):
    cross_fit(LEARNERS, X, Y, cv=3, n_jobs=2)
    assert not list(temp.glob("stackkit-*"))
    with pytest.raises(LearnerFailedError):
        cross_fit([Fails(without_row=25)], with_row_ids(X), Y, cv=3, n_jobs=2)
    assert not list(temp.glob("stackkit-*"))


@pytest.fixture
def told(monkeypatch):
    """What joblib's tracker of files was told."""
    found = []
    for what in ("register", "unregister"):
        monkeypatch.setattr(
            shared_folder.resource_tracker, what, lambda path, kind, what=what: found.append((what, path, kind))
        )
    return found


def test_the_tracker_knows_of_the_folder_as_long_as_it_is_there(temp, told):
    backend = ProcessBackend(job_of(LEARNERS, X, Y), 2)
    (folder,) = map(str, temp.iterdir())
    assert told == [("register", folder, "folder")]
    backend.close(now=False)
    assert told == [("register", folder, "folder"), ("unregister", folder, "folder")]


def test_the_tracker_is_not_left_with_a_folder_that_could_not_be_made(temp, told):
    temp.rmdir()
    with pytest.raises(FileNotFoundError):
        ProcessBackend(job_of(LEARNERS, X, Y), 2)
    assert [what for what, *_ in told] == ["register", "unregister"]


@pytest.mark.parametrize("name", ["tämp", "/".join(["long" * 50] * 2)])
def test_any_folder_will_do(tmp_path, monkeypatch, name):
    folder = tmp_path / name
    folder.mkdir(parents=True)
    monkeypatch.setenv("JOBLIB_TEMP_FOLDER", str(folder))
    cross_fit(LEARNERS, X, Y, cv=3, n_jobs=2)
    assert not list(folder.iterdir())


def test_while_it_runs_one_folder_holds_the_job_and_nobody_else_may_look(temp):
    backend = ProcessBackend(job_of(LEARNERS, X, Y), 2)
    (folder,) = temp.iterdir()
    assert sorted(path.name for path in folder.iterdir()) == ["job.pkl", "owner.lock"]
    if os.name == "posix":
        assert folder.stat().st_mode & 0o077 == 0
    results = _done(backend, make_tasks(LEARNERS, range(3), 0))
    parcels = {result.pickled for result in results.values()}
    assert set(folder.glob("begun-*.pkl")) == parcels
    backend.close(now=False)
    assert not list(temp.iterdir())


@pytest.mark.parametrize("moment", ["before it is opened", "before it is locked", "after that"])
def test_a_folder_is_not_taken_for_an_orphan_while_it_is_made(moment, tmp_path, monkeypatch):
    """Another process swept it away between the opening of its lock file and the locking."""
    monkeypatch.setenv("JOBLIB_TEMP_FOLDER", str(tmp_path))
    swept = []

    class Interrupted(FileLock):
        def acquire(self, **options):
            path = Path(self.lock_file)
            if moment == "after that":
                super().acquire(**options)
            if moment == "before it is locked":
                path.touch()
            if not swept:
                swept.append(path.parent)
                remove_if_orphaned(path)
            return super().acquire(**options)

    def remove_if_orphaned(path):
        with contextlib.suppress(Timeout), FileLock(path, timeout=0):
            shutil.rmtree(path.parent)

    monkeypatch.setattr(shared_folder, "FileLock", Interrupted)
    backend = ProcessBackend(job_of(LEARNERS, X, Y), 1)
    try:
        folder = backend._folder.path
        assert folder.stat().st_mode & 0o777 == 0o700
        assert sorted(path.name for path in folder.iterdir()) == ["job.pkl", "owner.lock"]
        assert (folder != swept[0]) == (moment != "after that")
        remove_if_orphaned(folder / "owner.lock")
        assert folder.exists()
    finally:
        backend.close(now=True)
    assert list(tmp_path.iterdir()) == []


def test_without_joblib_s_folder_the_system_s_is_taken(tmp_path, monkeypatch):
    monkeypatch.delenv("JOBLIB_TEMP_FOLDER", raising=False)
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    backend = ProcessBackend(job_of(LEARNERS, X, Y), 1)
    assert [path.name.startswith("stackkit-") for path in tmp_path.iterdir()] == [True]
    backend.close(now=False)
    assert not list(tmp_path.iterdir())


@pytest.mark.slow
def test_a_script_ends_at_once_though_workers_wait_for_another_fit(tmp_path):
    script = tmp_path / "script.py"
    script.write_text(
        "import numpy as np\n"
        "from sklearn.naive_bayes import GaussianNB\n"
        "from stackkit import cross_fit\n"
        "class Mine(GaussianNB):\n"
        "    pass\n"
        "if __name__ == '__main__':\n"
        "    X, y = np.random.default_rng(0).normal(size=(60, 3)), np.arange(60) % 2\n"
        "    oof = cross_fit([Mine()], X, y, cv=3, n_jobs=2)\n"
        "    print([type(member) is Mine for member in oof.members['mine']])\n"
    )
    folder = Path(stackkit.__file__).parents[1]
    environment = os.environ | {"PYTHONPATH": str(folder), "JOBLIB_TEMP_FOLDER": str(tmp_path)}
    done = subprocess.run(
        [sys.executable, str(script)], capture_output=True, text=True, check=True, timeout=SOON, env=environment
    )
    assert done.stdout == "[True, True, True]\n"
    assert done.stderr == ""
    assert [path.name for path in tmp_path.iterdir()] == ["script.py"]


@pytest.mark.skipif(not hasattr(os, "fork"), reason="no fork on Windows")
def test_a_forked_process_does_not_take_its_parent_s_workers():
    _pids({"n_jobs": 2})
    assert processes._WAITING
    child = os.fork()
    if child == 0:
        os._exit(len(processes._WAITING))
    assert os.waitpid(child, 0)[1] == 0
    assert processes._WAITING


def test_ctrl_c_is_the_parent_s_alone():
    """It reaches all processes of a terminal; the workers leave it to this one to decide."""
    pids = _pids({"n_jobs": 2})
    for pid in pids:
        os.kill(pid, signal.SIGINT)
    assert _pids({"n_jobs": 2}) == pids


FITS_AND_ENDS = """
import multiprocessing, sys
import numpy as np

def fit():
    from sklearn.naive_bayes import GaussianNB
    from stackkit import cross_fit
    cross_fit([GaussianNB()], np.arange(40.0).reshape(20, 2), np.tile([0, 1], 10), cv=2, n_jobs=2)

if __name__ == "__main__":
    child = multiprocessing.get_context("spawn").Process(target=fit)
    child.start()
    child.join(60)
    sys.exit(child.exitcode)
"""


@pytest.mark.slow
def test_a_process_of_multiprocessing_ends_when_its_fit_has(tmp_path):
    """Its workers would wait five minutes for more to do, and it for them."""
    script = tmp_path / "fits_and_ends.py"
    script.write_text(FITS_AND_ENDS)
    assert subprocess.run([sys.executable, script], timeout=90, check=False).returncode == 0
