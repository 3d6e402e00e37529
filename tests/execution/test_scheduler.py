"""Which task next, on whom, and what happens when workers die, hang or run out of time.

The backends here have no workers and the clock stands still unless it is told to go on: what is tested are decisions.
"""

import contextlib
import random
from collections import Counter
from dataclasses import replace

import joblib
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from joblib.parallel import ThreadingBackend, register_parallel_backend
from sklearn.ensemble import RandomForestClassifier
from sklearn.naive_bayes import GaussianNB
from spies import Noisy, Together, job_of
from watchdog import at_most

from stackkit import Store, cross_fit
from stackkit._execution import scheduler as _schedule
from stackkit._execution.backends.base import Lost
from stackkit._execution.backends.joblib import JoblibBackend
from stackkit._execution.backends.local import CallingThread, ThreadBackend
from stackkit._execution.backends.processes import ProcessBackend
from stackkit._execution.limits import NO_LIMITS, Limits
from stackkit._execution.result_cache import with_keys
from stackkit._execution.scheduler import _Schedule, run_tasks
from stackkit._execution.tasks import ALL_ROWS, OUT_OF_TIME, Failure, Result, make_tasks
from stackkit._execution.worker import run_task
from stackkit._members.fitting import Member
from stackkit._store.store import open_store
from stackkit.exceptions import StoreWarning

KEY = "a secret that both sides know"
RNG = np.random.default_rng(0)
X, Y = RNG.normal(size=(60, 3)), np.arange(60) % 2


class Clock:
    """Stands still unless somebody waits."""

    def __init__(self):
        self.now = 1000.0
        self.on_sleep = lambda: None
        self._slept = 0

    def monotonic(self):
        return self.now

    def sleep(self, seconds):
        self._slept += 1
        assert self._slept < 1000, "the schedule sleeps for ever"
        self.now += seconds
        self.on_sleep()


