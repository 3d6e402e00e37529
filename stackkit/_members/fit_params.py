"""Which metadata reach the fit of an estimator: weights, groups, and what it requests."""

from __future__ import annotations

from collections.abc import Collection
from inspect import Parameter, signature
from typing import Any

import numpy as np
from sklearn import get_config
from sklearn.pipeline import Pipeline
from sklearn.utils.metadata_routing import MetadataRouter, MethodMapping, get_routing_for_object

from stackkit._data import take_rows
from stackkit._utils import parts_of


def rows_of_params(params: dict[str, Any], rows: np.ndarray, n_rows: int) -> dict[str, Any]:
    """Cut what has one value per row; leave the rest."""
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


def asking(estimator: Any, allowed: Collection[str] = ("groups", "sample_weight")) -> Any:
    """With metadata routing, one of our own choice asks for what its ``fit`` takes: nobody else can say that it may.

    What prepares rows for it does without, as it does without routing.
    """
    if not get_config()["enable_metadata_routing"]:
        return estimator
    last = last_step(estimator)
    askers = (last, getattr(last, "estimator", None))  # one for each of several targets
    for part in parts_of(estimator).values():
        if hasattr(part, "set_fit_request"):
            takes = {"sample_weight", "groups"} & set(signature(part.fit).parameters)
            asks = any(part is asker for asker in askers)
            part.set_fit_request(**{name: asks and name in allowed for name in takes})
    return estimator


def last_step(estimator: Any) -> Any:
    while isinstance(estimator, Pipeline):
        estimator = estimator.steps[-1][1]
    return estimator


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
