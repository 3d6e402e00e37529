"""What skops must not describe: XGBoost's models, sparse matrices, search trees, functions."""

import json
from functools import partial

import numpy as np
import pytest
from scipy import sparse
from sealing import nodes, tampered_skops, unzipped
from sklearn.datasets import load_iris
from sklearn.metrics import accuracy_score, make_scorer
from sklearn.naive_bayes import GaussianNB
from sklearn.neighbors import KNeighborsClassifier
from sklearn.preprocessing import SplineTransformer
from sklearn.svm import SVC
from xgboost import XGBClassifier, XGBRegressor, XGBRFClassifier

from stackkit import load, save
from stackkit._learners.boosting import StoppedXGBClassifier
from stackkit._learners.light_boosting import LightGBMClassifier, LightGBMRegressor
from stackkit._persistence.codecs import REGISTRY
from stackkit.exceptions import ModelFileError

X, y = load_iris(return_X_y=True)


@pytest.fixture
def path(tmp_path):
    return tmp_path / "kept.stackkit"


def _tamper_text(path, old, new):
    """Text as JSON in a skops member, changed."""
    with tampered_skops(path) as (schema, _):
        found = [node for node in nodes(schema) if node.get("content") == json.dumps(old)]
        assert found
        for node in found:
            node["content"] = json.dumps(new)


# --- XGBoost ------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "model",
    [
        XGBClassifier(n_estimators=20, base_score=0.3, n_jobs=2),
        XGBClassifier(n_estimators=5, booster="dart", rate_drop=0.5, random_state=0),
        XGBRFClassifier(n_estimators=5),
        XGBRegressor(n_estimators=5, booster="gblinear"),
        XGBRegressor(n_estimators=50, early_stopping_rounds=2, max_depth=1),
        StoppedXGBClassifier(n_estimators=50, early_stopping_rounds=2, random_state=0),
    ],
    ids=["trees", "dart", "forest", "linear", "stopped", "stops by itself"],
)
def test_boosters_come_back(model, path):
    own = hasattr(model, "validation_fraction")
    more = {"eval_set": [(X[::2], y[::2])], "verbose": False} if model.early_stopping_rounds and not own else {}
    model.fit(X, y, **more)
    again = load(save(model, path))
    for method in ("predict", "predict_proba"):
        if hasattr(model, method):
            assert getattr(again, method)(X).tobytes() == getattr(model, method)(X).tobytes()
    assert repr(again.get_params()) == repr(model.get_params())
    assert again.get_booster().feature_names == model.get_booster().feature_names
    if model.early_stopping_rounds:
        assert (again.best_iteration, again.evals_result()) == (model.best_iteration, model.evals_result())
    assert [name for name in unzipped(path.read_bytes()) if name.endswith(".ubj")] == ["parts/0.ubj"]


@pytest.mark.parametrize("model", [LightGBMClassifier(), LightGBMRegressor(linear_tree=True)])
def test_models_of_lightgbm_come_back(model, path):
    model.set_params(n_estimators=20, random_state=0).fit(X, y)
    again = load(save(model, path))
    assert again.predict(X).tobytes() == model.predict(X).tobytes()
    assert vars(again).keys() == vars(model).keys()
    assert again.booster_.num_trees() == model.booster_.num_trees()


@pytest.mark.parametrize("name", ["CatBoostClassifier", "CatBoostRegressor"])
def test_models_of_catboost_come_back(name, path):
    pytest.importorskip("catboost", reason="catboost is an optional package")
    from stackkit._learners import cat_boosting

    model = getattr(cat_boosting, name)(n_estimators=10, random_state=0).fit(X, y)
    again = load(save(model, path))
    assert again.predict(X).tobytes() == model.predict(X).tobytes()
    assert vars(again).keys() == vars(model).keys()


@pytest.mark.parametrize("values", [[0.0, 1.0], [0.0, 1.0, 2.0, 3.5, 4.0]], ids=["one knot", "several"])
def test_splines_come_back(values, path):
    """Of a column with few values scikit-learn makes splines that SciPy's own constructor refuses."""
    column = np.resize(values, 40)[:, None]
    column[0] = values[0]
    model = SplineTransformer(n_knots=5, degree=2, knots="quantile").fit(column)
    assert load(save(model, path)).transform(column).tobytes() == model.transform(column).tobytes()


def test_a_spline_that_could_read_beyond_its_coefficients_is_refused(path):
    """No evaluation of it would check that again."""
    model = SplineTransformer(n_knots=5, degree=2).fit(X)
    spline = model.bsplines_[0]
    model.bsplines_[0] = type(spline).construct_fast(spline.t, spline.c[:2], spline.k)
    save(model, path)
    with pytest.raises(ModelFileError, match="has a spline whose knots and coefficients do not fit"):
        load(path)


def test_an_unfitted_booster_comes_back(path):
    again = load(save(XGBClassifier(n_estimators=3), path))
    assert again.fit(X, y).predict(X).tobytes() == XGBClassifier(n_estimators=3).fit(X, y).predict(X).tobytes()


def test_only_models_of_xgboost_are_made_of_boosters(path):
    save(XGBClassifier(n_estimators=3).fit(X, y), path)
    _tamper_text(path, "XGBClassifier", "Booster")
    with pytest.raises(ModelFileError, match="has no model of XGBoost where one should be, but 'Booster'"):
        load(path)


