"""What comes in: a fitted stack or a table, its final estimator, and what the two say of rows and learners."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any
from warnings import warn

import numpy as np
import pandas as pd
from sklearn.base import clone
from sklearn.utils.validation import check_is_fitted

from stackkit._assessment import score_board, second_level, target_of
from stackkit._blending import BLENDS, check_usable, default_final
from stackkit._members import in_steps, last_step
from stackkit._oof import OutOfFold
from stackkit.plots._drawing import STYLES

STACK_LABEL = "stack, cross-fitted on the table"


def fitted_stack(model: Any) -> Any:
    """The stack that a model is, or that its pipeline ends in."""
    stack = last_step(model)
    if not hasattr(stack, "fit") or not hasattr(stack, "leaderboard"):
        raise TypeError(
            f"The 'model' parameter of from_estimator must be a fitted StackingModel, or a Pipeline that ends in one; "
            f"got a {type(model).__name__}. For a table that cross_fit made, use from_oof."
        )
    check_is_fitted(stack)
    return stack


def rows_for_stack(model: Any, X: Any) -> Any:
    """New rows of a model as the stack at the end of its pipeline gets them."""
    for step in in_steps(model)[0]:
        X = step.transform(X)
    return X


def oof_of(model: Any) -> OutOfFold:
    return checked(fitted_stack(model).oof_)


def checked(oof: Any) -> OutOfFold:
    if not isinstance(oof, OutOfFold):
        raise TypeError(
            f"The 'oof' parameter must be an OutOfFold; got a {type(oof).__name__}. Pass what cross_fit returned, or a "
            "fitted model's oof_."
        )
    return oof


def weights_of(model: Any) -> pd.Series | None:
    final = model.final_estimator_
    return pd.Series(final.weights_, index=list(model.oof_.blocks)) if isinstance(final, BLENDS) else None


def final_for(oof: OutOfFold, final: Any) -> Any:
    """A clone of what the user gave, or what a stack of these learners would have."""
    check_usable(final)
    if final is None:  # a forest that is not fitted has no length, hence no truth value
        methods = [block.method for block in oof.blocks.values()]
        return default_final(target_of(oof), methods, passthrough=False, mixed_columns=False)
    return clone(final)


def stack_of(oof: OutOfFold, model: Any) -> OutOfFold | None:
    """With raw columns beside the table, the table is not all that the final estimator needs."""
    return stack_from(oof, clone(model.final_estimator_)) if model.passthrough is False else None


def stack_from(oof: OutOfFold, final: Any) -> OutOfFold | None:
    try:
        return second_level(final, oof)
    except Exception as error:  # noqa: BLE001 - the learners can be shown, whatever the final estimator raises
        warn(f"The stack is left out of the picture: {error}", UserWarning, stacklevel=4)
        return None


def in_colour(oof: OutOfFold, names: Iterable[str], weights: pd.Series | None) -> list[str]:
    """As many as there are colours: the learners of the highest weight, or else of the best score."""
    best = score_board(oof).index if weights is None else weights.sort_values(ascending=False, kind="stable").index
    return [name for name in best if name in set(names)][: len(STYLES)]


def all_classes(values: np.ndarray) -> np.ndarray:
    """Probabilities of all classes, that sum to 1: two classes have one column in the table."""
    full = values if values.shape[1] > 1 else np.hstack([1 - values, values])
    full = np.clip(full, 0, 1)
    return full / full.sum(axis=1, keepdims=True)
