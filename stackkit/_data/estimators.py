"""The learners: named, fit to be used, and the method by which each fills its columns."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Any

from sklearn.base import clone, is_classifier, is_regressor

from stackkit._data.target import TaskName, task_of_target
from stackkit._utils import choice

STACK_METHODS = ("predict_proba", "decision_function", "predict")

Learners = Sequence[tuple[str, Any]]


def with_names(estimators: Any) -> list[tuple[str, Any]]:
    """Give every estimator a name: the user's, else its class in lower case, numbered if it recurs."""
    items = list(estimators)
    if not any(isinstance(item, tuple | list) for item in items):
        bases = ["drop" if item == "drop" else type(item).__name__.lower() for item in items]
        total, seen = Counter(bases), Counter[str]()
        names = []
        for base in bases:
            seen[base] += 1
            names.append(f"{base}-{seen[base]}" if total[base] > 1 else base)
        return list(zip(names, items, strict=True))
    for item in items:
        if not isinstance(item, tuple | list) or len(item) != 2:
            raise ValueError(
                "The 'estimators' parameter must be a list of (name, estimator) pairs, or a list of "
                f"estimators, not a mixture; got the item {item!r}. Give each estimator a name, or none."
            )
    return [(item[0], item[1]) for item in items]


def check_learners(estimators: Any, *, reserved: Sequence[str] = (), copied: bool = True) -> Learners:
    """Named learners that can be fitted and can predict, without those that the user dropped.

    ``copied``: whether scikit-learn has to make copies of them, as of those that are not fitted yet.
    """
    if isinstance(estimators, Mapping):
        raise TypeError(
            "The 'estimators' parameter must be a list of (name, estimator) pairs, because their order counts; got a "
            f"{type(estimators).__name__} of {list(estimators)}. Pass list(estimators.items())."
        )
    if isinstance(estimators, str) or not isinstance(estimators, Sequence) or len(estimators) == 0:
        raise ValueError(
            "Invalid 'estimators' attribute, 'estimators' must be a non-empty list of (name, estimator) pairs, or of "
            f"estimators; got {estimators!r}. Pass at least one learner, such as "
            "[('forest', RandomForestClassifier())]."
        )
    named = with_names(estimators)
    _check_names([name for name, _ in named], reserved)
    learners = tuple((name, learner) for name, learner in named if not _is_drop(learner))
    if not learners:
        raise ValueError(
            "The 'estimators' parameter must leave at least one learner; got only 'drop'. "
            "Put an estimator in place of one of them."
        )
    for name, learner in learners:
        _check_learner(name, learner)
        if copied:
            check_clonable(learner, f"learner {name!r} ({type(learner).__name__})")
    return learners


def _is_drop(learner: Any) -> bool:
    return isinstance(learner, str) and learner == "drop"


def _check_names(names: list[Any], reserved: Sequence[str]) -> None:
    for name in names:
        if not isinstance(name, str) or not name:
            raise ValueError(f"The names in 'estimators' must be non-empty strings; got {name!r}. Rename it.")
        if "__" in name:
            raise ValueError(
                f"The names in 'estimators' must not contain '__', which marks nested parameters; got {name!r}. "
                "Use a single underscore."
            )
        if name in reserved:
            raise ValueError(
                f"The names in 'estimators' must differ from {', '.join(reserved)}, which mean "
                f"something else; got {name!r}. Choose another name."
            )
    twice = [name for name, count in Counter(names).items() if count > 1]
    if twice:
        raise ValueError(
            f"The names in 'estimators' must be unique; got {twice[0]!r} more than once. Rename one of them."
        )


def _check_learner(name: str, learner: Any) -> None:
    if isinstance(learner, type):
        raise TypeError(
            f"The learner {name!r} must be an estimator; got the class {learner.__name__}. "
            f"Make an instance of it: {learner.__name__}()."
        )
    if not hasattr(learner, "fit") or not any(hasattr(learner, method) for method in STACK_METHODS):
        raise TypeError(
            f"The learner {name!r} must have a fit method and one of predict_proba, decision_function and "
            f"predict; got {learner!r}. Use an estimator, or leave it out with 'drop'."
        )
    if not hasattr(learner, "__sklearn_tags__"):
        raise TypeError(
            f"The learner {name!r} must be a scikit-learn estimator; got {learner!r}. "
            f"Derive {type(learner).__name__} from sklearn.base.BaseEstimator."
        )


def check_clonable(estimator: Any, whose: str) -> None:
    """Refuse, before anything is fitted, what scikit-learn cannot make a copy of; ``whose`` is what it is called."""
    try:
        clone(estimator)
    except RuntimeError as error:
        lists = [
            f", such as {key}={tuple(value)!r}" for key, value in estimator.get_params().items() if _is_list(value)
        ]
        raise ValueError(
            f"The {whose} must be one that scikit-learn can clone, because each fold fits a copy; got one of which it "
            f"says: {error}. In place of a list, pass a tuple{''.join(lists[:1])}."
        ) from error


def _is_list(value: Any) -> bool:
    """Whether it is one of names or numbers, not one of the steps of a pipeline."""
    return isinstance(value, list) and all(isinstance(item, str | int | float) for item in value)


def infer_task(learners: Learners, y: Any) -> TaskName:
    """Classification if any learner is a classifier; where no learner tells, the type of y."""
    if any(is_classifier(learner) for _, learner in learners):
        return "classification"
    if any(is_regressor(learner) for _, learner in learners):
        return "regression"
    return task_of_target(y)


def check_methods(
    learners: Learners, stack_method: Any, task: TaskName, *, also_known: Sequence[str] = ()
) -> tuple[str, ...]:
    """The method by which each learner fills its columns; ``also_known`` are those that were dropped."""
    wanted = stack_method if isinstance(stack_method, dict) else {}
    known = list(dict.fromkeys([*(name for name, _ in learners), *also_known]))
    unknown = [name for name in wanted if name not in known]
    if unknown:
        raise ValueError(
            f"The 'stack_method' parameter must map names of learners to methods; got {unknown[0]!r}, which is "
            f"not one of {known}. Correct the name."
        )
    default = "auto" if isinstance(stack_method, dict) else stack_method
    return tuple(_method_of(name, learner, wanted.get(name, default), task) for name, learner in learners)


def _method_of(name: str, learner: Any, wanted: Any, task: TaskName) -> str:
    if wanted not in ("auto", *STACK_METHODS):
        raise choice("stack_method", "a stack (or each value of its dict)", ("auto", *STACK_METHODS), wanted)
    if task == "regression" or is_regressor(learner):
        return "predict"
    if wanted == "auto":
        return next(method for method in STACK_METHODS if hasattr(learner, method))
    if not hasattr(learner, wanted):
        offers = [method for method in STACK_METHODS if hasattr(learner, method)]
        raise ValueError(
            f"The learner {name!r} ({type(learner).__name__}) does not implement the method {wanted} that "
            f"'stack_method' asks for; it offers {offers}. Choose one of them, or 'auto'."
        )
    return str(wanted)
