"""LightGBM that finds its number of trees: by rows of its own, then on all of them; categories are categories."""

import subprocess
import sys
import warnings

import lightgbm
import numpy as np
import pandas as pd
import pytest
from numpy.testing import assert_allclose, assert_array_equal
from sklearn.base import clone
from sklearn.datasets import load_diabetes, make_classification
from sklearn.metrics import roc_auc_score
from sklearn.model_selection import train_test_split
from sklearn.pipeline import make_pipeline
from sklearn.utils.estimator_checks import parametrize_with_checks

from stackkit import cross_fit
from stackkit._data import inner_split
from stackkit._learners.light_boosting import LightGBMClassifier, LightGBMRegressor
from stackkit._learners.preparation import coded_preprocessing, tree_preprocessing

FEW = {"n_estimators": 300, "early_stopping_rounds": 5, "num_leaves": 7, "random_state": 7}


@pytest.fixture(autouse=True)
def every_warning_is_an_error():
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        yield


@pytest.fixture(scope="module")
def rows():
    return make_classification(300, n_classes=3, n_informative=5, flip_y=0.2, random_state=0)


@parametrize_with_checks([LightGBMClassifier(n_estimators=20), LightGBMRegressor(n_estimators=20)])
def test_contract(estimator, check):
    check(estimator)


def by_hand(wrapper, X, y, groups=None, weights=None, **fixed):
    """LightGBM's own estimator, told how many rounds: those that rows set aside ask for, and a tenth more."""
    seed = int(np.random.RandomState(7).randint(2**31 - 1))
    classes = wrapper is lightgbm.LGBMClassifier
    train, held = inner_split(np.asarray(y), np.arange(len(y)), groups, 0.15, seed, classifier=classes)
    options = {"num_leaves": 7, "random_state": seed, "deterministic": True, "force_row_wise": True, "n_jobs": 1}
    options |= {"verbose": -1, "learning_rate": 0.05, "linear_lambda": 1.0} | fixed
    part = {} if weights is None else {"sample_weight": weights[train], "eval_sample_weight": [weights[held]]}
    stop = [lightgbm.early_stopping(5, verbose=False)]
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # its own names for features
        found = wrapper(n_estimators=300, **options).fit(
            X[train], y[train], eval_set=[(X[held], y[held])], callbacks=stop, **part
        )
        return wrapper(n_estimators=round(1.1 * found.best_iteration_), **options).fit(X, y, sample_weight=weights)


@pytest.mark.parametrize("as_given", [np.asarray, pd.DataFrame])
def test_it_is_lightgbm_told_where_to_stop(rows, as_given):
    X, y = rows
    weights = np.random.default_rng(0).uniform(0.5, 2, len(y))
    model = LightGBMClassifier(**FEW).fit(as_given(X), y, sample_weight=weights)
    expected = by_hand(lightgbm.LGBMClassifier, X, y, weights=weights)
    assert model.n_estimators_ == expected.n_estimators < 300
    assert_allclose(model.predict_proba(as_given(X)), expected.predict_proba(pd.DataFrame(X)), rtol=1e-9)


def test_numbers_too():
    X, y = load_diabetes(return_X_y=True)
    expected = by_hand(lightgbm.LGBMRegressor, X, y).predict(pd.DataFrame(X))
    assert_allclose(LightGBMRegressor(**FEW).fit(X, y).predict(X), expected, rtol=1e-9)


def test_groups_stay_on_one_side(rows):
    X, y = rows
    groups = np.arange(300) // 10
    model = LightGBMClassifier(**FEW).fit(X, y, groups=groups)
    expected = by_hand(lightgbm.LGBMClassifier, X, y, groups=groups)
    assert model.n_estimators_ == expected.n_estimators
    assert_allclose(model.predict_proba(X), expected.predict_proba(pd.DataFrame(X)), rtol=1e-9)


