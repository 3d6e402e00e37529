import pickle
import subprocess
import sys
import warnings

import numpy as np
import pandas as pd
import pytest
import sklearn
from numpy.testing import assert_allclose, assert_array_equal
from passengers import passengers
from scipy import sparse
from sklearn.base import clone
from sklearn.metrics import log_loss, r2_score
from sklearn.model_selection import cross_val_predict
from threadpoolctl import threadpool_limits

from stackkit._learners.defaults import default_learners, known_names, learners_named
from stackkit._learners.portfolio import PRESETS

CLASSIFIERS = ["lightgbm", "splines", "bn_mlp", "kernel", "extra_trees", "xgboost"]
REGRESSORS = ["lightgbm", "ridge", "kernel", "extra_trees", "bn_mlp", "xgboost"]
ALL_OF = {task: known_names(task, np.empty((1, 1))) for task in ("classification", "regression")}


def light(learners):
    """The same learners, seeded, with few trees: for tests that ask whether, not how well."""
    for name, model in learners:
        if name in {"random_forest", "extra_trees", "xgboost", "lightgbm"}:
            model.set_params(learner__n_estimators=10)
        if name in {"xgboost", "lightgbm"}:
            model.set_params(learner__learning_rate=0.5)
        seeds = [key for key in model.get_params() if key.endswith("random_state")]
        model.set_params(**dict.fromkeys(seeds, 0))
    return dict(learners)


@pytest.fixture(autouse=True)
def every_warning_is_an_error():
    # One thread: on small data XGBoost's threads mostly wait for each other.
    with warnings.catch_warnings(), threadpool_limits(1):
        warnings.simplefilter("error")
        yield


@pytest.fixture
def frame_and_y():
    return passengers()


@pytest.mark.parametrize("name", ALL_OF["classification"])
def test_each_classifier_beats_the_dummy_on_a_raw_frame(name, frame_and_y):
    frame, y = frame_and_y
    ((_, model),) = learners_named("classification", [name], frame)
    p = cross_val_predict(model, frame, y, cv=3, method="predict_proba")[:, 1]
    assert log_loss(y, p) < 0.95 * log_loss(y, np.full(len(y), y.mean()))


@pytest.mark.parametrize("name", ALL_OF["regression"])
def test_each_regressor_beats_the_dummy_on_a_raw_frame(name, frame_and_y):
    frame, survived = frame_and_y
    y = 10 * survived + frame["Age"].fillna(30) / 10
    ((_, model),) = learners_named("regression", [name], frame)
    assert r2_score(y, cross_val_predict(model, frame, y, cv=3)) > 0.2


def test_names_and_order():
    assert [name for name, _ in default_learners("classification")] == CLASSIFIERS
    assert [name for name, _ in default_learners("regression")] == REGRESSORS


@pytest.mark.parametrize("task", ["classification", "regression"])
def test_larger_presets_have_more_of_one_list(task):
    """On a table for which there is time: those of a smaller preset, and then others."""
    fast, balanced, best = ([name for name, _ in default_learners(task, preset=preset)] for preset in PRESETS)
    assert balanced[: len(fast)] == fast
    assert best[: len(balanced)] == balanced
    assert best == [name for name in ALL_OF[task] if name != "lightgbm_slow"]  # which is for large tables
    rows = np.empty((20_000, 3))
    assert [name for name, _ in default_learners(task, rows, preset="best")] == ALL_OF[task]
    assert len(fast) < len(balanced) < len(best)


def test_an_unknown_preset_is_refused():
    with pytest.raises(ValueError, match=r"'preset' parameter of default_learners must be one of .*got 'quick'"):
        default_learners("classification", preset="quick")


def test_the_title_in_a_name_is_learned():
    frame, _ = passengers()
    frame = frame[["Name"]].dropna()
    y = frame["Name"].str.contains("Miss")
    for name, model in light(default_learners("classification")).items():
        assert model.fit(frame[:150], y[:150]).score(frame[150:], y[150:]) > 0.9, name


