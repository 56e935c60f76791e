"""A generated net as data: text that builds it again, and its module with weights that make sense."""

import re
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import net_activations  # noqa: F401  (these register their kinds)
import net_attention  # noqa: F401
import net_convolutions  # noqa: F401
import net_mutations  # noqa: F401
import net_norms  # noqa: F401
import net_operations  # noqa: F401
import net_resizing  # noqa: F401
import net_sharing  # noqa: F401
import net_wrappers  # noqa: F401
import torch
from net_ends import HEADS, make_tail
from net_kinds import KINDS, Pick
from torch import Tensor, nn
from torch.nn import functional as F
from torch.nn.utils import parametrize

SETTLING_STEPS, MOMENTUM = 4, 0.5


@dataclass(frozen=True)
class Block:
    """A kind, the seed of its variant and weights, and the blocks inside it. Its text: ``norm.group#3`` or ``wrap.sum#1(a, b)``."""

    kind: str
    seed: int
    inner: tuple["Block", ...] = ()

    def __str__(self) -> str:
        return f"{self.kind}#{self.seed}" + (f"({', '.join(map(str, self.inner))})" if self.inner else "")

    def kinds(self) -> Iterator[str]:
        """Of this block and all inside it."""
        yield self.kind
        for block in self.inner:
            yield from block.kinds()


@dataclass(frozen=True)
class Net:
    """A net from RGB in [-1, 1] to RGB of ``scale`` times the size. Its text: ``32x48 w16 x1 conv | a#1 | b#2 | nearest tanh``.

    Attributes:
        size: height and width that it is tried at.
        width: channels between head and tail.
        scale: of the result.
        head, tail, up: see net_ends.py; ``up`` is how the tail enlarges.
    """

    size: tuple[int, int]
    width: int
    scale: int
    head: str
    blocks: tuple[Block, ...]
    up: str
    tail: str

    def __str__(self) -> str:
        start = f"{self.size[0]}x{self.size[1]} w{self.width} x{self.scale} {self.head}"
        return " | ".join([start, *map(str, self.blocks), f"{self.up} {self.tail}"])

    @property
    def kinds(self) -> frozenset[str]:
        """Everything that it is made of."""
        inner = (kind for block in self.blocks for kind in block.kinds())
        return frozenset([*inner, f"head.{self.head}", f"tail.{self.tail}", f"up.{self.up}" if self.factor > 1 else ""])

    @property
    def factor(self) -> int:
        """By how much the tail enlarges."""
        return HEADS[self.head][1] * self.scale


def parse(text: str) -> Net:
    """The inverse of ``str(net)``."""
    start, *blocks, end = text.split(" | ")
    size, width, scale, head = start.split()
    height, wide = map(int, size.split("x"))
    up, tail = end.split()
    return Net((height, wide), int(width[1:]), int(scale[1:]), head, tuple(_parse_block(block.strip()) for block in blocks), up, tail)


def _parse_block(text: str) -> Block:
    found = re.fullmatch(r"([\w.]+)#(\d+)(?:\((.*)\))?", text)
    if found is None:
        raise ValueError(f"not a block: {text}")
    inner, depth, start = found[3] or "", 0, 0
    parts = []
    for index, letter in enumerate(inner + ","):
        depth += (letter == "(") - (letter == ")")
        if letter == "," and depth == 0 and inner:
            parts.append(_parse_block(inner[start:index].strip()))
            start = index + 1
    return Block(found[1], int(found[2]), tuple(parts))


class Assembled(nn.Module):
    """Head, blocks, tail."""

    def __init__(self, net: Net) -> None:
        super().__init__()
        torch.manual_seed(sum(block.seed for block in net.blocks))
        self.head = HEADS[net.head][0](net.width)
        self.blocks = nn.Sequential(*(_make(block, net.width) for block in net.blocks))
        self.tail = make_tail(net.tail, net.width, net.factor, net.up)

    def forward(self, image: Tensor) -> Tensor:
        return self.tail(image, self.blocks(self.head(image)))


def _make(block: Block, width: int) -> nn.Module:
    inner = [_make(each, width) for each in block.inner]
    torch.manual_seed(block.seed)
    return KINDS[block.kind].make(width, Pick(block.seed), *inner)


def build(net: Net) -> nn.Module:
    """The net in eval mode: convolutions of unit gain, batch norms with statistics of pictures."""
    module = Assembled(net).eval()
    with torch.no_grad():
        _settle(module, net)
    return module.eval()


def _settle(module: nn.Module, net: Net) -> None:
    norms: list[Any] = [part for part in module.modules() if getattr(part, "running_mean", None) is not None]
    for norm in norms:
        norm.train()
        norm.momentum = MOMENTUM
        if norm.affine:
            nn.init.uniform_(norm.weight, 0.5, 1.5)
            nn.init.normal_(norm.bias, std=0.2)
    hooks = [
        part.register_forward_hook(_unit_gain())
        for part in module.modules()
        if isinstance(part, (nn.modules.conv._ConvNd, nn.Linear)) and "weight" in part._parameters and not parametrize.is_parametrized(part)
    ]
    generator = torch.Generator().manual_seed(1)
    module(pictures(4, net.size, generator))
    for hook in hooks:
        hook.remove()
    if norms:
        for _ in range(SETTLING_STEPS):
            module(pictures(4, net.size, generator))


def _unit_gain():
    """Scales a layer's weight at its first use so that its results have the deviation 1 (Mishkin and Matas 2015)."""
    seen: list[nn.Module] = []

    def hook(part: Any, _inputs: tuple[Tensor, ...], output: Tensor) -> Tensor | None:
        if seen:
            return None
        seen.append(part)
        deviation = output.std()
        if not torch.isfinite(deviation) or deviation < 1e-6:
            return None
        part.weight.div_(deviation)
        if part.bias is not None:
            part.bias.div_(deviation)
        return output / deviation

    return hook


def pictures(count: int, size: tuple[int, int], generator: torch.Generator) -> Tensor:
    """Pictures (N, 3, H, W) in [-1, 1]: smooth shapes, texture on some."""
    coarse = torch.rand(count, 3, size[0] // 8, size[1] // 8, generator=generator) * 2.4 - 1.2
    smooth = F.interpolate(coarse, size, mode="bicubic")
    texture = 0.15 * torch.randn(count, 3, *size, generator=generator) * torch.rand(count, 1, 1, 1, generator=generator)
    return (smooth + texture).clamp(-1, 1)
