"""What predicts from a table, as ONNX operators: by class ours, and all else by skl2onnx.

A converter gets the graph, the name of a table (n, d), and the fitted estimator. It gives the name of the probabilities
(n, k), for two classes both of them, or of the numbers (n, t).
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from importlib import import_module
from typing import Any

import numpy as np

from stackkit._persistence.audit import full_name
from stackkit._persistence.onnx_graph import OPSETS, Graph, NotConvertibleError, floats
from stackkit._persistence.onnx_networks import add_mlp
from stackkit._persistence.onnx_trees import (
    Tree,
    binned_tree,
    lightgbm_trees,
    sklearn_tree,
    sum_of_trees,
    xgboost_trees,
)

Converter = Callable[[Graph, str, Any], str]

# What becomes of a sum of trees; other objectives have links of their own.
SIGMOID, SOFTMAX, AS_IT_IS = "sigmoid", "softmax", "as it is"
OBJECTIVES = {
    "binary:logistic": SIGMOID,
    "multi:softprob": SOFTMAX,
    "reg:squarederror": AS_IT_IS,
    "binary sigmoid:1": SIGMOID,
    "multiclass": SOFTMAX,
    "regression": AS_IT_IS,
}


def add_learner(graph: Graph, x: str, estimator: Any) -> str:
    """Add what predicts: probabilities of a classifier, numbers of a regressor."""
    convert = CONVERTERS.get(full_name(type(estimator)))
    return _by_skl2onnx(graph, x, estimator) if convert is None else convert(graph, x, estimator)


def add_transformer(graph: Graph, x: str, step: Any) -> str:
    """Add a transformer that skl2onnx knows."""
    return _by_skl2onnx(graph, x, step)


def both_classes(graph: Graph, second: str) -> str:
    return graph.side_by_side([graph.add("Sub", floats(1), second), second])


def _by_skl2onnx(graph: Graph, x: str, estimator: Any) -> str:
    """In float64, or, where skl2onnx only pretends to that, in float32."""
    types, failure = import_module("skl2onnx.common.data_types"), None
    rounds = full_name(type(estimator)) in ROUND_THEIR_INPUT
    for kind, dtype in [("DoubleTensorType", np.float64), ("FloatTensorType", np.float32)][rounds:]:
        try:
            model = _skl2onnx_model(estimator, getattr(types, kind))
        except Exception as error:  # noqa: BLE001 - what it does not know may fail in any way
            failure = failure or error
        else:
            return graph.cast(graph.inline(model, graph.cast(x, dtype), output=-1), np.float64)
    raise NotConvertibleError(
        f"skl2onnx cannot convert it ({type(failure).__name__}: {_short(failure)}). Leave it out, or use another one."
    ) from failure


def _skl2onnx_model(estimator: Any, kind: Any) -> Any:
    model = import_module("skl2onnx").convert_sklearn(
        estimator,
        initial_types=[("X", kind([None, estimator.n_features_in_]))],
        options={id(estimator): {"zipmap": False}} if hasattr(estimator, "predict_proba") else None,
        target_opset=OPSETS,
    )
    import_module("onnx").checker.check_model(model, full_check=True)
    return model


def _short(error: Any) -> str:
    text = " ".join(str(error).split())
    return text if len(text) < 200 else text[:200] + " ..."


ROUND_THEIR_INPUT = {
    f"sklearn.ensemble._gb.GradientBoosting{kind}" for kind in ("Classifier", "Regressor")
}  # to float32, as all of scikit-learn's trees do but the binned ones


# --- linear models ----------------------------------------------------------------------------------


def _linear(graph: Graph, x: str, model: Any) -> str:
    weights = np.atleast_2d(model.coef_).T
    return graph.add("Add", graph.add("MatMul", x, floats(weights)), floats(np.atleast_1d(model.intercept_)))


def _logistic(graph: Graph, x: str, model: Any) -> str:
    if getattr(model, "solver", None) == "liblinear" and len(model.classes_) > 2:
        return _by_skl2onnx(graph, x, model)
    return _linked(graph, _linear(graph, x, model), SIGMOID if len(model.classes_) == 2 else SOFTMAX)


def _linked(graph: Graph, sums: str, link: str) -> str:
    if link == SIGMOID:
        return both_classes(graph, graph.add("Sigmoid", sums))
    return graph.add("Softmax", sums, axis=1) if link == SOFTMAX else sums


def _naive_bayes(graph: Graph, x: str, model: Any) -> str:
    rows = graph.add("Unsqueeze", x, np.array([1]))  # (n, 1, d), against (k, d)
    apart = graph.add("Div", graph.add("Sub", rows, floats(model.theta_)), floats(np.sqrt(model.var_)))
    squares = graph.add("ReduceSum", graph.add("Mul", apart, apart), np.array([2]), keepdims=0)
    constant = np.log(model.class_prior_) - 0.5 * np.log(2 * np.pi * model.var_).sum(axis=1)
    return graph.add("Softmax", graph.scaled(squares, -0.5, constant), axis=1)


# --- trees ------------------------------------------------------------------------------------------


def _forest(graph: Graph, x: str, forest: Any) -> str:
    trees = getattr(forest, "estimators_", [forest])
    base = np.zeros(getattr(forest, "n_classes_", 1))
    if forest.n_outputs_ > 1:
        raise NotConvertibleError("it has several outputs. Fit one for each.")
    parts = [sklearn_tree(tree.tree_, 1 / len(trees)) for tree in trees]
    if len(base) == 2:  # trees of one target are faster
        second = [replace(part, values=part.values[:, 1:]) for part in parts]
        return both_classes(graph, sum_of_trees(graph, x, second, base[1:], rounds=True))
    return sum_of_trees(graph, x, parts, base, rounds=True)


def _binned(graph: Graph, x: str, model: Any) -> str:
    base = np.ravel(model._baseline_prediction)  # noqa: SLF001 - there is no public name
    stages: Sequence[Any] = model._predictors  # noqa: SLF001
    trees = [binned_tree(found.nodes, i, len(base)) for stage in stages for i, found in enumerate(stage)]
    if getattr(model, "loss", None) not in ("log_loss", "squared_error", "absolute_error", "quantile"):
        raise NotConvertibleError(f"its loss is {model.loss!r}. Use 'squared_error'.")
    if getattr(model, "_preprocessor", None) is not None:
        raise NotConvertibleError("it encodes categories. Encode them before it.")
    link = AS_IT_IS if not hasattr(model, "classes_") else SIGMOID if len(base) == 1 else SOFTMAX
    return _linked(graph, sum_of_trees(graph, x, trees, base, rounds=False), link)


def _xgboost(graph: Graph, x: str, model: Any) -> str:
    booster = model.get_booster()
    best = booster.attributes().get("best_iteration")
    found = xgboost_trees(booster if best is None else booster[: int(best) + 1])
    return _boosted(graph, x, *found, rounds=True)


def _lightgbm(graph: Graph, x: str, model: Any) -> str:
    return _boosted(graph, x, *lightgbm_trees(model.booster_), rounds=False)


def _boosted(graph: Graph, x: str, trees: list[Tree], base: np.ndarray, objective: str, *, rounds: bool) -> str:
    link = OBJECTIVES.get(objective) or OBJECTIVES.get(objective.partition(" ")[0])
    if link is None:
        raise NotConvertibleError(f"its objective is {objective!r}. Use one of {sorted(OBJECTIVES)}.")
    return _linked(graph, sum_of_trees(graph, x, trees, base, rounds=rounds), link)


CONVERTERS: dict[str, Converter] = {
    **{
        f"sklearn.linear_model.{name}": _linear for name in ("_ridge.Ridge", "_ridge.RidgeCV", "_base.LinearRegression")
    },
    "sklearn.linear_model._logistic.LogisticRegression": _logistic,
    "sklearn.linear_model._logistic.LogisticRegressionCV": _logistic,
    "sklearn.discriminant_analysis.LinearDiscriminantAnalysis": _logistic,
    "sklearn.naive_bayes.GaussianNB": _naive_bayes,
    "stackkit._learners.bayes.SmoothedNB": _naive_bayes,
    **{
        f"sklearn.ensemble._forest.{name}{kind}": _forest
        for name in ("RandomForest", "ExtraTrees")
        for kind in ("Classifier", "Regressor")
    },
    **{
        f"sklearn.tree._classes.{name}Tree{kind}": _forest
        for name in ("Decision", "Extra")
        for kind in ("Classifier", "Regressor")
    },
    **{
        f"sklearn.ensemble._hist_gradient_boosting.gradient_boosting.HistGradientBoosting{kind}": _binned
        for kind in ("Classifier", "Regressor")
    },
    **{f"xgboost.sklearn.XGB{kind}": _xgboost for kind in ("Classifier", "Regressor")},
    **{f"stackkit._learners.boosting.StoppedXGB{kind}": _xgboost for kind in ("Classifier", "Regressor")},
    **{f"lightgbm.sklearn.LGBM{kind}": _lightgbm for kind in ("Classifier", "Regressor")},
    **{f"stackkit._learners.light_boosting.LightGBM{kind}": _lightgbm for kind in ("Classifier", "Regressor")},
    **{f"stackkit.nn._estimators.BNMLP{kind}": add_mlp for kind in ("Classifier", "Regressor")},
}
