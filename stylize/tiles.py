"""Tiles that cover a picture: disjoint ones that share context, and overlapping ones that fade into each other."""

import itertools
import math
from collections.abc import Iterator
from typing import NamedTuple

import numpy as np

from ..model.graph import Size


class Span(NamedTuple):
    """Along one axis, in pixels: ``start`` to ``stop`` is looked at, ``inner`` to ``outer`` of it is kept."""

    start: int
    stop: int
    inner: int
    outer: int


def spans(length: int, core: int, margin: int) -> list[Span]:
    """Cores of ``core`` pixels, the last one shorter, each with up to ``margin`` pixels of context at both sides."""
    return [
        Span(max(0, inner - margin), min(length, inner + core + margin), inner, min(length, inner + core))
        for inner in range(0, length, core)
    ]


class Tile(NamedTuple):
    """A rectangle of a picture with its context."""

    rows: Span
    columns: Span

    @property
    def seen(self) -> tuple[slice, slice]:
        """What is looked at, in the picture."""
        return slice(self.rows.start, self.rows.stop), slice(self.columns.start, self.columns.stop)

    @property
    def kept(self) -> tuple[slice, slice]:
        """What is kept, in the picture."""
        return slice(self.rows.inner, self.rows.outer), slice(self.columns.inner, self.columns.outer)

    def core(self, stride: int = 1) -> tuple[slice, slice]:
        """What is kept, in the tile's own map of one value for ``stride`` pixels."""
        rows, columns = (slice((span.inner - span.start) // stride, -(-(span.outer - span.start) // stride)) for span in self)
        return rows, columns


def tiles(size: Size, core: int, margin: int) -> list[Tile]:
    """Tiles with disjoint cores, row by row."""
    rows, columns = (spans(length, core, margin) for length in size)
    return [Tile(row, column) for row, column in itertools.product(rows, columns)]


def windows(length: int, window: int, overlap: int) -> list[int]:
    """Starts of evenly spread windows that cover ``length`` >= ``window`` pixels and overlap by ``overlap`` at least."""
    count = 1 + math.ceil((length - window) / (window - overlap))
    return [round(index * (length - window) / max(1, count - 1)) for index in range(count)]


def fade(starts: list[int], index: int, window: int) -> np.ndarray:
    """Weights (window,) of one of the windows: a raised cosine over what it shares with its neighbours.

    Where two windows meet their weights add up to 1; a third one may reach in, so divide by the sum.
    """
    weights = np.ones(window, np.float32)
    for neighbour in (index - 1, index + 1):
        if 0 <= neighbour < len(starts):
            shared = window - abs(starts[index] - starts[neighbour])
            rising = 0.5 - 0.5 * np.cos(np.pi * (np.arange(shared, dtype=np.float32) + 0.5) / shared)
            if neighbour < index:
                weights[:shared] *= rising
            else:
                weights[-shared:] *= rising[::-1]
    return weights


def faded_windows(size: Size, window: Size, overlap: Size) -> Iterator[tuple[slice, slice, np.ndarray]]:
    """Rows, columns and weights (H, W) of every overlapping window of a picture."""
    starts = [windows(*axis) for axis in zip(size, window, overlap, strict=True)]
    for (i, top), (j, left) in itertools.product(*(list(enumerate(axis)) for axis in starts)):
        weights = np.outer(fade(starts[0], i, window[0]), fade(starts[1], j, window[1]))
        yield slice(top, top + window[0]), slice(left, left + window[1]), weights
