"""Objects taken apart for a file, and put together again from one whose every word may be an attacker's.

skops writes down and builds the objects of scikit-learn, and containers. What it must not describe (stackkit's own
objects, networks, XGBoost's models, functions, sparse matrices, search trees) becomes a `Part`: the name of a kind,
and what a codec makes of the object. To read a file, only what its format needs is let through to skops
(`audit`); then codecs make objects of the parts. No name in the file leads to an import but those of
scikit-learn's list and those that the user trusts, and no bytes are ever unpickled.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, fields
from types import FunctionType
from typing import Any

import numpy as np
from sklearn.base import BaseEstimator

from stackkit._persistence.audit import LOSSES, Refused, audited, blank, full_name, hooks_of, known_classes

# What JSON has, and skops leaves to it.
_PLAIN = (type(None), bool, int, float, str)
_CONTAINERS = (list, dict, tuple, set, frozenset)
# What skops has nodes of its own for, with nothing of ours inside.
_WHOLE = (np.generic, np.ufunc, np.random.RandomState, np.random.Generator)
_NUMPY_FUNCTION = type(np.mean)
_LONG = 200  # letters of an object in an error
_FEW = 4  # of which skops may write each as an object of its own


class Part:
    """What skops sees of an object that it must not describe."""

    def __init__(self, kind: str, state: Any) -> None:
        self.kind = kind
        self.state = state


# Files name it by the module that it was in when the format was made.
Part.__module__ = "stackkit._parts"
sys.modules.setdefault(Part.__module__, sys.modules[__name__])


@dataclass(frozen=True)
class Codec:
    """How objects of one kind become a plain state, and how they are made of it.

    ``decode`` takes a state for anything: what it builds must be safe to have, whatever the state says.
    """

    kind: str
    encode: Callable[[Any, Writer], Any]
    decode: Callable[[Any, Reader], Any]


def plain_attributes(kind: str, cls: type, before: dict[str, Any] | None = None) -> Codec:
    """For an estimator of ours: what it holds, each by its name.

    ``before`` are parameters that it did not always have, and what stood in their place: files may be older.
    """

    def decode(state: Any, _: Reader) -> Any:
        value = blank(cls)
        vars(value).update((before or {}) | state)
        forget_memory(value)
        return value

    return Codec(kind, lambda value, _: dict(vars(value)), decode)


def dataclass_fields(kind: str, cls: Any) -> Codec:
    def encode(value: Any, _: Writer) -> Any:
        return {item.name: getattr(value, item.name) for item in fields(cls)}

    return Codec(kind, encode, lambda state, _: cls(**state))


@dataclass(frozen=True)
class Registry:
    """Which codec takes a value, and which one made a kind: None for what they do not know.

    ``check`` looks at each object of attributes, and raises Refused where using it would not be safe.
    """

    of_value: Callable[[Any], Codec | None]
    of_kind: Callable[[Any], Codec | None]
    check: Callable[[Any], None]


# --- taking apart -----------------------------------------------------------------------------------


@dataclass
class Writer:
    """The members of a file in the making, and the names of classes and functions that its reader must trust."""

    registry: Registry
    members: dict[str, bytes] = field(default_factory=dict)
    foreign: set[str] = field(default_factory=set)
    where: str = "model"  # the walk has come to
    _kept: dict[int, tuple[Any, Part]] = field(default_factory=dict)

    def add(self, data: bytes, suffix: str) -> str:
        """One more member; its name."""
        name = f"parts/{len(self.members)}.{suffix}"
        self.members[name] = data
        return name

    def keep(self, value: Any, place: str) -> Part:
        """An object in a skops member of its own, once, however often it is kept; ``place`` of where the walk is."""
        if id(value) not in self._kept:
            self._kept[id(value)] = (value, Part("file", self.add(self.dumped(value, self.where + place), "skops")))
        return self._kept[id(value)][1]

    def dumped(self, value: Any, where: str) -> bytes:
        from skops.io import dumps  # noqa: PLC0415 - loads all of scikit-learn

        tree = _Dissection(self).apart(value, where)
        try:
            data: bytes = dumps(tree)
        except Exception as error:
            raise TypeError(f"{where} cannot be saved: {error}") from error
        return data


class _Dissection:
    """Copies of objects in which parts stand for what skops must not describe; nothing given is changed."""

    def __init__(self, writer: Writer) -> None:
        self._writer = writer
        self._done: dict[int, tuple[Any, Any]] = {}  # the originals too, or ids would be given away again

    def apart(self, value: Any, where: str) -> Any:
        if type(value) in _PLAIN or isinstance(value, Part):
            return value
        if id(value) not in self._done:
            self._done[id(value)] = (value, self._made(value, where))
        return self._done[id(value)][1]

    def _made(self, value: Any, where: str) -> Any:
        kind = type(value)
        codec = self._writer.registry.of_value(value)
        if codec is not None:
            self._writer.where = where
            return Part(codec.kind, self._state(codec.encode(value, self._writer), where))
        if kind in _CONTAINERS:
            return self._container(value, where)
        if isinstance(value, np.ndarray):
            return self._array(value, where)
        if isinstance(value, FunctionType | type | _NUMPY_FUNCTION):
            return self._named(value, where)
        whole = isinstance(value, _WHOLE) or kind.__module__ in LOSSES
        return value if whole else self._object(value, where)

    def _container(self, value: Any, where: str) -> Any:
        if isinstance(value, list | dict) and len(value) > _FEW and _is_plain(value):
            return Part("json", json.dumps(value))
        if isinstance(value, dict):
            return self._dict(value, where)
        parts = [self.apart(item, f"{where}[{i}]") for i, item in enumerate(value)]
        return Part("frozenset", parts) if isinstance(value, frozenset) else type(value)(parts)

    def _dict(self, value: dict[Any, Any], where: str) -> Any:
        if any(type(key) is not str for key in value):  # JSON has no other keys
            return Part("dict", self.apart([[key, item] for key, item in value.items()], where))
        kinds = {type(item) for item in value.values()}
        if len(value) > _FEW and len(kinds) == 1 and issubclass(kinds.pop(), np.number):  # such as a vocabulary
            return Part("numbers", [self.apart(list(value), where), np.array(list(value.values()))])
        return {key: self.apart(item, f"{where}[{key!r}]") for key, item in value.items()}

    def _array(self, value: np.ndarray, where: str) -> Any:
        if isinstance(value, np.ma.MaskedArray):
            return Part("masked", [self.apart(value.data, where), np.asarray(value.mask)])
        if value.dtype == object:
            return Part("objects", [list(value.shape), self.apart(value.ravel().tolist(), where)])
        if value.dtype.hasobject or value.dtype.kind == "T" or type(value) not in (np.ndarray, np.memmap):
            raise unsavable(where, value, "Convert it to an array of numbers, of fixed-width text, or of objects.")
        return np.asarray(value)  # no longer mapped from a file

    def _state(self, state: Any, where: str) -> Any:
        """What a codec made: attributes by their names, for the most part."""
        if type(state) is not dict:
            return self.apart(state, where)
        return {name: self.apart(item, f"{where}.{name}") for name, item in state.items()}

    def _named(self, value: Any, where: str) -> Any:
        """A class or a function, by its name."""
        if not (isinstance(value, type) and (value in _PLAIN or value.__module__ == "numpy")):
            self._need(value, value, where)
        return value

    def _object(self, value: Any, where: str) -> Any:
        """A copy with its attributes taken apart."""
        kind = type(value)
        if full_name(kind) not in known_classes():
            self._need(kind, value, where)
            why = hooks_of(kind)
            if why:
                raise unsavable(where, value, f"{why}. Leave it out, or hold what is in it as plain attributes.")
        state = value.__getstate__() if hasattr(value, "__dict__") else value
        if not (state is None or isinstance(state, dict)):
            raise unsavable(where, value, "It keeps its state outside of __dict__. Leave it out.")
        copy = blank(kind)
        self._done[id(value)] = (value, copy)
        vars(copy).update(self._state(state or {}, where))
        forget_memory(copy)
        return copy

    def _need(self, named: Any, value: Any, where: str) -> None:
        """The reader will import a class or function from where it says it is: it must be there."""
        name = full_name(named)
        if "<lambda>" in name:
            raise unsavable(where, value, "Write a function of a module instead of a lambda.")
        if name.startswith("stackkit."):
            raise unsavable(where, value, "There is no form for it in a file: save the StackingModel it was made of.")
        if named.__module__ == "builtins":
            raise unsavable(where, value, "Write a class or function of your own around it.")
        if "<locals>" in name or getattr(sys.modules.get(named.__module__), named.__name__, None) is not named:
            raise unsavable(where, value, f"No module has {name} under that name. Put it into a module of yours.")
        self._writer.foreign.add(name)


def _is_plain(value: Any) -> bool:
    """Whether JSON gives it back as it is."""
    if type(value) is list:
        return all(_is_plain(item) for item in value)
    if type(value) is dict:
        return all(type(key) is str and _is_plain(item) for key, item in value.items())
    return type(value) in _PLAIN


def unsavable(where: str, value: Any, cure: str) -> TypeError:
    shown = " ".join(repr(value).split())
    shown = shown if len(shown) <= _LONG else repr(type(value))
    return TypeError(f"{where} cannot be saved: {shown}. {cure}")


def forget_memory(value: Any) -> None:
    """A cache's folder is of one machine. On another, joblib would unpickle whatever somebody has put there."""
    if isinstance(value, BaseEstimator) and "memory" in vars(value):
        vars(value)["memory"] = None


