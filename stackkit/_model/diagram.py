"""The HTML diagram of a stack: its learners, and below them the final estimator."""

from __future__ import annotations

from typing import Any

import numpy as np

from stackkit._blending import default_final
from stackkit._data import TASKS, Target, TaskName, check_methods
from stackkit._learners import default_learners
from stackkit._members import last_step
from stackkit._model.parameters import known_task, named_learners

try:
    from sklearn.utils._repr_html.estimator import _VisualBlock
except ImportError:  # it is private to scikit-learn, which without it draws a stack as it draws any estimator
    _VisualBlock = None

CAN_DRAW = _VisualBlock is not None
WHERE = {"classification": "where y has classes", "regression": "where y has numbers"}

Boxes = list[tuple[str, Any]]  # what stands above each box, and the estimator or text in it


def diagram_of(model: Any) -> Any:
    """What scikit-learn draws of a stack: fitted, compact, or neither."""
    learners, finals = _fitted(model) if hasattr(model, "final_estimator_") else _to_be_fitted(model)
    return _VisualBlock("serial", [_row(learners), _row(finals)], dash_wrapped=False)


def _row(boxes: Boxes) -> Any:
    titles, shown = [title for title, _ in boxes], [content for _, content in boxes]
    return _VisualBlock("parallel", shown, names=titles, dash_wrapped=False)


def _fitted(model: Any) -> tuple[Boxes, Boxes]:
    """Fitted learners: of all estimators in a fitted one, scikit-learn wants to show what they learned."""
    learners: Boxes = []
    for name, found in model.members_.items():
        # Up to a colon, titles are how scikit-learn spells the parameters that it shows.
        title = f"{name}: 1 of {len(found)}" if len(found) > 1 else name
        learners.append((title, found[0] if found else "networks packed as one"))
    return learners, [("final_estimator", model.final_estimator_)]


def _to_be_fitted(model: Any) -> tuple[Boxes, Boxes]:
    """As far as the parameters tell: what waits for y is there twice, as text."""
    task = known_task(model)
    if task is not None:
        learners = _learners(model, task)
        return learners, [("final_estimator", _final(model, task, learners))]
    learners, finals = [], []
    for each in TASKS:
        found = _learners(model, each)
        learners.append(("default_learners", f"{', '.join(name for name, _ in found)} {WHERE[each]}"))
        finals.append(("final_estimator", f"{type(last_step(_final(model, each, found))).__name__} {WHERE[each]}"))
    return (
        learners if model.estimators is None else named_learners(model),
        finals if model.final_estimator is None else [("final_estimator", model.final_estimator)],
    )


def _learners(model: Any, task: TaskName) -> Boxes:
    return default_learners(task, preset=model.preset or "fast") if model.estimators is None else named_learners(model)


def _final(model: Any, task: TaskName, learners: Boxes) -> Any:
    """The one given, or the default for one target column; before the fit nobody knows of more."""
    if model.final_estimator is not None:
        return model.final_estimator
    target = Target(np.arange(0), np.arange(2) if task == "classification" else None, task)
    fitted = [(name, learner) for name, learner in learners if hasattr(learner, "fit")]
    methods = check_methods(fitted, model.stack_method, task, also_known=[name for name, _ in learners])
    return default_final(target, methods, passthrough=model.passthrough is not False, mixed_columns=False)
