"""A Dask cluster: a real scheduler and real workers, over TCP on loopback, killed as machines die."""

import asyncio
import json
import os
import signal
import subprocess
import sys
import threading
import time
import warnings
from contextlib import contextmanager, suppress
from pathlib import Path

import joblib
import numpy as np
import pandas as pd
import pytest
from numpy.testing import assert_array_equal
from sklearn import config_context
from sklearn.ensemble import RandomForestClassifier
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import GridSearchCV, KFold
from sklearn.naive_bayes import GaussianNB
from spies import Counted, Holds, HoldsStubborn, Observes, Remembers, Stubborn, Together, Troubled, with_row_ids
from watchdog import at_most
from xgboost import XGBClassifier

from stackkit import StackingModel, Store, cross_fit
from stackkit._execution.backends.dask import _check_versions
from stackkit.exceptions import LearnerDroppedWarning, LearnerFailedError
from stackkit.nn import BNMLPClassifier

distributed = pytest.importorskip("distributed")
pytestmark = [
    pytest.mark.slow,  # whichever of them is first waits for the cluster that they share
    pytest.mark.skipif(sys.platform != "linux", reason="sends signals, looks for processes"),
]

TESTS = Path(__file__).parents[1]
N_FOLDS = 4


def _rows(n, seed):
    rng = np.random.default_rng(seed)
    X = rng.normal(size=(n, 3))
    return with_row_ids(X), (X[:, 0] + rng.normal(size=n) > 0).astype(int)


X, Y = _rows(80, 0)
NEW = _rows(15, 1)[0]


# --- the cluster --------------------------------------------------------------------------------------


def _run(*arguments, **settings):
    """``dask ...`` in a process group of its own, so that none of it is left over."""
    path = os.pathsep.join(filter(None, [str(TESTS), os.environ.get("PYTHONPATH")]))
    environment = os.environ | {"PYTHONPATH": path, "DASK_DISTRIBUTED__SCHEDULER__ALLOWED_FAILURES": "1"}
    command = [sys.executable, "-m", "dask", *map(str, arguments)]
    return subprocess.Popen(
        command,
        env=environment | settings,
        start_new_session=True,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )


def _end(*processes):
    """Nannies and their workers at once, so that none restarts another."""
    for process in processes:
        with suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)
        process.wait()


class Machines:
    """A scheduler and workers, as the documentation's commands start them."""

    def __init__(self, folder, **settings):
        self.folder, self.settings = folder, settings
        file = folder / "scheduler.json"
        self.scheduler = _run(
            *("scheduler", "--host", "127.0.0.1", "--port", "0", "--no-dashboard", "--scheduler-file", file), **settings
        )
        self.processes = [self.scheduler]
        self.address = None
        while self.address is None:
            time.sleep(0.05)
            with suppress(FileNotFoundError, json.JSONDecodeError):  # it is there before all of it is written
                self.address = json.loads(file.read_text())["address"]

    def add(self, *, nworkers=1):
        options = ("--nthreads", "1", "--no-dashboard", "--local-directory", self.folder)
        machine = _run("worker", self.address, "--nworkers", nworkers, *options, **self.settings)
        self.processes.append(machine)
        return machine


@contextmanager
def cluster(folder, *, machines=(2,), patience=10, **settings):
    folder.mkdir(exist_ok=True)
    run = Machines(folder, **settings)
    try:
        for nworkers in machines:
            run.add(nworkers=nworkers)
        with distributed.Client(run.address, set_as_default=False, timeout=patience) as client:
            while len(client.nthreads()) < sum(machines):
                time.sleep(0.05)
            yield run, client
    finally:
        _end(*run.processes)


@pytest.fixture(scope="module")
def shared(tmp_path_factory):
    with cluster(tmp_path_factory.mktemp("dask")) as found:
        yield found


