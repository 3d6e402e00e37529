"""Which modules code imports, and what their sources say; read, never run.

Names in memory lead to most of what a learner is made of, but not to what is found by text at run time, and a module
is only in memory once it was imported. Sources say the rest. Those of the user's modules count as they are; those of
this package without docstrings and comments, which decide nothing.
"""

from __future__ import annotations

import ast
import dis
import os
import sys
import sysconfig
import warnings
from collections.abc import Iterable, Iterator
from contextlib import suppress
from dataclasses import dataclass
from functools import cached_property, lru_cache
from hashlib import blake2b
from importlib.machinery import ModuleSpec, PathFinder
from importlib.util import find_spec, resolve_name
from pathlib import Path
from types import CodeType
from typing import Literal

OURS = "stackkit"
INSTALLED = {"site-packages", "dist-packages"}
STANDARD = {Path(os.__file__).parent, Path(sysconfig.get_path("stdlib")), Path(sysconfig.get_path("platstdlib"))}
# Imports by text that decide results; the others are of files, reports, and of the adapters of raw nets, which are
# in the key of such a net by themselves, but not in that of a stack which makes one of its own.
BY_TEXT = {
    "stackkit._learners.adapted": ("stackkit.nn._skorch_adapter",),
    "stackkit._learners.catalogue": (
        *("stackkit._learners.boosting", "stackkit._learners.light_boosting", "stackkit._learners.cat_boosting"),
        "stackkit.nn",
    ),
    "stackkit._learners.cat_boosting": ("catboost",),
}
# Libraries with which this package computes nothing.
NEUTRAL = {
    *("click", "cloudpickle", "filelock", "jinja2", "markupsafe", "matplotlib", "platformdirs", "polars", "psutil"),
    *("rich", "skops", "threadpoolctl"),
}
_IMPORT_NAME = dis.opmap["IMPORT_NAME"]

Owner = Literal["ours", "python", "library", "user"]


# --- what code imports ------------------------------------------------------------------------------


def imported_by(code: CodeType, package: str) -> Iterator[str]:
    """What a function imports when it runs: modules, and what may be a module or a name in one."""
    if _IMPORT_NAME in code.co_code[::2]:
        loaded: list[object] = []
        for step in dis.get_instructions(code):
            if step.opcode == _IMPORT_NAME:
                level, names = loaded[-2:]  # Python puts them right before
                yield from _named(str(step.argval), names, level, package)
            elif step.opname.startswith("LOAD_"):
                loaded.append(step.argval)
    for constant in code.co_consts:
        if isinstance(constant, CodeType):
            yield from imported_by(constant, package)


def _named(module: str, names: object, level: object, package: str) -> Iterator[str]:
    try:
        base = resolve_name("." * level + module, package) if isinstance(level, int) else module
    except ImportError:  # beyond the top of its package: it fails when it runs, too
        return
    yield base
    yield from (f"{base}.{name}" for name in (names if isinstance(names, tuple) else ()) if name != "*")


def _blocks(tree: ast.Module) -> Iterator[list[ast.stmt]]:
    """All lists of statements, without a look at expressions."""
    waiting: list[ast.AST] = [tree]
    while waiting:
        node = waiting.pop()
        for field in ("body", "orelse", "finalbody", "handlers", "cases"):
            block = getattr(node, field, None)
            if isinstance(block, list):
                yield block
                waiting += block


def _imports_of(tree: ast.Module, package: str) -> Iterator[str]:
    for block in _blocks(tree):
        for node in block:
            if isinstance(node, ast.Import):
                yield from (alias.name for alias in node.names)
            elif isinstance(node, ast.ImportFrom):
                yield from _named(node.module or "", tuple(alias.name for alias in node.names), node.level, package)


def _texts_imported(tree: ast.Module, package: str) -> Iterator[str]:
    """Names in calls such as ``import_module("helper")``."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Call) and node.args and isinstance(node.args[0], ast.Constant):
            called, text = node.func, node.args[0].value
            name = called.attr if isinstance(called, ast.Attribute) else getattr(called, "id", "")
            if name in {"import_module", "__import__"} and isinstance(text, str):
                bare = text.lstrip(".")
                yield from _named(bare, (), len(text) - len(bare), package)


def _tree_of(source: bytes) -> ast.Module | None:
    """None where the source is no Python: who imports it will hear of it."""
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            return ast.parse(source)
    except (SyntaxError, ValueError, RecursionError):
        return None


@lru_cache(maxsize=4096)
def _imports_in(source: bytes, package: str) -> tuple[str, ...]:
    tree = _tree_of(source)
    if tree is None:
        return ()
    found = [*_imports_of(tree, package)]
    if b"import_module" in source or b"__import__" in source:
        found += _texts_imported(tree, package)
    return tuple(dict.fromkeys(found))


# --- the user's modules -----------------------------------------------------------------------------


@dataclass(frozen=True)
class Place:
    """Where a module lies, whether it is loaded or not; ``folders`` are a package's."""

    name: str
    path: Path | None
    folders: tuple[str, ...] | None
    owner: Owner

    @property
    def top(self) -> str:
        return self.name.partition(".")[0]

    @property
    def package(self) -> str:
        """What relative imports start from; a script run by ``python -m`` has one too."""
        if self.name == "__main__":
            return getattr(sys.modules[self.name], "__package__", None) or ""
        return self.name.rpartition(".")[0] if self.folders is None else self.name


