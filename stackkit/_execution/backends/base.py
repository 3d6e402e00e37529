"""What the scheduler asks of a backend: where tasks run."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

from stackkit._execution.tasks import Result, Task


@dataclass(frozen=True)
class Lost:
    """The worker died, or its results with it."""

    reason: str


Outcome = list[Result] | Lost


class Backend(Protocol):
    """Workers. Whoever starts tasks looks after ``capacity`` himself."""

    @property
    def capacity(self) -> int:
        """How many tasks there is room for."""

    @property
    def threads(self) -> int:
        """Each task's share of the cores."""

    def start(self, task: Task) -> None: ...

    def wait(self, timeout: float | None) -> list[tuple[Task, Outcome]]:
        """What has come of tasks, as soon as there is something, or after ``timeout`` seconds."""

    def has_begun(self, task: Task) -> bool:
        """Whether its worker has begun: it may have to start first, and to load its libraries."""

    def stop_worker(self, task: Task) -> None:
        """End the worker that is at this task."""

    def close(self, *, now: bool) -> None:
        """Let the workers go; ``now``: end what they are at."""
