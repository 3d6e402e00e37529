"""What to run to repeat it: the command line, or Python that needs no private name."""

from __future__ import annotations

import ast
from collections.abc import Iterable
from functools import cached_property
from importlib import import_module
from inspect import Parameter, isclass, isfunction, signature
from textwrap import indent
from typing import Any

import numpy as np
import pandas as pd
from sklearn.pipeline import Pipeline

from stackkit._learners import default_learners
from stackkit._utils import versions
from stackkit.report.subject import Subject
from stackkit.report.tables import shortened, table_of

WIDTH = 100  # of a line of code
CHANGE_NOTHING = ("n_jobs", "verbose", "memory")  # of the results
LEARNERS = "{task}_learners"


class _Unwritable(Exception):  # noqa: N818 - never seen by anybody
    """Of a value: no code makes it."""


def repeat(subject: Subject) -> dict[str, Any]:
    model = subject.model
    return {
        "command": subject.command,
        "seeded": model.random_state is not None or model.memory is not None,
        "model": None if subject.command else _python(subject),
        "versions": table_of(pd.DataFrame({"version": versions()}), "library", text=["version"]),
    }


def as_code(value: Any) -> str | None:
    """Python for a value, None where there is none without private names."""
    try:
        return _Writer().code(value)
    except _Unwritable:
        return None


def _python(subject: Subject) -> str:
    """A script, but for reading the data. What cannot be written stands first, to be filled in."""
    model = subject.model
    if subject.caveat:
        return _python_of_given(model, _Writer())
    writer, arguments = _Writer(subject), []
    for name, value in _changed(model):
        if name not in CHANGE_NOTHING:
            arguments.append((name, writer.or_placeholder(name, value)))
    kind = writer.name_of(type(model))
    call = _call(kind, [f"{name}={code}" for name, code in arguments])
    n_rows, n_columns = len(subject.oof.y), model.n_features_in_
    known = f"{shortened(subject.source)}: " if subject.source else ""
    weights = ", sample_weight=sample_weight" if subject.oof.sample_weight is not None else ""
    data = [f"# X, y: {known}{n_rows:,} rows of {n_columns:,} columns, and {shortened(subject.y_name)}."]
    lines = [*writer.imports(), "", *data, *writer.before, f"model = {call}", f"model.fit(X, y{weights})"]
    code = "\n".join(lines)
    ast.parse(code)  # a report is not to hold what does not run
    return code


def _python_of_given(model: Any, writer: _Writer) -> str:
    """Of predictions that others made: their tables are the data."""
    kind, table = writer.name_of(type(model)), "OutOfFold.from_frames(train, y, folds=folds)"
    final = "" if model.final_estimator is None else f", {writer.or_placeholder('final', model.final_estimator)}"
    names = ", ".join(shortened(name) for name in model.oof_.blocks)
    return "\n".join(
        [
            *writer.imports(),
            "from stackkit import OutOfFold",
            "",
            f"# train: {len(model.oof_.y):,} predicted rows of each of {names}; y: their targets, folds: their folds.",
            *writer.before,
            f"model = {kind}.from_oof({table}{final})",
        ]
    )


