"""What a plan is made for."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from torch import Tensor

from ....model.graph import Model, Sample, Size
from ....recipe.settings import QuantizeSettings
from .judge import Score


@dataclass(frozen=True)
class Wanted:
    """Limits that a plan should keep; None is not limited. ``time_share`` is of the hot graph's time in float."""

    ssim_mean: float | None = None
    ssim_worst: float | None = None
    time_share: float | None = None
    weight_bytes: int | None = None

    def reached(self, score: Score) -> bool:
        """Whether pictures are as they should be."""
        return score.mean >= (self.ssim_mean or -1) and score.worst >= (self.ssim_worst or -1)

    def affordable(self, share: float, size: int) -> bool:
        """Whether time and bytes are."""
        return share <= (self.time_share or np.inf) and size <= (self.weight_bytes or np.inf)


@dataclass(frozen=True)
class Task:
    """What a plan is made for.

    Attributes:
        model, reference: what is quantised, and what its pictures are compared with.
        size, fitted, judged: samples that ranges are fitted on and others that plans are compared on, all of this size.
        full_size, full: samples at the size that the plan is for.
        tuned: weights by graph and name; empty for the model's own.
        learnt: half ranges that were learnt with them, by graph and tensor.
        wanted: limits.
    """

    model: Model
    reference: Model
    size: Size
    fitted: Sequence[Sample]
    judged: Sequence[Sample]
    full_size: Size
    full: Sequence[Sample]
    tuned: Mapping[str, Mapping[str, Tensor]]
    learnt: Mapping[str, Mapping[str, float]]
    settings: QuantizeSettings
    wanted: Wanted
