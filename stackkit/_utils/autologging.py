"""MLflow's autologging: the fits inside our own are no runs of it."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from threading import Lock
from typing import Any

AUTOLOGGING = "mlflow.utils.autologging_utils"  # is loaded where somebody has it on


class _Pause:
    """MLflow's switch is one for the process, and does not count: the first one in turns it, the last one out back."""

    def __init__(self) -> None:
        self._lock, self._inside, self._held = Lock(), 0, ExitStack()

    def begin(self, autologging: Any) -> None:
        with self._lock:
            # No public name tells that the user has turned it off: turning it back would end that.
            if not self._inside and not getattr(autologging, "_AUTOLOGGING_GLOBALLY_DISABLED", False):
                self._held.enter_context(autologging.disable_autologging())
            self._inside += 1

    def end(self) -> None:
        with self._lock:
            self._inside -= 1
            if not self._inside:
                self._held.close()


_PAUSE = _Pause()


@contextmanager
def unlogged() -> Iterator[None]:
    """Let MLflow make no runs of the fits inside, in whichever thread; nothing is imported."""
    autologging = sys.modules.get(AUTOLOGGING)
    if autologging is None:
        yield
        return
    _PAUSE.begin(autologging)
    try:
        yield
    finally:
        _PAUSE.end()
