"""Which columns the stack goes by: permutation importance, of as many rows and repeats as take seconds."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd

from stackkit._assessment import column_names, features_of, importances_of
from stackkit._data import picked_columns
from stackkit.report.figures import Picture, whiskers
from stackkit.report.subject import MOST_COLUMNS, Subject
from stackkit.report.tables import intervals, table_of

MOST_PREDICTED = 60_000  # rows, with their shuffled copies: of six default learners some ten seconds on one core
LEAST_ROWS = 200
MOST_REPEATS = 5
MOST_SHOWN = 20  # in the picture


def importance(subject: Subject) -> dict[str, Any]:
    """A sentence, or a table with the picture of its first rows."""
    why = _why_not(subject)
    if why:
        return {"why": why, "table": None, "pictures": []}
    n_rows, n_columns = len(subject.oof.y), subject.model.n_features_in_
    most = max(LEAST_ROWS, MOST_PREDICTED // n_columns)
    repeats = int(np.clip(MOST_PREDICTED // (min(n_rows, most) * n_columns), 1, MOST_REPEATS))
    try:
        found = importances_of(
            subject.oof,
            subject.model.final_estimator_,
            subject.table,
            features=_features(subject),
            scoring=None,
            n_repeats=repeats,
            max_rows=most,
            entropy=0,
            picked=picked_columns(subject.model.passthrough, subject.table),
            n_jobs=subject.model.n_jobs,
        )
    except Exception as error:  # noqa: BLE001 - the rest of the page can be shown, whatever a learner says
        return {"why": str(error), "table": None, "pictures": []}
    frame = found.summary()
    shown = pd.DataFrame({"importance": frame["mean"], "95 % interval": intervals(frame["low"], frame["high"])})
    loss = not found.scoring.greater_is_better
    metric = found.scoring.metric.replace("_", "-" if loss else " ")
    some = "" if n_rows <= most else f" on {most:,} rows drawn by chance,"
    times = "once" if repeats == 1 else f"{repeats} times"
    way = "rises" if loss else "falls"
    what = "learner" if subject.caveat else "column"
    caption = (
        f"By how much the stack's {metric} {way} when the {what} is shuffled among rows that its models did not see,"
        f"{some} {times} on each fold; around 0 it is of no use. Columns that tell the same make up for each other. No "
        "learner was fitted again. In Python: stackkit.inspection.permutation_importance."
    )
    return {"why": "", "table": table_of(shown, what, caption=caption), "pictures": _pictures(frame, metric)}


def _features(subject: Subject) -> dict[str, list[int]]:
    """Columns; where they are predictions that were given, all those of a learner together."""
    if subject.caveat:
        width = subject.model.n_features_in_
        return {name: list(range(*block.columns.indices(width))) for name, block in subject.oof.blocks.items()}
    return features_of(column_names(subject.table), None)


def _why_not(subject: Subject) -> str:
    if subject.X is None:
        return "It needs the training rows: model.report(path, X=X)."
    if subject.table is None:
        return "The training rows are no table of columns."
    if subject.stack is None:
        return f"It needs the stack's out-of-fold predictions: {subject.no_stack}."
    if subject.model.n_features_in_ > MOST_COLUMNS:
        return (
            f"Of {subject.model.n_features_in_:,} columns it takes long: use "
            "stackkit.inspection.permutation_importance, for some of them or for groups."
        )
    return ""


def _pictures(frame: pd.DataFrame, metric: str) -> list[Picture]:
    top = frame[:MOST_SHOWN]

    def draw(ax: Any) -> None:
        whiskers(ax, top)
        ax.set_xlabel(f"what the stack loses, in {metric}")

    shown = f"The {len(top)} most important columns" if len(top) < len(frame) else "All columns"
    return [("Importance", f"{shown}, with 95 % intervals over the folds.", 0.26 * len(top) + 1.0, draw)]
