"""Which channels get grids of their own, and how wide and where each is."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.fx import GraphModule, Interpreter, Node

from ....capture.normalization.nodes import argument
from ..channel_scales import convolutions_of
from ..quantize import PreparedGraph, set_mode
from ..quantizer import ANNOTATION, LIMIT

aten = torch.ops.aten
# A channel that uses less than this of the loudest one's range is not widened further: it may be dead, and its next value is not known.
SMALLEST_SHARE = 2.0**-10
# What clipping is tried with, as shares of the half range.
SHARES = tuple(float(share) for share in torch.linspace(0.4, 1.0, 25))
# Functions that squeeze or cut off what they read: what they make of an error is what counts.
ELEMENTWISE = {aten.sigmoid.default, aten.tanh.default, aten.clamp.default, aten.hardtanh.default, aten.hardsigmoid.default}
VALUES = 4096  # of each channel and sample that clipping is judged by


@dataclass(frozen=True)
class ChannelGrids:
    """The grids of one convolution's output, which represent what is within ``half_range`` of ``middle``, (C,) each.

    Attributes:
        tensor: name of the activation.
        normalised: whether all readers are norms, which take any middle out.
    """

    tensor: str
    middle: Tensor
    half_range: Tensor
    normalised: bool

    @property
    def factors(self) -> Tensor:
        """(2, C), as ``scale_channels`` takes them: every channel gets the half range of the widest; a norm needs no middle back."""
        return torch.stack([self.limit / self.half_range, torch.zeros_like(self.middle) if self.normalised else self.middle])

    @property
    def limit(self) -> float:
        """Half range of all channels after that."""
        return float(self.half_range.max())


@torch.no_grad()
def channel_grids(prepared: PreparedGraph, samples: Sequence[tuple[Tensor, ...]]) -> dict[str, ChannelGrids]:
    """Grids of all int8 outputs that float operators alone read, by the name of the convolution's weight.

    Args:
        samples: inputs in the graph's order, batch 1. Fake quantisation is off afterwards.
    """
    found = {node: weight for weight in prepared.weights for node in _candidates(prepared.module, weight)}
    watch = _Watch(prepared.module, found)
    set_mode(prepared, fake_quantize=False)
    for inputs in samples:
        watch.run(*inputs)
    names = {fake: name for name, fake in prepared.activations.items()}
    grids: dict[str, ChannelGrids] = {}
    for node, weight in found.items():
        (grid,) = node.users
        normalised = all(reader.target is aten.instance_norm.default for reader in grid.users)
        if all(not each.values.any() for each in watch.seen[node]):
            continue
        middle, half = _normalised(watch.seen[node]) if normalised else _around_zero(watch.seen[node], _after(node))
        grids[weight] = ChannelGrids(names[_module(prepared.module, grid)], middle, half, normalised)
    return grids


def _candidates(module: GraphModule, weight: str) -> list[Node]:
    convolutions = convolutions_of(module, weight)
    return convolutions if len(convolutions) == 1 and _feeds_float(convolutions[0]) else []


def _feeds_float(convolution: Node) -> bool:
    """Whether a convolution's output is int8 and no int8 operator reads it."""
    if len(convolution.users) != 1:
        return False
    (grid,) = convolution.users
    if grid.op != "call_module" or convolution.meta["val"].dim() != 4:
        return False
    annotations = [reader.meta.get(ANNOTATION) for reader in grid.users]
    bias = argument(convolution, "bias")
    constant = bias is None or (bias.op == "get_attr" and len(bias.users) == 1)
    return constant and all(each is None or convolution not in each.input_qspec_map for each in annotations) and bool(annotations)


def _module(module: GraphModule, node: Node) -> nn.Module:
    return module.get_submodule(str(node.target))


