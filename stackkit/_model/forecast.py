"""What a fit is going to do, and to cost: told before anything is fitted."""

from __future__ import annotations

import numpy as np
import pandas as pd
from joblib import effective_n_jobs

from stackkit._learners import STARTING
from stackkit._model.plan import Plan

COPIES = 3  # of the prepared training rows: the learner's own, and those on the way to it


def forecast(plan: Plan, n_jobs: int | None) -> pd.DataFrame:
    """One row per learner: folds, training rows per fold, and the seconds and bytes of memory that are expected."""
    portfolio = plan.portfolio
    known = {} if portfolio is None else portfolio.seconds
    n_rows = plan.X.shape[0] if portfolio is None else portfolio.n_rows
    n_folds = plan.splitter.get_n_splits(plan.X, plan.y, plan.routed.splitter.get("groups"))
    trained = round(n_rows * (1 - 1 / n_folds))
    table = np.nan if portfolio is None else 8.0 * trained * portfolio.n_columns * COPIES
    names = [name for name, _ in plan.learners]
    found = pd.DataFrame(
        {
            "folds": n_folds,
            "rows": trained,
            "seconds": [known.get(name, np.nan) for name in names],
            "memory": table,
        },
        index=pd.Index(names, name="learner"),
    )
    workers = effective_n_jobs(n_jobs)
    found.attrs |= {
        "workers": workers,
        "seconds": STARTING + float(found["seconds"].sum(skipna=False)) / workers,
        "memory": workers * float(found["memory"].max(skipna=False)),
        "left_out": plan.X.shape[0] - n_rows,
    }
    return found


def in_a_sentence(found: pd.DataFrame) -> str:
    """Of a forecast; seconds and memory only of learners whose cost is known."""
    first = found.iloc[0]
    text = f"{len(found)} learners on {first['folds']:.0f} folds, each fitted to {first['rows']:,.0f} rows"
    if found.attrs["left_out"]:
        text += f" ({found.attrs['left_out']:,} rows, drawn by chance, are left out for want of time)"
    if np.isfinite(found.attrs["seconds"]):
        seconds, memory = found.attrs["seconds"], found.attrs["memory"] / 1e6
        text += f"; expected: {seconds:.0f} s on {found.attrs['workers']} core(s), {memory:,.0f} MB for their tables"
    return text
