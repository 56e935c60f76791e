"""Batch norm with running statistics: folded into the convolution or linear layer before it, or written out as x * scale + shift.

Folded where every use of the weight is followed by the same batch norm and by nothing else, so that no other reader sees
the change: one convolution and one norm, or both together in a loop.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any, cast

import torch
from torch import Tensor, nn
from torch.fx import GraphModule, Node

from ..program import module_path
from .nodes import (
    CONVOLUTIONS,
    LINEAR,
    TRANSPOSED,
    argument,
    call_before,
    calls,
    new_parameter,
    origin,
    replace,
    set_origin,
    set_parameter,
    shape_of,
    tensor_of,
)

aten = torch.ops.aten
BATCH_NORM = aten.batch_norm.default


@dataclass(frozen=True)
class _Affine:
    """A batch norm as x * scale + shift, each (C,), float64."""

    scale: Tensor
    shift: Tensor


def fold_batch_norm(module: GraphModule) -> None:
    """Folds every batch norm that can be, and writes the others out. None is left."""
    for weight, norms in list(_foldable(module)):
        _fold(module, weight, norms)
    shared: dict[Any, tuple[Node, Node]] = {}
    for norm in calls(module, (BATCH_NORM,)):
        _write_out(module, norm, shared)
    module.graph.eliminate_dead_code()


@torch.no_grad()
def unfold_batch_norm(captured: GraphModule, module: nn.Module, weights: Mapping[str, Tensor]) -> None:
    """Puts weights of a graph in normal form into the module that it was captured from, in place.

    A batch norm that is folded there adds the bias and does nothing else from here on.

    Args:
        captured: of the module, before it got its normal form.
        weights: by name; others than ``names_to_unfold`` are left out.
    """
    own = dict(module.named_parameters())
    for name, value in weights.items():
        if name in own:
            own[name].copy_(value)
    buffers = dict(module.named_buffers())
    for weight, (norm, *_) in _foldable(captured):
        layer: Node = norm.args[0]  # type: ignore[assignment]
        gain, shift, mean, variance = (None if part is None else str(part.target) for part in _parts(norm))
        bias = argument(layer, "bias")
        if gain is not None and shift is not None:
            own[gain].fill_(1)
            own[shift].zero_()
        buffers[str(variance)].fill_(1 - argument(norm, "eps"))
        buffers[str(mean)].zero_()
        if bias is None:
            buffers[str(mean)].copy_(-weights[_beside(str(weight.target))])


def names_to_unfold(captured: GraphModule, module: nn.Module) -> set[str]:
    """The weights of the normal form that ``unfold_batch_norm`` can put back: the module's own, and biases that folded norms became."""
    folded = [(str(weight.target), norm.args[0]) for weight, (norm, *_) in _foldable(captured)]
    biases = {_beside(weight) for weight, layer in folded if argument(layer, "bias") is None}  # type: ignore[arg-type]
    return biases.union(name for name, _ in module.named_parameters())


def _foldable(module: GraphModule) -> Iterator[tuple[Node, list[Node]]]:
    """Weights with the batch norms, all of the same numbers, that follow every use of them."""
    for weight in [node for node in module.graph.nodes if node.op == "get_attr"]:
        followers = [_only_batch_norm(layer, weight) for layer in weight.users]
        norms = [norm for norm in followers if norm is not None]
        if norms and len(norms) == len(followers) and len({norm.args[1:] for norm in norms}) == 1 and _is_constant(norms[0]):
            yield weight, norms


def _only_batch_norm(layer: Node, weight: Node) -> Node | None:
    """The batch norm that alone reads a layer with this weight, if there is one."""
    if layer.target not in CONVOLUTIONS and layer.target is not LINEAR:
        return None
    bias = argument(layer, "bias")
    if layer.args[1] is not weight or layer.args[0] is weight or len(layer.users) != 1:
        return None
    if bias is not None and (bias.op != "get_attr" or bias is weight):
        return None
    reader = next(iter(layer.users))
    # A linear layer's features are its last axis, a batch norm's channels the second: the same for vectors only.
    matching = layer.target is not LINEAR or len(shape_of(layer)) == 2
    return reader if reader.target is BATCH_NORM and reader.args[0] is layer and matching else None


def _is_constant(norm: Node) -> bool:
    return all(part is None or part.op == "get_attr" for part in _parts(norm))


def _parts(norm: Node) -> tuple[Node | None, ...]:
    """Weight, bias, running mean and running variance."""
    return norm.args[1:5]  # type: ignore[return-value]


