"""The final estimator: which one, where none is given, whether it suits the table, and what it predicts."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Self
from warnings import warn

import numpy as np
from sklearn.base import clone
from sklearn.linear_model import LogisticRegression, RidgeCV
from sklearn.multioutput import MultiOutputClassifier
from sklearn.pipeline import make_pipeline
from sklearn.utils.validation import validate_data

from stackkit._blending.convex import ConvexClassifier, ConvexRegressor
from stackkit._blending.pools import LinearPoolRegressor, LogPoolClassifier
from stackkit._blending.ridge_pool import RidgePoolRegressor
from stackkit._blending.selection import EnsembleSelectionClassifier, EnsembleSelectionRegressor
from stackkit._data import Folds, SameFolds, Target, TaskName, check_clonable
from stackkit._learners import scaled_preprocessing
from stackkit._members import Block, Member, as_columns, asking, last_step, one_column
from stackkit._utils import sums_held
from stackkit.exceptions import MissingClassWarning

# Meta-learners that give one weight per learner: where it is zero, the learner need not be fitted
# on all rows, nor asked for predictions.
PROBABILITY_BLENDS = (LogPoolClassifier, ConvexClassifier, EnsembleSelectionClassifier)
NUMBER_BLENDS = (RidgePoolRegressor, LinearPoolRegressor, ConvexRegressor, EnsembleSelectionRegressor)
BLENDS = (*PROBABILITY_BLENDS, *NUMBER_BLENDS)

# Log-odds of a label that never changes: the probability is 0 or 1, to float64's precision.
CERTAIN = 40.0


class LabelLogisticRegression(LogisticRegression):
    """Logistic regression for one of several labels, which may be 0, or 1, in all rows that it is fitted to.

    Then it predicts that for all rows, where scikit-learn's refuses to be fitted.
    """

    def fit(self, X: Any, y: Any, sample_weight: Any = None) -> Self:
        found = np.unique(y)
        if len(found) > 1:
            return super().fit(X, y, sample_weight)
        X, y = validate_data(self, X, y, accept_sparse=True)
        self.classes_, self.n_iter_ = np.array([0, 1]), np.array([0])
        self.coef_, self.intercept_ = np.zeros((1, X.shape[1])), np.full(1, CERTAIN if found[0] else -CERTAIN)
        return self


def default_blend(task: TaskName | None) -> Any:
    return asking(LogPoolClassifier() if task == "classification" else RidgePoolRegressor())


def default_final(target: Target, methods: Sequence[str], *, passthrough: bool, mixed_columns: bool) -> Any:
    """A blend of the learners where they can be blended, else scikit-learn's own default."""
    if target.multilabel:
        final: Any = MultiOutputClassifier(LabelLogisticRegression())
    elif target.task == "regression":
        final = RidgeCV() if passthrough or target.n_outputs > 1 else default_blend("regression")
    elif passthrough or any(method != "predict_proba" for method in methods):
        final = LogisticRegression()
    else:
        final = default_blend("classification")
    # A linear model needs the raw columns of a data frame imputed, encoded and scaled.
    return asking(make_pipeline(scaled_preprocessing(), final) if passthrough and mixed_columns else final)


def warn_of_constant_labels(final: Any, target: Target, rows: np.ndarray) -> None:
    last = last_step(final)
    if not (isinstance(last, MultiOutputClassifier) and isinstance(last.estimator, LabelLogisticRegression)):
        return
    values = target.values[rows]
    for label in np.flatnonzero((values == values[0]).all(axis=0)):
        value = values[0, label]
        warn(
            f"The label {label} is {value} in all {len(rows)} rows that the final estimator is fitted to, so it "
            f"predicts {value} for all rows. Get rows in which it is {1 - value}, or leave the label out.",
            MissingClassWarning,
            stacklevel=5,
        )


def check_final(
    final: Any, learners: Sequence[tuple[str, Any]], methods: Sequence[str], target: Target, passthrough: Any
) -> Any:
    """A clone of the user's final estimator, or an error that says why it does not suit the table."""
    if isinstance(final, BLENDS):
        _check_blend(final, target, passthrough)
    if isinstance(final, PROBABILITY_BLENDS):
        _check_probabilities(final, learners, methods)
    check_clonable(final, f"final_estimator ({type(final).__name__})")
    return clone(final)


