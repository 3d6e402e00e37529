"""Probabilities, and how often the events happen."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Self

import numpy as np
import pandas as pd
from scipy import sparse
from sklearn.calibration import CalibrationDisplay

from stackkit._assessment import STACK
from stackkit._blending import is_integer
from stackkit._data import check_length
from stackkit._oof import OutOfFold
from stackkit._utils import choice
from stackkit.plots._drawing import (
    GREY,
    INK,
    STACK_STYLE,
    STYLES,
    as_drawn,
    entitle,
    finish,
    in_legend,
    legend_above,
    line_style,
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
    rows_for_stack,
    stack_from,
    stack_of,
    weights_of,
)


class ReliabilityDisplay:
    """Do events that are called 70 % likely happen in 70 % of the cases? Curves of the learners and of the stack.

    Two classes: the probability of the second against how often it came. More: the probability of the predicted class
    against how often that was right (top-label). Each curve is one of scikit-learn's ``CalibrationDisplay``. Weights
    of rows are not used. The five learners of the highest weight, or else of the best score, are in colour.

    Parameters
    ----------
    learners : dict of str to (ndarray, ndarray)
        Whether the event came (0 or 1), and its probability, each of shape (n_rows,).
    stack : (ndarray, ndarray) or None
        The same for the stack.
    coloured : list of str
        Learners that are drawn in colour; the others are grey.
    event : str or None
        The second of two classes. None: that the predicted class is right.
    source : str
        Where the learners' probabilities come from.
    stack_label : str
        Name of the stack's curve in the legend.
    n_bins : int
        Bins of the probabilities, at least 2.
    strategy : {"uniform", "quantile"}
        Bins of the same width, or with the same number of rows.

    Attributes
    ----------
    curves_ : dict of str to CalibrationDisplay
        By learner.
    stack_curve_ : CalibrationDisplay or None
        That of the stack.
    ax_ : matplotlib Axes
        Where it was drawn.
    figure_ : matplotlib Figure
        The figure of ``ax_``.

    Notes
    -----
    For more than two classes: Guo, Pleiss, Sun and Weinberger (2017), On calibration of modern neural networks. ICML.

    Examples
    --------
    >>> from matplotlib.figure import Figure
    >>> from sklearn.datasets import load_breast_cancer
    >>> from sklearn.naive_bayes import GaussianNB
    >>> from sklearn.neighbors import KNeighborsClassifier
    >>> from stackkit import cross_fit
    >>> from stackkit.plots import ReliabilityDisplay
    >>> X, y = load_breast_cancer(return_X_y=True)
    >>> oof = cross_fit([("knn", KNeighborsClassifier(30)), ("bayes", GaussianNB())], X, y)
    >>> display = ReliabilityDisplay.from_oof(oof, ax=Figure().subplots())
    >>> display.stack_label
    'stack, cross-fitted on the table'
    """

    figure_: Any
    ax_: Any

    def __init__(
        self,
        *,
        learners: dict[str, tuple[np.ndarray, np.ndarray]],
        stack: tuple[np.ndarray, np.ndarray] | None,
        coloured: Sequence[str],
        event: str | None,
        source: str,
        stack_label: str,
        n_bins: int = 10,
        strategy: str = "uniform",
    ) -> None:
        self.learners = learners
        self.stack = stack
        self.coloured = coloured
        self.event = event
        self.source = source
        self.stack_label = stack_label
        self.n_bins = n_bins
        self.strategy = strategy

    @classmethod
    def from_estimator(
        cls,
        model: Any,
        X: Any = None,
        y: Any = None,
        *,
        n_bins: int = 10,
        strategy: str = "uniform",
        ax: Any = None,
        **kwargs: Any,
    ) -> Self:
        """Show a fitted stack and its learners.

        Parameters
        ----------
        model : StackingModel, or Pipeline that ends in one
            Fitted.
        X : array-like or DataFrame of shape (n_rows, n_features), optional
            New rows, that ``fit`` has not seen. Without them the learners are judged by their out-of-fold predictions,
            and the stack by its final estimator cross-fitted on that table: which is slightly optimistic. With
            ``passthrough`` there is no such stack.
        y : array-like of shape (n_rows,), optional
            Classes of the new rows.
        n_bins : int
            Bins of the probabilities, at least 2.
        strategy : {"uniform", "quantile"}
            Bins of the same width, or with the same number of rows.
        ax : matplotlib Axes, optional
            Where to draw. None makes a figure.
        **kwargs : dict
            Style, passed to matplotlib's ``plot`` for the curves of the stack and of the learners in colour.

        Returns
        -------
        ReliabilityDisplay
            Drawn.

        Raises
        ------
        ValueError
            The target is not one class per row, no learner gives probabilities, only one of X and y is given, y has
            classes that the stack does not know, or a parameter is not usable.
        """
        oof, fitted = oof_of(model), fitted_stack(model)
        weights = weights_of(fitted)
        _check_single_label(oof)
        if (X is None) != (y is None):
            raise ValueError(
                "The 'X' and 'y' parameters of ReliabilityDisplay must be given together, or neither of them; got only "
                f"{'y' if X is None else 'X'}. Pass both, or leave both out for the out-of-fold table."
            )
        options = {"weights": weights, "n_bins": n_bins, "strategy": strategy, "ax": ax, "style": kwargs}
        if X is None:
            return cls._of_table(oof, stack_of(oof, fitted), **options)
        rows = rows_for_stack(model, X)
        table = fitted.transform(rows)
        table = np.asarray(table.toarray() if sparse.issparse(table) else table)[:, : len(oof.columns)]
        codes = _codes(y, oof.classes, len(table))
        stack = _events(fitted.predict_proba(rows), codes) if hasattr(fitted, "predict_proba") else None
        return cls._of(oof, table.astype(float), stack, codes, source="new rows", stack_label=STACK, **options)

    @classmethod
    def from_oof(
        cls,
        oof: OutOfFold,
        final_estimator: Any = None,
        *,
        n_bins: int = 10,
        strategy: str = "uniform",
        ax: Any = None,
        **kwargs: Any,
    ) -> Self:
        """Show the learners of an out-of-fold table, and a stack of them.

        Parameters
        ----------
        oof : OutOfFold
            What ``cross_fit`` returned, or a model's ``oof_``.
        final_estimator : estimator, optional
            It is cross-fitted on the table. None means the one that a stack of these learners would have.
        n_bins, strategy, ax : optional
            As in ``from_estimator``.
        **kwargs : dict
            Style, passed to matplotlib's ``plot`` for the curves of the stack and of the learners in colour.

        Returns
        -------
        ReliabilityDisplay
            Drawn.
        """
        _check_single_label(checked(oof))
        stack = stack_from(oof, final_for(oof, final_estimator))
        return cls._of_table(oof, stack, weights=None, n_bins=n_bins, strategy=strategy, ax=ax, style=kwargs)

    @classmethod
    def _of_table(cls, oof: OutOfFold, second: OutOfFold | None, **options: Any) -> Self:
        rows = oof.covered
        stack = None
        if second is not None and second.blocks[STACK].kind == "probability":
            stack = _events(all_classes(second.train[second.covered]), oof.y[second.covered])
        options |= {"source": "out of fold", "stack_label": STACK_LABEL}
        return cls._of(oof, oof.train[rows], stack, oof.y[rows], **options)

    @classmethod
    def _of(
        cls,
        oof: OutOfFold,
        table: np.ndarray,
        stack: tuple[np.ndarray, np.ndarray] | None,
        codes: np.ndarray,
        *,
        weights: pd.Series | None,
        ax: Any,
        style: dict[str, Any],
        **options: Any,
    ) -> Self:
        _check_bins(options["n_bins"], options["strategy"])
        blocks = {name: block for name, block in oof.blocks.items() if block.kind == "probability"}
        if not blocks:
            raise ValueError(
                "ReliabilityDisplay needs a learner that gives probabilities; got only the methods "
                f"{sorted({block.method for block in oof.blocks.values()})}. Use learners with predict_proba, or wrap "
                "them in CalibratedClassifierCV."
            )
        return cls(
            learners={name: _events(all_classes(table[:, b.columns]), codes) for name, b in blocks.items()},
            stack=stack,
            coloured=in_colour(oof, list(blocks), weights),
            event=str(oof.classes[1]) if len(oof.classes) == 2 else None,
            **options,
        ).plot(ax, **style)

    def plot(self, ax: Any = None, **kwargs: Any) -> Self:
        """Draw the curves, and below them how many rows lie in each bin.

        Parameters
        ----------
        ax : matplotlib Axes, optional
            Where to draw. None makes a figure.
        **kwargs : dict
            Style, passed to matplotlib's ``plot`` for the curves of the stack and of the learners in colour.

        Returns
        -------
        ReliabilityDisplay
            This one.
        """
        ax = start(self, ax, 6.4, 7)
        (reference,) = ax.plot([0, 1], [0, 1], color=INK, linewidth=0.9, linestyle=(0, (1, 2)), zorder=1)
        others = [name for name in self.learners if name not in self.coloured]
        plain = {"color": GREY, "linewidth": 0.7, "alpha": 0.7, "marker": "", "zorder": 1.5}
        self.curves_ = {name: self._curve(ax, name, self.learners[name], plain) for name in others}
        for name, style in zip(self.coloured, STYLES, strict=False):
            self.curves_[name] = self._curve(
                ax, name, self.learners[name], styled("line", line_style(style) | {"zorder": 2}, kwargs)
            )
        bold = styled("line", line_style(STACK_STYLE) | {"linewidth": 2.6, "markersize": 7, "zorder": 3}, kwargs)
        self.stack_curve_ = None if self.stack is None else self._curve(ax, self.stack_label, self.stack, bold)
        self._draw_counts(ax)
        shown = [(self.stack_label, self.stack_curve_)] if self.stack_curve_ else []
        shown += [(name, self.curves_[name]) for name in self.coloured]
        shown += [(so_many_others(others), self.curves_[others[0]])] if others else []
        labels, curves = zip(*shown, strict=True)
        handles = [curve.line_ for curve in curves] + [reference]
        legend_above(ax, handles, [*labels, "perfectly calibrated"])
        entitle(ax, "Reliability of the probabilities")
        if self.event is None:
            ax.set_xlabel(f"confidence: probability of the predicted class (top-label), {self.source}")
            ax.set_ylabel("share predicted right (top-label)")
        else:
            ax.set_xlabel(f"predicted probability of {as_drawn(self.event)}, {self.source}")
            ax.set_ylabel(f"share that is {as_drawn(self.event)}")
        finish(ax, grid="both")
        return self

    def _curve(self, ax: Any, name: str, events: tuple[np.ndarray, np.ndarray], style: dict[str, Any]) -> Any:
        bins = {"n_bins": self.n_bins, "strategy": self.strategy}
        options = {"name": in_legend(name), "pos_label": 1, "ref_line": False, "ax": ax}
        return CalibrationDisplay.from_predictions(*events, **bins, **options, **style)

    def _draw_counts(self, ax: Any) -> None:
        """A strip below 0, in the same axes: of the stack, or else of the first learner in colour."""
        whose = "stack" if self.stack is not None else self.coloured[0]
        _, probability = self.stack or self.learners[whose]
        edges = np.linspace(0, 1, self.n_bins + 1)
        if self.strategy == "quantile":
            edges = np.percentile(probability, 100 * edges)
        counts = np.bincount(np.searchsorted(edges[1:-1], probability), minlength=self.n_bins)
        middles, widths = (edges[:-1] + edges[1:]) / 2, 0.94 * np.diff(edges)
        ax.bar(middles, 0.12 * counts / counts.max(), widths, bottom=-0.2, color=GREY, alpha=0.6)
        label = f"rows a bin: {as_drawn(whose)}, at most {counts.max():,}"
        ax.text(0.01, -0.025, label, color=INK, fontsize="small", va="top")
        ax.set(xlim=(-0.02, 1.02), ylim=(-0.21, 1.03), yticks=np.linspace(0, 1, 6))


def _check_single_label(oof: OutOfFold) -> None:
    if not isinstance(oof.classes, np.ndarray):
        got = "numbers" if oof.classes is None else "several labels per row"
        raise ValueError(  # noqa: TRY004 - it is the target that does not suit
            f"ReliabilityDisplay needs a target with one class per row; got {got}. Use another display, or one stack "
            "per label."
        )


def _check_bins(n_bins: Any, strategy: Any) -> None:
    if not is_integer(n_bins, 2):
        raise ValueError(
            f"The 'n_bins' parameter of ReliabilityDisplay must be an integer of at least 2; got {n_bins!r}. Use such "
            "as 10."
        )
    if strategy not in ("uniform", "quantile"):
        raise choice("strategy", "ReliabilityDisplay", ("uniform", "quantile"), strategy)


def _codes(y: Any, classes: np.ndarray, n_rows: int) -> np.ndarray:
    labels = np.asarray(y)
    check_length("y", labels, n_rows)
    unknown = [label for label in pd.unique(labels.ravel()).tolist() if label not in set(classes.tolist())]
    if unknown:
        raise ValueError(
            f"y must have the classes that the stack was fitted with, {classes.tolist()}; got {unknown}. Leave these "
            "rows out."
        )
    return np.searchsorted(classes, labels.ravel())


def _events(probabilities: np.ndarray, codes: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    if probabilities.shape[1] == 2:
        return codes.astype(int), probabilities[:, 1]
    return (probabilities.argmax(axis=1) == codes).astype(int), probabilities.max(axis=1)
