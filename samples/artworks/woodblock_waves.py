"""Waves in flat colours with dark outlines, after the manner of Japanese woodblock prints."""

import numpy as np
from PIL import Image, ImageDraw

from .canvas import CANVAS, Colour, grid, noise, on_paper, ramp, to_image, to_pixels

SKY: tuple[Colour, ...] = ((54, 84, 120), (168, 176, 168), (232, 214, 174), (240, 224, 186))
BLUES: tuple[Colour, ...] = ((120, 160, 180), (72, 118, 156), (40, 78, 126), (26, 50, 96), (18, 34, 70))
FOAM: Colour = (244, 238, 220)
INK: Colour = (22, 28, 48)
SUN: Colour = (196, 52, 40)
ROWS = 5


def _crest(rng: np.random.Generator, row: int) -> np.ndarray:
    """Outline of one row of breakers from left to right, (P, 2) in canvas pixels: round backs and narrow troughs."""
    base = CANVAS * (0.42 + 0.12 * row)
    length = CANVAS * (0.2 + 0.05 * row)
    height = length * 0.13
    phase = rng.uniform(0, 2 * np.pi)
    angle = np.linspace(-1, 1 + CANVAS / length, 900) * 2 * np.pi
    swell = 1 + 0.35 * np.sin(angle / 3.7 + phase)
    # Below 1 / (2 pi) of the length the sideways motion never folds back on itself.
    x = angle / (2 * np.pi) * length + 0.85 * height * np.sin(angle + phase) * swell
    y = base - height * np.cos(angle + phase) * swell
    return np.stack([x, y], axis=1)


def _scallops(rng: np.random.Generator, draw: ImageDraw.ImageDraw, crest: np.ndarray, size: float) -> None:
    """Fingers of foam along the upper part of a crest."""
    travelled = np.concatenate([[0], np.hypot(*np.diff(crest, axis=0).T).cumsum()])
    places = np.arange(0, travelled[-1], 0.9 * size)
    xs, ys = (np.interp(places, travelled, crest[:, axis]) for axis in (0, 1))
    high = np.percentile(crest[:, 1], 55)
    for below, share in ((0.9, 0.7), (0.0, 1.0)):
        for x, y in zip(xs + below * size / 2, ys + below * size, strict=True):
            radius = share * size * rng.uniform(0.75, 1.1) * min(0.4 + (high - y) / size / 4, 1.0)
            if radius > size / 3:
                draw.ellipse((x - radius, y - radius, x + radius, y + radius), fill=FOAM, outline=INK, width=3)


def _contours(draw: ImageDraw.ImageDraw, crest: np.ndarray, row: int) -> None:
    """Parallel lines below a crest, alternating light and dark, that follow its shape and flatten with depth."""
    mean = crest[:, 1].mean()
    for line in range(1, 9):
        depth = line * (13 + 3 * row)
        y = mean + (crest[:, 1] - mean) * (1 - line / 10) + depth
        colour = BLUES[max(row - 1, 0)] if line % 2 else INK
        draw.line(list(zip(crest[:, 0].tolist(), y.tolist(), strict=True)), fill=colour, width=4 if line % 2 else 2)


def paint(rng: np.random.Generator) -> Image.Image:
    """Sky with a red sun, five rows of breakers, (CANVAS, CANVAS) RGB."""
    _, y = grid()
    image = to_image(ramp(SKY, np.clip(y * 1.9, 0, 1)))
    draw = ImageDraw.Draw(image)
    for cloud in range(4):
        left, top = rng.uniform(-0.1, 0.7) * CANVAS, (0.06 + 0.07 * cloud) * CANVAS
        width = rng.uniform(0.25, 0.5) * CANVAS
        draw.rounded_rectangle((left, top, left + width, top + 26), 13, fill=(226, 206, 170))
        draw.rounded_rectangle((left + 60, top + 26, left + width + 70, top + 50), 12, fill=(238, 222, 190))
    draw.ellipse((150, 120, 390, 360), fill=SUN, outline=INK, width=3)
    for row in range(ROWS):
        crest = _crest(rng, row)
        outline = list(map(tuple, crest.tolist()))
        draw.polygon([*outline, (CANVAS * 2, CANVAS * 2), (-CANVAS, CANVAS * 2)], fill=BLUES[row])
        _contours(draw, crest, row)
        draw.line(outline, fill=INK, width=5)
        _scallops(rng, draw, crest, 11 + 4 * row)
    drops = rng.uniform(0, 1, (260, 3)) * (CANVAS, CANVAS * 0.45, 4)
    for x, height, radius in drops + (0, CANVAS * 0.38, 2):
        draw.ellipse((x - radius, height - radius, x + radius, height + radius), fill=FOAM)
    # The block prints unevenly along the grain of its wood.
    wood = np.asarray(Image.fromarray(noise(rng, 90, 2)).resize((CANVAS * 6, CANVAS)).crop((0, 0, CANVAS, CANVAS)))
    pixels = to_pixels(image) + 22 * (wood[..., None] - 0.5)
    return to_image(on_paper(rng, pixels, 0.12))
