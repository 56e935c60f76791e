"""Arithmetic number by number."""

from typing import Any

import numpy as np

from ..flatbuffer import Grid
from ..graph import FLOAT, INT8, Graph, logical, natural
from ..refusal import Unsupported
from ..writers import Value, aten, writes

Operand = Value | np.ndarray | float | int
BINARY = {
    aten.add.Tensor: "ADD", aten.add.Scalar: "ADD", aten.sub.Tensor: "SUB", aten.sub.Scalar: "SUB", aten.mul.Tensor: "MUL",
    aten.mul.Scalar: "MUL", aten.div.Tensor: "DIV", aten.div.Scalar: "DIV", aten.maximum.default: "MAXIMUM",
    aten.minimum.default: "MINIMUM", aten.rsub.Scalar: "SUB",
}  # fmt: skip
# Written with options of their own, where the schema has any.
OPTIONS = {"ADD": "AddOptionsT", "SUB": "SubOptionsT", "MUL": "MulOptionsT", "DIV": "DivOptionsT"}
OPTIONS |= dict.fromkeys(("MAXIMUM", "MINIMUM"), "MaximumMinimumOptionsT")
UNARY = {
    aten.relu.default: "RELU", aten.relu6.default: "RELU6", aten.tanh.default: "TANH", aten.sigmoid.default: "LOGISTIC",
    aten.sqrt.default: "SQRT", aten.rsqrt.default: "RSQRT", aten.square.default: "SQUARE", aten.exp.default: "EXP", aten.abs.default: "ABS",
    aten.neg.default: "NEG", aten.log.default: "LOG", aten.hardswish.default: "HARD_SWISH", aten.elu.default: "ELU",
    aten.sin.default: "SIN", aten.cos.default: "COS",
}  # fmt: skip
UNARY_OPTIONS = {"SQUARE": "SquareOptionsT", "EXP": "ExpOptionsT", "ABS": "AbsOptionsT", "NEG": "NegOptionsT"}


def binary(graph: Graph, kind: str, left: Operand, right: Operand, name: str, relu: bool = False, grid: Grid | None = None) -> Value:
    """Two operands that are broadcast as PyTorch does it."""
    rank = max(np.ndim(each) if not isinstance(each, Value) else len(each.shape) for each in (left, right))
    values = [each for each in (left, right) if isinstance(each, Value)]
    # In the order of the largest, so that the small ones move.
    leader = max(values, key=lambda each: (len(each.shape), np.prod(each.shape)))
    order = leader.order if len(leader.shape) == rank else natural(rank)
    operands = [_aligned(graph, each, order, f"{name}.{side}") for side, each in (("left", left), ("right", right))]
    shape = np.broadcast_shapes(*(each.shape for each in operands))
    options = getattr(graph.schema, OPTIONS[kind])()
    if relu:
        options.fusedActivationFunction = graph.schema.ActivationFunctionType.RELU
    return graph.add(kind, name, operands, shape, INT8 if grid is not None else FLOAT, order, options, grid)


def _aligned(graph: Graph, operand: Operand, order: tuple[int, ...], name: str) -> Value:
    """With all axes, in that order."""
    rank = len(order)
    if not isinstance(operand, Value):
        array = np.asarray(operand, np.float32)
        array = array.reshape((1,) * (rank - array.ndim) + array.shape) if array.size > 1 else array.reshape((1,) * rank)
        return graph.constant(name, array.transpose(order), order=order)
    if len(operand.shape) < rank:
        plain = graph.plain(operand)
        operand = graph.reshaped(plain, (1,) * (rank - len(plain.shape)) + plain.shape, name)
    return graph.ordered(operand, order)


def unary(graph: Graph, kind: str, source: Value, name: str) -> Value:
    """One operand."""
    options = getattr(graph.schema, UNARY_OPTIONS[kind])() if kind in UNARY_OPTIONS else None
    return graph.add(kind, name, [source], source.shape, FLOAT, source.order, options)


