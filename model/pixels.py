"""Between pictures and what a network takes and gives: the one conversion, for inputs, outputs, scores and targets alike.

A picture is an array (N, C, H, W) in [-1, 1] with its channels as a file has them: luma; red, green, blue; or these and alpha.
"""

import numpy as np
from numpy.typing import NDArray

from .graph import TensorSpec

LEVELS = 255
# What pictures can be: luma, RGB, RGB with alpha.
PICTURE_CHANNELS = (1, 3, 4)
# The fourth channel is alpha in either order.
_BLUE_FIRST = {3: (2, 1, 0), 4: (2, 1, 0, 3)}


def encode(spec: TensorSpec, picture: np.ndarray) -> np.ndarray:
    """A picture as the network of an IMAGE input takes it, float32."""
    if is_plain(spec):
        return picture.astype(np.float32, copy=False)
    return from_levels(spec, reordered(spec, (picture.astype(np.float64) + 1) * (LEVELS / 2)))


def decode(spec: TensorSpec, values: np.ndarray) -> np.ndarray:
    """What the network of an IMAGE output gives as a picture, float32; nothing is clipped."""
    if is_plain(spec):
        return values.astype(np.float32, copy=False)
    return (reordered(spec, to_levels(spec, values)) / (LEVELS / 2) - 1).astype(np.float32)


def to_levels(spec: TensorSpec, values: np.ndarray) -> NDArray[np.float64]:
    """The network's values as levels, 0 (``minimum``) to 255 (``maximum``), in its own order of channels; nothing is clipped or rounded."""
    scale, offset = affine(spec)
    return ((values * scale + offset) - spec.minimum) * (LEVELS / (spec.maximum - spec.minimum))


def visible(spec: TensorSpec, values: np.ndarray) -> NDArray[np.float64]:
    """What can be seen of an image: its levels within 0 to 255, not rounded, in the network's own order; NaN stays NaN."""
    return np.clip(to_levels(spec, values), 0, LEVELS)


def from_levels(spec: TensorSpec, levels: np.ndarray) -> np.ndarray:
    """The inverse of ``to_levels``, float32."""
    scale, offset = affine(spec)
    pixels = levels.astype(np.float64) * ((spec.maximum - spec.minimum) / LEVELS) + spec.minimum
    return ((pixels - offset) / scale).astype(np.float32)


def affine(spec: TensorSpec) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """``std`` and ``mean`` as (channels or 1, 1, 1): the network's values times the first plus the second are pixels in the range."""
    std, mean = np.array(spec.std or (1.0,), np.float64), np.array(spec.mean or (0.0,), np.float64)
    return std[:, None, None], mean[:, None, None]


def reordered(spec: TensorSpec, array: np.ndarray) -> np.ndarray:
    """Channels from the picture's order to the network's, or back."""
    return array[:, _BLUE_FIRST[spec.channels]] if spec.order == "BGR" else array


def is_plain(spec: TensorSpec) -> bool:
    """Whether the network's values are the picture itself."""
    return (spec.minimum, spec.maximum, spec.mean, spec.std, spec.order) == (-1, 1, (), (), "RGB")


def describe(spec: TensorSpec) -> str:
    """``0 to 255, mean [104, 117, 123], BGR``."""
    parts = [f"{spec.minimum:g} to {spec.maximum:g}"]
    parts += [
        f"{name} [{', '.join(f'{value:g}' for value in values)}]" for name, values in (("mean", spec.mean), ("std", spec.std)) if values
    ]
    return ", ".join(parts + [spec.order] * (spec.channels >= 3))
