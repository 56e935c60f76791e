"""A constant factor behind a convolution, one number or one for each channel, is part of its weight: learnt scales of residual branches."""

import torch
from torch import Tensor
from torch.fx import GraphModule, Node

from .nodes import CONVOLUTIONS, TRANSPOSED, argument, calls, origin, replace, set_origin, set_parameter, shape_of, tensor_of

aten = torch.ops.aten


def fold_scales(module: GraphModule) -> None:
    """Folds the products whose convolution, weight and bias nobody else reads."""
    for product in calls(module, (aten.mul.Tensor,)):
        layers = [part for part in product.args if isinstance(part, Node) and part.target in CONVOLUTIONS]
        factors = [part for part in product.args if isinstance(part, Node) and part.op == "get_attr"]
        if len(layers) == len(factors) == 1 and len(layers[0].users) == 1 and _fits(module, layers[0], factors[0]):
            _fold(module, product, layers[0], tensor_of(module, factors[0]).detach())
    module.graph.eliminate_dead_code()


def _fits(module: GraphModule, layer: Node, factor: Node) -> bool:
    parts = [argument(layer, "weight"), *([argument(layer, "bias")] if argument(layer, "bias") is not None else [])]
    own = all(part.op == "get_attr" and len(part.users) == 1 for part in parts)
    shape, wanted = tuple(tensor_of(module, factor).shape), shape_of(layer)
    padded = (1,) * (len(wanted) - len(shape)) + shape
    per_channel = padded == (1, wanted[1], *[1] * (len(wanted) - 2))
    grouped = layer.target in TRANSPOSED and argument(layer, "groups") != 1
    return own and not grouped and (per_channel or set(shape) <= {1}) and len(shape) <= len(wanted)


@torch.no_grad()
def _fold(module: GraphModule, product: Node, layer: Node, factor: Tensor) -> None:
    weight, bias = argument(layer, "weight"), argument(layer, "bias")
    value = tensor_of(module, weight)
    channels = [1] * value.dim()
    channels[1 if layer.target in TRANSPOSED else 0] = -1
    set_parameter(module, str(weight.target), value * factor.reshape(channels), value.requires_grad)
    if bias is not None:
        set_parameter(module, str(bias.target), tensor_of(module, bias) * factor.reshape(-1), value.requires_grad)
    set_origin(layer, origin(product))
    replace(product, layer)
