"""What every picture is made from, and what it does with that."""

import numpy as np
import pytest
from matplotlib.figure import Figure
from pictures import OF_TABLES, X2, Y2, three
from sklearn.base import clone
from sklearn.exceptions import NotFittedError
from sklearn.linear_model import LogisticRegression
from sklearn.naive_bayes import GaussianNB
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from stackkit import StackingModel
from stackkit.plots import LearningCurvesDisplay, ReliabilityDisplay


@pytest.mark.parametrize("display", [*OF_TABLES, LearningCurvesDisplay])
def test_what_is_no_model_and_no_table(display, binary):
    with pytest.raises(
        TypeError,
        match=r"'model' parameter of from_estimator must be a fitted StackingModel, or a Pipeline .* got a Gaus",
    ):
        display.from_estimator(GaussianNB().fit(X2, Y2))
    with pytest.raises(TypeError, match=r"'model' parameter of from_estimator .* use from_oof"):
        display.from_estimator(binary.oof_)
    with pytest.raises(NotFittedError):
        display.from_estimator(StackingModel(three()))
    with pytest.raises(
        TypeError, match=r"'oof' parameter must be an OutOfFold; got a ndarray. Pass what cross_fit returned"
    ):
        display.from_oof(X2)


def test_a_stack_that_cannot_be_fitted_is_left_out_with_a_warning(binary, ax):
    class Broken(LogisticRegression):
        def fit(self, X, y):
            raise RuntimeError("boom")

    with pytest.warns(UserWarning, match="The stack is left out of the picture: .*boom"):
        display = ReliabilityDisplay.from_oof(binary.oof_, Broken(), ax=ax)
    assert display.stack_curve_ is None
    assert len(display.curves_) == 3
    with pytest.raises(TypeError, match="'final_estimator' parameter"):
        ReliabilityDisplay.from_oof(binary.oof_, 3)


def test_the_model_is_not_changed(binary):
    before = (
        clone(binary.final_estimator_).get_params(),
        binary.final_estimator_.weights_.copy(),
        binary.oof_.train.copy(),
    )
    for display in OF_TABLES:
        display.from_estimator(binary, ax=Figure().subplots())
    assert clone(binary.final_estimator_).get_params() == before[0]
    np.testing.assert_array_equal(binary.final_estimator_.weights_, before[1])
    np.testing.assert_array_equal(binary.oof_.train, before[2])


@pytest.mark.parametrize("display", OF_TABLES)
def test_a_pipeline_that_ends_in_a_stack_is_drawn_as_its_stack(display):
    model = make_pipeline(StandardScaler(), StackingModel(three(), cv=3, random_state=0)).fit(X2, Y2)
    drawn = [display.from_estimator(one, ax=Figure().subplots()) for one in (model, model[-1])]
    texts = [[text.get_text() for text in one.ax_.texts] for one in drawn]
    assert texts[0] == texts[1]


def test_new_rows_of_a_pipeline_go_through_it():
    model = make_pipeline(StandardScaler(), StackingModel(three(), cv=3, random_state=0)).fit(X2, Y2)
    whole = ReliabilityDisplay.from_estimator(model, X2, Y2, ax=Figure().subplots())
    alone = ReliabilityDisplay.from_estimator(model[-1], model[:-1].transform(X2), Y2, ax=Figure().subplots())
    np.testing.assert_array_equal(whole.stack_curve_.prob_true, alone.stack_curve_.prob_true)
