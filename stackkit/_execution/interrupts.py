"""Ctrl-C: it ends a fit whatever a learner makes of it, and never leaves a lock taken."""

from __future__ import annotations

import signal
import threading
from collections.abc import Iterator
from concurrent.futures import Future
from contextlib import contextmanager, suppress
from queue import Empty, SimpleQueue
from types import FrameType


@contextmanager
def interrupts_noticed() -> Iterator[None]:
    """Ctrl-C ends a fit, whatever the learner makes of it.

    skorch ends its training and returns as if it were done: half-trained, it would count as fitted.
    """
    before = signal.getsignal(signal.SIGINT)
    if not callable(before) or threading.current_thread() is not threading.main_thread():
        yield  # interrupts are somebody else's
        return
    noticed = False

    def note(number: int, frame: FrameType | None) -> None:
        nonlocal noticed
        noticed = True
        before(number, frame)

    signal.signal(signal.SIGINT, note)
    try:
        yield
    except Exception as error:
        if noticed:  # made into an error of its own
            raise KeyboardInterrupt from error
        raise
    finally:
        signal.signal(signal.SIGINT, before)
    if noticed:
        raise KeyboardInterrupt


@contextmanager
def interrupts_held() -> Iterator[None]:
    """Ctrl-C comes when this is over, not in its middle. For what is short.

    Python raises KeyboardInterrupt wherever the main thread is, also right after it took a lock and before the ``try``
    that would give it back: whoever wants that lock waits for ever, such as the thread that looks after a worker, and
    with it the end of the process.
    """
    before = signal.getsignal(signal.SIGINT)
    if not callable(before) or threading.current_thread() is not threading.main_thread():
        yield  # interrupts are somebody else's
        return
    held: list[tuple[int, FrameType | None]] = []
    signal.signal(signal.SIGINT, lambda number, frame: held.append((number, frame)))
    try:
        yield
    finally:
        signal.signal(signal.SIGINT, before)
        if held:
            before(*held[0])


class DoneFutures:
    """Futures as they get done. Ctrl-C may come while one waits for them.

    ``concurrent.futures.wait`` takes the lock of each future; waiting here takes none.
    """

    def __init__(self) -> None:
        self._done: SimpleQueue[Future] = SimpleQueue()

    def expect(self, future: Future) -> None:
        """With interrupts held: this takes the future's lock."""
        future.add_done_callback(self._done.put)

    def wait(self, timeout: float | None) -> list[Future]:
        """Those that got done since the last time, as soon as there is one, or after ``timeout`` seconds."""
        done = []
        with suppress(Empty):
            done.append(self._done.get(timeout=timeout))
            while True:
                done.append(self._done.get_nowait())
        return done
