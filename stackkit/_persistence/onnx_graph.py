"""An ONNX graph while it is being made: operators are added, and known by the names of what they give.

Tables are (n, d) in float64, as scikit-learn has them: float32 would send rows near a threshold the other way.
"""

from __future__ import annotations

from importlib import import_module
from typing import Any

import numpy as np

# The last before reductions take their axes as inputs: what skl2onnx writes for it is valid beside our own.
OPSETS = {"": 17, "ai.onnx.ml": 3}
IR_VERSION = 8


class NotConvertibleError(TypeError):
    """Something has no form in ONNX; the message says what and why, and what to do."""


class Graph:
    """Operators, constants, inputs and outputs so far."""

    def __init__(self) -> None:
        self._onnx: Any = import_module("onnx")
        self.known: dict[Any, Any] = {}  # what was made before, by a key of its maker's choice
        self._nodes: list[Any] = []
        self._constants: list[Any] = []
        self._inputs: list[Any] = []
        self._outputs: list[Any] = []
        self._opsets = dict(OPSETS)
        self._n_names = 0

    def add(self, operator: str, *inputs: str | np.ndarray, domain: str = "", **attributes: Any) -> str:
        """Add an operator with one output; arrays are constants, or attributes that are tensors."""
        tensor = self._onnx.numpy_helper.from_array
        given = {key: tensor(value) if isinstance(value, np.ndarray) else value for key, value in attributes.items()}
        names = [self._constant(value) if isinstance(value, np.ndarray) else value for value in inputs]
        output = self._name()
        self._node(operator, names, output, domain=domain, **given)
        return output

    def scaled(self, x: str, factor: Any, shift: Any = None) -> str:
        """Each column times its factor, then plus its shift."""
        x = self.add("Mul", x, floats(factor))
        return x if shift is None else self.add("Add", x, floats(shift))

    def columns(self, x: str, places: Any) -> str:
        """Some columns of a table, in this order."""
        return self.add("Gather", x, np.asarray(places, dtype=np.int64), axis=1)

    def side_by_side(self, tables: list[str]) -> str:
        return tables[0] if len(tables) == 1 else self.add("Concat", *tables, axis=1)

    def cast(self, x: str, dtype: Any) -> str:
        return self.add("Cast", x, to=self._type(dtype))

    def mean(self, tables: list[str]) -> str:
        """Mean of tables of one shape, added up in their order."""
        total = tables[0]
        for table in tables[1:]:
            total = self.add("Add", total, table)
        return total if len(tables) == 1 else self.add("Div", total, floats(len(tables)))

    def inline(self, model: Any, x: str, output: int) -> str:
        """All of a model with one input; the name of one of its outputs."""
        inner = self._onnx.compose.add_prefix(model, self._name() + "_")
        self._opsets |= {found.domain: found.version for found in inner.opset_import if found.domain not in OPSETS}
        self._node("Identity", [x], inner.graph.input[0].name)
        self._nodes += inner.graph.node
        self._constants += inner.graph.initializer
        return str(inner.graph.output[output].name)

    def input(self, name: str, dtype: Any, width: int, text: str) -> str:
        """Declare an input of shape (n, width)."""
        self._inputs.append(self._value(name, dtype, ["n", width], text))
        return name

    def output(self, name: str, value: str, dtype: Any, shape: list[Any], text: str) -> None:
        self._node("Identity", [value], name)
        self._outputs.append(self._value(name, dtype, shape, text))

    def model(self, text: str) -> Any:
        helper = self._onnx.helper
        graph = helper.make_graph(self._nodes, "stack", self._inputs, self._outputs, self._constants)
        opsets = [helper.make_opsetid(domain, version) for domain, version in self._opsets.items()]
        model = helper.make_model(graph, opset_imports=opsets, producer_name="stackkit", doc_string=text)
        model.ir_version = IR_VERSION
        return model

    def _node(self, operator: str, inputs: list[str], output: str, **attributes: Any) -> None:
        self._nodes.append(self._onnx.helper.make_node(operator, inputs, [output], **attributes))

    def _value(self, name: str, dtype: Any, shape: list[Any], text: str) -> Any:
        return self._onnx.helper.make_tensor_value_info(name, self._type(dtype), shape, doc_string=text)

    def _type(self, dtype: Any) -> int:
        is_text = np.dtype(dtype).kind in "OU"
        found = (
            self._onnx.TensorProto.STRING if is_text else self._onnx.helper.np_dtype_to_tensor_dtype(np.dtype(dtype))
        )
        return int(found)

    def _constant(self, values: np.ndarray) -> str:
        name = self._name()
        # Texts are objects there.
        values = values.astype(object) if values.dtype.kind == "U" else values
        self._constants.append(self._onnx.numpy_helper.from_array(np.ascontiguousarray(values), name))
        return name

    def _name(self) -> str:
        self._n_names += 1
        return f"_{self._n_names}"


def floats(values: Any) -> np.ndarray:
    return np.asarray(values, dtype=np.float64)
