"""The tile loop: photos of any size painted by a network of one fixed size.

Tiles overlap by a quarter and fade into each other within the middle half of that: what a network sees up to a sixteenth of a tile
around each pixel, the picture has as in one piece. A network that looks at the whole of its input (instance norm, AdaIN, attention)
gives each tile another tone, and the noise of a tile full of sky the contrast of a whole picture. Where tiles disagree so, the whole
photo, reduced to one tile, is painted too and gives the tone of every place, and the most contrast that it may have.

The apps' Kotlin and Swift (``export/app``) are this loop in other words; tests hold them to its pictures.
"""

from collections.abc import Callable, Iterable

import numpy as np
import torch

from ..model.graph import Size
from .engine import Say, pad
from .tiles import faded_windows
from .tone import resized, toned

OVERLAP = 1 / 4  # of a tile
MARGIN = 1 / 16  # of a tile, at both ends of what two tiles share: seen, but not painted
TONE_CELLS = 8  # cells along a tile, within which tone and contrast are those of the reduced photo
# Root of the mean squared deviation between tiles, where several count, above which they need one tone: five levels of 255.
DISAGREEMENT = 5 / 127.5

Paint = Callable[[np.ndarray], np.ndarray]


def paint_in_tiles(photo: np.ndarray, window: Size, factor: int, paint: Paint, say: Say) -> np.ndarray:
    """A photo (1, C, H, W) in [-1, 1] of any size -> a picture ``factor`` times as high and wide, in the same range.

    Args:
        window: height and width of a tile.
        factor: of a painted tile's height and width to the tile's.
        paint: the network, on exactly one tile.
        say: is told of tiles done.
    """
    height, width = photo.shape[2:]
    if height <= window[0] and width <= window[1]:
        painted = _small(photo, window, factor, paint)
        say(1, 1)
        return painted
    painted, disagreement = faded(pad(photo, *window), window, factor, paint, say)
    painted = painted[:, :, : height * factor, : width * factor]
    if disagreement <= DISAGREEMENT:
        return painted
    reduction = min(1.0, window[0] / height, window[1] / width)
    small = (max(1, round(height * reduction)), max(1, round(width * reduction)))
    guide = _small(resized(torch.from_numpy(photo), small).clamp(-1, 1).numpy(), window, factor, paint)
    cells = tuple(-(-length * TONE_CELLS // max(window)) for length in (height, width))
    return toned(torch.from_numpy(painted), torch.from_numpy(guide), (cells[0], cells[1])).numpy()


def faded(photo: np.ndarray, window: Size, factor: int, paint: Paint, say: Say) -> tuple[np.ndarray, float]:
    """The picture of a photo no smaller than a tile, and how much tiles disagree where several count. Arguments as above."""
    size = (photo.shape[2], photo.shape[3])
    overlap, margin = ((round(window[0] * share), round(window[1] * share)) for share in (OVERLAP, MARGIN))
    cover = list(faded_windows(size, window, overlap, margin))
    sums: list[np.ndarray] = []
    count = np.zeros((size[0] * factor, size[1] * factor), np.uint8)
    for done, (rows, columns, weights) in enumerate(cover):
        part = paint(np.ascontiguousarray(photo[:, :, rows, columns]))
        sums = sums or [np.zeros((1, part.shape[1], *count.shape), np.float32) for _ in range(2)]
        shares = weights.repeat(factor, axis=0).repeat(factor, axis=1)
        there = _enlarged((rows, columns), factor)
        sums[0][(..., *there)] += shares * part
        sums[1][(..., *there)] += shares * part * part
        count[there] += shares > 0
        say(done + 1, len(cover) + 1)
    total, squares = sums
    shared = np.maximum(squares - total * total, 0)[:, :, count > 1]
    return total, float(np.sqrt(shared.mean())) if shared.size else 0.0


def _small(photo: np.ndarray, window: Size, factor: int, paint: Paint) -> np.ndarray:
    height, width = photo.shape[2:]
    return paint(pad(photo, *window))[:, :, : height * factor, : width * factor]


def _enlarged(place: Iterable[slice], factor: int) -> tuple[slice, ...]:
    return tuple(slice(part.start * factor, part.stop * factor) for part in place)
