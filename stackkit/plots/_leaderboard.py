"""Learners and their scores."""

from __future__ import annotations

from typing import Any, Self

import numpy as np
import pandas as pd

from stackkit._assessment import STACK, score_board, stack_label, stack_scores, target_of
from stackkit._oof import LOWER_IS_BETTER, METRIC_NAMES, METRICS, OutOfFold
from stackkit._utils import choice
from stackkit.plots._drawing import (
    BLUE,
    GREY,
    INK,
    ORANGE,
    as_drawn,
    entitle,
    finish,
    legend_above,
    start,
    styled,
    width_with,
)
from stackkit.plots._inputs import checked, fitted_stack, oof_of

N_COMBINED = 3  # rows of nested scores that are no learners: the stack, the best learner, the plain mean
SCORE_COLUMNS = ["oof", "oof_low", "oof_high", "outer", "outer_low", "outer_high"]


class LeaderboardDisplay:
    """Learners with their scores and 95 % intervals, the best on top.

    Out-of-fold scores are means over folds, with the intervals of :meth:`stackkit.StackingModel.leaderboard`. That of
    the stack, which stands above its learners, is slightly optimistic, and left out where the leaderboard has none;
    nested scores stand beside it.

    Parameters
    ----------
    scores : DataFrame
        Index: what is scored, from top to bottom. Columns: oof, oof_low, oof_high, outer, outer_low, outer_high, NaN
        where there is none; combined, whether the row is no learner, but made of several.
    metric : str
        Name of the scores.
    lower_is_better : bool
        Whether small ones are good.

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
    >>> from sklearn.naive_bayes import GaussianNB
    >>> from sklearn.neighbors import KNeighborsClassifier
    >>> from stackkit import cross_fit
    >>> from stackkit.plots import LeaderboardDisplay
    >>> oof = cross_fit([("knn", KNeighborsClassifier(30)), ("bayes", GaussianNB())], *load_iris(return_X_y=True))
    >>> display = LeaderboardDisplay.from_oof(oof, ax=Figure().subplots())
    >>> display.ax_.get_xlabel()
    'log-loss (lower is better)'
    >>> list(display.scores.index)
    ['bayes', 'knn']
    """

    figure_: Any
    ax_: Any

    def __init__(self, *, scores: pd.DataFrame, metric: str, lower_is_better: bool) -> None:
        self.scores = scores
        self.metric = metric
        self.lower_is_better = lower_is_better

    @classmethod
    def from_estimator(
        cls, model: Any, *, metric: str | None = None, nested: Any = None, ax: Any = None, **kwargs: Any
    ) -> Self:
        """Show the learners of a fitted stack.

        Parameters
        ----------
        model : StackingModel, or Pipeline that ends in one
            Fitted.
        metric : {"log_loss", "accuracy"} or {"rmse", "r2"}, optional
            Which of its two metrics. None means that of ``nested``, or else the first that a learner has.
        nested : NestedScores, optional
            What :func:`stackkit.evaluation.nested_scores` gave for this model: adds the outer scores of the learners,
            of the stack, of the best learner and of the plain mean.
        ax : matplotlib Axes, optional
            Where to draw. None makes a figure.
        **kwargs : dict
            Style, passed to matplotlib's ``errorbar``.

        Returns
        -------
        LeaderboardDisplay
            Drawn.

        Raises
        ------
        ValueError
            The metric is not one of the two, is not that of ``nested``, or no learner has it.
        """
        oof, fitted = oof_of(model), fitted_stack(model)
        stack, _ = stack_scores(fitted.final_estimator_, oof, passthrough=fitted.passthrough is not False)
        return cls._of(oof, stack, metric, nested).plot(ax, **kwargs)

    @classmethod
    def from_oof(
        cls, oof: OutOfFold, *, metric: str | None = None, nested: Any = None, ax: Any = None, **kwargs: Any
    ) -> Self:
        """Show the learners of an out-of-fold table.

        Parameters
        ----------
        oof : OutOfFold
            What ``cross_fit`` returned, or a model's ``oof_``.
        metric, nested, ax : optional
            As in ``from_estimator``.
        **kwargs : dict
            Style, passed to matplotlib's ``errorbar``.

        Returns
        -------
        LeaderboardDisplay
            Drawn.
        """
        return cls._of(checked(oof), None, metric, nested).plot(ax, **kwargs)

    @classmethod
    def _of(cls, oof: OutOfFold, stack: pd.Series | None, metric: str | None, nested: Any) -> Self:
        """Of learners, and of their ``stack``, where its out-of-fold score is known."""
        board = score_board(oof)
        metric = _metric_of(board, METRICS[target_of(oof).task], metric, nested)
        lower = metric in LOWER_IS_BETTER
        ends = [metric, f"{metric}_low", f"{metric}_high"]
        scores = board[ends].set_axis(SCORE_COLUMNS[:3], axis=1)
        scores = scores.sort_values("oof", ascending=lower, na_position="last", kind="stable")
        above = pd.DataFrame(index=pd.Index([]))
        if nested is not None:
            outer = _outer_scores(nested)
            scores = scores.join(outer[N_COMBINED:])
            above = outer[:N_COMBINED].sort_values("outer", ascending=lower, kind="stable")
        if stack is not None and not np.isnan(stack[metric]):
            label = stack_label(oof) if nested is None else STACK  # nested scores refuse learners of that name
            above = above.reindex(columns=SCORE_COLUMNS, index=above.index if label in above.index else [label])
            above.loc[label, SCORE_COLUMNS[:3]] = stack[ends].to_numpy(dtype=float)
        return cls(scores=_rows(above, scores), metric=METRIC_NAMES[metric], lower_is_better=lower)

    @classmethod
    def from_nested(cls, nested: Any, *, ax: Any = None, **kwargs: Any) -> Self:
        """Show nested scores alone, whatever their metric is.

        Parameters
        ----------
        nested : NestedScores
            What :func:`stackkit.evaluation.nested_scores` returned.
        ax : matplotlib Axes, optional
            Where to draw. None makes a figure.
        **kwargs : dict
            Style, passed to matplotlib's ``errorbar``.

        Returns
        -------
        LeaderboardDisplay
            Drawn.
        """
        outer, lower = _outer_scores(nested), not nested.greater_is_better
        parts = (outer[:N_COMBINED], outer[N_COMBINED:])
        above, scores = (part.sort_values("outer", ascending=lower, kind="stable") for part in parts)
        name = METRIC_NAMES.get(nested.metric, nested.metric.replace("_", " "))
        return cls(scores=_rows(above, scores), metric=name, lower_is_better=lower).plot(ax, **kwargs)

    def plot(self, ax: Any = None, **kwargs: Any) -> Self:
        """Draw a dot and whiskers for each score.

        Parameters
        ----------
        ax : matplotlib Axes, optional
            Where to draw. None makes a figure whose height grows with the number of learners.
        **kwargs : dict
            Style, passed to matplotlib's ``errorbar``.

        Returns
        -------
        LeaderboardDisplay
            This one.
        """
        n_rows, n_above = len(self.scores), int(self.scores["combined"].sum())
        ax = start(self, ax, width_with(6.5, self.scores.index), 0.3 * n_rows + 1.7)
        height = np.arange(n_rows, 0, -1.0)
        both = self.scores[["outer", "oof"]].notna().all(axis=1).to_numpy()
        kinds = [
            ("oof", 0.13, (BLUE, "o"), "out of fold, 95 % interval"),
            ("outer", -0.13, (ORANGE, "D"), "nested (outer folds), 95 % interval"),
        ]
        handles, labels = [], []
        for kind, shift, (colour, marker), label in kinds:
            score, low, high = (self.scores[f"{kind}{end}"].to_numpy() for end in ("", "_low", "_high"))
            if np.isnan(score).all():
                continue
            y = height + shift * both
            style = {"color": colour, "marker": marker, "markersize": 6, "capsize": 2.5, "linestyle": "none"}
            reach = [(score - low).tolist(), (high - score).tolist()]  # lists: matplotlib 3.8 stumbles over one row
            handles.append(ax.errorbar(score, y, xerr=reach, **styled("line", style, kwargs)))
            labels.append(label)
        for y in height[self.scores[["oof", "outer"]].isna().all(axis=1)]:
            ax.text(0.01, y, f"no {self.metric}", transform=ax.get_yaxis_transform(), va="center", color=INK)
        if 0 < n_above < n_rows:
            ax.axhline(n_rows - n_above + 0.5, color=GREY, linewidth=0.8)
        ax.set_yticks(height, [as_drawn(name) for name in self.scores.index])
        ax.set_ylim(0.4, n_rows + 0.6)
        ax.set_xlabel(f"{self.metric} ({'lower' if self.lower_is_better else 'higher'} is better)")
        legend_above(ax, handles, labels)
        entitle(ax, "Scores of the learners")
        finish(ax, grid="x")
        return self


