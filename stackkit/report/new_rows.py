"""New rows beside the training rows: what is predicted for them, and in which columns they differ."""

from __future__ import annotations

from copy import copy
from typing import Any
from warnings import catch_warnings, simplefilter

import numpy as np
import pandas as pd
from scipy.stats import chi2_contingency, ks_2samp

from stackkit import plots
from stackkit._data import by_name, check_raw_table
from stackkit._learners import column_kind
from stackkit.exceptions import UnreadValuesWarning
from stackkit.report.columns import as_numbers, edges_of, histogram, levels
from stackkit.report.figures import BLUE, Picture, bars
from stackkit.report.outcomes import whose
from stackkit.report.subject import MOST_CLASSES, Subject, frame_of
from stackkit.report.tables import NOTHING, TableContext, share, table_of

BY_CHANCE = 0.01  # that any of the columns is called different where none is
LEAST_DISTANCE = 0.1  # what is smaller is no matter, however many rows show it
OTHERS = "\0"  # no value of a table
MOST_LEVELS = 20  # of a column that are compared; the others are one


def new_rows(subject: Subject) -> dict[str, Any] | None:
    if subject.X_test is None:
        return None
    n_rows = np.shape(subject.X_test)[0]
    drift = None if subject.frame is None else _drift(subject)
    return {
        "sentence": f"{n_rows:,} rows were predicted.",
        "predicted": _predicted_classes(subject) if isinstance(subject.oof.classes, np.ndarray) else None,
        "drift": drift,
    }


# --- predictions ------------------------------------------------------------------------------------------


def _ask(subject: Subject, method: str) -> np.ndarray:
    quiet = copy(subject.model)  # it was told of their values when they were predicted
    quiet.verbose = False
    with catch_warnings():
        simplefilter("ignore", UnreadValuesWarning)
        return np.asarray(getattr(quiet, method)(subject.X_test))


def _predicted_classes(subject: Subject) -> TableContext:
    classes = subject.oof.classes
    (answers, _), *_ = subject.answers.values()
    parts = {
        "true, training rows": subject.truth(np.arange(len(subject.oof.y))),
        "predicted, new rows": _ask(subject, "predict"),
    }
    if "predict" in answers.given:
        parts["predicted, training rows"] = answers.given["predict"]
    counts = {name: pd.Series(values).value_counts().reindex(classes, fill_value=0) for name, values in parts.items()}
    names = [
        name for name in ("true, training rows", "predicted, training rows", "predicted, new rows") if name in counts
    ]
    frame = pd.DataFrame({name: [share(part) for part in counts[name] / counts[name].sum()] for name in names}, classes)
    frame["new rows"] = counts["predicted, new rows"].to_numpy()
    caption = "Shares of the classes; the training rows are predicted out of fold."
    if len(frame) > MOST_CLASSES:
        frame, caption = frame.nlargest(MOST_CLASSES, "new rows"), f"{caption} The {MOST_CLASSES} most frequent."
    return table_of(frame, subject.target_name or "class", caption=caption)


def new_pictures(subject: Subject) -> list[Picture]:
    oof = subject.oof
    if subject.X_test is None or oof.y.ndim > 1:
        return []
    if oof.classes is None:
        return [
            (
                "Predictions",
                "Of new rows beside those of the training rows, out of fold.",
                3.2,
                lambda ax: _draw(subject, ax),
            )
        ]
    (answers, _), *_ = subject.answers.values()
    if not hasattr(subject.model, "predict_proba") or "predict_proba" not in answers.given:
        return []
    what = f"of {oof.classes[1]}" if len(oof.classes) == 2 else "of the class that is predicted"
    title = "Predicted probabilities"
    return [
        (
            title,
            f"The probability {what}: new rows beside the training rows, out of fold.",
            3.2,
            lambda ax: _draw(subject, ax),
        )
    ]


def _draw(subject: Subject, ax: Any) -> None:
    (answers, _), *_ = subject.answers.values()
    if subject.oof.classes is None:
        old, new = answers.given["predict"], _ask(subject, "predict")
    else:
        old, new = (_one_number(table) for table in (answers.given["predict_proba"], _ask(subject, "predict_proba")))
    edges = np.histogram_bin_edges(np.concatenate([old, new]), bins=30)
    ax.hist(old, edges, weights=np.full(len(old), 100 / len(old)), color=BLUE, alpha=0.45, label="training rows")
    colour = plots.STACK_STYLE[0]
    ax.hist(
        new, edges, weights=np.full(len(new), 100 / len(new)), histtype="step", color=colour, lw=1.8, label="new rows"
    )
    ax.set_xlabel(f"{subject.y_name if subject.oof.classes is None else 'probability'}, predicted by {whose(subject)}")
    ax.set_ylabel("% of the rows")
    plots.legend_above(ax, *ax.get_legend_handles_labels())
    plots.finish(ax, grid="y")


