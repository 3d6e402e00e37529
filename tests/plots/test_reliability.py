"""Calibration curves against scikit-learn's, of learners and of a stack that did not see the rows."""

import numpy as np
import pandas as pd
import pytest
from matplotlib import pyplot as plt
from matplotlib.colors import to_hex
from matplotlib.figure import Figure
from pictures import X2, Y2, Y3, legend, texts, three
from sklearn.calibration import calibration_curve
from sklearn.datasets import make_multilabel_classification
from sklearn.linear_model import LogisticRegression, RidgeClassifier
from sklearn.model_selection import StratifiedKFold, TimeSeriesSplit, cross_val_predict
from sklearn.naive_bayes import GaussianNB
from sklearn.neighbors import KNeighborsClassifier

from stackkit import LogPoolClassifier, StackingModel, cross_fit, plots
from stackkit.plots import ReliabilityDisplay


def curve(line):
    return np.array([line.get_xdata(), line.get_ydata()])


def by_hand(y, p, **bins):
    true, predicted = calibration_curve(y, p, **({"n_bins": 10} | bins))
    return np.array([predicted, true])


def test_the_curves_of_two_classes(binary, ax):
    display = ReliabilityDisplay.from_estimator(binary, ax=ax)
    for i, name in enumerate(binary.oof_.blocks):
        np.testing.assert_allclose(curve(display.curves_[name].line_), by_hand(Y2, binary.oof_.train[:, i]))
    assert all(display.curves_[name].line_.axes is ax for name in binary.oof_.blocks)
    assert ax.get_xlabel() == "predicted probability of yes, out of fold"
    assert ax.get_ylabel() == "share that is yes"


def test_the_stack_is_judged_by_rows_that_its_final_estimator_did_not_see(binary, ax):
    display = ReliabilityDisplay.from_estimator(binary, ax=ax)
    P = binary.oof_.train
    p = cross_val_predict(LogPoolClassifier(), P, Y2, cv=StratifiedKFold(4), method="predict_proba")[:, 1]
    np.testing.assert_allclose(curve(display.stack_curve_.line_), by_hand(Y2, p))
    in_sample = by_hand(Y2, LogPoolClassifier().fit(P, Y2).predict_proba(P)[:, 1])
    drawn = curve(display.stack_curve_.line_)
    assert drawn.shape != in_sample.shape or not np.allclose(drawn, in_sample)
    assert legend(ax)[0] == "stack, cross-fitted on the table"


def test_several_classes_by_the_one_predicted(classes, ax):
    display = ReliabilityDisplay.from_estimator(classes, n_bins=5, ax=ax)
    p = classes.oof_.train[:, 3:6]
    expected = by_hand(p.argmax(axis=1) == Y3, p.max(axis=1), n_bins=5)
    np.testing.assert_allclose(curve(display.curves_["bayes"].line_), expected)
    assert "top-label" in ax.get_xlabel()
    assert "top-label" in ax.get_ylabel()


def test_new_rows(binary, ax):
    rng = np.random.default_rng(0)
    X, y = X2 + rng.normal(scale=0.5, size=X2.shape), np.array(["no", "yes"])[Y2]
    X = pd.DataFrame(X)
    display = ReliabilityDisplay.from_estimator(binary, X, list(y), strategy="quantile", n_bins=4, ax=ax)
    expected = by_hand(Y2, binary.predict_proba(X)[:, 1], n_bins=4, strategy="quantile")
    np.testing.assert_allclose(curve(display.stack_curve_.line_), expected)
    tree = by_hand(Y2, np.asarray(binary.transform(X))[:, 2], n_bins=4, strategy="quantile")
    np.testing.assert_allclose(curve(display.curves_["tree"].line_), tree)
    assert legend(ax)[0] == "stack"
    assert ax.get_xlabel().endswith("new rows")


def test_new_rows_with_columns_passed_through(ax):
    frame = pd.DataFrame(X2, columns=list("abcdef"))
    model = StackingModel(three(), LogisticRegression(), passthrough=True, cv=3).fit(frame, Y2)
    display = ReliabilityDisplay.from_estimator(model, frame[:150], Y2[:150], ax=ax)
    expected = by_hand(Y2[:150], np.asarray(model.transform(frame[:150]))[:, 1])
    np.testing.assert_allclose(curve(display.curves_["bayes"].line_), expected)
    assert display.stack_curve_ is not None
    on_table = ReliabilityDisplay.from_estimator(model, ax=Figure().subplots())
    assert on_table.stack_curve_ is None  # there it needs more than the table


