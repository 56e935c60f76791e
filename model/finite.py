"""Training steps that give NaN or infinity: they leave no trace, they are counted, and too many in a row end the training."""

import math
from collections.abc import Mapping

import torch
from torch import Tensor

from ..system.errors import TrainingError

MOST_IN_A_ROW = 10
NAMES_SHOWN = 3


class FiniteSteps:
    """Says of every step whether it may change the weights.

    Args:
        what: is trained, for the message.
        remedy: what to change, for the message.
    """

    def __init__(self, what: str, remedy: str) -> None:
        self.what, self.remedy = what, remedy
        self.taken, self.skipped, self._in_a_row = 0, 0, 0

    def allows(self, step: int, loss: float, norm: float) -> bool:
        """Whether loss and norm of the gradient are finite.

        Raises:
            TrainingError: they were not, ``MOST_IN_A_ROW`` steps in a row.
        """
        if math.isfinite(loss) and math.isfinite(norm):
            self.taken, self._in_a_row = self.taken + 1, 0
            return True
        self.skipped, self._in_a_row = self.skipped + 1, self._in_a_row + 1
        if self._in_a_row == MOST_IN_A_ROW:
            found = "gradient" if math.isfinite(loss) else "loss"
            cause = f"it did so before any weight was changed, so look at the model and its images first; {self.remedy}"
            raise TrainingError(
                f"{self.what}: the {found} was NaN or infinite {MOST_IN_A_ROW} steps in a row, up to step {step}, and training stops; "
                f"no such step changed a weight. What to do: {self.remedy if self.taken else cause}"
            )
        return False


def require_finite(tensors: Mapping[str, Tensor], what: str, remedy: str) -> None:
    """Refuses to keep what is useless.

    Raises:
        TrainingError: a tensor has NaN or infinity; names them.
    """
    wrong = not_finite(tensors)
    if wrong:
        more = f" and {len(wrong) - NAMES_SHOWN} more" if len(wrong) > NAMES_SHOWN else ""
        raise TrainingError(f"{what}: NaN or infinity in {', '.join(wrong[:NAMES_SHOWN])}{more}; not kept. What to do: {remedy}")


def not_finite(tensors: Mapping[str, Tensor]) -> list[str]:
    """Names of the tensors with NaN or infinity."""
    return [name for name, value in tensors.items() if not torch.isfinite(value).all()]
