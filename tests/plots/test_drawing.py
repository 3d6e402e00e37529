"""What holds for every picture: names, room, ink, whose axes."""

import warnings
from itertools import pairwise

import numpy as np
import pandas as pd
import pytest
from matplotlib import pyplot as plt
from matplotlib.colors import to_hex, to_rgba
from matplotlib.figure import Figure
from matplotlib.text import Text
from pictures import NASTY, OF_TABLES, X2, Y2, everything, legend, named, texts
from sklearn.naive_bayes import GaussianNB

from stackkit import cross_fit, plots
from stackkit.plots import (
    CorrelationDisplay,
    HardestRowsDisplay,
    LeaderboardDisplay,
    LearningCurvesDisplay,
    ReliabilityDisplay,
    WeightsDisplay,
)


@pytest.mark.parametrize("display", OF_TABLES)
def test_names_are_drawn_as_they_are(nasty, display):
    ax = display.from_oof(nasty).ax_
    written = texts(ax)
    for name in NASTY[:3]:
        assert name in written
    shortened = [text for text in written if text.startswith("an_extra") and text.endswith("_end")]
    assert shortened
    assert all("…" in text and len(text) <= 40 for text in shortened)
    assert not [text for text in ax.findobj(Text) if text.get_text().startswith("$")]  # escaped: no mathematics
    # Matplotlib 3.8 leaves out of legends what begins with an underscore.
    assert not [text for text in getattr(ax.get_legend(), "texts", []) if text.get_text().startswith("_")]


def test_names_of_nets_are_drawn_as_they_are(nets):
    curves = LearningCurvesDisplay.from_oof(nets.oof_, ax=Figure().subplots()).curves.loc[["runs"]]
    ax = Figure().subplots()
    renamed = pd.concat([curves.rename(index={"runs": name}, level="learner") for name in NASTY])
    LearningCurvesDisplay(curves=renamed, coloured=NASTY).plot(ax)
    assert legend(ax)[:3] == NASTY[:3]
    ax.figure.canvas.draw()


def test_the_given_axes_are_used_and_keep_their_place(binary, nets):
    figures = []

    def second_of_three():
        figure = Figure(figsize=(9, 3))
        figures.append((figure, figure.subplots(1, 3)))
        return figures[-1][1][1]

    expected = Figure(figsize=(9, 3)).subplots(1, 3)[1].get_position().bounds
    for display, (figure, (left, ax, right)) in zip(everything(binary, nets, second_of_three), figures, strict=True):
        figure.canvas.draw()
        assert display.ax_ is ax
        assert display.figure_ is figure
        assert ax.get_position().bounds == expected
        assert figure.axes == [left, ax, right]
        assert not left.has_data()
        assert not right.has_data()
        np.testing.assert_array_equal(figure.get_size_inches(), [9, 3])
    assert not plt.get_fignums()


def test_without_axes_there_is_one_new_figure_that_pyplot_shows(binary, nets):
    shown = everything(binary, nets, lambda: None)
    assert [display.figure_ for display in shown] == [plt.figure(number) for number in plt.get_fignums()]
    assert all(display.figure_.axes == [display.ax_] for display in shown)


@pytest.mark.parametrize("display", [CorrelationDisplay, LeaderboardDisplay, WeightsDisplay])
def test_figures_grow_with_the_number_of_learners(binary, forty, display):
    small, large = (display.from_oof(oof).figure_.get_figheight() for oof in (binary.oof_, forty))
    assert large > 2 * small


@pytest.mark.parametrize("display", OF_TABLES)
@pytest.mark.parametrize("n", [1, 40])
def test_one_learner_and_forty(forty, display, n):
    oof = forty if n == 40 else cross_fit([("alone", GaussianNB())], X2, Y2, cv=3)
    with warnings.catch_warnings():
        warnings.simplefilter("error")  # such as a layout that has no room
        shown = display.from_oof(oof)
        shown.figure_.canvas.draw()
    if display in (CorrelationDisplay, LeaderboardDisplay, WeightsDisplay):
        assert len(named(shown.ax_.yaxis)) == n
        heights = [label.get_window_extent() for label in shown.ax_.get_yticklabels()]
        assert not any(a.overlaps(b) for a, b in pairwise(heights))
    if display is CorrelationDisplay:
        assert len(shown.ax_.texts) == (1 if n == 1 else 0)


@pytest.mark.parametrize("display", OF_TABLES)
@pytest.mark.parametrize("which", ["nasty", "forty"])
def test_nothing_is_cut_off(request, display, which):
    figure = display.from_oof(request.getfixturevalue(which)).figure_
    figure.canvas.draw()
    box, inside = figure.get_tightbbox(), figure.get_size_inches()
    assert box.x0 > -0.05
    assert box.y0 > -0.05
    assert box.x1 < inside[0] + 0.05
    assert box.y1 < inside[1] + 0.05


