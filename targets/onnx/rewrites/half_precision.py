"""Computes in float16 what an ONNX graph computes in float32, with casts written out, as a strongly typed runtime wants it.

Requires: float32 inputs, outputs and initializers.
Ensures: inputs and outputs keep names and types. QuantizeLinear and DequantizeLinear stay float32, so that scales are exact. So do
statistics (means, powers, squares, roots, quotients and what lies between them), where a square may overflow, and elementwise operators
on a few numbers, which save nothing. Everything else computes in float16; a Cast stands wherever the type changes.
"""

from dataclasses import dataclass

import numpy as np
import onnx_ir as ir

from .contract import FLOAT32_CONSTANTS, Change, rewrite
from .graph import DEQUANTIZE, QUANTIZE, constant, initializer, value_name

FLOAT, HALF = ir.DataType.FLOAT, ir.DataType.FLOAT16
STATISTICS = frozenset({"ReduceMean", "ReduceSum", "Pow", "Sqrt", "Div", "Reciprocal", "Exp", "Log"})
ELEMENTWISE = frozenset("Add Sub Mul Div Neg Slice Unsqueeze Squeeze Reshape".split())
FEW = 4096  # numbers of a tensor
LARGEST = float(np.finfo(np.float16).max)
# Inputs that are float32 by definition: regions and scales of Resize.
ALWAYS_FLOAT = {"Resize": (1, 2)}


@dataclass(frozen=True)
class BeyondHalf:
    """A finite constant that float16 cannot hold. An infinite one it can, such as that of a mask.

    Attributes:
        node: name of the operator that would read it in float16.
        constant: its name.
        largest: its largest finite magnitude.
    """

    node: str
    constant: str
    largest: float


def beyond_half(model: ir.Model) -> tuple[BeyondHalf, ...]:
    """What stands in the way of ``half_precision``."""
    stay, found = _float_nodes(model.graph), []
    for node in model.graph:
        for index, value in enumerate(node.inputs if node not in stay else ()):
            array = constant(value) if index not in ALWAYS_FLOAT.get(node.op_type, ()) else None
            if value is not None and array is not None and array.dtype == np.float32 and (largest := _largest(array)) > LARGEST:
                found.append(BeyondHalf(node.name or "", value_name(value), largest))
    return tuple(found)


def _largest(array: np.ndarray) -> float:
    return float(np.abs(array).max(initial=0.0, where=np.isfinite(array)))


@rewrite(requires=(FLOAT32_CONSTANTS,))
def half_precision(model: ir.Model) -> tuple[Change, ...]:
    """Every operator that may be, in float16. Requires besides: nothing is ``beyond_half``."""
    graph = model.graph
    stay = _float_nodes(graph)
    floats = {id(value) for value in _values(graph) if value.dtype == FLOAT}
    casts = _Casts(graph)
    changes = []
    for node in tuple(graph):
        wanted = FLOAT if node in stay else HALF
        for index, value in enumerate(node.inputs):
            if value is not None and id(value) in floats and index not in ALWAYS_FLOAT.get(node.op_type, ()) and value.dtype != wanted:
                node.replace_input_with(index, casts.of(value, wanted))
        if wanted == HALF and any(value.dtype == FLOAT for value in node.outputs):
            for value in node.outputs:
                value.type = ir.TensorType(HALF) if value.dtype == FLOAT else value.type
            changes.append(Change("half_precision", value_name(node.outputs[0]), node.op_type))
    for index, value in enumerate(tuple(graph.outputs)):
        if value.dtype == HALF:
            graph.outputs[index] = _float_output(graph, value)
    for name in [name for name, value in graph.initializers.items() if not value.uses()]:
        graph.initializers.pop(name)
    return tuple(changes)


def _values(graph: ir.Graph) -> list[ir.Value]:
    return [*graph.inputs, *graph.initializers.values(), *(value for node in graph for value in node.outputs)]


def _float_nodes(graph: ir.Graph) -> set[ir.Node]:
    """The nodes that stay in float32."""
    stay = {node for node in graph if node.op_type in STATISTICS or node.op_type in (QUANTIZE, DEQUANTIZE)}
    statistics = {node for node in stay if node.op_type in STATISTICS} | {node for node in graph if _squares(node)}
    statistics |= {node for node in graph if node.op_type in ELEMENTWISE and _size(node.outputs[0]) <= FEW}
    while between := [node for node in graph if node not in statistics and _is_between(node, statistics)]:
        statistics.update(between)
    return stay | statistics


def _squares(node: ir.Node) -> bool:
    return node.op_type == "Mul" and node.inputs[0] is node.inputs[1]


def _is_between(node: ir.Node, statistics: set[ir.Node]) -> bool:
    """Whether an elementwise operator computes from statistics, and for statistics alone."""
    if node.op_type not in ELEMENTWISE or node.outputs[0].is_graph_output():
        return False
    readers = node.outputs[0].consumers()
    makers = [value.producer() for value in node.inputs if value is not None]
    return bool(readers) and statistics.issuperset(readers) and any(maker in statistics for maker in makers)


def _size(value: ir.Value) -> float:
    """How many numbers a tensor has; infinitely many if its shape is not known."""
    if value.shape is None or not all(isinstance(length, int) for length in value.shape):
        return float("inf")
    return float(np.prod([int(length) for length in value.shape if isinstance(length, int)]))


class _Casts:
    """Values in the other type: one Cast or one constant for each."""

    def __init__(self, graph: ir.Graph) -> None:
        self._graph = graph
        self._made: dict[tuple[int, ir.DataType], ir.Value] = {}

    def of(self, value: ir.Value, to: ir.DataType) -> ir.Value:
        """``value`` as ``to``."""
        key = id(value), to
        if key not in self._made:
            array = constant(value)
            self._made[key] = self._cast(value, to) if array is None else self._constant(value, array.astype(np.float16))
        return self._made[key]

    def _constant(self, value: ir.Value, array: np.ndarray) -> ir.Value:
        return initializer(self._graph, f"{value_name(value)}.half", array)

    def _cast(self, value: ir.Value, to: ir.DataType) -> ir.Value:
        suffix = "half" if to == HALF else "float"
        node = ir.node("Cast", [value], {"to": to}, name=f"{value_name(value)}.cast.{suffix}")
        node.outputs[0].name = f"{value_name(value)}.{suffix}"
        node.outputs[0].type, node.outputs[0].shape = ir.TensorType(to), value.shape
        producer = value.producer()
        if producer is None:
            self._graph.insert_before(self._graph[0], node)
        else:
            self._graph.insert_after(producer, node)
        return node.outputs[0]


def _float_output(graph: ir.Graph, value: ir.Value) -> ir.Value:
    """A float32 output of the graph, under the name that ``value`` had."""
    name = value_name(value)
    value.name = f"{name}.half"
    node = ir.node("Cast", [value], {"to": FLOAT}, name=f"{name}.cast")
    node.outputs[0].name = name
    node.outputs[0].type, node.outputs[0].shape = ir.TensorType(FLOAT), value.shape
    graph.append(node)
    return node.outputs[0]
