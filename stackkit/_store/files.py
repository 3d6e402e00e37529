"""Files under a seal: what comes back is what was written, or nothing; and who computes what is not there yet."""

from __future__ import annotations

import errno
import hmac
import io
import json
import math
import os
import re
import secrets
import stat
import threading
import time
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, BinaryIO, Self
from zipfile import BadZipFile

import filelock
import numpy as np

from stackkit._utils import why

# A file is MAGIC, the seal of 32 bytes, and what was written. Files of another format lie in another
# folder: one version of stackkit never meets those of another.
FORMAT = 1
_MAGIC = b"\x93STKKIT" + bytes([FORMAT])
_HEADER = len(_MAGIC) + 32
ROOT = f"stackkit-{FORMAT}"

# Two hexadecimal digits, which give the folder, and a dot: no name leads out of its folder, none is special
# on any system, and only what has such a name is ever removed.
_NAME = re.compile(r"[0-9a-f]{2}[0-9a-z-]*(\.[0-9a-z-]+)+")
_SHARD = re.compile(r"[0-9a-f]{2}")
_DRAFT = re.compile(r"[0-9]+-[0-9a-f]{16}")
# NumPy reads the head of an array with Python's parser, of which 3.11 before 3.11.5 bears one thread at a time
# (python/cpython#106905): SystemError, "AST constructor recursion depth mismatch".
_PARSING = threading.Lock()
_ABANDONED = 3600 * 10**9  # nanoseconds after which nobody goes on with a draft, or minds a look at a lock


class StoreProblem(Exception):  # noqa: N818 -- no error: the caller goes on, and computes again
    """Something of the store could not be read or written; the message is a sentence that names the file."""


# --- files ------------------------------------------------------------------------------------------


def make_folder(folder: Path) -> None:
    """With its parents: pathlib would let others into those."""
    if not folder.is_dir() and folder != folder.parent:
        make_folder(folder.parent)
        folder.mkdir(mode=0o700, exist_ok=True)


def unique() -> str:
    return f"{os.getpid()}-{secrets.token_hex(8)}"


def create(path: Path) -> BinaryIO:
    """A new file for its owner alone; a link planted under its name is not followed."""

    def opener(name: str, flags: int) -> int:
        return os.open(name, flags | getattr(os, "O_NOFOLLOW", 0), 0o600)

    return open(path, "xb", opener=opener)


def read_file(path: Path) -> tuple[bytes, os.stat_result]:
    """Content of a regular file: a pipe planted under its name would let the reader wait for ever."""

    def opener(name: str, flags: int) -> int:
        return os.open(name, flags | getattr(os, "O_NONBLOCK", 0))

    with open(path, "rb", buffering=0, opener=opener) as file:
        status = os.fstat(file.fileno())
        if not stat.S_ISREG(status.st_mode):
            raise OSError(errno.EINVAL, "not a regular file")
        return file.read(), status


@dataclass(frozen=True)
class Entry:
    path: Path
    size: int
    used: int


def entries_of(root: Path) -> list[Entry]:
    """Files by names that only the store gives; links and whatever else lies there are not its own."""
    return [
        entry for shard in _shards(root) for entry in _listed(shard, _NAME) if entry.path.name.startswith(shard.name)
    ]


def _shards(root: Path) -> list[Path]:
    with suppress(FileNotFoundError, NotADirectoryError), os.scandir(root) as items:
        return [Path(item) for item in items if _SHARD.fullmatch(item.name) and item.is_dir(follow_symlinks=False)]
    return []


def _listed(folder: Path, names: re.Pattern[str]) -> list[Entry]:
    entries = []
    with suppress(FileNotFoundError, NotADirectoryError), os.scandir(folder) as items:
        for item in items:
            with suppress(FileNotFoundError):  # another process has just removed it
                if names.fullmatch(item.name) and item.is_file(follow_symlinks=False):
                    status = item.stat(follow_symlinks=False)
                    entries.append(Entry(Path(item), status.st_size, status.st_mtime_ns))
    return entries


def _sweep(root: Path, before: float) -> None:
    """Remove drafts and locks that killed processes have left; ``before`` is a time in nanoseconds."""
    for draft in _listed(root / "tmp", _DRAFT):
        if draft.used < before:
            draft.path.unlink(missing_ok=True)
    for lock in _listed(root / "locks", _NAME):
        if lock.used < before and (claim := _claim(lock.path)):
            claim.release()


def clear_all(root: Path) -> None:
    """Remove what the store has written, and nothing else."""
    for entry in entries_of(root):
        entry.path.unlink(missing_ok=True)
    _sweep(root, math.inf)
    for folder in [*_shards(root), root / "tmp", root / "locks", root]:
        with suppress(OSError):  # something of somebody else is in it
            folder.rmdir()


# --- the store at work ------------------------------------------------------------------------------


class Claim:
    """The right to compute something, until it is released or its owner dies."""

    def __init__(self, lock: filelock.BaseFileLock | None) -> None:
        self._lock = lock

    def release(self) -> None:
        lock, self._lock = self._lock, None
        if lock is None:
            return
        with suppress(OSError):
            # While it is held, for who takes the name from now on is the next owner. Who opened the file before
            # holds a lock that nobody else sees: two may then compute the same, which is a waste but no harm.
            Path(lock.lock_file).unlink()
        with suppress(OSError):
            lock.release()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.release()


