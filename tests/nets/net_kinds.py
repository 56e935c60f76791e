"""The registry of building blocks: functions (N, width, H, W) -> (N, width, H, W), by name, drawn by a seed."""

import random
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn


class Fn(nn.Module):
    """A module of a few parts and one function: ``Fn(lambda m, x: m.last(m.first(x).relu()), first=…, last=…)``.

    Parts that are tensors become buffers; modules and parameters are what they are, other values plain attributes.
    """

    def __init__(self, function: Callable[[Any, Tensor], Any], **parts: Any) -> None:
        super().__init__()
        for name, part in parts.items():
            if isinstance(part, Tensor) and not isinstance(part, nn.Parameter):
                self.register_buffer(name, part)
            else:
                setattr(self, name, part)
        self.function = function

    def forward(self, x: Tensor) -> Any:
        return self.function(self, x)


class Pick:
    """Chooses between variants by a seed."""

    def __init__(self, seed: int) -> None:
        self._random = random.Random(seed)

    def __call__(self, *choices: Any) -> Any:
        return self._random.choice(choices)


Maker = Callable[..., nn.Module]


@dataclass(frozen=True)
class Kind:
    """``make(width, pick, *inner)`` builds a block around ``inner`` other ones."""

    name: str
    make: Maker
    inner: int = 0


KINDS: dict[str, Kind] = {}


def kind(name: str, inner: int = 0) -> Callable[[Maker], Maker]:
    """Registers a maker under ``family.name``."""

    def register(make: Maker) -> Maker:
        KINDS[name] = Kind(name, make, inner)
        return make

    return register


def simple(family: str, **functions: Callable[[Tensor], Tensor]) -> None:
    """Registers functions of the features as they are."""
    for name, function in functions.items():
        KINDS[f"{family}.{name}"] = Kind(f"{family}.{name}", lambda width, pick, function=function: Fn(lambda m, x: function(x)))


def parameter(*shape: int, around: float = 0.0, spread: float = 0.3) -> nn.Parameter:
    """A parameter of normal numbers."""
    return nn.Parameter(around + spread * torch.randn(*shape))
