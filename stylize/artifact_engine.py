"""Painting with an artifact of InstantStyle, whose styles can be mixed."""

from pathlib import Path

import numpy as np
from PIL import Image

from ..model.reference import STYLE_ENCODER, STYLIZER
from ..system.errors import ArtifactError
from ..targets.artifact import read_manifest
from .artifact_painter import ArtifactPainter
from .engine import Engine, Say


class ArtifactEngine(Engine):
    """The two graphs of an artifact of InstantStyle.

    Args:
        folder: with ``artifact.json``.
        threads: for the target's runtime.

    Raises:
        ArtifactError: it is missing, altered, or of another model.
        TargetUnavailableError, ExecutionError: it cannot run here.
    """

    def __init__(self, folder: Path, threads: int) -> None:
        names = {graph.name for graph in read_manifest(folder).graphs}
        if not {STYLE_ENCODER, STYLIZER} <= names:
            raise ArtifactError(
                f"{folder} holds the graphs {', '.join(sorted(names))}: stylize needs an artifact of InstantStyle, "
                f"with {STYLE_ENCODER} and {STYLIZER}; instantstyle apply takes any artifact"
            )
        self.painter = ArtifactPainter(folder, threads)
        self.name, self.identity = self.painter.name, self.painter.identity

    def close(self) -> None:
        self.painter.close()

    def code(self, artwork: Image.Image) -> np.ndarray:
        return self.painter.prepare({"style": artwork})["code"]

    def paint(self, photo: np.ndarray, code: np.ndarray, alpha: float, say: Say) -> np.ndarray:
        return self.painter.paint(photo, {"code": code, "alpha": np.full((1, 1), alpha, np.float32)}, say)
