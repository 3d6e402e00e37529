"""CatBoost that finds its number of trees by rows of its own, where it is installed."""

import numpy as np
import pandas as pd
import pytest
from numpy.testing import assert_allclose
from sklearn.base import clone
from sklearn.datasets import load_diabetes, make_classification
from sklearn.metrics import roc_auc_score
from sklearn.pipeline import make_pipeline

from stackkit import cross_fit
from stackkit._data import inner_split
from stackkit._learners.preparation import coded_preprocessing

catboost = pytest.importorskip("catboost", reason="catboost is an optional package")

from stackkit._learners.cat_boosting import CatBoostClassifier, CatBoostRegressor  # noqa: E402 - loads catboost

FEW = {"n_estimators": 40, "early_stopping_rounds": 3, "max_depth": 3, "learning_rate": 0.3, "random_state": 7}


def by_hand(maker, X, y, weights=None, groups=None, *, refit=True, **options):
    seed = int(np.random.RandomState(7).randint(2**31 - 1))
    train, held = inner_split(y, np.arange(len(y)), groups, 0.15, seed, classifier=maker is catboost.CatBoostClassifier)
    weigh = lambda rows: None if weights is None else weights[rows]  # noqa: E731
    pool = lambda rows: catboost.Pool(X[rows], y[rows], weight=weigh(rows))  # noqa: E731
    options |= {"depth": 3, "learning_rate": 0.3, "random_seed": seed, "thread_count": 1}
    options |= {"verbose": False, "allow_writing_files": False}
    model = maker(iterations=40, **options).fit(pool(train), eval_set=pool(held), early_stopping_rounds=3)
    if not refit:
        return model
    return maker(iterations=round(1.1 * model.tree_count_), **options).fit(pool(np.arange(len(y))))


@pytest.mark.parametrize("refit", [True, False])
@pytest.mark.parametrize("n_classes", [2, 3])
def test_it_is_catboost_told_where_to_stop(n_classes, refit):
    X, y = make_classification(200, n_classes=n_classes, n_informative=5, flip_y=0.2, random_state=0)
    weights = np.random.default_rng(0).uniform(0.5, 2, 200)
    expected = by_hand(catboost.CatBoostClassifier, X, y, weights, np.arange(200) // 5, refit=refit)
    model = CatBoostClassifier(**FEW, refit=refit).fit(X, y, sample_weight=weights, groups=np.arange(200) // 5)
    assert model.model_.tree_count_ == expected.tree_count_ < 40
    assert_allclose(model.predict_proba(X), expected.predict_proba(X))
    labels = np.array(["a", "b", "c"])[y]
    assert clone(model).fit(X, labels).predict(X).dtype == labels.dtype


def test_numbers_too():
    X, y = load_diabetes(return_X_y=True)
    expected = by_hand(catboost.CatBoostRegressor, X, y, loss_function="RMSE").predict(X)
    assert_allclose(CatBoostRegressor(**FEW).fit(X, y).predict(X), expected)


def test_categories_are_categories():
    rng = np.random.default_rng(0)
    town = rng.integers(0, 30, 600)
    y = rng.normal(size=30)[town]
    frame = pd.DataFrame({"x": rng.normal(size=600), "town": [f"t{number}" for number in town]})
    model = make_pipeline(coded_preprocessing(), CatBoostRegressor(**FEW)).fit(frame, y)
    assert model[-1].model_.get_cat_feature_indices() == [1]
    assert np.isfinite(model.predict(pd.DataFrame({"x": [0.0, np.nan], "town": ["new", None]}))).all()


def test_one_class_is_refused():
    with pytest.raises(ValueError, match=r"CatBoostClassifier needs y of two classes or more; got one class, \[1\]"):
        CatBoostClassifier().fit(np.zeros((5, 1)), np.ones(5, dtype=int))


def test_stopping_tells_nothing_of_the_rows_that_a_fold_predicts():
    rng = np.random.default_rng(0)
    X, y = rng.normal(size=(400, 3)), rng.integers(0, 2, 400)
    oof = cross_fit([("cat", CatBoostClassifier(n_estimators=60, early_stopping_rounds=3))], X, y, random_state=0)
    assert 0.4 <= roc_auc_score(y, oof.train[:, 0]) <= 0.6