@pytest.mark.parametrize("style", ["default", "dark_background"])
def test_every_text_and_axis_is_of_one_ink(binary, nets, nested, style):
    with plt.style.context(style):
        shown = everything(binary, nets, lambda: None)
        shown.append(LeaderboardDisplay.from_estimator(binary, nested=nested))
    for display in shown:
        display.figure_.canvas.draw()
        cells = display.ax_.texts if isinstance(display, CorrelationDisplay) else []
        for text in display.figure_.findobj(Text):
            if text.get_text() and text not in cells:
                assert to_rgba(text.get_color()) == to_rgba(plots.INK), text
        for axes in [display.ax_, *display.ax_.child_axes]:
            assert {to_hex(spine.get_edgecolor()) for spine in axes.spines.values()} == {plots.INK}
            marks = [line for axis in (axes.xaxis, axes.yaxis) for line in axis.get_ticklines()]
            assert {to_hex(mark.get_color()) for mark in marks} == {plots.INK}


@pytest.mark.parametrize("page", ["#ffffff", "#000000"])
def test_the_ink_can_be_read_on_white_and_on_black(page):
    """A picture may be transparent, and nobody knows then what is behind it."""

    def luminance(colour):
        rgb = np.array(to_rgba(colour)[:3])
        return np.where(rgb <= 0.04045, rgb / 12.92, ((rgb + 0.055) / 1.055) ** 2.4) @ [0.2126, 0.7152, 0.0722]

    dark, light = sorted([luminance(plots.INK), luminance(page)])
    assert (light + 0.05) / (dark + 0.05) > 4.5  # what WCAG 2 asks for


# --- titles and styles ----------------------------------------------------------------------------------


@pytest.mark.parametrize("given", [True, False])
def test_each_has_a_title_above_its_legend(binary, nets, given):
    shown = everything(binary, nets, (lambda: Figure(figsize=(5, 4), dpi=60).subplots()) if given else (lambda: None))
    titles = [display.ax_.get_title() for display in shown]
    assert all(titles)
    assert len(set(titles)) == len(shown)
    for display in shown:
        display.figure_.canvas.draw()
        legend, title = display.ax_.get_legend(), display.ax_.title.get_window_extent()
        assert title.y0 > display.ax_.get_window_extent().y1
        assert legend is None or title.y0 > legend.get_window_extent().y1


# Which artists are the main ones, what to pass, and how it shows in them.
STYLED = [
    (CorrelationDisplay, {"cmap": "gray"}, lambda ax: [image.get_cmap().name == "gray" for image in ax.images]),
    (
        HardestRowsDisplay,
        {"s": 99, "linewidths": 3},
        lambda ax: [(mark.get_sizes()[0], mark.get_linewidths()[0]) == (99, 3) for mark in ax.collections[1:]],
    ),
    (
        LeaderboardDisplay,
        {"ms": 11, "capsize": 9},
        lambda ax: (
            [bars.lines[0].get_markersize() == 11 for bars in ax.containers]
            + [cap.get_markersize() == 18 for bars in ax.containers for cap in bars.lines[1]]
        ),
    ),
    (
        ReliabilityDisplay,
        {"lw": 4, "alpha": 0.5},
        lambda ax: [(line.get_linewidth(), line.get_alpha()) == (4, 0.5) for line in ax.get_lines()[1:]],
    ),
    (
        WeightsDisplay,
        {"fc": "red", "color": "red"},
        lambda ax: [to_hex(bar.get_facecolor()) == "#ff0000" for bar in ax.containers[0]],
    ),
]


@pytest.mark.parametrize(("display", "style", "shown_in"), STYLED)
def test_style_goes_to_the_main_artists_by_any_of_its_names(binary, display, style, shown_in):
    plain = shown_in(display.from_estimator(binary, ax=Figure().subplots()).ax_)
    assert plain
    assert not any(plain)
    for shown in (
        display.from_estimator(binary, ax=Figure().subplots(), **style),
        display.from_oof(binary.oof_, ax=Figure().subplots(), **style),
        display.from_estimator(binary, ax=Figure().subplots()).plot(Figure().subplots(), **style),
    ):
        assert all(shown_in(shown.ax_))


def test_style_of_learning_curves_goes_to_the_means(nets):
    for shown in (
        LearningCurvesDisplay.from_estimator(nets, ax=Figure().subplots(), lw=7),
        LearningCurvesDisplay.from_oof(nets.oof_, ax=Figure().subplots(), lw=7),
    ):
        means = [line for line in shown.ax_.get_lines() if line.get_marker() not in ("", "None")]
        assert means
        assert {line.get_linewidth() for line in means} == {7}
        assert {line.get_linewidth() for line in shown.ax_.get_lines()} > {7}  # single models stay thin


def test_style_of_nested_scores(nested):
    display = LeaderboardDisplay.from_nested(nested, ax=Figure().subplots(), markersize=11)
    assert [bars.lines[0].get_markersize() for bars in display.ax_.containers] == [11]


@pytest.mark.parametrize("name", ["c", "color"])
def test_a_colour_is_that_of_the_whole_mark(binary, name):
    display = HardestRowsDisplay.from_estimator(binary, ax=Figure().subplots(), **{name: "red"})
    assert {to_hex(mark.get_edgecolor()[0]) for mark in display.ax_.collections[1:]} == {"#ff0000"}
