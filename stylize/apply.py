"""``instantstyle apply``: any artifact of any model, on pictures. All that it needs to know is in the artifact's manifest."""

from contextlib import closing
from dataclasses import dataclass
from pathlib import Path

import torch

from ..calibration.images import load_image
from ..system.errors import InstantStyleError
from ..system.hashing import file_sha256
from ..system.progress import make_display
from ..targets.artifact import read_manifest
from .artifact_painter import ArtifactPainter
from .painting import Paint, Painting, paint_all
from .places import places
from .plan import plan

RGBA = 4


@dataclass(frozen=True)
class ApplyOptions:
    """What the command line says.

    Attributes:
        artifact: its folder.
        photos: folders, globs or files.
        out: a file, or a folder.
        styles: one picture for each image that the model takes besides the photo.
        size, threads, force, as_json: as of ``StylizeOptions``.
    """

    artifact: Path
    photos: tuple[str, ...]
    out: Path
    styles: tuple[Path, ...] = ()
    size: int | None = None
    threads: int | None = None
    force: bool = False
    as_json: bool = False


def apply(options: ApplyOptions) -> int:
    """Runs the artifact on all photos; exit code 0, or 1 if some photos of several could not be read.

    Raises:
        InstantStyleError: wrong input; nothing was written, unless a disk ran full half-way.
    """
    chain = plan(read_manifest(options.artifact), options.artifact)
    wanted = [spec.name for spec in chain.styles]
    if len(options.styles) != len(wanted):
        needed = f"one for each of {', '.join(wanted)}" if wanted else "none: the photo is the only image that it takes"
        raise InstantStyleError(f"--style: {len(options.styles)} given, {options.artifact} needs {needed}")
    found = places(options.photos, options.styles, options.out, alpha=chain.picture.channels == RGBA)
    torch.set_num_threads(options.threads or torch.get_num_threads())
    artworks = {spec.name: load_image(path, spec.channels) for spec, path in zip(chain.styles, options.styles, strict=True)}
    if len(found) == 1:
        load_image(found[0].photo)
    with closing(ArtifactPainter(options.artifact, torch.get_num_threads())) as painter:

        def prepare() -> Paint:
            prepared = painter.prepare(artworks)
            return lambda photo, say: painter.paint(photo, prepared, say)

        job = Painting(
            stage=("apply", painter.name),
            places=found,
            out=options.out,
            settings={"styles": [file_sha256(path) for path in options.styles], "size": options.size, "artifact": painter.identity},
            prepare=prepare,
            channels=chain.photo.channels,
            size=options.size,
            force=options.force,
        )
        display = make_display(options.as_json)
        try:
            return paint_all(job, display)
        finally:
            display.close()
