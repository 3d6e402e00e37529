"""A stack of a table that is there already: its learners are columns, and only the final estimator is fitted."""

from __future__ import annotations

from dataclasses import replace
from typing import Any
from warnings import catch_warnings, simplefilter

from sklearn.frozen import FrozenEstimator

from stackkit._assessment import labels_of, target_of
from stackkit._data import TableFolds
from stackkit._learners import GivenNumbers, GivenProbabilities
from stackkit._members import Block
from stackkit._oof import OutOfFold
from stackkit.exceptions import IgnoredWeightsWarning


def stack_of_table(cls: Any, oof: Any, final_estimator: Any, params: dict[str, Any]) -> Any:
    """Fitted; what `StackingModel.from_oof` gives."""
    if not isinstance(oof, OutOfFold):
        raise TypeError(
            f"The 'oof' parameter of from_oof must be an OutOfFold; got a {type(oof).__name__}. Make one with "
            "OutOfFold.from_frames or cross_fit."
        )
    taken = sorted({"estimators", "cv", "refit", "passthrough", "stack_method"} & set(params))
    if taken:
        raise TypeError(f"from_oof takes learners, folds and columns from the table; got {taken}. Leave them out.")
    learners = [(name, _given(name, block, oof)) for name, block in oof.blocks.items()]
    model = cls(learners, final_estimator, cv=TableFolds(oof.folds.pairs, len(oof.y)), **params)
    with catch_warnings():
        simplefilter("ignore", IgnoredWeightsWarning)  # the final estimator takes them, or says so by itself
        model.fit(oof.to_frame(), labels_of(target_of(oof)), sample_weight=oof.sample_weight)
    # What the learners took, and on which fold they scored what, is known by the table alone.
    known = {"scores": oof.scores, "test": oof.test, "test_index": oof.test_index, "caveat": oof.caveat}
    model.oof_ = replace(model.oof_, **known, index=oof.index)
    return model


def _given(name: str, block: Block, oof: OutOfFold) -> FrozenEstimator:
    if block.kind == "probability":
        return FrozenEstimator(GivenProbabilities(oof.classes, block.columns.start, block.columns.stop))
    if block.kind == "value" and oof.classes is None and block.width == 1:
        return FrozenEstimator(GivenNumbers(block.columns.start))
    raise ValueError(
        f"from_oof takes tables of probabilities, or of one number per row; got {block.kind!r} columns of the learner "
        f"{name!r}. Make the table with learners that have predict_proba."
    )
