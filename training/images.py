"""Images of a training run: which can be read, which are held out, and square crops of them."""

from pathlib import Path

import numpy as np
import torch
from PIL import Image, ImageEnhance
from torch import Tensor

from ..calibration.holdout import Split, contents_listed, names_below, split
from ..calibration.images import load_image
from ..system.errors import ImageError
from .recipe import DataSettings


def split_data(data: DataSettings, base: Path) -> tuple[Split, Split]:
    """Photos and artworks of a recipe.

    Raises:
        ImageError: a pattern matches nothing, or fewer than two of either are left to train with.
    """
    names, contents = names_below(data.held_out.names_of), contents_listed(data.held_out.contents)
    photos = split(data.photos, base, data.held_out.photo_every, names, contents)
    artworks = split(data.artworks, base, data.held_out.artwork_every, names, contents)
    for what, images in (("photos", photos), ("artworks", artworks)):
        if len(images.training) < 2:
            raise ImageError(
                f"{what}: {len(images.training)} readable to train with, {len(images.held_out)} held out, {len(images.damaged)} damaged;"
                " at least 2 are needed: add images or hold out fewer (data.held_out)"
            )
    return photos, artworks


def load_square(path: Path, size: int, generator: np.random.Generator | None = None, smallest: float = 0.7) -> np.ndarray:
    """A square crop of an image file, see ``square``."""
    return square(load_image(path), size, generator, smallest)


def square(picture: Image.Image, size: int, generator: np.random.Generator | None = None, smallest: float = 0.7) -> np.ndarray:
    """A square crop of an image as (size, size, 3) uint8: the centre, or a random one of at least ``smallest`` of the short side."""
    short = min(picture.size)
    side, left_share, top_share = short, 0.5, 0.5
    if generator is not None:
        side = int(short * generator.uniform(smallest, 1.0))
        left_share, top_share = generator.uniform(size=2)
    left, top = int((picture.width - side) * left_share), int((picture.height - side) * top_share)
    return np.asarray(picture.crop((left, top, left + side, top + side)).resize((size, size), Image.Resampling.LANCZOS))


def recolour(pixels: np.ndarray, generator: np.random.Generator) -> np.ndarray:
    """The painting in another palette: permuted channels, other saturation, contrast and brightness. (H, W, 3) uint8, both ways."""
    picture = Image.fromarray(pixels[..., generator.permutation(3)])
    for enhancer, low, high in ((ImageEnhance.Color, 0.6, 1.5), (ImageEnhance.Contrast, 0.7, 1.3), (ImageEnhance.Brightness, 0.7, 1.2)):
        picture = enhancer(picture).enhance(generator.uniform(low, high))
    return np.asarray(picture)


def to_tensor(images: np.ndarray) -> Tensor:
    """(N, H, W, 3) uint8 -> (N, 3, H, W) float32 in [-1, 1]."""
    return torch.from_numpy(np.array(images)).permute(0, 3, 1, 2).float() / 127.5 - 1
