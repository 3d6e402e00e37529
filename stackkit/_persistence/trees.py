"""Decision trees as arrays. scikit-learn follows their numbers without a look: here they are looked at."""

from __future__ import annotations

from collections.abc import Iterator
from importlib import import_module
from typing import Any

import numpy as np

from stackkit._persistence.audit import Refused, blank, full_name

TREE = "sklearn.tree._tree.Tree"
_TREE_CLASSES = "sklearn.tree._classes"
_LEAF = -1
_SET_WORDS = 8  # of 32 bits: a category has one of 256 numbers
_BOOSTING = "sklearn.ensemble._hist_gradient_boosting.gradient_boosting."
# What uses its trees on rows that it has checked itself.
_HOLDERS = (_TREE_CLASSES, "sklearn.ensemble._forest.", "sklearn.ensemble._gb.", "sklearn.ensemble._iforest.")


# --- the trees of one forest, as one ----------------------------------------------------------------


def are_trees(values: list[Any]) -> bool:
    """Whether they are trees of one forest: one class, one shape of tree, and attributes of the same names."""
    if len(values) < 2 or type(values[0]).__module__ != _TREE_CLASSES or len({type(value) for value in values}) > 1:
        return False
    names = {tuple(vars(value)) for value in values}
    if len(names) > 1 or "tree_" not in next(iter(names)):
        return False
    return len({(tree.n_features, tuple(tree.n_classes)) for tree in (value.tree_ for value in values)}) == 1


def encode_trees(values: list[Any]) -> dict[str, Any]:
    """What they have in common, once; their arrays one below the other. skops would write each number's type."""
    first, *others = (value.__getstate__() for value in values)
    common = {name for name, item in first.items() if all(_same(item, other[name]) for other in others)}
    like = blank(type(values[0]))
    vars(like).update({name: item for name, item in first.items() if name in common})
    own = [name for name in first if name not in common and name != "tree_"]
    return {
        "like": like,
        "own": {name: [first[name], *(other[name] for other in others)] for name in own},
        **_joined([encode_tree(value.tree_) for value in values]),
    }


def _joined(trees: list[dict[str, Any]]) -> dict[str, Any]:
    return {
        "common": {name: trees[0][name] for name in ("n_features", "n_classes", "n_outputs")},
        **{name: np.array([tree[name] for tree in trees]) for name in ("max_depth", "node_count")},
        **{name: np.concatenate([tree[name] for tree in trees]) for name in ("nodes", "values")},
    }


def decode_trees(state: dict[str, Any]) -> list[Any]:
    like, ends = state["like"], np.cumsum(state["node_count"])[:-1]
    parts = zip(*(np.split(state[name], ends) for name in ("nodes", "values")), strict=True)
    made = []
    for i, (nodes, values) in enumerate(parts):
        depth = int(state["max_depth"][i])
        tree = state["common"] | {"max_depth": depth, "node_count": len(nodes), "nodes": nodes, "values": values}
        value = blank(type(like))
        vars(value).update(vars(like) | {name: column[i] for name, column in state["own"].items()})
        value.tree_ = decode_tree(tree)
        check_trees(value)
        made.append(value)
    return made


def _same(one: Any, other: Any) -> bool:
    if one is other or type(one) is not type(other):
        return one is other
    if isinstance(one, np.ndarray):
        alike = one.dtype == other.dtype and one.shape == other.shape and not one.dtype.hasobject
        return alike and one.tobytes() == other.tobytes()
    return isinstance(one, bool | int | float | str | np.number) and repr(one) == repr(other)


# --- one tree ---------------------------------------------------------------------------------------


def encode_tree(tree: Any) -> dict[str, Any]:
    _, (n_features, n_classes, n_outputs), state = tree.__reduce__()
    return {"n_features": n_features, "n_classes": n_classes, "n_outputs": n_outputs} | state


def decode_tree(state: dict[str, Any]) -> Any:
    """The tree, if its arrays fit together and each node leads to later ones by a feature that there is."""
    n_features, n_outputs = int(state["n_features"]), int(state["n_outputs"])
    n_classes, nodes, values = (np.asarray(state[name]) for name in ("n_classes", "nodes", "values"))
    fits = n_classes.dtype == np.intp and n_classes.shape == (n_outputs,) and n_classes.min() > 0
    if not fits or values.shape != (len(nodes), n_outputs, n_classes.max()) or state["node_count"] != len(nodes):
        raise Refused("has a decision tree whose arrays do not fit together")
    _check_nodes(nodes, nodes["left_child"] != _LEAF, ("left_child", "right_child"), nodes["feature"], n_features)
    # No public module has the class; it is no estimator, but what all decision trees keep in `tree_`.
    tree = import_module("sklearn.tree._tree").Tree(n_features, n_classes, n_outputs)
    tree.__setstate__({name: state[name] for name in ("max_depth", "node_count", "nodes", "values")})
    return tree


def _check_nodes(
    nodes: np.ndarray, inner: np.ndarray, children: tuple[str, str], features: np.ndarray, n_features: int
) -> None:
    place = np.flatnonzero(inner)
    to = np.concatenate([nodes[child][inner] for child in children]).astype(np.int64)
    ahead = (to > np.tile(place, 2)).all() and (to < len(nodes)).all()
    if not (ahead and len(nodes) and ((features[inner] >= 0) & (features[inner] < n_features)).all()):
        raise Refused("has a decision tree with a node that leads nowhere, or asks for a feature that is not there")


def check_trees(estimator: Any) -> None:
    """Refuse an estimator that would show its trees fewer features than they ask for."""
    if full_name(type(estimator)).startswith(_HOLDERS):
        for tree in _trees(vars(estimator)):
            if tree.n_features > int(estimator.n_features_in_):
                raise Refused(f"has a {type(estimator).__name__} whose trees ask for features that it does not have")
    for stage in vars(estimator).get("_predictors", ()) if full_name(type(estimator)).startswith(_BOOSTING) else ():
        for predictor in stage:
            _check_predictor(vars(predictor), int(estimator.n_features_in_), vars(estimator)["_bin_mapper"])


def _trees(attributes: dict[str, Any]) -> Iterator[Any]:
    if "tree_" in attributes:
        yield attributes["tree_"]
    held = attributes.get("estimators_", ())
    yield from (member.tree_ for member in (held.ravel() if isinstance(held, np.ndarray) else held))


def _check_predictor(attributes: dict[str, Any], n_features: int, bin_mapper: Any) -> None:
    """A tree of histogram boosting: for a categorical feature, a node also has a place among sets of categories."""
    nodes, sets = attributes["nodes"], attributes["raw_left_cat_bitsets"]
    features = nodes["feature_idx"]
    _check_nodes(nodes, nodes["is_leaf"] == 0, ("left", "right"), features, n_features)
    by_category = (nodes["is_leaf"] == 0) & (nodes["is_categorical"] != 0)
    if by_category.any():
        known = np.zeros(n_features, dtype=bool)
        known[: len(bin_mapper.is_categorical_)] = bin_mapper.is_categorical_
        placed = (nodes["bitset_idx"][by_category] < len(sets)).all() and sets.shape[1:] == (_SET_WORDS,)
        if not (placed and known[features[by_category]].all()):
            raise Refused("has a decision tree with a set of categories that is not there")
