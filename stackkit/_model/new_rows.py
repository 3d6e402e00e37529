"""New rows beside the training rows: columns by name, and what is told of values that those did not have."""

from __future__ import annotations

from typing import Any
from warnings import warn

import pandas as pd

from stackkit._data import is_pandas, is_polars
from stackkit._execution import say
from stackkit._learners import as_frame, column_kind
from stackkit.exceptions import UnreadValuesWarning

# A column of more different values, or where each comes fewer times, is no category that new rows would keep to.
MOST_LEVELS = 1000
LEAST_TIMES = 2  # on the average
LEAST_ROWS = 20  # of fewer new rows, a column may well have no value
SHOWN = 3

Known = dict[str, Any]


def known_columns(X: Any) -> Known:
    """What is remembered of a frame of training rows: which columns are numbers, and the values of categories."""
    found: Known = {"numbers": [], "levels": {}}
    if not (is_pandas(X) or is_polars(X)):
        return found
    frame = as_frame(X)
    for name in frame.columns:
        column = frame[name]
        kind = column_kind(column)
        if kind == "number":
            found["numbers"].append(name)
        elif kind == "category":
            texts = column.dropna().astype(str)
            if (levels := texts.unique()).size <= min(MOST_LEVELS, len(texts) / LEAST_TIMES):
                found["levels"][name] = sorted(levels)
    return found


def tell_of_values(X: Any, known: Known, *, verbose: bool) -> None:
    """Warn of what counts as missing, and say, where asked to, which categories are new."""
    if not (is_pandas(X) or is_polars(X)):
        return
    frame = as_frame(X)
    messages = [*_texts_for_numbers(frame, known["numbers"]), *_empty(frame)]
    if messages:
        warn(f"New rows: {'; '.join(messages)}. These count as missing.", UnreadValuesWarning, stacklevel=6)
    for sentence in _new_levels(frame, known["levels"]) if verbose else ():
        say(sentence, verbose=True)


def _texts_for_numbers(frame: pd.DataFrame, names: list[Any]) -> list[str]:
    # By the types alone first: one row is predicted in a millisecond.
    others = [name for name, dtype in frame.dtypes.items() if not pd.api.types.is_numeric_dtype(dtype)]
    messages = []
    for name in (name for name in others if name in names):
        column = frame[name]
        strays = column[column.notna() & pd.to_numeric(column, errors="coerce").isna()]
        if len(strays):
            shown = ", ".join(repr(value) for value in strays.unique()[:SHOWN].tolist())
            messages.append(f"{len(strays)} value(s) of the column {name!r} are no numbers, such as {shown}")
    return messages


def _empty(frame: pd.DataFrame) -> list[str]:
    if len(frame) < LEAST_ROWS:
        return []
    # No column of the training rows is empty.
    return [f"the column {name!r} has no value in {len(frame)} rows" for name in frame if frame[name].isna().all()]


def _new_levels(frame: pd.DataFrame, levels: dict[Any, list[str]]) -> list[str]:
    sentences = []
    for name, known in levels.items():
        texts = frame[name].dropna().astype(str)
        new = texts[~texts.isin(known)]
        if len(new):
            shown = ", ".join(map(repr, new.unique()[:SHOWN].tolist()))
            more = ", ..." if new.nunique() > SHOWN else ""
            sentences.append(
                f"the column {name!r} has {new.nunique()} value(s) in {len(new)} new row(s) that no training row had: "
                f"{shown}{more}"
            )
    return sentences
