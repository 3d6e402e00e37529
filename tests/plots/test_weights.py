"""Bars against the weights and coefficients of final estimators."""

import numpy as np
import pandas as pd
import pytest
from matplotlib import pyplot as plt
from pictures import PROGRESS, X2, Y2, Y3, named, three
from sklearn.datasets import load_diabetes, make_multilabel_classification
from sklearn.decomposition import PCA
from sklearn.ensemble import RandomForestClassifier
from sklearn.linear_model import LogisticRegression, Ridge
from sklearn.model_selection import TimeSeriesSplit
from sklearn.naive_bayes import GaussianNB
from sklearn.neighbors import KNeighborsClassifier
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from stackkit import ConvexRegressor, LogPoolClassifier, RidgePoolRegressor, StackingModel, cross_fit
from stackkit.plots import WeightsDisplay


def bars(ax):
    return {name: bar.get_width() for name, bar in zip(named(ax.yaxis), ax.containers[0].patches, strict=True)}


def test_the_weights_of_a_blend(binary, ax):
    WeightsDisplay.from_estimator(binary, ax=ax)
    weights = dict(zip(binary.oof_.blocks, binary.final_estimator_.weights_, strict=True))
    assert bars(ax) == weights
    assert list(bars(ax).values()) == sorted(weights.values(), reverse=True)
    assert ax.get_xlabel() == "weight in LogPoolClassifier"
    assert {f"{weight:.3g}" for weight in weights.values()} <= {text.get_text() for text in ax.texts}


def test_a_single_coefficient_keeps_its_sign(ax):
    model = StackingModel([("good", GaussianNB()), ("same", GaussianNB())], Ridge(0.1), cv=3).fit(X2, Y2)
    model.final_estimator_.coef_ = np.array([0.4, -0.7])
    WeightsDisplay.from_estimator(model, ax=ax)
    assert bars(ax) == {"same": -0.7, "good": 0.4}
    assert ax.get_xlabel() == "coefficient in Ridge"
    negative, positive = ax.containers[0].patches
    assert negative.get_hatch()
    assert not positive.get_hatch()
    assert negative.get_facecolor() != positive.get_facecolor()


def test_a_weight_below_zero_is_told_from_the_others(numbers, ax):
    model = StackingModel(numbers.estimators, RidgePoolRegressor(), cv=3).fit(*load_diabetes(return_X_y=True))
    weights = model.final_estimator_.weights_
    weights[:] = np.linspace(-0.5, 1.2, len(weights))
    WeightsDisplay.from_estimator(model, ax=ax)
    assert bars(ax) == pytest.approx(dict(zip(model.oof_.blocks, weights, strict=True)))
    assert ax.get_xlabel() == "weight in RidgePoolRegressor"
    hatched = {name for name, bar in zip(named(ax.yaxis), ax.containers[0].patches, strict=True) if bar.get_hatch()}
    assert hatched == {name for name, width in bars(ax).items() if width < 0}
    assert ax.get_xlim()[0] < -0.5


def test_of_several_coefficients_the_norm(classes, ax):
    final = LogisticRegression(C=3).fit(classes.oof_.train, Y3)
    display = WeightsDisplay.from_oof(classes.oof_, LogisticRegression(C=3), ax=ax)
    for i, name in enumerate(classes.oof_.blocks):
        expected = np.sqrt((final.coef_[:, 3 * i : 3 * i + 3] ** 2).sum())
        assert display.weights[name] == pytest.approx(expected, rel=1e-4)
    assert ax.get_xlabel() == "norm of the coefficients in LogisticRegression"


def test_without_a_final_estimator_the_default_is_fitted(ax):
    weight = np.random.default_rng(0).uniform(0.1, 5, 200)
    with pytest.warns(UserWarning, match="sample_weight"):
        oof = cross_fit(
            [*three(), ("knn", KNeighborsClassifier(30))], X2, Y2, cv=TimeSeriesSplit(3), sample_weight=weight
        )
    rows = oof.covered
    expected = LogPoolClassifier().fit(oof.train[rows], Y2[rows], sample_weight=weight[rows]).weights_
    WeightsDisplay.from_oof(oof, ax=ax)
    assert bars(ax) == pytest.approx(dict(zip(oof.blocks, expected, strict=True)))


def test_the_final_estimator_is_cloned(numbers, ax):
    final = ConvexRegressor()
    WeightsDisplay.from_oof(numbers.oof_, final, ax=ax)
    assert not hasattr(final, "weights_")
    expected = ConvexRegressor().fit(numbers.oof_.train, PROGRESS).weights_
    assert bars(ax) == pytest.approx(dict(zip(numbers.oof_.blocks, expected, strict=True)))


def test_several_labels_have_the_norm_over_them(ax):
    X, Y = make_multilabel_classification(150, 6, n_classes=2, allow_unlabeled=False, random_state=0)
    model = StackingModel(
        [("knn", KNeighborsClassifier()), ("forest", RandomForestClassifier(5, random_state=0))], cv=3
    )
    display = WeightsDisplay.from_estimator(model.fit(X, Y), ax=ax)
    coefficients = np.vstack([part.coef_ for part in model.final_estimator_.estimators_])
    assert display.weights["forest"] == pytest.approx(np.linalg.norm(coefficients[:, 2:]))


@pytest.mark.parametrize("final", [LogisticRegression(), make_pipeline(StandardScaler(), LogisticRegression())])
def test_columns_passed_through_are_left_out(final, ax):
    model = StackingModel(three(), final, passthrough=True, cv=3).fit(X2, Y2)
    linear = model.final_estimator_ if isinstance(final, LogisticRegression) else model.final_estimator_[-1]
    display = WeightsDisplay.from_estimator(model, ax=ax)
    np.testing.assert_array_equal(display.weights, linear.coef_[0, :3])


def test_columns_are_found_behind_the_default_preprocessing(ax):
    frame = pd.DataFrame(X2, columns=list("abcdef")).assign(kind=np.array(["u", "v"])[Y2])
    learners = [("one", GaussianNB()), ("two", LogisticRegression())]
    learners = [(name, make_pipeline(PickNumbers(), learner)) for name, learner in learners]
    model = StackingModel(learners, passthrough=["kind", "a"], cv=3).fit(frame, Y2)
    names = list(model.final_estimator_[:-1].get_feature_names_out())
    display = WeightsDisplay.from_estimator(model, ax=ax)
    for name in ("one", "two"):
        assert display.weights[name] == model.final_estimator_[-1].coef_[0, names.index(f"numbers__{name}")]


class PickNumbers(StandardScaler):
    def fit(self, X, y=None):
        return super().fit(X[list("abcdef")])

    def transform(self, X):
        return super().transform(X[list("abcdef")])


@pytest.mark.parametrize(
    "final",
    [RandomForestClassifier(3, random_state=0), make_pipeline(PCA(), LogisticRegression())],
    ids=["forest", "pca"],
)
def test_a_final_estimator_without_a_weight_a_learner(binary, final):
    with pytest.raises(
        ValueError, match=r"needs a final estimator that weighs learners or has a coef.* got .*Use such"
    ):
        WeightsDisplay.from_oof(binary.oof_, final)
    assert not plt.get_fignums()
