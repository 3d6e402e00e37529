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
    waves = ""
    if average.encoder is not None:
        x, waves = _encoded(graph, x, average.encoder.encoding())
    layers = zip(*map(layers_of, members), strict=True)
    for number, layer in enumerate(layers):
        # (M, in, out) and (M, 1, out); the first product broadcasts the rows to all members.
        weight, bias = (np.stack([part.cpu().numpy() for part in parts]) for parts in zip(*layer, strict=True))
        x = graph.add(activation, x) if number else _with_waves(graph, x, waves, members)
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


def _with_waves(graph: Graph, x: str, waves: str, members: list[Any]) -> str:
    """Beside the encoded columns (n, E), each member's own features of its waves: (M, n, E + 3 m)."""
    if not waves:
        return x
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
        own.append(graph.add("Unsqueeze", graph.side_by_side([x, flat]), np.array([0])))
    return graph.add("Concat", *own, axis=0)


def _on_the_scale(graph: Graph, x: str, average: Any) -> str:
    if average.output_affine is not None:
        mean, scale = average.output_affine.cpu().numpy()
        x = graph.scaled(x, scale, mean)
    if average.output_range is not None:
        least, most = average.output_range.cpu().numpy()
        x = graph.add("Min", graph.add("Max", x, floats(least)), floats(most))
    return x
