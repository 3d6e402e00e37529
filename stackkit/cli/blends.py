"""What `stackkit blend` tells: the learners, every blend of them, how unlike they are, and whether blending helps."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pandas as pd

from stackkit._assessment import diversity, stack_scores
from stackkit._data import TaskName
from stackkit._model import StackingModel
from stackkit._oof import METRICS, OutOfFold
from stackkit.cli.printing import (
    board_as_text,
    board_facts,
    nested_as_text,
    nested_facts,
    number,
    paragraphs,
    records,
    table_as_text,
)
from stackkit.cli.problem import FINALS, Problem
from stackkit.evaluation import NestedScores, nested_scores


def nested_blend(oof: OutOfFold, final: Any, problem: Problem, scoring: str | None) -> NestedScores:
    """The blend and its learners on the table's own folds; classes are codes, as scorers such as "f1" want them."""
    classes = None if oof.classes is None else np.arange(len(oof.classes))
    coded = replace(oof, classes=classes)
    model = StackingModel.from_oof(coded, final, random_state=0)
    return nested_scores(model, coded.to_frame(), problem.target.values, cv=model.cv, scoring=scoring)


def all_blends(oof: OutOfFold, task: TaskName) -> pd.DataFrame:
    """Each final estimator by name, cross-fitted on the table, the best first."""
    found = {}
    for name, final in FINALS[task].items():
        fitted = StackingModel.from_oof(oof, final, random_state=0).final_estimator_
        scores, status = stack_scores(fitted, oof, passthrough=False, slow_too=True)
        found[name] = ({} if scores is None else scores.to_dict()) | {"status": status}
    first, second = METRICS[task]
    columns = [first, f"{first}_low", f"{first}_high", second]
    frame = pd.DataFrame.from_dict(found, orient="index").rename_axis("blend").reindex(columns=[*columns, "status"])
    return frame.sort_values(first, kind="stable")


def blend_facts(board: pd.DataFrame, blends: pd.DataFrame, oof: OutOfFold, nested: NestedScores) -> dict[str, Any]:
    """For JSON."""
    told: dict[str, Any] = {"blends": blends.reset_index().to_dict(orient="records")}
    told["diversity"] = records(diversity(oof).learners)
    scores = {"table": records(nested.table), "differences": records(nested.differences)}
    return board_facts(board) | told | scores | nested_facts(nested) | {"caveat": oof.caveat}


def blend_as_text(board: pd.DataFrame, blends: pd.DataFrame, oof: OutOfFold, nested: NestedScores) -> str:
    """The pages of the command."""
    legend = [line for line in board.attrs["legend"] if line != oof.caveat]
    parts = [f"Scores over {len(oof.folds)} folds, with 95 % intervals:", board_as_text(board), paragraphs(*legend)]
    parts += ["Every blend, cross-fitted on the same folds:", table_as_text(_shown(blends))]
    alike = diversity(oof).learners.dropna(axis=1, how="all").iloc[:, :3]  # for which there is room
    if len(alike) > 1:
        parts += ["How alike each learner is to the others, the mean over its pairs:", table_as_text(alike.map(number))]
    return "\n\n".join([*parts, nested_as_text(nested), paragraphs(oof.caveat)])


def _shown(blends: pd.DataFrame) -> pd.DataFrame:
    return blends.drop(columns="status" if (blends["status"] == "ok").all() else []).map(number)
