"""What the final estimator makes of each learner."""

from __future__ import annotations

from typing import Any, Self

import numpy as np
import pandas as pd
from scipy import sparse
from sklearn.multioutput import MultiOutputClassifier, MultiOutputRegressor
from sklearn.pipeline import Pipeline

from stackkit._assessment import target_of
from stackkit._blending import BLENDS
from stackkit._members import fit_member, last_step, requested_weights
from stackkit._oof import OutOfFold
from stackkit.plots._drawing import BLUE, INK, ORANGE, as_drawn, entitle, finish, start, styled, width_with
from stackkit.plots._inputs import checked, final_for, fitted_stack, oof_of


class WeightsDisplay:
    """What the final estimator makes of each learner: its weight, or the size of its coefficients.

    Parameters
    ----------
    weights : Series
        Index: learner.
    meaning : str
        What the numbers are: written under the axis.

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
    >>> from stackkit.plots import WeightsDisplay
    >>> oof = cross_fit([("knn", KNeighborsClassifier(30)), ("bayes", GaussianNB())], *load_iris(return_X_y=True))
    >>> display = WeightsDisplay.from_oof(oof, ax=Figure().subplots())
    >>> display.ax_.get_xlabel()
    'weight in LogPoolClassifier'
    """

    figure_: Any
    ax_: Any

    def __init__(self, *, weights: pd.Series, meaning: str) -> None:
        self.weights = weights
        self.meaning = meaning

    @classmethod
    def from_estimator(cls, model: Any, *, ax: Any = None, **kwargs: Any) -> Self:
        """Show the weights that a fitted stack gives its learners.

        Parameters
        ----------
        model : StackingModel, or Pipeline that ends in one
            Fitted, with a final estimator that weighs learners or has linear coefficients. Of several coefficients a
            learner (classes, outputs) their Euclidean norm is shown; columns passed through are left out.
        ax : matplotlib Axes, optional
            Where to draw. None makes a figure.
        **kwargs : dict
            Style, passed to matplotlib's ``barh``.

        Returns
        -------
        WeightsDisplay
            Drawn.

        Raises
        ------
        ValueError
            The final estimator has neither weights nor coefficients.
        """
        oof = oof_of(model)
        return cls._of(fitted_stack(model).final_estimator_, oof, ax, kwargs)

    @classmethod
    def from_oof(cls, oof: OutOfFold, final_estimator: Any = None, *, ax: Any = None, **kwargs: Any) -> Self:
        """Fit a final estimator on an out-of-fold table, and show its weights.

        Parameters
        ----------
        oof : OutOfFold
            What ``cross_fit`` returned, or a model's ``oof_``.
        final_estimator : estimator, optional
            It is cloned. None means the one that a stack of these learners would have.
        ax : matplotlib Axes, optional
            Where to draw. None makes a figure.
        **kwargs : dict
            Style, passed to matplotlib's ``barh``.

        Returns
        -------
        WeightsDisplay
            Drawn.
        """
        final = final_for(checked(oof), final_estimator)
        rows, params = np.flatnonzero(oof.covered), requested_weights(final, oof.sample_weight)
        return cls._of(fit_member(final, oof.train, target_of(oof), rows, params).estimator, oof, ax, kwargs)

    @classmethod
    def _of(cls, final: Any, oof: OutOfFold, ax: Any, style: dict[str, Any]) -> Self:
        name = type(last_step(final)).__name__
        if isinstance(final, BLENDS):
            weights = pd.Series(final.weights_, index=list(oof.blocks))
            return cls(weights=weights, meaning=f"weight in {name}").plot(ax, **style)
        coefficients = _coefficients(final, oof.columns)
        parts = {learner: coefficients[:, block.columns] for learner, block in oof.blocks.items()}
        single = all(part.size == 1 for part in parts.values())
        # One learner may have a single coefficient where others have several: only that one has a sign.
        found = {key: float(p[0, 0]) if p.size == 1 else float(np.linalg.norm(p)) for key, p in parts.items()}
        meaning = f"coefficient in {name}" if single else f"norm of the coefficients in {name}"
        return cls(weights=pd.Series(found), meaning=meaning).plot(ax, **style)

    def plot(self, ax: Any = None, **kwargs: Any) -> Self:
        """Draw one bar per learner, the largest on top.

        Parameters
        ----------
        ax : matplotlib Axes, optional
            Where to draw. None makes a figure whose height grows with the number of learners.
        **kwargs : dict
            Style, passed to matplotlib's ``barh``.

        Returns
        -------
        WeightsDisplay
            This one.
        """
        weights = self.weights.iloc[np.argsort(-self.weights.abs().to_numpy(), kind="stable")]
        n = len(weights)
        ax = start(self, ax, width_with(5.5, weights.index), 0.28 * n + 1.1)
        height, minus = np.arange(n, 0, -1), weights.to_numpy() < 0
        hatches = np.where(minus, "////", "").tolist()
        style = {"height": 0.65, "color": np.where(minus, ORANGE, BLUE).tolist(), "hatch": hatches}
        bars = ax.barh(height, weights, **styled("bar", style, kwargs))
        ax.bar_label(bars, [f"{weight:.3g}" for weight in weights], padding=3, color=INK, fontsize="small")
        ax.axvline(0, color=INK, linewidth=0.8)
        ax.set_yticks(height, [as_drawn(name) for name in weights.index])
        ax.set_ylim(0.4, n + 0.6)
        ax.margins(x=0.14)  # for the numbers
        ax.set_xlabel(as_drawn(self.meaning, longest=80))
        entitle(ax, "Weights of the learners")
        finish(ax, grid="x")
        return self


def _coefficients(final: Any, columns: list[str]) -> np.ndarray:
    """Shape (n_outputs, n_columns), for the columns of the table."""
    linear = last_step(final)
    # The default for several labels has one linear model a label.
    parts = linear.estimators_ if isinstance(linear, MultiOutputClassifier | MultiOutputRegressor) else [linear]
    places = _places(final, columns)
    if places is None or not all(hasattr(part, "coef_") for part in parts):
        raise ValueError(
            "WeightsDisplay needs a final estimator that weighs learners or has a coefficient for each of their "
            f"columns; got {final!r}. Use such as LogPoolClassifier, ConvexRegressor or LogisticRegression."
        )
    found = [part.coef_.toarray() if sparse.issparse(part.coef_) else part.coef_ for part in parts]
    return np.vstack([np.atleast_2d(part) for part in found])[:, places]


def _places(final: Any, columns: list[str]) -> list[int] | None:
    """Where the steps before the linear one put the table's columns; None where they made others of them."""
    if not isinstance(final, Pipeline) or len(final.steps) == 1:
        return list(range(len(columns)))
    try:
        names = [str(name) for name in final[:-1].get_feature_names_out()]
    except (AttributeError, ValueError):
        return None
    # A ColumnTransformer puts its part's name in front; a table without names has x0, x1, ...
    bare = [name.partition("__")[2] or name for name in names]
    for wanted in (columns, [f"x{i}" for i in range(len(columns))]):
        for found in (names, bare):
            if set(wanted) <= set(found):
                return [found.index(name) for name in wanted]
    return None
