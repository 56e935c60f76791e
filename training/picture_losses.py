"""The losses of painted pictures: beside the teacher's, in VGG space, in texture, among themselves, and before the critic."""

from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional

from ..metrics.perceptual import PerceptualNetwork
from .critic import Critic
from .losses import relative_distance, relative_distances, rise
from .recipe import TrainingStage
from .rows import Rows
from .style_statistics import style_statistics
from .texture import gram_distance, octave_distance


@dataclass(frozen=True)
class Batch:
    """One step's data.

    Attributes:
        photo, target: (N, 3, crop, crop) in [-1, 1]; empty where the stage draws nothing.
        alpha: (N, A) in [0, 1]: every photo is painted at A alphas.
        styles: (N / photos_per_style,) rows of the cache's styles.
        flip: whether photos and style images are mirrored.
    """

    photo: Tensor
    target: Tensor
    alpha: Tensor
    styles: np.ndarray
    flip: bool


@dataclass(frozen=True)
class PictureLosses:
    """What the losses need besides a batch.

    Attributes:
        perceptual: VGG features, where a stage wants them.
        statistics: VGG means and deviations (S, STATISTICS) of the style images, where a stage wants them.
        critic: where a stage wants one.
    """

    perceptual: PerceptualNetwork | None
    statistics: Rows | None
    critic: Critic | None

    def __call__(self, stage: TrainingStage, batch: Batch, codes: Tensor, output: Tensor) -> dict[str, Tensor]:
        """The losses by name, unweighted.

        Args:
            codes: (N, style_dim), a row for every photo.
            output: (N * A, 3, crop, crop), not clipped: every photo at its alphas in turn.
        """
        weights, repeat = stage.losses, batch.alpha.shape[1]
        alpha = batch.alpha.reshape(-1, 1)
        # Of a sweep only the ends have a picture to be compared with.
        judged = torch.arange(len(output), device=output.device)
        if stage.sweep:
            judged = judged[((alpha == 0) | (alpha == 1))[:, 0]]
        photo, target = (images[judged // repeat] for images in (batch.photo, batch.target))
        wanted = photo + alpha[judged, :, None, None] * (target - photo)
        # Half, because the losses speak of images in [0, 1].
        losses = {"l1": functional.l1_loss(output[judged], wanted) / 2}
        if weights.octaves:
            losses["octaves"] = octave_distance(output[judged], wanted)
        if weights.consistency:
            losses["consistency"] = functional.l1_loss(output[0::2], output[1::2]) / 2
        if weights.adversarial and self.critic is not None:
            styled = (alpha[:, 0] == 1).nonzero()[:, 0]
            if len(styled):
                rows = styled // repeat
                losses["adversarial"] = self.critic.fool(output[styled], batch.target[rows], codes[rows])
        if self.perceptual is not None and max(weights.perceptual, weights.gram, weights.style, weights.rise):
            losses |= self._in_vgg_space(self.perceptual, stage, batch=batch, output=output, judged=judged, wanted=wanted)
        return losses

    def _in_vgg_space(
        self, perceptual: PerceptualNetwork, stage: TrainingStage, *, batch: Batch, output: Tensor, judged: Tensor, wanted: Tensor
    ) -> dict[str, Tensor]:
        """Of the first share of the batch: ``wanted`` is what ``output[judged]`` should be."""
        weights, repeat, losses = stage.losses, batch.alpha.shape[1], {}
        looked_at = repeat * max(1, round(stage.perceptual_share * len(batch.photo)))
        features = perceptual(output[:looked_at])
        if weights.perceptual or weights.gram:
            seen = judged[judged < looked_at]
            with torch.no_grad():
                wanted_features = perceptual(wanted[: len(seen)])
            painted_features = [layer[seen] for layer in features]
            if weights.perceptual:
                losses["perceptual"] = relative_distance(painted_features, wanted_features)
            if weights.gram:
                losses["gram"] = gram_distance(painted_features, wanted_features)
        if weights.style or weights.rise:
            assert self.statistics is not None
            statistics = style_statistics(features)
            rows = np.repeat(batch.styles, stage.photos_per_style * repeat)[:looked_at]
            wanted_statistics = torch.from_numpy(np.stack([self.statistics[row] for row in rows])).to(output.device)
            of_style = list(wanted_statistics.split([layer.shape[1] for layer in statistics], dim=1))
            full = (batch.alpha.reshape(-1)[:looked_at] == 1).nonzero()[:, 0]
            if weights.style and len(full):
                losses["style"] = relative_distance([layer[full] for layer in statistics], [layer[full] for layer in of_style])
            if weights.rise:
                losses["rise"] = rise(relative_distances(statistics, of_style).view(-1, repeat))
        return losses
