"""Learning curves against the histories of the nets."""

import numpy as np
import pandas as pd
import pytest
from matplotlib.colors import to_hex
from matplotlib.figure import Figure
from pictures import DIABETES, PROGRESS, X2, Y2, legend
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import GridSearchCV
from sklearn.pipeline import Pipeline
from sklearn.preprocessing import StandardScaler

from stackkit import StackingModel, cross_fit, plots
from stackkit.plots import LearningCurvesDisplay
from stackkit.plots._drawing import STYLES


def test_the_curves_are_the_histories_of_the_fold_models(nets, ax):
    display = LearningCurvesDisplay.from_estimator(nets, ax=ax)
    assert list(display.curves.index.unique("learner")) == ["stops", "runs"]
    for i, member in enumerate(nets.members_["runs"]):
        assert display.curves.loc["runs"].loc[i, "train_loss"].tolist() == member.history_[:, "train_loss"]
    for i, member in enumerate(nets.members_["stops"]):
        assert display.curves.loc["stops"].loc[i, "valid_loss"].tolist() == member[-1].history_[:, "valid_loss"]
    assert display.curves.xs("runs")["valid_loss"].isna().all()


def thick(ax, colour, dashes):
    (line,) = [
        line
        for line in ax.get_lines()
        if to_hex(line.get_color()) == colour and line.get_linestyle() == dashes and line.get_linewidth() > 2
    ]
    return line.get_ydata()


def test_the_thick_line_is_the_mean_in_which_a_stopped_net_keeps_its_last_loss(nets, ax):
    display = LearningCurvesDisplay.from_estimator(nets, ax=ax)
    histories = [member[-1].history_[:, "valid_loss"] for member in nets.members_["stops"]]
    longest = max(map(len, histories))
    assert min(map(len, histories)) < longest  # else this tests nothing
    filled = [losses + losses[-1:] * (longest - len(losses)) for losses in histories]
    colour = to_hex(STYLES[display.coloured.index("stops")][0])
    np.testing.assert_allclose(thick(ax, colour, "-"), np.mean(filled, axis=0))
    other = to_hex(STYLES[display.coloured.index("runs")][0])
    expected = np.mean([member.history_[:, "train_loss"] for member in nets.members_["runs"]], axis=0)
    np.testing.assert_allclose(thick(ax, other, "--"), expected)
    assert set(legend(ax)) == {"stops", "runs", "training rows", "validation rows", "one fold model"}


def test_without_validation_losses_the_legend_does_not_speak_of_them(ax):
    from stackkit.nn import BNMLPRegressor

    oof = cross_fit(
        [BNMLPRegressor((4,), max_epochs=3, early_stopping=False, random_state=0)], DIABETES, PROGRESS, cv=3
    )
    LearningCurvesDisplay.from_oof(oof, ax=ax)
    assert legend(ax) == ["bnmlpregressor", "training rows", "one fold model"]


def test_raw_nets_deep_inside(ax):
    import torch
    from nets import Layers
    from skorch import NeuralNetClassifier

    net = NeuralNetClassifier(Layers, criterion=torch.nn.CrossEntropyLoss, max_epochs=3, lr=0.1)
    pipeline = Pipeline([("scale", StandardScaler()), ("net", net)])
    search = GridSearchCV(pipeline, {"net__lr": [0.1]}, cv=2)
    oof = cross_fit([("search", search)], X2[:, :4], Y2, cv=3, random_state=0)
    display = LearningCurvesDisplay.from_oof(oof, ax=ax)
    assert display.curves.shape == (9, 2)
    assert display.curves.notna().all(axis=None)  # skorch sets rows aside unless told otherwise
    best = oof.members["search"][2].best_estimator_[-1].net_
    assert display.curves.loc["search"].loc[2, "valid_loss"].tolist() == best.history[:, "valid_loss"]


def test_nets_fitted_on_all_rows_where_there_are_no_fold_models(ax):
    from stackkit.nn import BNMLPClassifier

    net = BNMLPClassifier((4,), max_epochs=3, early_stopping=False, random_state=0)
    model = StackingModel([("net", net)], LogisticRegression(), refit=True, cv=3).fit(X2, Y2)
    display = LearningCurvesDisplay.from_estimator(model, ax=ax)
    n_models = len(model.oof_.members["net"]) or 1
    assert len(display.curves) == 3 * n_models


def test_forty_nets(nets, ax):
    one = LearningCurvesDisplay.from_oof(nets.oof_, ax=ax).curves.xs("runs")
    curves = pd.concat({f"net {i}": one + i for i in range(40)}, names=["learner"])
    fresh = Figure().subplots()
    LearningCurvesDisplay(curves=curves, coloured=[f"net {i}" for i in range(5)]).plot(fresh)
    assert "35 others" in legend(fresh)
    grey = [line for line in fresh.get_lines() if line.get_color() == plots.GREY]
    assert len(grey) == 35  # one mean each, and no fold models


def test_a_stack_without_nets(binary):
    with pytest.raises(
        ValueError, match=r"needs a learner that is a neural network .* \['logistic', 'bayes', 'tree'\]"
    ):
        LearningCurvesDisplay.from_estimator(binary)
