"""Results of fits on disk, under a seal: what comes back is what was written, or nothing."""

from __future__ import annotations

import errno
import hmac
import io
import json
import math
import os
import re
import secrets
import shlex
import stat
import time
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import KW_ONLY, dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, BinaryIO, Self
from zipfile import BadZipFile

import filelock
import numpy as np
import platformdirs

from stackkit._checks import check_bytes

# A file is MAGIC, the seal of 32 bytes, and what was written. Files of another format lie in another
# folder: one version of stackkit never meets those of another.
FORMAT = 1
_MAGIC = b"\x93STKKIT" + bytes([FORMAT])
_HEADER = len(_MAGIC) + 32
_ROOT = f"stackkit-{FORMAT}"

# Two hexadecimal digits, which give the folder, and a dot: no name leads out of its folder, none is special
# on any system, and only what has such a name is ever removed.
_NAME = re.compile(r"[0-9a-f]{2}[0-9a-z-]*(\.[0-9a-z-]+)+")
_SHARD = re.compile(r"[0-9a-f]{2}")
_DRAFT = re.compile(r"[0-9]+-[0-9a-f]{16}")
_ABANDONED = 3600 * 10**9  # nanoseconds after which nobody goes on with a draft, or minds a look at a lock

_KEY = re.compile(rb"[0-9a-f]{64}")
_SHORTEST_KEY = 16


class StoreProblem(Exception):  # noqa: N818 -- no error: the caller goes on, and computes again
    """Something of the store could not be read or written; the message is a sentence that names the file."""


# --- what users see ---------------------------------------------------------------------------------


@dataclass(frozen=True, repr=False)
class StoreInfo:
    """What a store holds.

    Attributes
    ----------
    folder : Path
        The store's folder.
    n_entries : int
        Learners whose results are kept, each counted once for each data set and setting.
    n_tables : int
        Files of predictions.
    n_models : int
        Files of fitted models.
    size : int
        Bytes of these files.
    size_limit : int or None
        Bytes that they may have.
    oldest : datetime or None
        When the file was used that nobody has used for longest: the next one to go.
    newest : datetime or None
        When the store was last used.

    Examples
    --------
    >>> from stackkit import store_info
    >>> info = store_info("a-folder-that-is-not-there")
    >>> info.n_entries, info.size, info.newest
    (0, 0, None)
    """

    folder: Path
    n_entries: int
    n_tables: int
    n_models: int
    size: int
    size_limit: int | None
    oldest: datetime | None
    newest: datetime | None

    def __repr__(self) -> str:
        limit = "" if self.size_limit is None else f" of at most {_in_words(self.size_limit)}"
        text = (
            f"Store in {self.folder}: {self.n_entries} entries ({self.n_tables} tables, {self.n_models} models), "
            f"{_in_words(self.size)}{limit}"
        )
        if self.oldest is None or self.newest is None:
            return text
        return f"{text}, used from {self.oldest:%Y-%m-%d %H:%M} to {self.newest:%Y-%m-%d %H:%M}"


