"""Batches of pairs that the teacher has just painted: no photo, crop or palette comes twice, and nothing is kept on disk.

For a GPU: there the teacher's networks take a tenth of a step. Worker processes cut, damage and recolour the pictures of the steps to come.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from PIL import Image
from torch import Tensor
from torch.nn import functional
from torch.utils.data import DataLoader, Dataset

from ..calibration.images import load_image
from .batches import Batch, damaged, draw_alphas, draw_window
from .images import recolour, square
from .recipe import TrainingRecipe, TrainingStage
from .sizes import CONTENT_SIZE, STYLE_SIZE
from .sky import sky
from .teacher import PREDICT_SIZE
from .torch_teacher import TorchTeacher

# Of what is drawn: skies among contents, photos and unchanged palettes among styles.
SKIES, PHOTO_STYLES, TRUE_COLOURS = 0.1, 0.2, 0.2
SMALLEST_STYLE = 0.4
# Photos are held in memory at no more than that, which is the least side that a crop of them needs.
SHORT_SIDE = 560

Drawn = dict[str, Tensor]


class OnlineBatches:
    """Batches for the trainer.

    Args:
        photos, artworks: files to train with.
        recipe: its seed, margin and number of workers.
        teacher: on the device that the batches are wanted on.
    """

    def __init__(self, photos: Sequence[Path], artworks: Sequence[Path], recipe: TrainingRecipe, teacher: TorchTeacher) -> None:
        self.photos, self.artworks = ([_loaded(path) for path in paths] for paths in (photos, artworks))
        self.recipe, self.teacher = recipe, teacher
        self.device = next(teacher.buffers()).device
        self._stage: TrainingStage | None = None
        self._next, self._drawn = 0, iter(())

    def batch(self, stage: TrainingStage, stage_index: int, step: int) -> Batch:
        """As ``Batches``; steps that follow one another are prepared in advance."""
        if stage is not self._stage or step != self._next:
            self._stage = stage
            self._drawn = self._start(_Draws(self.photos, self.artworks, self.recipe, stage, stage_index, step))
        self._next = step + 1
        return self._painted(next(self._drawn), stage)

    def _start(self, draws: "_Draws") -> Iterator[Drawn]:
        workers, pinned = self.recipe.run.workers, self.device.type == "cuda"
        return iter(DataLoader(draws, batch_size=None, num_workers=workers, pin_memory=pinned, prefetch_factor=2 if workers else None))

    def _painted(self, drawn: Drawn, stage: TrainingStage) -> Batch:
        contents, styles, photo = (_unit(drawn[name].to(self.device, non_blocking=True)) for name in ("contents", "styles", "photos"))
        flip, (top, left) = bool(drawn["flip"]), drawn["corner"].tolist()
        small = functional.interpolate(styles, (PREDICT_SIZE, PREDICT_SIZE), mode="bicubic", antialias=True).clamp(0, 1)
        vectors = self.teacher.style_vectors(small)
        target = self.teacher.stylize(contents, vectors.repeat_interleave(len(contents) // len(styles), dim=0))
        target = (target[:, :, top : top + stage.crop, left : left + stage.crop] * 255).round() / 255
        target = target.repeat_interleave(len(photo) // len(target), dim=0)
        if flip:
            photo, target, styles = (images.flip(3) for images in (photo, target, styles))
        alpha = drawn["alpha"].float().to(self.device)
        return Batch(photo * 2 - 1, target * 2 - 1, alpha, np.arange(len(styles)), flip, styles * 2 - 1)


@dataclass(frozen=True)
class _Draws(Dataset[Drawn]):
    """What a step needs beside the teacher, from ``first`` on."""

    photos: Sequence[Image.Image]
    artworks: Sequence[Image.Image]
    recipe: TrainingRecipe
    stage: TrainingStage
    stage_index: int
    first: int

    def __len__(self) -> int:
        return 1 << 40  # a stage ends by its own measure

    def __getitem__(self, index: int) -> Drawn:
        stage = self.stage
        random = np.random.default_rng((self.recipe.run.seed, self.stage_index, self.first + index))
        window, flip = draw_window(stage, self.recipe.data, random)
        twins = 2 if stage.losses.consistency else 1
        contents = [self._content(random) for _ in range(stage.batch // twins)]
        styles = [self._style(random) for _ in range(stage.batch // stage.photos_per_style)]
        photos = damaged([pixels[window] for pixels in contents for _ in range(twins)], stage, random)
        arrays = {
            "contents": np.stack(contents),
            "styles": np.stack(styles),
            "photos": np.stack(photos),
            "alpha": draw_alphas(stage, stage.batch, random),
            "corner": np.array([side.start for side in window]),
            "flip": np.array(flip),
        }
        return {name: torch.from_numpy(array) for name, array in arrays.items()}

    def _content(self, random: np.random.Generator) -> np.ndarray:
        pixels = square(_one(self.photos, random), CONTENT_SIZE, random)
        return sky(pixels, random) if random.random() < SKIES else pixels

    def _style(self, random: np.random.Generator) -> np.ndarray:
        images = self.photos if random.random() < PHOTO_STYLES else self.artworks
        pixels = square(_one(images, random), STYLE_SIZE, random, smallest=SMALLEST_STYLE)
        # Turned strokes are strokes that nobody has seen.
        pixels = np.rot90(pixels, int(random.integers(4))) if random.random() < 0.5 else pixels
        return pixels.copy() if random.random() < TRUE_COLOURS else recolour(pixels, random)


def _one(images: Sequence[Image.Image], random: np.random.Generator) -> Image.Image:
    return images[int(random.integers(len(images)))]


def _loaded(path: Path) -> Image.Image:
    picture = load_image(path)
    factor = SHORT_SIDE / min(picture.size)
    return picture if factor >= 1 else picture.resize([round(side * factor) for side in picture.size], Image.Resampling.LANCZOS)


def _unit(images: Tensor) -> Tensor:
    """(N, H, W, 3) uint8 -> (N, 3, H, W) in [0, 1]."""
    return images.permute(0, 3, 1, 2).float() / 255