class Fake:
    """A backend without workers: each task ends when its seconds are over, and gives what it is told to."""

    def __init__(self, clock, capacity=1, *, seconds=None, peaks=None, deaths=None, fails=()):
        self.clock, self.capacity = clock, capacity
        self.threads = max(1, joblib.cpu_count() // capacity)
        self.seconds, self.peaks = seconds or {}, peaks or {}
        self.deaths, self.fails = Counter(deaths or {}), fails
        self.ends = {}
        self.started, self.starts, self.crowds, self.dismissed, self.closed = [], [], [], [], []
        self._waits = 0

    def start(self, task):
        self.ends[task] = self.clock.now + self.seconds.get(task.name, 1.0) * len(task.folds)
        self.started.append(label(task))
        self.starts.append(self.clock.now)
        self.crowds.append(sorted(map(label, self.ends)))

    def wait(self, timeout):
        self._waits += 1
        assert self.ends, "nobody is at work"
        assert self._waits < 5000, "the schedule goes round in circles"
        task = min(self.ends, key=self.ends.get)
        if timeout is not None and self.ends[task] > self.clock.now + timeout:
            self.clock.now += timeout
            return []
        self.clock.now = max(self.clock.now, self.ends.pop(task))
        return [(task, self._outcome(task))]

    def _outcome(self, task):
        if self.deaths[label(task)] > 0:
            self.deaths[label(task)] -= 1
            return Lost("killed (likely out of memory)")
        if task.name in self.fails:
            return [Result(task.name, task.folds[0], failure=Failure("fit", "boom"))]
        times = {"fit_seconds": self.seconds.get(task.name, 1.0), "predict_seconds": 0.0}
        peak = self.peaks.get(task.name, 0)
        return [Result(task.name, fold, _member(task, fold), peak_bytes=peak, **times) for fold in task.folds]

    def has_begun(self, task):
        return True

    def stop_worker(self, task):
        self.dismissed.append(label(task))
        del self.ends[task]

    def close(self, *, now):
        self.closed.append(now)


def label(task):
    return f"{task.name}{'*' if task.folds == (ALL_ROWS,) else task.folds[0]}"


def _member(task, fold):
    return Member(f"model of {task.name} for {fold}", np.arange(2), np.arange(2))


class Wide(GaussianNB):
    """A network with threads of its own."""

    def __init__(self, n_threads=1):
        super().__init__()
        self.n_threads = n_threads


@pytest.fixture(autouse=True)
def _watchdog():
    """No mistake may make a schedule go round for ever."""
    with at_most(60):
        yield


@pytest.fixture
def clock(monkeypatch):
    clock = Clock()
    monkeypatch.setattr(_schedule, "time", clock)
    return clock


@pytest.fixture
def store_files(tmp_path):
    return open_store(Store(tmp_path / "store", key=KEY))


def _learners(names):
    return [(name, GaussianNB()) for name in names]


def _run(backend, tasks, *, job=None, limits=NO_LIMITS, stop_at_failure=False):
    job = job or job_of(list({task.name: task.learner for task in tasks}.items()), X, Y)
    schedule = _Schedule(job, tasks, lambda: backend, limits, stop_at_failure=stop_at_failure)
    schedule.run(lambda _name, _n: None)
    return schedule


def _whole(schedule):
    """How many folds of each learner have a result."""
    return dict(Counter(result.name for result in schedule.results if not result.failure))


def _failures(schedule):
    return [(result.name, result.fold, result.failure.stage) for result in schedule.results if result.failure]


def _until(clock, seconds):
    return Limits(time_limit=seconds, deadline=clock.now + seconds)


# --- in which order -----------------------------------------------------------------------------------


def test_first_a_fold_of_each_learner_then_the_longest_first(clock):
    backend = Fake(clock, seconds={"a": 1, "b": 5, "c": 3})
    schedule = _run(backend, make_tasks(_learners("abc"), range(3), 0))
    assert backend.started == ["a0", "b0", "c0", "b1", "b2", "c1", "c2", "a1", "a2"]
    assert _whole(schedule) == {"a": 3, "b": 3, "c": 3}


def test_a_learner_that_nobody_has_seen_yet_may_take_for_ever(clock):
    backend = Fake(clock, 2, seconds={"quick": 1, "slow": 9, "unknown": 2})
    _run(backend, make_tasks(_learners(["slow", "quick", "unknown"]), range(3), 0))
    # When unknown0 ends, slow0 is still at work: its seconds are not known, so it may take the longest.
    assert backend.started == [
        "slow0",
        "quick0",
        "unknown0",
        "slow1",
        "slow2",
        "unknown1",
        "unknown2",
        "quick1",
        "quick2",
    ]


def test_refits_stand_in_the_same_list_and_take_their_rows_share_longer(clock):
    learners = _learners("abc")
    tasks = make_tasks(learners, range(3), 0) + make_tasks(learners, [ALL_ROWS], 0)
    backend = Fake(clock, seconds={"a": 1, "b": 5, "c": 6})
    _run(backend, tasks)
    # 60 rows instead of 40: a refit of b takes 7.5 seconds, more than a fold of c.
    assert backend.started[:3] == ["a0", "b0", "c0"]
    assert backend.started[3:] == ["c*", "b*", "c1", "c2", "b1", "b2", "a*", "a1", "a2"]


def test_folds_trained_at_once_count_together(clock):
    learners = [("together", Together()), ("alone", GaussianNB()), ("last", GaussianNB())]
    backend = Fake(clock, seconds={"together": 1, "alone": 2, "last": 1})
    schedule = _run(backend, make_tasks(learners, range(4), 0))
    assert backend.started[0] == "together0"
    assert backend.started.count("together0") == 1
    assert _whole(schedule) == {"together": 4, "alone": 4, "last": 4}


def test_never_more_tasks_than_places(clock):
    backend = Fake(clock, 3, seconds={"a": 1, "b": 5, "c": 3})
    _run(backend, make_tasks(_learners("abc"), range(4), 0))
    assert max(map(len, backend.crowds)) == 3


@settings(max_examples=40, deadline=None)
@given(
    st.dictionaries(st.sampled_from("abcdef"), st.floats(0.1, 9), min_size=1, max_size=6),
    st.integers(1, 4),
    st.integers(1, 5),
)
def test_every_task_is_done_once_and_none_waits_for_a_free_worker(seconds, capacity, n_folds):
    with pytest.MonkeyPatch.context() as patch:
        clock = Clock()
        patch.setattr(_schedule, "time", clock)
        backend = Fake(clock, capacity, seconds=seconds)
        tasks = make_tasks(_learners(seconds), range(n_folds), 0)
        schedule = _run(backend, tasks)
    assert sorted(backend.started) == sorted(map(label, tasks))
    assert sorted((r.name, r.fold) for r in schedule.results) == sorted((t.name, t.folds[0]) for t in tasks)
    assert sorted(backend.started[: len(seconds)]) == sorted(f"{name}0" for name in seconds)
    # Greedy: no longer than Graham's bound for any order.
    work, longest = n_folds * sum(seconds.values()), max(seconds.values())
    assert clock.now - 1000 <= work / capacity + longest + 1e-6


# --- when time is short -------------------------------------------------------------------------------


def test_when_time_will_not_do_the_learner_that_needs_least_comes_first(clock):
    backend = Fake(clock, seconds={"long": 5, "short": 1, "mid": 2})
    limits = _until(clock, 20)
    schedule = _run(backend, make_tasks(_learners(["long", "short", "mid"]), range(4), 0), limits=limits)
    order = ["long0", "short0", "mid0", "short1", "short2", "short3", "mid1", "mid2", "mid3", "long1"]
    assert backend.started == order
    assert _whole(schedule) == {"long": 2, "short": 4, "mid": 4}
    assert _failures(schedule) == [("long", 2, OUT_OF_TIME), ("long", 3, OUT_OF_TIME)]
    messages = {result.failure.message for result in schedule.results if result.failure}
    assert messages == {"not started within time_limit=20 seconds."}


def test_with_time_enough_the_longest_come_first(clock):
    seconds = {"long": 5, "short": 1, "mid": 2}
    with_limit, without = Fake(clock, seconds=seconds), Fake(clock, seconds=seconds)
    tasks = make_tasks(_learners(seconds), range(4), 0)
    _run(with_limit, tasks, limits=_until(clock, 100))
    _run(without, tasks)
    assert with_limit.started == without.started
    assert without.started[3:6] == ["long1", "long2", "long3"]


@settings(max_examples=40, deadline=None)
@given(st.dictionaries(st.sampled_from("abcd"), st.floats(0.1, 9), min_size=1), st.integers(1, 3), st.floats(0.1, 60))
def test_nothing_starts_after_the_deadline_and_what_did_not_is_named(seconds, capacity, limit):
    with pytest.MonkeyPatch.context() as patch:
        clock = Clock()
        patch.setattr(_schedule, "time", clock)
        limits, backend = _until(clock, limit), Fake(clock, capacity, seconds=seconds)
        tasks = make_tasks(_learners(seconds), range(3), 0)
        schedule = _run(backend, tasks, limits=limits)
    assert all(at < limits.deadline for at in backend.starts)
    done = {(r.name, r.fold) for r in schedule.results if not r.failure}
    late = {(r.name, r.fold) for r in schedule.results if r.failure and r.failure.stage == OUT_OF_TIME}
    assert {f"{name}{fold}" for name, fold in done} == set(backend.started)
    assert done | late == {(t.name, t.folds[0]) for t in tasks}
    assert not done & late


def test_with_no_time_at_all_no_backend_is_made(clock):
    tasks = make_tasks(_learners("ab"), range(2), 0)
    job = job_of(_learners("ab"), X, Y)
    limits = Limits(time_limit=1, deadline=clock.now)
    schedule = _Schedule(job, tasks, lambda: pytest.fail("a backend was made"), limits, stop_at_failure=True)
    schedule.run(lambda _name, _n: None)
    assert len(_failures(schedule)) == 4


def test_what_is_kept_is_read_even_when_time_is_over(clock, store_files):
    learners = _learners("ab")
    job = job_of(learners, X, Y, store=store_files)
    tasks, _ = with_keys(job, make_tasks(learners, range(3), 0))
    for task in tasks[:4]:
        run_task(job, task, None)
    schedule = _run(Fake(clock), tasks, job=job, limits=Limits(time_limit=1, deadline=clock.now))
    # Equal learners, equal keys: a's fold 2 is not there, and so b's neither.
    assert _whole(schedule) == {"a": 2, "b": 2}
    assert {stage for *_, stage in _failures(schedule)} == {OUT_OF_TIME}


# --- memory -------------------------------------------------------------------------------------------


@settings(max_examples=60, deadline=None)
@given(
    st.dictionaries(st.sampled_from("abcdef"), st.tuples(st.integers(1, 60), st.floats(0.1, 9)), min_size=1),
    st.integers(1, 5),
    st.integers(1, 100),
)
def test_the_budget_is_kept_and_first_folds_run_alone(learners, capacity, budget):
    base = 10
    peaks = {name: peak for name, (peak, _) in learners.items()}
    with pytest.MonkeyPatch.context() as patch:
        clock = Clock()
        patch.setattr(_schedule, "time", clock)
        patch.setattr(_schedule, "used_memory", lambda: base)
        backend = Fake(clock, capacity, seconds={name: s for name, (_, s) in learners.items()}, peaks=peaks)
        tasks = make_tasks(_learners(learners), range(4), 0)
        schedule = _run(backend, tasks, limits=Limits(max_memory=budget))
    assert _whole(schedule) == dict.fromkeys(learners, 4)  # one task runs in any case
    for started, crowd in zip(backend.started, backend.crowds, strict=True):
        if started.endswith("0") or len(crowd) == 1:
            assert crowd == [started]
        else:
            assert base + sum(peaks[task[0]] for task in crowd) <= budget


def test_memory_that_suffices_is_used(clock, monkeypatch):
    monkeypatch.setattr(_schedule, "used_memory", lambda: 10)
    backend = Fake(clock, 3, peaks={"a": 30, "b": 5})
    _run(backend, make_tasks(_learners("ab"), range(4), 0), limits=Limits(max_memory=75))
    largest = max(backend.crowds, key=len)
    assert len(largest) == 3
    assert max(sum(task.startswith("a") for task in crowd) for crowd in backend.crowds) == 2  # 10 + 2 * 30 <= 75 < 100


def test_what_the_process_itself_takes_counts_anew_each_time(clock, monkeypatch):
    monkeypatch.setattr(_schedule, "used_memory", lambda: clock.now - 1000)  # it grows by one a second
    backend = Fake(clock, 2, peaks={"a": 10})
    _run(backend, make_tasks(_learners("a"), range(9), 0), limits=Limits(max_memory=24))
    assert [len(crowd) for crowd in backend.crowds][:3] == [1, 1, 2]
    assert all(len(crowd) == 1 for crowd, at in zip(backend.crowds, backend.starts, strict=True) if at - 1000 > 4)


def test_a_learner_known_from_the_store_alone_is_measured_first(clock, store_files, monkeypatch):
    """What a kept result took is not known: nought bytes would let any number run at once."""
    monkeypatch.setattr(_schedule, "used_memory", lambda: 0)
    learners = [("a", GaussianNB())]
    job = job_of(learners, X, Y, cv=5, store=store_files)
    tasks, _ = with_keys(job, make_tasks(learners, range(5), 0))
    run_task(job, tasks[0], None)
    backend = Fake(clock, 4, peaks={"a": 30})
    _run(backend, tasks, job=job, limits=Limits(max_memory=70))
    assert "a0" not in backend.started
    assert backend.crowds[0] == [backend.started[0]]
    assert max(map(len, backend.crowds)) == 2


# --- threads ------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("place", "at_once"),
    [((4, 4, 1), 4), ((4, 4, 2), 2), ((4, 4, 3), 1), ((4, 4, 16), 1), ((8, 4, 2), 4), ((8, 4, 3), 2), ((1, 3, 1), 3)],
)
def test_networks_take_as_many_places_as_they_have_threads(clock, monkeypatch, place, at_once):
    cores, capacity, n_threads = place
    monkeypatch.setattr(joblib, "cpu_count", lambda: cores)
    backend = Fake(clock, capacity)
    _run(backend, make_tasks([("net", Wide(n_threads))], range(8), 0))
    assert max(map(len, backend.crowds)) == at_once