# --- sparse matrices -------------------------------------------------------------------------------------


@pytest.mark.parametrize("kind", ["csr", "csc", "bsr", "coo", "dia"])
@pytest.mark.parametrize("flavour", ["matrix", "array"])
def test_sparse_matrices_come_back(kind, flavour, path):
    holder = GaussianNB()
    holder.extra_ = getattr(sparse, f"{kind}_{flavour}")(np.diag([1.0, 0, 3]))
    again = load(save(holder, path)).extra_
    assert type(again) is type(holder.extra_)
    assert (again.toarray() == np.diag([1.0, 0, 3])).all()


def test_models_of_sparse_rows_come_back(path):
    rows = sparse.csr_matrix(X)
    for model in (SVC().fit(rows, y), KNeighborsClassifier().fit(rows, y)):
        assert load(save(model, path)).predict(rows).tobytes() == model.predict(rows).tobytes()


def test_sparse_matrices_for_which_there_is_no_form_are_named(path):
    holder = GaussianNB()
    holder.extra_ = sparse.lil_matrix(np.eye(2))
    with pytest.raises(TypeError, match=r"model.extra_ cannot be saved: .* Convert it with tocsr\(\)"):
        save(holder, path)


def test_places_outside_of_a_sparse_matrix_are_refused(path):
    """SciPy's products would read there."""
    holder = GaussianNB()
    holder.extra_ = sparse.csr_matrix(np.eye(3))
    holder.extra_.indices[1] = 1_000_000
    save(holder, path)
    with pytest.raises(ModelFileError, match=r"indices must be < 3|column index values must be"):
        load(path)


def test_only_sparse_matrices_are_made_of_their_arrays(path):
    holder = GaussianNB()
    holder.extra_ = sparse.csr_matrix(np.eye(3))
    save(holder, path)
    _tamper_text(path, "csr_matrix", "save_npz")
    with pytest.raises(ModelFileError, match="has no sparse matrix where one should be, but 'save_npz'"):
        load(path)


# --- search trees ------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "settings",
    [
        {},
        {"algorithm": "ball_tree"},
        {"p": 3, "leaf_size": 3},
        {"metric": "chebyshev"},
        {"p": 1},
        {"weights": "distance"},
    ],
    ids=str,
)
def test_search_trees_come_back(settings, path):
    model = KNeighborsClassifier(**settings).fit(X, y)
    again = load(save(model, path))
    for ours, theirs in zip(again.kneighbors(X + 0.01), model.kneighbors(X + 0.01), strict=True):
        assert ours.tobytes() == theirs.tobytes()
    for ours, theirs in zip(again._tree.get_arrays(), model._tree.get_arrays(), strict=True):
        assert np.asarray(ours).tobytes() == np.asarray(theirs).tobytes()
    assert np.asarray(again._tree.data) is not None
    assert np.shares_memory(again._tree.data, again._fit_X)  # once in memory, and once in the file


@pytest.mark.parametrize(
    "settings",
    [
        {"metric": "seuclidean", "metric_params": {"V": np.ones(4)}},
        {"metric": "minkowski", "metric_params": {"w": np.ones(4)}},
    ],
    ids=["seuclidean", "weighted"],
)
def test_metrics_with_parameters_of_their_own_are_named(settings, path):
    model = KNeighborsClassifier(algorithm="ball_tree", **settings).fit(X, y)
    with pytest.raises(TypeError, match=r"model._tree cannot be saved: .* use algorithm='brute'"):
        save(model, path)
    model = KNeighborsClassifier(algorithm="brute", **settings).fit(X, y)
    assert (load(save(model, path)).predict(X) == model.predict(X)).all()


# --- functions ---------------------------------------------------------------------------------------------


def test_functions_are_found_in_the_registry_alone(path):
    save(make_scorer(accuracy_score), path)
    assert load(path)._score_func is accuracy_score
    for name in ("os.system", "stackkit.save", "sklearn.metrics.__builtins__"):
        save(make_scorer(accuracy_score), path)
        _tamper_text(path, "sklearn.metrics.accuracy_score", name)
        with pytest.raises(ModelFileError, match="cannot be put together"):
            load(path)


@pytest.mark.parametrize("kind", [None, 1, "nn.nothing", "nothing"])
def test_other_kinds_have_no_codec(kind):
    assert REGISTRY.of_kind(kind) is None


def test_only_functions_get_arguments(path):
    holder = GaussianNB()
    holder.extra_ = partial(accuracy_score, normalize=False)
    again = load(save(holder, path)).extra_
    assert (again.func, again.keywords) == (accuracy_score, {"normalize": False})
    with tampered_skops(path) as (schema, _):
        found = next(node for node in nodes(schema) if node["__class__"] == "Part" and "accuracy_score" in str(node))
        inner = next(node for node in nodes(found["content"]) if node["__class__"] == "Part")
        inner |= {"__loader__": "TypeNode", "__module__": "builtins", "__class__": "map", "__id__": 99}
        del inner["content"]
    with pytest.raises(ModelFileError, match="has arguments for something else than a function: <class 'map'>"):
        load(path)