def test_the_trees_do_not_depend_on_threads(rows):
    X, y = rows
    one, two = (LightGBMClassifier(**FEW, subsample=0.8, n_jobs=n).fit(X, y).predict_proba(X) for n in (1, 2))
    assert_array_equal(one, two)


@pytest.mark.parametrize("y", [[0] * 20 + [1] * 19 + [2], [0, 1, 2, 3], [0, 0, 1, 1], ["a"] * 30 + ["b"], ["a"] * 5])
def test_rare_classes_are_trained_on(y):
    X = np.random.default_rng(0).normal(size=(len(y), 2))
    for seed in range(5):
        model = LightGBMClassifier(n_estimators=5, early_stopping_rounds=2, random_state=seed).fit(X, y)
        found = model.predict_proba(X)
        assert found.shape == (len(y), len(set(y)))
        assert_allclose(found.sum(axis=1), 1)


def test_parameters_are_scikit_learns_to_read_set_and_clone():
    again = clone(LightGBMClassifier(num_leaves=3)).set_params(extra_trees=True)
    assert (again.num_leaves, again.extra_trees) == (3, True)


def test_stopping_tells_nothing_of_the_rows_that_a_fold_predicts():
    rng = np.random.default_rng(0)
    X, y = rng.normal(size=(600, 4)), rng.integers(0, 2, 600)
    oof = cross_fit([("light", LightGBMClassifier(n_estimators=500, early_stopping_rounds=3))], X, y, random_state=0)
    assert 0.42 <= roc_auc_score(y, oof.train[:, 0]) <= 0.58


# --- categories ---------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def towns():
    """Each of 40 towns has an effect of its own, which their order in the alphabet tells nothing of."""
    rng = np.random.default_rng(1)
    town, x = rng.integers(0, 40, 1500), rng.normal(size=1500)
    y = rng.normal(size=40)[town] + 0.3 * x + 0.3 * rng.normal(size=1500)
    return pd.DataFrame({"x": x, "town": [f"town {number}" for number in town]}), y


def test_categories_are_split_as_such(towns):
    """Against codes taken for numbers, with the same random thresholds: one threshold a column finds no town."""
    X, X_new, y, y_new = train_test_split(*towns, random_state=0)
    learner = LightGBMRegressor(extra_trees=True, n_estimators=60, random_state=0)
    errors = {}
    for name, numbers_only in (("categories", False), ("numbers", True)):
        prepare = coded_preprocessing().fit(X)
        made = clone(prepare).fit_transform(X)
        model = clone(learner).fit(made.to_numpy(dtype=float) if numbers_only else made, y)
        errors[name] = np.std(y_new - model.predict(prepare.transform(X_new)))
    assert errors["categories"] < 0.8 * errors["numbers"]


def test_codes_are_of_the_rows_of_fit(towns):
    """A new level has no code, whatever it is called, and is a missing value."""
    X, y = towns
    model = make_pipeline(coded_preprocessing(), LightGBMRegressor(n_estimators=40, random_state=0)).fit(X, y)
    new = pd.DataFrame({"x": [0.0, 0.0], "town": ["town 0!", "elsewhere"]})
    assert np.isnan(model[0].transform(new)[:, 1]).all()
    first, second = model.predict(new)
    assert first == second


def test_a_frame_while_it_is_fitted_and_an_array_from_then_on(towns):
    X, _ = towns
    fitted = coded_preprocessing()
    first = fitted.fit_transform(X)
    assert [str(dtype) for dtype in first.dtypes] == ["float64", "category"]
    later = fitted.transform(X)
    assert type(later) is np.ndarray
    assert_array_equal(later, first.to_numpy(dtype=float))


def test_what_is_no_category_is_as_for_other_trees(towns):
    X, _ = towns
    dates = X.assign(town=pd.date_range("2020-01-01", periods=len(X)))
    assert_array_equal(coded_preprocessing().fit(dates).transform(dates), tree_preprocessing().fit_transform(dates))


def test_importing_stackkit_does_not_load_it():
    code = "import sys, stackkit; sys.exit('lightgbm' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