def _metric_of(board: pd.DataFrame, metrics: tuple[str, str], metric: str | None, nested: Any) -> str:
    if metric not in (*metrics, None):
        raise choice("metric", "LeaderboardDisplay", (*metrics, None), metric)
    if nested is not None:
        known = nested.metric
        if known not in ((metric,) if metric else metrics):
            raise ValueError(
                f"The 'nested' parameter of LeaderboardDisplay must have scores in {metric or ' or '.join(metrics)}, "
                f"as the out-of-fold table has; got {known!r}. Choose another scoring, or use "
                "LeaderboardDisplay.from_nested."
            )
        metric = known
    scored = [name for name in metrics if board[name].notna().any()]
    if not scored or (metric and metric not in scored and nested is None):
        raise ValueError(
            f"LeaderboardDisplay needs a learner with a score in {metric or ' or '.join(metrics)}; got none. Choose "
            f"another metric of {scored}, or learners that predict probabilities or classes."
        )
    return metric or scored[0]


def _outer_scores(nested: Any) -> pd.DataFrame:
    return nested.table[["score", "low", "high"]].set_axis(SCORE_COLUMNS[3:], axis=1)


def _rows(above: pd.DataFrame, learners: pd.DataFrame) -> pd.DataFrame:
    """By place and not by name: a learner may be called "stack"."""
    parts = [part.reindex(columns=SCORE_COLUMNS).astype(float) for part in (above, learners)]
    frame = pd.concat([part for part in parts if len(part)])
    return frame.assign(combined=np.arange(len(frame)) < len(above))
