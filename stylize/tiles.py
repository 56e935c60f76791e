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


def shares(starts: list[int], window: int, margin: int) -> list[np.ndarray]:
    """How much of each pixel comes from each window, (window,) each: over all windows they add up to 1.

    Between two windows a raised cosine leads over. It leaves out the outer ``margin`` pixels of what they share: a network that looks
    no further than that has seen all it looks for wherever a window counts.
    """
    total = np.zeros(starts[-1] + window)
    weights = [np.ones(window) for _ in starts]
    for index, own in enumerate(weights):
        for neighbour in (index - 1, index + 1):
            if 0 <= neighbour < len(starts):
                shared = window - abs(starts[index] - starts[neighbour])
                along = np.clip((np.arange(shared) + 0.5 - margin) / (shared - 2 * margin), 0, 1)
                rising = 0.5 - 0.5 * np.cos(np.pi * along)
                if neighbour < index:
                    own[:shared] *= rising
                else:
                    own[window - shared :] *= rising[::-1]
        total[starts[index] : starts[index] + window] += own
    # A third window may reach in where two meet.
    return [own / total[start : start + window] for start, own in zip(starts, weights, strict=True)]


def faded_windows(size: Size, window: Size, overlap: Size, margin: Size) -> Iterator[tuple[slice, slice, np.ndarray]]:
    """Rows, columns and shares (H, W) of every window of a picture, row by row."""
    starts = [windows(*axis) for axis in zip(size, window, overlap, strict=True)]
    own = [shares(*axis) for axis in zip(starts, window, margin, strict=True)]
    for (top, down), (left, across) in itertools.product(*(list(zip(*axis, strict=True)) for axis in zip(starts, own, strict=True))):
        yield slice(top, top + window[0]), slice(left, left + window[1]), np.outer(down, across).astype(np.float32)
