"""What is done to rows before something predicts from them, as ONNX operators: by class ours, and else by skl2onnx."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from stackkit._learners import LARGEST, MOST_DEVIATIONS
from stackkit._members import in_steps
from stackkit._persistence.audit import full_name
from stackkit._persistence.onnx_dates import add_dates
from stackkit._persistence.onnx_graph import Graph, NotConvertibleError, floats
from stackkit._persistence.onnx_learners import add_transformer
from stackkit._persistence.onnx_rows import DATE, NUMBER, TEXT, Rows, table_rows


def add_steps(graph: Graph, rows: Rows, steps: Sequence[Any], *, shared: Any = ()) -> Rows:
    """Rows as the steps leave them; those of the same ``shared`` object are made once."""
    if not steps:
        return rows
    key = ("steps", id(shared), id(rows))
    if shared and key in graph.known:
        found: Rows = graph.known[key]
        return found
    parts = _parts_of(steps[0])
    x = rows.table() if parts is None else graph.side_by_side([_add_part(graph, rows, *part) for part in parts])
    for step in steps if parts is None else steps[1:]:
        x = _add_step(graph, x, step)
    found = graph.known[key] = table_rows(graph, lambda: x)
    return found


def _add_step(graph: Graph, x: str, step: Any) -> str:
    name = full_name(type(step))
    convert = CONVERTERS.get(getattr(step.func, "__name__", "") if name == FUNCTION else name)
    try:
        return add_transformer(graph, x, step) if convert is None else convert(graph, x, step)
    except NotConvertibleError as error:
        raise NotConvertibleError(f"its step {type(step).__name__}: {error}") from error


# --- the preparation of raw tables --------------------------------------------------------------------


def _parts_of(step: Any) -> list[tuple[list[int], list[Any]]] | None:
    """Of a preparation: columns, and the steps that they go through."""
    name = full_name(type(step))
    if name == "stackkit._model.shared_preparation.SplitPreparation":
        return [(part.columns, [one for _, one in part.steps]) for part in step.parts]
    if name in PREPARATIONS:
        found = []
        for _, pipeline, columns in step.transformers_:
            if len(columns):
                before, last = in_steps(pipeline)
                found.append((list(columns), [*before, last]))
        return found
    return None


PREPARATIONS = tuple(f"stackkit._learners.preparation.{name}Preparation" for name in ("Table", "Coded"))
FUNCTION = "sklearn.preprocessing._function_transformer.FunctionTransformer"


def _add_part(graph: Graph, rows: Rows, columns: list[int], steps: list[Any]) -> str:
    """Columns of one kind as numbers; what the first steps are tells which kind."""
    first = steps[0]
    opening = first.func.__name__ if full_name(type(first)) == FUNCTION else ""
    if opening == "_to_documents":
        raise NotConvertibleError(
            f"its preparation counts words of free text, in the columns {rows.named(columns)}. Leave them out of the "
            "fit."
        )
    if opening == "_to_text":
        x = _add_levels(graph, [rows.column(place, TEXT) for place in columns], steps[1])
        later = steps[2:]
    elif opening == "as_frame":
        x, later = add_dates(graph, [rows.column(place, DATE) for place in columns], steps[1]), steps[2:]
    else:
        x, later = graph.side_by_side([rows.column(place, NUMBER) for place in columns]), steps
    for step in later:
        x = _add_step(graph, x, step)
    return x


def _add_levels(graph: Graph, columns: list[str], encoder: Any) -> str:
    """Texts as what a fitted encoder makes of each: it is asked for all that it knows, and for one that it does not.

    A row is a base row, and what each of its texts adds to that.
    """
    encoder = getattr(encoder, "encoder", encoder)  # of a compact model
    levels = [[str(level) for level in known] for known in encoder.categories_]
    unknown = "?" * (1 + max(len(level) for known in levels for level in known))
    base = np.array([[known[0] for known in levels]], dtype=object)
    answer = _dense(encoder.transform(base))
    total = None
    for place, known in enumerate(levels):
        asked = np.repeat(base, len(known) + 1, axis=0)
        asked[:, place] = [*known, unknown]
        added = floats(_dense(encoder.transform(asked)) - answer)
        code = graph.add(
            "LabelEncoder",
            columns[place],
            domain="ai.onnx.ml",
            keys_strings=known,
            values_int64s=list(range(len(known))),
            default_int64=len(known),
        )
        found = graph.add("Gather", added, graph.add("Reshape", code, np.array([-1])))
        total = found if total is None else graph.add("Add", total, found)
    return graph.add("Add", str(total), floats(answer))


def _dense(found: Any) -> np.ndarray:
    return floats(found.toarray() if hasattr(found, "toarray") else found)


def _bounded(graph: Graph, x: str, most: float) -> str:
    """As `number_columns.bounded`: infinite numbers are missing."""
    lost = graph.add("Or", graph.add("IsNaN", x), graph.add("IsInf", x))
    return graph.add("Where", lost, floats(np.nan), graph.add("Min", graph.add("Max", x, floats(-most)), floats(most)))


# --- steps on numbers ---------------------------------------------------------------------------------


def _imputed(graph: Graph, x: str, imputer: Any) -> str:
    if not _is_nan(imputer.missing_values) or np.isnan(imputer.statistics_).any():
        return add_transformer(graph, x, imputer)
    missing = graph.add("IsNaN", x)
    filled = graph.add("Where", missing, floats(imputer.statistics_), x)
    if not imputer.add_indicator or not len(imputer.indicator_.features_):
        return filled
    return graph.side_by_side([filled, graph.cast(graph.columns(missing, imputer.indicator_.features_), np.float64)])


def _is_nan(value: Any) -> bool:
    return isinstance(value, float) and math.isnan(value)


def _scaled(graph: Graph, x: str, scaler: Any) -> str:
    if scaler.with_mean:
        x = graph.add("Sub", x, floats(scaler.mean_))
    return graph.add("Div", x, floats(scaler.scale_)) if scaler.with_std else x


def _splines(graph: Graph, x: str, step: Any) -> str:
    if step.extrapolation != "constant" or not step.include_bias:
        raise NotConvertibleError("only extrapolation='constant' with a bias can be converted. Set these.")
    return graph.side_by_side(
        [_spline(graph, graph.columns(x, [place]), curve) for place, curve in enumerate(step.bsplines_)]
    )


def _spline(graph: Graph, x: str, curve: Any) -> str:
    """Curves of one column: in each piece between knots, powers of the distance from its left end."""
    # The last knot is a piece of its own: where many rows have the greatest number, a curve may jump there.
    left = np.unique(curve.t[curve.k : len(curve.t) - curve.k])
    orders = range(curve.k + 1)
    # One item a piece, a power and a curve.
    factors = np.stack([curve(left, nu=order) / math.factorial(order) for order in orders], axis=1)
    x = graph.add("Min", graph.add("Max", x, floats(left[0])), floats(left[-1]))
    beyond = graph.cast(graph.add("GreaterOrEqual", x, floats(left)[None, :]), np.int64)
    piece = graph.add("Sub", graph.add("ReduceSum", beyond, np.array([1]), keepdims=0), np.array(1))
    distance = graph.add("Sub", x, graph.add("Gather", floats(left)[:, None], piece))
    powers = graph.add("Pow", distance, floats(orders)[None, :])
    terms = graph.add("Mul", graph.add("Gather", floats(factors), piece), graph.add("Unsqueeze", powers, np.array([2])))
    return graph.add("ReduceSum", terms, np.array([1]), keepdims=0)


def _kernel(graph: Graph, x: str, step: Any) -> str:
    """Nystroem's map of a Gaussian kernel."""
    found = getattr(step, "map_", step)
    if found.kernel != "rbf" or found.gamma is None:
        raise NotConvertibleError("only kernel='rbf' with a gamma can be converted. Set these.")
    similar = _kernel_values(graph, x, found.components_, found.gamma)
    return graph.add("MatMul", similar, floats(found.normalization_.T))


