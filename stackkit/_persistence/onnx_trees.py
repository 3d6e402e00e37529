"""Trees of scikit-learn, XGBoost and LightGBM as one ONNX operator, which compares in float64.

The converters of skl2onnx and onnxmltools compare in float32, where a value beside a threshold may fall on its other
side, or fail in float64. Trees that round their input to float32 themselves get it rounded.
"""

from __future__ import annotations

import json
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

import numpy as np

from stackkit._persistence.onnx_graph import Graph, NotConvertibleError, floats

LEAF, AT_MOST, BELOW, EQUAL = "LEAF", "BRANCH_LEQ", "BRANCH_LT", "BRANCH_EQ"
# Of one operator. ONNX Runtime sends each row through all of an operator's trees before it takes the next one: those
# that stay in the processor's cache answer 10,000 rows in two thirds of the time. Many operators slow down one row.
MOST_NODES = 4000


@dataclass(frozen=True)
class Tree:
    """One tree, an item a node: where ``column mode threshold`` holds, a row goes on to ``yes``, else to ``no``.

    ``missing_yes`` says where NaN goes; ``values`` (n_nodes, n_targets) count at leaves.
    """

    column: np.ndarray
    threshold: np.ndarray
    mode: np.ndarray
    yes: np.ndarray
    no: np.ndarray
    missing_yes: np.ndarray
    values: np.ndarray


def sum_of_trees(graph: Graph, x: str, trees: Iterable[Tree], base: Any, *, rounds: bool) -> str:
    """The base of each target and what the leaves add to it; ``rounds``: whether the trees look at float32."""
    base = np.atleast_1d(floats(base))
    if rounds:
        x = graph.cast(graph.cast(x, np.float32), np.float64)
    total = ""
    for part in _parts(trees):
        added = _add_trees(graph, x, part, np.zeros_like(base) if total else base)
        total = graph.add("Add", total, added) if total else added
    return total


def _parts(trees: Iterable[Tree]) -> list[list[Tree]]:
    """A few trees at a time, in their order."""
    parts: list[list[Tree]] = [[]]
    for tree in trees:
        if parts[-1] and sum(len(one.column) for one in [*parts[-1], tree]) > MOST_NODES:
            parts.append([])
        parts[-1].append(tree)
    return parts


def _add_trees(graph: Graph, x: str, trees: list[Tree], base: np.ndarray) -> str:
    sizes = [len(tree.column) for tree in trees]
    leaves = [np.flatnonzero(tree.mode == LEAF) for tree in trees]
    node = np.concatenate([np.arange(size) for size in sizes])

    def joined(name: str) -> np.ndarray:
        return np.concatenate([getattr(tree, name) for tree in trees])

    inner = joined("mode") != LEAF
    weights = np.concatenate([tree.values[found] for tree, found in zip(trees, leaves, strict=True)])
    tree_of_leaf = np.repeat(np.arange(len(trees)), [len(found) for found in leaves])
    total = graph.add(
        "TreeEnsembleRegressor",
        x,
        domain="ai.onnx.ml",
        n_targets=len(base),
        base_values_as_tensor=base,
        nodes_treeids=np.repeat(np.arange(len(trees)), sizes).tolist(),
        nodes_nodeids=node.tolist(),
        nodes_featureids=np.where(inner, joined("column"), 0).tolist(),
        nodes_values_as_tensor=np.where(inner, joined("threshold"), 0.0),
        nodes_modes=joined("mode").tolist(),
        nodes_truenodeids=np.where(inner, joined("yes"), 0).tolist(),
        nodes_falsenodeids=np.where(inner, joined("no"), 0).tolist(),
        nodes_missing_value_tracks_true=(inner & joined("missing_yes")).astype(int).tolist(),
        target_treeids=np.repeat(tree_of_leaf, len(base)).tolist(),
        target_nodeids=np.repeat(np.concatenate(leaves), len(base)).tolist(),
        target_ids=np.tile(np.arange(len(base)), len(tree_of_leaf)).tolist(),
        target_weights_as_tensor=weights.ravel(),
    )
    return graph.cast(total, np.float64)  # the operator adds in float64, and gives float32


def sklearn_tree(tree: Any, share: float) -> Tree:
    """A tree of scikit-learn, which counts for a share of the whole."""
    leaf = tree.children_left == -1
    values = tree.value[:, 0, :]
    return Tree(
        column=tree.feature,
        threshold=tree.threshold,
        mode=np.where(leaf, LEAF, AT_MOST),
        yes=tree.children_left,
        no=tree.children_right,
        missing_yes=tree.missing_go_to_left.astype(bool),
        values=values * share,
    )


