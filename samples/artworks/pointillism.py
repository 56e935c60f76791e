"""Dots of unmixed colour over an evening by the water."""

import numpy as np
from PIL import Image, ImageDraw

from .canvas import CANVAS, Colour, grid, jitter, noise, ramp, to_image

SKY: tuple[Colour, ...] = ((88, 112, 190), (150, 150, 210), (236, 178, 170), (252, 214, 130), (255, 238, 178))
WATER: tuple[Colour, ...] = ((250, 206, 140), (150, 160, 200), (58, 92, 158), (34, 58, 122))
MEADOW: tuple[Colour, ...] = ((30, 82, 60), (74, 136, 62), (160, 178, 66), (226, 206, 84))
TREE: tuple[Colour, ...] = ((24, 44, 78), (28, 92, 72), (92, 148, 60))
SHORE, BANK = 0.46, 0.72
SUN = (0.36, 0.36)
# Dot radius in canvas pixels, distance between neighbours, and how far a dot's colour strays.
LAYERS = ((9.0, 13, 14.0), (6.5, 10, 26.0), (5.0, 12, 40.0))


def _scene(rng: np.random.Generator) -> np.ndarray:
    """What the painter looks at, (CANVAS, CANVAS, 3)."""
    x, y = grid()
    scene = ramp(SKY, np.clip(y / SHORE + 0.22 * (noise(rng, 6) - 0.5), 0, 1))
    sun = np.hypot(x - SUN[0], y - SUN[1])
    scene += np.clip(1 - sun / 0.3, 0, 1)[..., None] ** 2 * np.asarray((90, 60, 10), np.float32)
    depth = np.clip((y - SHORE) / (BANK - SHORE), 0, 1)
    water = ramp(WATER, np.clip(depth + 0.35 * (noise(rng, 10) - 0.5), 0, 1))
    glitter = np.exp(-(((x - SUN[0]) / 0.07) ** 2)) * (0.5 + noise(rng, 40, 2))
    water += glitter[..., None] * np.asarray((130, 90, 10), np.float32)
    scene = np.where((y > SHORE)[..., None], water, scene)
    hills = SHORE - 0.1 * noise(rng, 3, 3)[0] - 0.01
    scene = np.where(((y > hills) & (y <= SHORE))[..., None], ramp(((104, 92, 170), (70, 104, 150)), noise(rng, 8)), scene)
    bank = BANK + 0.1 * (noise(rng, 3, 2)[3] - 0.5) - 0.12 * x
    meadow = ramp(MEADOW, np.clip(1.4 * noise(rng, 9) - 0.2, 0, 1))
    scene = np.where((y > bank)[..., None], meadow, scene)
    crown = np.hypot((x - 0.8) / 0.24, (y - 0.3) / 0.27) + 0.5 * (noise(rng, 7) - 0.5)
    trunk = (np.abs(x - 0.8 - 0.02 * np.sin(9 * y)) < 0.018) & (y > 0.4) & (y < 0.82)
    scene = np.where(trunk[..., None], np.asarray((62, 38, 66), np.float32), scene)
    return np.where((crown < 1)[..., None], ramp(TREE, np.clip(1.5 * noise(rng, 11) - 0.25 + 0.3 * (0.9 - x), 0, 1)), scene)


def paint(rng: np.random.Generator) -> Image.Image:
    """Three layers of dots on a primed canvas, (CANVAS, CANVAS) RGB."""
    scene = _scene(rng)
    image = to_image(0.55 * scene + 0.45 * np.asarray((240, 226, 200), np.float32))
    draw = ImageDraw.Draw(image)
    for radius, spacing, stray in LAYERS:
        places = np.mgrid[0:CANVAS:spacing, 0:CANVAS:spacing].reshape(2, -1).T
        for row, column in rng.permutation(places + rng.normal(0, spacing / 3, places.shape)):
            pixel = scene[min(max(int(row), 0), CANVAS - 1), min(max(int(column), 0), CANVAS - 1)]
            # One dot in six takes the complement's side: divided colour, mixed by the eye.
            wanted = pixel if rng.random() > 1 / 6 else pixel + 0.45 * (255 - 2 * pixel)
            size = radius * rng.uniform(0.75, 1.2)
            draw.ellipse((column - size, row - size, column + size, row + size), fill=jitter(rng, wanted, stray))
    return image