@pytest.fixture
def client(shared):
    """Two workers; afterwards nothing of the fit is left on them."""
    _, client = shared
    client.wait_for_workers(2, timeout=60)
    yield client
    assert _nothing_left(client)


def _nothing_left(client, seconds=30):
    until = time.monotonic() + seconds
    while time.monotonic() < until:
        keys = client.run_on_scheduler(lambda dask_scheduler: [str(key) for key in dask_scheduler.tasks])
        held = [key for keys in client.has_what().values() for key in keys]
        if not keys and not held:
            return True
        time.sleep(0.1)
    return False


@pytest.fixture(autouse=True)
def watchdog():
    """No fault may make a fit wait for ever."""
    with at_most(100):
        yield


def stack(learners, **settings):
    return StackingModel(learners, LogisticRegression(), **({"cv": KFold(N_FOLDS), "random_state": 0} | settings))


def assert_same(model, other, new=NEW):
    assert_array_equal(model.oof_.train, other.oof_.train)
    assert_array_equal(model.predict_proba(new), other.predict_proba(new))


def pids(client):
    return set(client.run(os.getpid).values())


def lines(log):
    """(label, row that tells the fold, begins or ends, pid) of each fit."""
    if not log.exists():
        return []
    return [(label, int(row), what, int(pid)) for label, row, what, pid, _ in map(str.split, log.open())]


@contextmanager
def meanwhile(action):
    """Something in another thread, which must have happened in the end."""
    errors = []

    def run():
        try:
            action()
        except BaseException as error:  # noqa: BLE001 - told to the test
            errors.append(error)

    thread = threading.Thread(target=run)
    thread.start()
    try:
        yield
    finally:
        thread.join()
    assert not errors, errors


def wait_until(condition, seconds=60):
    until = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < until
        time.sleep(0.02)


def pid_at_work(log, fit=None):
    """The worker that began a fit, as soon as there is one; of the one named by label and row, if it matters."""

    def begun():
        return [pid for label, row, _, pid in lines(log) if fit in (None, (label, row))]

    wait_until(begun)
    return begun()[0]


# --- the same results -----------------------------------------------------------------------------------


def _all_kinds():
    return [
        ("bayes", GaussianNB()),
        ("forest", RandomForestClassifier(5)),
        ("together", Together()),
        ("xgb", XGBClassifier(n_estimators=5)),
        ("net", BNMLPClassifier(hidden_layer_sizes=(8,), max_epochs=2)),
        ("a/odd näme: " + 300 * "x", Observes()),
    ]


@pytest.fixture(scope="module")
def local():
    return stack(_all_kinds(), n_jobs=1).fit(X, Y)


@contextmanager
def handed_in(client, how):
    if how == "as current":
        with client.as_current():
            yield
    elif how == "to joblib":
        with joblib.parallel_config(backend="dask", client=client):
            yield
    else:  # found
        with distributed.Client(client.scheduler.address):
            yield


@pytest.mark.parametrize(
    "how", ["as current", *(pytest.param(how, marks=pytest.mark.nightly) for how in ("to joblib", "found"))]
)
def test_bit_equal_to_local(client, local, how):
    with warnings.catch_warnings(record=True) as caught, handed_in(client, how):
        warnings.simplefilter("always")
        model = stack(_all_kinds()).fit(X, Y)
    assert not [str(warning.message) for warning in caught]
    assert_same(model, local)
    assert {member.pid_ for member in model.members_[_all_kinds()[-1][0]]} <= pids(client)


@pytest.mark.parametrize("n_jobs", [1, 2])
def test_n_jobs_says_otherwise(client, n_jobs):
    with client.as_current():
        oof = cross_fit([Observes()], X, Y, cv=2, n_jobs=n_jobs)
    assert not {member.pid_ for member in oof.members["observes"]} & pids(client)


def test_joblibs_settings_say_otherwise(client):
    with client.as_current(), joblib.parallel_config(n_jobs=2):
        oof = cross_fit([Observes()], X, Y, cv=2)
    assert not {member.pid_ for member in oof.members["observes"]} & pids(client)


