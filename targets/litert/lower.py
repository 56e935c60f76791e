"""A captured program to a ``.tflite`` file.

Where a layer or a sum reads integers and its result becomes integers, one int8 operator computes it, on the grids that the program says;
nothing is measured anew. What the program keeps in float, LiteRT computes in float, between the conversions that it then needs.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch.fx import GraphModule, Node
from torch.fx.node import map_arg

from ...capture.program import GraphProgram
from ...recipe.precision import Precision
from ...system.errors import CaptureError
from ..identity import source as program_of
from ..unsigned_activations import unsigned_activations
from .flatbuffer import Grid, Value
from .graph import Graph
from .operators import load
from .operators.convolution import CHANNEL_AXIS, LAYERS, Output, Weight
from .operators.elementwise import binary, constant_operand
from .operators.resizing import depth_to_space
from .refusal import Refused, Unsupported
from .writers import PASSING, aten

QUANTIZE, DEQUANTIZE, WEIGHT = "quantize_per_tensor", "dequantize_per_tensor", "dequantize_per_channel"
RELU = aten.relu.default
CONVOLUTIONS = (aten.conv2d.default, aten.conv2d.padding)
# With int8 operators of their own.
ARITHMETIC: dict[Any, str] = {aten.add.Tensor: "ADD", aten.mul.Tensor: "MUL"}
# Of several sources, constants too: on the grid of one, the numbers of the others would be cut off.
JOINING = frozenset({aten.cat.default, aten.pad.default, aten.constant_pad_nd.default})
# Of uint8 and int8.
UNSIGNED = 128


@dataclass(frozen=True)
class Fused:
    """What one int8 operator computes: a layer, a sum or an operator that passes integers on, and a ReLU behind it."""

    computing: Node
    relu: bool


@dataclass(frozen=True)
class Lowered:
    """A graph in memory: the builder, and its inputs and outputs by name."""

    graph: Graph
    inputs: dict[str, int]
    outputs: dict[str, int]


def lower(captured: GraphProgram, precision: Precision) -> Lowered:
    """Writes one graph.

    Raises:
        Refused: an operator has no form in LiteRT; names its module.
        CaptureError: the program has no int8.
    """
    program = program_of(captured, precision)
    if program is None:
        raise CaptureError(f'graph \'{captured.name}\' has no int8 program: set quantize.method to "qat" or "ptq" in the recipe')
    module: Any = program.module(check_guards=False)
    unsigned_activations(module)
    return _Lowering(captured, module, precision is not Precision.FLOAT32).run()


class _Lowering:
    def __init__(self, captured: GraphProgram, module: GraphModule, halve: bool) -> None:
        self.captured, self.module = captured, module
        self.graph = Graph(halve)
        self.writers = load()
        self.values: dict[Node, Any] = {}
        self.fused = dict(_fused(module))
        self.inner = {each.computing for each in self.fused.values()} | {_operand(node) for node in self.fused}
        self.rectified = {node: layer for node, layer in _rectified(module) if node not in self.inner and layer not in self.inner}
        self.inner |= set(self.rectified.values())
        self.turned = dict(_turned(module))

    def run(self) -> Lowered:
        placeholders = [node for node in self.module.graph.nodes if node.op == "placeholder"]
        inputs: dict[str, int] = {}
        for node, spec in zip(placeholders, self.captured.inputs, strict=True):
            value = self.graph.input(spec.name, node.meta["val"].shape)
            self.values[node], inputs[spec.name] = value, value.index
        for node in self.module.graph.nodes:
            if node.op == "get_attr":
                self.values[node] = _attribute(self.module, str(node.target))
            elif node.op == "call_function" and node not in self.inner:
                self.values[node] = self._write(node)
        return Lowered(self.graph, inputs, dict(self._outputs()))

    def _write(self, node: Node) -> Any:
        try:
            if node in self.fused:
                return self._integers(node, self.fused[node])
            if _is(node, QUANTIZE):
                source = self.values[_operand(node)]
                source = constant_operand(self.graph, source, f"{node.name}.constant") if isinstance(source, np.ndarray) else source
                return self.graph.quantized(self.graph.real(source), _grid(node), node.name)
            if _is(node, DEQUANTIZE):
                return self.values[_operand(node)]
            if _is(node, WEIGHT):
                values, scales = self.values[_operand(node)], self.values[_nodes(node.args)[1]]
                return Weight(node.name, values, scales, int(node.args[3]))  # pyright: ignore[reportArgumentType]  (a number)
            read = self.rectified.get(node, node).all_input_nodes
            known = all(isinstance(self.values[each], (np.ndarray, Weight)) for each in read)
            return self._computed(node) if known and node not in self.rectified else self._in_float(node)
        except Unsupported as error:
            raise Refused(self.captured.name, node, str(error)) from error

    def _integers(self, node: Node, fused: Fused) -> Value:
        """What ends with ``node``, a quantiser, as one int8 operator."""
        computing, grid = fused.computing, _grid(node)
        arguments = [self._argument(each) for each in computing.args]
        if computing.target in LAYERS:
            return self._layer(computing, arguments, Output(computing.name, fused.relu, grid))
        if computing.target in ARITHMETIC:
            return binary(self.graph, ARITHMETIC[computing.target], arguments[0], arguments[1], computing.name, fused.relu, grid)
        if computing in self.turned:
            value = depth_to_space(self.graph, arguments[0], arguments[1], computing.name)
        else:
            if computing.target in JOINING:
                parts = arguments[0] if isinstance(arguments[0], list) else [arguments[0]]
                parts = [self.graph.quantized(each, grid, f"{computing.name}.{index}.grid") for index, each in enumerate(parts)]
                arguments[0] = parts if isinstance(arguments[0], list) else parts[0]
            value = self.writers[computing.target](self.graph, computing, *arguments, **computing.kwargs)
        return self.graph.quantized(value, grid, node.name)

    def _in_float(self, node: Node) -> Value:
        computing = self.rectified.get(node, node)
        writer = self.writers.get(computing.target)
        if writer is None:
            raise Refused(self.captured.name, computing)
        arguments = [self._real(self._argument(each)) for each in computing.args]
        if computing.target in LAYERS:
            return self._layer(computing, arguments, Output(computing.name, computing is not node))
        if computing in self.turned:
            return depth_to_space(self.graph, arguments[0], arguments[1], computing.name)
        return writer(self.graph, computing, *arguments, **{key: self._argument(each) for key, each in computing.kwargs.items()})

    def _layer(self, node: Node, arguments: list[Any], output: Output) -> Value:
        """A layer, its channels in LiteRT's order where they become the places of a pixel shuffle."""
        layers: dict[Any, Any] = LAYERS
        weight, bias = self._weight(node), arguments[2] if len(arguments) > 2 else None
        if node in self.turned:
            outputs, factor = weight.array.shape[0], self.turned[node]
            order = np.arange(outputs).reshape(-1, factor**2).T.ravel()
            scales = weight.scales[order] if weight.scales is not None else None
            weight = Weight(weight.name, weight.array[order], scales, weight.axis)
            bias = bias[order] if bias is not None else None
        layer: Any = layers[node.target]
        return layer(self.graph, arguments[0], weight, bias, *arguments[3:], **node.kwargs, output=output)

    def _weight(self, node: Node) -> Weight:
        found = self.values[_nodes(node.args)[1]]
        if isinstance(found, np.ndarray):
            return Weight(node.name, found)
        if not isinstance(found, Weight):
            raise Unsupported("LiteRT's layers have constant weights")
        axes: dict[Any, int] = CHANNEL_AXIS
        axis = axes.get(node.target, 0)
        if found.axis != axis:
            raise Unsupported("a weight whose scales are not those of its output channels")
        return Weight(node.name, found.array, found.scales, axis)

    def _argument(self, argument: Any) -> Any:
        if isinstance(argument, Node):
            return self.values[argument]
        return [self._argument(each) for each in argument] if isinstance(argument, (list, tuple)) else argument

    def _real(self, argument: Any) -> Any:
        if isinstance(argument, Value):
            return self.graph.real(argument)
        if isinstance(argument, list):
            return [self._real(each) for each in argument]
        return _numbers(argument) if isinstance(argument, Weight) else argument

    def _computed(self, node: Node) -> np.ndarray:
        """Of constants alone."""
        given = map_arg((node.args, dict(node.kwargs)), lambda each: torch.from_numpy(np.array(_plain(self.values[each]))))
        target: Any = node.target
        return target(*given[0], **given[1]).detach().numpy()

    def _outputs(self) -> Iterator[tuple[str, int]]:
        (node,) = (node for node in self.module.graph.nodes if node.op == "output")
        taken = {value.index for each, value in self.values.items() if each.op == "placeholder"}
        for spec, result in zip(self.captured.outputs, _nodes(node.args), strict=True):
            value = self.values[result]
            value = constant_operand(self.graph, value, spec.name) if isinstance(value, np.ndarray) else self.graph.real(value)
            value = self.graph.channels_last(value) if len(value.shape) == 4 else self.graph.plain(value)
            if value.index in taken:  # an input, or an output already
                value = self.graph.named(value, spec.name)
            taken.add(value.index)
            yield spec.name, value.index


