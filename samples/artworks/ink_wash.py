"""Mountains in mist, ink on paper."""

import numpy as np
from PIL import Image, ImageDraw

from .canvas import CANVAS, grid, noise, on_paper, to_image, to_pixels

PAPER = np.asarray((238, 232, 218), np.float32)
INK = np.asarray((34, 36, 42), np.float32)
# From far to near: height of the ridge, its roughness and the strength of its ink.
RIDGES = ((0.28, 0.40, 0.34), (0.42, 0.46, 0.50), (0.56, 0.40, 0.68), (0.72, 0.34, 0.88), (0.90, 0.26, 1.0))


def _ridge(rng: np.random.Generator, height: float, roughness: float) -> np.ndarray:
    """Upper edge of a range in rows, (CANVAS,)."""
    peaks = noise(rng, 3, 6)[rng.integers(CANVAS)]
    # Squared: narrow peaks and wide valleys.
    return CANVAS * (height + roughness * (0.35 - peaks**1.6))


def _range(rng: np.random.Generator, edge: np.ndarray, strength: float) -> np.ndarray:
    """Ink of one range in [0, 1]: dark at the edge, dry-brush texture on the slopes, gone in the mist below."""
    _, y = grid()
    depth = y * CANVAS - edge[None, :]
    wash = np.exp(-np.clip(depth, 0, None) / (CANVAS * 0.15))
    outline = np.exp(-np.clip(depth, 0, None) / 9)
    slopes = noise(rng, 20, 4)
    streaks = np.asarray(Image.fromarray(noise(rng, 60, 3)).resize((CANVAS, CANVAS * 2)).crop((0, 0, CANVAS, CANVAS)))
    texture = np.clip(2.4 * (slopes * 0.65 + streaks * 0.45) - 0.85, 0, 1)
    inside = np.clip(depth / 3, 0, 1)
    return strength * inside * np.clip(wash * (0.3 + 0.95 * texture) + 0.45 * outline, 0, 1)


def _pine(rng: np.random.Generator, draw: ImageDraw.ImageDraw, x: float, foot: float, height: float) -> None:
    draw.line((x, foot, x + rng.normal(0, 5), foot - height), fill=(26, 28, 32), width=max(3, int(height / 22)))
    for level in np.linspace(0.25, 1.0, 7):
        reach = height * 0.36 * (1.1 - level)
        y = foot - height * level
        for side in (-1, 1):
            for _ in range(9):
                end = x + side * reach * rng.uniform(0.3, 1.0)
                draw.line((x, y, end, y + reach * rng.uniform(0.1, 0.5)), fill=(30, 33, 38), width=int(rng.integers(2, 4)))


def paint(rng: np.random.Generator) -> Image.Image:
    """Five ranges, pines and a seal, (CANVAS, CANVAS) RGB."""
    x, y = grid()
    ink = 0.10 * noise(rng, 3, 3) * (1 - y)
    edges = []
    for height, roughness, strength in RIDGES:
        edge = _ridge(rng, height, roughness)
        layer = _range(rng, edge, strength)
        # The mist in front of a range is paper again: it hides what stands behind.
        hidden = np.clip((y * CANVAS - edge[None, :]) / 40, 0, 1) * 0.85
        ink = np.maximum(ink * (1 - hidden), layer)
        edges.append(edge)
    moon = np.hypot(x - 0.74, y - 0.16)
    ink = np.where(moon < 0.075, ink * 0.15, ink + 0.16 * np.exp(-np.clip(moon - 0.075, 0, None) / 0.05))
    image = to_image(PAPER * (1 - ink[..., None]) + INK * ink[..., None])
    draw = ImageDraw.Draw(image)
    for column in rng.uniform(0.02, 0.98, 11) * CANVAS:
        _pine(rng, draw, column, edges[-1][int(column)] + 12, rng.uniform(70, 150))
    draw.rounded_rectangle((80, 80, 142, 164), 8, fill=(178, 44, 36))
    for top in (96, 118, 140):
        draw.line((92, top, 130, top), fill=(240, 226, 208), width=5)
    draw.line((111, 92, 111, 152), fill=(240, 226, 208), width=5)
    return to_image(on_paper(rng, to_pixels(image), 0.14))
