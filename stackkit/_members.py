"""One fitted estimator: fit it on given rows, turn its predictions into checked columns."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from inspect import Parameter, signature
from typing import Any, Literal

import numpy as np
import pandas as pd
from scipy import sparse
from sklearn import get_config
from sklearn.base import clone, is_regressor
from sklearn.frozen import FrozenEstimator
from sklearn.pipeline import Pipeline
from sklearn.utils.metadata_routing import MetadataRouter, MethodMapping, get_routing_for_object

from stackkit._checks import Target, is_pandas, is_polars, take_rows
from stackkit._class_weights import class_weights_coded, with_class_weights_of
from stackkit._shortcuts import ask

Kind = Literal["probability", "score", "label", "indicator", "value"]

# float32 probabilities of a softmax over many classes sum to one only to about 1e-6; a learner
# that is off by more than this gives something else than probabilities.
SUM_TOLERANCE = 1e-3


@dataclass(frozen=True)
class Block:
    """A learner's columns in the out-of-fold table.

    Attributes
    ----------
    columns : slice
        Where they stand.
    labels : tuple
        What each column is about: class labels, numbers of outputs, or one None for a single column.
    method : str
        The learner's method that fills them.
    kind : {"probability", "score", "label", "indicator", "value"}
        What they hold.
    n_classes : int
        Classes of the target; 0 where it has none.
    """

    columns: slice
    labels: tuple[Any, ...]
    method: str
    kind: Kind
    n_classes: int

    @property
    def width(self) -> int:
        return len(self.labels)

    def names(self, learner: str) -> list[str]:
        return [learner if label is None else f"{learner}_{label}" for label in self.labels]


def make_blocks(learners: Sequence[tuple[str, Any]], methods: Sequence[str], target: Target) -> dict[str, Block]:
    blocks, start = {}, 0
    for (name, learner), method in zip(learners, methods, strict=True):
        kind = _kind_of(learner, method, target)
        labels = _labels_of(kind, target)
        blocks[name] = Block(slice(start, start + len(labels)), labels, method, kind, target.n_classes)
        start += len(labels)
    return blocks


def _kind_of(learner: Any, method: str, target: Target) -> Kind:
    if target.multilabel:
        return "indicator"
    if target.n_classes == 0 or is_regressor(learner):
        return "value"
    kinds: dict[str, Kind] = {
        "predict_proba": "probability",
        "decision_function": "score",
        "predict": "label",
    }
    return kinds[method]


def _labels_of(kind: Kind, target: Target) -> tuple[Any, ...]:
    """One column for two classes (the other's probability adds nothing), one a class for more."""
    if kind in ("probability", "score") and target.n_classes > 2:
        return tuple(target.classes)
    if kind in ("indicator", "value") and target.n_outputs > 1:
        return tuple(range(target.n_outputs))
    return (None,)


# --- fitting ----------------------------------------------------------------------------------------


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
    with class_weights_coded(learner, target, codes):
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
    with class_weights_coded(learner, target):
        if _is_plain_pipeline(learner):
            fitted = _fit_pipelines_at_once(learner, X, target.values, folds, params)
        else:
            fitted = learner.fit_folds(X, target.values, folds, **params)
    if len(fitted) != len(folds):
        raise ValueError(f"fit_folds must return one estimator a fold; got {len(fitted)} for {len(folds)} folds.")
    with_class_weights_of(learner, fitted)
    codes = [np.unique(target.values[rows]) if target.n_classes else np.arange(0) for rows in folds]
    return [Member(estimator, seen, seen) for estimator, seen in zip(fitted, codes, strict=True)]


def _fit_pipelines_at_once(
    pipeline: Pipeline, X: Any, y: np.ndarray, folds: Sequence[np.ndarray], params: dict[str, Any]
) -> list[Pipeline]:
    """Fit the preprocessing on each fold's training part alone, then the last step on all these parts together.

    They are laid one under the other, and the last step's folds are the places where they lie. Encoders may give
    each fold other columns: the narrower parts are filled up with zeros, and the learner is told their widths.
    """
    name, last = pipeline.steps[-1]
    of_front, of_last = _params_of_steps(pipeline, params)
    fronts = [clone(pipeline[:-1]) for _ in folds]
    parts = [
        front.fit_transform(take_rows(X, rows), y[rows], **rows_of_params(of_front, rows, X.shape[0]))
        for front, rows in zip(fronts, folds, strict=True)
    ]
    all_rows = np.concatenate(folds)
    ends = np.cumsum([len(rows) for rows in folds])
    places = [np.arange(end - len(rows), end) for end, rows in zip(ends, folds, strict=True)]
    params_of_last = rows_of_params(of_last, all_rows, X.shape[0]) | _widths_of(parts, last)
    fitted = last.fit_folds(_one_below_the_other(parts), y[all_rows], places, **params_of_last)
    return [Pipeline([*front.steps, (name, model)]) for front, model in zip(fronts, fitted, strict=True)]


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
    if all(is_pandas(part) and list(part.columns) == list(parts[0].columns) for part in parts):
        return pd.concat(parts, ignore_index=True)
    return np.vstack([np.pad(np.asarray(part), ((0, 0), (0, widest - part.shape[1]))) for part in parts])


def _widths_of(parts: Sequence[Any], learner: Any) -> dict[str, list[int]]:
    widths = [part.shape[1] for part in parts]
    if len(set(widths)) == 1:
        return {}
    if "n_features" not in signature(learner.fit_folds).parameters:
        raise ValueError(
            f"preprocessing gave the folds {sorted(set(widths))} columns; fit_folds of {type(learner).__name__} must "
            f"take n_features, a number of columns a fold, to tell them from the zeros that fill them up."
        )
    return {"n_features": widths}


def is_prefit(learner: Any) -> bool:
    """Whether fitting it does nothing, so that all its fold models are one and the same."""
    if isinstance(learner, Pipeline):
        return all(step is None or step == "passthrough" or is_prefit(step) for _, step in learner.steps)
    return isinstance(learner, FrozenEstimator)


def last_step(learner: Any) -> Any:
    while isinstance(learner, Pipeline):
        learner = learner.steps[-1][1]
    return learner


def _prefit_member(learner: Any, target: Target) -> Member:
    """A prefit classifier speaks the user's labels, not codes."""
    labels = np.asarray(learner.classes_)
    unknown = np.setdiff1d(labels, target.classes)
    if unknown.size:
        raise ValueError(f"it was fitted on the classes {labels.tolist()}, but y has {target.classes.tolist()}.")
    return Member(learner, labels, np.searchsorted(target.classes, labels))


def rows_of_params(params: dict[str, Any], rows: np.ndarray, n_rows: int) -> dict[str, Any]:
    """Cut what has one value a row; leave the rest."""
    cut = {}
    for name, value in params.items():
        shape = getattr(value, "shape", None)
        length = len(value) if isinstance(value, list | tuple) else shape[0] if shape else None
        table = np.asarray(value) if length == n_rows and shape is None else value
        cut[name] = take_rows(table, rows) if length == n_rows else value
    return cut


def weight_params(estimator: Any, weights: np.ndarray | None) -> dict[str, Any] | None:
    """The fit keyword that carries the weights; None where the estimator takes no weights."""
    if weights is None:
        return {}
    # Meta-estimators such as GridSearchCV take it among **params and hand it on.
    keyword = _fit_keyword(estimator, "sample_weight", among_others=True)
    return None if keyword is None else {keyword: weights}


def requested_weights(estimator: Any, weights: np.ndarray | None) -> dict[str, Any]:
    """The weights for who takes them; with metadata routing for who asks for them, and nothing for who does not say."""
    if weights is None or not get_config()["enable_metadata_routing"]:
        return weight_params(estimator, weights) or {}
    return requested_params(estimator, {"sample_weight": weights})


def requested_params(estimator: Any, params: dict[str, Any]) -> dict[str, Any]:
    """Those that the estimator's ``fit`` asks for by metadata routing, under the names that it has for them."""
    wanted = get_routing_for_object(estimator).consumes("fit", params)
    return routed_params(estimator, {key: value for key, value in params.items() if key in wanted})


def routed_params(estimator: Any, params: dict[str, Any]) -> dict[str, Any]:
    """The same; as scikit-learn does it, an estimator that takes one of them and does not say whether is an error."""
    to_fit = MethodMapping().add(caller="fit", callee="fit")
    router = MetadataRouter(owner="stackkit").add(estimator=estimator, method_mapping=to_fit)
    return dict(router.route_params(caller="fit", params=params)["estimator"]["fit"])


def group_params(estimator: Any, groups: Any) -> dict[str, Any]:
    """The fit keyword that carries the groups, for an estimator that splits its rows once more."""
    keyword = None if groups is None else _fit_keyword(estimator, "groups", among_others=False)
    return {} if keyword is None else {keyword: groups}


def _fit_keyword(estimator: Any, name: str, *, among_others: bool) -> str | None:
    prefix = ""
    while isinstance(estimator, Pipeline):
        prefix += f"{estimator.steps[-1][0]}__"
        estimator = estimator.steps[-1][1]
    parameters = signature(estimator.fit).parameters.values() if hasattr(estimator, "fit") else ()
    if any(p.name == name or (among_others and p.kind is Parameter.VAR_KEYWORD) for p in parameters):
        return f"{prefix}{name}"
    return None


# --- predicting -------------------------------------------------------------------------------------


def predict_block(member: Member, X: Any, block: Block) -> np.ndarray:
    """A member's predictions as columns of the table."""
    return as_columns(member, ask(member.estimator, block.method, X), block, X.shape[0])


def as_columns(member: Member, raw: Any, block: Block, n_rows: int) -> np.ndarray:
    """What a member's method gave, checked, float64, in columns that may be averaged over members.

    Shape (n_rows, block.width); for labels (n_rows, n_classes), one vote a row.
    """
    if block.kind == "indicator":
        return _indicator(member, raw, block, n_rows)
    if block.kind == "label":
        return _votes(member, raw, block, n_rows)
    if block.kind == "value":
        return _shaped(raw, block, n_rows, block.width)
    if block.kind == "score" and len(member.codes) <= 2:
        return _binary_score(member, raw, block, n_rows)
    values = _shaped(raw, block, n_rows, len(member.codes))
    if block.kind == "probability":
        _check_range(values, block)
        _check_sums(values, block)
        values = _aligned(values, member, block, 0.0)
        return values[:, 1:] if block.n_classes == 2 else values
    return _aligned(values, member, block, values.min(axis=1, keepdims=True))


def settle(values: np.ndarray, block: Block) -> np.ndarray:
    """Averaged predictions as the table holds them: votes become the code of the most voted class."""
    if block.kind != "label":
        return values
    winner = values.argmax(axis=1).astype(np.float64)
    return np.where(np.isnan(values[:, 0]), np.nan, winner)[:, np.newaxis]


def own_copy(X: Any) -> Any:
    """A learner that works in place must not spoil the rows for the next one, nor the user's data."""
    if is_polars(X):
        return X.clone()
    return X.copy() if hasattr(X, "copy") else X  # some transformer's own kind of rows


def _shaped(raw: Any, block: Block, n_rows: int, width: int) -> np.ndarray:
    values = np.asarray(raw, dtype=np.float64)
    if values.ndim == 1 and width == 1:
        values = values[:, np.newaxis]
    if values.shape != (n_rows, width):
        raise ValueError(f"{block.method} must give an array of shape {(n_rows, width)}; got the shape {values.shape}.")
    _check_finite(values, block)
    return values


def _check_finite(values: np.ndarray, block: Block) -> None:
    bad = ~np.isfinite(values).all(axis=1)
    if bad.any():
        raise ValueError(f"{block.method} gave NaN or infinity in {bad.sum()} of {len(bad)} rows.")


def _check_range(values: np.ndarray, block: Block) -> None:
    if (values < 0).any() or (values > 1 + SUM_TOLERANCE).any():
        raise ValueError(f"{block.method} gave values outside [0, 1]: {values.min():.4g} to {values.max():.4g}.")


def _check_sums(values: np.ndarray, block: Block) -> None:
    off = np.abs(values.sum(axis=1) - 1)
    if (off > SUM_TOLERANCE).any():
        raise ValueError(f"{block.method} gave rows that do not sum to 1: off by up to {off.max():.4g}.")


def _aligned(values: np.ndarray, member: Member, block: Block, fill: Any) -> np.ndarray:
    """Columns in the order of all classes; a class that the member never saw gets ``fill``."""
    if len(member.codes) == block.n_classes:
        return values
    full = np.empty((len(values), block.n_classes))
    full[:] = fill
    full[:, member.codes] = values
    return full


def _binary_score(member: Member, raw: Any, block: Block, n_rows: int) -> np.ndarray:
    """Two classes have one score; where the stack knows more classes, it speaks for one of the two."""
    score = _shaped(raw, block, n_rows, 1)
    if len(member.codes) == 1:  # whatever its sign, it can only speak for the class that it saw
        size = np.abs(score)
        full = _aligned(size, member, block, -size)
        return full[:, 1:] if block.n_classes == 2 else full
    if block.n_classes == 2:
        return score
    return _aligned(np.hstack([-score, score]), member, block, -np.abs(score))


def _votes(member: Member, raw: Any, block: Block, n_rows: int) -> np.ndarray:
    raw = np.asarray(raw)
    if raw.shape != (n_rows,):
        raise ValueError(f"{block.method} must give one class a row, shape {(n_rows,)}; got the shape {raw.shape}.")
    found = np.searchsorted(member.labels, raw).clip(max=len(member.labels) - 1)
    if (member.labels[found] != raw).any():
        raise ValueError(f"{block.method} gave classes that it was not trained on.")
    return np.eye(block.n_classes)[member.codes[found]]


def _indicator(member: Member, raw: Any, block: Block, n_rows: int) -> np.ndarray:
    """One column a label. Forests and k-NN give a list of (n_rows, 2) probabilities instead."""
    if isinstance(raw, list):
        classes = member.estimator.classes_
        raw = np.column_stack(
            [
                np.asarray(label)[:, list(seen).index(1)] if 1 in seen else np.zeros(n_rows)
                for label, seen in zip(raw, classes, strict=True)
            ]
        )
    values = _shaped(raw, block, n_rows, block.width)
    if block.method == "predict_proba":
        _check_range(values, block)
    return values
