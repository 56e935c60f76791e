"""Which observer chooses the range of which tensor: the one whose range moves the graph's outputs least."""

from collections.abc import Mapping, Sequence

import torch
from torch import Tensor

from ....calibration.tensor_range import TensorRange
from ..quantize import PreparedGraph
from ..ranges import set_scale
from .output_error import OutputError

CANDIDATES = ("percentile", "mse", "entropy", "min_max")
# Tensors that cost less than this share of the whole error are left as they are.
MATTERS = 0.01
# What a range has to save of the whole error, and how far from the present one it has to be.
SAVES, DIFFERS = 0.01, 0.03


@torch.no_grad()
def choose_observers(
    prepared: PreparedGraph,
    ranges: Mapping[str, TensorRange],
    others: Sequence[Mapping[str, TensorRange]],
    inputs: Sequence[tuple[Tensor, ...]],
) -> dict[str, str]:
    """Tries other ranges for each tensor that matters, in the order of execution, with all else quantised as it is by then.

    Args:
        ranges: that the graph has, by tensor.
        others: as other observers choose them.
        inputs: that the outputs are compared on.

    Returns:
        observers by tensor, where they are not those of ``ranges``. The graph is as it was, and fake quantisation is on.
    """
    error = OutputError(prepared, inputs)
    whole = error()
    chosen: dict[str, str] = {}
    for name, fake in prepared.activations.items():
        fake.fake_quant_enabled.fill_(0)  # type: ignore[operator]
        without = error()
        fake.fake_quant_enabled.fill_(1)  # type: ignore[operator]
        if whole - without < MATTERS * whole:
            continue
        present = ranges[name].scale
        best = present
        for candidate in (each[name] for each in others):
            if abs(candidate.scale / present - 1) < DIFFERS:
                continue
            set_scale(fake, ranges[name], candidate.scale)
            found = error()
            if found < (1 - SAVES) * whole:
                whole, best, chosen[name] = found, candidate.scale, candidate.observer
        set_scale(fake, ranges[name], best)
    for name, fake in prepared.activations.items():
        set_scale(fake, ranges[name], ranges[name].scale)
    return chosen