@dataclass(frozen=True)
class Store:
    """Where the results of fits are kept, and how.

    What was computed once is not computed again: not in the next fit, not
    after a crash, not in another process. Each file carries a seal
    (HMAC-SHA256) that only who has the key can make: a file that is damaged,
    cut short, or put there by somebody else is not used, and nothing in it
    is run.

    Parameters
    ----------
    folder : str or path-like
        Where the files go. Made if it is not there, for its owner alone.

    store_models : bool, default=True
        Whether fitted models are kept besides their predictions. Without, a
        store is small, but what needs the models has to fit them again.

    size_limit : int or str, default=None
        Bytes that the files may have together, or text such as ``"500 MB"``
        or ``"2 GiB"``; the least recently used go. By default there is no
        limit.

    key : bytes or str, default=None
        The secret of the seal, at least 16 bytes, for a store that several
        machines have in common. Who knows it can run code in your process:
        a kept model is a pickle. By default the key of `key_file`.

    key_file : str or path-like, default=None
        File of the key, outside of `folder`; made, for its owner alone, if it
        is not there. By default ``store.key`` in the user's data folder.

    See Also
    --------
    store_info : What a folder holds.
    store_clear : Remove what a folder holds.

    Notes
    -----
    Whoever can write to the folder can put back an older file of the same
    name, or take files away. Neither changes a result: a name stands for all
    that the result depends on.

    Examples
    --------
    >>> from tempfile import TemporaryDirectory
    >>> from stackkit import Store
    >>> with TemporaryDirectory() as folder:
    ...     store = Store(folder, size_limit="2 GB")
    ...     store.info().size_limit
    2000000000
    """

    folder: str | os.PathLike[str]
    _: KW_ONLY
    store_models: bool = True
    size_limit: int | str | None = None
    key: bytes | str | None = field(default=None, repr=False)
    key_file: str | os.PathLike[str] | None = None

    def info(self) -> StoreInfo:
        """Count what the store holds; needs no key, and makes no folder.

        Returns
        -------
        info : StoreInfo
            Numbers of entries, their size, and when they were used.
        """
        folder, limit = _check(self)
        entries = _entries(folder / _ROOT)
        used = [datetime.fromtimestamp(entry.used / 1e9, UTC).astimezone() for entry in entries]
        n_models = sum(entry.path.suffix == ".model" for entry in entries)
        return StoreInfo(
            folder=folder,
            n_entries=len({re.split(r"[-.]", entry.path.name)[0] for entry in entries}),
            n_tables=len(entries) - n_models,
            n_models=n_models,
            size=sum(entry.size for entry in entries),
            size_limit=limit,
            oldest=min(used, default=None),
            newest=max(used, default=None),
        )

    def clear(self) -> None:
        """Remove what the store has written, and nothing else."""
        root = _check(self)[0] / _ROOT
        for entry in _entries(root):
            entry.path.unlink(missing_ok=True)
        _sweep(root, math.inf)
        for folder in [*_shards(root), root / "tmp", root / "locks", root]:
            with suppress(OSError):  # something of somebody else is in it
                folder.rmdir()


def store_info(folder: str | os.PathLike[str] | Store) -> StoreInfo:
    """Count what a store holds; needs no key, and makes no folder.

    Parameters
    ----------
    folder : str, path-like or Store
        Where the files are.

    Returns
    -------
    info : StoreInfo
        Numbers of entries, their size, and when they were used.

    Examples
    --------
    >>> from stackkit import store_info
    >>> store_info("a-folder-that-is-not-there").n_entries
    0
    """
    return (folder if isinstance(folder, Store) else Store(folder)).info()


def store_clear(folder: str | os.PathLike[str] | Store) -> None:
    """Remove what a store has written to its folder, and nothing else.

    Parameters
    ----------
    folder : str, path-like or Store
        Where the files are.

    Examples
    --------
    >>> from stackkit import store_clear
    >>> store_clear("a-folder-that-is-not-there")
    """
    (folder if isinstance(folder, Store) else Store(folder)).clear()


# --- settings ---------------------------------------------------------------------------------------


def open_shelf(memory: Any) -> Shelf | None:
    """The store behind the parameter ``memory``, its folder and key made where they are not there yet."""
    if memory is None:
        return None
    if isinstance(memory, str | os.PathLike):
        memory = Store(memory)
    if not isinstance(memory, Store):
        place = getattr(memory, "location", None) or "a/folder"  # a joblib.Memory has one, and cannot seal
        raise TypeError(
            f"The 'memory' parameter must be a folder, a Store or None; got {memory!r}. "
            f"Pass the folder's path: memory={str(place)!r}."
        )
    folder, limit = _check(memory)
    key = _key_of(memory)
    with suppress(OSError):  # it may still be read, and writing to it says what is wrong
        _make_folder(folder)
    return Shelf(folder, key, memory.store_models, limit)


def _check(store: Store) -> tuple[Path, int | None]:
    """The folder and the limit in bytes, all settings having been looked at."""
    folder = _check_path("folder", store.folder)
    with suppress(OSError):
        if folder.exists() and not folder.is_dir():
            raise ValueError(
                f"The 'folder' parameter of a Store must be a folder; got the file {folder}. Choose another name."
            )
    if not isinstance(store.store_models, bool):
        raise TypeError(
            f"The 'store_models' parameter of a Store must be True or False; got {store.store_models!r}. "
            "Use False to keep predictions only."
        )
    limit = check_bytes("size_limit", "a Store", store.size_limit)
    _check_key(store, folder)
    return folder, limit


def _check_path(name: str, path: Any) -> Path:
    if not isinstance(path, str | os.PathLike) or not isinstance(os.fspath(path), str) or path == "":
        raise (ValueError if path == "" else TypeError)(
            f"The {name!r} parameter of a Store must be a path, as text or path-like; got {path!r}. "
            "Pass one, such as 'a/folder'."
        )
    # Worker processes may have another working directory.
    return Path(path).expanduser().absolute()


