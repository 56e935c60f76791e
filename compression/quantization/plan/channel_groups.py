"""Groups of tensors whose channels can be scaled together, exactly, by changing weights alone.

Convolutions that make a tensor multiply its channels by positive factors that the convolutions that read it are divided by. ReLU, PReLU,
pooling, padding and resizing in between keep factors, a sum asks for the same ones of all that it adds up, and a concatenation puts those
of its parts behind each other.
"""

from collections.abc import Iterator
from dataclasses import dataclass, field

import torch
from torch import Tensor
from torch.fx import GraphModule, Node

from ....capture.normalization.nodes import CONVOLUTIONS, TRANSPOSED, argument, shape_of, tensor_of
from ..operators import ADDITIONS, BY_CHANNEL, CONCATENATIONS, PRODUCTS, RELUS

aten = torch.ops.aten
# What f(s x) = s f(x) holds for, s being a positive factor for each channel.
HOMOGENEOUS = BY_CHANNEL | RELUS | {aten.leaky_relu.default, aten.prelu.default, aten.replication_pad2d.default}


@dataclass(frozen=True)
class Part:
    """A node of a prepared graph whose channels are, or that reads, those of a group from its channel ``first`` on."""

    node: Node
    first: int

    def of(self, channels: Tensor, count: int) -> Tensor:
        """The group's of a tensor of all channels, (C, ...) -> (count, ...), a view."""
        return channels[self.first : self.first + count]


@dataclass
class Group:
    """Tensors that have to share their factors.

    Attributes:
        makers: convolutions whose outputs they are made of.
        readers: convolutions that they end in.
        grids: their fake quantisers.
    """

    makers: set[Node] = field(default_factory=set)
    readers: list[Part] = field(default_factory=list)
    grids: list[Part] = field(default_factory=list)


class _CannotError(Exception):
    """Something else makes or reads the channels."""


def channel_groups(module: GraphModule) -> Iterator[Group]:
    """All of a prepared graph that have convolutions with weights of their own at both ends."""
    done: set[Node] = set()
    for node in module.graph.nodes:
        if node.target not in CONVOLUTIONS or node in done:
            continue
        walk = _Walk()
        try:
            walk.made_by(node)
        except _CannotError:
            continue
        finally:
            done |= walk.group.makers
        if walk.group.grids and walk.group.readers:
            yield walk.group


def weight_of(module: GraphModule, layer: Node) -> Tensor:
    """The weight of a convolution, behind its fake quantiser."""
    return tensor_of(module, _behind_grid(layer.args[1]))  # type: ignore[arg-type]


def is_depthwise(layer: Node) -> bool:
    """Whether each output channel reads one input channel, and is scaled by it alone."""
    return argument(layer, "groups") == _shape(layer.args[0])[1] and layer.target not in TRANSPOSED  # type: ignore[arg-type]


def multiply(module: GraphModule, maker: Node, factors: Tensor) -> None:
    """Scales the output channels, (C,), of a convolution in place."""
    weight, bias = weight_of(module, maker), argument(maker, "bias")
    if maker.target in TRANSPOSED:
        groups = argument(maker, "groups")
        weight.unflatten(0, (groups, -1)).mul_(factors.reshape(groups, 1, -1, *[1] * (weight.dim() - 2)))
    else:
        weight.mul_(factors.reshape(-1, *[1] * (weight.dim() - 1)))
    if bias is not None:
        tensor_of(module, bias).mul_(factors)


def divide(module: GraphModule, reader: Part, factors: Tensor) -> None:
    """Takes factors, (C,), of input channels back in place."""
    weight = weight_of(module, reader.node)
    if is_depthwise(reader.node):
        by_input = weight.unflatten(0, (_shape(reader.node.args[0])[1], -1))  # type: ignore[arg-type]
    else:
        by_input = weight if reader.node.target in TRANSPOSED else weight.transpose(0, 1)
    reader.of(by_input, len(factors)).div_(factors.reshape(-1, *[1] * (by_input.dim() - 1)))