def _one_number(table: np.ndarray) -> np.ndarray:
    return table[:, 1] if table.shape[1] == 2 else table.max(axis=1)


# --- drift ------------------------------------------------------------------------------------------------


def _drift(subject: Subject) -> dict[str, Any]:
    """How far each column of the new rows is from that of the training rows, the farthest first."""
    rows, _ = check_raw_table(subject.X_test, training=False)
    new = frame_of(by_name(rows, list(getattr(subject.model, "feature_names_in_", ()))))
    old = subject.frame
    assert old is not None  # noqa: S101 - for the type checker; the caller has looked
    found = {name: _compared(old[name], new[name]) for name in old if name in new}
    frame = pd.DataFrame.from_dict(found, orient="index")
    different = (frame["p"] < BY_CHANCE / max(1, len(frame))) & (frame["distance"] >= LEAST_DISTANCE)
    frame.insert(1, "differs", np.where(different, "yes", ""))
    frame = frame.sort_values("distance", ascending=False, kind="stable")
    names = [str(name) for name in frame.index[frame["differs"] == "yes"]]
    told = (
        f"{len(names)} of {len(frame)} columns differ by more than chance"
        if names
        else "No column differs by more than chance"
    )
    more = f": {', '.join(names[:8])}{', ...' if len(names) > 8 else ''}" if names else ""
    caption = (
        "The distance is 0 for equal distributions and 1 for those that share no value: the largest difference of the "
        "cumulated shares of numbers and dates (Kolmogorov and Smirnov), half the sum of the differences of the shares "
        "of categories. Bars are training rows, the line new rows."
    )
    frame["distance"] = [f"{distance:.3f}" if np.isfinite(distance) else NOTHING for distance in frame["distance"]]
    table = table_of(frame.drop(columns="p"), "column", text=["differs", "distribution"], caption=caption)
    return {"sentence": f"{told}{more}.", "table": table}


def _compared(old: pd.Series, new: pd.Series) -> dict[str, Any]:
    kind = column_kind(old)
    compare = _numbers if kind in ("number", "date") else _categories
    distance, p, counts, other, unseen = compare(old, new, kind)
    return {
        "distance": distance,
        "p": p,
        "distribution": bars(counts, other, label="training rows and new rows"),
        "missing, training": share(old.isna().mean()),
        "missing, new": share(new.isna().mean()),
        "not seen in training": share(unseen),
    }


Compared = tuple[float, float, list[float], list[float], float]


def _numbers(old: pd.Series, new: pd.Series, kind: str) -> Compared:
    ours, theirs = as_numbers(old, kind), as_numbers(new, kind, like=old)
    ours, theirs = ours[np.isfinite(ours)], theirs[np.isfinite(theirs)]
    if not len(ours) or not len(theirs):
        return np.nan, np.nan, [], [], 0.0
    test = ks_2samp(ours, theirs, method="asymp")
    edges = edges_of(np.concatenate([ours, theirs]))
    beyond = float(np.mean((theirs < ours.min()) | (theirs > ours.max())))
    return (
        float(test.statistic),
        float(test.pvalue),
        _shares(histogram(ours, edges)),
        _shares(histogram(theirs, edges)),
        beyond,
    )


def _categories(old: pd.Series, new: pd.Series, _kind: str) -> Compared:
    ours, theirs = levels(old), levels(new)
    if not len(ours) or not len(theirs):
        return np.nan, np.nan, [], [], 0.0
    unseen = float(np.mean(~theirs.isin(ours.unique())))
    common = ours.value_counts().index[:MOST_LEVELS]
    counted = (texts.where(texts.isin(common), OTHERS).value_counts() for texts in (ours, theirs))
    counts = pd.concat(counted, axis=1, keys=["ours", "theirs"]).fillna(0).sort_values("ours", ascending=False)
    table = counts.to_numpy(dtype=float).T
    ours_shares, theirs_shares = (_shares(row.tolist()) for row in table)
    distance = float(np.abs(np.subtract(ours_shares, theirs_shares)).sum() / 2)
    p = float(chi2_contingency(table).pvalue) if table.shape[1] > 1 else 1.0
    return distance, p, ours_shares, theirs_shares, unseen


def _shares(counts: list[float]) -> list[float]:
    return [count / max(sum(counts), 1e-12) for count in counts]
