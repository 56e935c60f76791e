"""A network in the widths of its checkpoint: what lets a pruned checkpoint be loaded by the code of the whole network."""

from collections.abc import Mapping

import torch
from torch import Tensor, nn

from .slim_attention import SlimAttention


def resize(module: nn.Module, shapes: Mapping[str, torch.Size]) -> None:
    """Gives every layer of ``module`` the widths that ``shapes`` says, by tensor name; what the tensors hold is then undefined.

    Only channels of convolutions, linear layers and normalisations change. What does not fit otherwise stays as it is, for
    ``load_tensors`` to name.
    """
    for path, layer in list(module.named_modules()):
        if isinstance(layer, nn.MultiheadAttention) and f"{path}.query.weight" in shapes:
            module.set_submodule(path, SlimAttention(layer))
    for path, layer in module.named_modules():
        prefix = f"{path}." if path else ""
        weight = shapes.get(f"{prefix}weight")
        own = getattr(layer, "weight", None)
        if weight is None or not isinstance(own, Tensor) or own.dim() != len(weight) or own.shape[2:] != weight[2:]:
            continue
        if own.shape == weight:
            continue
        _set_widths(layer, weight)
        for name, value in (*layer.named_parameters(recurse=False), *layer.named_buffers(recurse=False)):
            if f"{prefix}{name}" in shapes and value.shape != shapes[f"{prefix}{name}"]:
                empty = torch.zeros(shapes[f"{prefix}{name}"], dtype=value.dtype)
                setattr(layer, name, nn.Parameter(empty, requires_grad=value.requires_grad) if isinstance(value, nn.Parameter) else empty)


def _set_widths(layer: nn.Module, weight: torch.Size) -> None:
    match layer:
        case nn.ConvTranspose2d():
            layer.in_channels, layer.out_channels = weight[0], weight[1] * layer.groups
        case nn.Conv2d():
            if layer.groups == layer.in_channels and layer.groups > 1:
                layer.groups = weight[0] // (layer.out_channels // layer.in_channels)
            layer.in_channels, layer.out_channels = weight[1] * layer.groups, weight[0]
        case nn.Linear():
            layer.in_features, layer.out_features = weight[1], weight[0]
        case nn.BatchNorm2d() | nn.InstanceNorm2d():
            layer.num_features = weight[0]
        case nn.GroupNorm():
            layer.num_channels = weight[0]
        case nn.PReLU():
            layer.num_parameters = weight[0]
        case _:
            pass
