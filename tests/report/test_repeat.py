"""What the page says to run can be run."""

import numpy as np
import pytest
from sklearn.datasets import load_iris
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import RepeatedStratifiedKFold
from sklearn.naive_bayes import GaussianNB
from sklearn.pipeline import Pipeline, make_pipeline
from sklearn.preprocessing import FunctionTransformer, StandardScaler
from spies import Batches

from stackkit import ConvexClassifier, StackingClassifier, StackingModel, default_learners
from stackkit._data import ShuffledFolds
from stackkit.report.repeat import as_code, repeat
from stackkit.report.subject import Subject

X, y = load_iris(return_X_y=True)


def _script(model, command=None):
    return repeat(Subject(model, None, None, None, "species", "iris.csv", command))


def test_the_script_makes_the_same_model():
    learners = [
        ("scaled", make_pipeline(StandardScaler(), LogisticRegression(C=0.5, max_iter=np.int64(300)))),
        ("by name", Pipeline([("scale", "passthrough"), ("bayes", GaussianNB(priors=np.array([0.2, 0.3, 0.5])))])),
        ("spy", Batches()),
    ]
    cv = RepeatedStratifiedKFold(n_splits=2, n_repeats=2, random_state=1)
    model = StackingClassifier(learners, ConvexClassifier(), cv=cv, random_state=0, n_jobs=1, verbose=False).fit(X, y)
    script = _script(model)["model"]
    assert "# X, y: iris.csv: 150 rows of 4 columns, and species." in script
    assert "n_jobs" not in script
    for module in ("sklearn.linear_model", "sklearn.model_selection", "stackkit", "spies"):
        assert f"from {module} import " in script
    made = {"X": X, "y": y}
    exec(script, made)
    np.testing.assert_array_equal(made["model"].predict_proba(X), model.predict_proba(X))


def test_default_learners_are_written_without_private_names():
    learners = [pair for pair in default_learners("classification", n_classes=3, preset="best") if pair[0] == "lda"]
    model = StackingModel([*learners, ("bayes", GaussianNB())], cv=2, random_state=0).fit(X, y)
    script = _script(model)["model"]
    assert "._" not in script
    assert "default_learners(" in script
    made = {"X": X, "y": y}
    exec(script, made)
    np.testing.assert_array_equal(made["model"].predict_proba(X), model.predict_proba(X))


def test_what_cannot_be_written_is_left_to_be_filled_in():
    learners = [("odd one", make_pipeline(FunctionTransformer(lambda X: X), GaussianNB())), ("bayes", GaussianNB())]
    model = StackingModel(learners, cv=2, random_state=0).fit(X, y)
    script = _script(model)["model"]
    assert "my_learner_0 = ...  # yours: Pipeline(" in script
    assert "('odd one', my_learner_0)" in script
    assert "('bayes', GaussianNB())" in script
    compile(script, "report", "exec")


def test_a_command_line_is_all_that_is_needed():
    model = StackingModel([("bayes", GaussianNB())], cv=2).fit(X, y)
    assert _script(model, "stackkit fit iris.csv")["model"] is None


@pytest.mark.parametrize(
    ("value", "code"),
    [
        (float("inf"), 'float("inf")'),
        ({"a": (1,), "b": [None, 2.5]}, "{'a': (1,), 'b': [None, 2.5]}"),
        (ShuffledFolds(3), None),
        (lambda: 1, None),
        (FunctionTransformer(np.log1p), "FunctionTransformer(func=np.log1p)"),
    ],
    ids=["infinite", "collections", "private", "nameless", "of NumPy"],
)
def test_values_as_code(value, code):
    assert as_code(value) == code
