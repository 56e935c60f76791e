"""``instantstyle.load``: an artifact as a function from pictures to pictures."""

import threading
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import numpy as np
import torch
from PIL import Image

from ..calibration.images import to_image, whole_array
from ..system.errors import InstantStyleError
from ..targets.artifact import MANIFEST
from .artifact_painter import ArtifactPainter
from .pictures import Picture, like, to_pil

ALPHA_CHANNELS = 4


class LoadedArtifact:
    """Paints pictures with an artifact, of any size: small ones are padded, large ones go through in tiles. A context manager.

    Attributes:
        folder: of the artifact.
        styles: names of the other images that it takes, in order.
        scalars: names of the numbers that it takes, at their maximum by default.
    """

    def __init__(self, folder: Path, threads: int | None = None) -> None:
        self.folder = folder
        self._painter = ArtifactPainter(folder, threads or torch.get_num_threads())
        self._plan = self._painter.plan
        self.styles = tuple(spec.name for spec in self._plan.styles)
        self.scalars = tuple(spec.name for spec in self._plan.scalars)
        self._prepared: tuple[bytes, dict[str, np.ndarray]] | None = None
        self._lock = threading.Lock()

    def __call__(self, photo: Picture, *styles: Picture, **scalars: float) -> Any:
        """A picture in the form of ``photo``: PIL image for a PIL image or a file, array for an array.

        Args:
            photo: a PIL image, an array (H, W, C) of uint8 or of floats in [0, 1], or a file.
            styles: one for each of ``self.styles``.
            scalars: by name, e.g. ``alpha=0.5``.

        Raises:
            InstantStyleError: a picture or number that the artifact does not take.
        """
        if len(styles) != len(self.styles):
            needed = f"one for each of {', '.join(self.styles)}" if self.styles else "none: the photo is the only image that it takes"
            raise InstantStyleError(f"{len(styles)} styles given, {self.folder} needs {needed}")
        unknown = next((name for name in scalars if name not in self.scalars), None)
        if unknown is not None:
            raise InstantStyleError(f"{self.folder} takes no number '{unknown}'; it takes {', '.join(self.scalars) or 'none'}")
        whole = whole_array(to_pil(photo, self._plan.photo.channels))
        with self._lock:
            known = dict(self._prepare([to_pil(style, spec.channels) for spec, style in zip(self._plan.styles, styles, strict=True)]))
            for spec in self._plan.scalars:
                if spec.name in scalars:
                    value = scalars[spec.name]
                    if not spec.minimum <= value <= spec.maximum:
                        raise InstantStyleError(f"{spec.name} = {value}; allowed: {spec.minimum:g} to {spec.maximum:g}")
                    known[spec.name] = np.full(spec.shape(self._painter.artifact.size), value, np.float32)
            painted = self._painter.paint(whole, known, lambda done, total: None)
        return like(to_image(painted), photo)

    def _prepare(self, styles: list[Image.Image]) -> dict[str, np.ndarray]:
        """What the same styles gave before is not computed again."""
        key = b"".join(repr((style.size, style.mode)).encode() + style.tobytes() for style in styles)
        if self._prepared is None or self._prepared[0] != key:
            self._prepared = key, self._painter.prepare({spec.name: style for spec, style in zip(self._plan.styles, styles, strict=True)})
        return self._prepared[1]

    def close(self) -> None:
        """Frees the runtime's memory."""
        self._painter.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self.close()

    def __repr__(self) -> str:
        return f"LoadedArtifact({self._painter.name})"


def load(bundle_or_artifact: Any, artifact: str | None = None, threads: int | None = None) -> LoadedArtifact:
    """An artifact, ready to paint.

    Args:
        bundle_or_artifact: what ``instantstyle.export`` returned, the folder of a bundle, or that of an artifact.
        artifact: which one of a bundle: the beginning of its name (``android``, ``onnx-int8``); by default the first that
            passed.
        threads: for the runtime; PyTorch's number by default.

    Raises:
        InstantStyleError: there is none, or it cannot run here.
    """
    folder = Path(getattr(bundle_or_artifact, "folder", bundle_or_artifact))
    if (folder / MANIFEST).is_file():
        return LoadedArtifact(folder, threads)
    from ..validation.results.bundle_file import read_bundle

    content = read_bundle(folder)
    names = [entry.name for entry in content.artifacts]
    wanted = [entry for entry in content.artifacts if artifact is None or entry.name.startswith(artifact)]
    if not wanted:
        raise InstantStyleError(f"{folder}: no artifact '{artifact}'; there are {', '.join(names)}")
    if artifact is None:
        wanted = [entry for entry in wanted if str(entry.status) == "passed"]
        if not wanted:
            raise InstantStyleError(f"{folder}: no artifact passed; name one of {', '.join(names)} to load it all the same")
    if not wanted[0].folder:
        raise InstantStyleError(f"{folder}: {wanted[0].name} was not made: {wanted[0].status}")
    return LoadedArtifact(folder / wanted[0].folder, threads)
