"""The plan and the progress of a fit, on stderr, from the parent, only if asked."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Protocol

from rich.console import Console
from rich.progress import (
    BarColumn,
    MofNCompleteColumn,
    Progress,
    TextColumn,
    TimeElapsedColumn,
    TimeRemainingColumn,
)


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
    with Progress(*columns, console=Console(stderr=True)) as bars:
        bar = bars.add_task("learners x folds", total=total)

        def advance(name: str, n: int) -> None:
            bars.update(bar, advance=n, description=f"learners x folds ({name})")

        yield advance
