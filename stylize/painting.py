"""Painting all photos of a command: which are done already, which cannot be read, and how pictures are written."""

import io
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from PIL import Image

from ..calibration.images import load_image, to_image, whole_array
from ..system.disk import atomic_write
from ..system.errors import ImageError
from ..system.progress import Display
from .engine import Say
from .places import WRITABLE, Journal, Place

SAVE_OPTIONS: dict[str, dict[str, object]] = {"JPEG": {"quality": 95, "subsampling": 0}, "WEBP": {"quality": 95}}
# A photo (1, C, H, W) in [-1, 1] to a picture of the same kind.
Paint = Callable[[np.ndarray, Say], np.ndarray]


@dataclass(frozen=True)
class Painting:
    """What a command paints.

    Attributes:
        stage: for the display, with the name of what paints.
        places: photos and where their pictures go, at least one.
        out: as on the command line: a file, or a folder.
        settings: all that decides over a picture besides its photo.
        prepare: gives what paints; called once, when nothing stands in the way.
        channels: of the photos, as ``load_image`` takes them.
        size: longer side of the photos to paint, in pixels; None keeps theirs.
        force: paint and replace pictures that are there already.
        nan_remedy: what to do where a picture has NaN.
    """

    stage: tuple[str, str]
    places: tuple[Place, ...]
    out: Path
    settings: dict[str, object]
    prepare: Callable[[], Paint]
    channels: int = 3
    size: int | None = None
    force: bool = False
    nan_remedy: str = ""


def paint_all(job: Painting, display: Display) -> int:
    """Paints all photos; exit code 0, or 1 if some photos of several could not be read.

    Raises:
        ImageError: pictures are there that were painted from something else, the only photo cannot be read, or a picture cannot be written.
    """
    found = job.places
    # A file that is named in full is replaced, as any tool does; a folder may hold other pictures.
    in_folder = found[0].out != job.out
    journal = Journal(job.out, job.settings) if in_folder else None
    known = {place for place in found if journal is not None and not job.force and journal.knows(place)}
    strangers = [place.out for place in found if in_folder and not job.force and place not in known and place.out.exists()]
    if strangers:
        raise ImageError(
            f"{strangers[0]}{f' and {len(strangers) - 1} more' * (len(strangers) > 1)}: there already, painted from something else; "
            "--force replaces, or name another folder with -o"
        )
    paint = job.prepare()
    damaged: list[str] = []
    with display.stage(*job.stage) as report:
        for index, place in enumerate(found):
            if place not in known:
                try:
                    photo = _sized(load_image(place.photo, job.channels), job.size)
                except ImageError as error:
                    if len(found) == 1:
                        raise
                    damaged.append(str(error))
                    continue
                note = f"{place.photo.name} {photo.width}x{photo.height}"

                def say(done: int, total: int, before: int = index, note: str = note) -> None:
                    report(before, len(found), f"{note}, part {done} of {total}")

                _save(paint(whole_array(photo), say), place.out, job.nan_remedy)
                if journal is not None:
                    journal.add(place)
            report(index + 1, len(found), place.photo.name)
    for problem in damaged:
        display.notice(f"skipped: {problem}")
    made = len(found) - len(damaged) - len(known)
    there = f", {len(known)} were there already" if known else ""
    skipped = f", {len(damaged)} cannot be read" if damaged else ""
    display.notice(f"{job.out}: {made} painted{there}{skipped}")
    return 1 if damaged else 0


def _sized(photo: Image.Image, size: int | None) -> Image.Image:
    """The photo with ``size`` pixels on its longer side."""
    if size is None:
        return photo
    scale = size / max(photo.size)
    width, height = (max(1, round(length * scale)) for length in photo.size)
    return photo.resize((width, height), Image.Resampling.LANCZOS)


def _save(painted: np.ndarray, out: Path, nan_remedy: str) -> None:
    if not np.isfinite(painted).all():
        raise ImageError(f"{out}: not written, because the model gave NaN or infinity{nan_remedy}")
    kind = WRITABLE[out.suffix.lower()]
    data = io.BytesIO()
    to_image(painted).save(data, kind, **SAVE_OPTIONS.get(kind, {}))
    try:
        atomic_write(out, data.getvalue())
    except OSError as error:
        raise ImageError(f"{out}: cannot be written ({error.strerror}); free some space or name another place with -o") from error
