"""Where code comes from and what it says: the modules of classes and functions, their versions and sources.

Installed code is known by its name and version, the user's by its source, and what has no file by its byte code.
This package counts as installed wherever it lies, with the source of all of it: what its global variables hold, such
as workers that wait for their next task, is not part of what a stack or a network is.
"""

from __future__ import annotations

import sys
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache
from hashlib import blake2b
from importlib import metadata
from pathlib import Path
from types import CodeType, FunctionType, ModuleType
from typing import Any

INSTALLED = {"site-packages", "dist-packages"}
OURS = Path(__file__).parent
# What Python itself notes down in a class, some of it only when the class is first used.
NOTES = {
    *("__abstractmethods__", "__annotate__", "__annotate_func__", "__annotations__", "__annotations_cache__"),
    *("__dict__", "__doc__", "__firstlineno__", "__module__", "__slotnames__", "__static_attributes__"),
    *("__weakref__", "_abc_impl"),
}
HEAP_TYPE = 1 << 9  # set in classes made at run time; those of C's are one of a name


# --- homes ------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Home:
    """The module of a class or function; ``source`` is None where there is no file."""

    name: str
    version: str | None
    source: str | None
    installed: bool

    @property
    def tells(self) -> bool:
        """Whether the source is surely that of the code: __main__ may also be where a notebook's cells run."""
        return self.source is not None and self.name != "__main__"

    def vouches_for(self, thing: type | FunctionType) -> bool:
        """Whether name and version say all there is to say of it."""
        return self.installed and is_at(thing, self.name, thing.__qualname__)


def home_of(module: str) -> Home:
    top = module.partition(".")[0]
    if top == OURS.name:
        return Home(module, _version(top, installed=True), _OUR_SOURCE, installed=True)
    file = getattr(sys.modules.get(module), "__file__", None)
    path = Path(file) if file and Path(file).is_file() else None
    standard = top in sys.stdlib_module_names
    # A worker's __main__ is a file of joblib's, but what claims to live there is the user's.
    installed = module != "__main__" and (standard or (path is not None and not INSTALLED.isdisjoint(path.parts)))
    if standard:
        return Home(module, "{}.{}".format(*sys.version_info), None if path is None else "", installed)
    source = None if path is None else "" if installed and path.suffix != ".py" else _file_digest(path)
    return Home(module, _version(top, installed=installed), source, installed)


def is_at(thing: Any, module: Any, qualname: str) -> bool:
    """Whether the module really has it under that name: what a function made, many others may share a name with."""
    found: Any = sys.modules.get(str(module))
    for part in qualname.split("."):
        found = getattr(found, part, None)
    return found is thing


def _version(top: str, *, installed: bool) -> str | None:
    version = getattr(sys.modules.get(top), "__version__", None)
    if isinstance(version, str):
        return version
    # Of what is not installed the source says more than a version.
    return _version_of_distribution(top) if installed else None


@cache
def _version_of_distribution(top: str) -> str | None:
    try:
        return metadata.version(top)
    except metadata.PackageNotFoundError:
        owners = metadata.packages_distributions().get(top, [])  # slow: it reads all that is installed
        return " ".join(f"{owner} {metadata.version(owner)}" for owner in sorted(set(owners))) or None


def _file_digest(path: Path) -> str:
    stat = path.stat()
    return _content_digest(path, stat.st_mtime_ns, stat.st_size)


@cache
def _content_digest(path: Path, _mtime: int, _size: int) -> str:
    return blake2b(path.read_bytes(), digest_size=16).hexdigest()


def _folder_digest(folder: Path) -> str:
    found = blake2b(digest_size=16)
    for path in sorted(folder.rglob("*.py")):
        found.update(f"{path.relative_to(folder).as_posix()} {_file_digest(path)};".encode())
    return found.hexdigest()


_OUR_SOURCE = _folder_digest(OURS)  # now: by the time that someone asks, it may have been edited


# --- what code says ---------------------------------------------------------------------------------


def members_of(cls: type, home: Home) -> Iterator[tuple[str, Any]]:
    """What its body has defined, by name; nothing where the home vouches for it."""
    if cls.__flags__ & HEAP_TYPE and not home.vouches_for(cls):
        for name, member in sorted(vars(cls).items()):
            if name not in NOTES:
                yield name, member


def operations_of(code: CodeType) -> tuple[bytes, bytes, tuple[Any, ...]]:
    """Its byte code, its table of exceptions, and what both refer to; no names of files, no line numbers."""
    counts = (code.co_argcount, code.co_posonlyargcount, code.co_kwonlyargcount, code.co_flags)
    names = (code.co_names, code.co_varnames, code.co_freevars, code.co_cellvars)
    return code.co_code, code.co_exceptiontable, (counts, names, code.co_consts)


def filled_in(function: FunctionType) -> tuple[Any, ...]:
    """Defaults, and the variables of the functions around it."""
    cells = [_content(cell) for cell in function.__closure__ or ()]
    return function.__defaults__, function.__kwdefaults__, cells


def _content(cell: Any) -> Any:
    try:
        return [cell.cell_contents]
    except ValueError:  # not set yet
        return None


def globals_of(function: FunctionType, home: Home) -> Iterator[tuple[str, Any]]:
    """What the names in its code mean, as far as they are globals or attributes of modules of the user's."""
    if home.installed and home.source is not None:
        return
    names = list(dict.fromkeys(_names_in(function.__code__)))
    for name in names:
        if name in function.__globals__:
            found = function.__globals__[name]
            yield name, found
            if isinstance(found, ModuleType) and not home_of(found.__name__).installed:
                yield from ((f"{name}.{part}", vars(found)[part]) for part in names if part in vars(found))


def _names_in(code: CodeType) -> Iterator[str]:
    yield from code.co_names
    for constant in code.co_consts:
        if isinstance(constant, CodeType):
            yield from _names_in(constant)