@pytest.mark.parametrize("task", ["classification", "regression"])
def test_strange_rows_are_predicted(task, frame_and_y):
    frame, y = frame_and_y
    strange = frame[:6].astype(object)
    strange.iloc[0] = None
    strange.iloc[1] = np.nan
    strange.iloc[2] = pd.NA
    strange.loc[3, ["Name", "Sex", "Cabin", "Deck", "Ticket"]] = ["", "unknown", 7, "Z", "T99999"]
    strange.loc[4, ["Pclass", "Age"]] = ["third", "35"]
    for name, model in light(default_learners(task)).items():
        assert np.isfinite(model.fit(frame, y).predict(strange)).all(), name


@pytest.mark.parametrize("task", ["classification", "regression"])
def test_columns_without_a_value_or_a_difference(task):
    n = 60
    y = np.arange(n) % 2
    frame = pd.DataFrame(
        {
            "signal": y + 0.1,
            "no number": np.full(n, np.nan),
            "no date": pd.Series([pd.NaT] * n),
            "no text": pd.Series([None] * n, dtype=object),
            "one number": 1,
            "one text": "x",
        }
    )
    new = frame[:3].assign(**{"no number": 3.0, "no date": pd.Timestamp("2024-01-01"), "no text": "y"})
    for name, model in light(default_learners(task)).items():
        assert_allclose(model.fit(frame, y).predict(new), y[:3], atol=0.35, err_msg=name)


@pytest.mark.parametrize("task", ["classification", "regression"])
def test_numeric_arrays_with_nan(task):
    rng = np.random.default_rng(0)
    X = rng.normal(size=(120, 4))
    y = (X[:, 0] > 0).astype(int)
    X[::7, 1] = np.nan
    for name, model in light(default_learners(task, X)).items():
        predicted = model.fit(X, y).predict(X)
        assert np.mean((predicted > 0.5) == y) > 0.8, name
        assert_array_equal(predicted, model.predict(X.tolist()), err_msg=name)


@pytest.mark.parametrize("task", ["classification", "regression"])
def test_object_arrays_are_as_good_as_frames(task, frame_and_y):
    frame, y = frame_and_y
    frame = frame[["Pclass", "Name", "Sex", "Age", "Cabin", "Alone"]]
    array = frame.to_numpy(dtype=object)
    for name, model in light(default_learners(task)).items():
        expected = clone(model).fit(frame, y).predict(frame)
        assert_allclose(model.fit(array, y).predict(array), expected, err_msg=name)


@pytest.mark.parametrize("task", ["classification", "regression"])
def test_sparse_matrices(task):
    dense = sparse.random(90, 30, density=0.2, format="csr", random_state=0)
    y = np.asarray(dense.sum(axis=1)).ravel()
    y = (y > np.median(y)).astype(int)
    results = []
    for X in (sparse.csr_array(dense), sparse.csr_matrix(dense), sparse.coo_array(dense)):
        learners = light(default_learners(task, X))
        assert "naive_bayes" not in learners
        results.append([learner.fit(X, y).predict(X) for learner in learners.values()])
        for learner in learners.values():
            prepared = learner[:-1].transform(X)
            assert prepared.nnz == X.nnz  # not centred
    assert_array_equal(results[0], results[1])
    assert_array_equal(results[0], results[2])
    known = {"extra_trees", "xgboost", "random_forest", "knn", "logistic" if task == "classification" else "ridge"}
    assert set(learners) == known  # without those that need a dense matrix


def test_few_rows_ask_few_neighbours():
    X = np.arange(12.0).reshape(-1, 1)
    ((_, model),) = learners_named("classification", ["knn"], X)
    assert model.fit(X[:4], [0, 1, 0, 1]).predict(X).shape == (12,)
    for large in (None, np.zeros((1000, 1))):
        ((_, knn),) = learners_named("classification", ["knn"], large)
        assert knn.named_steps["learner"].n_neighbors == 30


@pytest.mark.parametrize("task", ["classification", "regression"])
def test_learners_do_not_depend_on_the_values_of_x(task, frame_and_y):
    frame, _ = frame_and_y
    # Of the same kinds, and with as many levels: these say who has time to be fitted.
    other = frame.assign(Sex=frame["Sex"].map(str.upper), Age=7 - 3 * frame["Age"], Name=frame["Name"].str[::-1])
    assert repr(default_learners(task, frame)) == repr(default_learners(task, other))


