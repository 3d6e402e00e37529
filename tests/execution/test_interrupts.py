"""Ctrl-C ends a fit, and leaves nothing behind that others wait for."""

import signal
import sys
import threading
import time
from concurrent.futures import Future
from contextlib import contextmanager
from functools import partial

import joblib
import numpy as np
import pytest
from sklearn.naive_bayes import GaussianNB
from spies import Slow, job_of
from watchdog import at_most

from stackkit import cross_fit
from stackkit._execution.backends import processes
from stackkit._execution.backends.processes import ProcessBackend
from stackkit._execution.interrupts import DoneFutures, interrupts_held, interrupts_noticed
from stackkit._execution.tasks import make_tasks

X, Y = np.random.default_rng(0).normal(size=(60, 3)), np.arange(60) % 2

# --- noticed ------------------------------------------------------------------------------------------


def test_without_an_interrupt_nothing_is_noticed(handler):
    with interrupts_noticed():
        assert signal.getsignal(signal.SIGINT) is not handler
    assert signal.getsignal(signal.SIGINT) is handler


def _swallow():
    try:
        signal.raise_signal(signal.SIGINT)
    except KeyboardInterrupt:
        return "went on"
    pytest.fail("Python's own handler was not called")


def _swallow_and_fail():
    _swallow()
    raise RuntimeError("made an error of it")


def _stop():
    signal.raise_signal(signal.SIGINT)
    pytest.fail("it came too late")


def _noticing(work):
    came_of_it = []
    with pytest.raises(KeyboardInterrupt), interrupts_noticed():
        came_of_it.append(work())
    return came_of_it


def test_an_interrupt_that_was_swallowed_comes_afterwards(handler):
    assert _noticing(_swallow) == ["went on"]
    assert signal.getsignal(signal.SIGINT) is handler


def test_an_interrupt_of_which_an_error_was_made_is_an_interrupt(handler):
    assert _noticing(_swallow_and_fail) == []
    assert signal.getsignal(signal.SIGINT) is handler


def test_an_interrupt_that_was_not_swallowed_comes_at_once(handler):
    assert _noticing(_stop) == []
    assert signal.getsignal(signal.SIGINT) is handler


def test_errors_go_through_and_the_handler_is_as_it_was(handler):
    with pytest.raises(RuntimeError, match="boom"), interrupts_noticed():
        raise RuntimeError("boom")
    assert signal.getsignal(signal.SIGINT) is handler


@pytest.mark.usefixtures("handler")
def test_a_handler_of_the_user_s_is_asked_and_an_interrupt_is_still_one():
    asked = []

    def mine(number, _frame):
        asked.append(number)

    signal.signal(signal.SIGINT, mine)
    with pytest.raises(KeyboardInterrupt), interrupts_noticed():
        signal.raise_signal(signal.SIGINT)
    assert asked == [signal.SIGINT]
    assert signal.getsignal(signal.SIGINT) is mine


@pytest.mark.parametrize("ignored", [signal.SIG_IGN, signal.SIG_DFL])
@pytest.mark.usefixtures("handler")
def test_where_interrupts_are_ignored_they_stay_so(ignored):
    signal.signal(signal.SIGINT, ignored)
    with interrupts_noticed():
        assert signal.getsignal(signal.SIGINT) is ignored
    assert signal.getsignal(signal.SIGINT) is ignored


def test_in_a_thread_interrupts_are_somebody_else_s(handler):
    seen = []

    def work():
        with interrupts_noticed():
            seen.append(signal.getsignal(signal.SIGINT))

    thread = threading.Thread(target=work)
    thread.start()
    thread.join(30)
    assert seen == [handler]


# --- held ---------------------------------------------------------------------------------------------


def test_a_held_interrupt_comes_when_all_is_done(handler):
    done = []

    @interrupts_held()
    def work():
        signal.raise_signal(signal.SIGINT)
        with interrupts_held():
            signal.raise_signal(signal.SIGINT)
            done.append("inner")
        done.append("outer")

    with pytest.raises(KeyboardInterrupt):
        work()
    assert done == ["inner", "outer"]
    assert signal.getsignal(signal.SIGINT) is handler


def test_an_interrupt_that_is_held_while_an_error_comes_is_not_lost(handler):
    @interrupts_held()
    def fail():
        signal.raise_signal(signal.SIGINT)
        raise RuntimeError("boom")

    with pytest.raises(KeyboardInterrupt) as caught:
        fail()
    assert isinstance(caught.value.__context__, RuntimeError)
    assert signal.getsignal(signal.SIGINT) is handler


def test_without_an_interrupt_errors_are_what_they_are(handler):
    with pytest.raises(RuntimeError, match="boom"), interrupts_held():
        raise RuntimeError("boom")
    assert signal.getsignal(signal.SIGINT) is handler


