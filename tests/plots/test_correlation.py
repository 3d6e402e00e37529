"""The heat map against correlations computed on their own, and the order of its learners."""

import numpy as np
import pandas as pd
import pytest
from matplotlib.colors import to_rgba
from pictures import DIABETES, PROGRESS, X2, X3, Y2, Y3, named, three
from sklearn.datasets import make_multilabel_classification
from sklearn.dummy import DummyClassifier, DummyRegressor
from sklearn.ensemble import RandomForestClassifier
from sklearn.linear_model import LinearRegression, RidgeClassifier
from sklearn.model_selection import TimeSeriesSplit
from sklearn.naive_bayes import GaussianNB
from sklearn.neighbors import KNeighborsClassifier, KNeighborsRegressor
from sklearn.pipeline import Pipeline
from sklearn.preprocessing import StandardScaler
from sklearn.tree import DecisionTreeClassifier

from stackkit import cross_fit
from stackkit.evaluation import diversity
from stackkit.plots import CorrelationDisplay


def shown_values(ax):
    return np.asarray(ax.images[0].get_array().filled(np.nan))


def test_two_classes_have_the_usual_correlations(binary, ax):
    display = CorrelationDisplay.from_estimator(binary, ax=ax)
    order = [list(binary.oof_.blocks).index(name) for name in named(ax.xaxis)]
    expected = np.corrcoef(binary.oof_.train[:, order], rowvar=False)
    np.testing.assert_allclose(shown_values(ax), expected, atol=1e-12)
    np.testing.assert_allclose(display.correlations, expected, atol=1e-12)
    assert named(ax.xaxis) == named(ax.yaxis)
    assert [text.get_text() for text in ax.texts] == [f"{value:.2f}" for value in expected.ravel()]


def test_several_classes_are_centred_by_column(classes, ax):
    display = CorrelationDisplay.from_estimator(classes, ax=ax)
    centred = classes.oof_.train - classes.oof_.train.mean(axis=0)
    vectors = [centred[:, block.columns].ravel() for block in classes.oof_.blocks.values()]
    names = list(classes.oof_.blocks)
    np.testing.assert_allclose(display.correlations.loc[names, names], np.corrcoef(vectors))


REGRESSORS = [("line", LinearRegression()), ("knn", KNeighborsRegressor()), ("mean", DummyRegressor())]
MIXED = [*three(), ("margin", RidgeClassifier()), ("line", LinearRegression()), ("labels", KNeighborsClassifier())]
LABELS = make_multilabel_classification(90, 6, n_classes=3, random_state=0)
SEVERAL = [("knn", KNeighborsClassifier()), ("forest", RandomForestClassifier(5, random_state=0))]


@pytest.mark.parametrize(
    ("learners", "X", "y", "method"),
    [
        (three(), X2, Y2, "auto"),
        (three(), X3, Y3, "auto"),
        (three(), X3, Y3, "predict"),
        (REGRESSORS, DIABETES, PROGRESS, "auto"),
        (REGRESSORS, DIABETES, np.column_stack([1000 * PROGRESS, DIABETES[:, 2] ** 2]), "auto"),
        (SEVERAL, *LABELS, "auto"),
        (MIXED, X2, Y2, {"labels": "predict"}),
        (MIXED, X3, Y3, {"labels": "predict"}),
    ],
    ids=["two classes", "classes", "predicted classes", "numbers", "outputs", "labels", "mixed two", "mixed classes"],
)
def test_they_are_those_of_the_evaluation(learners, X, y, method, ax):
    oof = cross_fit(learners, X, y, cv=TimeSeriesSplit(3), stack_method=method)
    display = CorrelationDisplay.from_oof(oof, ax=ax)
    pairs = diversity(oof).pairs["correlation"]
    assert len(pairs) == len(learners) * (len(learners) - 1) / 2
    assert pairs.notna().any()
    for (one, other), expected in pairs.items():
        np.testing.assert_equal(display.correlations.loc[one, other], expected)
        np.testing.assert_equal(display.correlations.loc[other, one], expected)


