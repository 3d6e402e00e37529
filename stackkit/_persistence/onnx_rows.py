"""Raw rows as inputs of an ONNX graph: which there are, and what each of them takes."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from stackkit._persistence.onnx_graph import Graph, NotConvertibleError

NUMBER, TEXT, DATE = "number", "text", "date"
TAKES = {
    NUMBER: (np.float64, "number; NaN where it is missing"),
    TEXT: (np.str_, "text, or str() of what is none; '' where it is missing"),
    DATE: (np.float64, "seconds since 1970 in local time, or of a duration; NaN where it is missing"),
}
NAME_OF_TABLE = "X"


class Rows:
    """Columns of a table that is not made yet: each is made when it is asked for, as what it is asked for.

    Parameters
    ----------
    source : callable
        Makes the values (n, 1) of the column of a place, of a kind.
    table : callable
        Makes all columns at once, as numbers.
    names : sequence of str
        Of the columns, where they have any.
    """

    def __init__(self, source: Callable[[int, str], str], table: Callable[[], str], names: Sequence[str] = ()) -> None:
        self.column, self._table, self._names = source, table, names
        self._made: str | None = None

    def named(self, places: Sequence[int]) -> list[Any]:
        """Columns, for an error to tell."""
        return [str(self._names[place]) if len(self._names) else place for place in places]

    def table(self) -> str:
        """All of them as numbers, side by side."""
        if self._made is None:
            self._made = self._table()
        return self._made


def raw_rows(graph: Graph, n_columns: int, names: Sequence[str]) -> Rows:
    """What the model was fitted to: an array is one input, of a frame each column is one that is looked at."""
    if not len(names):
        return table_rows(graph, lambda: _input(graph, NAME_OF_TABLE, NUMBER, n_columns))

    def column(place: int, kind: str) -> str:
        return _input(graph, str(names[place]), kind, 1)

    return Rows(column, lambda: graph.side_by_side([column(place, NUMBER) for place in range(n_columns)]), names)


def table_rows(graph: Graph, table: Callable[[], str]) -> Rows:
    """Columns of a table of numbers."""

    def column(place: int, kind: str) -> str:
        if kind != NUMBER:
            raise NotConvertibleError(f"it takes column {place} of an array as {kind}. Fit the model to a data frame.")
        return graph.columns(rows.table(), [place])

    rows = Rows(column, table)
    return rows


def beside(graph: Graph, table: str, width: int, rows: Rows, picked: Sequence[int]) -> Rows:
    """A table of so many columns, and some of the rows' columns."""
    left = table_rows(graph, lambda: table)

    def column(place: int, kind: str) -> str:
        return left.column(place, kind) if place < width else rows.column(picked[place - width], kind)

    def whole() -> str:
        return graph.side_by_side([table, *(rows.column(place, NUMBER) for place in picked)])

    return Rows(column, whole)


def _input(graph: Graph, name: str, kind: str, width: int) -> str:
    """Declare an input when it is first asked for."""
    known = graph.known.setdefault(("kind", name), kind)
    if known != kind:
        raise NotConvertibleError(
            f"it takes the column {name!r} as {kind}, and another one as {known}: an input has one type. Convert the "
            "column before the fit."
        )
    if ("input", name) not in graph.known:
        dtype, text = TAKES[kind]
        graph.known["input", name] = graph.input(name, dtype, width, text)
    return str(graph.known["input", name])