def _affine(module: GraphModule, norm: Node) -> _Affine:
    """Ioffe and Szegedy 2015: (x - mean) / sqrt(variance + eps) * weight + bias."""
    weight, bias, mean, variance = (None if part is None else tensor_of(module, part).double() for part in _parts(norm))
    scale = (cast(Tensor, variance) + argument(norm, "eps")).rsqrt()
    scale = scale if weight is None else scale * weight
    shift = -cast(Tensor, mean) * scale
    return _Affine(scale, shift if bias is None else shift + bias)


@torch.no_grad()
def _fold(module: GraphModule, weight: Node, norms: list[Node]) -> None:
    affine = _affine(module, norms[0])
    layers: list[Node] = [norm.args[0] for norm in norms]  # type: ignore[misc]
    biases: dict[Node | None, Node] = {}
    value = tensor_of(module, weight)
    for norm, layer in zip(norms, layers, strict=True):
        bias = argument(layer, "bias")
        if bias not in biases:
            before = torch.zeros_like(affine.shift) if bias is None else tensor_of(module, bias).double()
            folded = (before * affine.scale + affine.shift).to(value.dtype)
            if bias is not None and set(bias.users) <= set(layers):
                set_parameter(module, str(bias.target), folded, value.requires_grad)
                biases[bias] = bias
            else:
                biases[bias] = new_parameter(module, weight, _beside(str(weight.target)), folded, value.requires_grad)
        layer.args = (*layer.args[:2], biases[bias], *layer.args[3:])
        set_origin(layer, origin(norm))
        replace(norm, layer)
    scaled = _scaled(layers[0], value.double(), affine.scale).to(value.dtype)
    set_parameter(module, str(weight.target), scaled, value.requires_grad)


def _scaled(layer: Node, weight: Tensor, scale: Tensor) -> Tensor:
    """A weight with each output channel times its scale. Transposed: (in, out / groups, ...), the input channels in groups."""
    if layer.target not in TRANSPOSED:
        return weight * scale.reshape(-1, *[1] * (weight.dim() - 1))
    groups = argument(layer, "groups")
    grouped = weight.reshape(groups, -1, *weight.shape[1:]) * scale.reshape(groups, 1, -1, *[1] * (weight.dim() - 2))
    return grouped.reshape(weight.shape)


def _beside(weight: str) -> str:
    """The name of the bias of a weight."""
    return f"{weight.removesuffix('weight')}bias" if weight.endswith("weight") else f"{weight}_bias"


def _write_out(module: GraphModule, norm: Node, shared: dict[Any, tuple[Node, Node]]) -> None:
    """x * scale + shift, with two parameters for all norms of the same statistics."""
    axes = [-1, *[1] * (len(shape_of(norm)) - 2)]
    if not _is_constant(norm):
        _write_out_computed(norm, axes)
        return
    key = (norm.args[1:], len(axes))
    if key not in shared:
        affine, path = _affine(module, norm), module_path(norm)
        first = next(iter(module.graph.nodes))
        scale, shift = (
            new_parameter(module, first, f"{path}.{name}" if path else f"{norm.name}_{name}", value.float().reshape(axes))
            for name, value in (("scale", affine.scale), ("shift", affine.shift))
        )
        shared[key] = scale, shift
    scale, shift = shared[key]
    result = call_before(norm, aten.add.Tensor, (call_before(norm, aten.mul.Tensor, (norm.args[0], scale)), shift))
    set_origin(result, origin(norm))
    replace(norm, result)


def _write_out_computed(norm: Node, axes: list[int]) -> None:
    """A norm whose scale, shift or statistics come out of the network, operator by operator."""

    def shaped(part: Node) -> Node:
        made = call_before(norm, aten.reshape.default, (part, axes))
        made.meta["val"] = part.meta["val"].reshape(axes)
        return made

    weight, bias, mean, variance = (None if part is None else shaped(part) for part in _parts(norm))
    spread = call_before(norm, aten.add.Scalar, (variance, argument(norm, "eps")))
    inverse = call_before(norm, aten.rsqrt.default, (spread,))
    spread.meta["val"] = inverse.meta["val"] = cast(Node, variance).meta["val"]
    centred = call_before(norm, aten.sub.Tensor, (norm.args[0], mean))
    result = call_before(norm, aten.mul.Tensor, (centred, inverse))
    for target, part in ((aten.mul.Tensor, weight), (aten.add.Tensor, bias)):
        result = result if part is None else call_before(norm, target, (result, part))
    set_origin(result, origin(norm))
    replace(norm, result)
