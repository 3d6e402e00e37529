import pickle
import subprocess
import sys
import warnings

import numpy as np
import pandas as pd
import polars as pl
import pytest
import sklearn
from numpy.testing import assert_allclose, assert_array_equal
from scipy import sparse
from sklearn.base import clone
from sklearn.metrics import log_loss, r2_score
from sklearn.model_selection import cross_val_predict
from threadpoolctl import threadpool_limits

from stackkit._learners import (
    MAX_CATEGORIES,
    MAX_WORDS,
    default_learners,
    scaled_preprocessing,
    tree_preprocessing,
)

CLASSIFIERS = ["logistic", "knn", "naive_bayes", "random_forest", "extra_trees", "xgboost", "bn_mlp"]
REGRESSORS = ["ridge", "knn", "random_forest", "extra_trees", "xgboost", "bn_mlp"]
PREPROCESSINGS = [scaled_preprocessing, tree_preprocessing]


def passengers(n=240, seed=0):
    """A frame of the Titanic's kind, and who survived."""
    rng = np.random.default_rng(seed)
    female = rng.random(n) < 0.4
    pclass = rng.integers(1, 4, n)
    age = np.where(rng.random(n) < 0.2, np.nan, rng.normal(30, 12, n).clip(0.5))
    survived = (rng.random(n) < 1 / (1 + np.exp(3 * pclass - 4 - 4 * female))).astype(int)
    surnames = rng.choice(["Braund", "Allen", "Moran", "Palsson", "Nasser", "Bonnell"], n)
    titles = np.where(female, rng.choice(["Miss.", "Mrs."], n), "Mr.")
    boarded = pd.Timestamp("1912-04-10 08:00") + pd.to_timedelta(rng.integers(0, 4000, n), unit="min")
    frame = pd.DataFrame(
        {
            "Pclass": pclass,
            "Name": [f"{s}, {t} William{i}" for i, (s, t) in enumerate(zip(surnames, titles, strict=True))],
            "Sex": np.where(female, "female", "male"),
            "Age": age,
            "Alone": rng.random(n) < 0.6,
            "Fare": rng.exponential(30, n),
            "Ticket": [f"T{i:05d}" for i in range(n)],
            "Cabin": rng.choice(["A1", "B2", None], n, p=[0.1, 0.1, 0.8]),
            "Deck": pd.Categorical(rng.choice(["A", "B", "C"], n), categories=["A", "B", "C", "T"]),
            "Boarded": pd.Series(boarded).where(rng.random(n) < 0.9),
            "Siblings": pd.array(rng.integers(0, 3, n), dtype="Int64"),
        }
    )
    frame.loc[frame.index[::11], ["Siblings", "Name"]] = None
    return frame, survived


def light(learners):
    """The same learners, seeded, with few trees: for tests that ask whether, not how well."""
    for name, model in learners:
        if name in {"random_forest", "extra_trees", "xgboost"}:
            model.set_params(learner__n_estimators=10, learner__random_state=0)
        if name == "xgboost":
            model.set_params(learner__learning_rate=0.5)
        if name == "bn_mlp":
            model.set_params(learner__random_state=0)
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


def columns_of(preprocessing, frame):
    return preprocessing.fit_transform(frame).shape[1]


@pytest.mark.parametrize("name", CLASSIFIERS)
def test_each_classifier_beats_the_dummy_on_a_raw_frame(name, frame_and_y):
    frame, y = frame_and_y
    model = dict(default_learners("classification", frame))[name]
    p = cross_val_predict(model, frame, y, cv=3, method="predict_proba")[:, 1]
    assert log_loss(y, p) < 0.95 * log_loss(y, np.full(len(y), y.mean()))


@pytest.mark.parametrize("name", REGRESSORS)
def test_each_regressor_beats_the_dummy_on_a_raw_frame(name, frame_and_y):
    frame, survived = frame_and_y
    y = 10 * survived + frame["Age"].fillna(30) / 10
    model = dict(default_learners("regression", frame))[name]
    assert r2_score(y, cross_val_predict(model, frame, y, cv=3)) > 0.2


def test_names_and_order():
    assert [name for name, _ in default_learners("classification")] == CLASSIFIERS
    assert [name for name, _ in default_learners("regression")] == REGRESSORS


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


@pytest.mark.parametrize("preprocessing", PREPROCESSINGS)
def test_all_spellings_of_missing_are_one(preprocessing):
    column = ["a", "b", None, np.nan, pd.NA] * 10
    out = preprocessing().fit_transform(pd.DataFrame({"c": pd.Series(column, dtype=object)}))
    assert out.shape == (50, 3)
    assert_array_equal(out[2], out[3])
    assert_array_equal(out[2], out[4])


@pytest.mark.parametrize("preprocessing", PREPROCESSINGS)
@pytest.mark.parametrize("dtype", [object, "str", "string", "category"])
def test_text_dtypes_are_equal(preprocessing, dtype):
    values = ["a", "b", "b", None, "c"] * 8
    plain = preprocessing().fit_transform(pd.DataFrame({"c": pd.Series(values, dtype=object)}))
    assert plain.shape == (40, 4)
    assert_array_equal(preprocessing().fit_transform(pd.DataFrame({"c": pd.Series(values, dtype=dtype)})), plain)


