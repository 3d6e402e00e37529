"""What is done to rows before something predicts from them, as ONNX operators: by class ours, and else by skl2onnx."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from stackkit._persistence.audit import full_name
from stackkit._persistence.onnx_graph import Graph, NotConvertibleError, floats
from stackkit._persistence.onnx_learners import add_transformer
from stackkit._persistence.onnx_rows import Rows, table_rows


def add_steps(graph: Graph, rows: Rows, steps: Sequence[Any], *, shared: Any = ()) -> Rows:
    """Rows as the steps leave them; those of the same ``shared`` object are made once."""
    if not steps:
        return rows
    key = ("steps", id(shared), id(rows))
    if shared and key in graph.known:
        found: Rows = graph.known[key]
        return found
    x = rows.table()
    for step in steps:
        x = _add_step(graph, x, step)
    found = graph.known[key] = table_rows(graph, lambda: x)
    return found


def _add_step(graph: Graph, x: str, step: Any) -> str:
    convert = CONVERTERS.get(full_name(type(step)))
    try:
        return add_transformer(graph, x, step) if convert is None else convert(graph, x, step)
    except NotConvertibleError as error:
        raise NotConvertibleError(f"its step {type(step).__name__}: {error}") from error


def _scaled(graph: Graph, x: str, scaler: Any) -> str:
    if scaler.with_mean:
        x = graph.add("Sub", x, floats(scaler.mean_))
    return graph.add("Div", x, floats(scaler.scale_)) if scaler.with_std else x


CONVERTERS: dict[str, Callable[[Graph, str, Any], str]] = {
    "sklearn.preprocessing._data.StandardScaler": _scaled,
}
