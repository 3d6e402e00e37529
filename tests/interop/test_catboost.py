"""CatBoost's and LightGBM's own estimators among the learners, and on top of them."""

import pickle

import numpy as np
import pandas as pd
import pytest
from lightgbm import LGBMClassifier
from sklearn.datasets import load_iris
from sklearn.linear_model import LogisticRegression
from sklearn.naive_bayes import GaussianNB
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from sklearn.utils import shuffle

from stackkit import StackingClassifier, StackingModel, cross_fit
from stackkit._execution.tasks import seeded
from stackkit._utils import own_threads_held, thread_limits

catboost = pytest.importorskip("catboost")
X, y = shuffle(*load_iris(return_X_y=True), random_state=0)
labels = np.array(["setosa", "versicolor", "virginica"])[y]
FEW = {"iterations": 4, "verbose": 0, "allow_writing_files": False}


def _catboost(**params):
    return catboost.CatBoostClassifier(**FEW, **params)


def test_its_classes_are_one_a_row_on_top_of_a_stack():
    """They came as a column, which compared with the labels row by column, without an error."""
    model = StackingModel([GaussianNB(), LogisticRegression(max_iter=500)], _catboost(), cv=3).fit(X, labels)
    assert model.predict(X).shape == (len(X),)
    assert model.score(X, labels) == np.mean(model.predict(X) == labels) > 0.9


def test_its_classes_fill_a_column_of_the_table():
    oof = cross_fit([("cat", _catboost(random_seed=0))], X, labels, cv=3, stack_method="predict")
    for fold, (_, test) in enumerate(oof.folds.pairs):
        expected = oof.members["cat"][fold].predict(X[test])[:, 0]
        np.testing.assert_array_equal(oof.train[test, 0], expected)


@pytest.mark.parametrize("n_jobs", [1, 2])
def test_its_threads_are_held_to_the_workers_share(n_jobs, monkeypatch):
    monkeypatch.setattr("joblib.cpu_count", lambda: 2)
    oof = cross_fit([make_pipeline(StandardScaler(), _catboost())], X, y, cv=2, n_jobs=n_jobs)
    assert [member[-1].get_params()["thread_count"] for member in oof.members["pipeline"]] == [2 // n_jobs] * 2
    frozen = _catboost(thread_count=7).fit(X, y)
    with own_threads_held(frozen, 1):  # a model that is fitted takes no parameter
        assert frozen.get_params()["thread_count"] == 7
    with own_threads_held(fewer := _catboost(thread_count=1), 2):
        assert fewer.get_params()["thread_count"] == 1


def test_it_predicts_by_as_many_threads_as_a_task_has(monkeypatch):
    asked = []
    own = catboost.CatBoostClassifier.predict_proba
    monkeypatch.setattr(
        catboost.CatBoostClassifier, "predict_proba", lambda *args, **how: asked.append(how) or own(*args, **how)
    )
    model = StackingModel([_catboost()], cv=2).fit(X, y)
    asked.clear()
    with thread_limits(1):
        model.predict_proba(X)
    assert asked == [{"thread_count": 1}] * 2


def test_seeds_that_are_open_are_set_by_fold_and_others_stay():
    drawn = [seeded(_catboost(), 0, "cat", fold).get_params()["random_seed"] for fold in range(3)]
    assert len(set(drawn)) == 3
    inside = seeded(make_pipeline(StandardScaler(), _catboost()), 0, "cat", 0)
    assert inside[-1].get_params()["random_seed"] > 0
    for given in ({"random_seed": 5}, {"random_state": 5}):
        kept = seeded(_catboost(**given), 0, "cat", 0).get_params()
        assert {name: kept.get(name) for name in ("random_seed", "random_state")} == {
            "random_seed": None,
            "random_state": None,
        } | given
    light = seeded(LGBMClassifier(seed=5), 0, "light", 0)
    assert (light.get_params()["seed"], light.random_state) == (5, None)
    assert seeded(LGBMClassifier(), 0, "light", 0).random_state > 0


def test_the_same_bits_for_any_number_of_workers():
    learners = [("cat", _catboost()), ("light", LGBMClassifier(n_estimators=4, verbose=-1, subsample=0.5))]
    tables = [cross_fit(learners, X, y, cv=3, n_jobs=n_jobs, random_state=0).train for n_jobs in (1, 2)]
    np.testing.assert_array_equal(*tables)


@pytest.mark.parametrize(
    "wrap", [lambda it: it, lambda it: make_pipeline("passthrough", it)], ids=["alone", "pipeline"]
)
def test_a_list_of_categories_is_told_with_its_cure(wrap):
    """scikit-learn's clone said that the constructor modifies a parameter, but not of which learner."""
    frame = pd.DataFrame(X, columns=list("abcd")).assign(kind=labels)
    with pytest.raises(
        ValueError, match=r"The learner 'cat' \(.*can clone.*pass a tuple, such as .*features=\('kind',\)"
    ):
        StackingModel([("cat", wrap(_catboost(cat_features=["kind"])))]).fit(frame, y)
    with pytest.raises(ValueError, match=r"The final_estimator \(.*can clone.*pass a tuple"):
        StackingModel([GaussianNB()], wrap(_catboost(cat_features=["kind"]))).fit(X, y)
    model = StackingModel([("cat", wrap(_catboost(cat_features=("kind",))))], cv=2).fit(frame, y)
    assert model.score(frame, y) > 0.9
    assert pickle.loads(pickle.dumps(model)).score(frame, y) == model.score(frame, y)


def test_a_fitted_one_with_a_list_of_categories_is_asked_as_it_is():
    """It need not be copied."""
    frame = pd.DataFrame(X, columns=list("abcd")).assign(kind=labels)
    fitted = _catboost(cat_features=["kind"]).fit(frame, y)
    model = StackingClassifier([("cat", fitted)], cv="prefit").fit(frame, y)
    assert model.estimators_[0] is fitted
    assert model.score(frame, y) > 0.9
