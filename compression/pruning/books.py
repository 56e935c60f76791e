"""The books of a traced pass: which unit every entry of every tensor stands for."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from torch import Tensor, nn
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils.weak import WeakIdKeyDictionary

from .location import Location
from .units import Ids, Units

Axes = tuple[Ids | None, ...]
Follow = Callable[["ChannelTrace", Any, Any, dict[str, Any]], Any]


@dataclass(frozen=True)
class Block:
    """The units of one axis of a stored tensor.

    Attributes:
        names: of the tensor in the state dict, more than one where it is shared.
        first: unit of entry 0.
    """

    names: tuple[str, ...]
    axis: int
    first: int
    size: int

    @property
    def ids(self) -> Ids:
        """(size,) units."""
        return np.arange(self.first, self.first + self.size)


class ChannelTrace(TorchDispatchMode):
    """Watches operations; rules keep its books with the methods.

    Args:
        turns: for the n-th reshape that takes channels apart, which of its possible readings is taken.
        silent: for every unit whether the pass is computed without it: products ignore it, statistics are of the others.
        follow: computes an operation and keeps the books of it.
    """

    def __init__(
        self, location: Location, turns: Mapping[int, int], silent: np.ndarray | None = None, follow: "Follow | None" = None
    ) -> None:
        super().__init__()
        self._follow = follow
        self.units, self.location, self.turns = Units(), location, turns
        self.silent = silent
        self.axes: Any = WeakIdKeyDictionary()
        self.stored: Any = WeakIdKeyDictionary()
        self.blocks: list[Block] = []
        self.made: list[Ids] = []
        self.read: list[Ids] = []
        self.splits: dict[int, tuple[Ids, int]] = {}
        self.splits_seen = 0

    def store(self, module: nn.Module) -> None:
        """Gives units to every tensor of the state dict."""
        names: dict[int, list[str]] = {}
        tensors = dict(module.named_parameters(remove_duplicate=False)) | dict(module.named_buffers(remove_duplicate=False))
        kept = module.state_dict().keys()
        for name, value in tensors.items():
            if name in kept:
                names.setdefault(id(value), []).append(name)
        for value in tensors.values():
            if id(value) not in names or value in self.axes:
                continue
            axes: list[Ids | None] = []
            for axis, size in enumerate(value.shape):
                ids = self.units.new(size) if size > 1 else None
                axes.append(ids)
                if ids is not None:
                    self.blocks.append(Block(tuple(names[id(value)]), axis, int(ids[0]), size))
            self.axes[value], self.stored[value] = tuple(axes), True

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        return self._follow(self, func, args, kwargs or {}) if self._follow else func(*args, **(kwargs or {}))

    def of(self, value: Tensor) -> Axes:
        """Units of every axis."""
        return self.axes.get(value, (None,) * value.dim())

    def is_weight(self, value: Tensor) -> bool:
        """Whether nothing but stored tensors and constants went into it."""
        return value in self.stored

    def put(self, value: Tensor, axes: Axes, weight: bool) -> None:
        """Notes what the axes of a result stand for."""
        self.axes[value] = axes
        if weight:
            self.stored[value] = True

    def meet(self, one: Ids | None, other: Ids | None, what: str) -> Ids | None:
        """Entries that are combined one with one; a fixed size freezes the units that it meets."""
        if one is None or other is None:
            self.freeze(one if other is None else other, f"they meet a size that does not follow them ({what})")
            return None
        self.units.join(one, other)
        return one

    def tie(self, ids: Ids, count: int) -> Ids:
        """Of ``count`` equal parts of ``ids``, entries at one place go together; what stands for them, one part long."""
        parts = ids.reshape(count, -1)
        self.units.join(parts[1:].reshape(-1), np.tile(parts[0], count - 1))
        return parts[0]

    def freeze(self, ids: Ids | None, reason: str) -> None:
        """These cannot be removed."""
        if ids is not None:
            self.units.freeze(ids, f"{reason} in {self.location}")

    def kept(self, ids: Ids | None) -> np.ndarray | None:
        """Places of the entries that are not silent; None for all."""
        if self.silent is None or ids is None:
            return None
        gone = self.silent[ids]
        return np.flatnonzero(~gone) if gone.any() else None