def test_predicted_classes_count_as_indicators(ax):
    oof = cross_fit(
        [("a", GaussianNB()), ("b", DecisionTreeClassifier(random_state=0))], X3, Y3, stack_method="predict"
    )
    a, b = (np.eye(3)[oof.train[:, i].astype(int)] for i in range(2))
    a, b = ((x - x.mean(axis=0)).ravel() for x in (a, b))
    display = CorrelationDisplay.from_oof(oof, ax=ax)
    assert display.correlations.loc["a", "b"] == pytest.approx(np.corrcoef(a, b)[0, 1])


def test_units_of_an_output_do_not_matter(ax):
    learners = [("line", LinearRegression()), ("knn", KNeighborsRegressor())]
    found = []
    for unit in (1e-5, 1000):
        y = np.column_stack([unit * PROGRESS, DIABETES[:, 2] ** 2])
        found.append(CorrelationDisplay.from_oof(cross_fit(learners, DIABETES, y, cv=3), ax=ax).correlations)
    np.testing.assert_allclose(found[0], found[1])


def test_what_never_changes_or_means_something_else_correlates_with_nothing(ax):
    learners = [("bayes", GaussianNB()), ("prior", DummyClassifier()), ("line", LinearRegression())]
    oof = cross_fit(learners, X3, Y3, cv=[(np.arange(120), np.arange(120, 240))])
    display = CorrelationDisplay.from_oof(oof, ax=ax)
    assert display.correlations.loc["prior"].isna().all()
    assert np.isnan(display.correlations.loc["bayes", "line"])
    assert display.correlations.loc["bayes", "bayes"] == pytest.approx(1)
    assert [text.get_text() for text in ax.texts].count("none") == 7


def test_rows_without_a_prediction_do_not_count(ax):
    oof = cross_fit(three(), X2, Y2, cv=TimeSeriesSplit(3))
    order = list(CorrelationDisplay.from_oof(oof, ax=ax).correlations)
    expected = pd.DataFrame(oof.train[oof.covered], columns=oof.columns).corr().loc[order, order]
    np.testing.assert_allclose(shown_values(ax), expected)


def test_learners_that_are_alike_stand_together(ax):
    rng = np.random.default_rng(0)
    X = np.column_stack([Y2 + rng.normal(size=200), Y2 + rng.normal(size=200)])

    def on(column, smoothing):
        return Pipeline([("one", PickColumn(column)), ("bayes", GaussianNB(var_smoothing=smoothing))])

    learners = [("a1", on(0, 0.1)), ("b1", on(1, 0.1)), ("a2", on(0, 0.3)), ("b2", on(1, 0.3)), ("a3", on(0, 0.5))]
    order = list(CorrelationDisplay.from_oof(cross_fit(learners, X, Y2), ax=ax).correlations)
    letters = "".join(name[0] for name in order)
    assert letters in ("aaabb", "bbaaa")


class PickColumn(StandardScaler):
    def __init__(self, column):
        super().__init__()
        self.column = column

    def fit(self, X, y=None):
        return super().fit(X[:, [self.column]])

    def transform(self, X):
        return super().transform(X[:, [self.column]])


def test_numbers_in_cells_stand_out(classes, ax):
    CorrelationDisplay.from_oof(classes.oof_, ax=ax)

    def luminance(colour):
        rgb = np.array(to_rgba(colour)[:3])
        linear = np.where(rgb <= 0.04045, rgb / 12.92, ((rgb + 0.055) / 1.055) ** 2.4)
        return linear @ [0.2126, 0.7152, 0.0722]

    image = ax.images[0]
    for text in ax.texts:
        column, row = text.get_position()
        cell = image.cmap(image.norm(shown_values(ax)[row, column]))
        dark, light = sorted([luminance(cell), luminance(text.get_color())])
        assert (light + 0.05) / (dark + 0.05) > 4  # WCAG asks for 4.5 of small text, for 3 of large
