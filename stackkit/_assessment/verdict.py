"""Does stacking help? What may be said of a stack's gains over its rivals, and what may not.

A gain is positive where the stack is better, whatever the metric. The rules are told in `NestedScores`.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal, NamedTuple

import numpy as np
import pandas as pd

from stackkit._assessment.marginal import STACK
from stackkit._utils import as_figure

BEST, MEAN = "best learner", "plain mean"  # rivals that are no learner of their own
NEGLIGIBLE = 0.01  # as a share of what the best learner has gained, and of what is left to gain

Outcome = Literal["helps", "does not help", "cannot be told"]


def margin_of(score: float, constant: float, *, perfect: float, sign: int) -> float:
    """The largest gain that is too small to matter.

    One percent of what the best learner's score lacks to the perfect one, or of its lead over a constant prediction,
    whichever is less: where the learners know next to nothing, a gain that is small beside the loss may be all that
    there is to gain. Zero where the best learner is no better than a constant. Unknown parts do not count.
    """
    parts = [sign * (perfect - score), sign * (score - constant)]
    known = [part for part in parts if np.isfinite(part)]
    return NEGLIGIBLE * max(0.0, min(known, default=0.0))


class Gain(NamedTuple):
    """Of the stack over a rival, with its 95 % interval."""

    rival: str
    gain: float
    low: float
    high: float


@dataclass(frozen=True)
class Evidence:
    """What a verdict rests on: the tables of `NestedScores`."""

    metric: str
    sign: int
    table: pd.DataFrame
    gains: pd.DataFrame
    chosen: Sequence[str | None]
    n_without_score: int
    margin: float
    constant: float

    @property
    def outcome(self) -> Outcome:
        if np.isnan(self._over(BEST).low):
            return "cannot be told"
        if self._mean_is_better():
            return "does not help"
        if self._strongest().low > 0:
            return "helps"
        return "does not help" if self._over(BEST).high <= self.margin else "cannot be told"

    def sentence(self) -> str:
        if np.isnan(self._over(BEST).low):
            return self._without_interval()
        told = {"helps": self._helps, "does not help": self._does_not_help, "cannot be told": self._cannot_be_told}
        return told[self.outcome]()

    # --- who is compared ----------------------------------------------------------------------------

    def _over(self, rival: str) -> Gain:
        gain, low, high = self.gains.loc[rival, ["gain", "low", "high"]].to_numpy(dtype=float)
        return Gain(rival, float(gain), float(low), float(high))

    def _leader(self) -> Gain:
        """Over the single learner that scored best on the outer folds."""
        scores = self.sign * self.table["score"].drop([STACK, BEST, MEAN])
        return self._over(str(scores.fillna(-np.inf).idxmax()))

    def _strongest(self) -> Gain:
        """Over the leader, or the learner chosen inside: whichever the stack is less sure to beat.

        The leader looks better than it is, for it was picked by the scores that it is compared with: so to beat both
        proves more, and not to beat the leader alone proves nothing.
        """
        return min(self._leader(), self._over(BEST), key=lambda gain: gain.low)

    def _mean_is_better(self) -> bool:
        return self._over(MEAN).high < 0

    # --- sentences ----------------------------------------------------------------------------------

    def _told(self, gain: Gain) -> str:
        way = "better" if gain.gain >= 0 else "worse"
        by = f"{way} by {as_figure(abs(gain.gain), 3)} (95 % interval {interval_as_text(gain)})"
        return f"the stack's {self.metric} is {by} than that of {self._words_for(gain.rival)}"

    def _words_for(self, rival: str) -> str:
        if rival == MEAN:
            return "the plain mean of the learners"
        if rival == BEST:
            return f"the learner that looked best inside each outer fold ({counted(self.chosen)})"
        return f"{rival!r}, the best learner on the outer folds"

    def _helps(self) -> str:
        gain = self._strongest()
        little = (
            f"; any gain below {as_figure(self.margin, 2)} may be too small to matter"
            if gain.high <= self.margin
            else ""
        )
        mean = "; the plain mean of the learners may do as well" if self._over(MEAN).low <= 0 else ""
        return f"Stacking helps: {self._told(gain)}{little}{mean}."

    def _does_not_help(self) -> str:
        if self._mean_is_better():
            return f"Stacking does not help: {self._told(self._over(MEAN))}. Use the plain mean."
        leader = self._leader()
        gain, use = leader, f"{leader.rival!r}"
        if leader.high > self.margin:  # then it was the choice inside that said it
            gain, use = self._over(BEST), "the learner with the best out-of-fold score"
        small = f", and a gain below {as_figure(self.margin, 2)} is too small to matter" if gain.high >= 0 else ""
        return f"Stacking does not help: {self._told(gain)}{small}. Use {use}."

    def _cannot_be_told(self) -> str:
        lead = self.sign * (float(self.table["score"][BEST]) - self.constant)
        nothing = " No learner is better than a constant prediction." if lead <= 0 else ""
        return (
            f"Whether stacking helps cannot be told from these rows: {self._told(self._strongest())}.{nothing} More "
            "rows, or repeated outer folds, make the interval narrower."
        )

    def _without_interval(self) -> str:
        n_folds = len(self.chosen)
        why = f"{self.n_without_score} of them gave no score" if self.n_without_score else "it takes two or more"
        return f"Whether stacking helps cannot be told from {n_folds} outer fold{'s' * (n_folds > 1)}: {why}."


def interval_as_text(gain: Gain) -> str:
    """Without a minus, which one would have to think about."""
    low, high = (as_figure(abs(end), 3) for end in (gain.low, gain.high))
    if gain.low < 0 < gain.high:
        return f"{low} worse to {high} better"
    return f"{low} to {high}" if gain.low >= 0 else f"{high} to {low}"


def who_is_best(chosen: Sequence[str | None]) -> str:
    """What the row of the best learner is."""
    told = f"best learner: in each outer fold, the one with the best out-of-fold score inside it ({counted(chosen)})."
    if len(set(chosen)) < 2:
        return told
    return f"{told} As that changes from fold to fold, it may score worse than a learner of the list."


def counted(chosen: Sequence[str | None]) -> str:
    """Whom the outer folds chose, and how often, the most often chosen first."""
    counts = pd.Series(list(chosen), dtype=object).value_counts()
    if len(counts) == 1:
        return f"always {counts.index[0]!r}"
    return ", ".join(f"{name!r} {n} time{'s' * (n > 1)}" for name, n in counts.items())
