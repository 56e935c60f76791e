"""Which picture goes where, and which of them are done already."""

import json
from dataclasses import dataclass
from hashlib import sha256
from pathlib import Path

from ..calibration.imageset import ImageSet
from ..system.disk import atomic_write, check_output
from ..system.errors import ImageError
from ..system.hashing import file_sha256

JOURNAL = ".stylize.json"
# Written as they came; pictures of other formats become PNG.
WRITABLE = {".jpg": "JPEG", ".jpeg": "JPEG", ".png": "PNG", ".webp": "WEBP", ".tif": "TIFF", ".tiff": "TIFF", ".bmp": "BMP"}
# Of these, what keeps transparency.
TRANSPARENT = (".png", ".webp", ".tif", ".tiff")


@dataclass(frozen=True)
class Place:
    """A photo and the picture that it becomes."""

    photo: Path
    out: Path


def places(patterns: tuple[str, ...], styles: tuple[Path, ...], out: Path, alpha: bool = False) -> tuple[Place, ...]:
    """Where everything goes. ``out`` is a file if it has the suffix of a picture and is no folder, else a folder.

    Args:
        alpha: the pictures have transparency; they become PNG where their photo's format has none.

    Raises:
        ImageError: a pattern matches nothing, several photos for one file, two of them with the same name, a format that cannot
            be written, or one that would overwrite a photo or a style.
    """
    photos = ImageSet.from_patterns(patterns, Path()).files
    suffixes = TRANSPARENT if alpha else tuple(WRITABLE)
    if out.suffix and not out.is_dir():
        if out.suffix.lower() not in suffixes:
            why = "has no transparency, which this picture has" if out.suffix.lower() in WRITABLE else "cannot be written"
            raise ImageError(f"{out}: '{out.suffix}' {why}; use one of {', '.join(suffixes)}, or a folder's name")
        if len(photos) > 1:
            raise ImageError(f"{len(photos)} photos for the one file {out}: name a folder instead, e.g. -o {out.with_suffix('')}")
        found = [Place(photo, out) for photo in photos]
    else:
        if out.exists() and not out.is_dir():
            raise ImageError(f"{out} is a file; name a folder, or a file with one of the suffixes {', '.join(WRITABLE)}")
        found = [Place(photo, out / _name(photo, suffixes)) for photo in photos]
    _refuse_clashes(found, styles)
    check_output(out, folder=found[0].out != out)
    return tuple(found)


def _name(photo: Path, suffixes: tuple[str, ...]) -> str:
    return photo.name if photo.suffix.lower() in suffixes else f"{photo.name}.png"


def _refuse_clashes(found: list[Place], styles: tuple[Path, ...]) -> None:
    sources = {path.resolve() for path in (*styles, *(place.photo for place in found))}
    taken: dict[Path, Path] = {}
    for place in found:
        target = place.out.resolve()
        if target in sources:
            raise ImageError(f"{place.out} is one of the pictures to read, and would be overwritten; name another place with -o")
        if target in taken:
            raise ImageError(f"{taken[target]} and {place.photo} would both become {place.out}; use two commands with two folders")
        taken[target] = place.photo


class Journal:
    """Says which pictures of a folder were painted, from what; so that a run that was interrupted goes on where it stopped.

    Args:
        folder: of the pictures.
        settings: all that decides over a picture besides its photo.
    """

    def __init__(self, folder: Path, settings: dict[str, object]) -> None:
        self.path, self.settings = folder / JOURNAL, json.dumps(settings, sort_keys=True)
        try:
            entries = json.loads(self.path.read_bytes())
        except (OSError, ValueError):
            entries = {}  # it only saves work: without it pictures are painted again
        self.entries: dict[str, str] = entries if isinstance(entries, dict) else {}

    def key(self, place: Place) -> str:
        """What ``place`` is painted from. ImageError if the photo cannot be read."""
        try:
            return sha256(f"{file_sha256(place.photo)} {self.settings}".encode()).hexdigest()
        except OSError as error:
            raise ImageError(f"{place.photo}: cannot be read ({error.strerror})") from error

    def knows(self, place: Place) -> bool:
        """Whether the picture is there, painted from the same."""
        return place.out.is_file() and self.entries.get(place.out.name) == self.key(place)

    def add(self, place: Place) -> None:
        """Notes that a picture is done."""
        self.entries[place.out.name] = self.key(place)
        atomic_write(self.path, json.dumps(self.entries, indent=1).encode())
