"""The identity of learners and data, as a store of results on disk needs it.

Two things of one fingerprint must give the same numbers; a store that mistakes an edited learner for the old one
would lie. Where in doubt, two things are different: that costs a fit and no more. No fingerprint depends on
addresses, on hash seeds or on how a table lies in memory.
"""

from __future__ import annotations

import copyreg
import sys
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import _lru_cache_wrapper, cache, cached_property
from hashlib import blake2b
from importlib import metadata
from pathlib import Path
from types import CodeType, FunctionType, GetSetDescriptorType, MappingProxyType, MemberDescriptorType, ModuleType
from typing import Any

import numpy as np
import pandas as pd
from scipy import sparse
from sklearn.base import BaseEstimator

from stackkit._checks import is_polars

ATOMS = (type(None), type(...), bool, int, float, complex, str, bytes, bytearray)
INSTALLED = {"site-packages", "dist-packages"}
# What Python itself notes down in a class, some of it only when the class is first used.
NOTES = {
    *("__abstractmethods__", "__annotate__", "__annotate_func__", "__annotations__", "__annotations_cache__"),
    *("__dict__", "__doc__", "__firstlineno__", "__module__", "__slotnames__", "__static_attributes__"),
    *("__weakref__", "_abc_impl"),
}
HEAP_TYPE = 1 << 9  # set in classes made at run time; those of C's are one of a name
# What scikit-learn's clone keeps besides the parameters and metadata routing.
KEPT_BY_CLONE = ("_sklearn_output_config", "_skl_callbacks")


# Is another at each call; frozen distributions of scipy refer to it.
GLOBAL_RANDOM_STATE: Any = getattr(np.random.get_state, "__self__", None)


class NotStorableError(ValueError):
    """Something has no identity that would outlive this process: results with it cannot be stored."""


def fingerprint(*parts: Any) -> str:
    """32 hexadecimal digits for any nesting of Python's own types, arrays, tables, functions and objects."""
    return _digest(parts, by_params=False)


def data_fingerprint(X: Any) -> str:
    """Of the content of a table or array: values, shape, types, names."""
    return _digest(("data", X), by_params=False)


def learner_fingerprint(learner: Any) -> str:
    """Of what a clone of the learner would be: its class and its parameters."""
    return _digest(("learner", learner), by_params=True)


def _digest(parts: Any, *, by_params: bool) -> str:
    try:
        return _Walk(by_params=by_params).digest(parts)
    except RecursionError as error:
        raise NotStorableError("It is nested too deeply to have a fingerprint. Make it flatter.") from error


# --- where code comes from --------------------------------------------------------------------------


@dataclass(frozen=True)
class _Home:
    """The module of a class or function; ``source`` is None where there is no file."""

    name: str
    version: str | None
    source: str | None
    installed: bool

    @property
    def tells(self) -> bool:
        """Whether the source is surely that of the code: __main__ may also be where a notebook's cells run."""
        return self.source is not None and self.name != "__main__"


def _home(name: str) -> _Home:
    top = name.partition(".")[0]
    file = getattr(sys.modules.get(name), "__file__", None)
    path = Path(file) if file and Path(file).is_file() else None
    standard = top in sys.stdlib_module_names
    # A worker's __main__ is a file of joblib's, but what claims to live there is the user's.
    installed = name != "__main__" and (standard or (path is not None and not INSTALLED.isdisjoint(path.parts)))
    if standard:
        return _Home(name, "{}.{}".format(*sys.version_info), None if path is None else "", installed)
    source = None if path is None else "" if installed and path.suffix != ".py" else _file_digest(path)
    return _Home(name, _version(top, installed=installed), source, installed)


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


def _is_at(thing: Any, module: Any, qualname: str) -> bool:
    """Whether the module really has it under that name: what a function made, many others may share a name with."""
    found: Any = sys.modules.get(str(module))
    for part in qualname.split("."):
        found = getattr(found, part, None)
    return found is thing


