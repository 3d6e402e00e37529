"""Where code comes from and what it says: the modules of classes and functions, their versions and sources.

Installed code is known by its name and version, the user's by its source, and what has no file by its byte code.
This package counts as installed wherever it lies, with the source of what it imports: what its global variables hold,
such as workers that wait for their next task, is not part of what a stack or a network is.
"""

from __future__ import annotations

import platform
import re
import sys
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from functools import cache
from importlib import import_module, metadata
from types import CodeType, FunctionType, ModuleType
from typing import Any

from sklearn import get_config

from stackkit._store.imports import OUR_CODE, Modules, Place, file_digest, imported_by

# In every key, by their modules.
ALWAYS = {"numpy": "numpy", "scipy": "scipy", "sklearn": "scikit-learn", "joblib": "joblib", "pandas": "pandas"}
# Whose requirements are each other, come with their own version, or compute nothing.
SAY_ALL = {*ALWAYS.values(), "skorch", "stackkit", "torch", "lightgbm", "xgboost", "xgboost-cpu"}
# Settings of scikit-learn that change no number.
PRINTED = {"display", "print_changed_only"}
# What Python itself notes down in a class, some of it only when the class is first used.
NOTES = {
    *("__abstractmethods__", "__annotate__", "__annotate_func__", "__annotations__", "__annotations_cache__"),
    *("__dict__", "__doc__", "__firstlineno__", "__module__", "__slotnames__", "__static_attributes__"),
    *("__weakref__", "_abc_impl"),
}
HEAP_TYPE = 1 << 9  # set in classes made at run time; those of C's are one of a name


def surroundings(engine: str) -> tuple[Any, ...]:
    """What every result depends on, whatever the learner: Python, libraries, scikit-learn's settings, our engine.

    ``engine`` is the module of ours that computes results, with all that it imports.
    """
    settings = {name: value for name, value in sorted(get_config().items()) if name not in PRINTED}
    versions = [platform.python_version(), *map(version_of, ALWAYS)]
    return versions, settings, OUR_CODE.closure(engine)[0]


# --- homes ------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Home:
    """The module of a class or function; ``source`` is None where there is no file.

    ``version`` is the library's, or those of the libraries that the module imports; ``source`` stands for all that the
    module imports besides.
    """

    name: str
    version: str
    source: str | None
    installed: bool

    @property
    def tells(self) -> bool:
        """Whether the source is surely that of the code: __main__ may also be where a notebook's cells run."""
        return self.source is not None and self.name != "__main__"

    def vouches_for(self, thing: type | FunctionType) -> bool:
        """Whether name and version say all there is to say of it."""
        return self.installed and is_at(thing, self.name, thing.__qualname__)


def home_of(module: str, modules: Modules) -> Home:
    place = modules.place(module)
    if place is None:
        return Home(module, "", None, installed=False)
    if place.owner == "ours":
        source, libraries = OUR_CODE.closure(module)
        return Home(module, _versions_of({"stackkit", *libraries}), source, installed=True)
    if place.owner == "python":
        return Home(module, "{}.{}".format(*sys.version_info), None if place.path is None else "", installed=True)
    if place.owner == "library":
        return Home(module, version_of(place.top), _library_source(place), installed=True)
    source, libraries = modules.closure(module)
    return Home(module, _versions_of(libraries), None if place.path is None else source, installed=False)


def _library_source(place: Place) -> str | None:
    if place.path is None:
        return None
    return file_digest(place.path) if place.path.suffix == ".py" else ""


def is_at(thing: Any, module: Any, qualname: str) -> bool:
    """Whether the module really has it under that name: what a function made, many others may share a name with."""
    found: Any = sys.modules.get(str(module))
    for part in qualname.split("."):
        found = getattr(found, part, None)
    return found is thing


# --- versions ---------------------------------------------------------------------------------------


def _versions_of(modules: Iterable[str]) -> str:
    return "; ".join(version_of(module) for module in sorted(modules))


