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