@pytest.mark.parametrize("preprocessing", PREPROCESSINGS)
def test_a_mixed_object_column_is_a_category(preprocessing):
    assert columns_of(preprocessing(), pd.DataFrame({"c": [1, "a", 2.5, True] * 5})) == 4


@pytest.mark.parametrize("preprocessing", PREPROCESSINGS)
def test_an_object_column_of_numbers_is_a_number(preprocessing):
    frame = pd.DataFrame({"c": pd.Series(range(30), dtype=object)})
    out = preprocessing().fit_transform(frame)
    assert out.shape == (30, 1)
    assert np.all(np.diff(out[:, 0]) > 0)


@pytest.mark.parametrize("preprocessing", PREPROCESSINGS)
def test_fifty_thousand_levels_become_few_columns(preprocessing):
    n = 50_000
    frame = pd.DataFrame(
        {
            "id": [f"u{i % (n // 5)}" for i in range(n)],
            "remark": [f"word{i} thing{i % 700} ship" for i in range(n)],
        }
    )
    out = preprocessing().fit_transform(frame)
    assert 2 <= out.shape[1] <= MAX_CATEGORIES + MAX_WORDS
    assert out.shape[1] > MAX_CATEGORIES  # both columns have their share


@pytest.mark.parametrize("preprocessing", PREPROCESSINGS)
def test_an_identifier_is_one_column_and_a_new_one_is_the_same(preprocessing):
    ids = pd.DataFrame({"id": [f"u{i}" for i in range(100)]})
    fitted = preprocessing().fit(ids)
    assert_array_equal(fitted.transform(ids), np.ones((100, 1)))
    assert_array_equal(fitted.transform(pd.DataFrame({"id": ["never seen"]})), [[1.0]])


@pytest.mark.parametrize("preprocessing", PREPROCESSINGS)
@pytest.mark.parametrize("remarks", [[f"! {i} ?" for i in range(40)], [f"x{i} y{i}" for i in range(40)]])
def test_text_without_a_common_word_does_not_fail(preprocessing, remarks):
    fitted = preprocessing().fit(pd.DataFrame({"remark": remarks}))
    out = fitted.transform(pd.DataFrame({"remark": [None, "", "x1 z"]}))
    assert out.shape == (3, 1)
    assert np.isfinite(out).all()


@pytest.mark.parametrize("preprocessing", PREPROCESSINGS)
def test_dates_of_one_day_stay_apart_in_32_bits(preprocessing):
    times = pd.date_range("2024-05-01", periods=60, freq="s").to_series(index=range(60))
    out = preprocessing().fit_transform(times.to_frame("t")).astype(np.float32)
    assert len(np.unique(out)) == 60


@pytest.mark.parametrize("preprocessing", PREPROCESSINGS)
@pytest.mark.parametrize(
    "dates",
    [
        pd.date_range("2024-01-01", periods=20, tz="Europe/Paris"),
        pd.period_range("2024-01", periods=20, freq="M"),
        pd.timedelta_range("1h", periods=20),
        pd.Series(pd.date_range("2024-01-01", periods=20).date, dtype=object),
        pd.Series(list(pd.timedelta_range("1h", periods=20).to_pytimedelta()), dtype=object),
    ],
    ids=["zone", "period", "timedelta", "date objects", "timedelta objects"],
)
def test_every_sort_of_date_becomes_an_ordered_number(preprocessing, dates):
    column = pd.Series(dates)
    column.iloc[5] = None
    fitted = preprocessing().fit(column.to_frame("d"))
    out = fitted.transform(column.to_frame("d"))
    assert np.all(np.diff(np.delete(out[:, 0], 5)) > 0)


@pytest.mark.parametrize("preprocessing", PREPROCESSINGS)
def test_missing_numbers_are_told_apart(preprocessing):
    frame = pd.DataFrame({"a": [1.0, 2.0, np.nan, 4.0, 2.0], "b": [1, 2, 3, 4, 5]})
    out = preprocessing().fit_transform(frame)
    if preprocessing is tree_preprocessing:
        assert_array_equal(out, frame)
    else:
        assert out[2, 0] == out[1, 0]  # the median of the known values
        assert_allclose(out.mean(axis=0), 0, atol=1e-12)
        assert_allclose(out.std(axis=0), 1)
        assert out.shape[1] == 3
        assert np.argmax(out[:, 2]) == 2  # who lacked it


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


@pytest.mark.parametrize("preprocessing", PREPROCESSINGS)
def test_polars_frames_are_as_good_as_pandas(preprocessing):
    frame, _ = passengers()
    frame = frame.astype({"Siblings": float, "Deck": object})
    columns = {c: [None if v is pd.NaT or v != v else v for v in frame[c]] for c in frame}  # noqa: PLR0124
    polars = pl.DataFrame(columns).with_columns(pl.col("Deck").cast(pl.Categorical))
    assert_allclose(preprocessing().fit_transform(polars), preprocessing().fit_transform(frame))


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
    assert len(results[0]) == 5