def version_of(module: str) -> str:
    """Of the library with this module and of what it requires; the same whether it is loaded or not.

    Where another version is loaded than is installed now, both count.
    """
    installed = _installed(module)
    loaded = getattr(sys.modules.get(module), "__version__", None)
    news = [f"loaded {loaded}"] if isinstance(loaded, str) and loaded not in dict(installed).values() else []
    return ", ".join([module, *(f"{name} {version}" for name, version in installed), *news])


@cache
def _installed(module: str) -> tuple[tuple[str, str], ...]:
    """Names and versions of the module's distributions and of all that these require, extras left out."""
    found: dict[str, str] = {}
    waiting = [*_distributions_of(module)]
    while waiting:
        name = re.sub(r"[-_.]+", "-", waiting.pop()).lower()
        try:
            distribution = metadata.distribution(name)
        except metadata.PackageNotFoundError:  # for another system, or optional
            continue
        if name not in found:
            found[name] = distribution.version
            required = [] if name in SAY_ALL else distribution.requires or []
            waiting += [re.split(r"[^\w.-]", text, maxsplit=1)[0] for text in required if "extra ==" not in text]
    return tuple(sorted(found.items()))


def _distributions_of(module: str) -> list[str]:
    try:
        return [ALWAYS[module] if module in ALWAYS else metadata.distribution(module).name]
    except metadata.PackageNotFoundError:  # another name than its module's; importlib takes ten times as long to ask
        return [found.name for found in metadata.distributions() if _contains(found, module)]


def _contains(distribution: metadata.Distribution, module: str) -> bool:
    if module in (distribution.read_text("top_level.txt") or "").split():
        return True
    files = "\n" + (distribution.read_text("RECORD") or "")
    return any(f"\n{module}{end}" in files for end in "/.")


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


def uses_of(function: FunctionType, home: Home, modules: Modules) -> Iterator[tuple[str, Any, bool]]:
    """What its code refers to: name, meaning, and whether a source tells of it too.

    That is what its names mean as globals, what it imports when it runs, and what the user's modules among these, and
    the modules in them, have under any of its names.
    """
    if home.installed and home.source is not None:
        return
    names = list(dict.fromkeys(_names_in(function.__code__)))
    found = [(name, function.__globals__[name], home.tells) for name in names if name in function.__globals__]
    found += [("around", value, home.tells) for value in _values_around(function) if isinstance(value, ModuleType)]
    for place in _imports_of(function, modules):
        imported = home_of(place.name, modules)
        yield place.name, (imported.version, imported.source), home.tells
        found += [(place.name, module, home.tells) for module in _loaded(place)]
    seen: set[int] = set()
    while found:
        name, value, told = found.pop(0)
        yield name, value, told
        if isinstance(value, ModuleType) and id(value) not in seen and modules.is_users(value.__name__):
            seen.add(id(value))
            told = home_of(value.__name__, modules).tells
            found += [(f"{name}.{part}", vars(value)[part], told) for part in names if part in vars(value)]


def _imports_of(function: FunctionType, modules: Modules) -> list[Place]:
    """The modules that it imports when it runs, and the packages around these, each once."""
    texts = imported_by(function.__code__, _package_of(function))
    return list(dict.fromkeys(place for text in texts for place in modules.on_the_way_to(text)))


def _loaded(place: Place) -> list[ModuleType]:
    """The user's module, imported now if it is not yet, for the file may be another by the time that a learner does it.

    Before as after, the same code has the same fingerprint, and what worker processes have loaded is loaded here.
    """
    if place.owner != "user":
        return []
    try:
        module = import_module(place.name)
    except (Exception, SystemExit):  # noqa: BLE001 - where the learner cannot do without, its fit will say so
        return []
    return [module] if isinstance(module, ModuleType) else []


def _package_of(function: FunctionType) -> str:
    package = function.__globals__.get("__package__")
    return package if isinstance(package, str) else str(function.__module__).rpartition(".")[0]


def _values_around(function: FunctionType) -> Iterator[Any]:
    yield from function.__defaults__ or ()
    yield from (function.__kwdefaults__ or {}).values()
    for cell in function.__closure__ or ():
        yield from _content(cell) or ()


def _names_in(code: CodeType) -> Iterator[str]:
    yield from code.co_names
    for constant in code.co_consts:
        if isinstance(constant, CodeType):
            yield from _names_in(constant)
