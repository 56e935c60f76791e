"""Images to fit on and images to judge with, where a user gives one set: every second one is kept back."""

import os
from collections.abc import Sequence
from pathlib import Path

from ..calibration.imageset import ImageSet
from ..recipe.settings import ENOUGH_SAMPLES
from ..system.errors import ImageError

Images = str | Path | Sequence[str | Path]
# Of photos, each half wants as many as make a judgement; of the second image of a model, one.
ENOUGH = {"photos": 2 * ENOUGH_SAMPLES, "styles": 2}


def halves(given: Images, what: str, otherwise: str, most: int | None = None) -> tuple[list[Path], list[Path]]:
    """Two sets of files that share no content.

    Args:
        what: ``photos`` or ``styles``.
        otherwise: names what gives the second set apart, for the message.
        most: files of both together at most, taken evenly; by default all.

    Raises:
        ImageError: too few that differ, or none at all.
    """
    images = ImageSet.from_patterns(patterns(given), Path.cwd())
    different = list(dict(zip(reversed(images.digests), reversed(images.files), strict=True)).values())[::-1]
    enough = ENOUGH[what]
    if len(different) < enough:
        raise ImageError(
            f"{what}: {len(different)} different files; at least {enough} are needed, half of them to judge with. Give more, or {otherwise}"
        )
    if most is not None and len(different) > most:
        different = [different[index * len(different) // most] for index in range(most)]
    return different[::2], different[1::2]


def patterns(given: Images) -> list[str]:
    """As a recipe has them."""
    return [str(given)] if isinstance(given, str | Path) else [str(each) for each in given]


def relative(files: Sequence[Path], base: Path) -> list[str]:
    """As a recipe in ``base`` names them."""
    return [os.path.relpath(file, base) for file in files]
