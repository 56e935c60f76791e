"""A rose window: Voronoi cells in rings, jewel colours, dark leading."""

import numpy as np
from PIL import Image

from .canvas import CANVAS, Colour, grid, noise, to_image

# Pieces in each ring, its radius in canvas widths and the colours that alternate in it.
RINGS: tuple[tuple[int, float, tuple[Colour, ...]], ...] = (
    (1, 0.0, ((250, 214, 92),)),
    (8, 0.085, ((204, 38, 48), (236, 120, 36))),
    (12, 0.165, ((28, 62, 170), (52, 128, 208))),
    (24, 0.245, ((244, 188, 60), (190, 30, 52), (40, 140, 110))),
    (24, 0.325, ((30, 50, 140), (92, 40, 140))),
    (32, 0.405, ((214, 60, 44), (246, 204, 96), (36, 110, 190), (60, 160, 120))),
    (40, 0.49, ((24, 40, 120), (40, 90, 180), (120, 52, 150))),
    (44, 0.58, ((30, 110, 96), (90, 160, 70), (26, 70, 130))),
    (48, 0.68, ((24, 44, 110), (150, 34, 60))),
)
LEAD_WIDTH = 9.0  # canvas pixels
LEAD = np.asarray((24, 22, 26), np.float32)


def _pieces(rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
    """Centres (P, 2) in canvas pixels and colours (P, 3)."""
    centres, colours = [], []
    for ring, (count, radius, palette) in enumerate(RINGS):
        for piece in range(count):
            angle = 2 * np.pi * (piece + 0.5 * (ring % 2)) / count + rng.normal(0, 0.02)
            reach = radius * (1 + rng.normal(0, 0.012))
            centres.append((0.5 + reach * np.cos(angle), 0.5 + reach * np.sin(angle)))
            colours.append(np.asarray(palette[piece % len(palette)], np.float32) * rng.uniform(0.8, 1.15))
    return np.asarray(centres, np.float32) * CANVAS, np.asarray(colours, np.float32)


def _nearest(centres: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Index of the nearest centre and distance in pixels to the border with the next one, both (CANVAS, CANVAS)."""
    x, y = grid()
    index, border = np.empty(x.shape, np.int64), np.empty(x.shape, np.float32)
    for row in range(CANVAS):
        squares = (x[row, :, None] * CANVAS - centres[:, 0]) ** 2 + (y[row, :, None] * CANVAS - centres[:, 1]) ** 2
        two = np.argpartition(squares, 1, axis=1)[:, :2]
        near, next_near = np.take_along_axis(squares, two, axis=1).T
        between = np.hypot(*(centres[two[:, 0]] - centres[two[:, 1]]).T)
        index[row], border[row] = two[:, 0], (next_near - near) / (2 * between)
    return index, border


def paint(rng: np.random.Generator) -> Image.Image:
    """A window lit from behind, (CANVAS, CANVAS) RGB."""
    centres, colours = _pieces(rng)
    index, border = _nearest(centres)
    x, y = grid()
    light = 1.25 - 0.6 * np.hypot(x - 0.5, y - 0.42)
    streaks = 0.82 + 0.36 * noise(rng, 24, 3)
    # Glass is thicker, and so darker, towards the lead.
    thickness = 1 - 0.35 * np.exp(-border / 14)
    glass = colours[index] * (light * streaks * thickness)[..., None]
    lead = np.clip((LEAD_WIDTH / 2 + 1 - border) / 2, 0, 1)[..., None]
    gleam = 34 * np.clip(1 - np.abs(border - 1.2), 0, 1)[..., None]
    return to_image(glass * (1 - lead) + (LEAD + gleam) * lead)
