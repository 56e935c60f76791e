"""Wet blooms of transparent colour that run into each other on rough paper."""

import numpy as np
from PIL import Image

from .canvas import CANVAS, Colour, grid, noise, on_paper, to_image

PIGMENTS: tuple[Colour, ...] = ((232, 110, 150), (250, 196, 80), (84, 150, 220), (150, 116, 200), (84, 186, 160), (244, 140, 100))
BLOOMS = 34
SPLASHES = 90


def _pigment(rng: np.random.Generator) -> np.ndarray:
    """Transmission of one of the pigments, (3,) in [0, 1]."""
    return np.asarray(PIGMENTS[rng.integers(len(PIGMENTS))], np.float32) / 255


def _bloom(rng: np.random.Generator, pixels: np.ndarray, centre: np.ndarray, radius: float, strength: float) -> np.ndarray:
    """Multiplies one bloom of paint into the picture; pigment settles where the water dries last, at its edge."""
    x, y = grid()
    wobble = noise(rng, 5, 5) - 0.5
    distance = np.hypot(x - centre[0], y - centre[1]) / radius + 0.9 * wobble
    inside = np.clip((1 - distance) / 0.03, 0, 1)
    rim = np.exp(-(((distance - 0.965) / 0.03) ** 2))
    granulation = 0.75 + 0.5 * noise(rng, 90, 3)
    dilution = 0.5 + 0.6 * noise(rng, 4, 3)
    density = strength * inside * (dilution**2 * granulation + 0.6 * rim)
    # Beer-Lambert: a pigment's transmission to the power of its density.
    return pixels * _pigment(rng) ** density[..., None]


def paint(rng: np.random.Generator) -> Image.Image:
    """Large blooms first, then small ones and splashes, (CANVAS, CANVAS) RGB."""
    pixels = np.full((CANVAS, CANVAS, 3), (250, 246, 236), np.float32)
    for bloom in range(BLOOMS):
        share = bloom / BLOOMS
        pixels = _bloom(rng, pixels, rng.uniform(0, 1, 2), 0.26 - 0.18 * share, 0.6 + 0.6 * share)
    x, y = grid()
    for _ in range(SPLASHES):
        place, radius = rng.uniform(0, 1, 2), rng.exponential(0.004) + 0.002
        drop = np.clip((radius - np.hypot(x - place[0], y - place[1])) * CANVAS / 2, 0, 1)
        pixels = pixels * _pigment(rng) ** (0.9 * drop[..., None])
    return to_image(on_paper(rng, pixels, 0.16))