def test_data_frames(client):
    frame = pd.DataFrame(X, columns=list("abcd")).astype({"d": "float32"})
    new = pd.DataFrame(NEW, columns=list("abcd")).astype({"d": "float32"})
    learners = [("bayes", GaussianNB()), ("together", Together())]
    one = cross_fit(learners, frame, Y, X_test=new, n_jobs=1)
    with client.as_current():
        two = cross_fit(learners, frame, Y, X_test=new)
    assert_array_equal(one.train, two.train)
    assert_array_equal(one.test, two.test)


def test_settings_of_this_process_hold_there(client):
    with client.as_current(), config_context(assume_finite=True), warnings.catch_warnings():
        warnings.filterwarnings("ignore", "observed")
        quiet = cross_fit([Observes()], X, Y, cv=2).members["observes"][0]
    assert quiet.config_["assume_finite"]
    with client.as_current():
        assert not cross_fit([Observes()], X, Y, cv=2).members["observes"][0].config_["assume_finite"]


def test_the_data_cross_once(client):
    frame = pd.DataFrame(X[:, 1:], columns=list("abc"))
    frame["text"] = pd.Series([Remembers(str(i)) for i in range(len(frame))], dtype=object)
    Remembers.pickled = 0
    learners = [(name, WithoutText()) for name in ("one", "two", "three")]
    with client.as_current():
        cross_fit(learners, frame, Y, cv=5)
    assert Remembers.pickled == len(frame)  # once a cell, for 15 tasks on two workers


class WithoutText(GaussianNB):
    """Of this module, which workers cannot import: it crosses by value."""

    def fit(self, X, y):
        return super().fit(X.drop(columns="text"), y)

    def predict_proba(self, X):
        return super().predict_proba(X.drop(columns="text"))


# --- workers die ----------------------------------------------------------------------------------------


@pytest.fixture
def log(tmp_path):
    return tmp_path / "log"


def _pair(log, seconds=0.3):
    return [(name, Troubled(name, log=str(log), seconds=seconds)) for name in ("one", "two")]


def _pair_that_waits(log, cure):
    """The same two; the first fit of "one" does not end until its worker is gone: then it finds the cure."""
    waits = Troubled("one", log=str(log), trouble="hang", without_row=0, cure=str(cure), once=True)
    return [("one", waits), ("two", Troubled("two", log=str(log)))]


def _calm(*names):
    return stack([(name, Troubled(name)) for name in names], n_jobs=1).fit(X, Y)


def test_a_worker_is_killed_in_mid_fit(client, log, tmp_path):
    with client.as_current(), meanwhile(lambda: os.kill(pid_at_work(log, ("one", 0)), signal.SIGKILL)):
        model = stack(_pair_that_waits(log, tmp_path / "cure")).fit(X, Y)
    assert_same(model, _calm("one", "two"))
    begun = [line[:2] for line in lines(log) if line[2] == "begins"]
    assert len(begun) == len(set(begun)) + 1  # one fit was begun twice, no other


def test_a_learner_that_kills_its_worker_once(client, log, tmp_path):
    cure = tmp_path / "cure"
    bad = Troubled("bad", log=str(log), trouble="kill", cure=str(cure), once=True)
    with client.as_current():
        model = stack([("bad", bad), *_pair(log, 0.05)]).fit(X, Y)
    assert_same(model, _calm("bad", "one", "two"))


@pytest.mark.parametrize("on_error", [pytest.param("drop", marks=pytest.mark.nightly), "raise"])
def test_a_learner_that_always_kills_its_worker(client, log, on_error):
    learners = [*_pair(log, 0.05), ("bad", Troubled("bad", log=str(log), trouble="kill", without_row=0))]
    killed = r"'bad'.*killed \(likely out of memory\): 2 workers died at it"
    model = stack(learners, on_error=on_error)
    if on_error == "raise":
        with client.as_current(), pytest.raises(LearnerFailedError, match=killed):
            model.fit(X, Y)
        return
    with client.as_current(), pytest.warns(LearnerDroppedWarning, match=killed):
        model.fit(X, Y)
    assert_same(model, _calm("one", "two"))
    assert list(model.failures_["learner"]) == ["bad"]