def _claim(path: Path) -> Claim | None:
    # Without fallback_to_soft: a soft lock outlives its owner, and then nobody ever gets it.
    lock = filelock.FileLock(path, timeout=0, mode=0o600, thread_local=False, fallback_to_soft=False)
    try:
        make_folder(path.parent)
        lock.acquire()
    except filelock.Timeout:
        return None
    except OSError:  # no locks here: what is lost is only that others wait
        return Claim(None)
    return Claim(lock)


def _check_name(name: str) -> str:
    if not _NAME.fullmatch(name):
        raise ValueError(f"A name in the store must begin with two hexadecimal digits and have a suffix; got {name!r}.")
    return name


@dataclass(frozen=True)
class StoreFiles:
    """An open store. Goes to worker processes, key and all."""

    folder: Path
    key: bytes = field(repr=False)
    store_models: bool = True
    size_limit: int | None = None

    @property
    def _root(self) -> Path:
        return self.folder / ROOT

    def _path(self, name: str) -> Path:
        return self._root / _check_name(name)[:2] / name

    def _seal(self, name: str, *parts: Any) -> bytes:
        """Of the name too: a whole file under another's name is a wrong result."""
        seal = hmac.new(self.key, _MAGIC + len(name).to_bytes(8, "big") + name.encode("ascii"), "sha256")
        for part in parts:
            seal.update(part)
        return seal.digest()

    def has(self, name: str) -> bool:
        """Whether something is there under that name; only `read` tells whether it is any good."""
        return os.path.lexists(self._path(name))

    def read(self, name: str) -> memoryview | None:
        """What was written under the name; None if nothing was. Now it is the most recently used."""
        path = self._path(name)
        try:
            # All of it before the seal is looked at: a mapped file could still be changed afterwards.
            content, _ = read_file(path)
        except FileNotFoundError:
            return None
        except (OSError, MemoryError) as error:
            raise StoreProblem(f"{path} could not be read ({why(error)}).") from error
        payload = memoryview(content)[_HEADER:]
        if len(content) < _HEADER or not content.startswith(_MAGIC):
            raise StoreProblem(f"{path} is cut short, or no file of this store.")
        if not hmac.compare_digest(content[len(_MAGIC) : _HEADER], self._seal(name, payload)):
            raise StoreProblem(f"{path} is damaged, or was not written with this store's key.")
        with suppress(OSError):
            os.utime(path)
        return payload

    def write(self, name: str, *parts: Any) -> None:
        """Put bytes under the name, all of them or none: readers see what was there before, or this."""
        path = self._path(name)
        parts = (_MAGIC, self._seal(name, *parts), *parts)
        try:
            try:
                self._put(path, parts)
            except FileNotFoundError:  # no folders yet, or another process has just cleared the store
                make_folder(path.parent)
                make_folder(self._root / "tmp")
                self._put(path, parts)
        except OSError as error:
            raise StoreProblem(f"{path} could not be written ({why(error)}).") from error

    def _put(self, path: Path, parts: tuple[Any, ...]) -> None:
        draft = self._root / "tmp" / unique()
        try:
            # Not synced to the disk, which takes longer than many a fit: a file that a power failure has torn is
            # found out by its seal, and computed again.
            with create(draft) as file:
                file.writelines(parts)
            draft.replace(path)
        except BaseException:
            with suppress(OSError):
                draft.unlink()
            raise

    def read_arrays(self, name: str) -> tuple[dict[str, np.ndarray], dict[str, Any]] | None:
        content = self.read(name)
        if content is None:
            return None
        try:
            with _PARSING, np.load(io.BytesIO(content), allow_pickle=False) as table:
                head, *arrays = (table[f"arr_{k}"] for k in range(len(table.files)))
            names, facts = json.loads(head.tobytes())
            return dict(zip(names, arrays, strict=True)), facts
        except (ValueError, TypeError, KeyError, OSError, EOFError, BadZipFile) as error:
            raise StoreProblem(f"{self._path(name)} holds no table ({why(error)}).") from error

    def write_arrays(self, name: str, arrays: Mapping[str, np.ndarray], facts: Mapping[str, Any]) -> None:
        """Arrays by name, and what JSON can say; no pickles."""
        for key, array in arrays.items():
            if array.dtype.hasobject:
                raise ValueError(f"The array {key!r} must hold numbers or text; got {array.dtype} in it.")
        # By position: savez has arguments of its own, with which names could clash.
        head = np.frombuffer(json.dumps([list(arrays), dict(facts)]).encode("ascii"), np.uint8)
        file = io.BytesIO()
        np.savez(file, head, *arrays.values())
        self.write(name, file.getbuffer())

    def claim(self, key: str) -> Claim | None:
        """The right to compute something; None while somebody alive has it, here or in another process."""
        return _claim(self._root / "locks" / _check_name(f"{key}.lock"))

    def prune(self) -> None:
        """Make the store smaller than its limit; several processes may do so at once."""
        with suppress(OSError):
            _sweep(self._root, time.time_ns() - _ABANDONED)
        if self.size_limit is None:
            return
        with suppress(OSError):
            entries = sorted(entries_of(self._root), key=lambda entry: (entry.used, entry.path.name))
            excess = sum(entry.size for entry in entries) - self.size_limit
            for entry in entries:
                if excess <= 0:
                    break
                with suppress(OSError):
                    entry.path.unlink(missing_ok=True)
                    excess -= entry.size
