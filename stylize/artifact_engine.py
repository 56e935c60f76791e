"""Painting with an artifact, whose photo has one fixed size: smaller photos are padded, larger ones go through in tiles.

A tile's AdaIN sees the statistics of that tile alone, so neighbours come out in different tones, and the noise of a tile full of
sky in the contrast of a whole picture. Two things make one picture of them: they overlap and fade into each other, and the whole
photo, reduced to the artifact's size, is painted too and gives the tone of every place, and the most contrast that it may have.
"""

from contextlib import ExitStack
from pathlib import Path

import numpy as np
import torch
from PIL import Image
from torch import Tensor
from torch.nn import functional

from ..calibration.images import to_array
from ..export.fingerprint import file_sha256
from ..model.errors import ArtifactError
from ..model.reference import STYLE_ENCODER, STYLIZER
from ..targets.artifact import MANIFEST, read_manifest, verify
from ..targets.registry import get_target
from .engine import Engine, Say, pad
from .tiles import faded_windows

OVERLAP = 1 / 4  # of the artifact's size
TONE_CELLS = 8  # cells along a tile, within which tone and contrast are those of the reduced photo
LEAST_GAIN = 0.1


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
        self.folder, self.threads = folder, threads
        self.artifact = read_manifest(folder)
        names = {graph.name for graph in self.artifact.graphs}
        if not {STYLE_ENCODER, STYLIZER} <= names:
            raise ArtifactError(
                f"{folder} holds the graphs {', '.join(sorted(names))}: stylize needs an artifact of InstantStyle, "
                f"with {STYLE_ENCODER} and {STYLIZER}"
            )
        verify(self.artifact, folder)
        self.target = get_target(self.artifact.target)
        self.name = f"{self.artifact.name}, {folder}"
        self.identity = file_sha256(folder / MANIFEST)
        self._stack = ExitStack()
        runner = self._stack.enter_context(self.target.open(self.artifact, folder, STYLIZER, threads))
        self._run = runner.run
        if runner.execution.evaluator:
            self.name += f" ({runner.execution.evaluator})"

    def close(self) -> None:
        self._stack.close()

    def code(self, artwork: Image.Image) -> np.ndarray:
        (style,) = self.artifact.graph(STYLE_ENCODER).inputs
        height, width = style.shape(self.artifact.size)[2:]
        # Opened for this alone: it would double the memory while photos are painted.
        with self.target.open(self.artifact, self.folder, STYLE_ENCODER, self.threads) as runner:
            return runner.run({"style": to_array(artwork, (height, width))})["code"]

    def paint(self, photo: np.ndarray, code: np.ndarray, alpha: float, say: Say) -> np.ndarray:
        height, width = photo.shape[2:]
        window = self.artifact.size
        if height <= window[0] and width <= window[1]:
            painted = self._paint_small(photo, code, alpha)
            say(1, 1)
            return painted
        padded = pad(photo, *window)
        painted = self._paint_windows(padded, code, alpha, say)[:, :, :height, :width]
        reduction = min(1.0, window[0] / height, window[1] / width)
        small = (max(1, round(height * reduction)), max(1, round(width * reduction)))
        guide = self._paint_small(_resized(torch.from_numpy(photo), small).clamp(-1, 1).numpy(), code, alpha)
        cells = tuple(-(-length * TONE_CELLS // max(window)) for length in (height, width))
        return toned(torch.from_numpy(painted), torch.from_numpy(guide), (cells[0], cells[1])).numpy()

    def _paint_small(self, photo: np.ndarray, code: np.ndarray, alpha: float) -> np.ndarray:
        height, width = photo.shape[2:]
        inputs = {"photo": pad(photo, *self.artifact.size), "code": code, "alpha": np.full((1, 1), alpha, np.float32)}
        return self._run(inputs)["image"][:, :, :height, :width]

    def _paint_windows(self, photo: np.ndarray, code: np.ndarray, alpha: float, say: Say) -> np.ndarray:
        size = (photo.shape[2], photo.shape[3])
        window = self.artifact.size
        overlap = (round(window[0] * OVERLAP), round(window[1] * OVERLAP))
        total = np.zeros_like(photo)
        weight = np.zeros(size, np.float32)
        cover = list(faded_windows(size, window, overlap))
        for done, (rows, columns, weights) in enumerate(cover):
            part = np.ascontiguousarray(photo[:, :, rows, columns])
            total[:, :, rows, columns] += weights * self._paint_small(part, code, alpha)
            weight[rows, columns] += weights
            say(done + 1, len(cover) + 1)
        return total / weight


def _resized(image: Tensor, size: tuple[int, int]) -> Tensor:
    return functional.interpolate(image, size, mode="bilinear", antialias=True)


def toned(painted: Tensor, guide: Tensor, cells: tuple[int, int]) -> Tensor:
    """``painted`` with the tone of ``guide``, and no more contrast: means and deviations over ``cells``, smoothly between them.

    Args:
        painted: (1, 3, H, W) in [-1, 1].
        guide: the same picture at another size, at which contrast is compared.
        cells: vertically and horizontally.
    """

    def per_cell(image: Tensor) -> tuple[Tensor, Tensor]:
        mean = functional.interpolate(image, cells, mode="area")
        # One deviation for the three channels, so that no colour fades alone.
        square = functional.interpolate(image.square(), cells, mode="area") - mean.square()
        return mean, square.mean(dim=1, keepdim=True).clamp(min=1e-6).sqrt()

    def spread(image: Tensor) -> Tensor:
        return functional.interpolate(image, painted.shape[2:], mode="bicubic", align_corners=False)

    tone, contrast = per_cell(guide)
    painted_tone, painted_contrast = per_cell(_resized(painted, (guide.shape[2], guide.shape[3])))
    gain = spread((contrast / painted_contrast).clamp(LEAST_GAIN, 1)).clamp(LEAST_GAIN, 1)
    return (spread(tone) + (painted - spread(painted_tone)) * gain).clamp(-1, 1)
