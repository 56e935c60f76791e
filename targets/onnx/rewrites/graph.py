"""What the rewrites share: constants, new nodes and the quantised tensors of an ONNX graph."""

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import onnx_ir as ir

QUANTIZE, DEQUANTIZE = "QuantizeLinear", "DequantizeLinear"


@dataclass(frozen=True)
class QuantizedTensor:
    """An activation on its integer grid: one QuantizeLinear with a constant scale for the whole tensor, and the
    DequantizeLinear nodes that read it with that same scale and zero point."""

    quantize: ir.Node
    dequantize: tuple[ir.Node, ...]
    scale: np.float32
    zero_point: np.integer

    @property
    def value(self) -> ir.Value:
        """The integers."""
        return self.quantize.outputs[0]

    def set_grid(self, graph: ir.Graph, scale: np.float32, zero_point: np.int8 | np.uint8) -> None:
        """Gives the QuantizeLinear and its DequantizeLinears another scale and zero point."""
        name = value_name(self.value)
        new_scale = initializer(graph, f"{name}.scale", np.asarray(scale, np.float32))
        new_zero = initializer(graph, f"{name}.zero_point", np.asarray(zero_point))
        for node in (self.quantize, *self.dequantize):
            node.replace_input_with(1, new_scale)
            node.replace_input_with(2, new_zero)
        self.value.type = new_zero.type


def value_name(value: ir.Value) -> str:
    """The name of a value of a saved graph, which is never empty."""
    return value.name or ""


def shape_of(value: ir.Value) -> tuple[int, ...]:
    """The sides of a value; 0 for one that is not known."""
    return tuple(side if isinstance(side, int) else 0 for side in value.shape or ())


def constant(value: ir.Value | None) -> np.ndarray | None:
    """The array of an initializer, None if the value is computed or absent."""
    if value is None or value.const_value is None:
        return None
    return value.const_value.numpy()


def initializer(graph: ir.Graph, name: str, array: np.ndarray) -> ir.Value:
    """A new initializer; a number is added to a name that is taken."""
    unique, number = name, 1
    while unique in graph.initializers:
        unique, number = f"{name}.{number}", number + 1
    tensor = ir.tensor(array, name=unique)
    value = ir.Value(name=unique, type=ir.TensorType(tensor.dtype), shape=ir.Shape(array.shape), const_value=tensor)
    graph.register_initializer(value)
    return value


def insert_after(value: ir.Value, node: ir.Node, readers: tuple[ir.Node, ...] | None = None) -> None:
    """Puts ``node``, which reads ``value``, between ``value`` and its readers (or those of them that are given)."""
    graph, producer = node_graph(value), value.producer()
    for reader, index in tuple(value.uses()):
        if reader is not node and (readers is None or reader in readers):
            reader.replace_input_with(index, node.outputs[0])
    if producer is None:
        graph.insert_before(graph[0], node)
    else:
        graph.insert_after(producer, node)


def replace(graph: ir.Graph, node: ir.Node, by: ir.Node) -> None:
    """Lets ``by``, which is in the graph already, give the value of ``node``, under its name; takes ``node`` out."""
    old, new = node.outputs[0], by.outputs[0]
    old.replace_all_uses_with(new, replace_graph_outputs=True)
    name = old.name
    for index in range(len(node.inputs)):
        node.replace_input_with(index, None)  # or what it reads would seem to be read
    graph.remove(node, safe=False)
    new.name = name


def node_graph(value: ir.Value) -> ir.Graph:
    """The graph that a value belongs to."""
    if not isinstance(value.graph, ir.Graph):
        raise ValueError(f"value {value.name} is in no graph")
    return value.graph


def only_reader(value: ir.Value) -> ir.Node | None:
    """The node that reads a value, None if several do or if it is an output of the graph."""
    readers = value.consumers()
    return readers[0] if len(readers) == 1 and not value.is_graph_output() else None


def axis_of(node: ir.Node, default: int = 1) -> int:
    """A node's ``axis`` attribute."""
    attribute = node.attributes.get("axis")
    return default if attribute is None else attribute.as_int()


def groups(node: ir.Node) -> int:
    """A convolution's ``group`` attribute."""
    attribute = node.attributes.get("group")
    return 1 if attribute is None else attribute.as_int()


def quantize_after(node: ir.Node) -> ir.Node | None:
    """The QuantizeLinear (one scale) that alone reads a node, possibly behind a ReLU."""
    reader = only_reader(node.outputs[0])
    if reader is not None and reader.op_type == "Relu":
        reader = only_reader(reader.outputs[0])
    if reader is None or reader.op_type != QUANTIZE or reader.outputs[0].is_graph_output():
        return None
    scale = constant(reader.inputs[1])
    return reader if scale is not None and scale.size == 1 else None


def quantized_tensors(graph: ir.Graph) -> Iterator[QuantizedTensor]:
    """All activations with a scalar scale and zero point that only DequantizeLinears with the same two read."""
    for node in graph:
        if node.op_type != QUANTIZE or len(node.inputs) < 3:
            continue
        scale, zero_point = constant(node.inputs[1]), constant(node.inputs[2])
        if scale is None or zero_point is None or scale.size != 1 or zero_point.size != 1:
            continue
        readers = tuple(node.outputs[0].consumers())
        if not node.outputs[0].is_graph_output() and all(reader.op_type == DEQUANTIZE and same_grid(reader, node) for reader in readers):
            yield QuantizedTensor(node, readers, np.float32(scale.item()), np.dtype(zero_point.dtype).type(zero_point.item()))


def same_grid(one: ir.Node, other: ir.Node) -> bool:
    """Whether two QuantizeLinear or DequantizeLinear nodes have equal constant scales and zero points."""
    pairs = [(constant(one.inputs[i]), constant(other.inputs[i])) for i in (1, 2) if min(len(one.inputs), len(other.inputs)) > i]
    return len(pairs) == 2 and all(a is not None and b is not None and a.dtype == b.dtype and np.array_equal(a, b) for a, b in pairs)
