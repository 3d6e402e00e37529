"""The store of results as users see it: its folder, its settings and its key."""

from __future__ import annotations

import os
import re
import secrets
import shlex
from contextlib import suppress
from dataclasses import KW_ONLY, dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import platformdirs

from stackkit._store.files import (
    ROOT,
    StoreFiles,
    StoreProblem,
    clear_all,
    create,
    entries_of,
    make_folder,
    read_file,
    unique,
)
from stackkit._utils import Summary, check_bytes, why

_KEY = re.compile(rb"[0-9a-f]{64}")
_SHORTEST_KEY = 16


# --- what users see ---------------------------------------------------------------------------------


@dataclass(frozen=True, repr=False)
class StoreInfo:
    """What a store holds.

    Attributes
    ----------
    folder : Path
        The store's folder.
    n_entries : int
        Fits whose results are kept: one per learner, fold, data set and setting.
    n_tables : int
        Files of predictions.
    n_models : int
        Files of fitted models.
    size : int
        Bytes of these files.
    size_limit : int or None
        Bytes that they may have.
    oldest : datetime or None
        When the least recently used file was used. It is the next one to go.
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

    def _repr_html_(self) -> str:
        limit = "" if self.size_limit is None else f" of at most {_in_words(self.size_limit)}"
        facts = {
            "folder": str(self.folder),
            "entries": f"{self.n_entries:,}, in {self.n_tables:,} tables and {self.n_models:,} models",
            "size": f"{_in_words(self.size)}{limit}",
            "last used": "never" if self.newest is None else f"{self.newest:%Y-%m-%d %H:%M}",
        }
        return Summary("Store", facts=facts).as_html()


@dataclass(frozen=True)
class Store:
    """Where the results of fits are kept, and how.

    What was computed once is not computed again: not in the next fit, not
    after a crash, not in another process. Each file carries a seal
    (HMAC-SHA256) that only the owner of the key can make: a file that is damaged,
    cut short, or put there by somebody else is not used, and nothing in it
    is run.

    Parameters
    ----------
    folder : str or path-like
        Where the files go. Made if it is not there, for its owner alone.

    store_models : bool, default=True
        Whether fitted models are kept beside their predictions. Without them a
        store is small, but what needs the models has to fit them again.

    size_limit : int or str, default=None
        Bytes that the files may have together, or text such as ``"500 MB"``
        or ``"2 GiB"``; the least recently used go. By default there is no
        limit.

    key : bytes or str, default=None
        The secret of the seal, at least 16 bytes, for a store that several
        machines share. Anybody who knows it can run code in your process:
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
    that the result depends on, as far as that can be seen. That is

    - the rows, the target, weights and whatever else the learner's ``fit``
      gets;
    - the learner: its class, its parameters and its seed;
    - its code. Of your own modules, which are all that were not installed,
      that is the source of the module that defines it and of each that this
      one imports, directly or through others, at its top or inside a
      function; and what is in memory of the functions, classes and values
      that the code names, which is all there is of a notebook. Where a file
      was edited after it was loaded, old and new both count;
    - of stackkit what fits all learners and what the learner is made of, but
      for comments and docstrings;
    - the versions of Python, NumPy, SciPy, scikit-learn, joblib and pandas,
      and of each library that the code comes from or imports, with those that
      the library requires;
    - scikit-learn's settings, except for those that only change what is printed.

    What nothing names cannot be seen. After a change of one of these, call
    `store_clear` or take another folder:

    - files, data bases and environment variables that a learner reads;
    - modules under a name that is computed, as in
      ``import_module("my_" + kind)``, and plug-ins;
    - installed code that is edited in place or replaced while Python runs,
      and native libraries behind compiled modules;
    - the settings of other libraries, such as ``torch.set_default_dtype``,
      and their global random generators;
    - the machine: processor, graphics card, linear algebra library.

    Modules of yours that a function imports are imported when the name is
    made, to see what is in them.

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
        entries = entries_of(folder / ROOT)
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

    def _repr_html_(self) -> str:
        try:
            return self.info()._repr_html_()
        except (TypeError, ValueError, OSError) as error:  # settings are checked when they are used
            return Summary("Store", str(error)).as_html()

    def clear(self) -> None:
        """Remove what the store has written, and nothing else."""
        clear_all(_check(self)[0] / ROOT)


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


def open_store(memory: Any) -> StoreFiles | None:
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
        make_folder(folder)
    return StoreFiles(folder, key, memory.store_models, limit)


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
        if key_path(store).resolve().is_relative_to(folder.resolve()):
            raise ValueError(
                "The 'key_file' parameter of a Store must be outside of its folder, or who gets the folder gets the "
                f"key; got {key_path(store)} in {folder}. Choose another file or folder."
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


def key_path(store: Store) -> Path:
    if store.key_file is not None:
        return _check_path("key_file", store.key_file)
    return platformdirs.user_data_path("stackkit", appauthor=False) / "store.key"


def _key_of(store: Store) -> bytes:
    if store.key is not None:
        return _as_bytes(store.key)
    path = key_path(store)
    try:
        if not path.exists():
            _make_key(path)
        content, status = read_file(path)
    except OSError as error:
        raise StoreProblem(f"The store's key {path} could not be read or made ({why(error)}).") from error
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
    make_folder(path.parent)
    draft = path.with_name(f"{path.name}-{unique()}")
    try:
        with create(draft) as file:
            file.write(secrets.token_hex(32).encode("ascii"))
            file.flush()
            os.fsync(file.fileno())  # a torn key would spoil all files to come
        with suppress(FileExistsError):
            path.hardlink_to(draft)
    finally:
        draft.unlink(missing_ok=True)