@pytest.mark.usefixtures("handler")
def test_a_held_interrupt_is_the_user_s_handler_s():
    asked = []
    signal.signal(signal.SIGINT, lambda number, _frame: asked.append(number))
    with interrupts_held():
        signal.raise_signal(signal.SIGINT)
        assert asked == []
    assert asked == [signal.SIGINT]


@pytest.mark.parametrize("ignored", [signal.SIG_IGN, signal.SIG_DFL])
@pytest.mark.usefixtures("handler")
def test_where_interrupts_are_not_python_s_none_is_held(ignored):
    signal.signal(signal.SIGINT, ignored)
    with interrupts_held():
        assert signal.getsignal(signal.SIGINT) is ignored
    assert signal.getsignal(signal.SIGINT) is ignored


def test_in_a_thread_none_is_held(handler):
    seen = []

    def work():
        with interrupts_held():
            seen.append(signal.getsignal(signal.SIGINT))

    thread = threading.Thread(target=work)
    thread.start()
    thread.join(30)
    assert seen == [handler]


# --- waiting ------------------------------------------------------------------------------------------


def test_futures_come_once_and_in_the_order_in_which_they_end():
    futures, done = [Future() for _ in range(4)], DoneFutures()
    futures[3].set_result(0)  # before anybody expects it
    for future in futures:
        done.expect(future)
    futures[2].set_exception(RuntimeError("boom"))
    futures[0].set_result(0)
    assert done.wait(None) == [futures[3], futures[2], futures[0]]
    assert done.wait(0.0) == []
    threading.Timer(0.1, futures[1].set_result, [0]).start()
    assert done.wait(60) == [futures[1]]


@pytest.mark.usefixtures("handler")
@pytest.mark.skipif(not hasattr(signal, "pthread_kill"), reason="Windows interrupts nothing that waits")
def test_waiting_is_interrupted():
    threading.Timer(0.1, signal.pthread_kill, [threading.get_ident(), signal.SIGINT]).start()
    with at_most(60), pytest.raises(KeyboardInterrupt):
        DoneFutures().wait(None)


# --- locks --------------------------------------------------------------------------------------------


@contextmanager
def called_when_a_lock_is_taken(tell):
    """In this thread, as soon as it has it: Python may raise KeyboardInterrupt there."""

    def spy(frame, event, function):
        if event == "c_return" and function.__name__ in ("acquire", "__enter__"):
            tell(frame)

    sys.setprofile(spy)
    try:
        yield
    finally:
        sys.setprofile(None)


def _interrupt(_frame):
    sys.setprofile(None)
    signal.raise_signal(signal.SIGINT)


def _managers():
    return {thread for thread in threading.enumerate() if thread.name == "ExecutorManagerThread"}


@pytest.mark.parametrize("moment", ["start", "wait"])
@pytest.mark.filterwarnings("error::pytest.PytestUnhandledThreadExceptionWarning")
@pytest.mark.usefixtures("handler")
def test_an_interrupt_leaves_no_worker_that_cannot_be_ended(moment):
    """Where a lock stays taken, the thread that looks after a worker waits for it, and the process for the thread."""
    learners = [("slow", Slow(0.5))]
    backend, before = ProcessBackend(job_of(learners, X, Y), 1), _managers()
    first, second = make_tasks(learners, range(2), 0)
    with at_most(600):  # a busy machine may take minutes to start a worker
        backend.start(first)
        work = partial(backend.wait, None)
        if moment == "start":
            work()
            work = partial(backend.start, second)
        with pytest.raises(KeyboardInterrupt), called_when_a_lock_is_taken(_interrupt):
            work()
        backend.close(now=True)
        waiting = {worker._executor_manager_thread for worker in processes._WAITING}
        while _managers() - before - waiting:
            time.sleep(0.01)


def _callers(frame):
    while frame is not None:
        yield frame.f_code
        frame = frame.f_back


@pytest.mark.parametrize("backend", ["loky", "threading"])
def test_no_lock_is_taken_that_an_interrupt_could_leave_taken(handler, backend, tmp_path):
    places = []
    # Thread.join gives its lock back when it is interrupted; filelock's no other thread has to do with.
    harmless = ("_wait_for_tstate_lock", "filelock")

    def note(frame):
        callers = " < ".join(f"{code.co_filename}:{code.co_name}" for code in _callers(frame))
        if signal.getsignal(signal.SIGINT) is handler and not any(name in callers for name in harmless):
            places.append(callers)

    with joblib.parallel_config(backend=backend), called_when_a_lock_is_taken(note):
        cross_fit([GaussianNB()], X, Y, cv=3, n_jobs=2, memory=tmp_path)
    assert places == []
