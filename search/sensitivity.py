"""What a module costs the picture when it alone is quantised or pruned."""

from collections.abc import Sequence
from dataclasses import dataclass, replace

INT8, CHANNELS, HEADS = "int8", "channels", "heads"
STEPS = (0.25, 0.5, 0.75)


@dataclass(frozen=True)
class Sensitivity:
    """One module changed alone.

    Attributes:
        name: graph and module path; of a group of channels, the first layer that makes them.
        change: ``int8``, ``channels`` or ``heads``.
        ratio: share of channels or heads that was removed; 0 for int8.
        ssim_lost: 1 minus the mean SSIM of the pictures to those of the unchanged model, end to end.
        parameters_removed: of the whole model.
    """

    name: str
    change: str
    ratio: float
    ssim_lost: float
    parameters_removed: int


def ranked(rows: Sequence[Sensitivity]) -> tuple[Sensitivity, ...]:
    """Most harmful first; what rounding alone makes negative counts as harmless."""
    return tuple(sorted((replace(row, ssim_lost=max(0.0, row.ssim_lost)) for row in rows), key=lambda row: -row.ssim_lost))