def _in_words(size: int) -> str:
    for unit in ("bytes", "kB", "MB", "GB"):
        if size < 1000 or unit == "GB":
            break
        size /= 1000  # type: ignore[assignment]
    return f"{size} bytes" if unit == "bytes" else f"{size:.1f} {unit}"


def _check_key(store: Store, folder: Path) -> None:
    if store.key is None:
        if _key_path(store).resolve().is_relative_to(folder.resolve()):
            raise ValueError(
                "The 'key_file' parameter of a Store must be outside of its folder, or who gets the folder gets the "
                f"key; got {_key_path(store)} in {folder}. Choose another file or folder."
            )
        return
    if store.key_file is not None:
        raise ValueError(
            f"The 'key_file' parameter of a Store must be None where a key is given; got {store.key_file!r}. "
            "Leave one of them out."
        )
    if not isinstance(store.key, str | bytes):
        raise TypeError(
            f"The 'key' parameter of a Store must be bytes or text; got a {type(store.key).__name__}. "
            "Pass secrets.token_hex(), kept in a safe place."
        )
    if (length := len(_as_bytes(store.key))) < _SHORTEST_KEY:
        raise ValueError(
            f"The 'key' parameter of a Store must have at least {_SHORTEST_KEY} bytes; got {length}. "
            "Pass secrets.token_hex(), kept in a safe place."
        )


def _as_bytes(key: str | bytes) -> bytes:
    return key.encode("utf8") if isinstance(key, str) else key


# --- the key ----------------------------------------------------------------------------------------


def _key_path(store: Store) -> Path:
    if store.key_file is not None:
        return _check_path("key_file", store.key_file)
    return platformdirs.user_data_path("stackkit", appauthor=False) / "store.key"


def _key_of(store: Store) -> bytes:
    if store.key is not None:
        return _as_bytes(store.key)
    path = _key_path(store)
    try:
        if not path.exists():
            _make_key(path)
        content, status = _read_file(path)
    except OSError as error:
        raise StoreProblem(f"The store's key {path} could not be read or made ({_why(error)}).") from error
    if os.name == "posix" and status.st_mode & 0o077:
        raise StoreProblem(f"The store's key {path} is open to other users; run chmod 600 {shlex.quote(str(path))}.")
    if not _KEY.fullmatch(content.strip()):
        raise StoreProblem(
            f"The store's key {path} is damaged; put back a copy of it, or delete it: a new one is then made, and what "
            "was kept with the old one is computed again."
        )
    return bytes.fromhex(content.decode("ascii"))


def _make_key(path: Path) -> None:
    """Of several processes that make it at once, the first one's is everybody's; none is ever written over."""
    _make_folder(path.parent)
    draft = path.with_name(f"{path.name}-{_unique()}")
    try:
        with _create(draft) as file:
            file.write(secrets.token_hex(32).encode("ascii"))
            file.flush()
            os.fsync(file.fileno())  # a torn key would spoil all files to come
        with suppress(FileExistsError):
            path.hardlink_to(draft)
    finally:
        draft.unlink(missing_ok=True)


# --- files ------------------------------------------------------------------------------------------


def _make_folder(folder: Path) -> None:
    """With its parents: pathlib would let others into those."""
    if not folder.is_dir() and folder != folder.parent:
        _make_folder(folder.parent)
        folder.mkdir(mode=0o700, exist_ok=True)


def _unique() -> str:
    return f"{os.getpid()}-{secrets.token_hex(8)}"


def _create(path: Path) -> BinaryIO:
    """A new file for its owner alone; a link planted under its name is not followed."""

    def opener(name: str, flags: int) -> int:
        return os.open(name, flags | getattr(os, "O_NOFOLLOW", 0), 0o600)

    return open(path, "xb", opener=opener)


def _read_file(path: Path, n_bytes: int = -1) -> tuple[bytes, os.stat_result]:
    """Content of a regular file: a pipe planted under its name would let the reader wait for ever."""

    def opener(name: str, flags: int) -> int:
        return os.open(name, flags | getattr(os, "O_NONBLOCK", 0))

    with open(path, "rb", buffering=0, opener=opener) as file:
        status = os.fstat(file.fileno())
        if not stat.S_ISREG(status.st_mode):
            raise OSError(errno.EINVAL, "not a regular file")
        return file.read(n_bytes), status


def _why(error: BaseException) -> str:
    return getattr(error, "strerror", None) or str(error) or type(error).__name__


@dataclass(frozen=True)
class _Entry:
    path: Path
    size: int
    used: int