class _Writer:
    """Writes values as code; keeps what has to be imported, and what stands before."""

    def __init__(self, subject: Subject | None = None) -> None:
        self.before: list[str] = []
        self._subject = subject  # whose default learners are known; None: nobody's
        self._names: dict[str, str] = {}

    def imports(self) -> list[str]:
        by_module: dict[str, list[str]] = {}
        for name, module in self._names.items():
            by_module.setdefault(module, []).append(name)
        plain = ["import numpy as np"] if by_module.pop("", None) else []
        return plain + [f"from {module} import {', '.join(sorted(by_module[module]))}" for module in sorted(by_module)]

    @cached_property
    def _defaults(self) -> list[tuple[Pipeline, str]]:
        """Learners of ``default_learners``, which are made of private parts, and how they were made."""
        subject, defaults = self._subject, list[tuple[Pipeline, str]]()
        if subject is None or not isinstance(subject.model.estimators, list):
            return defaults
        task, n_classes = subject.target.task, max(2, subject.target.n_classes)
        like_X = np.empty((len(subject.oof.y), subject.model.n_features_in_))
        for X, given in ((like_X, ", X"), (None, "")):
            made = default_learners(task, X, n_classes=n_classes, preset="best")
            classes = f", n_classes={n_classes}" if n_classes > 2 else ""
            call = f'dict(default_learners("{task}"{given}{classes}, preset="best"))'
            defaults += [(learner, f"{call}[{name!r}]") for name, learner in made]
        return defaults

    def or_placeholder(self, name: str, value: Any) -> str:
        if name == "estimators" and isinstance(value, list | tuple):
            return self._in_brackets("[]", [self._learner(k, item) for k, item in enumerate(value)])
        try:
            return self.code(value)
        except _Unwritable:
            return self._placeholder(name, value)

    def _learner(self, k: int, item: Any) -> str:
        name, learner = item if isinstance(item, tuple) else (None, item)
        try:
            code = self.code(learner)
        except _Unwritable:
            code = self._placeholder(str(name) if str(name).isidentifier() else f"learner_{k}", learner)
        return code if name is None else f"({name!r}, {code})"

    def _placeholder(self, name: str, value: Any) -> str:
        name = f"my_{name}"
        self.before.append(f"{name} = ...  # yours: {shortened(_whole(value), 90)}")
        return name

    def code(self, value: Any) -> str:
        value = value.item() if isinstance(value, np.generic) else value
        if value is None or isinstance(value, bool | int | float | str | bytes):
            return f'float("{value}")' if isinstance(value, float) and not np.isfinite(value) else repr(value)
        if isinstance(value, np.ndarray):
            return self._array(value)
        if isinstance(value, list | tuple | set | dict):
            return self._collection(value)
        if isinstance(value, np.ufunc) and value is getattr(np, name := str(value).split("'")[1], None):
            self._names["np"] = ""
            return f"np.{name}"
        if isclass(value) or isfunction(value):
            return self.name_of(value)
        return self._object(value)

    def _array(self, value: np.ndarray) -> str:
        if value.size > 50 or value.dtype.kind not in "biufU" or not pd.notna(value).all():
            raise _Unwritable
        self._names["np"] = ""
        return f"np.array({value.tolist()!r})"

    def _collection(self, value: Any) -> str:
        if isinstance(value, dict):
            return self._in_brackets("{}", [f"{self.code(key)}: {self.code(item)}" for key, item in value.items()])
        if len(value) > 50 or (isinstance(value, set) and not value):
            raise _Unwritable
        items = [self.code(item) for item in value]
        if isinstance(value, tuple) and len(items) == 1:
            return f"({items[0]},)"
        return self._in_brackets("()" if isinstance(value, tuple) else "{}" if isinstance(value, set) else "[]", items)

    def _in_brackets(self, pair: str, items: list[str]) -> str:
        return _call("", items, pair)

    def _object(self, value: Any) -> str:
        """An estimator, a splitter or the like: whose attributes are the parameters of its class."""
        if isinstance(value, Pipeline):  # as all are that default_learners makes
            for learner, code in self._defaults:
                if _is_alike(value, learner):
                    self._names["default_learners"] = "stackkit"
                    return code
        name = self.name_of(type(value))
        positional = [self.code(value.steps)] if name == "Pipeline" else []
        changed = [(key, item) for key, item in _changed(value) if not (positional and key == "steps")]
        return _call(name, positional + [f"{key}={self.code(item)}" for key, item in changed])

    def name_of(self, thing: Any) -> str:
        """Its name, to be imported from where it is public."""
        name, module = thing.__qualname__, str(thing.__module__)
        if module == "builtins":
            return name
        if not name.isidentifier() or module in ("__main__", "__mp_main__"):
            raise _Unwritable
        ours = module.partition(".")[0] in ("stackkit", "sklearn")
        public = _public_module(thing, module) if ours else module
        if public is None or (ours and name.startswith("_")) or self._names.get(name, public) != public:
            raise _Unwritable
        self._names[name] = public
        return name


def _public_module(thing: Any, module: str) -> str | None:
    """The shortest part of its module's name from which it can be imported, without an underscore in it."""
    parts = module.split(".")
    for n in range(1, len(parts) + 1):
        if parts[n - 1].startswith("_"):
            return None
        where = ".".join(parts[:n])
        if getattr(import_module(where), thing.__name__, None) is thing:
            return where
    return None


def _changed(value: Any) -> Iterable[tuple[str, Any]]:
    """Parameters that differ from their defaults."""
    try:
        parameters = signature(type(value)).parameters.values()
    except (TypeError, ValueError):
        raise _Unwritable from None
    for parameter in parameters:
        if parameter.kind in (Parameter.VAR_POSITIONAL, Parameter.VAR_KEYWORD):
            if not hasattr(value, "get_params"):
                raise _Unwritable
            continue
        # Repeated splitters of scikit-learn keep what they hand on under another name.
        known = {**getattr(value, "cvargs", {}), **vars(value)} if hasattr(value, "__dict__") else {}
        if parameter.name not in known:
            raise _Unwritable
        given = known[parameter.name]
        if parameter.default is Parameter.empty or repr(given) != repr(parameter.default):
            yield parameter.name, given


def _is_alike(value: Pipeline, learner: Pipeline) -> bool:
    # Most differ in what their steps are; writing all of their settings out takes a tenth of a second.
    kinds = [[type(step) for _, step in pipeline.steps] for pipeline in (value, learner)]
    return kinds[0] == kinds[1] and _whole(value) == _whole(learner)


def _whole(value: Any) -> str:
    """All of its settings, where scikit-learn's repr stops at 700 characters."""
    return value.__repr__(N_CHAR_MAX=1_000_000) if hasattr(value, "get_params") else repr(value)


def _call(name: str, items: list[str], pair: str = "()") -> str:
    """On one line where that is short enough; else an item a line."""
    line = f"{name}{pair[0]}{', '.join(items)}{pair[1]}"
    if len(line) <= WIDTH and "\n" not in line:
        return line
    return f"{name}{pair[0]}\n{indent(''.join(f'{item},' + chr(10) for item in items), '    ')}{pair[1]}"