def _names_in(code: CodeType) -> Iterator[str]:
    yield from code.co_names
    for constant in code.co_consts:
        if isinstance(constant, CodeType):
            yield from _names_in(constant)


def _outlives_clone(learner: Any) -> bool:
    """Whether it has a clone of its own making, as a frozen estimator has: the fitted state is part of it."""
    usual = BaseEstimator.__sklearn_clone__
    return getattr(type(learner), "__sklearn_clone__", usual) is not usual


def _are_named(items: Any) -> bool:
    """Whether these are steps or the like, as (name, estimator, ...)."""
    return (
        isinstance(items, list | tuple)
        and len(items) > 0
        and all(type(item) is tuple and len(item) > 1 and isinstance(item[0], str) for item in items)
    )


def _is_tensor(x: Any) -> bool:
    return type(x).__module__.partition(".")[0] == "torch" and hasattr(x, "detach")


# --- the walk ---------------------------------------------------------------------------------------


class _Walk:
    """Writes a value into a hash, each node with its kind and length, so that no two values write the same.

    ``_by_params`` holds as long as clone would go on by parameters; what it deep-copies has its state walked.
    """

    def __init__(self, *, by_params: bool) -> None:
        self._hash = blake2b(digest_size=16)
        self._by_params = by_params
        self._path: list[str] = []
        self._open: list[int] = []
        # Code refers to code in circles: a number stands for each class, function and module, and what they are
        # is written when all else is, in the order of the numbers. They are kept, for an address may be used again.
        self._numbers: dict[int, tuple[int, Any]] = {}
        self._waiting: deque[tuple[Any, list[str], bool]] = deque()
        # Where the source tells, as for a module's global logger, what has no identity is passed over.
        self._lenient = False
        self._is_drawn = False

    def digest(self, x: Any) -> str:
        self.value(x)
        self._by_params = False
        while self._waiting:
            code, self._path, lenient = self._waiting.popleft()
            self._leniently(self._code_thing, code, lenient=lenient)
        return self._hash.hexdigest()

    def value(self, x: Any) -> None:
        if type(x) in ATOMS:
            self._atom(x)
        elif isinstance(x, type | FunctionType | ModuleType):
            self._reference(x)
        elif id(x) in self._open:
            self._put("cycle", str(self._open[::-1].index(id(x))))
        else:
            self._open.append(id(x))
            try:
                self._compound(x)
            finally:
                self._open.pop()

    def _put(self, kind: str, data: Any = b"") -> None:
        raw = memoryview(data.encode("utf-8", "surrogatepass") if isinstance(data, str) else data)
        self._hash.update(f"{kind} {raw.nbytes}:".encode())
        self._hash.update(raw)

    def _atom(self, x: Any) -> None:
        kind = type(x).__name__
        if isinstance(x, str | bytes | bytearray):
            self._put(kind, x)
        else:
            self._put(kind, x.hex() if isinstance(x, float) else repr(x))

    def _compound(self, x: Any) -> None:
        if self._container(x):
            return
        if self._by_params and hasattr(type(x), "get_params") and not _outlives_clone(x):
            self._learner(x)
            return
        with self._as_state():
            if not self._table(x) and not self._wrapper(x):
                self._object(x)

    def _container(self, x: Any) -> bool:
        kind = type(x)
        if kind in (tuple, list):
            self._items(kind.__name__, x)
        elif kind in (dict, MappingProxyType):  # in its order, which a learner may go by
            self._items("dict", [part for pair in x.items() for part in pair])
        elif kind in (set, frozenset):
            self._items("set", sorted(self._apart(item) for item in x))
        else:
            return False
        return True

    def _items(self, kind: str, items: Sequence[Any]) -> None:
        self._put(kind, str(len(items)))
        for item in items:
            with self._at(item[0] if self._by_params and _are_named([item]) else None):
                self.value(item)

    def _apart(self, item: Any) -> str:
        """Give one of several without an order a digest of its own, to sort by."""
        walk = _Walk(by_params=self._by_params)
        walk._path, walk._open, walk._numbers = [*self._path], [*self._open], {**self._numbers}
        walk._lenient = self._lenient
        return walk.digest(item)

    @contextmanager
    def _at(self, name: str | None) -> Iterator[None]:
        before = self._path
        self._path = before if name is None else [*before, name]
        try:
            yield
        finally:
            self._path = before

    @contextmanager
    def _as_state(self) -> Iterator[None]:
        before, self._by_params = self._by_params, False
        try:
            yield
        finally:
            self._by_params = before

    def _leniently(self, walk: Callable[[Any], None], x: Any, *, lenient: bool) -> None:
        before, self._lenient = self._lenient, self._lenient or lenient
        try:
            walk(x)
        except NotStorableError:
            if not self._lenient:
                raise
            self._put("unstorable")
        finally:
            self._lenient = before

    def _error(self, x: Any, why: Any) -> NotStorableError:
        where = f" in the parameter {'__'.join(self._path)!r}" if self._path else ""
        return NotStorableError(
            f"The {type(x).__name__}{where} has no identity outside of this process: {why}. Replace it with "
            "something that can be pickled, such as a function of a module."
        )

    # --- learners and objects -----------------------------------------------------------------------

    def _learner(self, x: Any) -> None:
        try:
            params = sorted(x.get_params(deep=False).items())
        except (AttributeError, TypeError) as error:
            raise self._error(x, f"its get_params() fails with {error}") from error
        self._put("learner", str(len(params)))
        self._reference(type(x))
        for name, value in params:
            self._put("param", name)
            # The names of steps say enough, as in set_params.
            with self._at(None if _are_named(value) else name):
                self.value(value)
        state = getattr(x, "__dict__", {})
        self._put("routing", repr(state.get("_metadata_request")))  # itself, it may refer to another clone
        with self._as_state():
            for name in KEPT_BY_CLONE:
                self.value(state.get(name))

    def _wrapper(self, x: Any) -> bool:
        """What pickle refuses or knows by name only."""
        if isinstance(x, CodeType):
            self._code(x)
        elif isinstance(x, property):
            self._items("property", (x.fget, x.fset, x.fdel))
        elif isinstance(x, staticmethod | classmethod | _lru_cache_wrapper):
            self._items(type(x).__name__, (x.__wrapped__,))
        elif isinstance(x, cached_property):
            self._items("cached", (x.func,))
        elif isinstance(x, GetSetDescriptorType | MemberDescriptorType):
            self._put("descriptor", x.__qualname__)
        elif x is GLOBAL_RANDOM_STATE or (self._is_drawn and isinstance(x, np.random.RandomState)):
            self._put("global random state")
        else:
            return False
        return True

    def _object(self, x: Any) -> None:
        """By what pickle would write down, but with classes and functions by their code instead of by name."""
        try:
            reducer = copyreg.dispatch_table.get(type(x))
            reduced = reducer(x) if reducer else x.__reduce_ex__(4)
        except Exception as error:
            raise self._error(x, error) from error
        if isinstance(reduced, str):
            self._global(x, reduced)
            return
        self._put("object")
        self._reference(type(x))
        # A search draws with its own random state; in a clone, the distribution's is a copy of the global one.
        before = self._is_drawn
        self._is_drawn = before or ("param_distributions" in self._path and hasattr(x, "rvs"))
        self._items("parts", [list(part) if isinstance(part, Iterator) else part for part in reduced])
        self._is_drawn = before

    def _global(self, x: Any, name: str) -> None:
        # NumPy's own functions do not say where they are, and a search might find them elsewhere the next time.
        likely = [getattr(x, "__module__", None), type(x).__module__, "numpy", "scipy.special"]
        module = next((known for known in likely if known and _is_at(x, known, name)), None)
        if module is None:
            raise self._error(x, f"no module has it under its name {name!r}")
        self._put("global", name)
        self._reference(type(x))
        self._home(_home(module))

    # --- code ---------------------------------------------------------------------------------------

    def _reference(self, x: Any) -> None:
        if id(x) not in self._numbers:
            self._numbers[id(x)] = (len(self._numbers), x)
            self._waiting.append((x, self._path, self._lenient))
        self._put("code", str(self._numbers[id(x)][0]))

    def _code_thing(self, x: Any) -> None:
        if isinstance(x, ModuleType):
            self._home(_home(x.__name__))
        elif isinstance(x, type):
            self._class(x, _home(x.__module__))
        else:
            self._function(x, _home(str(x.__module__)))

    def _home(self, home: _Home) -> None:
        self._items("home", (home.name, home.version, home.source))

    def _class(self, cls: type, home: _Home) -> None:
        self._put("class", cls.__qualname__)
        self._home(home)
        self._items("bases", cls.__bases__)
        if not cls.__flags__ & HEAP_TYPE or (home.installed and _is_at(cls, home.name, cls.__qualname__)):
            return
        for name, member in sorted(vars(cls).items()):
            if name not in NOTES:
                self._put("member", name)
                self._leniently(self.value, member, lenient=home.tells)

    def _function(self, function: FunctionType, home: _Home) -> None:
        self._put("function", function.__qualname__)
        self._home(home)
        if home.installed and _is_at(function, home.name, function.__qualname__):
            return
        self._code(function.__code__)
        cells = [_content(cell) for cell in function.__closure__ or ()]
        self._items("filled", (function.__defaults__, function.__kwdefaults__, cells))
        self._leniently(self.value, vars(function), lenient=home.tells)
        if not home.installed or home.source is None:
            for name, found in _globals_of(function):
                self._put("uses", name)
                self._leniently(self.value, found, lenient=home.tells)

    def _code(self, code: CodeType) -> None:
        self._put("code", code.co_code)
        self._put("exceptions", code.co_exceptiontable)
        counts = (code.co_argcount, code.co_posonlyargcount, code.co_kwonlyargcount, code.co_flags)
        names = (code.co_names, code.co_varnames, code.co_freevars, code.co_cellvars)
        self._items("constants", (counts, names, code.co_consts))

    # --- tables -------------------------------------------------------------------------------------

    def _table(self, x: Any) -> bool:
        if isinstance(x, np.generic) or type(x) in (np.ndarray, np.memmap):
            self._put("scalar" if isinstance(x, np.generic) else "array")
            self._array(np.asarray(x))
        elif sparse.issparse(x):
            self._sparse(x)
        elif isinstance(x, pd.DataFrame | pd.Series | pd.Index):
            self._pandas(x)
        elif is_polars(x) and hasattr(x, "get_columns"):
            self._items("polars", (x.shape, x.columns, x.get_columns()))
        elif is_polars(x) and hasattr(x, "to_physical"):
            self._polars_column(x)
        elif _is_tensor(x):
            self._tensor(x)
        else:
            return False
        return True

    def _array(self, x: np.ndarray) -> None:
        dtype = x.dtype if x.dtype.kind == "T" else x.dtype.newbyteorder("<")
        self._items("shape", x.shape)
        if dtype.names is not None:  # one by one: between them may lie bytes that were never set
            self._put("fields", str(len(dtype.names)))
            for name in dtype.names:
                self._put("field", name)
                self._array(x[name])
            return
        self._put("dtype", f"{dtype.name} {dtype.str}")
        if dtype.hasobject or dtype.kind == "T":
            self._objects(x.astype(object, copy=False).ravel().tolist())
        else:
            raw = np.ascontiguousarray(x, dtype=dtype)
            self._put("values", raw.reshape(-1).view(np.uint8) if raw.nbytes else b"")

    def _objects(self, values: list[Any]) -> None:
        """Text in one piece, which is fast, and all else one by one."""
        self._array(np.array([len(item) if type(item) is str else -1 for item in values], dtype=np.int64))
        self._put("texts", "".join([item for item in values if type(item) is str]))
        for item in values:
            if type(item) is not str:
                self.value(item)

    def _sparse(self, x: Any) -> None:
        entries = x.tocoo(copy=True)
        entries.sum_duplicates()
        self._items("sparse", (x.format, sparse.isspmatrix(x), x.shape))
        for coordinates in entries.coords:
            self._array(coordinates.astype(np.int64))
        self._array(entries.data)

    def _tensor(self, x: Any) -> None:
        self._put("tensor", str(x.requires_grad))
        self._reference(type(x))
        try:
            self._array(x.detach().cpu().numpy())
        except (TypeError, RuntimeError) as error:
            raise self._error(x, error) from error

    def _pandas(self, x: Any) -> None:
        self._put("pandas", str(x.ndim))
        if isinstance(x, pd.Index):
            self._index(x)
            return
        self._reference(type(x))
        self.value(x.attrs)
        if x.ndim == 1:
            self.value(x.name)
            self._column(x)
        else:
            self._items("names", (list(x.columns), list(x.columns.names)))
            for place in range(x.shape[1]):
                self._column(x.iloc[:, place])
        self._index(x.index)

    def _index(self, index: Any) -> None:
        self._items("index", index.names)
        for level in range(index.nlevels):
            self._column(index.get_level_values(level))

    def _column(self, column: Any) -> None:
        dtype = column.dtype
        self._put("column", str(dtype))
        if isinstance(dtype, np.dtype):
            self._array(column.to_numpy())
        elif isinstance(dtype, pd.CategoricalDtype):
            self.value(dtype.ordered)
            self._index(dtype.categories)
            self._array(column.array.codes)
        elif isinstance(dtype, pd.DatetimeTZDtype):
            self._array(np.asarray(column.array.tz_convert(None)))
        elif isinstance(dtype, pd.SparseDtype):
            self._array(np.asarray(column.array))
        elif getattr(getattr(dtype, "numpy_dtype", None), "kind", "O") in "biuf":
            self._array(column.isna().to_numpy() if isinstance(column, pd.Series) else column.isna())
            self._array(column.to_numpy(dtype=dtype.numpy_dtype, na_value=0))
        else:
            self._objects(column.to_numpy(dtype=object).tolist())

    def _polars_column(self, column: Any) -> None:
        dtype, kind = column.dtype, type(column.dtype).__name__
        self._items("column", (column.name, str(dtype), len(column)))
        physical = column.to_physical()
        if kind in ("Categorical", "Enum"):  # the codes are this process's; what they say is the order of the levels
            known = column.drop_nulls().unique()
            self._items("levels", dtype.categories.to_list() if kind == "Enum" else _by_code(known))
            self._objects(column.to_list())
        elif kind != "Decimal" and physical.dtype.is_numeric() and not str(physical.dtype).endswith("128"):
            self._array(column.is_null().to_numpy())
            self._array(physical.fill_null(0).to_numpy())
        else:
            self._objects(column.to_list())


def _by_code(levels: Any) -> list[str]:
    return [level for _, level in sorted(zip(levels.to_physical().to_list(), levels.to_list(), strict=True))]


def _content(cell: Any) -> Any:
    try:
        return [cell.cell_contents]
    except ValueError:  # not set yet
        return None


def _globals_of(function: FunctionType) -> Iterator[tuple[str, Any]]:
    """What the names in its code mean, as far as they are globals or attributes of modules of the user's."""
    names = list(dict.fromkeys(_names_in(function.__code__)))
    for name in names:
        if name in function.__globals__:
            found = function.__globals__[name]
            yield name, found
            if isinstance(found, ModuleType) and not _home(found.__name__).installed:
                yield from ((f"{name}.{part}", vars(found)[part]) for part in names if part in vars(found))