@pytest.mark.parametrize("task", ["classification", "regression"])
def test_clone_pickle_params_and_weights(task, frame_and_y):
    frame, y = frame_and_y
    for name, model in light(default_learners(task)).items():
        copied = clone(model)
        old, new = frame[:160], frame[160:]
        copied.fit(old, y[:160], learner__sample_weight=np.where(y[:160] == 1, 1000.0, 1.0))
        assert_array_equal(pickle.loads(pickle.dumps(copied)).predict(frame), copied.predict(frame))
        weighed, plain = copied.predict(new), model.fit(old, y[:160]).predict(new)
        assert not np.array_equal(weighed, plain), name
        if name != "extra_trees":  # leaves of one row: weights decide where the trees cut, not what the leaves say
            assert weighed.mean() > plain.mean(), name
        assert getattr(model.named_steps["learner"], "n_jobs", None) in (None, 1)


def test_parameters_are_set_by_name(frame_and_y):
    frame, y = frame_and_y
    model = dict(learners_named("classification", ["logistic"], None))["logistic"]
    model.set_params(learner__C=0.5, prepare__text__countvectorizer__max_features=2).fit(frame, y)
    assert model.named_steps["learner"].C == 0.5
    assert sum(name.startswith("text") for name in model[:-1].get_feature_names_out()) == 2


@pytest.mark.parametrize("name", CLASSIFIERS)
def test_names_of_columns_may_be_anything_and_in_any_order(name, frame_and_y):
    frame, y = frame_and_y
    frame = frame.rename(columns={"Age": "age [years] <100", "Fare": "naïve, fare"})
    model = light(default_learners("classification"))[name].fit(frame, y)
    assert_array_equal(model.predict(frame[frame.columns[::-1]]), model.predict(frame))


def test_a_missing_column_is_named(frame_and_y):
    frame, y = frame_and_y
    model = dict(learners_named("classification", ["logistic"], None))["logistic"].fit(frame, y)
    with pytest.raises(ValueError, match=r"columns are missing: \{'Sex'\}"):
        model.predict(frame.drop(columns="Sex"))


@pytest.mark.parametrize("name", CLASSIFIERS)
def test_global_output_configuration_changes_nothing(name, frame_and_y):
    frame, y = frame_and_y
    frame = frame.rename(columns={"Age": "age [years] <100"})
    model = light(default_learners("classification"))[name]
    expected = model.fit(frame, y).predict_proba(frame)
    with sklearn.config_context(transform_output="pandas"):
        again = light(default_learners("classification"))[name].fit(frame, y)
        assert_array_equal(again.predict_proba(frame), expected)
        X = sparse.csr_array(frame[["Pclass", "Fare"]].to_numpy())
        for sparse_model in light(default_learners("classification", X)).values():
            sparse_model.fit(X, y).predict(X)


def test_the_input_is_not_written_to(frame_and_y):
    frame, y = frame_and_y
    before = frame.copy()
    array = frame[["Pclass", "Age"]].to_numpy(dtype=float)
    array.setflags(write=False)
    for model in light(default_learners("classification")).values():
        model.fit(frame, y).predict(frame)
        clone(model).fit(array, y).predict(array)
    pd.testing.assert_frame_equal(frame, before)


@pytest.mark.parametrize("task", ["classification", "regression"])
def test_infinity_counts_as_missing(task):
    X = np.random.default_rng(0).normal(size=(40, 2))
    X[3, 1], X[5, 1] = np.inf, -np.inf
    missing = np.where(np.isinf(X), np.nan, X)
    for name, model in light(default_learners(task)).items():
        expected = clone(model).fit(missing, np.arange(40) % 2).predict(missing)
        assert_array_equal(model.fit(X, np.arange(40) % 2).predict(X), expected, err_msg=name)


@pytest.mark.parametrize("task", ["ranking", None])
def test_an_unknown_task_is_refused(task):
    with pytest.raises(ValueError, match=f"task must be 'classification' or 'regression', got {task!r}"):
        default_learners(task)


def test_importing_does_not_load_xgboost():
    code = "import sys, stackkit._learners.defaults; sys.exit(bool({'xgboost', 'lightgbm', 'torch'} & {*sys.modules}))"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
