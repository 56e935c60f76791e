"""Cross-layer equalisation (Nagel et al. 2019, arXiv:1906.04721): the channels of a tensor made equally loud, exactly.

An int8 tensor has one grid for all channels, so that the loudest of them decides how coarse the others are. Layers that make a tensor
multiply its channels by factors that the layers that read it are divided by. ReLU, PReLU, pooling, padding and resizing in between keep
factors, sums and products with numbers do so for all that they join, and a concatenation puts those of its parts behind each other.
"""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field

import torch
from torch import Tensor
from torch.fx import GraphModule, Interpreter, Node

from ....capture.normalization.nodes import CONVOLUTIONS, TRANSPOSED, argument, shape_of, tensor_of
from ..operators import ADDITIONS, CONCATENATIONS, PRODUCTS, RELUS
from ..quantize import PreparedGraph, set_mode

aten = torch.ops.aten
# What f(s x) = s f(x) holds for, s being a positive factor for each channel.
HOMOGENEOUS = RELUS | {
    aten.leaky_relu.default,
    aten.prelu.default,
    aten.max_pool2d.default,
    aten.avg_pool2d.default,
    aten.adaptive_avg_pool2d.default,
    aten.upsample_nearest2d.vec,
    aten.upsample_nearest2d.default,
    aten.upsample_bilinear2d.vec,
    aten.upsample_bilinear2d.default,
    aten.reflection_pad2d.default,
    aten.replication_pad2d.default,
    aten.clone.default,
}
# Between 0, as loud as they come, and 1, where the weights of quiet channels are lost instead.
EXPONENT, LARGEST = 0.5, 16.0
QUANTILE, VALUES = 0.9995, 1 << 16  # of a channel's numbers, and how many of them tell
QUIETEST = 2.0**-10  # as a share of the loudest: a channel may be dead, and its next value is not known


@dataclass(frozen=True)
class _Reader:
    """A convolution that reads the channels of a group from ``first`` on."""

    node: Node
    first: int


@dataclass
class _Group:
    """Tensors that have to share their factors.

    Attributes:
        makers: convolutions whose outputs they are made of.
        readers: convolutions that they end in.
        grids: fake quantisers of whole tensors of the group.
    """

    makers: set[Node] = field(default_factory=set)
    readers: list[_Reader] = field(default_factory=list)
    grids: list[Node] = field(default_factory=list)


class _CannotError(Exception):
    """Something else than the above makes or reads the channels."""


@torch.no_grad()
def equalize(prepared: PreparedGraph, samples: Sequence[tuple[Tensor, ...]]) -> int:
    """Changes weights and biases in place; the float graph computes what it did. Fake quantisation is off afterwards.

    Args:
        samples: inputs in the graph's order, batch 1, on which the channels' loudness is seen.

    Returns:
        the number of groups of tensors that were equalised.
    """
    set_mode(prepared, fake_quantize=False)
    groups = list(_groups(prepared.module))
    watch = _Watch(prepared.module, {grid for group in groups for grid in group.grids})
    for inputs in samples:
        watch.run(*inputs)
    for group in groups:
        factors = _factors(prepared.module, group, [torch.stack(watch.seen[grid]).amax(0) for grid in group.grids])
        for maker in group.makers:
            _multiply(prepared.module, maker, factors)
        for reader in group.readers:
            _divide(prepared.module, reader, factors)
    return len(groups)


def _groups(module: GraphModule) -> Iterator[_Group]:
    """All that have convolutions of their own at both ends."""
    done: set[Node] = set()
    for node in module.graph.nodes:
        if node.target not in CONVOLUTIONS or node in done:
            continue
        group = _Group()
        try:
            _Walk(module, group).made_by(node)
        except _CannotError:
            continue
        finally:
            done |= group.makers
        if group.grids and group.readers:
            yield group


class _Walk:
    """From a maker to all tensors that have to have its factors."""

    def __init__(self, module: GraphModule, group: _Group) -> None:
        self.module, self.group = module, group
        self.seen: set[tuple[Node, int]] = set()

    def made_by(self, maker: Node) -> None:
        """Up to what reads it."""
        self.group.makers.add(maker)
        if not _is_own(maker):
            raise _CannotError
        self.forward(maker, 0, whole=True)

    def forward(self, value: Node, first: int, *, whole: bool) -> None:
        """Everything behind a value whose channels are those of the group from ``-first`` on."""
        if (value, first) in self.seen:
            return
        self.seen.add((value, first))
        if value.op == "call_module" and whole:
            self.group.grids.append(value)
        for user in value.users:
            self._through(value, user, first, whole)

    def _through(self, value: Node, user: Node, first: int, whole: bool) -> None:
        if user.op == "call_module" or _keeps(value, user):
            self.forward(user, first, whole=whole)
        elif user.target in CONVOLUTIONS and user.args[0] is value and _is_own(user) and _can_divide(user):
            self.group.readers.append(_Reader(user, first))
        elif user.target in ADDITIONS and whole and _is_sum(user):
            for part in user.args[:2]:
                self.backward(part)  # type: ignore[arg-type]
            self.forward(user, first, whole=True)
        elif user.target in CONCATENATIONS and argument(user, "dim") == 1:
            parts: list[Node] = user.args[0]  # type: ignore[assignment]
            for place, part in enumerate(parts):
                if part is value:
                    self.forward(user, first + sum(_channels(each) for each in parts[:place]), whole=False)
        else:
            raise _CannotError

    def backward(self, value: Node) -> None:
        """Everything that a value of the group is made of."""
        if value.target in CONVOLUTIONS:
            if value not in self.group.makers:
                self.made_by(value)
        elif value.op == "call_module" or any(_keeps(source, value) for source in value.all_input_nodes[:1]):
            self.backward(value.all_input_nodes[0])
        elif value.target in ADDITIONS and _is_sum(value):
            for part in value.args[:2]:
                self.backward(part)  # type: ignore[arg-type]
            self.forward(value, 0, whole=True)
        else:
            raise _CannotError


