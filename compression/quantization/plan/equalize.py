"""Cross-layer equalisation (Nagel et al. 2019, arXiv:1906.04721): the channels of a tensor made more equally loud, exactly.

An int8 tensor has one grid for all channels, so that the loudest of them decides how coarse the others are. Which tensors can be scaled
by their channels is in ``channel_groups``.
"""

import copy
from collections.abc import Iterable, Sequence

import torch
from torch import Tensor
from torch.fx import GraphModule, Interpreter, Node

from ....capture.normalization.nodes import TRANSPOSED, argument, tensor_of
from ..quantize import PreparedGraph, refresh_weight_ranges, set_mode
from .channel_groups import Group, Part, channel_groups, divide, is_depthwise, multiply, weight_of
from .output_error import OutputError

# Between 0, as it was, and 1, where channels that are quiet and much listened to become as loud as others and the weights that read them
# lose.
EXPONENTS, LARGEST = (0.25, 0.5, 0.75), 16.0
# What a group has to save of the whole error, and how many samples that is seen on.
SAVES, JUDGED = 0.005, 2
QUANTILE, VALUES = 0.9995, 1 << 16  # of a channel's numbers, and how many of them tell
QUIETEST = 2.0**-10  # as a share of the loudest: a channel may be dead, and its next value is not known


@torch.no_grad()
def equalized(given: PreparedGraph, samples: Sequence[tuple[Tensor, ...]]) -> dict[str, Tensor] | None:
    """Weights and biases by name, with which the float graph computes what it did, or None if nothing gains by it.

    Each group of tensors gets what moves the graph's outputs least, with all before it as they are by then: what quiet channels gain,
    the weights that read them lose. Ranges move with them, but only about so: they are to be measured anew.

    Args:
        given: with ranges, left as it is.
        samples: inputs in the graph's order, batch 1, on which loudness is seen and errors are.
    """
    prepared = copy.deepcopy(given)
    set_mode(prepared, fake_quantize=False)
    groups = list(channel_groups(prepared.module))
    watch = _Watch(prepared.module, {grid.node for group in groups for grid in group.grids})
    for inputs in samples:
        watch.run(*inputs)
    error, done = OutputError(prepared, samples[:JUDGED]), 0
    whole = error()
    for group in groups:
        change, best = _Change(prepared, group, watch.loudness()), 0.0
        for exponent in EXPONENTS:
            change.apply(exponent)
            found = error()
            if found < (1 - SAVES) * whole:
                whole, best = found, exponent
        watch.scale(group, change.apply(best))
        done += best > 0
    return {name: value.detach().clone() for name, value in prepared.module.named_parameters()} if done else None


class _Change:
    """Factors for a group, on top of what its weights and grids were.

    Args:
        loudness: (C,) of each grid.
    """

    def __init__(self, prepared: PreparedGraph, group: Group, loudness: dict[Node, Tensor]) -> None:
        self.prepared, self.group, self.loudness = prepared, group, loudness
        module, layers = prepared.module, (*group.makers, *(reader.node for reader in group.readers))
        tensors = [weight_of(module, layer) for layer in layers]
        tensors += [tensor_of(module, bias) for maker in group.makers if (bias := argument(maker, "bias")) is not None]
        tensors += [self._scale(grid) for grid in group.grids]
        self.before = [(tensor, tensor.clone()) for tensor in {id(tensor): tensor for tensor in tensors}.values()]

    def apply(self, exponent: float) -> Tensor:
        """The factors, (C,)."""
        for tensor, value in self.before:
            tensor.copy_(value)
        factors = _factors(self.prepared.module, self.group, self.loudness, exponent)
        for maker in self.group.makers:
            multiply(self.prepared.module, maker, factors)
        for reader in self.group.readers:
            divide(self.prepared.module, reader, factors)
        # Several nodes may share a grid: that of what is pooled and of the result.
        grown = {id(self._scale(grid)): (self._scale(grid), self._growth(grid, factors)) for grid in self.group.grids}
        for scale, growth in grown.values():
            scale.mul_(growth)
        refresh_weight_ranges(self.prepared)
        return factors

    def _scale(self, grid: Part) -> Tensor:
        return self.prepared.module.get_submodule(str(grid.node.target)).scale  # type: ignore[return-value]

    def _growth(self, grid: Part, factors: Tensor) -> Tensor:
        before = self.loudness[grid.node]
        after = before.clone()
        grid.of(after, len(factors)).mul_(factors)
        return after.max() / before.max().clamp_min(1e-12)


def _factors(module: GraphModule, group: Group, loudness: dict[Node, Tensor], exponent: float) -> Tensor:
    """(C,): above 1 for channels that are quiet and much listened to."""
    (count,) = {_output_channels(module, maker) for maker in group.makers}
    shares = [grid.of(loudness[grid.node] / loudness[grid.node].max().clamp_min(1e-12), count) for grid in group.grids]
    factors = -torch.stack(shares).clamp_min(QUIETEST).log().mean(0)
    heard = [_heard(module, reader, count) for reader in group.readers if not is_depthwise(reader.node)]
    if heard:
        factors = factors + torch.stack(heard).amax(0).clamp_min(QUIETEST).log()
    return (exponent * (factors - factors.mean())).exp().clamp(1 / LARGEST, LARGEST)


def _output_channels(module: GraphModule, maker: Node) -> int:
    weight = weight_of(module, maker)
    return weight.shape[1] * argument(maker, "groups") if maker.target in TRANSPOSED else weight.shape[0]


def _heard(module: GraphModule, reader: Part, count: int) -> Tensor:
    """(count,): the largest share that each channel's weights have of the range of an output's weights."""
    weight = weight_of(module, reader.node).abs()
    by_output = weight.transpose(0, 1) if reader.node.target in TRANSPOSED else weight
    shares = by_output / by_output.flatten(1).amax(1).clamp_min(1e-12).reshape(-1, *[1] * (weight.dim() - 1))
    return reader.of(shares.transpose(0, 1), count).flatten(1).amax(1)


class _Watch(Interpreter):
    """Sees how loud each channel of some nodes is in every run."""

    def __init__(self, module: GraphModule, nodes: Iterable[Node]) -> None:
        super().__init__(module)
        self.seen: dict[Node, list[Tensor]] = {node: [] for node in nodes}

    def run_node(self, n: Node) -> object:
        value = super().run_node(n)
        if n in self.seen:
            channels = value.abs().transpose(0, 1).flatten(1)  # type: ignore[union-attr]
            drawn = channels[:, :: max(1, channels.shape[1] // VALUES)]
            self.seen[n].append(torch.quantile(drawn, QUANTILE, dim=1))
        return value

    def loudness(self) -> dict[Node, Tensor]:
        """(C,) by node: nearly the largest number of each channel."""
        return {node: torch.stack(each).amax(0) for node, each in self.seen.items()}

    def scale(self, group: Group, factors: Tensor) -> None:
        """What a group's change does to what was seen: a concatenation holds several groups."""
        for grid in group.grids:
            for each in self.seen[grid.node]:
                grid.of(each, len(factors)).mul_(factors)
