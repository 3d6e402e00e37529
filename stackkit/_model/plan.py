"""What a fit of a stack is about to do: everything checked and decided, nothing fitted yet."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from copy import copy
from dataclasses import dataclass
from typing import Any

import numpy as np
from scipy import sparse
from sklearn.base import is_classifier, is_regressor
from sklearn.utils import Bunch
from sklearn.utils.validation import validate_data

from stackkit._blending import BLENDS, check_final, check_takes_folds, check_usable, default_final
from stackkit._data import (
    Folds,
    Learners,
    Target,
    TaskName,
    as_known,
    check_class_weights,
    check_methods,
    check_names_differ,
    check_rows,
    check_target,
    check_weights,
    is_pandas,
    is_polars,
    make_folds,
    picked_columns,
    raw_rows,
    splitter_of,
    take_rows,
    task_of_target,
)
from stackkit._learners import Portfolio, check_preset, prepares_tables
from stackkit._members import asking, make_blocks, rows_of_params
from stackkit._model.parameters import (
    fixed_task,
    is_prefit_cv,
    known_task,
    learners_for,
    named_learners,
    portfolio_of,
    taken_metadata,
)
from stackkit._model.routing import check_known_metadata, check_takes_weights, route
from stackkit._oof import split_seed

INPUTS = ("n_features_in_", "feature_names_in_")


@dataclass(frozen=True)
class Plan:
    """The data, who is fitted to them, and who gets which metadata.

    ``routed`` holds the metadata of each of the ``learners``, of the ``final_estimator`` and of the ``splitter``;
    ``picked`` are the positions of the columns of X that the final estimator sees, too; ``inputs`` are scikit-learn's
    attributes of a fitted estimator that describe X, such as ``n_features_in_``; ``raw`` says whether all learners
    prepare raw tables, as the default ones do; ``portfolio`` is what default learners were chosen by.
    """

    X: Any
    y: Any
    target: Target
    learners: Learners
    methods: tuple[str, ...]
    final: Any
    picked: list[int]
    weights: np.ndarray | None
    splitter: Any
    routed: Bunch
    inputs: dict[str, Any]
    raw: bool
    portfolio: Portfolio | None

    def only(self, names: Iterable[str]) -> Learners:
        wanted = set(names)
        return [(name, learner) for name, learner in self.learners if name in wanted]

    def folds(self, entropy: int) -> Folds:
        folds = make_folds(self.splitter, self.X, self.y, seed=split_seed(entropy), **self.routed.splitter)
        check_takes_folds(self.final, folds)
        return folds

    def folds_of(self, rows: np.ndarray, entropy: int) -> Folds:
        """The folds that a fit on these rows alone would make, in their own numbers."""
        params = rows_of_params(self.routed.splitter, rows, self.X.shape[0])
        y = self.y.toarray() if sparse.issparse(self.y) else self.y
        y = y if hasattr(y, "shape") else np.asarray(y)
        folds = make_folds(
            self.splitter, take_rows(self.X, rows), take_rows(y, rows), seed=split_seed(entropy), **params
        )
        check_takes_folds(self.final, folds)
        return folds

    def check_covered(self, rows: np.ndarray, where: str = "") -> None:
        """A blend cannot be fitted to one class, and would only say so when all learners are fitted."""
        if not (self.target.n_classes and isinstance(self.final, BLENDS)):
            return
        weights = self.routed.final_estimator.get("sample_weight")
        heavy = rows if weights is None else rows[np.asarray(weights)[rows] > 0]
        found = np.unique(self.target.values[heavy])
        if found.size < 2:
            raise ValueError(
                f"The 'cv' parameter of the model must test rows of at least two classes, for "
                f"{type(self.final).__name__} to learn from; the rows that it tests{where} are of "
                f"{self.target.classes[found].tolist()} only. Use fewer folds, or a stratified splitter."
            )


def make_plan(model: Any, X: Any, y: Any, *, groups: Any, sample_weight: Any, **params: Any) -> Plan:
    """Check and decide everything that a fit of this stack needs; the model is not written to."""
    check_known_metadata(model, params)
    y = as_known(y)
    if sample_weight is not None and fixed_task(model):
        check_takes_weights([*named_learners(model), ("final_estimator", model.final_estimator)])
    _check_estimators(model)
    raw = all(prepares_tables(learner) for _, learner in named_learners(model) if learner != "drop")
    rows = raw_rows(X, training=True, stacklevel=4) if raw else check_rows(X, training=True)
    inputs = _inputs_of(model, rows)
    target = check_target(y, known_task(model) or task_of_target(y), rows.shape[0])
    portfolio = portfolio_of(model, target, rows)
    learners = learners_for(model, target.task, rows, portfolio)
    named = [name for name, _ in named_learners(model)]
    methods = check_methods(learners, model.stack_method, target.task, also_known=named)
    final = _final_of(model, learners, methods, target, rows)
    check_class_weights([*learners, ("final_estimator", final)], target)
    # Once, by position: new rows may come without names.
    picked = picked_columns(model.passthrough, rows)
    blocks = make_blocks(learners, methods, target)
    check_names_differ([column for name, block in blocks.items() for column in block.names(name)], rows, picked)
    weights = check_weights(sample_weight, rows.shape[0])
    splitter = _splitter_of(model, y, target.task, portfolio)
    routed = route(model, learners, final, {"groups": groups, "sample_weight": weights} | params)
    return Plan(rows, y, target, learners, methods, final, picked, weights, splitter, routed, inputs, raw, portfolio)


def _check_estimators(model: Any) -> None:
    """First of all: scikit-learn's own errors about them name neither learner nor parameter."""
    check_preset(model.preset, "StackingModel")
    if model.estimators is not None:
        learners_for(model, "classification", None, None)
    check_usable(model.final_estimator)
    _check_final_task(model)


def _check_final_task(model: Any) -> None:
    """In scikit-learn's words, which its users' code may look for."""
    wrong = {"classification": is_regressor, "regression": is_classifier, None: lambda _: False}[fixed_task(model)]
    if model.final_estimator is not None and wrong(model.final_estimator):
        wanted = "classifier" if fixed_task(model) == "classification" else "regressor"
        raise ValueError(
            f"'final_estimator' parameter should be a {wanted}. Got {model.final_estimator!r}. Use a {wanted}, or None."
        )


def _inputs_of(model: Any, rows: Any) -> dict[str, Any]:
    """What scikit-learn notes down of X in an estimator that it validates: here in a copy."""
    noted = copy(model)
    validate_data(noted, X=rows, skip_check_array=True)
    return {name: vars(noted)[name] for name in INPUTS if name in vars(noted)}


def _final_of(model: Any, learners: Learners, methods: Sequence[str], target: Target, X: Any) -> Any:
    if model.final_estimator is not None:
        return check_final(model.final_estimator, learners, methods, target, model.passthrough)
    frame = is_pandas(X) or is_polars(X)
    final = default_final(target, methods, passthrough=model.passthrough is not False, mixed_columns=frame)
    return asking(final, taken_metadata(model))


def _splitter_of(model: Any, y: Any, task: TaskName, portfolio: Portfolio | None) -> Any:
    classifier = task == "classification"
    of_preset = {} if portfolio is None else {"n_folds": portfolio.n_folds, "max_rows": portfolio.n_rows}
    cv = None if is_prefit_cv(model.cv) else model.cv  # whatever the folds: nobody is fitted on them
    return splitter_of(cv, y, classifier=classifier, random_state=model.random_state, **of_preset)
