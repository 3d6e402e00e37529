"""Models of other libraries in a file without pickle."""

import numpy as np
import pandas as pd
import pytest
from lightgbm import LGBMClassifier, LGBMRanker, LGBMRegressor
from sklearn.datasets import load_iris
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import FunctionTransformer
from spies import Witness, with_row_ids

from stackkit import StackingModel, load, save
from stackkit._persistence.audit import Refused
from stackkit._persistence.saving import _check_defined_there
from stackkit.exceptions import ModelFileError

X, y = load_iris(return_X_y=True)
FRAME = pd.DataFrame(X, columns=list("abcd")).assign(kind=pd.Categorical(np.array(["u", "v", None])[y]))
LABELS = np.array(["setosa", "versicolor", "virginica"])[y]
LIGHT = {"n_estimators": 4, "verbose": -1}


@pytest.fixture
def path(tmp_path):
    return tmp_path / "kept.stackkit"


def _same(again, model, X):
    for method in ("predict", "predict_proba", "transform"):
        if hasattr(model, method):
            np.testing.assert_array_equal(getattr(again, method)(X), getattr(model, method)(X))
    assert str(again.get_params()) == str(model.get_params())


def test_lightgbm(path):
    learners = [("light", LGBMClassifier(**LIGHT, class_weight={"setosa": 2})), ("log", LogisticRegression())]
    model = StackingModel(learners[:1]).fit(FRAME, LABELS)
    _same(load(save(model, path)), model, FRAME)
    model = StackingModel(learners, LGBMClassifier(**LIGHT)).fit(X, LABELS)
    _same(load(save(model, path)), model, X)
    again = load(save(StackingModel(learners), path))
    assert again.fit(X, LABELS).score(X, LABELS) > 0.9


def test_lightgbm_alone(path):
    fitted = LGBMRegressor(**LIGHT).fit(X, y)
    again = load(save(fitted, path))
    _same(again, fitted, X)
    assert again.best_score_ == fitted.best_score_
    np.testing.assert_array_equal(again.feature_importances_, fitted.feature_importances_)
    ranker = LGBMRanker(**LIGHT).fit(X, y, group=[50, 50, 50])
    _same(load(save(ranker, path)), ranker, X)


def test_catboost(path):
    catboost = pytest.importorskip("catboost")
    few = {"iterations": 4, "verbose": 0, "allow_writing_files": False}
    frame = FRAME.assign(kind=np.array(list("uvw"))[y])
    learner = ("cat", catboost.CatBoostClassifier(**few, cat_features=("kind",), auto_class_weights="Balanced"))
    model = StackingModel([learner]).fit(frame, LABELS)
    _same(load(save(model, path)), model, frame)
    assert load(path).estimators[0][1].get_params() == learner[1].get_params()
    model = StackingModel([("reg", catboost.CatBoostRegressor(**few))], catboost.CatBoostRegressor(**few))
    _same(load(save(model.fit(X, X[:, 0]), path)), model, X)


@pytest.mark.filterwarnings("ignore:.*no_silent_downcasting")  # of category_encoders 2.11 with pandas 3.1
def test_category_encoders_by_their_package(path):
    encoders = pytest.importorskip("category_encoders")
    frame = pd.DataFrame({"kind": np.array(list("uvw"))[y], "a": X[:, 0]})
    learner = make_pipeline(encoders.OneHotEncoder(cols=["kind"]), LogisticRegression())
    model = StackingModel([("log", learner)]).fit(frame, LABELS)
    save(model, path)
    with pytest.raises(ModelFileError, match=r"uses .*category_encoders"):
        load(path)
    _same(load(path, trusted=["category_encoders.*"]), model, frame)


def test_a_package_is_trusted_for_its_own_classes_only(path):
    save(make_pipeline(FunctionTransformer(with_row_ids), Witness()).fit(X, y), path)
    for others in (["spie.*"], ["spies.Witness.*"], ["*"], ["spies"]):
        with pytest.raises(ModelFileError, match=r"uses .*spies.Witness"):
            load(path, trusted=others)
    assert type(load(path, trusted=["spies.*"])[-1]) is Witness
    _check_defined_there("spies.Witness")
    for borrowed in ("spies.GaussianNB", "spies.get_config", "spies.np", "spies.nothing"):
        with pytest.raises(Refused, match=r"which is not defined there"):
            _check_defined_there(borrowed)


def test_where_many_names_are_to_be_trusted_their_packages_are_told(path):
    encoders = pytest.importorskip("category_encoders")
    kinds = (encoders.OneHotEncoder, encoders.OrdinalEncoder, encoders.TargetEncoder, encoders.BinaryEncoder)
    save(make_pipeline(*(kind() for kind in kinds)), path)
    with pytest.raises(ModelFileError, match=r"or all of the packages: \['category_encoders.\*'\]"):
        load(path)
