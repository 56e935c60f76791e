"""Counts the convolutions of an ONNX model that are int8 by its Q/DQ nodes."""

from dataclasses import dataclass

import onnx
import onnx_ir as ir

from .graph import DEQUANTIZE, QUANTIZE, only_reader


@dataclass(frozen=True)
class Int8Convolutions:
    """Convolutions with a dequantised input, a dequantised constant weight and a quantised output; ``floats`` are the others' names."""

    plain: int
    transposed: int
    floats: tuple[str, ...] = ()


def int8_convolutions(model: onnx.ModelProto) -> Int8Convolutions:
    """Counts ``Conv`` and ``ConvTranspose`` apart: ONNX Runtime has an int8 kernel for the first alone."""
    graph = ir.from_proto(model).graph
    nodes = [node for node in graph if node.op_type in ("Conv", "ConvTranspose")]
    found = [node.op_type for node in nodes if _is_int8(node)]
    return Int8Convolutions(
        found.count("Conv"), found.count("ConvTranspose"), tuple(node.name or "" for node in nodes if not _is_int8(node))
    )


def _is_int8(node: ir.Node) -> bool:
    sources = [_maker(value) for value in node.inputs[:2]]
    reader = _reader(node.outputs[0])
    if reader is not None and reader.op_type == "Relu":
        reader = _reader(reader.outputs[0])
    return (
        all(source is not None and source.op_type == DEQUANTIZE for source in sources) and reader is not None and reader.op_type == QUANTIZE
    )


def _maker(value: ir.Value | None) -> ir.Node | None:
    """What computes a value, casts aside."""
    node = value.producer() if value is not None else None
    return _maker(node.inputs[0]) if node is not None and node.op_type == "Cast" else node


def _reader(value: ir.Value) -> ir.Node | None:
    """The one node that reads a value, casts aside."""
    node = only_reader(value)
    return _reader(node.outputs[0]) if node is not None and node.op_type == "Cast" else node