def _fused(module: GraphModule) -> Iterator[tuple[Node, Fused]]:
    """The quantisers whose integers one int8 operator can give."""
    for node in module.graph.nodes:
        if not _is(node, QUANTIZE):
            continue
        root = _operand(node)
        relu = root.target is RELU and len(root.users) == 1
        computing = _operand(root) if relu else root
        if computing.op == "call_function" and len(computing.users) == 1 and len(root.users) == 1 and _reads_integers(computing, relu):
            yield node, Fused(computing, relu)


def _rectified(module: GraphModule) -> Iterator[tuple[Node, Node]]:
    """ReLUs in float behind a layer that nothing else reads, each with its layer."""
    for node in module.graph.nodes:
        if node.target is RELU and _operand(node).target in LAYERS and len(_operand(node).users) == 1:
            yield node, _operand(node)


def _turned(module: GraphModule) -> Iterator[tuple[Node, int]]:
    """Pixel shuffles right behind a convolution, and these convolutions, each with the factor."""
    for node in module.graph.nodes:
        if node.target is not aten.pixel_shuffle.default:
            continue
        source, factor = _operand(node), int(node.args[1])
        chain = [source]
        while (_is(source, DEQUANTIZE) or _is(source, QUANTIZE) or source.target is RELU) and source.op == "call_function":
            source = _operand(source)
            chain.append(source)
        if source.target in CONVOLUTIONS and all(len(each.users) == 1 for each in chain):
            yield from ((node, factor), (source, factor))