def test_with_a_single_worker_and_dasks_own_settings(tmp_path, log):
    """The data go down with it each time, and Dask has nobody to give the task to."""
    learners = [*_pair(log, 0.05), ("bad", Troubled("bad", log=str(log), trouble="kill", without_row=0))]
    dask = {"DASK_DISTRIBUTED__SCHEDULER__ALLOWED_FAILURES": "3"}
    with cluster(tmp_path / "one", machines=(1,), **dask) as (_, client), client.as_current():
        with pytest.warns(LearnerDroppedWarning, match="2 workers died at it"):
            model = stack(learners, on_error="drop").fit(X, Y)
        assert _nothing_left(client)
    assert_same(model, _calm("one", "two"))


def test_a_machine_is_lost_and_another_comes(tmp_path, log):
    with cluster(tmp_path / "lost", machines=(1,)) as (run, client), client.as_current():

        def exchange():
            pid_at_work(log, ("one", 0))
            run.add()
            _end(run.processes[1])

        with meanwhile(exchange):
            model = stack(_pair_that_waits(log, tmp_path / "cure")).fit(X, Y)
        assert _nothing_left(client)
        assert len({pid for _, _, _, pid in lines(log)}) == 2
    assert_same(model, _calm("one", "two"))


@pytest.mark.nightly  # so it does after another is lost, which is tested above
def test_a_worker_that_joins_gets_work(tmp_path, log):
    with cluster(tmp_path / "joins", machines=(1,)) as (run, client), client.as_current():
        learners = [(name, Troubled(name, log=str(log), trouble="lonely")) for name in ("one", "two")]
        with meanwhile(lambda: (pid_at_work(log), run.add())):  # in mid-fit
            model = stack(learners).fit(X, Y)
        assert len({pid for _, _, _, pid in lines(log)}) == 2
    assert_same(model, _calm("one", "two"))


@pytest.mark.nightly
def test_a_worker_that_takes_no_tasks_is_left_alone(tmp_path, log):
    options = {"DASK_DISTRIBUTED__WORKER__MEMORY__PAUSE": "False"}
    with cluster(tmp_path / "paused", **options) as (_, client), client.as_current():
        paused = next(iter(client.nthreads()))

        def pause(dask_worker):
            dask_worker.status = distributed.Status.paused

        client.run(pause, workers=[paused])
        model = stack(_pair(log, 0.05)).fit(X, Y)
        assert len({pid for _, _, _, pid in lines(log)}) == 1
    assert_same(model, _calm("one", "two"))


def test_the_scheduler_dies(tmp_path, log):
    with cluster(tmp_path / "headless", patience=2) as (run, client):

        def behead():
            pid_at_work(log, ("one", 0))
            run.scheduler.kill()

        gone = "scheduler at tcp://.* does not answer any more"
        with client.as_current(), meanwhile(behead), pytest.raises(ConnectionError, match=gone):
            stack(_pair_that_waits(log, tmp_path / "cure")).fit(X, Y)
        with joblib.parallel_config(backend="dask", client=client), pytest.raises(ValueError, match="is closed"):
            stack(_pair(log)).fit(X, Y)


def test_no_workers_at_all(tmp_path, monkeypatch):
    monkeypatch.setattr("stackkit._execution.backends.dask.WORKERS_SECONDS", 0.5)
    missing = r"has had no workers for 0\.5 seconds\. Start some"
    running = cluster(tmp_path / "empty", machines=())
    with running as (_, client), client.as_current(), pytest.raises(ConnectionError, match=missing):
        cross_fit([GaussianNB()], X, Y)


