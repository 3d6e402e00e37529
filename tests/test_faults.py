"""Faults and kills, real ones: what was computed stays, what comes out is right, nothing is left behind."""

import json
import os
import pickle
import random
import re
import resource
import signal
import subprocess
import sys
import time
import warnings
from collections import Counter
from contextlib import suppress
from itertools import combinations
from pathlib import Path
from typing import NamedTuple

import numpy as np
import platformdirs
import psutil
import pytest
from numpy.testing import assert_array_equal
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import roc_auc_score
from sklearn.model_selection import KFold
from sklearn.naive_bayes import GaussianNB
from sklearn.neighbors import KNeighborsClassifier
from spies import Troubled, Witness, with_row_ids
from watchdog import at_most

from stackkit import StackingModel, cross_fit
from stackkit._store.store import Store, open_store, store_info
from stackkit.exceptions import LearnerDroppedWarning, LearnerFailedError, StoreWarning

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="kills, mounts and /proc are Linux's")
slow = pytest.mark.slow


def at_night(*cases):
    """Cases of a test that are much like others: not with each change."""
    return [pytest.param(*case, marks=pytest.mark.nightly) for case in cases]


N_ROWS, N_FOLDS = 40, 4
FIRST_ROWS = range(0, N_ROWS, N_ROWS // N_FOLDS)  # what names a fold in a log
IS_ROOT = hasattr(os, "geteuid") and os.geteuid() == 0


def _rows(n, seed):
    rng = np.random.default_rng(seed)
    X = rng.normal(size=(n, 3))
    return with_row_ids(X), (X[:, 0] + rng.normal(size=n) > 0).astype(int)


X, Y = _rows(N_ROWS, 0)
NEW = _rows(15, 1)[0]


def stack(learners, **settings):
    return StackingModel(learners, LogisticRegression(), **({"cv": KFold(N_FOLDS), "random_state": 0} | settings))


def undisturbed(learners, **settings):
    """What the model gives whose learners take no time and have no troubles."""
    calm = [(name, Troubled(learner.label)) for name, learner in learners]
    return bits(stack(calm, **settings).fit(X, Y))


def bits(model):
    return model.oof_.train.tobytes() + model.predict_proba(NEW).tobytes()


@pytest.fixture(autouse=True)
def watchdog():
    """No fault may make a fit wait for ever."""
    with at_most(120):
        yield


@pytest.fixture(autouse=True)
def places(tmp_path, monkeypatch):
    """The store's key and joblib's files: never in their real places."""
    for name, folder in (("XDG_DATA_HOME", "home"), ("JOBLIB_TEMP_FOLDER", "temp")):
        (tmp_path / folder).mkdir()
        monkeypatch.setenv(name, str(tmp_path / folder))
    monkeypatch.setattr(platformdirs, "user_data_path", lambda name, **_: Path(os.environ["XDG_DATA_HOME"], name))


@pytest.fixture
def store(tmp_path):
    return tmp_path / "store"


class Note(NamedTuple):
    label: str
    row: int
    what: str
    pid: int
    at: float


class Log:
    """What learners wrote down."""

    def __init__(self, path):
        self.path = path

    def notes(self, what):
        lines = [line.split() for line in self.path.read_text().splitlines()] if self.path.exists() else []
        notes = [Note(label, int(row), event, int(pid), float(at)) for label, row, event, pid, at in lines]
        return [note for note in notes if note.what == what]

    def fits(self, what="begins"):
        return Counter((note.label, note.row) for note in self.notes(what))

    def clear(self):
        self.path.unlink(missing_ok=True)


@pytest.fixture
def log(tmp_path):
    return Log(tmp_path / "log")


@pytest.fixture
def cure(tmp_path):
    return tmp_path / "cure"


def team(log, *names, **settings):
    return [(name, Troubled(name, log=str(log.path), **settings)) for name in names]


def troubled(log, cure, trouble, **settings):
    return Troubled("bad", log=str(log.path), trouble=trouble, cure=str(cure), **settings)


def tasks_of(*names):
    return Counter((name, row) for name in names for row in FIRST_ROWS)


def fit_noting_warnings(model, category=StoreWarning):
    """The warnings of that category; all others are errors."""
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("error")
        warnings.simplefilter("always", category)
        model.fit(X, Y)
    return [str(warning.message) for warning in caught]


def is_alive(pid):
    try:
        return psutil.Process(pid).status() != psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return False


def wait_until(holds, seconds=60):
    end = time.monotonic() + seconds
    while not holds():
        assert time.monotonic() < end, "waited in vain"
        time.sleep(0.005)


# --- learners that raise ------------------------------------------------------------------------------


@pytest.mark.parametrize("n_jobs", [1, 2])
def test_after_a_learner_was_mended_only_what_is_missing_is_fitted(log, cure, store, n_jobs):
    bad = troubled(log, cure, "raise", without_row=10, seconds=0.1)  # the longest goes on first
    model = stack([*team(log, "one", "two"), ("bad", bad)], memory=store, n_jobs=n_jobs)
    place = r"'bad' \(Troubled\) failed in fold 1 of 4 \(30 training rows, 10 test rows\), in fit: RuntimeError: boom"
    with pytest.raises(LearnerFailedError, match=place) as caught:
        model.fit(X, Y)
    assert isinstance(caught.value.__cause__, RuntimeError)
    done = log.fits("ends")
    assert 3 <= done.total() < 11  # a fold of each at least; and it stopped early
    cure.touch()
    log.clear()
    model.fit(X, Y)
    assert log.fits() == tasks_of("one", "two", "bad") - done
    assert bits(model) == undisturbed(model.estimators)


@pytest.mark.parametrize("memory", [False, True])
@pytest.mark.parametrize("n_jobs", [1, 2])
def test_a_dropped_learner_leaves_the_others_as_they_were(log, cure, store, n_jobs, memory):
    good = team(log, "one", "two")
    bad = troubled(log, cure, "raise", without_row=10)
    model = stack([good[0], ("bad", bad), good[1]], n_jobs=n_jobs, on_error="drop", memory=store if memory else None)
    for _ in range(2):  # the second time from the store
        with pytest.warns(LearnerDroppedWarning, match=r"'bad'.*in fold 1 of 4.*boom.*leaves the stack"):
            model.fit(X, Y)
        assert bits(model) == undisturbed(good)
        row = model.failures_.iloc[0]
        assert (row["learner"], row["fold"], row["stage"], row["error"]) == ("bad", 1, "fit", "RuntimeError: boom")


@pytest.mark.parametrize("on_error", ["raise", "drop"])
def test_when_every_learner_raises_the_error_lists_them_or_the_first(log, cure, on_error):
    learners = [(name, troubled(log, cure, "raise")) for name in ("one", "two")]
    expected = r"No learner is left.*'one'.*boom.*'two'.*boom" if on_error == "drop" else r"'one'.*in fold 0 of 4.*boom"
    with pytest.raises(LearnerFailedError, match=expected):
        stack(learners, on_error=on_error).fit(X, Y)


# --- learners that hang -------------------------------------------------------------------------------


@slow
@pytest.mark.parametrize(("n_jobs", "on_error"), [(1, "raise"), (2, "drop"), *at_night((1, "drop"), (2, "raise"))])
def test_a_learner_that_hangs_is_ended(log, cure, n_jobs, on_error):
    good = team(log, "one", "two")
    bad = troubled(log, cure, "hang", without_row=10)
    model = stack([good[0], ("bad", bad), good[1]], n_jobs=n_jobs, task_timeout=2, on_error=on_error)
    told = r"'bad' .*in fold 1 of 4 .*not done within task_timeout=2 seconds"
    if on_error == "raise":
        with pytest.raises(LearnerFailedError, match=told):
            model.fit(X, Y)
    else:
        with pytest.warns(LearnerDroppedWarning, match=told):
            model.fit(X, Y)
        assert bits(model) == undisturbed(good)
        assert model.failures_[["learner", "fold", "stage"]].to_numpy().tolist() == [["bad", 1, "fit"]]
    (hung,) = [note for note in log.notes("begins") if (note.label, note.row) == ("bad", 10)]
    assert hung.pid != os.getpid()
    wait_until(lambda: not is_alive(hung.pid))


# --- workers that die ---------------------------------------------------------------------------------

CRASHES = {
    "kill": r"killed \(likely out of memory\)",
    "segfault": r"its worker process died \(.*SIGSEGV",
    "exit": r"its worker process died \(.*3",
}


@slow
@pytest.mark.parametrize(("crash", "n_jobs"), [("kill", 2), ("segfault", 2), *at_night(("kill", 1), ("exit", 2))])
def test_a_worker_that_died_once_makes_no_difference(log, cure, n_jobs, crash):
    bad = troubled(log, cure, crash, without_row=10, once=True)
    model = stack([*team(log, "good"), ("bad", bad)], n_jobs=n_jobs, task_timeout=100).fit(X, Y)
    assert log.fits() == tasks_of("good", "bad") + Counter([("bad", 10)])
    assert len(model.failures_) == 0
    assert bits(model) == undisturbed(model.estimators)


@slow
@pytest.mark.parametrize(
    ("crash", "n_jobs", "on_error"),
    [
        ("kill", 2, "drop"),
        ("exit", 2, "drop"),
        ("kill", 1, "raise"),
        *at_night(("kill", 1, "drop"), ("segfault", 2, "drop"), ("kill", 2, "raise")),
    ],
)
def test_a_learner_that_always_kills_its_worker_fails_and_nobody_else(log, cure, n_jobs, crash, on_error):
    good = team(log, "good", seconds=0.2)  # at work while the other dies
    bad = troubled(log, cure, crash, without_row=10)
    model = stack([*good, ("bad", bad)], n_jobs=n_jobs, task_timeout=100, on_error=on_error)
    told = rf"'bad' .*in fold 1 of 4 .*, in fit: {CRASHES[crash]}"
    if on_error == "raise":
        with pytest.raises(LearnerFailedError, match=told):
            model.fit(X, Y)
    else:
        with pytest.warns(LearnerDroppedWarning, match=told):
            model.fit(X, Y)
        assert bits(model) == undisturbed(good)
        assert model.failures_["learner"].tolist() == ["bad"]
        assert log.fits("ends") - tasks_of("bad") == tasks_of("good")
    assert log.fits()["bad", 10] == 2


@slow
def test_workers_that_died_while_they_had_nothing_to_do_are_replaced(log):
    learners = team(log, "one", "two")
    model = stack(learners, n_jobs=2).fit(X, Y)
    workers = {note.pid for note in log.notes("begins")}
    for pid in workers:
        os.kill(pid, signal.SIGKILL)
    time.sleep(1)  # till it is noticed
    assert bits(model.fit(X, Y)) == undisturbed(learners)
    assert not any(map(is_alive, workers))


# --- other processes ----------------------------------------------------------------------------------


def nursery():
    """A process that has loaded everything, which takes seconds; each line of its input makes a copy that works."""

    def tell(*line):
        os.write(1, (json.dumps(line) + "\n").encode())

    def bury(*_):
        while True:
            try:
                pid, status = os.waitpid(-1, os.WNOHANG)
            except ChildProcessError:
                return
            if pid == 0:
                return
            tell("ended", pid, os.waitstatus_to_exitcode(status))

    warnings.simplefilter("ignore")  # forking with BLAS's threads
    fit_noting_warnings(stack([("bayes", GaussianNB())]))  # what is loaded late
    tell("ready", 0, 0)
    signal.signal(signal.SIGCHLD, bury)
    for _name in sys.stdin:
        signal.pthread_sigmask(signal.SIG_BLOCK, [signal.SIGCHLD])
        pid = os.fork()
        if pid == 0:
            break
        tell("born", pid, 0)
        signal.pthread_sigmask(signal.SIG_UNBLOCK, [signal.SIGCHLD])
    else:
        return
    folder = Path(_name.strip())
    os.setsid()
    for file, number in (("/dev/null", 0), (folder / "out", 1), (folder / "err", 2)):
        os.dup2(os.open(file, os.O_RDWR | os.O_CREAT, 0o600), number)
    signal.signal(signal.SIGCHLD, signal.SIG_DFL)
    signal.signal(signal.SIGINT, signal.default_int_handler)
    signal.pthread_sigmask(signal.SIG_UNBLOCK, [signal.SIGCHLD])
    order = pickle.loads((folder / "order").read_bytes())
    os.environ.update(order["env"])
    if order["limit"]:
        resource.setrlimit(resource.RLIMIT_FSIZE, (order["limit"], order["limit"]))
    told = fit_noting_warnings(order["model"])
    (folder / "fitted").write_bytes(pickle.dumps((bits(order["model"]), told)))


class Child:
    """A copy of the nursery that fits a model."""

    def __init__(self, pid, folder, endings):
        self.pid, self.folder, self._endings = pid, folder, endings

    def family(self):
        try:
            me = psutil.Process(self.pid)
            return [me, *me.children(recursive=True)]
        except psutil.NoSuchProcess:
            return []

    def ending(self, seconds=60):
        """Its exit code."""
        wait_until(lambda: self.pid in self._endings(), seconds)
        return self._endings()[self.pid]

    def fitted(self):
        """What it would predict, and the warnings."""
        assert self.ending() == 0, (self.folder / "err").read_text()
        return pickle.loads((self.folder / "fitted").read_bytes())

    def stderr(self):
        return (self.folder / "err").read_text()


class Nursery:
    """The parent of the children, seen from here."""

    def __init__(self, process, folder):
        self._process, self._folder = process, folder
        self.wait_for(lambda: self._told("ready"))

    def wait_for(self, holds):
        wait_until(lambda: holds() or self._process.poll() is not None)
        assert self._process.poll() is None

    def _told(self, what):
        lines = (self._folder / "told").read_text().splitlines(keepends=True)
        whole = [json.loads(line) for line in lines if line.endswith("\n")]
        return {pid: code for event, pid, code in whole if event == what}

    def fit(self, model, file_limit=None):
        n_born = len(self._told("born"))
        folder = self._folder / str(n_born)
        folder.mkdir()
        env = {name: os.environ[name] for name in ("XDG_DATA_HOME", "JOBLIB_TEMP_FOLDER")}
        (folder / "order").write_bytes(pickle.dumps({"model": model, "env": env, "limit": file_limit}))
        self._process.stdin.write(f"{folder}\n")
        self._process.stdin.flush()
        self.wait_for(lambda: len(self._told("born")) > n_born)
        return Child(list(self._told("born"))[-1], folder, lambda: self._told("ended"))


@pytest.fixture(scope="module")
def nursery_process(tmp_path_factory):
    paths = [*filter(None, [os.environ.get("PYTHONPATH")]), str(Path(__file__).parent)]
    env = os.environ | {"PYTHONPATH": os.pathsep.join(paths), "OPENBLAS_NUM_THREADS": "1", "OMP_NUM_THREADS": "1"}
    command = [sys.executable, "-c", "import test_faults; test_faults.nursery()"]
    folder = tmp_path_factory.mktemp("nursery")
    with (
        (folder / "told").open("w") as told,
        subprocess.Popen(command, stdin=subprocess.PIPE, stdout=told, text=True, env=env, cwd=folder) as process,
    ):
        yield Nursery(process, folder)
        process.kill()


@pytest.fixture
def children(nursery_process):
    """Starts fits in other processes, and ends what is left of them."""
    born = []

    def start(model, **settings):
        born.append(nursery_process.fit(model, **settings))
        return born[-1]

    yield start
    for child in born:
        for process in child.family():
            process.kill()


def all_gone(family):
    return not any(is_alive(process.pid) and process.is_running() for process in family)


def tracker_in(family):
    return next((process for process in family if "resource_tracker" in " ".join(process.cmdline())), None)


def temp_files():
    return list(Path(os.environ["JOBLIB_TEMP_FOLDER"]).iterdir())


# --- a process that is killed or interrupted ----------------------------------------------------------


@pytest.mark.parametrize(
    ("n_jobs", "n_kills"),
    [
        pytest.param(2, 2, marks=slow),
        *at_night((1, 3), (1, 15), (2, 5)),
    ],
)
def test_a_fit_killed_again_and_again_goes_on_where_it_was(log, store, children, n_jobs, n_kills):
    rng = random.Random(n_jobs)
    learners = team(log, "one", "two", "three", seconds=0.08)
    model = stack(learners, cv=KFold(20), memory=store, n_jobs=n_jobs)
    n_tasks = 60
    for _ in range(n_kills):
        before = log.fits().total()
        child = children(model)
        wait_until(lambda before=before: log.fits().total() > before)
        time.sleep(rng.uniform(0, 0.25))
        family = child.family()
        assert len(family) >= n_jobs
        os.kill(child.pid, signal.SIGKILL)
        assert child.ending() == -signal.SIGKILL
        wait_until(lambda family=family: all_gone(family))
        assert temp_files() == []
    before = log.fits()
    n_kept = store_info(store).n_models
    assert len(log.fits("ends")) - n_jobs * n_kills <= n_kept < n_tasks  # some are killed between fit and file
    fitted, told = children(model).fitted()
    assert told == []
    assert (log.fits() - before).total() == n_tasks - n_kept
    assert log.fits().total() <= n_tasks + n_kills * n_jobs
    assert fitted == undisturbed(learners, cv=KFold(20))


@slow
@pytest.mark.parametrize(  # processes: itself, the tracker of its files, and its workers
    ("ends_by", "n_processes"),
    [
        (signal.SIGKILL, 3),
        (signal.SIGINT, 4),
        *at_night((signal.SIGKILL, 2), (signal.SIGKILL, 4), (signal.SIGINT, 2), (signal.SIGINT, 3)),
    ],
)
def test_a_fit_that_ends_before_its_workers_begin_leaves_nothing(log, store, children, ends_by, n_processes):
    child = children(stack(team(log, "one", "two"), memory=store, n_jobs=2))
    wait_until(lambda: temp_files() and tracker_in(child.family()) and len(child.family()) >= n_processes)
    family = child.family()
    if ends_by == signal.SIGINT:
        os.killpg(child.pid, ends_by)
    else:  # its workers too, which could not tidy up
        tracker = tracker_in(family)
        for process in family:
            with suppress(psutil.NoSuchProcess):
                if process != tracker:
                    process.kill()
    assert child.ending() == -ends_by
    wait_until(lambda: all_gone(family))
    assert log.fits() == Counter()
    assert temp_files() == []


@slow
@pytest.mark.parametrize(("n_jobs", "whom"), [(1, "parent"), (2, "group")])
def test_an_interrupted_fit_ends_and_keeps_what_is_done(log, store, children, n_jobs, whom):
    cure = store.with_name("cure")
    last = {"trouble": "hang", "without_row": FIRST_ROWS[-1], "cure": str(cure)}  # however late the signal comes
    learners = team(log, "one", "two", seconds=0.5, **last)
    model = stack(learners, memory=store, n_jobs=n_jobs)
    child = children(model)
    wait_until(lambda: log.fits("ends").total() >= 3)
    family = child.family()
    (os.killpg if whom == "group" else os.kill)(child.pid, signal.SIGINT)
    assert child.ending() in {-signal.SIGINT, 130}
    assert "KeyboardInterrupt" in child.stderr().splitlines()[-1]
    wait_until(lambda: all_gone(family))
    assert temp_files() == []
    done = log.fits("ends")
    assert 3 <= done.total() < 8
    n_kept = store_info(store).n_models
    assert n_kept >= 2  # the third may have been cut short between fit and file
    cure.touch()
    log.clear()
    fitted, told = children(model).fitted()
    assert told == []
    assert log.fits().total() == 8 - n_kept
    assert fitted == undisturbed(learners)


@slow
@pytest.mark.parametrize("n_jobs", [2, *at_night((1,))])
def test_starting_a_worker_takes_nothing_of_a_tasks_time(log, children, n_jobs):
    """To load the libraries takes longer."""
    learners = team(log, "one", "two")
    fitted, told = children(stack(learners, n_jobs=n_jobs, task_timeout=1)).fitted()
    assert told == []
    assert fitted == undisturbed(learners)


# --- several processes at once ------------------------------------------------------------------------


@slow
def test_four_processes_share_the_work(log, store, children):
    learners = team(log, "one", "two", seconds=0.05)
    at_work = [children(stack(learners, memory=store, cv=KFold(10))) for _ in range(4)]
    fitted = [child.fitted() for child in at_work]
    assert all(count == 1 for count in log.fits().values())
    assert log.fits().total() == 20
    assert len({note.pid for note in log.notes("begins")}) > 1
    assert fitted == [(undisturbed(learners, cv=KFold(10)), [])] * 4


@slow
def test_who_waits_for_a_killed_process_goes_on(log, cure, store, children):
    model = stack([*team(log, "good"), ("bad", troubled(log, cure, "hang", without_row=0))], memory=store)
    first = children(model)
    wait_until(lambda: log.fits()["bad", 0])
    second = children(model)
    others = tasks_of("good", "bad") - Counter([("bad", 0)])
    wait_until(lambda: log.fits("ends") == others)  # it does all but what the first one is at
    assert log.fits() == tasks_of("good", "bad")
    cure.touch()
    os.kill(first.pid, signal.SIGKILL)
    fitted, told = second.fitted()
    assert told == []
    assert log.fits()["bad", 0] == 2
    assert fitted == undisturbed(model.estimators)


# --- disks that are full or may not be written to -----------------------------------------------------


@pytest.fixture
def disk(tmp_path):
    """A small file system."""
    place = tmp_path / "disk"
    place.mkdir()
    mount = ["mount", "-t", "tmpfs", "-o", "size=256k", "tmpfs", str(place)]
    if not IS_ROOT or subprocess.run(mount, capture_output=True, check=False).returncode:
        pytest.skip("no file system can be mounted here")
    yield place
    subprocess.run(["umount", "-l", str(place)], check=True)


def fill(disk, room):
    filler = disk / "filler"
    with suppress(OSError), filler.open("wb", buffering=0) as file:
        while file.write(bytes(4096)) == 4096:
            pass
    os.truncate(filler, filler.stat().st_size - room)


def drafts(store):
    return list(store.glob("*/tmp/*"))


@pytest.mark.parametrize("n_jobs", [1, 2])
def test_a_full_disk_costs_only_what_was_not_kept(log, disk, n_jobs):
    store = disk / "store"
    learners = team(log, "one", "two", "three")
    stack(learners[:1], memory=store).fit(X, Y)
    fill(disk, room=5 * 4096)
    log.clear()
    model = stack(learners, memory=store, n_jobs=n_jobs)
    (told,) = fit_noting_warnings(model)
    assert "No space left on device" in told
    assert "Nothing is wrong with the results" in told
    assert log.fits() == tasks_of("two", "three")
    assert bits(model) == undisturbed(learners)
    assert drafts(store) == []


@slow
@pytest.mark.parametrize("n_jobs", [2, *at_night((1,))])
def test_files_that_may_not_be_so_large_cost_only_what_was_not_kept(log, store, children, n_jobs):
    learners = team(log, "one") + team(log, "two", payload=200_000)
    children(stack(learners[:1], memory=store)).fitted()
    log.clear()
    fitted, (told,) = children(stack(learners, memory=store, n_jobs=n_jobs), file_limit=100_000).fitted()
    assert "File too large" in told
    assert log.fits() == tasks_of("two")
    assert fitted == undisturbed(learners)
    assert drafts(store) == temp_files() == []


@pytest.mark.parametrize("n_jobs", [1, 2])
def test_a_store_that_may_not_be_written_to_serves_what_it_has(log, disk, n_jobs):
    store, learners = disk / "store", team(log, "one", "two")
    stack(learners[:1], memory=store).fit(X, Y)
    subprocess.run(["mount", "-o", "remount,ro", str(disk)], check=True)
    log.clear()
    warm = stack(learners[:1], memory=store, n_jobs=n_jobs)
    assert fit_noting_warnings(warm) == []
    assert log.fits() == Counter()
    assert bits(warm) == undisturbed(learners[:1])
    half = stack(learners, memory=store, n_jobs=n_jobs)
    (told,) = fit_noting_warnings(half)
    assert "Read-only file system" in told
    assert log.fits() == tasks_of("two")
    assert bits(half) == undisturbed(learners)
    log.clear()
    cold = stack(learners, memory=disk / "other", n_jobs=n_jobs)
    assert len(fit_noting_warnings(cold)) == 1
    assert bits(cold) == undisturbed(learners)


# --- entries that are damaged or planted --------------------------------------------------------------

FEW_X, FEW_Y = with_row_ids(np.random.default_rng(2).normal(size=(8, 1))), np.arange(8) % 2


KINDS = (".table", ".model", ".new")  # what a learner gives on a fold, its model, what it gives for X_test


class Kept:
    """A store with two folds of a learner: fits are quick."""

    def __init__(self, folder, learners):
        self.folder, self.learners = folder, learners
        self.expected = self.fit(memory=None)[0]
        assert self.fit() == (self.expected, [])
        files = [path for path in folder.rglob("*") if path.is_file()]
        self.content = {path: path.read_bytes() for path in sorted(files, key=lambda path: path.stat().st_mtime_ns)}
        assert [len(self.paths(kind)) for kind in KINDS] == [2, 2, 2]

    def paths(self, kind):
        """In the order of folds."""
        return [path for path in self.content if path.suffix.startswith(kind)]

    def fit(self, **settings):
        with warnings.catch_warnings(record=True) as caught:
            warnings.simplefilter("error")
            warnings.simplefilter("always", StoreWarning)
            settings = {"memory": self.folder, "X_test": FEW_X, "cv": KFold(2)} | settings
            oof = cross_fit(self.learners, FEW_X, FEW_Y, **settings)
        found = oof.train.tobytes(), oof.test.tobytes(), oof.members["one"][0].theta_.tobytes()
        return found, [str(warning.message) for warning in caught]

    def fit_with(self, damage):
        """After files were replaced: what comes out, and the warnings. Then the files are good again."""
        for path, content in damage.items():
            path.write_bytes(content)
        return self.fit()


@pytest.fixture
def kept(store, log):
    found = Kept(store, team(log, "one"))
    log.clear()
    return found


def check_is_noticed(kept, damage, where=""):
    found, told = kept.fit_with(damage)
    assert found == kept.expected, where
    assert len(told) == 1, where
    assert all(re.search(r"is (damaged, or was not written with this store's key|cut short)", text) for text in told)


@slow
@pytest.mark.parametrize(("kind", "step"), [(".table", 17), (".model", 17), (".new", 7)])
def test_no_flipped_bit_gets_through(store, kind, step):
    kept = Kept(store, [("one", GaussianNB())])  # the quickest to fit and to name
    path = kept.paths(kind)[0]
    for place in range(0, len(kept.content[path]), step):
        damaged = bytearray(kept.content[path])
        damaged[place] ^= 1 << place % 8
        check_is_noticed(kept, {path: bytes(damaged)}, f"byte {place}")


@pytest.mark.parametrize("kind", KINDS)
def test_no_file_that_is_cut_short_or_too_long_gets_through(kept, kind):
    path = kept.paths(kind)[0]
    content = kept.content[path]
    for length in (*range(0, 64, 9), *range(64, len(content), 97), len(content) - 1):
        check_is_noticed(kept, {path: content[:length]}, f"{length} bytes")
    check_is_noticed(kept, {path: content + b"\0"})


@pytest.mark.parametrize("kind", KINDS)
def test_no_other_files_content_gets_through(kept, kind):
    for other in set(kept.content) - {kept.paths(kind)[0]}:
        check_is_noticed(kept, {kept.paths(kind)[0]: kept.content[other]})


def test_what_was_damaged_is_kept_anew(kept, log):
    assert kept.fit_with(dict.fromkeys(kept.content, b""))[0] == kept.expected
    assert log.fits().total() == 2
    assert kept.fit() == (kept.expected, [])
    assert log.fits().total() == 2


class Planted:
    """Makes a folder when it is unpickled."""

    def __init__(self, marker):
        self.marker = marker

    def __reduce__(self):
        return os.mkdir, (str(self.marker),)


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("disguise", ["none", "header", "own key"])
def test_a_planted_pickle_is_not_run(kept, tmp_path, kind, disguise):
    marker, path = tmp_path / "marker", kept.paths(kind)[0]
    evil = pickle.dumps(Planted(marker))
    pickle.loads(evil)
    marker.rmdir()  # so it would have worked
    if disguise == "header":
        evil = kept.content[path][:40] + evil
    elif disguise == "own key":
        open_store(Store(tmp_path / "own", key="a key of the attacker's own")).write(path.name, evil)
        evil = next((tmp_path / "own").rglob(path.name)).read_bytes()
    check_is_noticed(kept, {path: evil})
    assert not marker.exists()


def test_what_another_user_has_kept_is_not_used(kept, log, tmp_path, monkeypatch):
    monkeypatch.setenv("XDG_DATA_HOME", str(tmp_path / "another"))
    check_is_noticed(kept, kept.content)
    assert log.fits().total() == 2
    assert kept.fit() == (kept.expected, [])


def test_another_version_of_the_package_starts_afresh(kept, log, monkeypatch):
    with monkeypatch.context() as patch:
        patch.setattr("stackkit._execution.result_cache.version", lambda _: "9.9.9")
        assert kept.fit() == (kept.expected, [])
        assert log.fits().total() == 2
    assert kept.fit() == (kept.expected, [])
    assert log.fits().total() == 2


# --- limits -------------------------------------------------------------------------------------------


@slow
def test_what_is_whole_when_time_is_over_is_stacked(log):
    learners = team(log, "quick", "quicker") + team(log, "slow", seconds=1)
    model = stack(learners, time_limit=2)
    with pytest.warns(LearnerDroppedWarning, match=r"\['slow'\] were not fitted on all folds within time_limit"):
        model.fit(X, Y)
    assert bits(model) == undisturbed(learners[:2])
    assert set(model.failures_["learner"]) == {"slow"}
    assert set(model.failures_["stage"]) == {"time_limit"}
    begun = log.fits()
    assert begun - tasks_of("slow") == tasks_of("quick", "quicker")
    assert len(model.failures_) == 8 + 4 - begun.total()


def test_when_time_is_over_before_any_learner_is_whole_the_error_says_so(log):
    model = stack(team(log, "one", "two", seconds=0.3), time_limit=0.2)
    with pytest.raises(LearnerFailedError, match=r"No learner is left.*not started within time_limit=0.2 seconds"):
        model.fit(X, Y)


@slow
def test_fold_models_predict_when_time_is_over_before_the_refit():
    learners = [("one", Troubled("one", trouble="dawdle", without_row=FIRST_ROWS[-1]))]
    model = StackingModel(learners, cv=KFold(N_FOLDS), refit=True, time_limit=2, random_state=0)
    with pytest.warns(LearnerDroppedWarning, match=r"'one'.*refitted.*time_limit=2.*fold models predict new rows"):
        model.fit(X, Y)
    assert len(model.members_["one"]) == N_FOLDS
    assert len(model.failures_) == 0
    calm = StackingModel([("one", Troubled("one"))], cv=KFold(N_FOLDS), random_state=0).fit(X, Y)
    assert_array_equal(model.predict_proba(NEW), calm.predict_proba(NEW))


def overlaps(log):
    """Pairs of fits that were under way at the same time."""
    ends = {(note.label, note.row): note.at for note in log.notes("ends")}
    spans = [(note.at, ends[note.label, note.row]) for note in log.notes("begins")]
    return [pair for pair in combinations(sorted(spans), 2) if pair[1][0] < pair[0][1]]


@slow
def test_large_fits_run_together_only_where_memory_suffices(log):
    size = 300_000_000
    learners = team(log, "one", "two", seconds=0.3, hunger=size)
    used = psutil.Process().memory_info().rss
    tight = stack(learners, n_jobs=2, max_memory=used + int(1.8 * size)).fit(X, Y)
    assert log.fits() == tasks_of("one", "two")
    assert overlaps(log) == []
    for _ in range(3):
        log.clear()
        wide = stack(learners, n_jobs=2, max_memory="100 GB").fit(X, Y)
        if overlaps(log):
            break
    assert overlaps(log)
    assert bits(tight) == bits(wide) == undisturbed(learners)


# --- who saw which row --------------------------------------------------------------------------------


@pytest.mark.parametrize("n_jobs", [1, 2])
@pytest.mark.parametrize("store_models", [True, False])
def test_no_row_is_predicted_by_a_model_that_saw_it(log, cure, store, store_models, n_jobs):
    """In a fit that fails halfway, in the one that goes on, and in one that finds all in the store."""
    bad = troubled(log, cure, "raise", without_row=20)
    memory = Store(store, store_models=store_models)
    model = stack([("witness", Witness()), ("bad", bad)], memory=memory, n_jobs=n_jobs)
    with pytest.raises(LearnerFailedError, match="boom"):
        model.fit(X, Y)
    cure.touch()
    for _ in range(2):
        model.fit(X, Y)
        assert_array_equal(model.oof_.train[:, 0], np.zeros(N_ROWS))
        # Each row was seen by all of its fold models but one.
        assert_array_equal(model.transform(X)[:, 0], np.full(N_ROWS, 1 - 1 / N_FOLDS))
        for member, (train, _) in zip(model.members_["witness"], model.oof_.folds.pairs, strict=True):
            assert member.seen_ == set(X[train, 0])


@pytest.mark.parametrize("store_models", [True, False])
def test_a_memoriser_on_noise_knows_nothing_out_of_the_store(store, store_models):
    rng = np.random.default_rng(0)
    rows, labels = rng.normal(size=(600, 5)), rng.integers(0, 2, 600)
    learner = [("nearest", KNeighborsClassifier(1))]
    memory = Store(store, store_models=store_models)
    cold, warm = (cross_fit(learner, rows, labels, memory=memory) for _ in range(2))
    assert 0.4 < roc_auc_score(labels, warm.train[:, 0]) < 0.6
    assert_array_equal(warm.train, cold.train)
