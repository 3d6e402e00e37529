"""What a fit of a stack is about to do: everything checked and decided, nothing fitted yet."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

import numpy as np
from scipy import sparse
from sklearn.utils import Bunch

from stackkit._blending import BLENDS, check_takes_folds
from stackkit._data import Folds, Learners, Target, make_folds, take_rows
from stackkit._members import rows_of_params
from stackkit._oof import split_seed


@dataclass(frozen=True)
class Plan:
    """The data, who is fitted to them, and who gets which metadata.

    ``routed`` holds the metadata of each of the ``learners``, of the ``final_estimator`` and of the ``splitter``;
    ``picked`` are the positions of the columns of X that the final estimator sees, too.
    """

    X: Any
    y: Any
    target: Target
    learners: Learners
    methods: tuple[str, ...]
    final: Any
    picked: list[int]
    weights: np.ndarray | None
    splitter: Any
    routed: Bunch

    def only(self, names: Iterable[str]) -> Learners:
        wanted = set(names)
        return [(name, learner) for name, learner in self.learners if name in wanted]

    def folds(self, entropy: int) -> Folds:
        folds = make_folds(self.splitter, self.X, self.y, seed=split_seed(entropy), **self.routed.splitter)
        check_takes_folds(self.final, folds)
        return folds

    def folds_of(self, rows: np.ndarray, entropy: int) -> Folds:
        """The folds that a fit on these rows alone would make, in their own numbers."""
        params = rows_of_params(self.routed.splitter, rows, self.X.shape[0])
        y = self.y.toarray() if sparse.issparse(self.y) else self.y
        y = y if hasattr(y, "shape") else np.asarray(y)
        folds = make_folds(
            self.splitter, take_rows(self.X, rows), take_rows(y, rows), seed=split_seed(entropy), **params
        )
        check_takes_folds(self.final, folds)
        return folds

    def check_covered(self, rows: np.ndarray, where: str = "") -> None:
        """A blend cannot be fitted to one class, and would only say so when all learners are fitted."""
        if not (self.target.n_classes and isinstance(self.final, BLENDS)):
            return
        weights = self.routed.final_estimator.get("sample_weight")
        heavy = rows if weights is None else rows[np.asarray(weights)[rows] > 0]
        found = np.unique(self.target.values[heavy])
        if found.size < 2:
            raise ValueError(
                f"The 'cv' parameter of the model must test rows of at least two classes, for "
                f"{type(self.final).__name__} to learn from; the rows that it tests{where} are of "
                f"{self.target.classes[found].tolist()} only. Use fewer folds, or a stratified splitter."
            )
