"""A learner's columns in the out-of-fold table: where they stand and what they hold."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Literal

from sklearn.base import is_regressor

from stackkit._data import Target

Kind = Literal["probability", "score", "label", "indicator", "value"]


@dataclass(frozen=True)
class Block:
    """A learner's columns in the out-of-fold table.

    Attributes
    ----------
    columns : slice
        Where they stand.
    labels : tuple
        What each column is about: class labels, numbers of outputs, or one None for a single column.
    method : str
        The learner's method that fills them.
    kind : {"probability", "score", "label", "indicator", "value"}
        What they hold.
    n_classes : int
        Classes of the target; 0 where it has none.
    """

    columns: slice
    labels: tuple[Any, ...]
    method: str
    kind: Kind
    n_classes: int

    @property
    def width(self) -> int:
        return len(self.labels)

    def names(self, learner: str) -> list[str]:
        return [learner if label is None else f"{learner}_{label}" for label in self.labels]


def make_blocks(learners: Sequence[tuple[str, Any]], methods: Sequence[str], target: Target) -> dict[str, Block]:
    blocks, start = {}, 0
    for (name, learner), method in zip(learners, methods, strict=True):
        kind = _kind_of(learner, method, target)
        labels = _labels_of(kind, target)
        blocks[name] = Block(slice(start, start + len(labels)), labels, method, kind, target.n_classes)
        start += len(labels)
    return blocks


def _kind_of(learner: Any, method: str, target: Target) -> Kind:
    if target.multilabel:
        return "indicator"
    if target.n_classes == 0 or is_regressor(learner):
        return "value"
    kinds: dict[str, Kind] = {
        "predict_proba": "probability",
        "decision_function": "score",
        "predict": "label",
    }
    return kinds[method]


def _labels_of(kind: Kind, target: Target) -> tuple[Any, ...]:
    """One column for two classes (the other's probability adds nothing), one per class for more."""
    if kind in ("probability", "score") and target.n_classes > 2:
        return tuple(target.classes)
    if kind in ("indicator", "value") and target.n_outputs > 1:
        return tuple(range(target.n_outputs))
    return (None,)
