"""What all paintings share: a canvas at twice the final size, smooth noise, colour ramps and paper."""

from collections.abc import Sequence

import numpy as np
from PIL import Image

SIZE = 512
CANVAS = 2 * SIZE  # painted at twice the size, so that the reduction smooths every edge

Colour = tuple[int, int, int]


def noise(rng: np.random.Generator, cells: int, octaves: int = 4, size: int = CANVAS) -> np.ndarray:
    """Smooth fractal noise, (size, size) in [0, 1]; the coarsest octave has ``cells`` by ``cells`` bumps."""
    total = np.zeros((size, size), np.float32)
    for octave in range(octaves):
        count = min(cells * 2**octave, size)
        grid = Image.fromarray(rng.random((count, count), dtype=np.float32))
        total += np.asarray(grid.resize((size, size), Image.Resampling.BICUBIC)) / 2**octave
    low, high = total.min(), total.max()
    return (total - low) / (high - low)


def ramp(colours: Sequence[Colour], position: np.ndarray) -> np.ndarray:
    """Colours of a ramp at positions in [0, 1]: (...,) -> (..., 3) in [0, 255]."""
    stops = np.linspace(0, 1, len(colours))
    channels = np.asarray(colours, np.float32).T
    return np.stack([np.interp(position, stops, channel) for channel in channels], axis=-1)


def grid() -> tuple[np.ndarray, np.ndarray]:
    """Column and row of every pixel of the canvas in [0, 1), both (CANVAS, CANVAS)."""
    line = np.arange(CANVAS, dtype=np.float32) / CANVAS
    x, y = np.meshgrid(line, line)
    return x, y


def to_image(pixels: np.ndarray) -> Image.Image:
    """(H, W, 3) in [0, 255] -> image."""
    return Image.fromarray(np.clip(pixels, 0, 255).astype(np.uint8), "RGB")


def to_pixels(image: Image.Image) -> np.ndarray:
    """Image -> (H, W, 3) in [0, 255], float32."""
    return np.asarray(image.convert("RGB"), np.float32)


def on_paper(rng: np.random.Generator, pixels: np.ndarray, strength: float) -> np.ndarray:
    """Multiplies a paper's grain into (CANVAS, CANVAS, 3); ``strength`` is the share of light that the darkest fibre takes."""
    fibres = 0.5 * noise(rng, 256, 2) + 0.5 * noise(rng, 64, 3)
    return pixels * (1 - strength * fibres[..., None])


def jitter(rng: np.random.Generator, colour: np.ndarray, spread: float) -> Colour:
    """The colour (3,) with normal noise of ``spread`` levels, for Pillow's drawing functions."""
    red, green, blue = np.clip(colour + rng.normal(0, spread, 3), 0, 255).astype(int)
    return int(red), int(green), int(blue)