@settings(max_examples=40, deadline=None)
@given(st.lists(st.integers(1, 9), min_size=1, max_size=4), st.integers(1, 5), st.integers(1, 16))
def test_places_taken_are_never_more_than_there_are(threads, capacity, cores):
    learners = [(f"net{'abcd'[k]}", Wide(n)) for k, n in enumerate(threads)]
    share = max(1, cores // capacity)
    with pytest.MonkeyPatch.context() as patch:
        clock = Clock()
        patch.setattr(_schedule, "time", clock)
        patch.setattr(joblib, "cpu_count", lambda: cores)
        backend = Fake(clock, capacity)
        schedule = _run(backend, make_tasks(learners, range(3), 0))
    assert len(schedule.results) == 3 * len(learners)
    of = {name: learner.n_threads for name, learner in learners}
    for crowd in backend.crowds:
        places = [min(capacity, -(-of[task[:4]] // share)) for task in crowd]
        assert len(crowd) == 1 or sum(map(int, places)) <= capacity


# --- workers that die ---------------------------------------------------------------------------------


def test_a_lost_task_is_tried_once_more_alone(clock):
    backend = Fake(clock, 3, deaths={"b1": 1})
    schedule = _run(backend, make_tasks(_learners("abc"), range(3), 0))
    assert _whole(schedule) == {"a": 3, "b": 3, "c": 3}
    assert _failures(schedule) == []
    assert backend.started.count("b1") == 2
    again = len(backend.started) - backend.started[::-1].index("b1") - 1
    assert backend.crowds[again] == ["b1"]
    others = [place for place, name in enumerate(backend.started) if name[0] != "b"]
    assert max(others) < again  # nobody else waits for it
    assert backend.started[again + 1 :] == ["b2"]  # which might have killed its worker, too


def test_lost_twice_it_fails_its_learner_with_the_reason_and_the_others_stay(clock):
    backend = Fake(clock, 3, deaths={"b1": 2})
    schedule = _run(backend, make_tasks(_learners("abc"), range(3), 0))
    assert backend.started.count("b1") == 2
    assert _whole(schedule) == {"a": 3, "b": 1, "c": 3}  # b2 would cost a worker, for nothing
    assert _failures(schedule) == [("b", 1, "fit")]
    assert schedule.results[-1].failure.message == "killed (likely out of memory)"


def test_several_lost_tasks_are_tried_alone_one_by_one(clock):
    backend = Fake(clock, 4, deaths={"a0": 1, "b0": 1, "c1": 2})
    schedule = _run(backend, make_tasks(_learners("abc"), range(2), 0))
    assert _whole(schedule) == {"a": 2, "b": 2, "c": 1}
    again = [place for place, name in enumerate(backend.started) if name in backend.started[:place]]
    assert len(again) == 3
    assert all(backend.crowds[place] == [backend.started[place]] for place in again)


def test_with_stop_at_failure_a_second_death_ends_it_all(clock):
    backend = Fake(clock, 1, deaths={"a0": 2, "b0": 2})
    schedule = _run(backend, make_tasks(_learners("ab"), range(1), 0), stop_at_failure=True)
    assert backend.started == ["a0", "b0", "a0"]
    assert _failures(schedule) == [("a", 0, "fit")]


def test_what_is_left_of_a_learner_that_died_twice_does_not_start(clock):
    backend = Fake(clock, 2, deaths={"a0": 2, "a1": 2})
    schedule = _run(backend, make_tasks(_learners("ab"), range(2), 0))
    assert Counter(backend.started) == {"a0": 2, "b0": 1, "b1": 1}
    assert _failures(schedule) == [("a", 0, "fit")]


# --- failures -----------------------------------------------------------------------------------------


def test_stop_at_failure_starts_nothing_further_but_keeps_what_runs(clock):
    backend = Fake(clock, 2, seconds={"a": 1, "b": 3}, fails="a")
    schedule = _run(backend, make_tasks(_learners("ab"), range(4), 0), stop_at_failure=True)
    assert backend.started == ["a0", "b0"]
    assert _whole(schedule) == {"b": 1}
    assert backend.closed == [False]


def test_otherwise_only_that_learner_stops(clock):
    backend = Fake(clock, 1, fails="a")
    schedule = _run(backend, make_tasks(_learners("ab"), range(4), 0))
    assert Counter(task[0] for task in backend.started) == {"a": 1, "b": 4}
    assert _failures(schedule) == [("a", 0, "fit")]


def test_after_a_failure_no_further_task_starts():
    started = []

    class Counts(GaussianNB):
        def fit(self, X, y):
            started.append(len(X))
            raise RuntimeError("boom")

    with pytest.raises(ValueError, match="boom"):
        cross_fit([Counts()], X, Y, cv=10)
    assert len(started) == 1


def test_an_exception_lets_the_workers_go_at_once_and_gives_claims_back(clock, store_files):
    learners = _learners("ab")
    job = job_of(learners, X, Y, store=store_files)
    tasks, _ = with_keys(job, make_tasks(learners, range(2), 0))

    class Interrupted(Fake):
        def wait(self, timeout):
            raise KeyboardInterrupt

    backend = Interrupted(clock, 2)
    with pytest.raises(KeyboardInterrupt) as caught:
        _run(backend, tasks, job=job)
    assert backend.closed == [True]
    assert caught.tb is not None  # it keeps the schedule alive: a claim that nobody holds any more goes by itself
    for task in tasks:
        claim = store_files.claim(task.key)
        assert claim is not None
        claim.release()


# --- hanging ------------------------------------------------------------------------------------------


def test_a_task_that_never_ends_is_dismissed_and_fails_its_learner(clock):
    backend = Fake(clock, 2, seconds={"a": 1, "b": np.inf})
    schedule = _run(backend, make_tasks(_learners("ab"), range(3), 0), limits=Limits(task_timeout=10))
    assert backend.dismissed == ["b0", "b1"]  # b1 began at a time when nothing was known of b
    assert clock.now == 1012  # then the rest of a
    assert "b2" not in backend.started
    assert _whole(schedule) == {"a": 3}
    assert _failures(schedule) == [("b", 0, "fit"), ("b", 1, "fit")]
    messages = {result.failure.message for result in schedule.results if result.failure}
    assert messages == {"not done within task_timeout=10 seconds."}


def test_a_task_that_is_in_time_is_left_alone(clock):
    backend = Fake(clock, 1, seconds={"a": 9.9})
    schedule = _run(backend, make_tasks(_learners("a"), range(3), 0), limits=Limits(task_timeout=10))
    assert backend.dismissed == []
    assert _whole(schedule) == {"a": 3}


def test_folds_trained_at_once_have_a_fold_s_time_each(clock):
    in_time, too_slow = Fake(clock, seconds={"together": 9.9}), Fake(clock, seconds={"together": 10.1})
    tasks, limits = make_tasks([("together", Together())], range(4), 0), Limits(task_timeout=10)
    assert _whole(_run(in_time, tasks, limits=limits)) == {"together": 4}
    assert in_time.dismissed == []
    schedule = _run(too_slow, tasks, limits=limits)
    assert too_slow.dismissed == ["together0"]
    assert schedule.results[-1].failure.message == "not done within task_timeout=10 seconds a fold."


def test_a_dismissed_task_gives_its_claim_back(clock, store_files):
    job = job_of([("a", GaussianNB())], X, Y, store=store_files)
    tasks, _ = with_keys(job, make_tasks([("a", GaussianNB())], range(1), 0))
    _run(Fake(clock, seconds={"a": np.inf}), tasks, job=job, limits=Limits(task_timeout=10))
    claim = store_files.claim(tasks[0].key)
    assert claim is not None
    claim.release()


# --- the store ----------------------------------------------------------------------------------------


class Works:
    """One worker that does what it is told, here."""

    capacity = threads = 1

    def __init__(self, job):
        self.job, self.started, self._done = job, [], []

    def start(self, task):
        self.started.append(label(task))
        self._done.append((task, run_task(self.job, task, None)))

    def wait(self, timeout):
        done, self._done = self._done, []
        return done

    def close(self, *, now):
        pass


def _stored(store_files, names="ab", n_folds=3):
    """Learners that differ, so that their keys do."""
    learners = [(name, GaussianNB(var_smoothing=10.0**-k)) for k, name in enumerate(names, 3)]
    job = job_of(learners, X, Y, cv=n_folds, store=store_files)
    tasks, problems = with_keys(job, make_tasks(learners, range(n_folds), 0))
    assert problems == []
    return job, tasks


def _tables(schedule):
    return {(r.name, r.fold): r.oof.tobytes() for r in schedule.results}


def test_with_everything_in_the_store_no_backend_is_made(store_files):
    job, tasks = _stored(store_files)
    first = _run(Works(job), tasks, job=job)
    second = _Schedule(job, tasks, lambda: pytest.fail("a backend was made"), NO_LIMITS, stop_at_failure=True)
    second.run(lambda _name, _n: None)
    assert _tables(second) == _tables(first)
    assert len(_tables(second)) == 6


def test_what_somebody_else_is_at_is_postponed_and_taken_from_the_store_when_done(clock, store_files):
    job, tasks = _stored(store_files)
    theirs = next(task for task in tasks if label(task) == "a0")
    claim = store_files.claim(theirs.key)
    asked = []

    def they_are_done():
        asked.append(list(backend.started))
        if len(asked) == 3:
            run_task(job, theirs, None)
            claim.release()

    clock.on_sleep = they_are_done
    backend = Works(job)
    schedule = _run(backend, tasks, job=job)
    assert sorted(backend.started) == ["a1", "a2", "b0", "b1", "b2"]
    assert all(len(started) == 5 for started in asked)  # the others go first
    assert len(asked) == 3
    alone = replace(job, store=None)
    assert _tables(schedule) == _tables(_run(Works(alone), tasks, job=alone))


def test_what_somebody_else_gave_up_is_done_here(clock, store_files):
    job, tasks = _stored(store_files)
    claim = store_files.claim(tasks[0].key)
    clock.on_sleep = claim.release
    backend = Works(job)
    schedule = _run(backend, tasks, job=job)
    assert backend.started[-1] == "a0"
    assert len(_tables(schedule)) == 6


def test_who_waits_for_somebody_else_heeds_the_time_limit(clock, store_files):
    job, tasks = _stored(store_files)
    with store_files.claim(tasks[0].key):
        schedule = _run(Works(job), tasks, job=job, limits=_until(clock, 5))
    assert _failures(schedule) == [("a", 0, OUT_OF_TIME)]
    assert clock.now == pytest.approx(1005, abs=2 * _schedule.POLL_SECONDS)


def test_who_runs_for_long_still_looks_what_somebody_else_has_done(clock, store_files):
    """b0 runs for 100 seconds; meanwhile another process finishes a0."""
    job, tasks = _stored(store_files, n_folds=2)
    claim = store_files.claim(tasks[0].key)

    class Watched(Fake):
        def wait(self, timeout):
            if self.clock.now > 1050:
                claim.release()
            else:
                assert timeout is not None
            return super().wait(timeout)

    backend = Watched(clock, 4, seconds={"a": 1, "b": 100})
    _run(backend, tasks, job=job)
    assert backend.started == ["b0", "a1", "b1", "a0"]
    assert backend.starts[-1] < 1052


@pytest.mark.parametrize("suffix", ["table", "model"])
def test_a_damaged_entry_is_done_again_and_said_once(store_files, suffix):
    job, tasks = _stored(store_files)
    before = _run(Works(job), tasks, job=job)
    for path in store_files.folder.rglob(f"{tasks[0].key}*.{suffix}"):
        content = bytearray(path.read_bytes())
        content[-1] ^= 1
        path.write_bytes(content)
    backend = Works(job)
    schedule = _run(backend, tasks, job=job)
    assert backend.started == ["a0"]
    assert _tables(schedule) == _tables(before)
    assert len(schedule.problems) == 1
    assert "is damaged, or was not written with this store's key" in schedule.problems[0]
    again = _Schedule(job, tasks, lambda: pytest.fail("a backend was made"), NO_LIMITS, stop_at_failure=True)
    again.run(lambda _name, _n: None)
    assert again.problems == []


def test_problems_of_the_store_are_one_warning(store_files):
    job, tasks = _stored(store_files)
    options = {"n_jobs": 1, "limits": NO_LIMITS, "stop_at_failure": True, "verbose": False}
    run_tasks(job, tasks, **options)
    for path in store_files.folder.rglob("*.table"):
        path.write_bytes(path.read_bytes()[:-1] + b"?")
    with pytest.warns(StoreWarning, match="is damaged.* So it went 6 times.* is computed again") as caught:
        results = run_tasks(job, tasks, **options)
    assert len(caught) == 1
    assert len(results) == 6


def test_a_model_that_vanishes_on_the_way_is_fitted_again(store_files):
    """The worker has put it into the store, and before it is read somebody clears the store."""
    job, tasks = _stored(store_files, names="a", n_folds=2)

    class Cleared(Works):
        def wait(self, timeout):
            done = super().wait(timeout)
            if len(self.started) == 1:
                for path in store_files.folder.rglob("*.model"):
                    path.unlink()
            return [(task, [_without_estimator(result) for result in results]) for task, results in done]

    backend = Cleared(job)
    schedule = _run(backend, tasks, job=job)
    assert Counter(backend.started) == {"a0": 2, "a1": 1}
    assert all(result.member.estimator is not None for result in schedule.results)


def _without_estimator(result):
    assert result.in_store
    return replace(result, member=replace(result.member, estimator=None))


# --- the order of arrival -----------------------------------------------------------------------------


class Shuffled(Works):
    """Some tasks at a time, handed back in any order."""

    capacity = 4

    def __init__(self, job, chance):
        super().__init__(job)
        self.chance = chance

    def wait(self, timeout):
        self.chance.shuffle(self._done)
        some = self.chance.randint(1, len(self._done))
        done, self._done = self._done[:some], self._done[some:]
        return done


@settings(max_examples=20, deadline=None)
@given(st.integers(0, 2**32))
def test_results_do_not_depend_on_the_order_of_arrival(seed):
    learners = [("noisy", Noisy()), ("forest", RandomForestClassifier(2)), ("together", Together())]
    options = {"X_test": X[:7], "cv": 4, "random_state": 3}
    expected = cross_fit(learners, X, Y, **options)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(
            _schedule, "_choose_backend", lambda job, _client, _n_jobs, _limits: Shuffled(job, random.Random(seed))
        )
        found = cross_fit(learners, X, Y, **options)
    assert found.train.tobytes() == expected.train.tobytes()
    assert found.test.tobytes() == expected.test.tobytes()
    assert found.columns == expected.columns
    assert list(found.scores.index) == list(expected.scores.index)
    for name in ("noisy", "forest"):
        seeds = [[member.random_state for member in oof.members[name]] for oof in (found, expected)]
        assert seeds[0] == seeds[1]


# --- which backend ---------------------------------------------------------------------------------------


class Elsewhere(ThreadingBackend):
    """Stands for a backend of some other library."""

    supports_return_generator = False


class Unknown(joblib.parallel.SequentialBackend):
    def effective_n_jobs(self, n_jobs):
        return 1 if n_jobs is None else abs(n_jobs)


@pytest.mark.parametrize(
    ("backend", "n_jobs", "limits", "kind"),
    [
        (None, None, NO_LIMITS, CallingThread),
        (None, 1, NO_LIMITS, CallingThread),
        (None, 2, NO_LIMITS, ProcessBackend),
        ("loky", 2, NO_LIMITS, ProcessBackend),
        ("threading", 2, NO_LIMITS, ThreadBackend),
        ("threading", 1, NO_LIMITS, CallingThread),
        ("multiprocessing", 2, NO_LIMITS, JoblibBackend),
        ("unknown", 2, NO_LIMITS, JoblibBackend),
        ("unknown", 1, NO_LIMITS, CallingThread),
        (None, 1, Limits(task_timeout=9), ProcessBackend),  # only a process can be ended
        ("threading", 2, Limits(task_timeout=9), ProcessBackend),
        ("threading", 2, Limits(max_memory=9), ProcessBackend),  # nor can a thread's memory be told from another's
        (None, 1, Limits(max_memory=9), CallingThread),
        (None, 1, Limits(time_limit=9), CallingThread),
    ],
)
def test_who_works_follows_from_joblib_and_the_limits(backend, n_jobs, limits, kind):
    register_parallel_backend("unknown", Unknown)
    job = job_of([("a", GaussianNB())], X, Y)
    with contextlib.ExitStack() as stack:
        if backend is not None:
            stack.enter_context(joblib.parallel_config(backend=backend))
        backend = _schedule._choose_backend(job, None, n_jobs, limits)
    assert type(backend) is kind
    backend.close(now=True)


def test_run_tasks_of_nothing_is_nothing():
    job = job_of([("a", GaussianNB())], X, Y)
    assert run_tasks(job, [], n_jobs=1, limits=NO_LIMITS, stop_at_failure=True, verbose=False) == []


# --- the plan -----------------------------------------------------------------------------------------


def test_the_plan_counts_what_is_kept_and_what_is_to_do(store_files):
    learners = [("together", Together()), ("a", GaussianNB())]
    job = job_of(learners, X, Y, store=store_files)
    tasks, _ = with_keys(job, make_tasks(learners, range(3), 0))

    def plan():
        return _Schedule(job, tasks, lambda: pytest.fail("a backend was made"), NO_LIMITS, stop_at_failure=True).plan()

    assert "2 learners, 6 fits; 0 are in the store, 6 to do; all folds at once: together;" in plan()
    run_task(job, next(task for task in tasks if task.name == "a"), None)
    assert "; 1 are in the store, 5 to do; all folds at once: together;" in plan()
    run_task(job, next(task for task in tasks if task.name == "together"), None)
    assert "; 4 are in the store, 2 to do; first a fold of each learner" in plan()