class Modules:
    """Modules as they are now: each is looked up and read once."""

    def __init__(self) -> None:
        self._places: dict[str, Place | None] = {}
        self._read: dict[str, tuple[str, tuple[str, ...]]] = {}
        self._closures: dict[str, tuple[str, frozenset[str]]] = {}

    def place(self, name: str) -> Place | None:
        if name not in self._places:
            self._places[name] = self._find(name)
        return self._places[name]

    def on_the_way_to(self, name: str) -> Iterator[Place]:
        """The packages that importing it runs, and itself; of a library, its uppermost module stands for all."""
        parts = name.split(".")
        for n in range(1, len(parts) + 1):
            place = self.place(name if parts[0] == OURS else ".".join(parts[:n]))
            if place is None or place.owner == "python":
                return
            yield place
            # Below a folder without __init__ may be modules of several owners.
            if place.owner == "ours" or (place.owner == "library" and place.path is not None):
                return

    def is_users(self, name: str) -> bool:
        place = self.place(name)
        return place is not None and place.owner == "user"

    def closure(self, name: str) -> tuple[str, frozenset[str]]:
        """A digest of a module of the user's and of all of theirs that it imports, and the libraries that these import.

        Into this package it does not go: most scripts import all of it, and what code names of it is followed anyway.
        """
        if name not in self._closures:
            self._closures[name] = self._follow(name)
        return self._closures[name]

    def _follow(self, name: str) -> tuple[str, frozenset[str]]:
        found: dict[str, str] = {}
        libraries: set[str] = set()
        waiting = [name]
        while waiting:
            for place in self.on_the_way_to(waiting.pop()):
                if place.owner == "library":
                    libraries.add(place.top)
                elif place.owner == "user" and place.name not in found:
                    found[place.name], imports = self._say(place)
                    waiting += imports
        return _digest_of(found), frozenset(libraries)

    def _say(self, place: Place) -> tuple[str, tuple[str, ...]]:
        if place.name not in self._read:
            source = b"" if place.path is None else place.path.read_bytes()
            is_python = place.name == "__main__" or (place.path is not None and place.path.suffix == ".py")
            imports = _imports_in(source, place.package) if is_python else ()
            self._read[place.name] = _as_loaded(place.name, _bytes_digest(source)), imports
        return self._read[place.name]

    def _find(self, name: str) -> Place | None:
        if name.partition(".")[0] == OURS:
            return Place(name, None, None, "ours")
        module = sys.modules.get(name)
        if module is not None:
            file, folders = getattr(module, "__file__", None), getattr(module, "__path__", None)
        else:
            spec = self._spec(name)
            if spec is None:
                return None
            file, folders = spec.origin, spec.submodule_search_locations
        path = Path(file) if isinstance(file, str) and Path(file).is_file() else None
        below = tuple(map(str, folders)) if isinstance(folders, Iterable) else None
        return Place(name, path, below, self._owner(name, path, below))

    def _spec(self, name: str) -> ModuleSpec | None:
        """Unlike importlib's, it runs no package on the way."""
        above = name.rpartition(".")[0]
        try:
            if not above:
                return find_spec(name)
            package = self.place(above)
            if package is None or package.folders is None:
                return None
            return PathFinder.find_spec(name, list(package.folders))
        except (ImportError, ValueError, AttributeError):
            return None

    def _owner(self, name: str, path: Path | None, folders: tuple[str, ...] | None) -> Owner:
        if name == "__main__":  # a worker's is a file of joblib's, but what claims to live there is the user's
            return "user"
        top, above = name.partition(".")[0], name.rpartition(".")[0]
        places = [Path(folder) for folder in folders or ()] if path is None else [path]
        if not places:  # compiled into Python, or made at run time
            parent = self.place(above) if above else None
            return "python" if top in sys.stdlib_module_names else "user" if parent is None else parent.owner
        if all(not INSTALLED.isdisjoint(place.parts) for place in places):
            return "library"
        # A file of the user's may have the name of one of Python's.
        standard = all(any(place.is_relative_to(folder) for folder in STANDARD) for place in places)
        return "python" if top in sys.stdlib_module_names and standard else "user"


