"""Which images are learnt from, which never are, and which cannot be read."""

import hashlib
from dataclasses import dataclass
from pathlib import Path

from ..system.errors import ImageError
from .images import load_image
from .imageset import ImageSet

SHA256_DIGITS = 64


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


def contents_listed(path: Path | None) -> set[str]:
    """SHA-256 sums of a file as ``sha256sum`` writes it, a sum and a name in each line; none without a file.

    Raises:
        ImageError: there is no such file, or a line does not start with a sum.
    """
    if path is None:
        return set()
    try:
        lines = path.read_text(encoding="utf-8").splitlines()
    except OSError as error:
        raise ImageError(f"{path}: the list of held-out images cannot be read ({error.strerror})") from error
    sums = [line.split()[0].lower() for line in lines if line.strip()]
    for number, digits in enumerate(sums, start=1):
        if len(digits) != SHA256_DIGITS or set(digits) - set("0123456789abcdef"):
            raise ImageError(f"{path}: entry {number} does not start with a SHA-256 sum ({digits[:20]!r}); make the file with sha256sum")
    return set(sums)


def split(patterns: tuple[str, ...], base: Path, every: int, names: set[str], listed: set[str] | None = None) -> Split:
    """Holds out every ``every``-th file by name (0: none), those whose stem is in ``names`` or SHA-256 sum in ``listed``, and copies.

    Names count without their folders, files of the same name go by their content: a set that is moved or renamed is split as before. Each
    file is decoded once.
    """
    good, damaged = _readable(ImageSet.from_patterns(patterns, base).files)
    chosen = {path for index, path in enumerate(good) if (every and index % every == 0) or path.stem in names}
    contents = {path: _content(path) for path in good}
    known = {contents[path] for path in chosen} | (listed or set())
    held_out = [path for path in good if contents[path] in known]
    return Split([path for path in good if contents[path] not in known], held_out, damaged)


def _content(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
