"""The identity of learners and data, as a store of results on disk needs it.

Two things of one fingerprint must give the same numbers; a store that mistakes an edited learner for the old one
would lie. Where in doubt, two things are different: that costs a fit and no more. No fingerprint depends on
addresses, on hash seeds or on how a table lies in memory.
"""

from __future__ import annotations

import copyreg
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from functools import _lru_cache_wrapper, cached_property
from hashlib import blake2b
from types import CodeType, FunctionType, GetSetDescriptorType, MappingProxyType, MemberDescriptorType, ModuleType
from typing import Any

import numpy as np
from sklearn.base import BaseEstimator

from stackkit._store.contents import hash_table
from stackkit._store.imports import Modules
from stackkit._store.origin import Home, filled_in, home_of, is_at, members_of, operations_of, uses_of

ATOMS = (type(None), type(...), bool, int, float, complex, str, bytes, bytearray)
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
        self._modules = Modules()
        self._homes: dict[str, Home] = {}

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
            self.reference(x)
        elif id(x) in self._open:
            self.put("cycle", str(self._open[::-1].index(id(x))))
        else:
            self._open.append(id(x))
            try:
                self._compound(x)
            finally:
                self._open.pop()

    def put(self, kind: str, data: Any = b"") -> None:
        raw = memoryview(data.encode("utf-8", "surrogatepass") if isinstance(data, str) else data)
        self._hash.update(f"{kind} {raw.nbytes}:".encode())
        self._hash.update(raw)

    def _atom(self, x: Any) -> None:
        kind = type(x).__name__
        if isinstance(x, str | bytes | bytearray):
            self.put(kind, x)
        else:
            self.put(kind, x.hex() if isinstance(x, float) else repr(x))

    def _compound(self, x: Any) -> None:
        if self._container(x):
            return
        if self._by_params and hasattr(type(x), "get_params") and not _outlives_clone(x):
            self._learner(x)
            return
        with self._as_state():
            if not hash_table(self, x) and not self._wrapper(x):
                self._object(x)

    def _container(self, x: Any) -> bool:
        kind = type(x)
        if kind in (tuple, list):
            self.items(kind.__name__, x)
        elif kind in (dict, MappingProxyType):  # in its order, which a learner may go by
            self.items("dict", [part for pair in x.items() for part in pair])
        elif kind in (set, frozenset):
            self.items("set", sorted(self._apart(item) for item in x))
        else:
            return False
        return True

    def items(self, kind: str, items: Sequence[Any]) -> None:
        self.put(kind, str(len(items)))
        for item in items:
            with self._at(item[0] if self._by_params and _are_named([item]) else None):
                self.value(item)

    def _apart(self, item: Any) -> str:
        """Give one of several without an order a digest of its own, to sort by."""
        walk = _Walk(by_params=self._by_params)
        walk._path, walk._open, walk._numbers = [*self._path], [*self._open], {**self._numbers}
        walk._lenient, walk._modules, walk._homes = self._lenient, self._modules, self._homes
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
            self.put("unstorable")
        finally:
            self._lenient = before

    def error(self, x: Any, why: Any) -> NotStorableError:
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
            raise self.error(x, f"its get_params() fails with {error}") from error
        self.put("learner", str(len(params)))
        self.reference(type(x))
        for name, value in params:
            self.put("param", name)
            # The names of steps say enough, as in set_params.
            with self._at(None if _are_named(value) else name):
                self.value(value)
        state = getattr(x, "__dict__", {})
        self.put("routing", repr(state.get("_metadata_request")))  # itself, it may refer to another clone
        with self._as_state():
            for name in KEPT_BY_CLONE:
                self.value(state.get(name))

    def _wrapper(self, x: Any) -> bool:
        """What pickle refuses or knows by name only."""
        if isinstance(x, CodeType):
            self._code(x)
        elif isinstance(x, property):
            self.items("property", (x.fget, x.fset, x.fdel))
        elif isinstance(x, staticmethod | classmethod | _lru_cache_wrapper):
            self.items(type(x).__name__, (x.__wrapped__,))
        elif isinstance(x, cached_property):
            self.items("cached", (x.func,))
        elif isinstance(x, GetSetDescriptorType | MemberDescriptorType):
            self.put("descriptor", x.__qualname__)
        elif x is GLOBAL_RANDOM_STATE or (self._is_drawn and isinstance(x, np.random.RandomState)):
            self.put("global random state")
        else:
            return False
        return True

    def _object(self, x: Any) -> None:
        """By what pickle would write down, but with classes and functions by their code instead of by name."""
        try:
            reducer = copyreg.dispatch_table.get(type(x))
            reduced = reducer(x) if reducer else x.__reduce_ex__(4)
        except Exception as error:
            raise self.error(x, error) from error
        if isinstance(reduced, str):
            self._global(x, reduced)
            return
        self.put("object")
        self.reference(type(x))
        # A search draws with its own random state; in a clone, the distribution's is a copy of the global one.
        before = self._is_drawn
        self._is_drawn = before or ("param_distributions" in self._path and hasattr(x, "rvs"))
        self.items("parts", [list(part) if isinstance(part, Iterator) else part for part in reduced])
        self._is_drawn = before

    def _global(self, x: Any, name: str) -> None:
        # NumPy's own functions do not say where they are, and a search might find them elsewhere the next time.
        likely = [getattr(x, "__module__", None), type(x).__module__, "numpy", "scipy.special"]
        module = next((known for known in likely if known and is_at(x, known, name)), None)
        if module is None:
            raise self.error(x, f"no module has it under its name {name!r}")
        self.put("global", name)
        self.reference(type(x))
        self._home(self._home_of(module))

    # --- code ---------------------------------------------------------------------------------------

    def reference(self, x: Any) -> None:
        if id(x) not in self._numbers:
            self._numbers[id(x)] = (len(self._numbers), x)
            self._waiting.append((x, self._path, self._lenient))
        self.put("code", str(self._numbers[id(x)][0]))

    def _code_thing(self, x: Any) -> None:
        if isinstance(x, ModuleType):
            self._home(self._home_of(x.__name__))
        elif isinstance(x, type):
            self._class(x, self._home_of(x.__module__))
        else:
            self._function(x, self._home_of(x.__module__))

    def _home_of(self, module: Any) -> Home:
        name = str(module)
        if name not in self._homes:
            self._homes[name] = home_of(name, self._modules)
        return self._homes[name]

    def _home(self, home: Home) -> None:
        self.items("home", (home.name, home.version, home.source))

    def _class(self, cls: type, home: Home) -> None:
        self.put("class", cls.__qualname__)
        self._home(home)
        self.items("bases", (*cls.__bases__, type(cls)))
        for name, member in members_of(cls, home):
            self.put("member", name)
            self._leniently(self.value, member, lenient=home.tells)

    def _function(self, function: FunctionType, home: Home) -> None:
        self.put("function", function.__qualname__)
        self._home(home)
        if home.vouches_for(function):
            return
        self._code(function.__code__)
        self.items("filled", filled_in(function))
        self._leniently(self.value, vars(function), lenient=home.tells)
        for name, found, told in uses_of(function, home, self._modules):
            self.put("uses", name)
            self._leniently(self.value, found, lenient=told)

    def _code(self, code: CodeType) -> None:
        operations, exceptions, constants = operations_of(code)
        self.put("code", operations)
        self.put("exceptions", exceptions)
        self.items("constants", constants)
