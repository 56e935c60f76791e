"""Reading any common picture as luma, RGB or RGB with alpha, and between pictures and arrays."""

import struct
import warnings
import zlib
from pathlib import Path
from typing import BinaryIO

import numpy as np
from PIL import Image, ImageOps

from ..model.graph import Size
from ..system.errors import ImageError

# Pillow knows many more formats; some of them start other programs (EPS) or are no pictures.
FORMATS = ("JPEG", "PNG", "WEBP", "TIFF", "BMP", "GIF", "PPM", "JPEG2000", "AVIF")
# What Pillow's decoders raise on damaged files, as found by damaging files of every format.
_DECODER_ERRORS = (
    OSError,
    EOFError,
    SyntaxError,
    ValueError,
    TypeError,
    LookupError,
    ArithmeticError,
    RuntimeError,
    struct.error,
    zlib.error,
)


# Pillow's modes by number of channels. Its luma is that of ITU-R BT.601.
MODES = {1: "L", 3: "RGB", 4: "RGBA"}


def load_image(path: Path, channels: int = 3) -> Image.Image:
    """The picture in ``path`` as 8-bit RGB, the way a viewer shows it on white paper; with 1 channel its luma, with 4 RGB and alpha.

    The EXIF orientation is applied; grey, palette and CMYK pictures become RGB; transparency goes over white unless alpha is wanted,
    which is 255 where a picture has none; 16-bit samples are divided by 257; float samples are taken as 0 (black) to 1 (white). Of an
    animation it is the first frame. Colour profiles are ignored.

    Raises:
        ImageError: the file is missing, empty, no picture, damaged, of more than ``PIL.Image.MAX_IMAGE_PIXELS`` pixels, or has
            samples that are NaN, infinite or outside of the range above.
    """
    image = _read(path)
    try:
        return _to_mode(image, MODES[channels])
    except _UnsuitableSamplesError as error:
        raise ImageError(f"{path}: {error}") from error


def to_array(image: Image.Image, size: Size) -> np.ndarray:
    """Picture of ``load_image`` -> (1, C, H, W) float32 in [-1, 1]: centre crop to the aspect ratio of ``size``, then Lanczos."""
    height, width = size
    return whole_array(ImageOps.fit(image, (width, height), Image.Resampling.LANCZOS))


def whole_array(image: Image.Image) -> np.ndarray:
    """Picture of ``load_image`` -> (1, C, H, W) float32 in [-1, 1], pixel by pixel. ValueError for another mode."""
    if image.mode not in MODES.values():
        raise ValueError(f"a picture of mode {', '.join(MODES.values())} is needed, got mode {image.mode}; load_image makes one")
    samples = np.atleast_3d(np.asarray(image, np.float32))
    return np.ascontiguousarray(samples.transpose(2, 0, 1)[None]) / np.float32(127.5) - np.float32(1)


def to_image(array: np.ndarray) -> Image.Image:
    """(1, C, H, W) -> picture of the mode for C; values are clipped to [-1, 1] and rounded. ValueError for NaN or another shape."""
    if array.ndim != 4 or array.shape[0] != 1 or array.shape[1] not in MODES:
        raise ValueError(f"to_image needs an array of shape (1, C, H, W) with C of {', '.join(map(str, MODES))}, got {array.shape}")
    if np.isnan(array).any():
        raise ValueError("to_image got NaN")
    levels = np.rint((np.clip(array[0].astype(np.float64), -1, 1) + 1) * 127.5).astype(np.uint8)
    return Image.fromarray(np.ascontiguousarray(levels[0] if len(levels) == 1 else levels.transpose(1, 2, 0)))


class _UnsuitableSamplesError(Exception):
    """The picture's samples have no clear meaning as 8-bit levels."""


def _read(path: Path) -> Image.Image:
    """The decoded picture, upright."""
    try:
        with path.open("rb") as file:
            if not file.read(1):
                raise ImageError(f"{path}: the file is empty (0 bytes); delete or replace it")
            return ImageOps.exif_transpose(_decode(file))
    except FileNotFoundError as error:
        raise ImageError(f"{path}: there is no such file") from error
    except (Image.DecompressionBombError, Image.DecompressionBombWarning) as error:
        raise ImageError(f"{path}: more than {Image.MAX_IMAGE_PIXELS:,} pixels; save it smaller") from error
    except Image.UnidentifiedImageError as error:
        raise ImageError(f"{path}: not an image of a known format ({', '.join(FORMATS)}); convert or delete it") from error
    except _DECODER_ERRORS as error:
        raise ImageError(f"{path}: cannot be read, it may be damaged or truncated ({error}); delete or replace it") from error


def _decode(file: BinaryIO) -> Image.Image:
    """Decodes the whole picture, so that damage anywhere in it shows."""
    with warnings.catch_warnings():
        warnings.simplefilter("error", Image.DecompressionBombWarning)
        image = Image.open(file, formats=FORMATS)
        image.load()
    return image


def _to_mode(image: Image.Image, mode: str) -> Image.Image:
    if image.mode == "LAB":
        raise _UnsuitableSamplesError("has L*a*b* colours; save it as RGB")
    if image.mode.startswith("I"):
        image = _from_integers(image)
    elif image.mode == "F":
        image = _from_floats(image)
    if mode == "RGBA":
        return image.convert("RGBA") if image.has_transparency_data else image.convert("RGB").convert("RGBA")
    if image.has_transparency_data:
        paper = Image.new("RGBA", image.size, "white")
        image = Image.alpha_composite(paper, image.convert("RGBA"))
    return image.convert("RGB").convert(mode)


def _from_integers(image: Image.Image) -> Image.Image:
    """Grey of 16 bits -> 8 bits, with alpha if a level stands for transparency. Pillow's own conversion clips at 255 instead of scaling."""
    samples = np.asarray(image).astype(np.int64)
    if samples.min() < 0 or samples.max() > 65535:
        raise _UnsuitableSamplesError(f"samples of {samples.min()} to {samples.max()} do not fit 16 bits; save it with 8 or 16 bits")
    levels = np.rint(samples / 257).astype(np.uint8)
    transparent = image.info.get("transparency")
    grey = Image.fromarray(levels)
    if isinstance(transparent, int):
        grey.putalpha(Image.fromarray(np.where(samples == transparent, 0, 255).astype(np.uint8)))
    return grey


def _from_floats(image: Image.Image) -> Image.Image:
    samples = np.asarray(image, np.float64)
    if not np.isfinite(samples).all():
        raise _UnsuitableSamplesError("has NaN or infinite samples; save it again with 8 or 16 bits")
    if samples.min() < 0 or samples.max() > 1:
        raise _UnsuitableSamplesError(
            f"float samples of {samples.min():g} to {samples.max():g}, but 0 is black and 1 is white; save it with 8 or 16 bits"
        )
    return Image.fromarray(np.rint(samples * 255).astype(np.uint8))
