"""Files that appear whole or not at all."""

from __future__ import annotations

import os
import secrets
import shutil
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path


def draft_of(path: Path) -> Path:
    """Beside its place, so that one step puts it there; the same suffixes, by which formats are told."""
    return path.with_name(f".{secrets.token_hex(4)}-{path.name}")


@contextmanager
def written_whole() -> Iterator[Callable[[Path], Path]]:
    """Give a draft for each file; all drafts take their places at the end, or none does and none stays."""
    drafts: dict[Path, Path] = {}

    def draft_for(path: Path) -> Path:
        path = path.resolve()  # a link stays a link
        drafts[path] = draft_of(path)
        return drafts[path]

    try:
        yield draft_for
        for path, draft in drafts.items():
            if path.exists():
                shutil.copymode(path, draft)
            os.replace(draft, path)  # noqa: PTH105 -- the name that says what happens
    finally:
        for draft in drafts.values():
            with suppress(OSError):
                draft.unlink(missing_ok=True)