@pytest.mark.parametrize("strategy", ["uniform", "quantile"])
def test_the_strip_counts_the_rows_of_the_stack(binary, strategy, ax):
    display = ReliabilityDisplay.from_estimator(binary, strategy=strategy, n_bins=5, ax=ax)
    heights = np.array([bar.get_height() for bar in ax.containers[0].patches])
    _, p = display.stack
    edges = np.linspace(0, 1, 6) if strategy == "uniform" else np.quantile(p, np.linspace(0, 1, 6))
    counts = np.histogram(p, edges)[0]
    np.testing.assert_allclose(heights / heights.sum(), counts / 200, atol=0.011)  # a row may lie on an edge
    assert f"rows a bin: stack, at most {counts.max()}" in texts(ax) or strategy == "quantile"
    assert heights.max() == pytest.approx(0.12)
    assert all(bar.get_y() + bar.get_height() < 0 for bar in ax.containers[0].patches)


def test_learners_without_probabilities_are_left_out(ax):
    oof = cross_fit([("margin", RidgeClassifier()), ("bayes", GaussianNB())], X2, Y2, cv=3)
    display = ReliabilityDisplay.from_oof(oof, ax=ax)
    assert list(display.curves_) == ["bayes"]
    without = cross_fit([("margin", RidgeClassifier())], X2, Y2, cv=3)
    with pytest.raises(
        ValueError, match=r"needs a learner that gives probabilities; got only .*\['decision_function'\]"
    ):
        ReliabilityDisplay.from_oof(without)


def test_a_stack_without_probabilities_is_left_out(binary, ax):
    display = ReliabilityDisplay.from_oof(binary.oof_, RidgeClassifier(), ax=ax)
    assert display.stack_curve_ is None
    assert any(text.startswith("rows a bin: ") for text in texts(ax))


def test_forty_learners_have_the_best_in_colour_and_the_others_in_grey(forty, ax):
    display = ReliabilityDisplay.from_oof(forty, ax=ax)
    best = forty.scores["log_loss"].groupby("learner").mean().sort_values(kind="stable").index[:5]
    assert set(display.coloured) == set(best)
    colours = {name: to_hex(curve.line_.get_color()) for name, curve in display.curves_.items()}
    assert {colours[name] for name in colours if name not in best} == {plots.GREY}
    bright = [to_hex(display.stack_curve_.line_.get_color()), *(colours[name] for name in best)]
    assert len(set(bright)) == 6
    assert plots.GREY not in bright
    assert len({display.curves_[name].line_.get_marker() for name in best}) == 5
    assert len(legend(ax)) == 8
    assert "35 others" in legend(ax)


def test_the_weight_decides_who_is_in_colour():
    model = StackingModel([(f"b{i}", GaussianNB(var_smoothing=10.0**-i)) for i in range(8)], cv=3).fit(X2, Y2)
    model.final_estimator_.weights_ = np.array([8, 7, 6, 5, 4, 3, 2, 1.0])
    display = ReliabilityDisplay.from_estimator(model, ax=Figure().subplots())
    assert display.coloured == ["b0", "b1", "b2", "b3", "b4"]


def test_time_series(ax):
    oof = cross_fit(three(), X2, Y2, cv=TimeSeriesSplit(3))
    display = ReliabilityDisplay.from_oof(oof, ax=ax)
    expected = by_hand(Y2[oof.covered], oof.train[oof.covered, 0])
    np.testing.assert_allclose(curve(display.curves_["logistic"].line_), expected)


def test_targets_that_have_no_reliability(numbers):
    with pytest.raises(ValueError, match=r"ReliabilityDisplay needs a target with one class per row; got numbers"):
        ReliabilityDisplay.from_estimator(numbers)
    X, Y = make_multilabel_classification(60, 6, n_classes=2, random_state=0)
    oof = cross_fit([("knn", KNeighborsClassifier())], X, Y, cv=3)
    with pytest.raises(ValueError, match=r"one class per row; got several labels per row. .* one stack per label"):
        ReliabilityDisplay.from_oof(oof)


def test_arguments_that_are_not_usable(binary):
    with pytest.raises(ValueError, match=r"'X' and 'y' parameters .* together, or neither of them; got only X"):
        ReliabilityDisplay.from_estimator(binary, X2)
    with pytest.raises(ValueError, match=r"got only y. Pass both"):
        ReliabilityDisplay.from_estimator(binary, y=Y2)
    with pytest.raises(ValueError, match=r"y must have the classes .* \['no', 'yes'\]; got \['maybe'\]. Leave"):
        ReliabilityDisplay.from_estimator(binary, pd.DataFrame(X2[:2]), ["no", "maybe"])
    with pytest.raises(ValueError, match=r"X and y must have the same number of rows; got 2 and 3"):
        ReliabilityDisplay.from_estimator(binary, pd.DataFrame(X2[:2]), ["no", "yes", "no"])
    for n_bins in (1, 2.5, True):
        with pytest.raises(ValueError, match=rf"'n_bins' parameter .* integer of at least 2; got {n_bins}. Use such"):
            ReliabilityDisplay.from_estimator(binary, n_bins=n_bins)
    with pytest.raises(ValueError, match=r"'strategy' parameter of ReliabilityDisplay .* got 'quantil'. Did you mean"):
        ReliabilityDisplay.from_oof(binary.oof_, strategy="quantil")
    assert not plt.get_fignums()