@writes(*BINARY)
def _binary(graph: Graph, node: Any, left: Operand, right: Operand, *more: Any, **options: Any) -> Value:
    if options.get("rounding_mode") is not None:
        raise Unsupported("LiteRT has no such division of floats")
    if node.target is aten.rsub.Scalar:
        left, right = right, left
    factor = options.get("alpha", more[0] if more else 1)
    if factor != 1:
        right = right * factor if not isinstance(right, Value) else binary(graph, "MUL", right, factor, f"{node.name}.alpha")
    if isinstance(right, (int, float)) and BINARY[node.target] == "DIV":
        return binary(graph, "MUL", left, 1 / right, node.name)
    return binary(graph, BINARY[node.target], left, right, node.name)


@writes(*UNARY)
def _unary(graph: Graph, node: Any, source: Value, *more: Any) -> Value:
    if node.target is aten.elu.default and any(each != 1 for each in more):
        raise Unsupported("LiteRT's ELU has no factors")
    return unary(graph, UNARY[node.target], source, node.name)


@writes(aten.reciprocal.default)
def _reciprocal(graph: Graph, node: Any, source: Value) -> Value:
    return binary(graph, "DIV", 1.0, source, node.name)


@writes(aten.silu.default)
def _silu(graph: Graph, node: Any, source: Value) -> Value:
    return binary(graph, "MUL", source, unary(graph, "LOGISTIC", source, f"{node.name}.gate"), node.name)


@writes(aten.hardsigmoid.default)
def _hardsigmoid(graph: Graph, node: Any, source: Value) -> Value:
    clipped = unary(graph, "RELU6", binary(graph, "ADD", source, 3.0, f"{node.name}.moved"), f"{node.name}.clipped")
    return binary(graph, "MUL", clipped, 1 / 6, node.name)


@writes(aten.leaky_relu.default)
def _leaky_relu(graph: Graph, node: Any, source: Value, slope: float = 0.01) -> Value:
    options = graph.schema.LeakyReluOptionsT(alpha=float(slope))
    return graph.add("LEAKY_RELU", node.name, [source], source.shape, FLOAT, source.order, options)


@writes(aten.prelu.default)
def _prelu(graph: Graph, node: Any, source: Value, slopes: np.ndarray) -> Value:
    source = graph.ordered(source, natural(len(source.shape)))
    array = np.broadcast_to(np.asarray(slopes, np.float32), (logical(source)[1],)) if np.size(slopes) == 1 else slopes
    shape = [1] * (len(source.shape) - 1)
    shape[source.order.index(1) - 1] = array.size
    slope = graph.constant(f"{node.name}.slopes", np.ascontiguousarray(array).reshape(shape))
    return graph.add("PRELU", node.name, [source, slope], source.shape, FLOAT, source.order)


@writes(aten.gelu.default)
def _gelu(graph: Graph, node: Any, source: Value, approximate: str = "none") -> Value:
    options = graph.schema.GeluOptionsT(approximate=approximate == "tanh")
    return graph.add("GELU", node.name, [source], source.shape, FLOAT, source.order, options)


@writes(aten.clamp.default, aten.hardtanh.default)
def _clamp(graph: Graph, node: Any, source: Value, least: float | None = None, largest: float | None = None, **limits: float) -> Value:
    least, largest = limits.get("min", least), limits.get("max", largest)
    if node.target is aten.hardtanh.default:
        least, largest = -1.0 if least is None else least, 1.0 if largest is None else largest
    if least is not None:
        source = binary(graph, "MAXIMUM", source, least, f"{node.name}.least")
    return binary(graph, "MINIMUM", source, largest, node.name) if largest is not None else source


@writes(aten.pow.Tensor_Scalar)
def _pow(graph: Graph, node: Any, source: Value, exponent: float) -> Value:
    if exponent == 2:
        return unary(graph, "SQUARE", source, node.name)
    operand = graph.constant(f"{node.name}.exponent", np.full((1,) * len(source.shape), exponent, np.float32))
    return graph.add("POW", node.name, [source, operand], source.shape, FLOAT, source.order, graph.schema.PowOptionsT())


def constant_operand(graph: Graph, array: np.ndarray, name: str) -> Value:
    """A constant where an activation is expected."""
    order = natural(array.ndim)
    return graph.constant(name, array.transpose(order) if array.ndim else array, order=order)
