"""A histogram of magnitudes that all updates share, although none knows the range of the next."""

from itertools import count
from math import gcd

import numpy as np
import torch

# Elements of one update that are counted; more would cost time (see MagnitudeHistogram.update) and change little.
MAX_COUNTED = 1 << 18
# Magnitudes below are zero to float32 arithmetic with scales.
SMALLEST = 1e-30


class MagnitudeHistogram:
    """Counts of |x| in bins of equal width from 0 to ``limit``.

    A magnitude beyond ``limit`` doubles it until it fits, which merges pairs of bins, so the counts stay exact. At the end
    at least half of the bins lie below the largest magnitude.

    Attributes:
        counts: float64, (bins,); zeros are not in them.
        zeros: how many values were 0 (or below 1e-30).
        limit: upper edge of the last bin; 0 until a value other than zero was seen.
    """

    def __init__(self, bins: int) -> None:
        self.counts = np.zeros(bins)
        self.zeros = 0.0
        self.limit = 0.0

    @property
    def width(self) -> float:
        """Width of a bin."""
        return self.limit / len(self.counts)

    def update(self, values: torch.Tensor, magnitude: float) -> None:
        """Counts a vector of float32 ``values``; ``magnitude`` is the largest |x| among them.

        Of more than ``MAX_COUNTED`` elements, evenly spaced ones are counted and stand for the others, always the same
        ones for the same length.
        """
        if magnitude < SMALLEST:
            self.zeros += values.numel()
            return
        self._grow(magnitude)
        sampled = subsample(values).abs()
        weight = values.numel() / sampled.numel()
        nonzero = sampled[sampled >= SMALLEST]
        self.zeros += weight * (sampled.numel() - nonzero.numel())
        # Divided by the limit because histc wants its edges in float32.
        counts = torch.histc((nonzero / self.limit).clamp_(max=1), bins=len(self.counts), min=0, max=1)
        self.counts += weight * counts.numpy().astype(np.float64)

    def used(self, magnitude: float) -> int:
        """How many bins reach up to ``magnitude``."""
        return min(len(self.counts), max(1, int(np.ceil(magnitude / self.width))))

    def _grow(self, magnitude: float) -> None:
        if self.limit == 0:
            self.limit = magnitude
        while self.limit < magnitude:
            merged = self.counts.reshape(-1, 2).sum(axis=1)
            self.counts = np.concatenate([merged, np.zeros_like(merged)])
            self.limit *= 2


def subsample(values: torch.Tensor) -> torch.Tensor:
    """At most ``MAX_COUNTED`` evenly spaced elements of a vector.

    The step shares no factor with the length, so it never keeps to the same columns or channels of an image.
    """
    step = -(-values.numel() // MAX_COUNTED)
    return values if step == 1 else values[:: next(coprime for coprime in count(step) if gcd(coprime, values.numel()) == 1)]