def _keeps(value: Node, user: Node) -> bool:
    """Whether an operator gives each channel the factor that it has in ``value``."""
    if user.target in HOMOGENEOUS:
        return user.args[0] is value
    if user.target is aten.pad.default:
        return user.args[0] is value and (argument(user, "mode") != "constant" or not argument(user, "value"))
    return user.target in PRODUCTS and user.args[0] is value and isinstance(user.args[1], int | float) and user.args[1] > 0


def _is_sum(node: Node) -> bool:
    """Of two tensors of one shape, as they are."""
    parts = [part for part in node.args[:2] if isinstance(part, Node)]
    return len(parts) == 2 and all(_shape(part) == _shape(node) for part in parts) and argument(node, "alpha") == 1


def _is_own(layer: Node) -> bool:
    """Whether nothing else reads a convolution's weight and bias."""
    weight, bias = layer.args[1], argument(layer, "bias")
    weight = weight.all_input_nodes[0] if isinstance(weight, Node) and weight.op == "call_module" else weight
    parts = [part for part in (weight, bias) if part is not None]
    return all(isinstance(part, Node) and part.op == "get_attr" and len(part.users) == 1 for part in parts)


def _weight(module: GraphModule, layer: Node) -> Tensor:
    weight: Node = layer.args[1]  # type: ignore[assignment]
    return tensor_of(module, weight.all_input_nodes[0] if weight.op == "call_module" else weight)


def _shape(value: Node) -> tuple[int, ...]:
    """Of a value, or of what a fake quantiser reads."""
    return shape_of(value.all_input_nodes[0] if value.op == "call_module" else value)


def _channels(value: Node) -> int:
    return _shape(value)[1]


def _is_depthwise(layer: Node) -> bool:
    return argument(layer, "groups") == _channels(layer.args[0])  # type: ignore[arg-type]


def _can_divide(layer: Node) -> bool:
    return argument(layer, "groups") == 1 or (_is_depthwise(layer) and layer.target not in TRANSPOSED)


def _by_input(module: GraphModule, reader: _Reader, count: int) -> Tensor:
    """(count, …): the part of a reader's weight that reads the group's channels, a view."""
    weight = _weight(module, reader.node)
    if _is_depthwise(reader.node) and reader.node.target not in TRANSPOSED:
        return weight.unflatten(0, (_channels(reader.node.args[0]), -1))[reader.first : reader.first + count]  # type: ignore[arg-type]
    return (weight if reader.node.target in TRANSPOSED else weight.transpose(0, 1))[reader.first : reader.first + count]


def _factors(module: GraphModule, group: _Group, loudness: Iterable[Tensor]) -> Tensor:
    """(C,): a channel's loudness against what its readers make of it, between tensors and weights."""
    relative = [(each / each.max().clamp_min(1e-12)).clamp_min(QUIETEST).log() for each in loudness]
    factors = -torch.stack(relative).mean(0)
    heard = [_heard(module, reader, len(factors)) for reader in group.readers if argument(reader.node, "groups") == 1]
    if heard:
        factors = EXPONENT * factors + (1 - EXPONENT) * torch.stack(heard).amax(0).clamp_min(QUIETEST).log()
    factors = (factors - factors.mean()).exp()
    return factors.clamp(1 / LARGEST, LARGEST)


def _heard(module: GraphModule, reader: _Reader, count: int) -> Tensor:
    """(count,): the largest share that each channel's weights have of the range of an output's weights."""
    weight = _weight(module, reader.node)
    outputs = 1 if reader.node.target in TRANSPOSED else 0
    others = [axis for axis in range(weight.dim()) if axis != outputs]
    spread = weight.abs() / weight.abs().amax(others, keepdim=True).clamp_min(1e-12)
    by_input = (spread if reader.node.target in TRANSPOSED else spread.transpose(0, 1))[reader.first : reader.first + count]
    return by_input.flatten(1).amax(1)


def _multiply(module: GraphModule, maker: Node, factors: Tensor) -> None:
    weight, bias = _weight(module, maker), argument(maker, "bias")
    if maker.target in TRANSPOSED:
        groups = argument(maker, "groups")
        weight.unflatten(0, (groups, -1)).mul_(factors.reshape(groups, 1, -1, *[1] * (weight.dim() - 2)))
    else:
        weight.mul_(factors.reshape(-1, *[1] * (weight.dim() - 1)))
    if bias is not None:
        tensor_of(module, bias).mul_(factors)


def _divide(module: GraphModule, reader: _Reader, factors: Tensor) -> None:
    part = _by_input(module, reader, len(factors))
    part.div_(factors.reshape(-1, *[1] * (part.dim() - 1)))


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
