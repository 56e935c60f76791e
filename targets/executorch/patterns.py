"""An int8 program in the forms that ExecuTorch's XNNPACK delegate takes whole.

The delegate computes in int8 what stands between DequantizeLinear and QuantizeLinear. What nearly fits is worse than what does not: its
partitioner (1.5.1) marks the conversions around a layer as the layer's own before it refuses the layer, and they then convert nothing.
So every step here leaves patterns that fit, or none at all. The numbers are the program's; no grid is measured anew.
"""

from collections.abc import Iterator
from typing import Any

import torch
from torch.fx import GraphModule, Node

from ..unsigned_activations import unsigned_activations

aten = torch.ops.aten
# By name: the operators are there only where torchao was imported.
QUANTIZE, DEQUANTIZE, WEIGHT = "quantize_per_tensor", "dequantize_per_tensor", "dequantize_per_channel"
TRANSPOSED = aten.conv_transpose2d.input
LAYERS = frozenset({aten.conv1d.default, aten.conv2d.default, aten.conv2d.padding, TRANSPOSED, aten.linear.default})
# A layer's own in the delegate, where nothing else reads the layer.
ACTIVATIONS = frozenset({aten.relu.default, aten.relu6.default, aten.hardtanh.default})
# Their results are some of their inputs, rounded or not: the delegate wants one grid before and behind them.
PASSING = frozenset(
    {aten.max_pool2d.default, aten.cat.default, aten.clamp.default, *ACTIVATIONS}
    | {aten.permute.default, aten.transpose.int, aten.reshape.default, aten.view.default, aten.flatten.using_ints}
    | {aten.unsqueeze.default, aten.squeeze.dim, aten.slice.Tensor}
)
# The place of a transposed convolution's groups among its arguments, and the axis of its output channels.
GROUPS, OUTPUT_AXIS = 6, 1
UNSIGNED = 128


def fit(module: GraphModule) -> None:
    """Changes a captured int8 program in place.

    Ensures: activations are int8, those that cannot be negative with all 256 levels; each reader has a DequantizeLinear of its own;
    what passes values on has one grid; layers whose inputs or results are not integers read weights that a Cast and a Mul make.
    """
    unsigned_activations(module)
    for step in (_lay_out, _sign, _dequantize_for_each, _one_grid, _unfold_weights):
        step(module)
    module.graph.eliminate_dead_code()
    module.recompile()


def _lay_out(module: GraphModule) -> None:
    """Constants get the strides of their shape: ExecuTorch reads the order of axes from them, where an axis of one may have any."""
    for node in module.graph.nodes:
        if node.op == "get_attr":
            found = _tensor(module, node)
            plain = found.reshape(-1).reshape(found.shape)
            if plain.stride() != found.stride():
                owner, _, name = str(node.target).rpartition(".")
                module.get_submodule(owner)._buffers[name] = plain


def _sign(module: GraphModule) -> None:
    """uint8 becomes int8 with another zero point: XNNPACK's convolutions have signed weights and inputs."""
    for node in module.graph.nodes:
        if (_is(node, QUANTIZE) or _is(node, DEQUANTIZE)) and node.args[5] is torch.uint8:
            value, scale, zero_point, low, high, _ = node.args
            node.args = (value, scale, zero_point - UNSIGNED, low - UNSIGNED, high - UNSIGNED, torch.int8)


def _dequantize_for_each(module: GraphModule) -> None:
    """Whether a conversion is part of a layer is said of the conversion, so that two readers must not share one."""
    for node in list(module.graph.nodes):
        if _is(node, DEQUANTIZE) or _is(node, WEIGHT):
            for reader in list(node.users)[1:]:
                with module.graph.inserting_after(node):
                    reader.replace_input_with(node, module.graph.node_copy(node))


def _one_grid(module: GraphModule) -> None:
    """Converts to the result's grid before, not behind: rounding keeps the order of numbers, so that the result is the same."""
    for node in list(module.graph.nodes):
        (reader, *others) = node.users or (None,)
        if node.target not in PASSING or reader is None or others or not _is(reader, QUANTIZE):
            continue
        if not all(_is(each, DEQUANTIZE) for each in node.all_input_nodes):
            continue
        grid = reader.args[1:]
        for source in tuple(node.all_input_nodes):
            if source.args[1:] != grid:
                with module.graph.inserting_before(node):
                    integers = _like(module, reader.target, (source, *grid), source)
                    node.replace_input_with(source, _like(module, source.target, (integers, *grid), source))


def _unfold_weights(module: GraphModule) -> None:
    """Weights of layers that XNNPACK does not compute in int8 stay int8 in the file, and are made float as it runs."""
    for node in list(module.graph.nodes):
        weight = node.args[1] if node.target in LAYERS else None
        if not isinstance(weight, Node) or not _is(weight, WEIGHT) or computes_integers(node):
            continue
        integers, scale, _, axis = weight.args[:4]
        assert isinstance(integers, Node) and isinstance(scale, Node) and isinstance(axis, int)
        scales = _tensor(module, scale)
        shape = [1] * integers.meta["val"].dim()
        shape[axis] = -1
        name = f"{node.name}_scales"
        module.register_buffer(name, scales.reshape(shape).contiguous())
        with module.graph.inserting_before(node):
            real = _like(module, aten._to_copy.default, (integers,), weight)
            real.kwargs = {"dtype": torch.float32}
            factor = module.graph.get_attr(name)
            factor.meta = {key: value for key, value in weight.meta.items() if key != "val"}
            node.replace_input_with(weight, _like(module, aten.mul.Tensor, (real, factor), weight))


def computes_integers(node: Node) -> bool:
    """Whether a layer is one that the delegate takes in int8: integers in, weights of a scale for each output channel, integers out."""
    source, weight = node.args[:2]
    if not (isinstance(source, Node) and _is(source, DEQUANTIZE) and isinstance(weight, Node) and _is(weight, WEIGHT)):
        return False
    groups = node.args[GROUPS] if node.target is TRANSPOSED and len(node.args) > GROUPS else 1
    if node.target is TRANSPOSED and (groups != 1 or weight.args[3] != OUTPUT_AXIS):
        return False
    return any(_is(reader, QUANTIZE) for reader in _readers(node))


def _readers(node: Node) -> Iterator[Node]:
    """What alone reads a layer, or an activation that alone reads it."""
    if len(node.users) == 1:
        (reader,) = node.users
        yield from _readers(reader) if reader.target in ACTIVATIONS and node.target not in ACTIVATIONS else (reader,)


def _is(node: Node, name: str) -> bool:
    return node.op == "call_function" and str(node.target) == f"quantized_decomposed.{name}.default"


def _like(module: GraphModule, target: Any, arguments: tuple[Any, ...], origin: Node) -> Node:
    """A new call that belongs to the module of another one."""
    made = module.graph.call_function(target, arguments)
    made.meta = {key: value for key, value in origin.meta.items() if key != "val"}
    return made


def _tensor(module: GraphModule, node: Node) -> torch.Tensor:
    found: Any = module
    for name in str(node.target).split("."):
        found = getattr(found, name)
    return found.detach()
