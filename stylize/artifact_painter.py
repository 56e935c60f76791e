"""Any artifact applied to photos of any size: its own size is fixed, so smaller photos are padded and larger ones go through in tiles.

Tiles overlap and fade into each other. A network that looks at the whole of its input (instance norm, AdaIN, attention) gives each tile
another tone, and the noise of a tile full of sky the contrast of a whole picture. Where tiles disagree so, the whole photo, reduced to
the artifact's size, is painted too and gives the tone of every place, and the most contrast that it may have.
"""

from collections.abc import Iterable, Mapping
from contextlib import ExitStack
from pathlib import Path

import numpy as np
import torch
from PIL import Image

from ..calibration.images import to_array
from ..model.graph import Arrays
from ..model.pixels import decode, encode
from ..system.hashing import file_sha256
from ..targets.artifact import MANIFEST, read_manifest, verify
from ..targets.base import GraphArtifact
from ..targets.registry import get_target
from .engine import Say, pad
from .plan import plan
from .tiles import faded_windows
from .tone import resized, toned

OVERLAP = 1 / 4  # of the artifact's size
TONE_CELLS = 8  # cells along a tile, within which tone and contrast are those of the reduced photo
# Root of the mean squared deviation between tiles, where they overlap, above which they need one tone: three levels of 255.
DISAGREEMENT = 3 / 127.5


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
        height, width = photo.shape[2:]
        factor = self.plan.factor
        if height <= self.window[0] and width <= self.window[1]:
            painted = self._paint_small(photo, prepared)
            say(1, 1)
            return painted
        painted, disagreement = self._paint_windows(pad(photo, *self.window), prepared, say)
        painted = painted[:, :, : height * factor, : width * factor]
        if disagreement <= DISAGREEMENT:
            return painted
        reduction = min(1.0, self.window[0] / height, self.window[1] / width)
        small = (max(1, round(height * reduction)), max(1, round(width * reduction)))
        guide = self._paint_small(resized(torch.from_numpy(photo), small).clamp(-1, 1).numpy(), prepared)
        cells = tuple(-(-length * TONE_CELLS // max(self.window)) for length in (height, width))
        return toned(torch.from_numpy(painted), torch.from_numpy(guide), (cells[0], cells[1])).numpy()

    def _open(self, graph: GraphArtifact):
        return self.target.open(self.artifact, self.folder, graph.name, self.threads)

    def _paint_small(self, photo: np.ndarray, prepared: Arrays) -> np.ndarray:
        height, width = (length * self.plan.factor for length in photo.shape[2:])
        known = {**prepared, self.plan.photo.name: np.ascontiguousarray(encode(self.plan.photo, pad(photo, *self.window)))}
        for graph, run in zip(self.plan.painting, self._runs, strict=True):
            known |= run(_inputs(graph, known))
        return decode(self.plan.picture, known[self.plan.picture.name])[:, :, :height, :width]

    def _paint_windows(self, photo: np.ndarray, prepared: Arrays, say: Say) -> tuple[np.ndarray, float]:
        """The picture, and how much its tiles disagree."""
        factor, size = self.plan.factor, (photo.shape[2], photo.shape[3])
        total, squares = (np.zeros((1, self.plan.picture.channels, *(length * factor for length in size)), np.float32) for _ in range(2))
        weight, count = (np.zeros((size[0] * factor, size[1] * factor), np.float32) for _ in range(2))
        overlap = (round(self.window[0] * OVERLAP), round(self.window[1] * OVERLAP))
        cover = list(faded_windows(size, self.window, overlap))
        for done, (rows, columns, weights) in enumerate(cover):
            part = self._paint_small(np.ascontiguousarray(photo[:, :, rows, columns]), prepared)
            shares = weights.repeat(factor, axis=0).repeat(factor, axis=1)
            there = _enlarged((rows, columns), factor)
            total[(..., *there)] += shares * part
            squares[(..., *there)] += shares * part * part
            weight[there] += shares
            count[there] += 1
            say(done + 1, len(cover) + 1)
        total /= weight
        deviation = np.maximum(squares / weight - total * total, 0)
        shared = deviation[:, :, count > 1]
        return total, float(np.sqrt(shared.mean())) if shared.size else 0.0


def _inputs(graph: GraphArtifact, known: Mapping[str, np.ndarray]) -> dict[str, np.ndarray]:
    return {spec.name: known[spec.name] for spec in graph.inputs}


def _enlarged(place: Iterable[slice], factor: int) -> tuple[slice, ...]:
    return tuple(slice(part.start * factor, part.stop * factor) for part in place)