# --- what cannot cross ----------------------------------------------------------------------------------


def test_what_cannot_be_pickled_is_its_learners_failure(client):
    learners = [("one", GaussianNB()), ("holds", Holds()), ("stubborn", HoldsStubborn(Stubborn()))]
    with client.as_current(), pytest.warns(LearnerDroppedWarning) as dropped:
        model = stack(learners, on_error="drop").fit(X, Y)
    assert set(model.failures_["learner"]) == {"holds", "stubborn"}
    assert any("this one stays" in str(warning.message) for warning in dropped)
    assert_same(model, stack(learners[:1], n_jobs=1).fit(X, Y))


def test_a_large_learner_is_nothing_to_be_warned_of(client):
    learner = Numbered(np.zeros(2_000_000))
    with client.as_current(), warnings.catch_warnings():
        warnings.simplefilter("error")
        cross_fit([("large", learner)], X, Y, cv=2)


class Numbered(GaussianNB):
    def __init__(self, numbers=None):
        super().__init__()
        self.numbers = numbers


def test_workers_with_other_versions_are_refused():
    with pytest.raises(RuntimeError, match=r"has numpy .*, this process 0\.1: .* Install the same"):
        _check_versions({"numpy": "0.1"})
    _check_versions({"a library that only the caller has": "1"})


# --- time -----------------------------------------------------------------------------------------------


def test_task_timeout_ends_one_learner_only(client, log):
    learners = [*_pair(log, 0.1), ("bad", Troubled("bad", log=str(log), trouble="hang", without_row=0))]
    with client.as_current(), pytest.warns(LearnerDroppedWarning, match="task_timeout=3 seconds"):
        model = stack(learners, on_error="drop", task_timeout=3).fit(X, Y)
    assert_same(model, _calm("one", "two"))


@pytest.mark.nightly
def test_task_timeout_with_a_single_worker(tmp_path, log):
    learners = [("bad", Troubled("bad", log=str(log), trouble="hang", without_row=0)), *_pair(log, 0.1)]
    with cluster(tmp_path / "one", machines=(1,)) as (_, client), client.as_current():
        with pytest.warns(LearnerDroppedWarning, match="task_timeout=3 seconds"):
            model = stack(learners, on_error="drop", task_timeout=3).fit(X, Y)
        assert _nothing_left(client)
    assert_same(model, _calm("one", "two"))


@pytest.mark.nightly
def test_ctrl_c_leaves_the_cluster_as_it_was(client, log):
    learners = [("bad", Troubled("bad", log=str(log), trouble="hang"))]

    def interrupt():
        pid_at_work(log)
        os.kill(os.getpid(), signal.SIGINT)

    with client.as_current():
        with meanwhile(interrupt), pytest.raises(KeyboardInterrupt):
            stack(learners).fit(X, Y)
        assert _nothing_left(client)
        client.wait_for_workers(2, timeout=60)
        assert_same(stack(_pair(log, 0)).fit(X, Y), _calm("one", "two"))


# --- the store ------------------------------------------------------------------------------------------


def test_the_store_stays_with_the_caller(client, tmp_path):
    log, store = tmp_path / "fits", Store(tmp_path / "store")
    learners = [("one", Counted(str(log))), ("two", Counted(str(log), scale=2.0))]
    local = stack(learners, n_jobs=1).fit(X[:, 1:], Y)
    log.unlink()
    with client.as_current():
        cold = stack(learners, memory=store).fit(X[:, 1:], Y)
        assert len(log.read_text().splitlines()) == 2 * N_FOLDS
        warm = stack([*learners, ("three", Counted(str(log), scale=3.0))], memory=store).fit(X[:, 1:], Y)
        assert len(log.read_text().splitlines()) == 3 * N_FOLDS
        again = stack(learners, memory=store).fit(X[:, 1:], Y)
    at_home = stack(learners, memory=store, n_jobs=1).fit(X[:, 1:], Y)
    assert len(log.read_text().splitlines()) == 3 * N_FOLDS
    for model in (cold, again, at_home):
        assert_same(model, local, NEW[:, 1:])
    assert_array_equal(warm.oof_.train[:, :2], local.oof_.train)


