"""What a fit may use: time for a task, time for all, memory."""

from __future__ import annotations

import time
from dataclasses import dataclass
from typing import Any

import numpy as np

from stackkit._utils import check_bytes


@dataclass(frozen=True)
class Limits:
    """Times in seconds, memory in bytes, the deadline by the monotonic clock."""

    task_timeout: float | None = None
    time_limit: float | None = None
    deadline: float = np.inf
    max_memory: int | None = None


NO_LIMITS = Limits()


def limits_from_now(task_timeout: Any, time_limit: Any, max_memory: Any) -> Limits:
    """The user's limits, checked; the clock of ``time_limit`` starts."""
    seconds = _check_seconds("task_timeout", task_timeout), _check_seconds("time_limit", time_limit)
    deadline = np.inf if seconds[1] is None else time.monotonic() + seconds[1]
    return Limits(*seconds, deadline, check_bytes("max_memory", "a stack", max_memory))


def _check_seconds(name: str, value: Any) -> float | None:
    if value is None:
        return None
    seconds = 0.0 if isinstance(value, bool) or not isinstance(value, int | float | np.number) else float(value)
    if not seconds > 0:
        raise ValueError(
            f"The '{name}' parameter of a stack must be a positive number of seconds, or None; got {value!r}. "
            "Use None for no limit."
        )
    return seconds
