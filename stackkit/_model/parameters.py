"""What the parameters of a stack say before any data are known: its learners, its task, how a fit is run."""

from __future__ import annotations

from typing import Any

from sklearn.base import is_classifier, is_regressor

from stackkit._data import TASKS, Learners, TaskName, check_learners, with_names
from stackkit._learners import default_learners, with_adapted_nets
from stackkit._oof import Settings, settings_of
from stackkit._utils import choice

SETTINGS = (
    *("n_jobs", "memory", "on_error", "task_timeout", "time_limit", "max_memory"),
    *("random_state", "verbose"),
)


def named_learners(model: Any) -> list[tuple[str, Any]]:
    """The learners as given; nothing where they cannot be named, which ``fit`` will say."""
    try:
        return with_names(model.estimators or [])
    except (TypeError, ValueError):
        return []


def known_task(model: Any) -> TaskName | None:
    """The task, as far as the parameters tell."""
    if model.task is not None and model.task not in TASKS:
        raise choice("task", "StackingModel", (*TASKS, None), model.task)
    learners = [learner for _, learner in named_learners(model)]
    for estimators in ([model.final_estimator], learners):
        fittable = [estimator for estimator in estimators if hasattr(estimator, "fit")]
        if any(is_classifier(estimator) for estimator in fittable):
            return "classification"
        if any(is_regressor(estimator) for estimator in fittable):
            return "regression"
    task: TaskName | None = model.task
    return task


def learners_for(model: Any, task: TaskName, X: Any) -> Learners:
    """The user's, checked, or the default ones for these rows."""
    if model.estimators is None:
        return default_learners(task, X, preset=model.preset)
    # Parameters of the model have these names; the routing calls the splitter by the last one.
    reserved = (*type(model)._get_param_names(), "splitter")  # noqa: SLF001 - scikit-learn's, of every estimator
    return with_adapted_nets(check_learners(model.estimators, reserved=reserved))


def settings_for(model: Any, **others: Any) -> Settings:
    """How a fit is run, with ``others`` in place of the model's parameters; the clock of ``time_limit`` starts."""
    given = {name: getattr(model, name) for name in SETTINGS}
    return settings_of(**(given | others))
