"""The final estimator: which one, where none is given, and whether it suits the table."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from sklearn.base import clone
from sklearn.linear_model import LogisticRegression, RidgeCV
from sklearn.multioutput import MultiOutputClassifier
from sklearn.pipeline import make_pipeline

from stackkit._blend import ConvexClassifier, ConvexRegressor, LogPoolClassifier
from stackkit._checks import Target, TaskName
from stackkit._learners import scaled_preprocessing
from stackkit._selection import EnsembleSelectionClassifier, EnsembleSelectionRegressor

# Meta-learners that give one weight a learner: where it is zero, the learner need not be fitted
# on all rows, nor asked for predictions.
PROBABILITY_BLENDS = (LogPoolClassifier, ConvexClassifier, EnsembleSelectionClassifier)
BLENDS = (*PROBABILITY_BLENDS, ConvexRegressor, EnsembleSelectionRegressor)


def default_blend(task: TaskName | None) -> Any:
    return LogPoolClassifier() if task == "classification" else ConvexRegressor()


def default_final(target: Target, methods: Sequence[str], *, passthrough: bool, mixed_columns: bool) -> Any:
    """A blend of the learners where they can be blended, else scikit-learn's own default."""
    if target.multilabel:
        final: Any = MultiOutputClassifier(LogisticRegression())
    elif target.task == "regression":
        final = RidgeCV() if passthrough or target.n_outputs > 1 else default_blend("regression")
    elif passthrough or any(method != "predict_proba" for method in methods):
        final = LogisticRegression()
    else:
        final = default_blend("classification")
    # A linear model needs the raw columns of a data frame imputed, encoded and scaled.
    return make_pipeline(scaled_preprocessing(), final) if passthrough and mixed_columns else final


def check_final(
    final: Any, learners: Sequence[tuple[str, Any]], methods: Sequence[str], target: Target, passthrough: Any
) -> Any:
    """A clone of the user's final estimator, or an error that says why it does not suit the table."""
    if isinstance(final, BLENDS):
        _check_blend(final, target, passthrough)
    if isinstance(final, PROBABILITY_BLENDS):
        _check_probabilities(final, learners, methods)
    return clone(final)


def check_usable(final: Any) -> None:
    """Refuse what is no estimator, before anything is asked of it."""
    if final is None:
        return
    if isinstance(final, type) or not hasattr(final, "fit") or not hasattr(final, "predict"):
        raise TypeError(
            "The 'final_estimator' parameter of StackingModel must be an estimator with fit and predict, or None; "
            f"got {final!r}. Use such as LogisticRegression()."
        )


def _check_blend(final: Any, target: Target, passthrough: Any) -> None:
    name = type(final).__name__
    if passthrough is not False:
        raise ValueError(
            f"The 'passthrough' parameter must be False where the final estimator weighs learners, as {name} does; "
            f"got {passthrough!r}. Use another final estimator, such as LogisticRegression()."
        )
    if target.n_outputs > 1:
        raise ValueError(
            f"The final estimator {name} takes one target column; got {target.n_outputs}. Leave final_estimator None, "
            "or choose one that takes several."
        )


def _check_probabilities(final: Any, learners: Sequence[tuple[str, Any]], methods: Sequence[str]) -> None:
    for (name, learner), method in zip(learners, methods, strict=True):
        if method != "predict_proba":
            raise ValueError(
                f"The final estimator {type(final).__name__} blends class probabilities, and the learner {name!r} "
                f"({type(learner).__name__}) gives none: its method is {method!r}. Wrap it in "
                "CalibratedClassifierCV, leave it out, or use another final estimator, such as LogisticRegression()."
            )
