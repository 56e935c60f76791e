"""``instantstyle.compare``: two ways to make pictures, picture by picture."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from ..calibration.imageset import ImageSet
from ..metrics.difference import max_abs, psnr_db
from ..metrics.local_errors import colour_difference
from ..metrics.ssim import similarity
from ..system.errors import ImageError
from ..system.tables import markdown_table
from .pictures import WHITE, Picture, to_pil

Paint = Callable[..., Any]
COLUMNS = ("Picture", "SSIM", "worst tile", "PSNR dB", "CIEDE2000", "largest difference")


@dataclass(frozen=True)
class Row:
    """Two pictures beside each other.

    Attributes:
        name: of the photo.
        ssim: structural similarity, in [-1, 1]; ``worst_tile`` of the worst tile of 64x64 pixels.
        psnr_db: infinite for equal pictures.
        colour: mean CIEDE2000.
        largest: largest difference, in levels of 255.
    """

    name: str
    ssim: float
    worst_tile: float
    psnr_db: float
    colour: float
    largest: float


@dataclass(frozen=True)
class Comparison:
    """A row for each photo."""

    rows: tuple[Row, ...]

    @property
    def mean(self) -> float:
        """Mean SSIM."""
        return float(np.mean([row.ssim for row in self.rows]))

    @property
    def worst(self) -> float:
        """Least SSIM."""
        return min(row.ssim for row in self.rows)

    def __repr__(self) -> str:
        return f"Comparison of {len(self.rows)} pictures: SSIM {self.mean:.4f} mean, {self.worst:.4f} worst"

    def _repr_markdown_(self) -> str:
        """What a notebook shows."""
        cells = [
            (row.name, f"{row.ssim:.4f}", f"{row.worst_tile:.4f}", f"{row.psnr_db:.1f}", f"{row.colour:.2f}", f"{row.largest:.0f}")
            for row in self.rows
        ]
        return "\n".join([f"{self!r}", "", *markdown_table(COLUMNS, cells)])


def compare_pictures(reference: Picture, candidate: Picture) -> Comparison:
    """Two pictures. ImageError if they differ in size."""
    return Comparison((_row("picture", _levels(reference), _levels(candidate)),))


def compare_makers(reference: Paint, candidate: Paint, images: Picture | Sequence[Picture], styles: Sequence[Picture] = ()) -> Comparison:
    """The pictures that two functions make of the same photos. ImageError if they differ in size, or there are none."""
    rows = [_row(name, _levels(reference(photo, *styles)), _levels(candidate(photo, *styles))) for name, photo in _named(images)]
    if not rows:
        raise ImageError("images: none given")
    return Comparison(tuple(rows))


def _named(images: Any) -> list[tuple[str, Any]]:
    if isinstance(images, str | Path):
        return [(path.name, to_pil(path)) for path in ImageSet.from_patterns([str(images)], Path.cwd()).files]
    several = images if isinstance(images, Sequence) else [images]
    return [
        (Path(image).name, to_pil(image)) if isinstance(image, str | Path) else (f"picture {index}", image)
        for index, image in enumerate(several)
    ]


def _levels(picture: Any) -> np.ndarray:
    """(3, H, W) in levels of 255."""
    return np.asarray(to_pil(picture), np.float64).transpose(2, 0, 1)


def _row(name: str, wanted: np.ndarray, found: np.ndarray) -> Row:
    if wanted.shape != found.shape:
        sizes = (f"{shape[2]}x{shape[1]}" for shape in (wanted.shape, found.shape))
        raise ImageError(f"{name}: one picture has {' pixels and the other '.join(sizes)}")
    structure = similarity(wanted, found, 0, WHITE)
    colour = colour_difference(wanted, found, 0, WHITE)
    return Row(name, structure.mean, structure.worst_tile, psnr_db(wanted, found, WHITE), colour, max_abs(wanted, found))
