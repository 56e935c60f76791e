"""Paints the generated artworks of this folder again: ``python samples/make_artworks.py [folder]``.

Only five of the freely available artworks are strictly in the public domain; the other styles are painted here and
dedicated to the public domain (CC0-1.0). Every painting has a fixed seed.
"""

import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from artworks import brush_strokes, geometry, ink_wash, pointillism, stained_glass, watercolour, woodblock_waves
from artworks.canvas import SIZE
from PIL import Image

QUALITY = 88


@dataclass(frozen=True)
class Artwork:
    """One painting: where it belongs, who paints it and the seed that makes it the same every time."""

    file: str
    paint: Callable[[np.random.Generator], Image.Image]
    seed: int

    def image(self) -> Image.Image:
        """The finished painting, 512x512 RGB."""
        return self.paint(np.random.default_rng(self.seed)).resize((SIZE, SIZE), Image.Resampling.LANCZOS)


ARTWORKS = (
    Artwork("calibration/styles/made_brush_strokes.jpg", brush_strokes.paint, 11),
    Artwork("calibration/styles/made_stained_glass.jpg", stained_glass.paint, 12),
    Artwork("calibration/styles/made_ink_wash.jpg", ink_wash.paint, 13),
    Artwork("calibration/styles/made_geometry.jpg", geometry.paint, 14),
    Artwork("calibration/styles/made_watercolour.jpg", watercolour.paint, 15),
    Artwork("validation/styles/made_woodblock_waves.jpg", woodblock_waves.paint, 16),
    Artwork("validation/styles/made_pointillism.jpg", pointillism.paint, 17),
)


def main(folder: Path) -> None:
    """Writes all artworks below ``folder``."""
    for artwork in ARTWORKS:
        path = folder / artwork.file
        path.parent.mkdir(parents=True, exist_ok=True)
        artwork.image().save(path, quality=QUALITY, optimize=True)
        print(path)


if __name__ == "__main__":
    main(Path(sys.argv[1]) if len(sys.argv) > 1 else Path(__file__).parent)
