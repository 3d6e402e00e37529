"""Tables of the page: cells as text, or as small pictures."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import pandas as pd

from stackkit._utils import as_figure

MOST_DECIMALS = 6  # of a number in a table
NOTHING = "\N{EN DASH}"  # in a cell

TableContext = dict[str, Any]


def table_of(frame: pd.DataFrame, first: str, *, text: Sequence[str] = (), caption: str = "") -> TableContext:
    """What the template needs of a table: ``first`` heads its index, ``text`` are columns that stand to the left."""
    columns = [_cells(frame.iloc[:, k]) for k in range(frame.shape[1])]
    rows = [list(row) for row in zip(map(str, frame.index), *columns, strict=True)]
    return {"head": [first, *map(str, frame.columns)], "rows": rows, "text": set(text), "caption": caption, "kind": ""}


def _cells(column: pd.Series) -> list[Any]:
    """The numbers of a column have as many decimals as its largest needs for four digits."""
    values = column.tolist()
    known = [abs(value) for value in values if isinstance(value, float) and np.isfinite(value)]
    decimals = 3 - int(np.floor(np.log10(max(known)))) if known and max(known) > 0 else 0
    # Where that would be too many, powers of ten: a column of numbers near 1e-9 is not one of zeros.
    form = f",.{max(0, decimals)}f" if decimals <= MOST_DECIMALS else ".3e"
    return [_cell(value, form) for value in values]


def _cell(value: Any, form: str) -> Any:
    if hasattr(value, "__html__"):  # a picture
        return value
    if isinstance(value, float):
        text = format(value, form) if np.isfinite(value) else NOTHING
        return text if text.strip("-0.,") else text.lstrip("-")  # no zero below zero
    return f"{value:,}" if isinstance(value, int) and not isinstance(value, bool) else str(value)


def intervals(low: pd.Series, high: pd.Series) -> list[str]:
    """Both ends in one cell, with as many decimals."""
    ends = _cells(pd.concat([low, high]))
    pairs = zip(ends[: len(low)], ends[len(low) :], strict=True)
    return [NOTHING if low == NOTHING else f"{low} to {high}" for low, high in pairs]


def range_of(sizes: Sequence[int]) -> str:
    least, most = min(sizes), max(sizes)
    return f"{least:,}" if least == most else f"{least:,} to {most:,}"


def share(part: float) -> str:
    return f"{part:.1%}"


def figure(value: float) -> str:
    """One number to be read; in place of what is none, a dash."""
    return as_figure(value) if np.isfinite(value) else NOTHING


def shortened(text: Any, longest: int = 40) -> str:
    text = " ".join(str(text).split())
    return text if len(text) <= longest else f"{text[: longest - 1]}…"