@dataclass(frozen=True)
class _Seen:
    """Of one sample: extremes and variance of each channel, (C,), and some of its values, (C, n)."""

    low: Tensor
    high: Tensor
    variance: Tensor
    values: Tensor

    @classmethod
    def of(cls, value: Tensor) -> "_Seen":
        channels = value.flatten(2)[0]
        drawn = channels[:, :: max(1, channels.shape[1] // VALUES)].clone()
        return cls(channels.amin(1), channels.amax(1), channels.var(1, correction=0), drawn)


class _Watch(Interpreter):
    """Looks at the values of some nodes in every run."""

    def __init__(self, module: GraphModule, nodes: Mapping[Node, str]) -> None:
        super().__init__(module)
        self.seen: dict[Node, list[_Seen]] = {node: [] for node in nodes}

    def run_node(self, n: Node) -> object:
        value = super().run_node(n)
        if n in self.seen:
            self.seen[n].append(_Seen.of(value))
        return value


def _extremes(seen: Sequence[_Seen]) -> tuple[Tensor, Tensor]:
    return torch.stack([each.low for each in seen]).amin(0), torch.stack([each.high for each in seen]).amax(0)


def _around_zero(seen: Sequence[_Seen], after: Callable[[Tensor], Tensor]) -> tuple[Tensor, Tensor]:
    """The range with the least squared error behind ``after``, with zero on one of its levels: a target's zero points are levels, too."""
    low, high = _extremes(seen)
    best, least = (low, high), torch.full_like(high, torch.inf)
    for share in SHARES:
        middle, half = _with_zero(share * low, share * high)
        scale = (half / LIMIT)[:, None]
        error = torch.zeros_like(half)
        for each in seen:
            rounded = ((each.values - middle[:, None]) / scale).round().clamp(-LIMIT, LIMIT) * scale + middle[:, None]
            error += (after(rounded) - after(each.values)).square().mean(1)
        better = error < least
        best, least = (torch.where(better, middle, best[0]), torch.where(better, half, best[1])), torch.minimum(error, least)
    return best


def _with_zero(low: Tensor, high: Tensor) -> tuple[Tensor, Tensor]:
    """Middle, a whole number of steps, and half range of what holds a range and zero."""
    low, high = low.clamp_max(0), high.clamp_min(0)
    # The middle moves by half a step at most, which the range has to grow by.
    half = _not_too_small((high - low) / 2) * (LIMIT / (LIMIT - 0.5))
    step = half / LIMIT
    return ((low + high) / 2 / step).round() * step, half


def _after(convolution: Node) -> Callable[[Tensor], Tensor]:
    """The function of single elements that alone reads a convolution's output, or none."""
    (grid,) = convolution.users
    reader = next(iter(grid.users))
    if len(grid.users) != 1 or reader.target not in ELEMENTWISE or any(isinstance(each, Node) for each in reader.args[1:]):
        return lambda values: values
    return lambda values: reader.target(values, *reader.args[1:], **reader.kwargs)  # type: ignore[operator]


def _normalised(seen: Sequence[_Seen]) -> tuple[Tensor, Tensor]:
    """Middle and half range with the least squared error, each sample's in units of its own variance, since the norm divides by that."""
    low, high = _extremes(seen)
    middle, half = (low + high) / 2, (high - low) / 2
    best, least = half, torch.full_like(half, torch.inf)
    for share in SHARES:
        reach = (share * half).clamp_min(torch.finfo(torch.float32).tiny)
        scale = (reach / LIMIT)[:, None]
        error = torch.zeros_like(half)
        for each in seen:
            moved = each.values - middle[:, None]
            wrong = (moved / scale).round().clamp(-LIMIT, LIMIT) * scale - moved
            error += wrong.square().mean(1) / each.variance.clamp_min(torch.finfo(torch.float32).tiny)
        best, least = torch.where(error < least, reach, best), torch.minimum(error, least)
    return middle, _not_too_small(best)


def _not_too_small(half: Tensor) -> Tensor:
    return half.clamp_min(float(half.max()) * SMALLEST_SHARE)
