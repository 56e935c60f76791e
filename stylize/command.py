"""``instantstyle stylize``: checks first, then the engine, then picture by picture."""

import math
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path

import torch

from ..calibration.images import load_image
from ..model.network import mix
from ..system.errors import InstantStyleError
from ..system.hashing import file_sha256
from ..system.progress import make_display
from .artifact_engine import ArtifactEngine
from .network_engine import NetworkEngine
from .painting import Paint, Painting, paint_all
from .places import places


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
        settings: dict[str, object] = {
            "styles": [file_sha256(path) for path in options.styles],
            "weights": [weight / sum(weights) for weight in weights],
            "alpha": options.alpha,
            "size": options.size,
            "engine": engine.identity,
        }

        def prepare() -> Paint:
            code = mix([torch.from_numpy(engine.code(artwork)) for artwork in artworks], weights).numpy()
            return lambda photo, say: engine.paint(photo, code, options.alpha, say)

        job = Painting(
            stage=("stylize", engine.name),
            places=found,
            out=options.out,
            settings=settings,
            prepare=prepare,
            size=options.size,
            force=options.force,
            nan_remedy="; try the PyTorch network instead of the artifact",
        )
        display = make_display(options.as_json)
        try:
            return paint_all(job, display)
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
