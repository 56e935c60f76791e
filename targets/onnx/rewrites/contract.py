"""What a rewrite is: a change of an ONNX graph with the conditions that it requires before and ensures after."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass

import onnx_ir as ir

from .graph import DEQUANTIZE, QUANTIZE, constant, quantized_tensors, same_grid, value_name

READERS_OF_WEIGHTS = frozenset({"Conv", "ConvTranspose", "Gemm", "MatMul"})


@dataclass(frozen=True)
class Change:
    """One thing that a rewrite did: the node it did it to, and what."""

    rewrite: str
    node: str
    detail: str


@dataclass(frozen=True)
class Condition:
    """Something that holds for a graph, as it stands in a sentence, and the names of the values that it does not hold for."""

    text: str
    exceptions: Callable[[ir.Graph], Iterator[str]]


@dataclass(frozen=True)
class Rewrite:
    """A named change. ``apply`` runs it, and checks its conditions.

    Attributes:
        requires: what no rewrite before it may have ended.
        ensures: what holds for the whole graph when it is done.
    """

    name: str
    change: Callable[[ir.Model], tuple[Change, ...]]
    requires: tuple[Condition, ...] = ()
    ensures: tuple[Condition, ...] = ()


def rewrite(
    requires: tuple[Condition, ...] = (), ensures: tuple[Condition, ...] = ()
) -> Callable[[Callable[[ir.Model], tuple[Change, ...]]], Rewrite]:
    """Makes a function the rewrite of its name."""
    return lambda change: Rewrite(change.__name__, change, requires, ensures)


def _quantizers(graph: ir.Graph) -> Iterator[ir.Node]:
    return (node for node in graph if node.op_type == QUANTIZE and len(node.inputs) > 2)


def _not_int8(graph: ir.Graph) -> Iterator[str]:
    for node in _quantizers(graph):
        zero_point = constant(node.inputs[2])
        if zero_point is not None and zero_point.dtype != "int8":
            yield value_name(node.outputs[0])


def _read_as_integers(graph: ir.Graph) -> Iterator[str]:
    for node in _quantizers(graph):
        if any(reader.op_type != DEQUANTIZE for reader in node.outputs[0].consumers()):
            yield value_name(node.outputs[0])


def _still_int8(graph: ir.Graph) -> Iterator[str]:
    return (value_name(tensor.value) for tensor in quantized_tensors(graph) if tensor.zero_point.dtype == "int8")


def _integers_at(graph: ir.Graph, place: int) -> Iterator[tuple[str, str]]:
    """Names and types of constant integers that a layer reads dequantised."""
    for node in graph:
        value = node.inputs[place] if node.op_type in READERS_OF_WEIGHTS and len(node.inputs) > place else None
        source = value.producer() if value is not None else None
        integers = constant(source.inputs[0]) if source is not None and source.op_type == DEQUANTIZE else None
        if value is not None and integers is not None:
            yield value_name(value), str(integers.dtype)


def _repeated(graph: ir.Graph) -> Iterator[str]:
    for node in _quantizers(graph):
        before = node.inputs[0].producer() if node.inputs[0] is not None else None
        if before is not None and before.op_type == DEQUANTIZE and same_grid(node, before) and not node.outputs[0].is_graph_output():
            yield value_name(node.outputs[0])


def _half(graph: ir.Graph) -> Iterator[str]:
    return (name for name, value in graph.initializers.items() if value.dtype == ir.DataType.FLOAT16)


INT8_ACTIVATIONS = Condition("activations are int8", _not_int8)
UINT8_ACTIVATIONS = Condition("activations with one scale are uint8", _still_int8)
READ_DEQUANTIZED = Condition("DequantizeLinear alone reads quantised activations", _read_as_integers)
NO_REPEATED_GRID = Condition("no activation is quantised twice in a row on one grid", _repeated)
INT8_WEIGHTS = Condition("weights are int8", lambda graph: (name for name, kind in _integers_at(graph, 1) if kind != "int8"))
FLOAT_BIASES = Condition("biases are float", lambda graph: (name for name, _ in _integers_at(graph, 2)))
FLOAT32_CONSTANTS = Condition("no constant is float16", _half)
