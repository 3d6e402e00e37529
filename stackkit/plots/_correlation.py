"""How alike the learners predict."""

from __future__ import annotations

from typing import Any, Self

import numpy as np
import pandas as pd
from scipy.cluster.hierarchy import leaves_list, linkage
from scipy.spatial.distance import squareform

from stackkit._assessment import correlations
from stackkit._oof import OutOfFold
from stackkit.plots._drawing import INK, as_drawn, entitle, finish, start, styled
from stackkit.plots._inputs import checked, oof_of

MOST_NUMBERED = 12  # learners whose correlations are written into the cells


class CorrelationDisplay:
    """How alike the learners' out-of-fold predictions are: a heat map, similar learners beside each other.

    Correlations of predictions over all covered rows, as :func:`stackkit.evaluation.diversity` has them; with several
    columns per learner (classes, outputs) over all of them, each column centred, outputs in units of their target's
    standard deviation. Predicted classes count as columns of zeros and ones. A learner that predicts the same
    everywhere has none.

    Parameters
    ----------
    correlations : DataFrame of shape (n_learners, n_learners)
        Learners in the order in which they are drawn; NaN where there is none.

    Attributes
    ----------
    ax_ : matplotlib Axes
        Where it was drawn.
    figure_ : matplotlib Figure
        The figure of ``ax_``.

    References
    ----------
    Bar-Joseph, Gifford and Jaakkola (2001), Fast optimal leaf ordering for hierarchical clustering. Bioinformatics 17.

    Examples
    --------
    >>> from matplotlib.figure import Figure
    >>> from sklearn.datasets import load_iris
    >>> from sklearn.naive_bayes import GaussianNB
    >>> from sklearn.neighbors import KNeighborsClassifier
    >>> from stackkit import cross_fit
    >>> from stackkit.plots import CorrelationDisplay
    >>> oof = cross_fit([("knn", KNeighborsClassifier(30)), ("bayes", GaussianNB())], *load_iris(return_X_y=True))
    >>> display = CorrelationDisplay.from_oof(oof, ax=Figure().subplots())
    >>> display.correlations.shape
    (2, 2)
    """

    figure_: Any
    ax_: Any

    def __init__(self, *, correlations: pd.DataFrame) -> None:
        self.correlations = correlations

    @classmethod
    def from_estimator(cls, model: Any, *, ax: Any = None, **kwargs: Any) -> Self:
        """Show the learners of a fitted stack.

        Parameters
        ----------
        model : StackingModel, or Pipeline that ends in one
            Fitted.
        ax : matplotlib Axes, optional
            Where to draw. None makes a figure.
        **kwargs : dict
            Style, passed to matplotlib's ``imshow``.

        Returns
        -------
        CorrelationDisplay
            Drawn.
        """
        return cls.from_oof(oof_of(model), ax=ax, **kwargs)

    @classmethod
    def from_oof(cls, oof: OutOfFold, *, ax: Any = None, **kwargs: Any) -> Self:
        """Show the learners of an out-of-fold table.

        Parameters
        ----------
        oof : OutOfFold
            What ``cross_fit`` returned, or a model's ``oof_``.
        ax : matplotlib Axes, optional
            Where to draw. None makes a figure.
        **kwargs : dict
            Style, passed to matplotlib's ``imshow``.

        Returns
        -------
        CorrelationDisplay
            Drawn.
        """
        found = correlations(checked(oof))
        order = _neighbours(found.to_numpy())
        return cls(correlations=found.iloc[order, order]).plot(ax, **kwargs)

    def plot(self, ax: Any = None, **kwargs: Any) -> Self:
        """Draw the heat map; up to twelve learners with the numbers in it.

        Parameters
        ----------
        ax : matplotlib Axes, optional
            Where to draw. None makes a figure that grows with the number of learners.
        **kwargs : dict
            Style, passed to matplotlib's ``imshow``.

        Returns
        -------
        CorrelationDisplay
            This one.
        """
        values, names = self.correlations.to_numpy(), [as_drawn(name) for name in self.correlations.index]
        n, numbered = len(names), len(names) <= MOST_NUMBERED
        cells, margin = max(2.4, n * (0.52 if numbered else 0.24)), 0.075 * max(map(len, names))
        ax = start(self, ax, cells + margin + 1.3, cells + margin + 0.4)
        least = np.nanmin(values, initial=0.9)
        low = np.floor(10 * least) / 10
        style = {"cmap": "cividis", "vmin": low, "vmax": 1, "aspect": "auto", "interpolation": "nearest"}
        image = ax.imshow(values, **styled("image", style, kwargs))
        if numbered:
            for (i, j), value in np.ndenumerate(values):
                # On a colour of its own, hence not in INK: white on the darker half.
                colour = "#ffffff" if value < (low + 1) / 2 else "#111111"
                text, colour = ("none", INK) if np.isnan(value) else (f"{value:.2f}", colour)
                ax.text(j, i, text, ha="center", va="center", color=colour, fontsize="small")
        slant = {"rotation": 45, "ha": "right", "rotation_mode": "anchor"} if numbered else {"rotation": 90}
        ax.set_xticks(range(n), names, **slant)
        ax.set_yticks(range(n), names)
        # Inside the given axes' own coordinates: `colorbar(ax=...)` would take its place from them.
        scale = ax.inset_axes((1.03, 0, 0.03, 1))
        bar = ax.figure.colorbar(image, cax=scale, label="correlation, out of fold")
        bar.outline.set_edgecolor(INK)
        entitle(ax, "Correlation of out-of-fold predictions")
        for axes in (ax, scale):
            finish(axes, grid=None)
        return self


def _neighbours(correlations: np.ndarray) -> np.ndarray:
    if len(correlations) < 3:
        return np.arange(len(correlations))
    distances = 1 - np.nan_to_num(correlations)
    np.fill_diagonal(distances, 0)
    return leaves_list(linkage(squareform(distances, checks=False), "average", optimal_ordering=True))
