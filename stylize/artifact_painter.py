"""Any artifact applied to photos of any size: its own size is fixed, so smaller photos are padded and larger ones go through in tiles."""

from collections.abc import Mapping
from contextlib import ExitStack
from pathlib import Path

import numpy as np
from PIL import Image

from ..calibration.images import to_array
from ..model.graph import Arrays
from ..model.pixels import decode, encode
from ..system.hashing import file_sha256
from ..targets.artifact import MANIFEST, read_manifest, verify
from ..targets.base import GraphArtifact
from ..targets.registry import get_target
from .engine import Say
from .plan import plan
from .tile_loop import paint_in_tiles


class ArtifactPainter:
    """The graphs of an artifact, chained. Pictures are (1, C, H, W) in [-1, 1], with the channels of ``plan.photo`` and ``plan.picture``.

    Args:
        folder: with ``artifact.json``.
        threads: for the target's runtime.

    Attributes:
        name: for people.
        identity: changes with the files that it runs.

    Raises:
        ArtifactError: it is missing, altered, or makes no picture of a photo.
        TargetUnavailableError, ExecutionError: it cannot run here.
    """

    def __init__(self, folder: Path, threads: int) -> None:
        self.folder, self.threads = folder, threads
        self.artifact = read_manifest(folder)
        self.plan = plan(self.artifact, folder)
        verify(self.artifact, folder)
        self.target = get_target(self.artifact.target)
        self.name, self.identity = f"{self.artifact.name}, {folder}", file_sha256(folder / MANIFEST)
        height, width = self.plan.photo.shape(self.artifact.size)[2:]
        self.window = (height, width)
        self._stack = ExitStack()
        runners = [self._stack.enter_context(self._open(graph)) for graph in self.plan.painting]
        self._runs = [runner.run for runner in runners]
        evaluator = next((runner.execution.evaluator for runner in runners if runner.execution.evaluator), "")
        self.name += f" ({evaluator})" if evaluator else ""

    def close(self) -> None:
        """Frees what it holds."""
        self._stack.close()

    def prepare(self, artworks: Mapping[str, Image.Image]) -> dict[str, np.ndarray]:
        """What photos are painted with: scalars at their maximum, and what the graphs make of other images.

        Args:
            artworks: by the name of the image input, with its number of channels; their centre counts.
        """
        size = self.artifact.size
        known = {spec.name: np.full(spec.shape(size), spec.maximum, np.float32) for spec in self.plan.scalars}
        for spec in self.plan.styles:
            height, width = spec.shape(size)[2:]
            known[spec.name] = encode(spec, to_array(artworks[spec.name], (height, width)))
        for graph in self.plan.before:
            # Opened for this alone: it would double the memory while photos are painted.
            with self._open(graph) as runner:
                known |= runner.run(_inputs(graph, known))
        return known

    def paint(self, photo: np.ndarray, prepared: Arrays, say: Say) -> np.ndarray:
        """A photo of any size -> a picture ``plan.factor`` times as high and wide."""
        return paint_in_tiles(photo, self.window, self.plan.factor, lambda tile: self._paint_tile(tile, prepared), say)

    def _open(self, graph: GraphArtifact):
        return self.target.open(self.artifact, self.folder, graph.name, self.threads)

    def _paint_tile(self, tile: np.ndarray, prepared: Arrays) -> np.ndarray:
        known = {**prepared, self.plan.photo.name: np.ascontiguousarray(encode(self.plan.photo, tile))}
        for graph, run in zip(self.plan.painting, self._runs, strict=True):
            known |= run(_inputs(graph, known))
        return decode(self.plan.picture, known[self.plan.picture.name])


def _inputs(graph: GraphArtifact, known: Mapping[str, np.ndarray]) -> dict[str, np.ndarray]:
    return {spec.name: known[spec.name] for spec in graph.inputs}
