"""What the scheduler asks of a backend: where tasks run."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

from sklearn import config_context, get_config

from stackkit._execution.tasks import Result, Task


@contextmanager
def same_settings(config: Mapping[str, Any]) -> Iterator[None]:
    """scikit-learn's settings as they were where the task comes from.

    One that is not known here is left out: scikit-learn may be patched there, as by Intel's extension, and not here.
    """
    known = get_config()
    with config_context(**{name: value for name, value in config.items() if name in known}):
        yield


@dataclass(frozen=True)
class Lost:
    """The worker died, or its results with it."""

    reason: str


Outcome = list[Result] | Lost


class Backend(ABC):
    """Workers. The scheduler starts no more tasks than ``capacity``; ``threads`` is each task's share of the cores."""

    capacity: int
    threads: int

    @abstractmethod
    def start(self, task: Task) -> None:
        """Let a worker begin with the task."""

    @abstractmethod
    def wait(self, timeout: float | None) -> list[tuple[Task, Outcome]]:
        """What has come of tasks, as soon as there is something, or after ``timeout`` seconds."""

    def has_begun(self, task: Task) -> bool:
        """Whether its worker has begun: it may have to start first, and to load its libraries."""
        return True

    def stop_worker(self, task: Task) -> None:  # noqa: B027 - only processes can be ended: others are left to finish
        """End the worker that is at this task, where that is possible."""

    @abstractmethod
    def close(self, *, now: bool) -> None:
        """Let the workers go; ``now``: end what they are at."""