def upper_stack(final: Any) -> Any:
    """The StackingModel that a final estimator is, or that its pipeline ends in: a level of its own; else None."""
    last = last_step(final)
    # Of its class: a frozen stack hands on all that it is asked for, but has no parameters of a stack.
    return last if hasattr(type(last), "leaderboard") else None


def takes_folds(final: Any) -> bool:
    """Whether it is a stack, or ends in one, that has no splitter of its own: it goes on with those of this level."""
    stack = upper_stack(final)
    return stack is not None and (stack.cv is None or isinstance(stack.cv, SameFolds))


def check_takes_folds(final: Any, folds: Folds) -> None:
    """Refuse, before anything is fitted, folds of which nothing is left for a stack that is to go on with them."""
    if takes_folds(final):
        _folds_left(folds, np.flatnonzero(folds.covered))


def with_folds(final: Any, folds: Folds, rows: np.ndarray) -> Any:
    """Give a stack that is a final estimator and has no splitter of its own the folds of the rows that it is fitted to.

    A row is predicted on both levels without its fold then. Groups and time are kept apart as they were, and rows
    that the level below does not cover stay out.
    """
    if takes_folds(final):
        upper_stack(final).set_params(cv=_folds_left(folds, rows))
    return final


def _folds_left(folds: Folds, rows: np.ndarray) -> SameFolds:
    own = folds.within(rows)
    if own is None:
        raise ValueError(
            "The 'cv' parameter of the stack that is the final estimator must be set here: it would go on with the "
            f"folds of the level below, and none of these {len(folds)} trains on rows that another one tests. Set "
            "it to a splitter, or give the level below more folds."
        )
    return own


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


def seen_columns(
    final: Any, table: np.ndarray, blocks: dict[str, Block], codes: np.ndarray
) -> tuple[np.ndarray, list[str]]:
    """What the final estimator sees of the learners' columns, and their names: all of them.

    A blend of probabilities tells the learners apart by the number of classes. Where its rows lack a class, it sees
    the columns of the others, ``codes``, as shares of one.
    """
    names = [column for name, block in blocks.items() for column in block.names(name)]
    n_classes = next(iter(blocks.values())).n_classes
    if not isinstance(final, PROBABILITY_BLENDS) or len(codes) in (0, 1, n_classes):
        return table, names
    kept = codes[1:] if len(codes) == 2 else codes
    parts = [_shares(table[:, block.columns][:, codes])[:, -len(kept) :] for block in blocks.values()]
    return np.hstack(parts), [block.names(name)[code] for name, block in blocks.items() for code in kept]


def _shares(probabilities: np.ndarray) -> np.ndarray:
    total = probabilities.sum(axis=1, keepdims=True)
    with np.errstate(invalid="ignore"):
        return np.where(total == 0, 1 / probabilities.shape[1], probabilities / total)


# --- predicting: the final estimator knows codes, and only of the classes that its rows had -----------


def final_labels(member: Member, table: Any, classes: Any, **params: Any) -> Any:
    """The user's labels; for several labels per row, and for numbers, what the estimator gives."""
    with sums_held(member.estimator):
        raw = one_column(member.estimator.predict(table, **params))
    return classes[member.codes[np.searchsorted(member.labels, raw)]] if isinstance(classes, np.ndarray) else raw


def final_probabilities(member: Member, table: Any, classes: Any) -> np.ndarray:
    """One column per class; for several labels per row the probability of each."""
    with sums_held(member.estimator):
        raw = member.estimator.predict_proba(table)
    if isinstance(classes, list):
        return np.column_stack([label[:, 1] for label in raw]) if isinstance(raw, list) else raw
    if len(member.codes) == len(classes):
        return raw
    full = np.zeros((len(raw), len(classes)))
    full[:, member.codes] = raw
    return full


def final_scores(member: Member, table: Any, classes: Any) -> np.ndarray:
    """Decision values; where the rows lacked a class, with a column for it that never wins."""
    with sums_held(member.estimator):
        raw = member.estimator.decision_function(table)
    if not isinstance(classes, np.ndarray) or len(member.codes) == len(classes):
        return raw
    block = Block(slice(0, len(classes)), tuple(classes), "decision_function", "score", len(classes))
    found = as_columns(member, raw, block, table.shape[0])
    return found[:, 0] if len(classes) == 2 else found
