"""Pictures as people hold them: PIL images, NumPy arrays, files."""

from pathlib import Path

import numpy as np
from PIL import Image

from ..calibration.images import load_image
from ..system.errors import ImageError

Picture = Image.Image | np.ndarray | str | Path
WHITE = 255.0
MODES = {1: "L", 3: "RGB", 4: "RGBA"}


def to_pil(picture: Picture, channels: int = 3) -> Image.Image:
    """Any picture as an image with so many channels.

    Args:
        picture: a PIL image; an array (H, W) or (H, W, C), of bytes or of floats in [0, 1]; or a file.

    Raises:
        ImageError: an array of another shape or type, values outside of its range, or a file that is no picture.
    """
    if isinstance(picture, str | Path):
        return load_image(Path(picture), channels)
    if isinstance(picture, Image.Image):
        return picture if picture.mode == MODES[channels] else picture.convert(MODES[channels])
    return Image.fromarray(to_bytes(picture)).convert(MODES[channels])


def to_bytes(array: np.ndarray) -> np.ndarray:
    """(H, W) or (H, W, C) of bytes. ImageError as ``to_pil``."""
    wanted = "a picture is an array (height, width) or (height, width, 1, 3 or 4 channels) of uint8, or of floats in [0, 1]"
    if array.ndim not in (2, 3) or (array.ndim == 3 and array.shape[2] not in MODES) or 0 in array.shape:
        raise ImageError(f"an array of shape {array.shape}; {wanted}")
    flat = array[:, :, 0] if array.ndim == 3 and array.shape[2] == 1 else array
    if flat.dtype == np.uint8:
        return np.ascontiguousarray(flat)
    if not np.issubdtype(flat.dtype, np.floating):
        raise ImageError(f"an array of {array.dtype}; {wanted}")
    low, high = float(flat.min()), float(flat.max())
    if not (low >= 0 and high <= 1):
        raise ImageError(f"an array of floats from {low:.3g} to {high:.3g}; {wanted}")
    return np.rint(flat * WHITE).astype(np.uint8)


def like(result: Image.Image, picture: Picture) -> Image.Image | np.ndarray:
    """A result in the form of the picture that it was made of; files give PIL images."""
    if not isinstance(picture, np.ndarray):
        return result
    values = np.asarray(result)
    return values if picture.dtype == np.uint8 else (values / WHITE).astype(picture.dtype)
