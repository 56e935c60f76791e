"""Gives each output channel of a convolution a grid of its own where only float operators read it.

An int8 output has one scale for all channels, so the loudest of them decides how coarse the others are. A norm that follows
divides every channel by its own spread, and with it by the share of the grid that the channel did not use. Here the
convolution's weight and bias are multiplied by a factor k for each channel, so that all of them fill the grid, an offset m moves
each to its middle, and both are taken back behind the grid:

    f(conv(x, w, b))  ->  f(grid(conv(x, k w, k (b - m))) / k + m)

Exact in float whatever reads the result, since nothing lies in between but the grid. Cross-layer equalisation
(Nagel et al. 2019, arXiv:1906.04721) with a norm in the place of the next layer. Targets may take factors and offsets into
their dequantisation; weights keep their integers, because their scales are by output channel already.
"""

from collections.abc import Mapping

import torch
from torch import Tensor
from torch.fx import GraphModule, Node

from ...capture.normalization.nodes import argument, new_name, new_parameter, origin, set_origin, set_parameter, tensor_of
from ...capture.program import CONVOLUTIONS

aten = torch.ops.aten
PLAIN = CONVOLUTIONS - {aten.conv_transpose2d.input}


def convolutions_of(module: GraphModule, weight: str) -> list[Node]:
    """The plain convolutions that read a parameter as their weight, if nothing else reads it."""
    found = next((node for node in module.graph.nodes if node.op == "get_attr" and node.target == weight), None)
    readers = _through_grids(found) if found is not None else []
    return readers if all(node.target in PLAIN for node in readers) else []


def scale_channels(module: GraphModule, factors: Mapping[str, Tensor]) -> None:
    """Rewrites a graph in normal form in place.

    Args:
        factors: (2, C), k above 0 and m, by the name of the weight of a convolution with C outputs; no other layer reads it or the bias.

    Raises:
        KeyError: there is no such weight.
    """
    for weight, factor in factors.items():
        (convolution,) = convolutions_of(module, weight) or (None,)
        if convolution is None:
            raise KeyError(weight)
        _scale(module, convolution, weight, factor)
    module.recompile()


@torch.no_grad()
def _scale(module: GraphModule, convolution: Node, weight: str, factors: Tensor) -> None:
    value, readers = tensor_of(module, convolution.args[1]), list(convolution.users)  # type: ignore[arg-type]
    bias = argument(convolution, "bias")
    if bias is None:
        bias = new_parameter(module, convolution, f"{weight}_bias", torch.zeros(factors.shape[1]), value.requires_grad)
        convolution.args = (*convolution.args[:2], bias, *convolution.args[3:])
    scaled = _scaled(value, tensor_of(module, bias), factors)
    for name, part in zip((weight, str(bias.target)), scaled, strict=True):
        set_parameter(module, name, part, value.requires_grad)
    shape = [-1, *[1] * (value.dim() - 2)]
    restored = _behind(module, convolution, aten.mul.Tensor, f"{weight}_rescale", (1 / factors[0].double()).float().reshape(shape))
    if factors[1].any():
        restored = _behind(module, restored, aten.add.Tensor, f"{weight}_reshift", factors[1].reshape(shape))
    set_origin(restored, origin(convolution))
    set_origin(convolution, None)
    for reader in readers:
        reader.replace_input_with(convolution, restored)


def _scaled(weight: Tensor, bias: Tensor, factors: Tensor) -> tuple[Tensor, Tensor]:
    factor, offset = factors.double()
    scaled = weight.double() * factor.reshape(-1, *[1] * (weight.dim() - 1))
    return scaled.to(weight.dtype), ((bias.double() - offset) * factor).to(weight.dtype)


def _behind(module: GraphModule, node: Node, operator: object, name: str, value: Tensor) -> Node:
    """A call with a constant behind a node, of the same module and shape."""
    chosen = new_name(module, name)
    owner, _, last = chosen.rpartition(".")
    module.get_submodule(owner).register_buffer(last, value.contiguous())
    with module.graph.inserting_after(node):
        constant = module.graph.get_attr(chosen)
    constant.meta["val"] = node.meta["val"].fake_mode.from_tensor(value)
    with module.graph.inserting_after(constant):
        made = module.graph.call_function(operator, (node, constant))  # type: ignore[arg-type]
    made.meta = dict(node.meta)
    set_origin(made, None)
    return made


def _through_grids(node: Node) -> list[Node]:
    """The readers of a value, those of its fake quantiser in the place of that."""
    return [reader for user in node.users for reader in (user.users if user.op == "call_module" else (user,))]


def scaled_weights(module: GraphModule, weights: Mapping[str, Tensor], factors: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Weights of a graph by name, as those of the same graph after ``scale_channels``, which is ``module``."""
    result = {name: value.detach() for name, value in weights.items()}
    for weight, factor in factors.items():
        (convolution,) = convolutions_of(module, weight)
        bias = str(argument(convolution, "bias").target)
        before = result.get(bias, torch.zeros_like(factor[0]))
        result[weight], result[bias] = _scaled(result[weight], before, factor)
    return result