def _kernel_values(graph: Graph, x: str, compared: np.ndarray, gamma: float) -> str:
    """Of a Gaussian kernel, with distances as scikit-learn computes them."""
    kept = floats(compared)
    squares = graph.add("ReduceSum", graph.add("Mul", x, x), np.array([1]))
    products = graph.scaled(graph.add("MatMul", x, kept.T), -2.0)
    distances = graph.add("Add", graph.add("Add", squares, products), (kept**2).sum(axis=1))
    return graph.add("Exp", graph.scaled(graph.add("Max", distances, floats(0)), -gamma))


# By class; a FunctionTransformer by its function.
CONVERTERS: dict[str, Callable[[Graph, str, Any], str]] = {
    "stackkit._learners.number_columns.NumberColumns": lambda graph, x, _: _bounded(graph, x, LARGEST),
    "_within_bounds": lambda graph, x, _: _bounded(graph, x, MOST_DEVIATIONS),
    "sklearn.impute._base.SimpleImputer": _imputed,
    "sklearn.preprocessing._data.StandardScaler": _scaled,
    "sklearn.preprocessing._polynomial.SplineTransformer": _splines,
    "stackkit._learners.kernel_map.KernelMap": _kernel,
    "stackkit._model.kernel_values.KernelValues": lambda graph, x, step: _kernel_values(
        graph, x, step.compared, step.gamma
    ),
    "sklearn.kernel_approximation.Nystroem": _kernel,
}