class _Walk:
    """From a maker to all tensors that have to have its factors."""

    def __init__(self) -> None:
        self.group = Group()
        self.seen: set[tuple[Node, int]] = set()

    def made_by(self, maker: Node) -> None:
        """Up to what reads it."""
        self.group.makers.add(maker)
        if not _is_own(maker):
            raise _CannotError
        self._forward(maker, 0, whole=True)

    def _forward(self, value: Node, first: int, *, whole: bool) -> None:
        """Everything behind a value. ``whole``: it has no other channels than the group's."""
        if (value, first) in self.seen:
            return
        self.seen.add((value, first))
        if value.op == "call_module":
            self.group.grids.append(Part(value, first))
        for user in value.users:
            self._through(value, user, first, whole=whole)

    def _through(self, value: Node, user: Node, first: int, *, whole: bool) -> None:
        if user.op == "call_module" or _keeps(value, user):
            self._forward(user, first, whole=whole)
        elif user.target in CONVOLUTIONS and user.args[0] is value and _is_own(user) and _can_divide(user):
            self.group.readers.append(Part(user, first))
        elif whole and _is_sum(user):
            self._joined(user)
        elif user.target in CONCATENATIONS and argument(user, "dim") % len(_shape(user)) == 1:
            parts: list[Node] = user.args[0]  # type: ignore[assignment]
            for place, part in enumerate(parts):
                if part is value:
                    self._forward(user, first + sum(_shape(each)[1] for each in parts[:place]), whole=False)
        else:
            raise _CannotError

    def _joined(self, total: Node) -> None:
        for part in total.args[:2]:
            self._backward(part)  # type: ignore[arg-type]
        self._forward(total, 0, whole=True)

    def _backward(self, value: Node) -> None:
        """Everything that a value of the group is made of."""
        if value.target in CONVOLUTIONS:
            if value not in self.group.makers:
                self.made_by(value)
        elif value.op == "call_module" or any(_keeps(source, value) for source in value.all_input_nodes[:1]):
            self._backward(value.all_input_nodes[0])
        elif _is_sum(value):
            if (value, 0) not in self.seen:
                self._joined(value)
        else:
            raise _CannotError


def _keeps(value: Node, user: Node) -> bool:
    """Whether an operator gives each channel the factor that it has in ``value``."""
    if user.op != "call_function" or not user.args or user.args[0] is not value:
        return False
    if user.target is aten.pad.default:
        return argument(user, "mode") != "constant" or not argument(user, "value")
    if user.target is aten.slice.Tensor:
        return argument(user, "dim") % len(_shape(user)) > 1
    factor = user.args[1] if user.target in PRODUCTS else None
    return user.target in HOMOGENEOUS or (isinstance(factor, int | float) and factor > 0)


def _is_sum(node: Node) -> bool:
    """Of two tensors of one shape, as they are."""
    if node.target not in ADDITIONS:
        return False
    parts = [part for part in node.args[:2] if isinstance(part, Node)]
    return len(parts) == 2 and all(_shape(part) == _shape(node) for part in parts) and argument(node, "alpha") == 1


def _is_own(layer: Node) -> bool:
    """Whether nothing else reads a convolution's weight and bias."""
    bias = argument(layer, "bias")
    parts = [_behind_grid(layer.args[1]), *([] if bias is None else [bias])]  # type: ignore[arg-type]
    return all(isinstance(part, Node) and part.op == "get_attr" and len(part.users) == 1 for part in parts)


def _can_divide(layer: Node) -> bool:
    return argument(layer, "groups") == 1 or is_depthwise(layer)


def _behind_grid(value: Node) -> Node:
    return value.all_input_nodes[0] if value.op == "call_module" else value


def _shape(value: Node) -> tuple[int, ...]:
    """Of a value, or of what a fake quantiser reads."""
    return shape_of(_behind_grid(value))