# By name, the loading of a module that was last seen, None where it was not loaded, and what its file said then.
_SEEN: dict[str, tuple[object, str]] = {}


def _as_loaded(name: str, digest: str) -> str:
    """The digest of its file; and of what was loaded, as far as that is known, where the file was edited since."""
    module = sys.modules.get(name)
    loading = None if module is None else getattr(module, "__spec__", None) or module  # a reload makes another spec
    seen, said = _SEEN.get(name, (loading, digest))
    if loading is None or (seen is not None and seen is not loading):
        said = digest
    elif seen is None and said != digest:  # edited and loaded, in whatever order
        said += f" {digest}"
    _SEEN[name] = (loading, said)
    return digest if said == digest else f"{said} {digest}"


def users_files() -> dict[str, tuple[str, int, int]]:
    """Of each loaded module of the user's, by its name: its file, when that was last written, and its size."""
    elsewhere = tuple(str(folder) for folder in (*STANDARD, Path(__file__).parents[1]))
    found = {}
    for name, module in list(sys.modules.items()):
        path = getattr(module, "__file__", None)
        if isinstance(path, str) and not path.startswith(elsewhere) and INSTALLED.isdisjoint(Path(path).parts):
            with suppress(OSError):
                status = os.stat(path)  # noqa: PTH116 - of thousands, at each fit
                found[name] = path, status.st_mtime_ns, status.st_size
    return found


def _digest_of(found: dict[str, str]) -> str:
    return _bytes_digest("".join(f"{name} {digest};" for name, digest in sorted(found.items())).encode())


def _bytes_digest(content: bytes) -> str:
    return blake2b(content, digest_size=16).hexdigest()


def file_digest(path: Path) -> str:
    return _bytes_digest(path.read_bytes())


# --- our own modules --------------------------------------------------------------------------------


class OurCode:
    """The sources of this package as they were when it was imported; each is parsed when it is asked for.

    A folder's ``__init__.py`` imports all of its files: what is imported from the folder counts by the file that it is
    from, and ``stackkit/__init__.py`` only where it is asked for itself.
    """

    def __init__(self, folder: Path) -> None:
        self._sources = {_module_name(path.relative_to(folder)): path.read_bytes() for path in folder.rglob("*.py")}
        self._parsed: dict[str, tuple[str, tuple[str, ...]]] = {}
        self._closures: dict[str, tuple[str, frozenset[str]]] = {}

    def closure(self, module: str) -> tuple[str, frozenset[str]]:
        """As of the user's modules, but of what code says alone, and without the neutral libraries."""
        if module not in self._closures:
            found: dict[str, str] = {}
            libraries: set[str] = set()
            waiting = [module]
            while waiting:
                name = waiting.pop()
                if name in self._sources and name not in found:
                    found[name], imports = self._say(name)
                    waiting += [other for other in imports if other != OURS]
                elif (top := name.partition(".")[0]) != OURS and top not in NEUTRAL | sys.stdlib_module_names:
                    libraries.add(top)
            self._closures[module] = _digest_of(found), frozenset(libraries)
        return self._closures[module]

    def _say(self, name: str) -> tuple[str, tuple[str, ...]]:
        if name not in self._parsed:
            tree = _tree_of(self._sources[name])
            imports = () if tree is None else (*self._files_imported(tree, name), *BY_TEXT.get(name, ()))
            said = self._sources[name] if tree is None else _without_texts(tree).encode()
            self._parsed[name] = _bytes_digest(said), imports
        return self._parsed[name]

    def _files_imported(self, tree: ast.Module, name: str) -> Iterator[str]:
        for imported in _imports_of(tree, name):
            if imported not in self._folders:
                yield self._homes.get(imported, imported)

    @cached_property
    def _folders(self) -> set[str]:
        """Private folders, from which names are imported, never the folder itself."""
        above = {name.rpartition(".")[0] for name in self._sources}
        return {name for name in above & self._sources.keys() if name.startswith(f"{OURS}._")}

    @cached_property
    def _homes(self) -> dict[str, str]:
        """The file of each name that a folder exports."""
        return {
            f"{folder}.{alias.name}": node.module
            for folder in self._folders
            for node in ast.parse(self._sources[folder]).body
            if isinstance(node, ast.ImportFrom) and node.module
            for alias in node.names
        }


def _without_texts(tree: ast.Module) -> str:
    """Its code, without comments and without the constants that stand alone, such as docstrings."""
    for block in _blocks(tree):
        block[:] = [node for node in block if not (isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant))]
    return ast.dump(tree)


def _module_name(path: Path) -> str:
    parts = [OURS, *path.with_suffix("").parts]
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


OUR_CODE = OurCode(Path(__file__).parents[1])  # now: by the time that someone asks, it may have been edited
