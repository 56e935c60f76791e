"""The losses of painted pictures: beside the teacher's, in VGG space, in texture, among themselves, and before the critic."""

from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional

from ..metrics.perceptual import PerceptualNetwork
from .batches import Batch
from .critic import Critic
from .losses import relative_distance, relative_distances, rise
from .recipe import TrainingStage
from .rows import Rows
from .style_statistics import statistics_of_artworks, style_statistics
from .texture import gram_distance, octave_distance


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
            statistics = style_statistics(features)
            pictures_per_style = stage.photos_per_style * repeat
            asked = self._statistics(perceptual, batch, -(-looked_at // pictures_per_style)).to(output.device)
            wanted_statistics = asked.repeat_interleave(pictures_per_style, dim=0)[:looked_at]
            of_style = list(wanted_statistics.split([layer.shape[1] for layer in statistics], dim=1))
            full = (batch.alpha.reshape(-1)[:looked_at] == 1).nonzero()[:, 0]
            if weights.style and len(full):
                losses["style"] = relative_distance([layer[full] for layer in statistics], [layer[full] for layer in of_style])
            if weights.rise:
                losses["rise"] = rise(relative_distances(statistics, of_style).view(-1, repeat))
        return losses

    def _statistics(self, perceptual: PerceptualNetwork, batch: Batch, count: int) -> Tensor:
        """Of the batch's first artworks, (count, STATISTICS)."""
        if batch.style_images is not None:
            return statistics_of_artworks(perceptual, batch.style_images[:count])
        assert self.statistics is not None
        return torch.from_numpy(np.stack([self.statistics[row] for row in batch.styles[:count]]))
