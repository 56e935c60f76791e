"""A network in the widths of its checkpoint: what lets a pruned checkpoint be loaded by the code of the whole network."""

import warnings
from collections.abc import Mapping

import torch
from torch import Tensor, nn
from torch.nn.modules.batchnorm import _NormBase
from torch.nn.modules.conv import _ConvNd

from .slim_attention import SlimAttention


def resize(module: nn.Module, shapes: Mapping[str, torch.Size]) -> None:
    """Gives every tensor of ``module`` the shape that ``shapes`` says, by tensor name; what the tensors hold is then undefined.

    Axes only become shorter, and kernels of convolutions keep their size. What does not fit otherwise stays as it is, for ``load_tensors``
    to name.
    """
    for path, layer in list(module.named_modules()):
        if isinstance(layer, nn.MultiheadAttention) and f"{path}.query.weight" in shapes:
            module.set_submodule(path, SlimAttention(layer))
    narrowed: dict[int, Tensor] = {}
    for path, layer in module.named_modules():
        prefix = f"{path}." if path else ""
        for name, value in (*layer.named_parameters(recurse=False), *layer.named_buffers(recurse=False)):
            shape = shapes.get(f"{prefix}{name}")
            if shape is None or not _narrower(layer, value.shape, shape):
                continue
            # A tensor that several layers share stays shared.
            if id(value) not in narrowed:
                empty = torch.zeros(shape, dtype=value.dtype)
                narrowed[id(value)] = nn.Parameter(empty, value.requires_grad) if isinstance(value, nn.Parameter) else empty
            if name == "weight":
                _set_widths(layer, shape)
            setattr(layer, name, narrowed[id(value)])
    if narrowed:
        # Of an instance norm without weights, which works at any width; no tensor says what it is now.
        warnings.filterwarnings("ignore", "input's size at dim=", UserWarning)


def _narrower(layer: nn.Module, own: torch.Size, shape: torch.Size) -> bool:
    kernel = len(own) - 2 if isinstance(layer, _ConvNd) else 0
    fits = len(own) == len(shape) and all(new <= old for new, old in zip(shape, own, strict=True))
    return fits and own != shape and own[len(own) - kernel :] == shape[len(own) - kernel :]


def _set_widths(layer: nn.Module, weight: torch.Size) -> None:
    match layer:
        case _ConvNd(transposed=True):
            if layer.groups == layer.in_channels and layer.groups > 1:
                layer.groups = weight[0]
            layer.in_channels, layer.out_channels = weight[0], weight[1] * layer.groups
        case _ConvNd():
            if layer.groups == layer.in_channels and layer.groups > 1:
                layer.groups = weight[0] // (layer.out_channels // layer.in_channels)
            layer.in_channels, layer.out_channels = weight[1] * layer.groups, weight[0]
        case nn.Linear():
            layer.in_features, layer.out_features = weight[1], weight[0]
        case nn.Embedding():
            layer.embedding_dim = weight[1]
        case _NormBase():
            layer.num_features = weight[0]
        case nn.GroupNorm():
            if layer.num_groups == layer.num_channels:
                layer.num_groups = weight[0]
            layer.num_channels = weight[0]
        case nn.PReLU():
            layer.num_parameters = weight[0]
        case _ if hasattr(layer, "normalized_shape"):
            # Of PyTorch's layer norm and of the many that are written after it.
            layer.normalized_shape = tuple(weight)  # type: ignore[assignment]
        case _:
            pass
