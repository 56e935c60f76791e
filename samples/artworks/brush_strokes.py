"""Thick warm brush strokes that follow a flow field around a low sun."""

import numpy as np
from PIL import Image, ImageDraw

from .canvas import CANVAS, Colour, grid, jitter, noise, ramp, to_image, to_pixels

SKY: tuple[Colour, ...] = ((74, 20, 58), (150, 28, 52), (214, 66, 36), (240, 130, 38), (250, 190, 72), (255, 232, 168))
FIELD: tuple[Colour, ...] = ((20, 52, 62), (26, 92, 92), (96, 124, 58), (186, 148, 44), (232, 186, 76))
SUN = (0.66, 0.34)
HORIZON = 0.62
# Strokes from the broad underpainting to the last accents: how many, width and length in canvas pixels.
LAYERS = ((700, 44, 170), (2200, 24, 120), (4200, 13, 80), (2200, 7, 60))
STEP = 10


def _colours(rng: np.random.Generator) -> np.ndarray:
    """The scene without its strokes, (CANVAS, CANVAS, 3)."""
    x, y = grid()
    distance = np.hypot(x - SUN[0], (y - SUN[1]) * 1.1)
    glow = np.clip(1.05 - 1.35 * distance, 0, 1)
    sky = ramp(SKY, np.clip(0.8 * glow + 0.45 * (noise(rng, 5) - 0.35), 0, 1))
    field = ramp(FIELD, np.clip(1.5 * noise(rng, 7) - 0.35 + 0.4 * (y - HORIZON), 0, 1))
    ridge = HORIZON + 0.06 * (noise(rng, 4, 2)[0] - 0.5)
    scene = np.where((y > ridge[None, :])[..., None], field, sky)
    return np.where((distance < 0.075)[..., None], np.asarray((255, 240, 196), np.float32), scene)


def _angles(rng: np.random.Generator) -> np.ndarray:
    """Direction of the strokes in radians: around the sun in the sky, rolling along the ground."""
    x, y = grid()
    around = np.arctan2(y - SUN[1], x - SUN[0]) + np.pi / 2
    rolling = 0.9 * (noise(rng, 4, 2) - 0.5)
    return np.where(y > HORIZON, rolling, around + 1.1 * (noise(rng, 5, 2) - 0.5))


def _path(angles: np.ndarray, x: float, y: float, length: int) -> np.ndarray:
    points = [(x, y)]
    for _ in range(length // STEP):
        angle = angles[min(max(int(y), 0), CANVAS - 1), min(max(int(x), 0), CANVAS - 1)]
        x, y = x + STEP * np.cos(angle), y + STEP * np.sin(angle)
        points.append((x, y))
    return np.asarray(points, np.float32)


def _stroke(rng: np.random.Generator, draw: ImageDraw.ImageDraw, path: np.ndarray, width: int, colour: np.ndarray) -> None:
    """Bristles side by side, each of a slightly different shade; light on one edge gives the paint its body."""
    direction = path[-1] - path[0]
    across = np.asarray((-direction[1], direction[0]), np.float32) / (np.hypot(*direction) + 1e-6)
    bristles = max(3, width // 4)
    base = colour + rng.normal(0, 9, 3)
    for position in np.linspace(-0.5, 0.5, bristles):
        start, end = rng.integers(0, 2), len(path) - rng.integers(0, 2)
        line = path[start:end] + across * position * width
        shade = base + 26 * position + rng.normal(0, 7)
        draw.line([(float(x), float(y)) for x, y in line], fill=jitter(rng, shade, 3), width=width // bristles + 2, joint="curve")


def paint(rng: np.random.Generator) -> Image.Image:
    """A canvas of strokes, (CANVAS, CANVAS) RGB."""
    colours, angles = _colours(rng), _angles(rng)
    image = to_image(ramp(SKY[:3], noise(rng, 6)))
    draw = ImageDraw.Draw(image)
    for count, width, length in LAYERS:
        for x, y in rng.uniform(0, CANVAS, (count, 2)):
            _stroke(rng, draw, _path(angles, x, y, length), width, colours[int(y), int(x)])
    weave = 6 * (noise(rng, 256, 1) - 0.5)
    return to_image(to_pixels(image) + weave[..., None])
