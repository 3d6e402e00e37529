"""Decision trees come back as they were; those that would lead out of their arrays do not come in."""

import io
import pickle

import numpy as np
import pandas as pd
import pytest
from sealing import tampered_skops
from sklearn.datasets import load_diabetes, load_iris
from sklearn.ensemble import (
    AdaBoostClassifier,
    ExtraTreesRegressor,
    GradientBoostingClassifier,
    HistGradientBoostingClassifier,
    IsolationForest,
    RandomForestClassifier,
)
from sklearn.tree import DecisionTreeClassifier, DecisionTreeRegressor

from stackkit import load, save
from stackkit._persistence.audit import Refused
from stackkit._persistence.trees import check_trees, decode_tree, encode_tree
from stackkit.exceptions import ModelFileError

X, y = load_iris(return_X_y=True)


@pytest.fixture
def path(tmp_path):
    return tmp_path / "kept.stackkit"


@pytest.mark.parametrize(
    "model",
    [
        DecisionTreeClassifier(ccp_alpha=0.01),
        DecisionTreeRegressor(max_leaf_nodes=5),
        RandomForestClassifier(7, max_samples=0.5, oob_score=True),
        ExtraTreesRegressor(7),
        GradientBoostingClassifier(n_estimators=4),
        HistGradientBoostingClassifier(max_iter=4),
        IsolationForest(n_estimators=5, max_features=2),
        AdaBoostClassifier(n_estimators=4),
        RandomForestClassifier(1),
    ],
    ids=lambda model: type(model).__name__,
)
@pytest.mark.filterwarnings("ignore:Some inputs do not have OOB")
def test_trees_come_back(model, path):
    model.fit(X, y)
    again = load(save(model, path))
    for method in ("predict", "predict_proba", "decision_function", "apply"):
        if hasattr(model, method):
            assert getattr(again, method)(X).tobytes() == getattr(model, method)(X).tobytes()
    first, second = (np.ravel(getattr(one, "estimators_", [one])) for one in (again, model))
    for ours, theirs in zip(first, second, strict=True):
        assert set(vars(ours)) == set(vars(theirs))
        assert repr(ours).partition(" at 0x")[0] == repr(theirs).partition(" at 0x")[0]


def test_trees_of_several_targets_and_missing_values_come_back(path):
    rows, target = load_diabetes(return_X_y=True)
    rows[::7, 0] = np.nan
    model = ExtraTreesRegressor(4, max_depth=4).fit(rows, np.column_stack([target, -target]))
    assert load(save(model, path)).predict(rows).tobytes() == model.predict(rows).tobytes()


def test_trees_with_categories_come_back(path):
    frame = pd.DataFrame({"port": pd.Categorical(np.array(["a", "b", "c"])[y]), "x": X[:, 0]})
    model = HistGradientBoostingClassifier(max_iter=3, categorical_features="from_dtype").fit(frame, y)
    assert load(save(model, path)).predict_proba(frame).tobytes() == model.predict_proba(frame).tobytes()


def test_a_forest_is_a_fraction_of_its_pickle(path):
    """One by one, skops would write the type of each of their attributes."""
    model = RandomForestClassifier(100).fit(X, y)
    save(model, path)
    assert path.stat().st_size < len(pickle.dumps(model))


# --- of strangers ------------------------------------------------------------------------------------------


def _state():
    state = encode_tree(DecisionTreeClassifier().fit(X, y).tree_)
    return state | {name: state[name].copy() for name in ("nodes", "values", "n_classes")}


def test_a_tree_comes_back_by_itself():
    tree = DecisionTreeClassifier().fit(X, y).tree_
    assert (decode_tree(encode_tree(tree)).predict(X.astype(np.float32)) == tree.predict(X.astype(np.float32))).all()


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("left_child", 10**9),
        ("right_child", 10**9),
        ("left_child", -2),
        ("right_child", 0),  # in a circle
        ("feature", 4),
        ("feature", -1),
    ],
)
def test_nodes_that_lead_out_of_the_tree_are_refused(field, value):
    state = _state()
    state["nodes"][field][0] = value
    with pytest.raises(Refused, match="a node that leads nowhere, or asks for a feature that is not there"):
        decode_tree(state)


@pytest.mark.parametrize(
    "changes",
    [
        {"node_count": 10_000},
        {"n_outputs": 2},
        {"n_classes": np.array([300])},
        {"n_classes": np.array([], dtype=np.intp)},
        {"n_classes": np.array([-1])},
        {"values": np.zeros((1, 1, 3))},
        {"nodes": _state()["nodes"][:0], "values": np.zeros((0, 1, 3)), "node_count": 0},
    ],
    ids="-".join,
)
def test_arrays_that_do_not_fit_are_refused(changes):
    with pytest.raises(Refused, match="has a decision tree"):
        decode_tree(_state() | changes)


def test_a_tree_that_asks_for_more_features_than_its_forest_checks_is_refused():
    forest, wide = RandomForestClassifier(2).fit(X[:, :2], y), RandomForestClassifier(2).fit(X, y)
    forest.estimators_ = wide.estimators_
    with pytest.raises(Refused, match="RandomForestClassifier whose trees ask for features that it does not have"):
        check_trees(forest)
    tree = DecisionTreeClassifier().fit(X[:, :2], y)
    tree.tree_ = wide.estimators_[0].tree_
    with pytest.raises(Refused, match="has a DecisionTreeClassifier whose trees ask"):
        check_trees(tree)


@pytest.mark.parametrize(("field", "value"), [("left", 10**6), ("feature_idx", 99), ("right", 0)])
def test_nodes_of_histogram_boosting_are_looked_at(field, value):
    model = HistGradientBoostingClassifier(max_iter=2).fit(X, y)
    check_trees(model)
    model._predictors[1][2].nodes[field][0] = value
    with pytest.raises(Refused, match="a node that leads nowhere, or asks for a feature that is not there"):
        check_trees(model)


def test_categories_of_histogram_boosting_are_looked_at():
    frame = pd.DataFrame({"port": pd.Categorical(np.array(["a", "b", "c"])[y]), "x": X[:, 0]})
    model = HistGradientBoostingClassifier(max_iter=2, categorical_features="from_dtype").fit(frame, y)
    check_trees(model)
    nodes = model._predictors[0][0].nodes
    assert nodes["is_categorical"].any()
    nodes["bitset_idx"][nodes["is_categorical"] != 0] = 10**6
    with pytest.raises(Refused, match="a set of categories that is not there"):
        check_trees(model)


def test_a_file_with_such_a_tree_is_refused(path):
    save(RandomForestClassifier(3, random_state=0).fit(X, y), path)
    with tampered_skops(path) as (_, files):
        for name, data in files.items():
            array = np.load(io.BytesIO(data))
            if array.dtype.names:
                array["feature"][array["left_child"] != -1] = 1000
                file = io.BytesIO()
                np.save(file, array)
                files[name] = file.getvalue()
    with pytest.raises(ModelFileError, match="asks for a feature that is not there"):
        load(path)
