"""Fitted BN-MLPs as ONNX operators: BN of fixed statistics goes into the layer beside it.

Shapes: n rows, d columns, E encoded columns, M members, h units, c outputs.
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from stackkit._persistence.onnx_graph import Graph, NotConvertibleError, floats


def add_mlp(graph: Graph, x: str, learner: Any) -> str:
    """Probabilities (n, c), or numbers (n, c)."""
    from stackkit.nn import BNMLP  # noqa: PLC0415 - loads torch, which whoever has a network has done
    from stackkit.nn._packed_inference import layers_of  # noqa: PLC0415

    average = learner.net_.module_
    members = list(average.members)
    if not all(type(member) is BNMLP for member in members):
        raise NotConvertibleError(
            f"its network is a {type(members[0]).__name__}, of module=. Leave module=None, or export it by torch.onnx."
        )
    activation = ACTIVATIONS.get(members[0].activation_name)
    if activation is None:
        raise NotConvertibleError(
            f"its activation is {members[0].activation_name!r}. Take one of {', '.join(map(repr, ACTIVATIONS))}."
        )
    waves = of_levels = ""
    encoding = None if average.encoder is None else average.encoder.encoding()
    if encoding is not None:
        given = x
        if learner.categories_in_ is not None:  # their numbers are none
            is_category = np.isin(np.arange(len(encoding.centre)), learner.categories_in_.columns)
            x = graph.add("Where", is_category[np.newaxis], floats(0), x)
        x, waves = _encoded(graph, x, encoding)
        x = _beside_indicators(graph, x, given, encoding.hot, learner.categories_in_)
        of_levels = _beside_indicators(graph, "", given, encoding.tables, learner.categories_in_)
    layers = zip(*(layers_of(member, encoding) for member in members), strict=True)
    for number, layer in enumerate(layers):
        # (M, in, out) and (M, 1, out); the first product broadcasts the rows to all members.
        weight, bias = (np.stack([part.cpu().numpy() for part in parts]) for parts in zip(*layer, strict=True))
        x = graph.add(activation, x) if number else _with_embedded(graph, x, waves, of_levels, members)
        x = graph.add("Add", graph.add("MatMul", x, weight.transpose(0, 2, 1)), bias.transpose(0, 2, 1))
    if average.classifier:
        return graph.add("ReduceMean", graph.add("Softmax", x, axis=2), axes=[0], keepdims=0)
    return _on_the_scale(graph, graph.add("ReduceMean", x, axes=[0], keepdims=0), average)


ACTIVATIONS = {"relu": "Relu", "tanh": "Tanh", "sigmoid": "Sigmoid"}


def _encoded(graph: Graph, x: str, encoding: Any) -> tuple[str, str]:
    """Columns as the first layer sees them, and those that waves are made of."""
    x = graph.scaled(graph.add("Sub", x, floats(encoding.centre)), encoding.slope)
    if encoding.clips:
        third = graph.scaled(x, 1 / 3)
        x = graph.add("Div", x, graph.add("Sqrt", graph.add("Add", graph.add("Mul", third, third), floats(1))))
    if encoding.imputes:
        missing = graph.add("IsNaN", x)
        x = graph.side_by_side([graph.add("Where", missing, floats(0), x), graph.cast(missing, np.float64)])
    ramps = graph.add("Sub", graph.columns(x, encoding.column), floats(encoding.middle))
    ramps = graph.scaled(ramps, encoding.steepness)
    ramps = graph.add("Min", graph.add("Max", ramps, floats(-encoding.bound)), floats(encoding.bound))
    waves = graph.columns(x, encoding.periodic) if len(encoding.periodic) else ""
    return graph.scaled(ramps, encoding.gain), waves


def _beside_indicators(graph: Graph, x: str, given: str, levels: Any, categories: Any) -> str:
    """Beside encoded columns, if any, an indicator for each entry of the levels of the columns given."""
    parts = [x] if x else []
    for column, entry in zip(levels.column, levels.entry, strict=True):
        gaps, own, others = categories.with_entries(column, entry)
        texts = [level for level in categories.levels[categories.columns.index(column)] if isinstance(level, str)]
        if texts:
            raise NotConvertibleError(
                f"its categories of column {column} are text, such as {texts[0]!r}. Code them as numbers before the "
                "fit, as OrdinalEncoder does."
            )
        values = graph.columns(given, [int(column)])
        is_missing = graph.cast(graph.add("IsNaN", values), np.float64)
        found = [is_missing] if gaps else []
        found += [graph.cast(graph.add("Equal", values, floats([own])), np.float64)] if own else []
        parts += found
        if others:
            nothing = graph.scaled(is_missing, 0)
            total = graph.add("ReduceSum", graph.side_by_side([*found, nothing]), np.array([1]), keepdims=1)
            parts.append(graph.add("Sub", floats(1), total))
    return graph.side_by_side(parts) if parts else ""


def _with_embedded(graph: Graph, x: str, waves: str, of_levels: str, members: list[Any]) -> str:
    """Beside the encoded columns (n, E), each member's own features of its waves, and indicators of levels.

    (M, n, E + 3 m + T) with waves, else (n, E + T).
    """
    if not waves:
        return graph.side_by_side([x, of_levels]) if of_levels else x
    own = []
    for member in members:
        frequency, phase, weight = (
            getattr(member.embedding, name).detach().double().cpu().numpy() for name in ("frequency", "phase", "weight")
        )
        angle = graph.add("Mul", graph.add("Unsqueeze", waves, np.array([2])), floats(2 * math.pi * frequency))
        # A cosine; ONNX Runtime has the sine alone in float64. (n, m, 16), then (m, n, 16) times (m, 16, 3).
        wave = graph.add("Sin", graph.add("Add", angle, floats(phase + math.pi / 2)))
        by_column = graph.add("MatMul", graph.add("Transpose", wave, perm=[1, 0, 2]), floats(weight.transpose(0, 2, 1)))
        flat = graph.add("Reshape", graph.add("Transpose", by_column, perm=[1, 0, 2]), np.array([0, -1]))
        parts = [x, flat, of_levels] if of_levels else [x, flat]
        own.append(graph.add("Unsqueeze", graph.side_by_side(parts), np.array([0])))
    return graph.add("Concat", *own, axis=0)


def _on_the_scale(graph: Graph, x: str, average: Any) -> str:
    if average.output_affine is not None:
        mean, scale = average.output_affine.cpu().numpy()
        x = graph.scaled(x, scale, mean)
    if average.output_range is not None:
        least, most = average.output_range.cpu().numpy()
        x = graph.add("Min", graph.add("Max", x, floats(least)), floats(most))
    return x
