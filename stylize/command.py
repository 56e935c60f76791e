"""``instantstyle stylize``: checks first, then the engine, then picture by picture."""

import io
import math
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from PIL import Image

from ..calibration.images import load_image, to_image
from ..export.fingerprint import file_sha256
from ..export.progress import Display, make_display
from ..model.errors import ImageError, InstantStyleError
from ..model.files import write_atomically
from ..model.network import mix
from .artifact_engine import ArtifactEngine
from .engine import Engine
from .network_engine import NetworkEngine
from .places import WRITABLE, Journal, Place, places

SAVE_OPTIONS: dict[str, dict[str, object]] = {"JPEG": {"quality": 95, "subsampling": 0}, "WEBP": {"quality": 95}}


@dataclass(frozen=True)
class StylizeOptions:
    """What the command line says.

    Attributes:
        photos: folders, globs or files.
        styles: artworks, mixed by ``weights`` (empty: evenly).
        size: longer side of the pictures to make, in pixels; None keeps the photo's.
        artifact: folder of an artifact; None for the PyTorch network of ``checkpoint``.
        force: paint and replace pictures that are there already.
    """

    photos: tuple[str, ...]
    styles: tuple[Path, ...]
    out: Path
    checkpoint: Path
    weights: tuple[float, ...] = ()
    alpha: float = 1.0
    size: int | None = None
    artifact: Path | None = None
    threads: int | None = None
    force: bool = False
    as_json: bool = False


def parse_weights(text: str | None) -> tuple[float, ...]:
    """``0.3,0.7`` as numbers. InstantStyleError if it is something else."""
    try:
        return tuple(float(part) for part in text.split(",")) if text else ()
    except ValueError:
        raise InstantStyleError(f"--weights '{text}': give numbers with commas between them, one for each --style, e.g. 0.3,0.7") from None


def stylize(options: StylizeOptions) -> int:
    """Paints all photos; exit code 0, or 1 if some photos of several could not be read.

    Raises:
        InstantStyleError: wrong input; nothing was painted, unless a disk ran full half-way.
    """
    weights = _checked_weights(options)
    found = places(options.photos, options.styles, options.out)
    torch.set_num_threads(options.threads or torch.get_num_threads())
    artworks = [load_image(path) for path in options.styles]
    if len(found) == 1:
        load_image(found[0].photo)
    engine = ArtifactEngine(options.artifact, torch.get_num_threads()) if options.artifact else NetworkEngine.load(options.checkpoint)
    with closing(engine):
        display = make_display(options.as_json)
        try:
            return _paint_all(options, found, artworks, weights, engine, display)
        finally:
            display.close()


def _checked_weights(options: StylizeOptions) -> tuple[float, ...]:
    count = len(options.styles)
    weights = options.weights or (1.0,) * count
    if len(weights) != count:
        raise InstantStyleError(f"--weights gives {len(weights)} numbers for {count} styles; give one for each --style")
    if not all(math.isfinite(weight) and weight >= 0 for weight in weights) or sum(weights) <= 0:
        raise InstantStyleError(f"--weights {','.join(map(str, weights))}: they must be 0 or more, and not all 0")
    if not 0 <= options.alpha <= 1:  # also false for NaN
        raise InstantStyleError(f"--alpha {options.alpha}: it must be from 0 (the photo) to 1 (full style)")
    return weights


def _paint_all(
    options: StylizeOptions,
    found: tuple[Place, ...],
    artworks: list[Image.Image],
    weights: tuple[float, ...],
    engine: Engine,
    display: Display,
) -> int:
    settings: dict[str, object] = {
        "styles": [file_sha256(path) for path in options.styles],
        "weights": [weight / sum(weights) for weight in weights],
        "alpha": options.alpha,
        "size": options.size,
        "engine": engine.identity,
    }
    # A file that is named in full is replaced, as any tool does; a folder may hold other pictures.
    in_folder = found[0].out != options.out
    journal = Journal(options.out, settings) if in_folder else None
    known = {place for place in found if journal is not None and not options.force and journal.knows(place)}
    strangers = [place.out for place in found if in_folder and not options.force and place not in known and place.out.exists()]
    if strangers:
        raise ImageError(
            f"{strangers[0]}{f' and {len(strangers) - 1} more' * (len(strangers) > 1)}: there already, painted from something else; "
            "--force replaces, or name another folder with -o"
        )
    codes = [torch.from_numpy(engine.code(artwork)) for artwork in artworks]
    code = mix(codes, weights).numpy()
    damaged: list[str] = []
    with display.stage("stylize", engine.name) as report:
        for index, place in enumerate(found):
            if place not in known:
                try:
                    photo = _sized(load_image(place.photo), options.size)
                except ImageError as error:
                    if len(found) == 1:
                        raise
                    damaged.append(str(error))
                    continue
                note = f"{place.photo.name} {photo.width}x{photo.height}"

                def say(done: int, total: int, before: int = index, note: str = note) -> None:
                    report(before, len(found), f"{note}, part {done} of {total}")

                painted = engine.paint(_array(photo), code, options.alpha, say)
                _save(painted, place.out)
                if journal is not None:
                    journal.add(place)
            report(index + 1, len(found), place.photo.name)
    for problem in damaged:
        display.notice(f"skipped: {problem}")
    made = len(found) - len(damaged) - len(known)
    there = f", {len(known)} were there already" if known else ""
    skipped = f", {len(damaged)} cannot be read" if damaged else ""
    display.notice(f"{options.out}: {made} painted{there}{skipped}")
    return 1 if damaged else 0


def _sized(photo: Image.Image, size: int | None) -> Image.Image:
    """The photo with ``size`` pixels on its longer side."""
    if size is None:
        return photo
    scale = size / max(photo.size)
    width, height = (max(1, round(length * scale)) for length in photo.size)
    return photo.resize((width, height), Image.Resampling.LANCZOS)


def _array(photo: Image.Image) -> np.ndarray:
    return np.ascontiguousarray(np.asarray(photo, np.float32).transpose(2, 0, 1)[None]) / np.float32(127.5) - np.float32(1)


def _save(painted: np.ndarray, out: Path) -> None:
    if not np.isfinite(painted).all():
        raise ImageError(f"{out}: not written, because the model gave NaN or infinity; try the PyTorch network instead of the artifact")
    kind = WRITABLE[out.suffix.lower()]
    data = io.BytesIO()
    to_image(painted).save(data, kind, **SAVE_OPTIONS.get(kind, {}))
    try:
        write_atomically(out, data.getvalue())
    except OSError as error:
        raise ImageError(f"{out}: cannot be written ({error.strerror}); free some space or name another place with -o") from error
