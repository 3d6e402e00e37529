"""New rows beside the training rows: columns by name, and what is told of values that those did not have."""

from __future__ import annotations

from typing import Any
from warnings import warn

import numpy as np
import pandas as pd

from stackkit._data import (
    COUNT,
    NumberFormat,
    check_raw_table,
    check_rows,
    is_pandas,
    is_polars,
    numbers_of,
    stands_for_missing,
)
from stackkit._execution import say
from stackkit._learners import as_frame, column_kind, parts_of_format
from stackkit.exceptions import UnreadValuesWarning

# A column of more different values, or where each comes fewer times, is no category that new rows would keep to.
MOST_LEVELS = 1000
LEAST_TIMES = 2  # on the average
LEAST_ROWS = 20  # of fewer new rows, a column may well have no value
SHOWN = 3

Known = dict[str, Any]


def known_columns(X: Any, *, raw: bool) -> Known:
    """What is remembered of training rows: whether the learners take raw tables, which columns of a frame are numbers
    (and how they are written) or empty, and the values of categories.
    """
    found: Known = {"raw": raw, "numbers": [], "formats": {}, "empty": [], "levels": {}}
    if not (is_pandas(X) or is_polars(X)):
        return found
    frame = as_frame(X)
    for name in frame.columns:
        column = frame[name]
        kind = column_kind(column)
        if kind == "number":
            found["numbers"].append(name)
            if not pd.api.types.is_numeric_dtype(column.dtype):
                found["formats"][name] = parts_of_format(column)
        elif kind == "empty":
            found["empty"].append(name)
        elif kind == "category":
            texts = column.dropna().astype(str)
            if (levels := texts.unique()).size <= min(MOST_LEVELS, len(texts) / LEAST_TIMES):
                found["levels"][name] = sorted(levels)
    return found


def check_new_rows(X: Any, known: Known) -> tuple[Any, list[str]]:
    """New rows as they may be predicted, and what is to be told of infinite numbers."""
    # A model that was saved by an earlier version does not know whether its learners take raw tables.
    return check_raw_table(X, training=False) if known.get("raw") else (check_rows(X, training=False), [])


def tell_of_values(X: Any, known: Known, told: list[str], *, verbose: bool) -> None:
    """Warn of what counts as missing, and say, where asked to, which categories are new."""
    frame = as_frame(X) if known and (is_pandas(X) or is_polars(X)) else None
    messages = told if frame is None else [*told, *_texts_for_numbers(frame, known), *_empty(frame, known)]
    if messages:
        warn(f"New rows: {'; '.join(messages)}. {COUNT}", UnreadValuesWarning, stacklevel=6)
    for sentence in _new_levels(frame, known["levels"]) if verbose and frame is not None else ():
        say(sentence, verbose=True)


def _texts_for_numbers(frame: pd.DataFrame, known: Known) -> list[str]:
    # By the types alone first: one row is predicted in a millisecond.
    others = [name for name, dtype in frame.dtypes.items() if not pd.api.types.is_numeric_dtype(dtype)]
    messages = []
    for name in (name for name in others if name in known["numbers"]):
        column = frame[name]
        parts = known.get("formats", {}).get(name)
        strays = column[column.notna().to_numpy() & np.isnan(numbers_of(column, NumberFormat(*parts or ())))]
        if parts is not None:  # such as "?", which the training rows may have, too
            strays = strays[[not (isinstance(value, str) and stands_for_missing(value)) for value in strays]]
        if len(strays):
            shown = ", ".join(list(dict.fromkeys(map(repr, strays.tolist())))[:SHOWN])
            messages.append(f"{len(strays)} value(s) of the column {name!r} are no numbers, such as {shown}")
    return messages


def _empty(frame: pd.DataFrame, known: Known) -> list[str]:
    if len(frame) < LEAST_ROWS:
        return []
    names = [name for name in frame if frame[name].isna().all() and name not in known.get("empty", ())]
    return [f"the column {name!r} has no value in {len(frame)} rows" for name in names]


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
