"""Weights of classes: keyed by the user's labels, told to a learner by the codes that it sees in a fold."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from functools import partial
from typing import Any

import numpy as np
from sklearn.base import is_regressor
from sklearn.multiclass import OneVsOneClassifier, OneVsRestClassifier, OutputCodeClassifier

from stackkit._data.estimators import Learners
from stackkit._data.target import Target
from stackkit._utils import did_you_mean

NAME = "class_weight"
GRIDS = ("param_grid", "param_distributions")  # of searches: what to try as parameters of their estimator
# What these fit sees 1 for a class (or some) and 0 for the others, whatever y holds: its weights speak of that.
RECODERS = (OneVsRestClassifier, OneVsOneClassifier, OutputCodeClassifier)
MOST_SHOWN = 10

Weights = dict[Any, Any]  # by class
Change = Callable[[str, Weights], Weights]  # of a parameter and its weights


def check_class_weights(learners: Learners, target: Target) -> None:
    """Refuse weights of classes that y does not have, by label or by code; "final_estimator" is a learner here."""
    for name, learner in learners if target.n_classes else ():
        kind = type(learner).__name__
        owner = f"the final_estimator ({kind})" if name == "final_estimator" else f"the learner {name!r} ({kind})"
        _changed(learner, partial(_by_code, classes=target.classes, owner=owner))


@contextmanager
def class_weights_coded(learner: Any, target: Target, codes: np.ndarray | None = None) -> Iterator[None]:
    """While it is fitted, a learner has its class weights by what it sees in place of the labels; then as given again.

    ``codes`` are the classes of its rows, which it sees as 0, 1, ...; the weights of others are left out. None: it
    sees the codes of all classes, and its folds may lack some. Then every class has its weight, 1 where none was
    given, as in scikit-learn: it refuses weights of classes that are not there only where others have none.
    """

    def change(parameter: str, weights: Weights) -> Weights:
        by_code = _by_code(parameter, weights, target.classes, type(learner).__name__)
        if codes is None:
            return dict.fromkeys(range(target.n_classes), 1) | by_code
        return {seen: by_code[code] for seen, code in enumerate(codes.tolist()) if code in by_code}

    coded = _changed(learner, change) if target.n_classes else {}
    if not coded:
        yield
        return
    given = learner.get_params(deep=True)
    learner.set_params(**coded)
    try:
        yield
    finally:
        learner.set_params(**{parameter: given[parameter] for parameter in coded})


def with_class_weights_of(learner: Any, fitted: Iterable[Any]) -> None:
    """Give estimators that it made of itself, while its weights were coded, those of the learner: in place."""
    given = _changed(learner, lambda _, weights: weights)
    for estimator in fitted if given else ():
        params = estimator.get_params(deep=True) if hasattr(estimator, "get_params") else {}
        estimator.set_params(**{parameter: value for parameter, value in given.items() if parameter in params})


# --- where they are -----------------------------------------------------------------------------------


def _changed(learner: Any, change: Change) -> dict[str, Any]:
    """Every parameter, however deep, that weighs classes by a dict, or that lets a search try such dicts; changed.

    A list of dicts, for several columns of targets, stays as it is, and so does all of a regressor.
    """
    if is_regressor(learner) or not hasattr(learner, "get_params"):
        return {}
    params = {"": learner} | learner.get_params(deep=True)
    found: dict[str, Any] = {}
    for parameter, value in params.items():
        owner, _, name = parameter.rpartition("__")
        if isinstance(value, dict) and _weighs(parameter, params):
            found[parameter] = change(parameter, value)
        elif name in GRIDS and any(_last(key) == NAME for grid in _grids(value) for key in grid):
            estimator = f"{owner}__estimator" if owner else "estimator"
            grids = [_changed_grid(grid, parameter, estimator, params, change) for grid in _grids(value)]
            found[parameter] = grids[0] if isinstance(value, dict) else grids
    return found


def _last(parameter: str) -> str:
    return parameter.rpartition("__")[2]


def _weighs(parameter: str, params: dict[str, Any]) -> bool:
    """Whether this is about the classes that the learner sees."""
    *owners, name = parameter.split("__")
    around = ("__".join(owners[:depth]) for depth in range(len(owners) + 1))  # "" is the learner itself
    return name == NAME and not any(isinstance(params.get(owner), RECODERS) for owner in around)


def _grids(value: Any) -> list[dict[str, Any]]:
    """A search takes one grid, or a list of them; what else it is given, it refuses itself."""
    parts = value if isinstance(value, list | tuple) else [value]
    return list(parts) if all(isinstance(part, dict) for part in parts) else []


def _changed_grid(
    grid: dict[str, Any], parameter: str, estimator: str, params: dict[str, Any], change: Change
) -> dict[str, Any]:
    changed = dict(grid)
    for key, options in grid.items():
        if isinstance(options, list | tuple) and _weighs(f"{estimator}__{key}", params):
            place = f"{parameter}[{key!r}]"
            changed[key] = [change(place, option) if isinstance(option, dict) else option for option in options]
    return changed


# --- what they say --------------------------------------------------------------------------------------


def _by_code(parameter: str, weights: Weights, classes: np.ndarray, owner: str) -> dict[int, Any]:
    """Weights by the codes of all classes. Their keys are labels if all of them can be, or all labels are there."""
    codes = {label: code for code, label in enumerate(classes)}
    if all(key in codes for key in weights):
        return {codes[key]: weight for key, weight in weights.items()}
    if set(codes) <= set(weights):  # as where an outer fold lacks a class; scikit-learn takes them, too
        return {code: weights[label] for label, code in codes.items()}
    if all(key in range(len(classes)) for key in weights) and not _may_be_text(weights, classes):
        return {int(key): weight for key, weight in weights.items()}
    raise ValueError(
        f"The {parameter!r} parameter of {owner} must have labels of y as its keys, all of them among "
        f"{_some(classes.tolist())}, or codes of these, 0 to {len(classes) - 1}; got the keys {_some(list(weights))}. "
        f"Use the labels as they are in y, and leave out classes that it does not have.{_hint(weights, classes)}"
    )


def _may_be_text(weights: Weights, classes: np.ndarray) -> bool:
    """Whether 1 may be meant for the label "1", and this is not the class of code 1."""
    codes = {str(label): code for code, label in enumerate(classes.tolist())}
    return all(str(key) in codes for key in weights) and any(codes[str(key)] != key for key in weights)


def _hint(weights: Weights, classes: np.ndarray) -> str:
    labels = {str(label): label for label in classes.tolist()}
    for key in weights:
        twin = labels.get(str(key), key)
        if twin != key:
            return f" The key {key!r} is of the type {type(key).__name__}, the label {twin!r} {type(twin).__name__}."
    strange = next(str(key) for key in weights if key not in set(classes))
    return did_you_mean(strange, labels.values())


def _some(items: list[Any]) -> str:
    """As many as are read; numpy's scalars as plain Python writes them."""
    shown = [item.item() if isinstance(item, np.generic) else item for item in items[:MOST_SHOWN]]
    return f"{shown}" if len(items) <= MOST_SHOWN else f"{shown} and {len(items) - MOST_SHOWN} more"
