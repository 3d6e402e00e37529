"""What every picture is made from, and what it does with that."""

import numpy as np
import pytest
from matplotlib.figure import Figure
from pictures import OF_TABLES, X2, Y2, three
from sklearn.base import clone
from sklearn.exceptions import NotFittedError
from sklearn.linear_model import LogisticRegression
from sklearn.naive_bayes import GaussianNB

from stackkit import StackingModel
from stackkit.plots import LearningCurvesDisplay, ReliabilityDisplay


@pytest.mark.parametrize("display", [*OF_TABLES, LearningCurvesDisplay])
def test_what_is_no_model_and_no_table(display, binary):
    with pytest.raises(
        TypeError, match=r"'model' parameter of from_estimator must be a fitted StackingModel; got a Gaus"
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
