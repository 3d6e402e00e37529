"""The temporary folder by which worker processes get the data, and give back what they fitted."""

from __future__ import annotations

import os
import shutil
import tempfile
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from uuid import uuid4

import joblib
from filelock import FileLock, Timeout
from joblib.externals.loky.backend import resource_tracker

from stackkit._execution.tasks import Job


class SharedFolder:
    """What crosses between processes. It goes with its owner.

    If that was killed, joblib's tracker removes it once all its workers have ended; if that was killed too, the
    next one that is made.
    """

    def __init__(self) -> None:
        place = os.environ.get("JOBLIB_TEMP_FOLDER") or tempfile.gettempdir()
        for left_behind in Path(place).glob("stackkit-*/owner.lock"):
            _remove_if_orphaned(left_behind)
        while (owned := self._make(Path(place))) is None:
            pass
        self._owned = owned

    def _make(self, place: Path) -> FileLock | None:
        self.path = (place / f"stackkit-{uuid4().hex}").absolute()
        self._tell_tracker(resource_tracker.register)  # first: who is killed in between leaves nothing
        try:
            owned = _made(self.path)
        except OSError:
            self._tell_tracker(resource_tracker.unregister)
            raise
        if owned is None:
            self._tell_tracker(resource_tracker.unregister)
        return owned

    def put(self, job: Job) -> None:
        try:
            joblib.dump(job, self.path / "job.pkl")
        except OSError as error:
            self.remove()
            raise OSError(
                f"The data cannot be written to the temporary folder {self.path.parent} for the worker processes: "
                f"{error}. Set the environment variable JOBLIB_TEMP_FOLDER to one with more room, or use threads: "
                "joblib.parallel_config(backend='threading')."
            ) from error

    def remove(self) -> None:
        self._owned.release()
        shutil.rmtree(self.path, ignore_errors=True)
        self._tell_tracker(resource_tracker.unregister)

    def _tell_tracker(self, what: Callable[[str, str], None]) -> None:
        with suppress(ValueError):  # a path too long for it, or with letters beyond ASCII
            what(str(self.path), "folder")


def _made(path: Path) -> FileLock | None:
    """Make a folder and lock it; None if another process took it for an orphan before it was locked."""
    path.mkdir(mode=0o700)
    mark, lock = path / "new", FileLock(path / "owner.lock", thread_local=False)
    with suppress(FileNotFoundError):
        mark.touch()
        lock.acquire()
        if mark.exists():  # else filelock has made the folder anew, open to others
            mark.unlink(missing_ok=True)
            return lock
    lock.release()
    shutil.rmtree(path, ignore_errors=True)
    return None


def _remove_if_orphaned(lock_file: Path) -> None:
    """The lock of a process ends with it, on whatever machine, or in whatever container, it was."""
    try:
        with FileLock(lock_file, timeout=0):
            shutil.rmtree(lock_file.parent, ignore_errors=True)
    except (OSError, Timeout):
        return  # somebody's
