"""The plan and the progress of a fit, from the parent, only if asked: on stderr, or as outputs of a notebook's cell."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager
from importlib import import_module
from typing import Any, Protocol, Self

from rich.console import Console
from rich.progress import (
    BarColumn,
    MofNCompleteColumn,
    Progress,
    TextColumn,
    TimeElapsedColumn,
    TimeRemainingColumn,
)

REDRAWN_AFTER = 0.2  # seconds between two messages to a notebook: results from a store come by the thousand


class Advance(Protocol):
    def __call__(self, name: str, n: int, /) -> None: ...


def say(sentence: str, *, verbose: bool) -> None:
    if verbose:
        Console(stderr=True).print(f"stackkit: {sentence}", highlight=False, markup=False, soft_wrap=True)


@contextmanager
def progress(plan: str, total: int, *, verbose: bool) -> Iterator[Advance]:
    """Learners x folds done, elapsed, expected end."""
    if not verbose:
        yield lambda _name, _n: None
        return
    columns = (
        TextColumn("stackkit {task.description}", markup=False),  # a learner's name may have brackets
        BarColumn(),
        MofNCompleteColumn(),
        TimeElapsedColumn(),
        TextColumn("left"),
        TimeRemainingColumn(),
    )
    say(plan, verbose=True)
    console = Console(stderr=True)
    bars = Progress(*columns, console=console)
    bar = bars.add_task("learners x folds", total=total)
    with _NotebookOutput(bars) if console.is_jupyter else bars as shown:

        def advance(name: str, n: int) -> None:
            shown.update(bar, advance=n, description=f"learners x folds ({name})")

        yield advance


class _NotebookOutput:
    """Bars as one output of a notebook, which is written over.

    Rich itself needs ipywidgets for that. Without, it warns ten times a second, and draws nothing until the end.
    """

    def __init__(self, bars: Progress) -> None:
        self._bars = bars

    def __enter__(self) -> Self:
        self._output = import_module("IPython.display").display(self._bars, display_id=True)
        self._drawn = time.monotonic()
        return self

    def update(self, bar: Any, **changes: Any) -> None:
        self._bars.update(bar, **changes)
        if time.monotonic() - self._drawn >= REDRAWN_AFTER:
            self._draw()

    def __exit__(self, *_: object) -> None:
        self._draw()

    def _draw(self) -> None:
        self._output.update(self._bars)
        self._drawn = time.monotonic()
