"""Fit one learner on given rows, or on several folds at once."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import reduce
from inspect import signature
from typing import Any

import numpy as np
import pandas as pd
from scipy import sparse
from sklearn import get_config
from sklearn.base import clone, is_regressor
from sklearn.frozen import FrozenEstimator
from sklearn.pipeline import Pipeline
from sklearn.utils.metadata_routing import get_routing_for_object

from stackkit._data import Target, class_weights_coded, is_pandas, take_rows, with_class_weights_of
from stackkit._members.fit_params import last_step, requested_params, rows_of_params
from stackkit._utils import unlogged


@dataclass(frozen=True)
class Member:
    """A fitted estimator; ``labels`` are its names for the classes whose codes are ``codes``."""

    estimator: Any
    labels: np.ndarray
    codes: np.ndarray


def fit_member(learner: Any, X: Any, target: Target, rows: np.ndarray, params: dict[str, Any]) -> Member:
    """Fit in place on some rows, with the classes found there coded 0..k-1, as XGBoost demands."""
    y, codes = target.values[rows], np.arange(0)
    if target.n_classes:
        codes, local = np.unique(y, return_inverse=True)
        # To a regressor a code is a number, which must mean the same in every fold.
        y = y if is_regressor(learner) else local
    with unlogged(), class_weights_coded(learner, target, codes):
        learner.fit(take_rows(X, rows), y, **rows_of_params(params, rows, X.shape[0]))
    if isinstance(last_step(learner), FrozenEstimator) and target.n_classes and not is_regressor(learner):
        return _prefit_member(learner, target)
    return Member(learner, np.arange(len(codes)), codes)


def trains_folds_together(learner: Any) -> bool:
    """Whether it offers ``fit_folds``, itself or as the last step after some preprocessing."""
    if _is_plain_pipeline(learner):
        learner = learner.steps[-1][1]
    # Not what a wrapper hands on: a frozen net must not be trained.
    return hasattr(learner, "fit_folds") and speaks_for(type(learner), "fit_folds", "fit")


def speaks_for(cls: type, shortcut: str, *methods: str) -> bool:
    """Whether the class that defines ``shortcut`` knows the class's methods, which it does the work of.

    A method that is overridden further down does something that the shortcut does not know.
    """
    owners = {name: place for place, base in reversed(list(enumerate(cls.__mro__))) for name in vars(base)}
    return shortcut in owners and all(owners[shortcut] <= owners[name] for name in methods if name in owners)


def _is_plain_pipeline(learner: Any) -> bool:
    """One that can be fitted step by step: what derives from it may do more, as imbalanced-learn's does."""
    return type(learner) is Pipeline and len(learner.steps) > 1 and not getattr(learner, "transform_input", None)


def fit_members_at_once(
    learner: Any, X: Any, target: Target, folds: Sequence[np.ndarray], params: dict[str, Any]
) -> list[Member]:
    """Let the learner train all folds together, by its own ``fit_folds``."""
    with unlogged(), class_weights_coded(learner, target):
        if _is_plain_pipeline(learner):
            fitted = _fit_pipelines_at_once(learner, X, target.values, folds, params)
        else:
            fitted = learner.fit_folds(X, target.values, folds, **params)
    if len(fitted) != len(folds):
        raise ValueError(f"fit_folds must return one estimator per fold; got {len(fitted)} for {len(folds)} folds.")
    with_class_weights_of(learner, fitted)
    codes = [np.unique(target.values[rows]) if target.n_classes else np.arange(0) for rows in folds]
    return [Member(estimator, seen, seen) for estimator, seen in zip(fitted, codes, strict=True)]


def _fit_pipelines_at_once(
    pipeline: Pipeline, X: Any, y: np.ndarray, folds: Sequence[np.ndarray], params: dict[str, Any]
) -> list[Pipeline]:
    """Fit the preprocessing on each fold's training part alone, then the last step on all these parts together.

    Encoders may give each fold other columns. Where other ones of these are categories, a learner that asks for their
    types cannot be told which: such folds are trained after each other.
    """
    name, last = pipeline.steps[-1]
    of_front, of_last = _params_of_steps(pipeline, params)
    fronts = [clone(pipeline[:-1]) for _ in folds]
    parts = [
        front.fit_transform(take_rows(X, rows), y[rows], **rows_of_params(of_front, rows, X.shape[0]))
        for front, rows in zip(fronts, folds, strict=True)
    ]
    fitted: list[Any] = [None] * len(folds)
    for alike in _with_the_same_categories(parts):
        rows = [folds[k] for k in alike]
        params_of_rows = rows_of_params(of_last, np.concatenate(rows), X.shape[0])
        models = _fit_parts_at_once(last, [parts[k] for k in alike], [y[own] for own in rows], params_of_rows)
        for k, model in zip(alike, models, strict=True):
            fitted[k] = model
    return [Pipeline([*front.steps, (name, model)]) for front, model in zip(fronts, fitted, strict=True)]


