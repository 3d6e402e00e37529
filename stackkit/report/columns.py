"""The training rows: what the columns and the target hold."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import pandas as pd

from stackkit._data import NumberFormat, numbers_of
from stackkit._learners import column_kind, days_of, is_duration, parts_of_format
from stackkit.report.figures import bar, bars
from stackkit.report.subject import MOST_CLASSES, MOST_COLUMNS, Subject
from stackkit.report.tables import TableContext, figure, share, shortened, table_of

N_BARS = 20  # of a distribution of numbers
MOST_LEVELS = 8  # of a distribution of categories
MOST_NAMED = 3  # of the categories in a cell


def data(subject: Subject) -> dict[str, Any]:
    oof, n_columns = subject.oof, subject.model.n_features_in_
    weighted = "" if oof.sample_weight is None else " Rows have weights."
    return {
        "sentence": f"{len(oof.y):,} training rows, {n_columns:,} columns.{weighted}",
        "target": _target_of_classes(subject) if isinstance(oof.classes, np.ndarray) else _target_of_numbers(subject),
        "columns": None if subject.frame is None else _columns(subject.frame),
        "columns_title": f"{n_columns:,} columns"
        + (f", the first {MOST_COLUMNS} shown" if n_columns > MOST_COLUMNS else ""),
    }


def _target_of_classes(subject: Subject) -> TableContext:
    oof = subject.oof
    counts = np.bincount(oof.y, minlength=len(oof.classes))
    frame = pd.DataFrame({"rows": counts, "share": [share(part) for part in counts / counts.sum()]}, oof.classes)
    frame[""] = [bar(count / counts.max(), label=f"{count:,} rows") for count in counts]
    caption = ""
    if len(frame) > MOST_CLASSES:
        caption = f"The {MOST_CLASSES} most frequent of {len(frame):,} classes."
        frame = frame.nlargest(MOST_CLASSES, "rows")
    return table_of(frame, subject.target_name or "class", text=[""], caption=caption)


def _target_of_numbers(subject: Subject) -> TableContext:
    outputs = subject.oof.y.reshape(len(subject.oof.y), -1)
    frame = pd.DataFrame(outputs).describe().T[["mean", "std", "min", "25%", "50%", "75%", "max"]]
    frame.insert(
        0, "distribution", [bars(histogram(values, edges_of(values)), label="histogram") for values in outputs.T]
    )
    name = subject.y_name
    frame.index = pd.Index([f"{name} {k}" if outputs.shape[1] > 1 else name for k in range(outputs.shape[1])])
    return table_of(frame, "target", text=["distribution"])


def _columns(frame: pd.DataFrame) -> TableContext:
    described = {}
    for name, column in frame.items():
        kind = column_kind(column)
        counts, values = _summary(column, kind)
        described[str(name)] = {
            "kind": kind,
            "missing": share(column.isna().mean()),
            "different": n_different(column),
            "distribution": bars(counts, label=f"distribution of {name}"),
            "values": values,
        }
    frame = pd.DataFrame.from_dict(described, orient="index")
    return table_of(frame, "column", text=["kind", "distribution", "values"])


def n_different(column: pd.Series) -> int:
    try:
        return int(column.nunique())
    except TypeError:  # lists, for one, have no hash
        return int(column.dropna().astype(str).nunique())


def _summary(column: pd.Series, kind: str) -> tuple[list[float], str]:
    """The heights of a distribution's bars, and its ends or its most frequent values."""
    if kind in ("number", "date"):
        values = as_numbers(column, kind)
        values = values[np.isfinite(values)]
        if not len(values):
            return [], ""
        told = _date if kind == "date" and not is_duration(column) else figure
        ends = (told(end) for end in (values.min(), values.max()))
        several = kind == "number" and len(np.unique(values)) > 2
        middle = f", median {figure(float(np.median(values)))}" if several else ""
        return histogram(values, edges_of(values)), f"{' to '.join(dict.fromkeys(ends))}{middle}"
    counts = levels(column).value_counts()
    return counts[:MOST_LEVELS].astype(float).tolist(), _most_frequent(counts)


def _most_frequent(counts: pd.Series) -> str:
    if not len(counts):
        return ""
    if counts.iloc[0] == 1:
        return "each value once"
    shares = counts / counts.sum()
    return ", ".join(f"{shortened(level, 24)} {part:.0%}" for level, part in shares[:MOST_NAMED].items())


def levels(column: pd.Series) -> pd.Series:
    """Categories as text."""
    return column.dropna().astype(str)


def as_numbers(column: pd.Series, kind: str, like: pd.Series | None = None) -> np.ndarray:
    """Numbers as they are read, where those of ``like`` are read so; dates as days."""
    like = column if like is None else like
    if kind == "date":
        return days_of(column, like)
    if pd.api.types.is_numeric_dtype(column.dtype):
        return column.to_numpy(dtype=float, na_value=np.nan)
    return np.asarray(numbers_of(column, NumberFormat(*parts_of_format(like))), dtype=float)


def _date(days: float) -> str:
    when = pd.Timestamp("1970-01-01") + pd.Timedelta(days=days)
    return str(when.round("s")).removesuffix(" 00:00:00")


def edges_of(values: np.ndarray, n_bars: int = N_BARS) -> np.ndarray:
    """Of bars over all of these numbers: few different ones have a bar each."""
    different = np.unique(values[np.isfinite(values)])
    if 1 < len(different) <= n_bars:
        middles = (different[1:] + different[:-1]) / 2
        return np.array([-np.inf, *middles, np.inf])
    return np.histogram_bin_edges(different, bins=n_bars) if len(different) else np.array([0.0, 1.0])


def histogram(values: np.ndarray, edges: Sequence[float] | np.ndarray) -> list[float]:
    """How many of the numbers are in each bar; those beyond the ends count in the outer ones."""
    inner = np.asarray(edges)[1:-1]
    known = values[np.isfinite(values)]
    return np.bincount(np.searchsorted(inner, known, side="right"), minlength=len(inner) + 1).astype(float).tolist()
