"""What an observer is. Observers themselves are in ``observers``."""

from abc import ABC, abstractmethod

import torch

# Beyond this, ranges and their products leave float32.
MAX_MAGNITUDE = 1e37


class ObserverError(ValueError):
    """An observer was given values that it cannot use, or none. It does not know the tensor's name: the caller adds it."""


class Observer(ABC):
    """Watches the activations of one tensor of a float network and says which range int8 should represent.

    The int8 of this product is symmetric with zero point 0 (integers -127..127), so the scale is the larger magnitude of
    the range divided by 127, and zero is always inside of the range: a tensor that is never negative has minimum 0, one that
    is never positive maximum 0.

    Attributes:
        minimum, maximum: the true extremes of all values so far, and 0; every element counts.
    """

    def __init__(self) -> None:
        self.minimum = 0.0
        self.maximum = 0.0
        self._updates = 0

    @property
    def magnitude(self) -> float:
        """Largest absolute value so far."""
        return max(-self.minimum, self.maximum)

    def update(self, values: torch.Tensor) -> None:
        """Takes the values of one run, in any shape.

        Raises:
            ObserverError: there are none, or one is NaN, infinite or larger than ``MAX_MAGNITUDE``; nothing is taken then.
        """
        if values.numel() == 0:
            raise ObserverError("an activation has no values")
        values = _vector(values)
        low, high = (extreme.item() for extreme in torch.aminmax(values))
        # Written so that NaN, for which every comparison is false, fails it.
        if not (low >= -MAX_MAGNITUDE and high <= MAX_MAGNITUDE):
            raise ObserverError(
                f"an activation has values of {low:g} to {high:g}, which cannot be quantised; check the model and its input range"
            )
        self.minimum, self.maximum = min(self.minimum, low), max(self.maximum, high)
        self._observe(values, low, high)
        self._updates += 1

    def range(self) -> tuple[float, float]:
        """(minimum, maximum) to represent, with minimum <= 0 <= maximum. ObserverError before the first update."""
        if self._updates == 0:
            raise ObserverError("an observer saw no activation; the calibration samples never reached its tensor")
        return self._range()

    @abstractmethod
    def _observe(self, values: torch.Tensor, low: float, high: float) -> None:
        """Takes finite float32 values as a vector, and their extremes."""

    @abstractmethod
    def _range(self) -> tuple[float, float]:
        """The range, after at least one update."""


def _vector(values: torch.Tensor) -> torch.Tensor:
    """All values as float32, in the order in which they lie in memory: reordering channels-last tensors would cost the most."""
    if values.dim() == 4 and values.is_contiguous(memory_format=torch.channels_last):
        values = values.permute(0, 2, 3, 1)
    return values.detach().float().flatten()
