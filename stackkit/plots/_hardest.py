"""The rows that are predicted worst."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Self

import numpy as np
import pandas as pd

from stackkit._assessment import STACK, label_doubts
from stackkit._blending import is_integer
from stackkit._members import Block
from stackkit._oof import OutOfFold
from stackkit._utils import EPSILON, as_figure
from stackkit.plots._drawing import (
    GREY,
    INK,
    STACK_STYLE,
    STYLES,
    as_drawn,
    entitle,
    finish,
    legend_above,
    so_many_others,
    start,
    styled,
)
from stackkit.plots._inputs import (
    STACK_LABEL,
    all_classes,
    checked,
    final_for,
    fitted_stack,
    in_colour,
    oof_of,
    stack_from,
    stack_of,
    weights_of,
)


class HardestRowsDisplay:
    """The rows that the stack, or else the mean learner, predicts worst, and what each learner made of them.

    The loss of a row is minus the logarithm of the probability that its class was given (of several labels their
    mean), or the absolute error (of several outputs their mean). Learners that give neither are left out. Large losses
    point to wrong labels, to rare kinds of rows, and to where learners disagree. For rows whose label is likely wrong
    (see :func:`stackkit.inspection.label_issues`) the suggested one is shown.

    Parameters
    ----------
    losses : DataFrame of shape (n_shown, n_learners)
        Index: labels of the rows, or their positions; the hardest first.
    ranking : ndarray of shape (n_shown,)
        The losses that the rows are ranked by.
    by_stack : bool
        Whether these are the stack's; else they are means over the learners.
    truth : list of str
        True class or number of each row.
    positions : ndarray of int, shape (n_shown,)
        Where the rows stand in X.
    coloured : list of str
        Learners that are drawn in colour; the others are grey.
    loss : str
        Name of the loss.
    suggested : list of str, optional
        The label or number that the stack suggests for each row; empty where it is not in doubt.

    Attributes
    ----------
    rows_ : ndarray of int, shape (n_shown,)
        Positions of the rows in X.
    table_ : DataFrame, one row per shown row
        Columns: position, truth, suggested, stack (or mean, where there is none): the loss that ranks; then each
        learner's loss.
    ax_ : matplotlib Axes
        Where it was drawn.
    figure_ : matplotlib Figure
        The figure of ``ax_``.

    Examples
    --------
    >>> from matplotlib.figure import Figure
    >>> from sklearn.datasets import load_iris
    >>> from sklearn.naive_bayes import GaussianNB
    >>> from sklearn.neighbors import KNeighborsClassifier
    >>> from stackkit import cross_fit
    >>> from stackkit.plots import HardestRowsDisplay
    >>> X, y = load_iris(return_X_y=True, as_frame=True)
    >>> oof = cross_fit([("knn", KNeighborsClassifier(30)), ("bayes", GaussianNB())], X, y)
    >>> display = HardestRowsDisplay.from_oof(oof, n_rows=3, ax=Figure().subplots())
    >>> list(display.table_)
    ['position', 'truth', 'suggested', 'stack', 'knn', 'bayes']
    >>> X.iloc[display.rows_].shape
    (3, 4)
    """

    figure_: Any
    ax_: Any

    def __init__(
        self,
        *,
        losses: pd.DataFrame,
        ranking: np.ndarray,
        by_stack: bool,
        truth: Sequence[str],
        positions: np.ndarray,
        coloured: Sequence[str],
        loss: str,
        suggested: Sequence[str] | None = None,
    ) -> None:
        self.losses = losses
        self.ranking = ranking
        self.by_stack = by_stack
        self.truth = truth
        self.positions = positions
        self.coloured = coloured
        self.loss = loss
        self.suggested = [""] * len(truth) if suggested is None else suggested
        first = {"position": positions, "truth": list(truth), "suggested": list(self.suggested)}
        first[STACK if by_stack else "mean"] = ranking
        self.rows_ = positions
        self.table_ = pd.concat([pd.DataFrame(first, index=losses.index), losses], axis=1)

    @classmethod
    def from_estimator(cls, model: Any, *, n_rows: int = 20, ax: Any = None, **kwargs: Any) -> Self:
        """Show the hardest training rows of a fitted stack.

        Parameters
        ----------
        model : StackingModel, or Pipeline that ends in one
            Fitted. Rows are ranked by its final estimator cross-fitted on the out-of-fold table; with ``passthrough``
            by the mean over the learners.
        n_rows : int
            How many, at least 1.
        ax : matplotlib Axes, optional
            Where to draw. None makes a figure.
        **kwargs : dict
            Style, passed to matplotlib's ``scatter`` for the marks of the stack and of the learners in colour.

        Returns
        -------
        HardestRowsDisplay
            Drawn.

        Raises
        ------
        ValueError
            No learner has a loss on each row, or ``n_rows`` is not usable.
        """
        oof, stack = oof_of(model), fitted_stack(model)
        return cls._of(oof, stack_of(oof, stack), n_rows, weights_of(stack), {"ax": ax} | kwargs)

    @classmethod
    def from_oof(
        cls, oof: OutOfFold, final_estimator: Any = None, *, n_rows: int = 20, ax: Any = None, **kwargs: Any
    ) -> Self:
        """Show the hardest rows of an out-of-fold table.

        Parameters
        ----------
        oof : OutOfFold
            What ``cross_fit`` returned, or a model's ``oof_``.
        final_estimator : estimator, optional
            It is cross-fitted on the table. None means the one that a stack of these learners would have.
        n_rows : int
            How many, at least 1.
        ax : matplotlib Axes, optional
            Where to draw. None makes a figure.
        **kwargs : dict
            Style, passed to matplotlib's ``scatter`` for the marks of the stack and of the learners in colour.

        Returns
        -------
        HardestRowsDisplay
            Drawn.
        """
        stack = stack_from(oof, final_for(checked(oof), final_estimator))
        return cls._of(oof, stack, n_rows, None, {"ax": ax} | kwargs)

    @classmethod
    def _of(
        cls,
        oof: OutOfFold,
        stack: OutOfFold | None,
        n_rows: int,
        weights: pd.Series | None,
        shown: dict[str, Any],
    ) -> Self:
        if not is_integer(n_rows, 1):
            raise ValueError(
                f"The 'n_rows' parameter of HardestRowsDisplay must be an integer of at least 1; got {n_rows!r}. Use "
                "such as 20."
            )
        by_stack = {} if stack is None else _row_losses(stack, np.flatnonzero(stack.covered))
        # In a time series the stack predicts fewer rows than its learners.
        positions = np.flatnonzero(stack.covered if stack is not None and by_stack else oof.covered)
        losses = pd.DataFrame(_row_losses(oof, positions))
        if losses.empty:
            raise ValueError(
                "HardestRowsDisplay needs a learner with a loss on each row, from probabilities or numbers; got only "
                f"the methods {sorted({block.method for block in oof.blocks.values()})}. Use learners with "
                "predict_proba."
            )
        ranking = by_stack.get(STACK, losses.mean(axis=1).to_numpy())
        hardest = np.argsort(-ranking, kind="stable")[:n_rows]
        rows = positions[hardest]
        labels = pd.Index(rows, name="row") if oof.index is None else oof.index[rows]
        return cls(
            losses=losses.iloc[hardest].set_axis(labels),
            ranking=ranking[hardest],
            by_stack=bool(by_stack),
            truth=[_truth(oof, row) for row in rows],
            suggested=_suggested(stack if by_stack else None, rows),
            positions=rows,
            coloured=in_colour(oof, losses.columns, weights),
            loss="absolute error" if oof.classes is None else "log-loss",
        ).plot(**shown)

    def plot(self, ax: Any = None, **kwargs: Any) -> Self:
        """Draw one line per row up to the loss that ranks it, and a mark for each learner's.

        Parameters
        ----------
        ax : matplotlib Axes, optional
            Where to draw. None makes a figure whose height grows with the number of rows.
        **kwargs : dict
            Style, passed to matplotlib's ``scatter`` for the marks of the stack and of the learners in colour.

        Returns
        -------
        HardestRowsDisplay
            This one.
        """
        n = len(self.losses)
        named = [str(row) for row in self.losses.index]
        told = [
            f"{truth}, rather {other}" if other else truth
            for truth, other in zip(self.truth, self.suggested, strict=True)
        ]
        labels = [f"{as_drawn(row)}: {as_drawn(truth)}" for row, truth in zip(named, told, strict=True)]
        ax = start(self, ax, 6 + 0.075 * max(map(len, labels)), 0.27 * n + 2)
        height = np.arange(n, 0, -1)
        ax.hlines(height, 0, self.ranking, color=GREY, linewidth=1.2)
        # One learner that was certain of what is not so would squeeze all others into a corner.
        most = 1.5 * self.ranking.max()
        beyond = most > 0 and self.losses.to_numpy().max() > 2 * most
        drawn = self.losses.clip(upper=most) if beyond else self.losses
        others = [name for name in drawn if name not in self.coloured]
        colour, marker, _ = STACK_STYLE if self.by_stack else (INK, "|", "-")
        label = STACK_LABEL if self.by_stack else "mean over the learners"
        style = styled("mark", {"marker": marker, "s": 52, "color": colour, "zorder": 3}, kwargs)
        shown = [(label, ax.scatter(self.ranking, height, **style))]
        for name, (colour, marker, _) in zip(self.coloured, STYLES, strict=False):
            style = {"marker": marker, "s": 26, "facecolors": "none", "edgecolors": colour, "linewidths": 1.3}
            shown.append((name, ax.scatter(drawn[name], height, **styled("mark", style, kwargs))))
        if others:
            spots = {"s": 14, "color": GREY, "alpha": 0.5, "linewidths": 0, "zorder": 0.9}
            shown.append((so_many_others(others), ax.scatter(drawn[others], np.repeat(height, len(others)), **spots)))
        names, handles = zip(*shown, strict=True)
        ax.set_yticks(height, labels)
        ax.set_ylabel(f"{as_drawn(self.losses.index.name or 'row')}: truth")
        ax.set_ylim(0.4, n + 0.6)
        ax.set_xlim(left=0)
        ax.set_xlabel(f"{self.loss} of the row, out of fold{f' (at the edge: {most:.3g} and more)' if beyond else ''}")
        legend_above(ax, handles, names)
        entitle(ax, "Rows that are predicted worst")
        finish(ax, grid="x")
        return self


def _row_losses(oof: OutOfFold, rows: np.ndarray) -> dict[str, np.ndarray]:
    losses = {name: _row_loss(oof.y[rows], oof.train[rows, b.columns], b) for name, b in oof.blocks.items()}
    return {name: loss for name, loss in losses.items() if loss is not None}


def _row_loss(y: np.ndarray, values: np.ndarray, block: Block) -> np.ndarray | None:
    if block.kind == "value" and not block.n_classes:
        return np.abs(y.reshape(values.shape) - values).mean(axis=1)
    if block.kind == "probability":
        of_truth = all_classes(values)[np.arange(len(y)), y]
        return -np.log(np.clip(of_truth, EPSILON, 1))
    if block.kind == "indicator" and block.method == "predict_proba":
        return -np.log(np.clip(np.where(y == 1, values, 1 - values), EPSILON, 1)).mean(axis=1)
    return None


def _suggested(stack: OutOfFold | None, rows: np.ndarray) -> list[str]:
    """By the stack's own predictions; nothing where these are neither probabilities nor one number per row."""
    block = None if stack is None else stack.blocks[STACK]
    if (
        stack is None
        or block is None
        or not (block.kind == "probability" or (block.kind == "value" and block.width == 1))
    ):
        return [""] * len(rows)
    doubts = label_doubts(stack, STACK).loc[rows]
    texts = doubts["suggested"].map(as_figure if stack.classes is None else str)
    return texts.where(doubts["issue"], "").tolist()


def _truth(oof: OutOfFold, row: int) -> str:
    y = oof.y[row]
    if oof.classes is None:
        return ", ".join(as_figure(value) for value in np.atleast_1d(y))
    if isinstance(oof.classes, list):
        return f"labels {', '.join(map(str, np.flatnonzero(y)))}" if y.any() else "no label"
    return str(oof.classes[y])
