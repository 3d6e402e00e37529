"""Losses of neural networks, epoch by epoch."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Self

import numpy as np
import pandas as pd
from sklearn.pipeline import Pipeline

from stackkit._oof import OutOfFold
from stackkit.plots._drawing import GREY, INK, STYLES, entitle, finish, legend_above, so_many_others, start, styled
from stackkit.plots._inputs import checked, fitted_stack, in_colour, oof_of

# Where fitted estimators keep the one that they hold.
INSIDE = ("net_", "best_estimator_", "regressor_", "estimator_", "estimator", "calibrated_classifiers_", "estimators_")


class LearningCurvesDisplay:
    """Losses of the neural networks among the learners, epoch by epoch, over their fold models.

    A thin line per fold model, a thick one for their mean, in which a network that has stopped keeps its last loss.
    Loss is the training loss. Validation losses are there only where the net computed them, as with
    ``early_stopping`` or skorch's ``train_split``. Of more than five nets the best five are in colour.

    Parameters
    ----------
    curves : DataFrame
        Index: learner, model (0, 1, ...), epoch (1, 2, ...). Columns: train_loss, valid_loss (NaN where none).
    coloured : list of str
        Learners that are drawn in colour; the others are grey.

    Attributes
    ----------
    ax_ : matplotlib Axes
        Where it was drawn.
    figure_ : matplotlib Figure
        The figure of ``ax_``.

    Examples
    --------
    >>> from matplotlib.figure import Figure
    >>> from sklearn.datasets import load_iris
    >>> from stackkit import cross_fit
    >>> from stackkit.nn import BNMLPClassifier
    >>> from stackkit.plots import LearningCurvesDisplay
    >>> net = BNMLPClassifier(max_epochs=3, random_state=0)
    >>> oof = cross_fit([("net", net)], *load_iris(return_X_y=True), cv=3)
    >>> display = LearningCurvesDisplay.from_oof(oof, ax=Figure().subplots())
    >>> display.curves.shape
    (9, 2)
    """

    figure_: Any
    ax_: Any

    def __init__(self, *, curves: pd.DataFrame, coloured: Sequence[str]) -> None:
        self.curves = curves
        self.coloured = coloured

    @classmethod
    def from_estimator(cls, model: Any, *, ax: Any = None, **kwargs: Any) -> Self:
        """Show the nets of a fitted stack.

        Parameters
        ----------
        model : StackingModel, or Pipeline that ends in one
            Fitted. Its fold models are shown; those fitted on all rows where it kept no others.
        ax : matplotlib Axes, optional
            Where to draw. None makes a figure.
        **kwargs : dict
            Style, passed to matplotlib's ``plot`` for the means over fold models.

        Returns
        -------
        LearningCurvesDisplay
            Drawn.

        Raises
        ------
        ValueError
            No learner is a net with a history.
        """
        oof, stack = oof_of(model), fitted_stack(model)
        return cls._of(
            oof, {name: oof.members.get(name) or found for name, found in stack.members_.items()}, ax, kwargs
        )

    @classmethod
    def from_oof(cls, oof: OutOfFold, *, ax: Any = None, **kwargs: Any) -> Self:
        """Show the nets of an out-of-fold table.

        Parameters
        ----------
        oof : OutOfFold
            What ``cross_fit`` returned, or a model's ``oof_``.
        ax : matplotlib Axes, optional
            Where to draw. None makes a figure.
        **kwargs : dict
            Style, passed to matplotlib's ``plot`` for the means over fold models.

        Returns
        -------
        LearningCurvesDisplay
            Drawn.
        """
        return cls._of(oof, checked(oof).members, ax, kwargs)

    @classmethod
    def _of(cls, oof: OutOfFold, members: dict[str, list[Any]], ax: Any, style: dict[str, Any]) -> Self:
        rows = {
            (name, i, epoch): (losses["train_loss"], losses.get("valid_loss", np.nan))
            for name, found in members.items()
            for i, history in enumerate(_histories(found))
            for epoch, losses in enumerate(history, start=1)
        }
        if not rows:
            raise ValueError(
                "LearningCurvesDisplay needs a learner that is a neural network with a history of its training; got "
                f"{list(oof.blocks)}. Use such as stackkit.nn.BNMLPClassifier, and keep the fold models."
            )
        curves = pd.DataFrame.from_dict(rows, orient="index", columns=["train_loss", "valid_loss"], dtype=float)
        curves.index = pd.MultiIndex.from_tuples(list(rows), names=["learner", "model", "epoch"])
        nets = list(dict.fromkeys(name for name, *_ in rows))
        return cls(curves=curves, coloured=in_colour(oof, nets, None)).plot(ax, **style)

    def plot(self, ax: Any = None, **kwargs: Any) -> Self:
        """Draw the losses: on training rows dashed, on validation rows whole.

        Parameters
        ----------
        ax : matplotlib Axes, optional
            Where to draw. None makes a figure.
        **kwargs : dict
            Style, passed to matplotlib's ``plot`` for the means over fold models.

        Returns
        -------
        LearningCurvesDisplay
            This one.
        """
        ax = start(self, ax, 7, 5.4)
        nets = list(self.curves.index.unique("learner"))
        others = [name for name in nets if name not in self.coloured]
        drawn = {name: self._draw(ax, name, (GREY, "", "-"), {}) for name in others}
        drawn |= {name: self._draw(ax, name, style, kwargs) for name, style in zip(self.coloured, STYLES, strict=False)}
        shown = [(name, drawn[name]) for name in self.coloured]
        shown += [(so_many_others(others), drawn[others[0]])] if others else []
        proxies = [("training rows", 2, "--"), ("validation rows", 2, "-"), ("one fold model", 0.7, "-")]
        for label, width, dashes in proxies:
            if label != "validation rows" or self.curves["valid_loss"].notna().any():
                shown += [(label, ax.plot([], [], color=INK, linewidth=width, linestyle=dashes)[0])]
        labels, handles = zip(*shown, strict=True)
        legend_above(ax, handles, labels)
        entitle(ax, "Learning curves of the networks")
        ax.set_xlabel("epoch")
        ax.set_ylabel("loss that the net is trained on")
        ax.xaxis.get_major_locator().set_params(integer=True)
        finish(ax, grid="both")
        return self

    def _draw(self, ax: Any, name: str, style: tuple[Any, ...], given: dict[str, Any]) -> Any:
        """All lines of one net; returns what stands for it in the legend."""
        colour, marker, _ = style
        handle = None
        for column, dashes in (("train_loss", "--"), ("valid_loss", "-")):
            models = self.curves.xs(name)[column].unstack("model").dropna(how="all")  # noqa: PD010 - a row an epoch
            if models.empty:
                continue
            line = {"color": colour, "linestyle": dashes}
            if marker:
                ax.plot(models.index, models, linewidth=0.6, alpha=0.55, **line)
            mean, every = models.ffill().mean(axis=1), max(1, len(models) // 8)
            line |= {"linewidth": 2.2 if marker else 0.8, "marker": marker, "markevery": every}
            (handle,) = ax.plot(models.index, mean, **styled("line", line, given))
        return handle


def _histories(part: Any) -> list[Any]:
    """Of a skorch net, or of those that an estimator holds; asking for its class would load torch."""
    if isinstance(part, list | tuple):
        return [history for item in part for history in _histories(item)]
    history = getattr(part, "history", None)
    if isinstance(history, list) and history and "train_loss" in history[-1]:
        return [history]
    inside = [part.steps[-1][1]] if isinstance(part, Pipeline) else [getattr(part, name, None) for name in INSIDE]
    return next((found for item in inside if item is not None and (found := _histories(item))), [])
