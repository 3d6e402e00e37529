"""The final estimator's answer to the learners' columns, as ONNX operators: the blends' own formulas."""

from __future__ import annotations

from typing import Any

import numpy as np

from stackkit._blending import BLENDS, LogPoolClassifier, RidgePoolRegressor
from stackkit._persistence.onnx_graph import Graph, floats


def is_blend(final: Any) -> bool:
    return type(final) in BLENDS


def add_blend(graph: Graph, x: str, final: Any) -> str:
    """Probabilities (n, k) or numbers (n, 1) of a blend, whose columns are x."""
    if not hasattr(final, "classes_"):
        if isinstance(final, RidgePoolRegressor):
            low, high = final.limits_
            x = graph.add("Min", graph.add("Max", x, floats(low)), floats(high))
        return graph.scaled(
            graph.add("MatMul", x, floats(final.weights_)[:, None]), 1.0, getattr(final, "intercept_", 0.0)
        )
    parts = [(weight, part) for weight, part in zip(final.weights_, _parts(final), strict=True) if weight != 0]
    terms = [graph.scaled(_clipped(graph, _proba(graph, x, part), final), weight) for weight, part in parts]
    if not terms:  # a pool that trusts nobody
        nothing = graph.columns(x, np.zeros(len(final.classes_), dtype=int))
        terms = [graph.scaled(nothing, 0.0)]
    total = terms[0]
    for term in terms[1:]:
        total = graph.add("Add", total, term)
    if isinstance(final, LogPoolClassifier):
        return graph.add("Softmax", graph.add("Add", total, floats(final.bias_)), axis=1)
    return graph.add("Min", total, floats(1))


def _parts(final: Any) -> list[Any]:
    """Places of each learner's columns."""
    n_classes = len(final.classes_)
    return list(np.arange(final.n_features_in_).reshape(-1, 1 if n_classes == 2 else n_classes))


def _proba(graph: Graph, x: str, places: Any) -> str:
    """A learner's probabilities of all classes, of sum one."""
    own = graph.columns(x, places)
    if len(places) == 1:
        return graph.side_by_side([graph.add("Sub", floats(1), own), own])
    return graph.add("Div", own, graph.add("ReduceSum", own, np.array([1])))


def _clipped(graph: Graph, proba: str, final: Any) -> str:
    if not isinstance(final, LogPoolClassifier):
        return proba
    return graph.add("Log", graph.add("Max", proba, floats(final.clip)))
