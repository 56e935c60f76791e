"""Channels that can only be removed together, what each of them matters, and a network without some of them.

A convolution's output channel is also a channel of every normalisation, scale, skip, residual sum and AdaIN that it passes on its way
to the layers that read it, and of the other half of a gate. ``trace.py`` follows them.
"""

import copy
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from math import gcd

import numpy as np
import torch
from torch import Tensor, nn

from ...model.resize import resize
from ...system.errors import PruneError
from .books import Block, ChannelTrace
from .location import Location
from .trace import Pass, trace


@dataclass(frozen=True)
class Slots:
    """Entries of a stored tensor that belong to a group: ``indices[i]`` along ``axis`` to the group's channel ``channels[i]``.

    Attributes:
        tensor: name in the state dict.
        made, read: whether it is a weight whose output, or input, these entries are.
    """

    tensor: str
    axis: int
    indices: Tensor
    channels: Tensor
    made: bool = False
    read: bool = False

    @property
    def layer(self) -> str:
        """Path of the module, or the tensor's name where a module has it beside others."""
        return self.tensor.removesuffix(".weight")


@dataclass(frozen=True)
class ChannelGroup:
    """Channels that are removed together, one index through all layers.

    Attributes:
        name: module path of the first layer that makes them.
        width: how many can be removed independently of each other; a layer may have several entries for each.
        slots: where they are.
        obstacle: why none can be removed, or empty.
        sites: reshapes whose reading they depend on, and how many readings each has.
    """

    name: str
    width: int
    slots: tuple[Slots, ...]
    obstacle: str = ""
    sites: tuple[tuple[int, int], ...] = ()

    @property
    def producers(self) -> tuple[str, ...]:
        """All layers that make them."""
        return tuple(dict.fromkeys(slots.layer for slots in self.slots if slots.made))

    @property
    def readers(self) -> tuple[Slots, ...]:
        """Weights that read them."""
        return tuple(slots for slots in self.slots if slots.read)

    def step(self, multiple: int) -> int:
        """How many have to go at a time so that widths of layers stay multiples of ``multiple``."""
        counts = {len(slots.indices) // self.width for slots in self.slots}
        return multiple // gcd(multiple, *counts)


@dataclass(frozen=True)
class Channels:
    """All groups of a network, as one traced pass found them.

    Attributes:
        roots: by group name, the unit that stands for each of its channels.
    """

    groups: tuple[ChannelGroup, ...]
    traced: ChannelTrace
    turns: Mapping[int, int]
    roots: Mapping[str, np.ndarray]

    @classmethod
    def none(cls) -> "Channels":
        """Of a network in which nothing is to be found."""
        return cls((), ChannelTrace(Location(), {}), {}, {})

    def silent(self, removed: Mapping[str, Sequence[int]]) -> np.ndarray:
        """For every unit whether it goes with the removed channels, by group."""
        gone = np.concatenate([self.roots[name][list(indices)] for name, indices in removed.items()])
        units = self.traced.units
        return np.isin(units.roots(np.arange(len(units.parents))), gone)


def find_channels(module: nn.Module, inputs: tuple[Tensor, ...], turns: Mapping[int, int] | None = None) -> Channels:
    """All groups of ``module``, found by running it on ``inputs``.

    Args:
        turns: readings of ambiguous reshapes, see ``ChannelTrace``.

    Raises:
        PruneError: it does not run.
    """
    try:
        found: Pass = trace(module, inputs, turns or {})
    except Exception as error:
        # Whatever a user's forward raises under tracing.
        raise PruneError(f"the channels of {type(module).__name__} cannot be followed: {type(error).__name__}: {error}") from error
    traced = found.trace
    made, read = (_roots_of(traced, ids) for ids in (traced.made, traced.read))
    producing = [block for block in traced.blocks if block.first in made]
    groups, roots = [], {}
    for together in _together(traced, producing):
        group, own = _describe(traced, together, made, read)
        groups.append(group)
        roots[group.name] = own
    return Channels(tuple(groups), traced, turns or {}, roots)


def _roots_of(traced: ChannelTrace, found: Sequence[np.ndarray]) -> set[int]:
    """First units of the axes that these are."""
    ids = np.unique(np.concatenate(found)) if found else np.arange(0)
    return {block.first for block in traced.blocks if np.isin(block.ids, ids).any()}


def _together(traced: ChannelTrace, producing: Sequence[Block]) -> list[list[Block]]:
    """Producers that make some of the same channels, in order of the first use of each."""
    order = {int(ids[0]): place for place, ids in reversed(list(enumerate(traced.made)))}
    groups: list[tuple[set[int], list[Block]]] = []
    for block in sorted(producing, key=lambda block: order.get(block.first, len(order))):
        roots = set(traced.units.roots(block.ids).tolist())
        met = [group for group in groups if group[0] & roots]
        groups = [group for group in groups if group not in met]
        groups.append((roots.union(*(own for own, _ in met)), [b for _, blocks in met for b in blocks] + [block]))
    return [blocks for _, blocks in groups]


def _describe(traced: ChannelTrace, producing: Sequence[Block], made: set[int], read: set[int]) -> tuple[ChannelGroup, np.ndarray]:
    units = traced.units
    everything = np.concatenate([units.roots(block.ids) for block in producing])
    _, first = np.unique(everything, return_index=True)
    roots = everything[np.sort(first)]
    place = {root: channel for channel, root in enumerate(roots.tolist())}
    slots = []
    for block in traced.blocks:
        own = units.roots(block.ids)
        indices = np.flatnonzero(np.isin(own, roots))
        if len(indices):
            channels = torch.tensor([place[root] for root in own[indices].tolist()])
            is_made, is_read = (block.first in blocks for blocks in (made, read))
            slots += [Slots(name, block.axis, torch.from_numpy(indices), channels, is_made, is_read) for name in block.names]
    reasons = [units.reasons[root] for root in roots.tolist() if root in units.reasons]
    obstacle = reasons[0] if reasons else "they can only go all together" if len(roots) == 1 else ""
    sites = tuple((site, count) for site, (ids, count) in traced.splits.items() if np.isin(units.roots(ids), roots).any())
    name = producing[0].names[0].removesuffix(".weight")
    return ChannelGroup(name, len(roots), tuple(slots), obstacle, sites), roots


def channel_scores(module: nn.Module, group: ChannelGroup) -> Tensor:
    """(width,) derivative of the loss, whose gradients ``module`` holds, by a factor on each channel where it is read.

    Where no weight reads them (both factors of an attention's product), it is by a factor where they are made.
    """
    total = torch.zeros(group.width)
    for slots in group.readers or tuple(slots for slots in group.slots if slots.made):
        weight = _tensor(module, slots.tensor)
        if weight.grad is None:
            continue  # a fixed filter, or one that this output does not depend on
        product = (weight.detach() * weight.grad).float().movedim(slots.axis, 0).flatten(1).sum(dim=1)
        total.index_add_(0, slots.channels, product[slots.indices])
    return total


def _tensor(module: nn.Module, name: str) -> Tensor:
    path, _, own = name.rpartition(".")
    return getattr(module.get_submodule(path), own)


def keep_best(scores: Tensor, ratio: float, multiple: int) -> Tensor:
    """Sorted indices of the most important channels, about ``1 - ratio`` of them.

    Args:
        multiple: their number is rounded to the nearest multiple of this, one multiple at least, where the width is one itself.
    """
    width = len(scores)
    count = width * (1 - ratio)
    step = multiple if width % multiple == 0 else 1
    kept = min(width, max(step, round(count / step) * step))
    return scores.argsort(descending=True, stable=True)[:kept].sort().values


def cut(module: nn.Module, groups: Iterable[ChannelGroup], removed: Mapping[str, Sequence[int]]) -> nn.Module:
    """A copy of ``module`` without the channels of ``removed``, by group name; unchecked."""
    tensors = module.state_dict()
    gone: dict[tuple[str, int], list[Tensor]] = {}
    for group in groups:
        for slots in group.slots if group.name in removed else ():
            chosen = torch.isin(slots.channels, torch.tensor(list(removed[group.name])))
            gone.setdefault((slots.tensor, slots.axis), []).append(slots.indices[chosen])
    for (name, axis), parts in gone.items():
        size = _tensor(module, name).shape[axis]
        kept = torch.from_numpy(np.setdiff1d(np.arange(size), torch.cat(parts).numpy()))
        tensors[name] = tensors[name].index_select(axis, kept)
    pruned = copy.deepcopy(module)
    resize(pruned, {name: value.shape for name, value in tensors.items()})
    pruned.load_state_dict(tensors)
    for parameter in pruned.parameters():
        parameter.grad = None
    return pruned
