"""What the page warns of in the training rows, and what it does not."""

import numpy as np
import pandas as pd
import pytest
from sklearn.datasets import load_breast_cancer, load_diabetes
from sklearn.dummy import DummyClassifier, DummyRegressor

from stackkit import StackingModel
from stackkit.report.subject import Subject
from stackkit.report.suspects import warnings_of

N = 200


def _told(columns, y):
    """By title, what is told of these columns."""
    learner = DummyRegressor() if np.asarray(y).dtype.kind == "f" else DummyClassifier()
    X = pd.DataFrame(columns)
    model = StackingModel([("guess", learner)], cv=2, final_estimator=None).fit(np.zeros((len(X), X.shape[1])), y)
    return dict(warnings_of(Subject(model, X, None, None, None, None, None)))


@pytest.fixture
def rng():
    return np.random.default_rng(0)


def test_a_column_that_tells_the_target_is_found(rng):
    y = np.where(rng.random(N) < 0.4, "sunk", "afloat")
    columns = {
        "noise": rng.normal(size=N),
        "grade": np.where(y == "sunk", "E", rng.choice(["A", "B"], N)),
        "gap": np.where(y == "sunk", np.nan, 1.0),
        "helps": (y == "sunk") + rng.normal(size=N),
    }
    found = _told(columns, y)["Leakage suspects"]
    assert "grade (100.0% of the errors of a guess)" in found
    assert "gap" in found
    assert "noise" not in found
    assert "helps" not in found


def test_so_is_one_that_tells_a_number(rng):
    y = rng.gamma(2.0, size=N)
    found = _told({"in cents": 100 * y.round(2), "noise": rng.normal(size=N), "helps": y + rng.normal(size=N)}, y)
    assert found["Leakage suspects"].startswith("in cents (")
    assert "helps" not in found["Leakage suspects"]


@pytest.mark.parametrize("load", [load_breast_cancer, load_diabetes])
def test_honest_tables_have_no_suspects(load):
    X, y = load(return_X_y=True, as_frame=True)
    told = _told(X[::2], y[::2].to_numpy())
    assert "Leakage suspects" not in told
    assert "Like identifiers" not in told


def test_identifiers_constants_gaps_and_twins(rng):
    color = rng.choice(["red", "blue", "green"], N)
    columns = {
        "PassengerId": rng.permutation(N),
        "count": np.arange(N),
        "ticket": [f"T-{k:04}" for k in rng.permutation(N)],
        "price": rng.normal(size=N),
        "weight": rng.normal(size=N),
        "sentence": [f"this is number {k} of all" for k in range(N)],
        "one": 1.0,
        "mostly": np.where(np.arange(N) < 150, np.nan, rng.normal(size=N)),
        "color": color,
        "colour": pd.Series(color).map({"red": 1, "blue": 2, "green": 3}),
    }
    told = _told(columns, rng.integers(0, 2, N))
    assert told["Like identifiers"].startswith("PassengerId, count, ticket: each has another value")
    assert told["Constant"] == "one has one value, or none, in (nearly) all rows."
    assert told["Mostly missing"].startswith("mostly (75.0%) ")
    assert told["The same"].startswith("colour (as color) ")
    assert "Rare classes" not in told


def test_rare_classes(rng):
    y = np.where(np.arange(N) < 6, "rare", "usual")
    assert _told({"x": rng.normal(size=N)}, y)["Rare classes"].startswith("rare (3.0%, 6 rows) is rare")
    many = np.arange(N) % 10
    assert "Rare classes" not in _told({"x": rng.normal(size=N)}, many)