def _with_the_same_categories(parts: Sequence[Any]) -> list[list[int]]:
    """Places of parts, those together of which the same columns are categories by their types."""
    groups: dict[tuple[int, ...], list[int]] = {}
    for place, part in enumerate(parts):
        dtypes = part.dtypes if is_pandas(part) else ()
        categories = np.flatnonzero([isinstance(dtype, pd.CategoricalDtype) for dtype in dtypes])
        groups.setdefault(tuple(categories.tolist()), []).append(place)
    return list(groups.values())


def _fit_parts_at_once(
    learner: Any, parts: Sequence[Any], targets: Sequence[np.ndarray], params: dict[str, Any]
) -> list[Any]:
    """Lay the parts one under the other; the learner's folds are the places where they lie.

    The narrower parts are filled up with zeros, and the learner is told their widths.
    """
    ends = np.cumsum([len(target) for target in targets])
    places = [np.arange(end - len(target), end) for end, target in zip(ends, targets, strict=True)]
    together = _one_below_the_other(parts)
    fitted: list[Any] = learner.fit_folds(
        together, np.concatenate(targets), places, **params | _widths_of(parts, learner)
    )
    return fitted


def _params_of_steps(pipeline: Pipeline, params: dict[str, Any]) -> tuple[dict[str, Any], dict[str, Any]]:
    """What the preprocessing and the last step get of what ``fit`` of the pipeline gets."""
    name, last = pipeline.steps[-1]
    if not get_config()["enable_metadata_routing"]:
        return {}, {key.removeprefix(f"{name}__"): value for key, value in params.items()}
    front = pipeline[:-1]
    wanted = get_routing_for_object(front).consumes("fit_transform", params)
    return {key: params[key] for key in params if key in wanted}, requested_params(last, params)


def _one_below_the_other(parts: Sequence[Any]) -> Any:
    widest = max(part.shape[1] for part in parts)
    if any(sparse.issparse(part) for part in parts):
        wide = [sparse.csr_matrix(part) for part in parts]
        for part in wide:
            part.resize(part.shape[0], widest)
        return sparse.vstack(wide, format="csr")
    if all(is_pandas(part) for part in parts):
        names = list(max(parts, key=lambda part: part.shape[1]).columns)
        if len(set(names)) == len(names) and all(list(part.columns) == names[: part.shape[1]] for part in parts):
            return _frames_one_below_the_other([part.reindex(columns=names, fill_value=0) for part in parts])
    return np.vstack([np.pad(np.asarray(part), ((0, 0), (0, widest - part.shape[1]))) for part in parts])


def _frames_one_below_the_other(frames: Sequence[pd.DataFrame]) -> pd.DataFrame:
    """Of frames in which the same columns are categories: pandas would take different ones apart."""
    dtypes = {
        name: pd.CategoricalDtype(reduce(pd.Index.union, [frame[name].cat.categories for frame in frames]))
        for name in frames[0].select_dtypes("category").columns
    }
    return pd.concat([frame.astype(dtypes) for frame in frames], ignore_index=True)


def _widths_of(parts: Sequence[Any], learner: Any) -> dict[str, list[int]]:
    widths = [part.shape[1] for part in parts]
    if len(set(widths)) == 1:
        return {}
    if "n_features" not in signature(learner.fit_folds).parameters:
        raise ValueError(
            f"preprocessing gave the folds {sorted(set(widths))} columns; fit_folds of {type(learner).__name__} must "
            f"take n_features, a number of columns per fold, to tell them from the zeros that fill them up."
        )
    return {"n_features": widths}


def is_prefit(learner: Any) -> bool:
    """Whether fitting it does nothing, so that all its fold models are one and the same."""
    if isinstance(learner, Pipeline):
        return all(step is None or step == "passthrough" or is_prefit(step) for _, step in learner.steps)
    return isinstance(learner, FrozenEstimator)


def _prefit_member(learner: Any, target: Target) -> Member:
    """A prefit classifier speaks the user's labels, not codes."""
    labels = np.asarray(learner.classes_)
    unknown = np.setdiff1d(labels, target.classes)
    if unknown.size:
        raise ValueError(f"it was fitted on the classes {labels.tolist()}, but y has {target.classes.tolist()}.")
    return Member(learner, labels, np.searchsorted(target.classes, labels))