def _reads_integers(node: Node, relu: bool) -> bool:
    activations = node.all_input_nodes
    if node.target in LAYERS:
        given = _nodes(node.args)
        return _is(given[0], DEQUANTIZE) and _is(given[1], WEIGHT)
    if node.target in ARITHMETIC:
        return len(activations) == len(node.args) and not node.kwargs and all(_is(each, DEQUANTIZE) for each in activations)
    return not relu and node.target in PASSING and bool(activations) and all(_is(each, DEQUANTIZE) for each in activations)


def _is(node: Node, name: str) -> bool:
    return node.op == "call_function" and str(node.target) == f"quantized_decomposed.{name}.default"


def _operand(node: Node) -> Node:
    return node.all_input_nodes[0]


def _nodes(arguments: Any) -> list[Node]:
    """All nodes among arguments, in order."""
    if isinstance(arguments, Node):
        return [arguments]
    return [node for each in arguments for node in _nodes(each)] if isinstance(arguments, (list, tuple)) else []


def _grid(node: Node) -> Grid:
    scale, zero_point, kind = node.args[1], node.args[2], node.args[5]
    shift = UNSIGNED if kind is torch.uint8 else 0
    return Grid(np.float32(scale), int(zero_point) - shift)  # pyright: ignore[reportArgumentType]  (a number)


def _attribute(module: GraphModule, path: str) -> np.ndarray:
    found: Any = module
    for name in path.split("."):
        found = getattr(found, name)
    return found.detach().cpu().numpy()


def _numbers(weight: Weight) -> np.ndarray:
    """What an int8 weight stands for."""
    shape = [1] * weight.array.ndim
    shape[weight.axis] = -1
    scales = np.ones(1) if weight.scales is None else weight.scales
    return (weight.array * scales.reshape(shape)).astype(np.float32)


def _plain(value: np.ndarray | Weight) -> np.ndarray:
    return _numbers(value) if isinstance(value, Weight) else value
