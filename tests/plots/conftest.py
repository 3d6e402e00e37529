"""Fitted stacks and tables to draw, and figures that are closed."""

import matplotlib as mpl
import numpy as np
import pandas as pd
import pytest
from matplotlib import pyplot as plt
from matplotlib.figure import Figure
from pictures import DIABETES, NASTY, PROGRESS, X2, X3, Y2, Y3, three
from sklearn.linear_model import Ridge
from sklearn.naive_bayes import GaussianNB
from sklearn.neighbors import KNeighborsRegressor
from sklearn.pipeline import Pipeline
from sklearn.preprocessing import StandardScaler

from stackkit import StackingModel, cross_fit
from stackkit.evaluation import nested_scores


@pytest.fixture(autouse=True)
def _closed():
    before = dict(mpl.rcParams)
    yield
    plt.close("all")
    assert dict(mpl.rcParams) == before


@pytest.fixture
def ax():
    return Figure().subplots()


@pytest.fixture(scope="session")
def binary():
    labels = np.array(["no", "yes"])[Y2]
    return StackingModel(three(), cv=4, random_state=0).fit(
        pd.DataFrame(X2, index=[f"r{i}" for i in range(200)]), labels
    )


@pytest.fixture(scope="session")
def classes():
    return StackingModel(three(), cv=4, random_state=0).fit(X3, Y3)


@pytest.fixture(scope="session")
def numbers():
    learners = [("ridge", Ridge()), ("knn", KNeighborsRegressor())]
    return StackingModel(learners, cv=4, random_state=0).fit(DIABETES, PROGRESS)


@pytest.fixture(scope="session")
def forty():
    return cross_fit([(f"bayes {i}", GaussianNB(var_smoothing=10.0 ** (-i / 4))) for i in range(40)], X2, Y2, cv=3)


@pytest.fixture(scope="session")
def nasty():
    return cross_fit([(name, GaussianNB(var_smoothing=10.0**-i)) for i, name in enumerate(NASTY)], X2, Y2, cv=3)


@pytest.fixture(scope="session")
def nested(binary):
    return nested_scores(binary, X2, np.array(["no", "yes"])[Y2], cv=3)


@pytest.fixture(scope="session")
def nets():
    from stackkit.nn import BNMLPClassifier

    short = {"hidden_layer_sizes": (4,), "max_epochs": 6, "n_members": 2, "random_state": 0}
    stopping = BNMLPClassifier(**short | {"max_epochs": 30}, early_stopping=True, n_iter_no_change=1, lr=0.05)
    learners = [
        ("stops", Pipeline([("prepare", StandardScaler()), ("learner", stopping)])),
        ("bayes", GaussianNB()),
        ("runs", BNMLPClassifier(**short, early_stopping=False)),
    ]
    return StackingModel(learners, cv=4, random_state=0).fit(X2, Y2)
