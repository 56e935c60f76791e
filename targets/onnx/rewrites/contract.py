"""What a rewrite is: a change of an ONNX graph with the conditions that it requires before and ensures after."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass

import onnx_ir as ir

from .graph import DEQUANTIZE, QUANTIZE, constant, quantized_tensors, same_grid, value_name

LAYERS = frozenset({"Conv", "ConvTranspose", "Gemm"})


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


def _integer_biases(graph: ir.Graph) -> Iterator[str]:
    for node in graph:
        bias = node.inputs[2] if node.op_type in LAYERS and len(node.inputs) > 2 else None
        source = bias.producer() if bias is not None else None
        if bias is not None and source is not None and source.op_type == DEQUANTIZE:
            yield value_name(bias)


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
FLOAT_BIASES = Condition("biases are float", _integer_biases)
FLOAT32_CONSTANTS = Condition("no constant is float16", _half)
