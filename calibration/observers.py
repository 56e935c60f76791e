"""The observers: from activations to the range that int8 should represent."""

from abc import abstractmethod
from collections.abc import Callable, Mapping
from types import MappingProxyType

import torch

from ..system.errors import RecipeError
from .histogram import MagnitudeHistogram
from .observer import Observer, ObserverError
from .thresholds import entropy_threshold, mse_threshold, percentile_threshold

__all__ = [
    "OBSERVERS",
    "Entropy",
    "MeanSquaredError",
    "MinMax",
    "MovingAverage",
    "Observer",
    "ObserverError",
    "Percentile",
    "make_observer",
]


class MinMax(Observer):
    """The extremes of all values: nothing is clipped."""

    def _observe(self, values: torch.Tensor, low: float, high: float) -> None:
        pass

    def _range(self) -> tuple[float, float]:
        return self.minimum, self.maximum


class MovingAverage(Observer):
    """Moving averages of each update's minimum and maximum: average += constant * (new - average), from the first update on.

    Args:
        constant: the weight of a new update; PyTorch's default.
    """

    def __init__(self, constant: float = 0.01) -> None:
        super().__init__()
        self._constant = constant
        self._low = self._high = 0.0

    def _observe(self, values: torch.Tensor, low: float, high: float) -> None:
        share = self._constant if self._updates else 1.0
        self._low += share * (low - self._low)
        self._high += share * (high - self._high)

    def _range(self) -> tuple[float, float]:
        return min(0.0, self._low), max(0.0, self._high)


class Clipping(Observer):
    """Clips magnitudes at a threshold found in their histogram, the same for both signs.

    The histogram counts at most 262,144 evenly spaced elements of each update (all, if there are fewer), so the threshold is an
    estimate for larger activations; it never exceeds the true largest magnitude.
    """

    def __init__(self, bins: int) -> None:
        super().__init__()
        self._histogram = MagnitudeHistogram(bins)

    def _observe(self, values: torch.Tensor, low: float, high: float) -> None:
        self._histogram.update(values, max(-low, high))

    def _range(self) -> tuple[float, float]:
        # All values may be zero; or all sampled ones, then the extremes are all that is known.
        threshold = self._threshold() if self._histogram.counts.any() else self.magnitude
        return max(self.minimum, -threshold), min(self.maximum, threshold)

    @abstractmethod
    def _threshold(self) -> float:
        """The largest magnitude to represent; the histogram is not empty."""


class Percentile(Clipping):
    """The magnitude that ``percentile`` % of all values do not exceed, to within a bin (1/4096 of the largest or finer).

    An estimate from evenly spaced elements for updates of more than 262,144 elements, exact to the bin for smaller ones.
    Where more than ``percentile`` % of the values are zero, nothing is clipped.
    """

    def __init__(self, percentile: float = 99.99) -> None:
        super().__init__(bins=8192)
        if not 0 < percentile <= 100:
            raise RecipeError(f"percentile must be above 0 and at most 100, found {percentile}")
        self._percentile = percentile

    def _threshold(self) -> float:
        return percentile_threshold(self._histogram, self._percentile, self.magnitude)


class Entropy(Clipping):
    """The clipping with the least Kullback-Leibler divergence, as TensorRT's calibration does: 2048 bins, 128 levels."""

    def __init__(self) -> None:
        super().__init__(bins=2048)

    def _threshold(self) -> float:
        return entropy_threshold(self._histogram, self.magnitude)


class MeanSquaredError(Clipping):
    """The clipping with the least expected squared quantisation error, rounding and clipping together."""

    def __init__(self) -> None:
        super().__init__(bins=2048)

    def _threshold(self) -> float:
        return mse_threshold(self._histogram, self.magnitude)


# Each takes the percentile that the recipe names; one of them needs it.
OBSERVERS: Mapping[str, Callable[[float], Observer]] = MappingProxyType(
    {
        "min_max": lambda _: MinMax(),
        "moving_average": lambda _: MovingAverage(),
        "percentile": Percentile,
        "entropy": lambda _: Entropy(),
        "mse": lambda _: MeanSquaredError(),
    }
)


def make_observer(name: str, percentile: float = 99.99) -> Observer:
    """A new observer. RecipeError if ``name`` is unknown or ``percentile`` is out of (0, 100]."""
    if name not in OBSERVERS:
        raise RecipeError(f"unknown observer '{name}'; there are {', '.join(OBSERVERS)}")
    return OBSERVERS[name](percentile)
