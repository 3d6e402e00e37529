"""The HTML diagram of a stack: what it shows, in which state, and that it never fails."""

import runpy
import warnings
from html.parser import HTMLParser

import numpy as np
import pandas as pd
import pytest
from sklearn.base import BaseEstimator
from sklearn.linear_model import LogisticRegression, Ridge
from sklearn.naive_bayes import GaussianNB
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import FunctionTransformer, StandardScaler
from sklearn.svm import LinearSVC
from sklearn.utils._repr_html import estimator as drawn_by
from spies import Noisy

from stackkit import ConvexClassifier, StackingModel, default_learners
from stackkit._model import diagram
from stackkit.nn import BNMLPClassifier

RNG = np.random.default_rng(0)
X = pd.DataFrame({"a": RNG.normal(size=60), "b": RNG.normal(size=60), "<i>c": RNG.choice(list("xyz"), 60)})
Y = {"classification": np.arange(60) % 2, "regression": X["a"] + np.arange(60)}
CHEAP = {
    "n_estimators": 3,
    "max_iter": 3,
    "hidden_layer_sizes": (4,),
    "max_epochs": 2,
    "n_members": 2,
    "early_stopping_rounds": 2,
}


class Boxes(HTMLParser):
    """What stands above the boxes and in them, from top to bottom; parameters are left out."""

    def __init__(self):
        super().__init__()
        self.labels, self._inside = [], 0

    def handle_starttag(self, tag, attrs):
        if tag == "label":
            self._inside = 1
            self.labels.append("")

    def handle_endtag(self, tag):
        if tag == "label":
            self._inside = 0

    def handle_data(self, data):
        if self._inside:
            self.labels[-1] += data


def boxes(model):
    parser = Boxes()
    parser.feed(model if isinstance(model, str) else model._repr_html_())
    return [label.strip() for label in parser.labels]


def cheap(task, preset):
    learners = default_learners(task, X, preset=preset)
    for _, pipeline in learners:
        known = pipeline[-1].get_params()
        few = {key: value for key, value in CHEAP.items() if known.get(key) is not None}
        pipeline[-1].set_params(**few)
    return learners


@pytest.mark.parametrize(
    "task",
    [pytest.param("classification", marks=pytest.mark.slow), pytest.param("regression", marks=pytest.mark.nightly)],
)
def test_every_default_learner_is_drawn_fitted_or_not(task):
    learners = cheap(task, "best")  # which has those of all presets
    kinds = [type(pipeline[-1]).__name__ for _, pipeline in learners]
    final = "LogPoolClassifier" if task == "classification" else "RidgePoolRegressor"
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # so few rounds do not converge
        fitted = StackingModel(learners, cv=2, random_state=0).fit(X, Y[task])
    for model, after in ((StackingModel(task=task, preset="best"), ""), (fitted, ": 1 of 2")):
        html = model._repr_html_()
        shown, names = boxes(html), [name + after for name, _ in learners]
        assert [label for label in shown if label in names] == names
        for kind in (*kinds, final):
            # One that holds another estimator is named with its step.
            assert any(label.removeprefix("learner: ").startswith(kind) for label in shown), kind
        assert "<i>c" not in html


def test_an_all_default_model_is_drawn_as_what_it_became():
    model = StackingModel(cv=2, random_state=0).fit(X, Y["regression"])
    shown = boxes(model)
    assert [label for label in shown if label.endswith(": 1 of 2")] == [
        f"{name}: 1 of 2" for name, _ in default_learners("regression")
    ]
    assert "RidgePoolRegressor" in shown
    assert not any("LogPool" in label for label in shown)


def test_an_all_default_model_waits_for_y_and_says_so():
    shown = boxes(StackingModel(preset="balanced"))
    for task, where, final in (
        ("classification", "where y has classes", "LogPoolClassifier"),
        ("regression", "where y has numbers", "RidgePoolRegressor"),
    ):
        names = ", ".join(name for name, _ in default_learners(task, preset="balanced"))
        assert f"{names} {where}" in shown
        assert f"{final} {where}" in shown


def test_a_final_estimator_tells_the_task():
    shown = boxes(StackingModel(final_estimator=ConvexClassifier()))
    assert {"lightgbm", "splines", "ConvexClassifier"} <= set(shown)
    assert "ridge" not in shown


class Silent(BaseEstimator):
    """An estimator that says of itself neither classifier nor regressor."""

    def fit(self, X, y):
        return self

    def predict(self, X):
        return X


