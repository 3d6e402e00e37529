"""No fault may make a test wait for ever."""

import signal
from contextlib import contextmanager


@contextmanager
def at_most(seconds):
    """Fails what takes longer; where the system has no alarms it does nothing."""

    def stop(*_):
        raise AssertionError("it does not end")  # a TimeoutError would be an OSError, as the disk's are

    if not hasattr(signal, "SIGALRM"):
        yield
        return
    before = signal.signal(signal.SIGALRM, stop)
    signal.alarm(seconds)
    try:
        yield
    finally:
        signal.alarm(0)
        signal.signal(signal.SIGALRM, before)