def test_what_was_done_before_an_interrupt_is_not_done_again(client, tmp_path, log):
    done, store = tmp_path / "done", Store(tmp_path / "store")
    good = Troubled("good", log=str(done))
    bad = Troubled("bad", log=str(log), trouble="hang", without_row=0)

    def interrupt():
        pid_at_work(log)
        wait_until(lambda: store.info().n_models == store.info().n_tables == 2 * N_FOLDS - 1)  # but one that hangs
        os.kill(os.getpid(), signal.SIGINT)

    with client.as_current():
        with meanwhile(interrupt), pytest.raises(KeyboardInterrupt):
            stack([("good", good), ("bad", bad)], memory=store).fit(X, Y)
        stack([("good", good)], memory=store).fit(X, Y)
    assert len(lines(done)) == 2 * N_FOLDS


# --- stacks inside ---------------------------------------------------------------------------------------


@pytest.mark.parametrize("settings", [{}, {"n_jobs": 2}], ids=str)
def test_a_stack_as_a_learner(client, settings):
    def nested():
        return [("inner", stack([GaussianNB(), Together()], cv=2, **settings)), ("bayes", GaussianNB())]

    local = stack(nested(), cv=2, n_jobs=1).fit(X[:, 1:], Y)
    with client.as_current():
        assert_same(stack(nested(), cv=2).fit(X[:, 1:], Y), local, NEW[:, 1:])


def test_stacks_in_joblibs_own_tasks_do_not_wait_for_each_other(client):
    """More grid points than workers, each a fit that wants workers itself."""

    def searched(**settings):
        grid = {"bayes__var_smoothing": [1e-9, 1e-3, 1e-1]}
        model = stack([("bayes", GaussianNB()), ("together", Together())], cv=2)
        return GridSearchCV(model, grid, cv=2, refit=False, error_score="raise", **settings).fit(X[:, 1:], Y)

    local = searched()
    with joblib.parallel_config(backend="dask", client=client):
        elsewhere = searched(n_jobs=-1)
    assert_array_equal(local.cv_results_["mean_test_score"], elsewhere.cv_results_["mean_test_score"])


# --- other clients ---------------------------------------------------------------------------------------


def test_asynchronous_clients_are_refused(shared):
    machines, _ = shared

    async def fit():
        async with distributed.Client(machines.address, asynchronous=True) as client:
            found = cross_fit([Observes()], X[:, 1:], Y, cv=2).members["observes"][0].pid_ != os.getpid()
            handed_in = joblib.parallel_config(backend="dask", client=client)
            with handed_in, pytest.raises(ValueError, match="must not be asynchronous"):
                cross_fit([Observes()], X[:, 1:], Y, cv=2)
        return found

    assert not asyncio.run(fit())


def test_workers_that_are_threads_of_this_process(log):
    learners = [*_all_kinds()[:3], *_pair(log, 0.05)]
    local = stack(learners, n_jobs=1).fit(X, Y)
    settings = {"processes": False, "n_workers": 1, "threads_per_worker": 2, "dashboard_address": None}
    with distributed.LocalCluster(**settings) as threads, threads.get_client() as client, client.as_current():
        assert_same(stack(learners).fit(X, Y), local)
        with pytest.raises(RuntimeError, match="its worker has no nanny"):
            stack([("bad", Troubled("bad", trouble="dawdle"))], task_timeout=1).fit(X, Y)


def test_the_package_does_not_load_dask():
    program = "import sys, stackkit; assert not {'dask', 'distributed'} & set(sys.modules)"
    subprocess.run([sys.executable, "-c", program], check=True)
