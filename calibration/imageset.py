"""A set of images on disk, identified by a hash of its content."""

import glob
import hashlib
import os
import unicodedata
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Self

import numpy as np

from ..model.graph import Size
from ..system.errors import ImageError
from .images import load_image, to_array

# HEIC cannot be read; it is here so that such a file is refused by name instead of being overlooked.
IMAGE_SUFFIXES = frozenset(
    {".jpg", ".jpeg", ".png", ".webp", ".tif", ".tiff", ".bmp", ".gif", ".ppm", ".pgm", ".pbm", ".pnm", ".pfm"}
    | {".jp2", ".j2k", ".avif", ".heic", ".heif"}
)


@dataclass(frozen=True)
class ImageSet:
    """Image files in an order that depends on their names and contents only.

    Attributes:
        files: no file twice.
        sha256: of all names (without folders) and contents; the same on every machine and for every order of patterns.
        digests: SHA-256 of each file's content.
    """

    files: tuple[Path, ...]
    sha256: str
    digests: tuple[str, ...] = ()

    @classmethod
    def from_patterns(cls, patterns: Sequence[str], base: Path) -> Self:
        """The images that folders (not their subfolders), globs (``**`` too) and single files name, relative to ``base``.

        Folders and globs take files with a suffix of ``IMAGE_SUFFIXES``; a file named in full is taken whatever its suffix.

        Raises:
            ImageError: no pattern, a pattern that matches no image, or a file or folder without read permission.
        """
        if not patterns:
            raise ImageError("no images: give at least one folder, glob or file")
        found: dict[Path, Path] = {}  # a file reached twice, also through a link, counts once, under its shortest path
        matches = {path for pattern in patterns for path in _expand(pattern, base)}
        for path in sorted(matches, key=lambda path: (len(path.parts), path)):
            found.setdefault(path.resolve(), path)
        keyed = sorted((_name(path), _digest(path), path) for path in found.values())
        listing = "".join(f"{name}\0{digest}\n" for name, digest, _ in keyed)
        files = tuple(path for _, _, path in keyed)
        digests = tuple(digest for _, digest, _ in keyed)
        return cls(files, hashlib.sha256(listing.encode("utf-8", "surrogateescape")).hexdigest(), digests)

    def __len__(self) -> int:
        return len(self.files)

    def load(self, index: int, size: Size, channels: int = 3) -> np.ndarray:
        """One image as (1, channels, H, W) float32 in [-1, 1]. ImageError if it cannot be read."""
        return to_array(load_image(self.files[index], channels), size)


def check_images(images: ImageSet, minimum: int, what: str) -> tuple[str, ...]:
    """Reads every image once and refuses a set that cannot calibrate or validate a model.

    Args:
        minimum: images needed.
        what: names the set in messages, e.g. ``calibration photos``.

    Returns:
        The SHA-256 of each picture, whatever kind of file it is stored in.

    Raises:
        ImageError: too few images, one that cannot be read (named), or nothing but images of a single colour.
    """
    if len(images) < minimum:
        missing = minimum - len(images)
        raise ImageError(f"{what}: {len(images)} found, at least {minimum} needed; add {missing} more")
    flat, pictures = bool(images.files), []
    for path in images.files:
        picture = np.asarray(load_image(path))
        samples = picture.reshape(-1, 3)
        flat = flat and bool((samples == samples[0]).all())
        pictures.append(hashlib.sha256(f"{picture.shape}".encode() + picture.tobytes()).hexdigest())
    if flat:
        raise ImageError(f"{what}: all {len(images)} images are of a single colour (the first is {images.files[0]}); use real pictures")
    return tuple(pictures)


def _expand(pattern: str, base: Path) -> list[Path]:
    expanded = os.path.expanduser(pattern)
    path = base / expanded
    try:
        if path.is_file():
            return [path]
        # Only the pattern may have wildcards, not the folder that it is relative to.
        matches = list(path.iterdir()) if path.is_dir() else [base / match for match in glob.glob(expanded, root_dir=base, recursive=True)]
        files = [match for match in matches if match.is_file()]
    except OSError as error:
        raise ImageError(f"image pattern '{pattern}': {error.filename or path} cannot be read ({error.strerror})") from error
    images = [file for file in files if file.suffix.lower() in IMAGE_SUFFIXES and not file.name.startswith(".")]
    if not images:
        found = f"{len(files)} files but none with the suffix of an image" if files else "no file"
        raise ImageError(f"image pattern '{pattern}' matches {found} (looked for {path})")
    return images


def _name(path: Path) -> str:
    """The name as the hash sees it. macOS stores accents decomposed, other systems as they were typed."""
    return unicodedata.normalize("NFC", path.name)


def _digest(path: Path) -> str:
    try:
        with path.open("rb") as file:
            return hashlib.file_digest(file, "sha256").hexdigest()
    except OSError as error:
        raise ImageError(f"{path}: cannot be read ({error.strerror})") from error
