"""Batches of teacher pairs: what is drawn for a step, from a cache of pairs."""

from dataclasses import dataclass
from typing import Protocol

import numpy as np
import torch
from torch import Tensor

from .damage import damage
from .images import to_tensor
from .pairs import PairCache
from .recipe import DataSettings, TrainingStage
from .sizes import ALPHAS, CONTENT_SIZE

PARTIAL_ALPHAS = (0.0, 0.0, 0.25, 0.5, 0.75)


@dataclass(frozen=True)
class Batch:
    """One step's data.

    Attributes:
        photo, target: (N, 3, crop, crop) in [-1, 1]; empty where the stage draws nothing.
        alpha: (N, A) in [0, 1]: every photo is painted at A alphas.
        styles: (N / photos_per_style,) rows of the cache's styles.
        flip: whether photos and style images are mirrored.
        style_images: (N / photos_per_style, 3, 512, 512) in [-1, 1], where no cache has them.
    """

    photo: Tensor
    target: Tensor
    alpha: Tensor
    styles: np.ndarray
    flip: bool
    style_images: Tensor | None = None


class Batches(Protocol):
    """Where batches come from. The batch of a step follows from seed, stage and step alone, so that a resumed run sees the same."""

    def batch(self, stage: TrainingStage, stage_index: int, step: int) -> Batch:
        """That of one step, on the device that was asked for."""
        ...


class CachedBatches:
    """Batches of the pairs of a cache."""

    def __init__(self, cache: PairCache, data: DataSettings, seed: int, device: torch.device) -> None:
        self.cache, self.data, self.seed, self.device = cache, data, seed, device
        self.pairs_of_style = [np.flatnonzero(cache.style_of == index) for index in range(len(cache.styles))]

    def batch(self, stage: TrainingStage, stage_index: int, step: int) -> Batch:
        """As ``Batches``."""
        cache = self.cache
        random = np.random.default_rng((self.seed, stage_index, step))
        # Pictures of the teacher serve as styles only where nothing is painted in them.
        choice = len(cache.styles) if stage.draws else cache.style_count
        styles = random.choice(choice, min(stage.batch // stage.photos_per_style, choice), replace=False)
        window, flip = draw_window(stage, self.data, random)
        if not stage.draws:
            nothing = torch.empty(0, device=self.device)
            return Batch(nothing, nothing, nothing, styles, flip)
        repeat = stage.photos_per_style
        pairs = np.concatenate(
            [random.choice(self.pairs_of_style[s], repeat, replace=repeat > len(self.pairs_of_style[s])) for s in styles]
        )
        twins = bool(stage.losses.consistency)
        if twins:
            pairs = np.repeat(pairs[::2], 2)
        alphas = draw_alphas(stage, len(pairs), random)
        photos, targets = (
            [images[index][window] for index in rows]
            for images, rows in ((cache.contents, cache.content_of[pairs]), (cache.targets, pairs))
        )
        photos = damaged(photos, stage, random)
        photo, target = (to_tensor(np.stack(images)).to(self.device) for images in (photos, targets))
        if flip:
            photo, target = photo.flip(3), target.flip(3)
        return Batch(photo, target, torch.from_numpy(alphas).float().to(self.device), styles, flip)


def draw_window(stage: TrainingStage, data: DataSettings, random: np.random.Generator) -> tuple[tuple[slice, slice], bool]:
    """Rows and columns of a crop, and whether it is mirrored."""
    top, left = random.integers(data.margin, CONTENT_SIZE - data.margin - stage.crop + 1, size=2)
    return (slice(top, top + stage.crop), slice(left, left + stage.crop)), bool(random.random() < 0.5)


def draw_alphas(stage: TrainingStage, count: int, random: np.random.Generator) -> np.ndarray:
    """(count, A); those of twins are the same."""
    alpha = np.where(random.random(count) < stage.partial_alpha, random.choice(PARTIAL_ALPHAS, count), 1.0)
    alphas = np.tile(ALPHAS, (count, 1)) if stage.sweep else alpha[:, None]
    if stage.losses.consistency:
        alphas[1::2] = alphas[::2]
    return alphas


def damaged(photos: list[np.ndarray], stage: TrainingStage, random: np.random.Generator) -> list[np.ndarray]:
    """The second of every two twins damaged, or of photos that have no twin the stage's share."""
    if stage.losses.consistency:
        return [damage(pixels, random) if index % 2 else pixels for index, pixels in enumerate(photos)]
    if stage.damage:
        return [damage(pixels, random) if random.random() < stage.damage else pixels for pixels in photos]
    return photos
