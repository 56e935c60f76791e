"""Which images are learnt from, which never are, and which cannot be read."""

from dataclasses import dataclass
from pathlib import Path

from ..model.errors import ImageError
from .images import load_image
from .imageset import ImageSet


@dataclass(frozen=True)
class Split:
    """Files for training, files that training must never see, and what could not be read: one sentence for each."""

    training: list[Path]
    held_out: list[Path]
    damaged: list[str]


def _readable(files: tuple[Path, ...]) -> tuple[list[Path], list[str]]:
    good: list[Path] = []
    damaged: list[str] = []
    for path in files:
        try:
            load_image(path)
            good.append(path)
        except ImageError as error:
            damaged.append(str(error))
    return good, damaged


def names_below(folder: Path | None) -> set[str]:
    """Names without suffix of the files anywhere below ``folder``; none without a folder."""
    return {path.stem for path in folder.rglob("*") if path.is_file()} if folder else set()


def split(patterns: tuple[str, ...], base: Path, every: int, names: set[str]) -> Split:
    """Holds out every ``every``-th file by name (0: none) and those whose stem is in ``names``. Every file is decoded once."""
    good, damaged = _readable(ImageSet.from_patterns(patterns, base).files)
    good.sort()
    held_out = [path for index, path in enumerate(good) if (every and index % every == 0) or path.stem in names]
    return Split([path for path in good if path not in held_out], held_out, damaged)
