"""What the parameters of a stack say before any data are known: its learners, its task, how a fit is run."""

from __future__ import annotations

import sys
from types import FrameType
from typing import Any
from warnings import warn

from joblib import effective_n_jobs
from sklearn.base import is_classifier, is_regressor
from sklearn.exceptions import NotFittedError
from sklearn.frozen import FrozenEstimator
from sklearn.utils.validation import check_is_fitted

from stackkit._data import TASKS, Learners, Target, TaskName, check_learners, with_names
from stackkit._learners import Portfolio, learners_named, portfolio_for, with_adapted_nets
from stackkit._members import asking
from stackkit._oof import Settings, settings_of
from stackkit._utils import choice

SETTINGS = (
    *("n_jobs", "memory", "on_error", "task_timeout", "time_limit", "max_memory"),
    *("random_state", "verbose"),
)
METADATA = ("groups", "sample_weight")


def named_learners(model: Any) -> list[tuple[str, Any]]:
    """The learners as given; nothing where they cannot be named, which ``fit`` will say."""
    try:
        return with_names(model.estimators or [])
    except (TypeError, ValueError):
        return []


def fixed_task(model: Any) -> TaskName | None:
    """The task of a class that has but one, as StackingClassifier."""
    task: TaskName | None = getattr(type(model), "task", None)
    return task


def known_task(model: Any) -> TaskName | None:
    """The task, as far as the parameters tell."""
    if (fixed := fixed_task(model)) is not None:
        return fixed
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


def warn_of_unstratified(model: Any, task: TaskName) -> None:
    """Tell that scikit-learn's cross-validation could not know that this model classifies.

    It asks the unfitted model, and stratifies its folds for classifiers alone: of sorted classes each fold tests one
    that it did not train on. Only who called ``fit`` tells that this is what happens.
    """
    if known_task(model) is not None or task != "classification":
        return
    frame: FrameType | None = sys._getframe(1)  # noqa: SLF001 - the way to ask who called
    while frame is not None:
        if str(frame.f_globals.get("__name__")).startswith("sklearn.model_selection"):
            warn(
                "scikit-learn's cross-validation could not tell that this StackingModel is a classifier, and made "
                "folds that are not stratified: scores may be far off. Use StackingClassifier, or "
                "task='classification'.",
                UserWarning,
                stacklevel=4,
            )
            return
        frame = frame.f_back


def portfolio_of(model: Any, target: Target, X: Any) -> Portfolio | None:
    """Who is fitted by default, on which folds; None for learners that the user gives."""
    if model.estimators is not None:
        return None
    return portfolio_for(
        target.task,
        X,
        n_classes=target.n_classes or 2,
        preset=model.preset,
        time_limit=model.time_limit,
        cores=effective_n_jobs(model.n_jobs),
        all_rows=model.cv is not None,
    )


def learners_for(model: Any, task: TaskName, X: Any, portfolio: Portfolio | None) -> Learners:
    """The user's, checked, or the default ones for these rows."""
    if portfolio is not None:
        own = learners_named(task, portfolio.seconds, X, portfolio.trees)
        return [(name, asking(learner, taken_metadata(model))) for name, learner in own]
    # Parameters of the model have these names; the routing calls the splitter by the last one.
    reserved = (*type(model)._get_param_names(), "splitter")  # noqa: SLF001 - scikit-learn's, of every estimator
    learners = with_adapted_nets(check_learners(model.estimators, reserved=reserved, copied=not is_prefit_cv(model.cv)))
    return _frozen(learners) if is_prefit_cv(model.cv) else learners


def is_prefit_cv(cv: Any) -> bool:
    """Whether the learners are fitted already, and are only asked."""
    return isinstance(cv, str) and cv == "prefit"


def _frozen(learners: Learners) -> Learners:
    for name, learner in learners:
        try:
            check_is_fitted(learner)
        except NotFittedError as error:
            raise NotFittedError(
                f"cv='prefit' takes learners that are fitted; {name!r} is not. Fit it, or set cv to a number of folds. "
                f"({error})"
            ) from error
    return [(name, FrozenEstimator(learner)) for name, learner in learners]


def told_requests(model: Any) -> dict[str, Any]:
    """What ``set_fit_request`` was told for the learners of the stack's own choice, and all else that it chooses."""
    told = getattr(model, "_metadata_request", None)  # where scikit-learn keeps it; there is no public name
    return {} if told is None else dict(told.fit.requests)


def taken_metadata(model: Any) -> set[str]:
    """What they are given of the metadata that ``fit`` gets: whatever nobody has refused for them."""
    told = told_requests(model)
    return {name for name in METADATA if told.get(name) is not False}


def settings_for(model: Any, **others: Any) -> Settings:
    """How a fit is run, with ``others`` in place of the model's parameters; the clock of ``time_limit`` starts."""
    given = {name: getattr(model, name) for name in SETTINGS}
    return settings_of(**(given | others))