def test_few_rows_ask_few_neighbours():
    X = np.arange(12.0).reshape(-1, 1)
    model = dict(default_learners("classification", X))["knn"]
    assert model.fit(X[:4], [0, 1, 0, 1]).predict(X).shape == (12,)
    for large in (None, np.zeros((1000, 1))):
        knn = dict(default_learners("classification", large))["knn"]
        assert knn.named_steps["learner"].n_neighbors == 30


@pytest.mark.parametrize("preprocessing", PREPROCESSINGS)
def test_nothing_is_learned_from_the_other_rows(preprocessing):
    frame, _ = passengers()
    train = np.arange(160)
    other = frame.copy()
    other["Deck"] = other["Deck"].astype(object)
    other.loc[160:, ["Sex", "Deck", "Cabin"]] = "elsewhere"
    other.loc[160:, ["Age", "Fare"]] = 1e6
    other.loc[160:, "Name"] = "quite another name"
    other["Deck"] = other["Deck"].astype("category")
    expected = preprocessing().fit(frame.iloc[train])
    actual = preprocessing().fit(other.iloc[train])
    assert_array_equal(actual.transform(frame), expected.transform(frame))


@pytest.mark.parametrize("task", ["classification", "regression"])
def test_learners_do_not_depend_on_the_values_of_x(task, frame_and_y):
    frame, _ = frame_and_y
    other = frame.assign(Sex=frame["Ticket"], Age=frame["Name"], Name=1.0)
    assert repr(default_learners(task, frame)) == repr(default_learners(task, other))


@pytest.mark.parametrize("task", ["classification", "regression"])
def test_clone_pickle_params_and_weights(task, frame_and_y):
    frame, y = frame_and_y
    for name, model in light(default_learners(task)).items():
        copied = clone(model)
        weights = {} if name == "knn" else {"learner__sample_weight": np.where(y == 1, 1000.0, 1.0)}
        copied.fit(frame, y, **weights)
        assert_array_equal(pickle.loads(pickle.dumps(copied)).predict(frame), copied.predict(frame))
        if weights:
            assert copied.predict(frame).mean() > model.fit(frame, y).predict(frame).mean(), name
        assert getattr(model.named_steps["learner"], "n_jobs", None) is None


def test_parameters_are_set_by_name(frame_and_y):
    frame, y = frame_and_y
    model = dict(default_learners("classification"))["logistic"]
    model.set_params(learner__C=0.5, prepare__text__countvectorizer__max_features=2).fit(frame, y)
    assert model.named_steps["learner"].C == 0.5
    assert sum(name.startswith("text") for name in model[:-1].get_feature_names_out()) == 2


@pytest.mark.parametrize("name", CLASSIFIERS)
def test_names_of_columns_may_be_anything_and_in_any_order(name, frame_and_y):
    frame, y = frame_and_y
    frame = frame.rename(columns={"Age": "age [years] <100", "Fare": "naïve, fare"})
    model = light(default_learners("classification"))[name].fit(frame, y)
    assert_array_equal(model.predict(frame[frame.columns[::-1]]), model.predict(frame))


def test_columns_without_names_go_by_position():
    frame = pd.DataFrame({"n": [1.0, np.nan, 3.0] * 8, "c": ["x", "y", "z"] * 8, "m": range(24)})
    expected = tree_preprocessing().fit_transform(frame)
    assert_array_equal(tree_preprocessing().fit_transform(frame.set_axis([2, 0, 7], axis=1)), expected)


def test_a_missing_column_is_named(frame_and_y):
    frame, y = frame_and_y
    model = dict(default_learners("classification"))["logistic"].fit(frame, y)
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


@pytest.mark.parametrize("preprocessing", PREPROCESSINGS)
def test_names_of_the_prepared_columns(preprocessing):
    frame, _ = passengers()
    fitted = preprocessing().fit(frame)
    names = fitted.get_feature_names_out()
    assert len(names) == fitted.transform(frame).shape[1]
    assert {"numbers__Fare", "categories__Sex_female", "text__mrs"} <= set(names)


@pytest.mark.parametrize("task", ["classification", "regression"])
def test_infinity_is_refused_in_words(task):
    X = np.ones((40, 2))
    X[3, 1] = np.inf
    for model in light(default_learners(task)).values():
        with pytest.raises(ValueError, match="X contains infinity"):
            model.fit(X, np.arange(40) % 2)


@pytest.mark.parametrize("task", ["ranking", None])
def test_an_unknown_task_is_refused(task):
    with pytest.raises(ValueError, match=f"task must be 'classification' or 'regression', got {task!r}"):
        default_learners(task)


def test_importing_does_not_load_xgboost():
    code = "import sys, stackkit._learners; sys.exit('xgboost' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