def _entries(root: Path) -> list[_Entry]:
    """Files by names that only the store gives; links and whatever else lies there are not its own."""
    return [
        entry for shard in _shards(root) for entry in _listed(shard, _NAME) if entry.path.name.startswith(shard.name)
    ]


def _shards(root: Path) -> list[Path]:
    with suppress(FileNotFoundError, NotADirectoryError), os.scandir(root) as items:
        return [Path(item) for item in items if _SHARD.fullmatch(item.name) and item.is_dir(follow_symlinks=False)]
    return []


def _listed(folder: Path, names: re.Pattern[str]) -> list[_Entry]:
    entries = []
    with suppress(FileNotFoundError, NotADirectoryError), os.scandir(folder) as items:
        for item in items:
            with suppress(FileNotFoundError):  # another process has just removed it
                if names.fullmatch(item.name) and item.is_file(follow_symlinks=False):
                    status = item.stat(follow_symlinks=False)
                    entries.append(_Entry(Path(item), status.st_size, status.st_mtime_ns))
    return entries


def _sweep(root: Path, before: float) -> None:
    """Remove drafts and locks that killed processes have left; ``before`` is a time in nanoseconds."""
    for draft in _listed(root / "tmp", _DRAFT):
        if draft.used < before:
            draft.path.unlink(missing_ok=True)
    for lock in _listed(root / "locks", _NAME):
        if lock.used < before and (claim := _claim(lock.path)):
            claim.release()


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
        _make_folder(path.parent)
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
class Shelf:
    """An open store. Goes to worker processes, key and all."""

    folder: Path
    key: bytes = field(repr=False)
    store_models: bool = True
    size_limit: int | None = None

    @property
    def _root(self) -> Path:
        return self.folder / _ROOT

    def _path(self, name: str) -> Path:
        return self._root / _check_name(name)[:2] / name

    def _seal(self, name: str, *parts: Any) -> bytes:
        """Of the name too: a whole file under another's name is a wrong result."""
        seal = hmac.new(self.key, _MAGIC + len(name).to_bytes(8, "big") + name.encode("ascii"), "sha256")
        for part in parts:
            seal.update(part)
        return seal.digest()

    def has(self, name: str) -> bool:
        """Whether it looks as if `read` would give something."""
        try:
            start, status = _read_file(self._path(name), len(_MAGIC))
        except OSError:
            return False
        return start == _MAGIC and status.st_size >= _HEADER

    def read(self, name: str) -> memoryview | None:
        """What was written under the name; None if nothing was. Now it is the most recently used."""
        path = self._path(name)
        try:
            # All of it before the seal is looked at: a mapped file could still be changed afterwards.
            content, _ = _read_file(path)
        except FileNotFoundError:
            return None
        except (OSError, MemoryError) as error:
            raise StoreProblem(f"{path} could not be read ({_why(error)}).") from error
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
                _make_folder(path.parent)
                _make_folder(self._root / "tmp")
                self._put(path, parts)
        except OSError as error:
            raise StoreProblem(f"{path} could not be written ({_why(error)}).") from error

    def _put(self, path: Path, parts: tuple[Any, ...]) -> None:
        draft = self._root / "tmp" / _unique()
        try:
            # Not synced to the disk, which takes longer than many a fit: a file that a power failure has torn is
            # found out by its seal, and computed again.
            with _create(draft) as file:
                file.writelines(parts)
            draft.replace(path)
        except BaseException:
            with suppress(OSError):
                draft.unlink()
            raise

    def read_table(self, name: str) -> tuple[dict[str, np.ndarray], dict[str, Any]] | None:
        content = self.read(name)
        if content is None:
            return None
        try:
            with np.load(io.BytesIO(content), allow_pickle=False) as table:
                head, *arrays = (table[f"arr_{k}"] for k in range(len(table.files)))
            names, facts = json.loads(head.tobytes())
            return dict(zip(names, arrays, strict=True)), facts
        except (ValueError, TypeError, KeyError, OSError, EOFError, BadZipFile) as error:
            raise StoreProblem(f"{self._path(name)} holds no table ({_why(error)}).") from error

    def write_table(self, name: str, arrays: Mapping[str, np.ndarray], facts: Mapping[str, Any]) -> None:
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
            entries = sorted(_entries(self._root), key=lambda entry: (entry.used, entry.path.name))
            excess = sum(entry.size for entry in entries) - self.size_limit
            for entry in entries:
                if excess <= 0:
                    break
                with suppress(OSError):
                    entry.path.unlink(missing_ok=True)
                    excess -= entry.size