def test_learners_that_do_not_tell_leave_the_final_estimator_to_y():
    shown = boxes(StackingModel([("silent", Silent())]))
    assert "silent" in shown
    # What only predicts, gives no probabilities to blend.
    assert "LogisticRegression where y has classes" in shown
    assert "RidgePoolRegressor where y has numbers" in shown
    assert "Ridge" in " ".join(boxes(StackingModel([("silent", Silent())], Ridge())))


BAYES, MARGIN = ("bayes", GaussianNB()), ("margin", LinearSVC())


@pytest.mark.parametrize(
    ("model", "final"),
    [
        (StackingModel([BAYES]), "LogPoolClassifier"),
        (StackingModel([BAYES, MARGIN]), "LogisticRegression"),
        (StackingModel([BAYES], stack_method="predict"), "LogisticRegression"),
        (StackingModel([BAYES], passthrough=True), "LogisticRegression"),
        (StackingModel([("ridge", Ridge())]), "RidgePoolRegressor"),
        (StackingModel([("ridge", Ridge())], passthrough=True), "RidgeCV"),
        (StackingModel([BAYES, ("gone", "drop")], LogisticRegression()), "LogisticRegression"),
    ],
)
def test_before_the_fit_the_final_estimator_is_that_of_the_fit(model, final):
    assert boxes(model)[-1].startswith(final)
    fitted = model.fit(
        X[["a", "b"]].to_numpy(), Y["regression" if "ridge" in dict(model.estimators) else "classification"]
    )
    assert type(fitted.final_estimator_).__name__ == final
    assert any(label.startswith(final) for label in boxes(fitted))


def test_learners_without_weight_keep_their_fold_models():
    learners = [("bayes", GaussianNB()), ("coin", Noisy())]
    rows = np.random.default_rng(1).normal(size=(200, 2))
    model = StackingModel(learners, ConvexClassifier(), refit=True, cv=3, random_state=0)
    model.fit(rows, (rows[:, 0] > 0).astype(int))
    assert model.final_estimator_.weights_[1] == 0
    assert {"bayes", "coin: 1 of 3"} <= set(boxes(model))


def test_a_level_above_is_drawn_inside():
    upper = StackingModel([("upper", LogisticRegression())], ConvexClassifier())
    model = StackingModel([BAYES], upper)
    assert {"bayes", "upper", "ConvexClassifier"} <= set(boxes(model))
    model.fit(X[["a", "b"]], Y["classification"])
    assert {"bayes: 1 of 5", "upper: 1 of 5"} <= set(boxes(model))


def test_a_compact_model_is_drawn_with_what_it_kept():
    net = BNMLPClassifier((4,), max_epochs=2, n_members=1, random_state=0)
    learners = [("net", net), ("piped", make_pipeline(StandardScaler(), LogisticRegression()))]
    small = StackingModel(learners, LogisticRegression(), cv=2).fit(X[["a", "b"]], Y["classification"]).compact()
    shown = boxes(small)
    assert {"net", "networks packed as one", "piped: 1 of 2", "final_estimator"} <= set(shown)
    assert len([label for label in shown if label.startswith("LogisticRegression")]) == 2


def test_users_function_transformers_are_drawn():
    """They give None for names as long as they are not fitted, which scikit-learn 1.9 cannot draw in a fitted model."""
    learner = make_pipeline(FunctionTransformer(feature_names_out="one-to-one"), GaussianNB())
    assert boxes(StackingModel([("piped", learner)], cv=2).fit(X[["a", "b"]], Y["classification"]))


@pytest.mark.parametrize(
    "model",
    [StackingModel(preset="slow"), StackingModel(3), StackingModel([]), StackingModel([BAYES], stack_method="proba")],
)
def test_what_cannot_be_fitted_can_be_displayed(model):
    assert "StackingModel" in model._repr_html_()


def test_without_scikit_learn_s_block_it_draws_by_itself(monkeypatch):
    monkeypatch.setattr("stackkit._model.stacking.CAN_DRAW", False)
    assert not hasattr(StackingModel(), "_sk_visual_block_")
    assert "StackingModel" in StackingModel([BAYES])._repr_html_()
    monkeypatch.delattr(drawn_by, "_VisualBlock")
    assert runpy.run_path(diagram.__file__)["CAN_DRAW"] is False
    assert diagram.CAN_DRAW