def binned_tree(nodes: np.ndarray, target: int, n_targets: int) -> Tree:
    """A tree of scikit-learn's histogram boosting."""
    if nodes["is_categorical"].any():
        raise NotConvertibleError("its trees split by categories. Encode them before it.")
    return Tree(
        column=nodes["feature_idx"].astype(int),
        threshold=nodes["num_threshold"],
        mode=np.where(nodes["is_leaf"], LEAF, AT_MOST),
        yes=nodes["left"].astype(int),
        no=nodes["right"].astype(int),
        missing_yes=nodes["missing_go_to_left"].astype(bool),
        values=_for_target(nodes["value"], target, n_targets),
    )


def _for_target(values: Any, target: int, n_targets: int) -> np.ndarray:
    found = np.zeros((len(values), n_targets))
    found[:, target] = values
    return found


# --- XGBoost ----------------------------------------------------------------------------------------


def xgboost_trees(booster: Any) -> tuple[list[Tree], np.ndarray, str]:
    """Trees, the base of each target, and the objective."""
    learner = json.loads(booster.save_raw("json"))["learner"]
    model, param = learner["gradient_booster"], learner["learner_model_param"]
    objective = learner["objective"]["name"]
    if model["name"] != "gbtree":
        raise NotConvertibleError(f"its booster is {model['name']!r}. Use booster='gbtree'.")
    trees, classes = model["model"]["trees"], model["model"]["tree_info"]
    base = np.atleast_1d(floats(json.loads(param["base_score"])))
    n_targets = max(1, int(param["num_class"]), int(param["num_target"]), len(base))
    if any(max(tree["split_type"], default=0) or int(tree["tree_param"]["size_leaf_vector"]) > 1 for tree in trees):
        raise NotConvertibleError("its trees split by categories, or have several targets each. Encode them before it.")
    base = np.broadcast_to(np.log(base / (1 - base)) if objective == "binary:logistic" else base, n_targets)
    return [_xgboost_tree(*found, n_targets) for found in zip(trees, classes, strict=True)], base, objective


def _xgboost_tree(tree: dict[str, Any], target: int, n_targets: int) -> Tree:
    yes = np.array(tree["left_children"])
    conditions = np.array(tree["split_conditions"], dtype=np.float32)
    return Tree(
        column=np.array(tree["split_indices"]),
        threshold=floats(conditions),
        mode=np.where(yes == -1, LEAF, BELOW),
        yes=yes,
        no=np.array(tree["right_children"]),
        missing_yes=np.array(tree["default_left"], dtype=bool),
        values=_for_target(conditions, target, n_targets),
    )


# --- LightGBM ---------------------------------------------------------------------------------------


def lightgbm_trees(booster: Any) -> tuple[list[Tree], np.ndarray, str]:
    """Trees, the base of each target, and the objective."""
    model = booster.dump_model(num_iteration=max(booster.best_iteration, 0) or None)
    n_targets, objective = model["num_tree_per_iteration"], model["objective"]
    if model["average_output"]:
        raise NotConvertibleError("it averages its trees. Use boosting_type='gbdt'.")
    trees = [
        _lightgbm_tree(found["tree_structure"], place % n_targets, n_targets)
        for place, found in enumerate(model["tree_info"])
    ]
    return trees, np.zeros(n_targets), objective


def _lightgbm_tree(root: dict[str, Any], target: int, n_targets: int) -> Tree:
    rows: list[list[Any]] = []  # column, threshold, mode, yes, no, missing_yes, value

    def place(node: dict[str, Any]) -> int:
        own = len(rows)
        if "left_child" not in node:
            if node.get("leaf_coeff"):
                raise NotConvertibleError("its leaves are linear. Set linear_tree=False.")
            rows.append([0, 0.0, LEAF, 0, 0, False, node["leaf_value"]])
            return own
        tests = _lightgbm_tests(node)
        rows.extend([node["split_feature"], *test, 0.0] for test in tests)
        yes, no = place(node["left_child"]), place(node["right_child"])
        for number in range(own, own + len(tests)):  # one category after the other: "no" asks for the next
            rows[number][3:5] = yes, (number + 1 if number + 1 < own + len(tests) else no)
        return own

    place(root)
    column, threshold, mode, yes, no, missing_yes, value = (np.array(found) for found in zip(*rows, strict=True))
    return Tree(column, threshold, mode, yes, no, missing_yes, _for_target(value, target, n_targets))


def _lightgbm_tests(node: dict[str, Any]) -> list[list[Any]]:
    """Threshold, mode, yes, no, and whether NaN goes to yes, of each test that a node makes."""
    if node["decision_type"] == "==":
        return [[float(category), EQUAL, 0, 0, False] for category in node["threshold"].split("||")]
    if node["missing_type"] == "Zero":
        raise NotConvertibleError("it takes zeros as missing. Set zero_as_missing=False.")
    missing_yes = node["default_left"] if node["missing_type"] == "NaN" else node["threshold"] >= 0
    return [[node["threshold"], AT_MOST, 0, 0, missing_yes]]
