"""Attention heads: which modules have heads that can be removed, what each matters, and removing them for real."""

from collections.abc import Callable, Sequence
from typing import Protocol, runtime_checkable

import torch
from torch import nn

from ...model.slim_attention import SlimAttention
from .channels import ChannelGroup, Slots


@runtime_checkable
class PrunableHeads(Protocol):
    """What a module declares so that its heads can be removed."""

    @property
    def heads(self) -> int:
        """How many there are."""
        ...

    @property
    def reader(self) -> str:
        """Name of the layer that reads the heads' outputs, each an equal share of its inputs, in order."""
        ...

    def keep_heads(self, indices: Sequence[int]) -> None:
        """Removes the other heads' weights for good."""
        ...


def expose_heads(module: nn.Module, asked: Callable[[str], bool] = lambda _: True) -> dict[str, PrunableHeads]:
    """All modules with removable heads, by path; an ``nn.MultiheadAttention`` is replaced by a ``SlimAttention`` of the same weights.

    Args:
        asked: of a module's path, whether its heads may go: an ``nn.MultiheadAttention`` stays what it is otherwise.
    """
    for path, child in list(module.named_modules()):
        if isinstance(child, nn.MultiheadAttention) and path and asked(path):
            module.set_submodule(path, SlimAttention(child))
    return heads_of(module)


def heads_of(module: nn.Module) -> dict[str, PrunableHeads]:
    """All modules with removable heads, by path."""
    return {path: child for path, child in module.named_modules() if isinstance(child, PrunableHeads)}


def head_group(path: str, attention: PrunableHeads) -> ChannelGroup:
    """The heads of one module as a group, so that they are scored as channels are."""
    layer = attention.get_submodule(attention.reader)  # type: ignore[attr-defined]
    inputs = torch.arange(layer.in_features if isinstance(layer, nn.Linear) else layer.in_channels)
    heads = inputs // (len(inputs) // attention.heads)
    return ChannelGroup(path, attention.heads, (Slots(f"{path}.{attention.reader}.weight", 1, inputs, heads, read=True),))
