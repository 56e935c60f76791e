"""Golden pictures on disk: 8-bit PNG files, the inputs reduced and enlarged again by integers, so that every machine gets the same."""

import io
from math import gcd
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image, UnidentifiedImageError

from ...model.graph import Size, TensorSpec
from ...model.pixels import LEVELS, decode, encode
from ...system.errors import ArtifactError

LARGEST_SIDE = 160
Levels = NDArray[np.uint8]  # (H, W, channels), as a picture has them


def reduction(size: Size) -> int:
    """The smallest number that divides both sides and leaves at most LARGEST_SIDE pixels; the largest common divisor if none does."""
    common = gcd(*size)
    return next((factor for factor in range(1, common + 1) if common % factor == 0 and max(size) // factor <= LARGEST_SIDE), common)


def enlarged(levels: Levels, factor: int) -> Levels:
    """Bilinear between the centres of pixels, replicated at the border; in integers, and rounded half up at the end."""
    total = _along(_along(levels.astype(np.int64), factor, 1), factor, 0)
    whole = 4 * factor * factor
    return ((total + whole // 2) // whole).astype(np.uint8)


def _along(levels: NDArray[np.int64], factor: int, axis: int) -> NDArray[np.int64]:
    """Along one axis, times 2 * factor."""
    length = levels.shape[axis]
    # The centre of a new pixel in units of 1 / (2 * factor) of an old one, counted from the centre of the first old one.
    places = np.clip(2 * np.arange(length * factor) + 1 - factor, 0, 2 * factor * (length - 1))
    left = places // (2 * factor)
    right = np.minimum(left + 1, length - 1)
    share = (places % (2 * factor)).reshape([-1 if index == axis else 1 for index in range(levels.ndim)])
    return levels.take(left, axis) * (2 * factor - share) + levels.take(right, axis) * share


def to_levels(spec: TensorSpec, values: np.ndarray) -> Levels:
    """An image of the network (1, C, H, W), as 8-bit picture; clipped to what can be seen."""
    picture = decode(spec, values)[0].astype(np.float64)
    return np.clip(np.rint((picture + 1) * (LEVELS / 2)), 0, LEVELS).astype(np.uint8).transpose(1, 2, 0)


def to_values(spec: TensorSpec, levels: Levels) -> np.ndarray:
    """The inverse: float32 (1, C, H, W) as the network takes or gives it."""
    picture = (levels.transpose(2, 0, 1)[None].astype(np.float64) / (LEVELS / 2) - 1).astype(np.float32)
    return np.ascontiguousarray(encode(spec, picture))


def png(levels: Levels) -> bytes:
    """The file's content."""
    buffer = io.BytesIO()
    Image.fromarray(levels[:, :, 0] if levels.shape[2] == 1 else levels).save(buffer, "PNG", optimize=True)
    return buffer.getvalue()


def read_png(path: Path, spec: TensorSpec, size: Size) -> Levels:
    """A picture of that size and with the channels of ``spec``.

    Raises:
        ArtifactError: it is none.
    """
    try:
        with Image.open(path, formats=("PNG",)) as image:
            found = (image.height, image.width, len(image.getbands()))
            if found != (*size, spec.channels):
                raise ArtifactError(
                    f"{path}: is {found[1]}x{found[0]} with {found[2]} channels, not {size[1]}x{size[0]} with {spec.channels}"
                )
            return np.asarray(image).reshape(found)
    except (OSError, UnidentifiedImageError, ValueError, SyntaxError) as error:
        raise ArtifactError(f"{path}: cannot be read as PNG ({error}); build the bundle again") from error