# --- putting together -------------------------------------------------------------------------------


@dataclass
class Reader:
    """The members of a file, and what has been made of them; ``trusted``: the user's names that the file may use."""

    registry: Registry
    members: Mapping[str, bytes]
    trusted: frozenset[str] = frozenset()
    _made: dict[str, Any] = field(default_factory=dict)

    def fetch(self, name: Any) -> Any:
        """The object of a skops member: the same one, however often it is fetched."""
        if name not in self._made:
            self._made[name] = None  # a member that holds itself finds nothing
            tree = audited(self.members[name], self.trusted)
            self._made[name] = _Assembly(self).together(tree)
        return self._made[name]


class _Assembly:
    """Objects made of parts, within what skops has built; in place."""

    def __init__(self, reader: Reader) -> None:
        self._reader = reader
        self._done: dict[int, Any] = {}

    def together(self, value: Any) -> Any:
        if type(value) in _PLAIN or isinstance(value, (np.ndarray, type, FunctionType, _NUMPY_FUNCTION, *_WHOLE)):
            return value
        if id(value) not in self._done:
            self._done[id(value)] = value  # for objects that hold each other
            self._done[id(value)] = self._made(value)
        return self._done[id(value)]

    def _made(self, value: Any) -> Any:
        if isinstance(value, Part):
            codec = self._reader.registry.of_kind(value.kind)
            if codec is None:
                raise Refused(f"has a part of a kind that this version of stackkit does not know: {value.kind!r}")
            return codec.decode(self.together(value.state), self._reader)
        if isinstance(value, tuple | set):
            return type(value)(self.together(item) for item in value)
        if isinstance(value, list):
            value[:] = [self.together(item) for item in value]
        elif isinstance(value, dict):
            value.update({key: self.together(item) for key, item in value.items()})
        elif hasattr(value, "__dict__"):
            vars(value).update({key: self.together(item) for key, item in vars(value).items()})
            forget_memory(value)
            self._reader.registry.check(value)
        return value
