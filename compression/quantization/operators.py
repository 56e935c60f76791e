"""Operators by what they do to integers, and what a node of a graph reads and is made of."""

import torch
from torch.fx import GraphModule, Node

aten = torch.ops.aten
LINEARS = {aten.linear.default}
ADDITIONS = {aten.add.Tensor}
RELUS = {aten.relu.default}
PRODUCTS = {aten.mul.Tensor}
CONCATENATIONS = {aten.cat.default}
# Functions of each number alone.
POINTWISE = {
    aten.leaky_relu.default,
    aten.prelu.default,
    aten.relu6.default,
    aten.hardtanh.default,
    aten.clamp.default,
    aten.sigmoid.default,
    aten.hardsigmoid.default,
    aten.tanh.default,
    aten.silu.default,
    aten.hardswish.default,
    aten.gelu.default,
    aten.elu.default,
    aten.mish.default,
}
# Of each channel alone, and linear or a choice in it: what is scaled before is scaled after.
BY_CHANNEL = {
    aten.max_pool2d.default,
    aten.avg_pool2d.default,
    aten.adaptive_avg_pool2d.default,
    aten.upsample_nearest2d.vec,
    aten.upsample_nearest2d.default,
    aten.upsample_bilinear2d.vec,
    aten.upsample_bilinear2d.default,
    aten.reflection_pad2d.default,
    aten.clone.default,
}
PASS_THROUGH = BY_CHANNEL | {
    aten.pixel_shuffle.default,
    aten.pixel_unshuffle.default,
    aten.pad.default,
    aten.slice.Tensor,
    aten.flatten.using_ints,
    aten.reshape.default,
    aten.view.default,
}


def is_feature_map(node: object) -> bool:
    """(N, C, H, W) of float32 with more than one position: statistics kept as (N, C, 1, 1) are none, nor are grids of integers."""
    value = node.meta.get("val") if isinstance(node, Node) else None
    return isinstance(value, torch.Tensor) and is_float32(node) and value.dim() == 4 and value.shape[2] * value.shape[3] > 1


def is_float32(node: object) -> bool:
    """Whether a value can be quantised at all."""
    value = node.meta.get("val") if isinstance(node, Node) else None
    return isinstance(value, torch.Tensor) and value.dtype is torch.float32


def rank(node: object) -> int:
    """Number of dimensions; 0 of what is no node."""
    return node.meta["val"].dim() if isinstance(node, Node) else 0


def activation_inputs(node: Node) -> list[Node]:
    """The inputs of an int8 operator that are activations."""
    if node.target in CONCATENATIONS:
        return list(node.args[0])  # type: ignore[arg-type]
    return [part for part in node.args[: 2 if node.target in ADDITIONS | PRODUCTS else 1] if isinstance(part, Node)]


def reads_integers(layer: Node) -> bool:
    """Whether the input and the weight of a layer of a prepared graph are quantised."""
    return all(isinstance(part, Node) and part.op == "call_module" for part in layer.args[:2])


def carries(node: Node) -> bool:
    """Whether integers may go in and come out, if they are of use to what follows."""
    return node.target in PASS_THROUGH | RELUS | POINTWISE


def source_of(node: Node) -> Node:
    """What a value is made of: past all that only passes it on or takes each number alone."""
    while node.op == "call_function" and carries(node):
        node = activation_inputs(node)[0]
    return node


def before(model: GraphModule, layers: set[Node]) -> set[Node]:
    """All that some layer's input is made of."""
    found: set[Node] = set()
    for node in reversed(model.graph.nodes):
        if any(user in found or user in layers for user in node.users):
            found.add(node)
    return found


def can_join(node: Node, integers: set[Node]) -> bool:
    """Whether a node joins tensors in a way that integers can do.

    Args:
        integers: the layers and joins before it.
    """
    if node.target in CONCATENATIONS:
        return is_feature_map(node)
    parts = activation_inputs(node) if node.target in ADDITIONS | PRODUCTS else []
    if len(parts) != 2 or not any(map(is_feature_map, parts)):
        return False
    left, right = (part.meta["val"].shape if isinstance(part.meta.get("val"), torch.Tensor) else None for part in parts)
    if node.target in ADDITIONS:
        return left == right and all(map(is_feature_map, parts))
    # A factor that is no layer's output is a statistic or a style. Gates have one number for each channel, or for each place.
    gate = left is not None and right is not None and len(left) == len(right) and left[:1] == right[:1]
    return gate and all(is_float32(part) and source_of(part) in integers and source_of(part).target not in LINEARS for part in parts)
