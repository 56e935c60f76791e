"""Clear skies that no compression has touched, painted over photos."""

import numpy as np

# Of a sky: from the zenith's colour to the horizon's, both in [0, 1].
DARKEST, BRIGHTEST = 0.02, 0.98
CLEAR_SHARE = 0.3


def sky(photo: np.ndarray, generator: np.random.Generator) -> np.ndarray:
    """The photo below a smooth gradient, (H, W, 3) uint8, both ways; three times out of ten there is nothing but sky.

    The gradient goes from one colour to another, top to bottom or aslant, as a power of the way between 0.5 and 2. It is dithered before
    it is rounded, so that it has no bands.
    """
    height, width = photo.shape[:2]
    y, x = np.mgrid[:height, :width] / (max(height, width) - 1)
    angle = generator.uniform(-np.pi / 4, np.pi / 4)
    way = np.sin(angle) * (x - 0.5) + np.cos(angle) * (y - 0.5)
    way = ((way - way.min()) / np.ptp(way)) ** generator.uniform(0.5, 2)
    first = generator.uniform(DARKEST, BRIGHTEST, 3)
    last = np.clip(first + generator.normal(0, 0.2) + generator.normal(0, 0.1, 3), DARKEST, BRIGHTEST)
    gradient = 255 * (first + way[..., None] * (last - first))
    horizon = 1.2 if generator.random() < CLEAR_SHARE else generator.uniform(0.3, 0.8)
    # A soft horizon with hills: two waves, a few pixels of mist.
    hills = horizon + sum(0.04 * np.sin(2 * np.pi * (generator.uniform(0.5, 3) * x + generator.random())) for _ in range(2))
    ground = np.clip((y - hills) * height / 6 + 0.5, 0, 1)[..., None]
    mixed = gradient * (1 - ground) + photo * ground
    return np.clip(np.floor(mixed + np.where(ground < 1, generator.random(photo.shape), 0.5)), 0, 255).astype(np.uint8)
