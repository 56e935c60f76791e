"""How far fake quantisation moves a graph's outputs: what levers are chosen by where pictures would take too long."""

from collections.abc import Sequence

import torch
from torch import Tensor, nn

from ..quantize import PreparedGraph, set_mode


class OutputError:
    """The summed squared error of each output as a share of its variance. Fake quantisation is on afterwards.

    Args:
        inputs: of the graph, batch 1; the outputs in float are computed at once.
    """

    @torch.no_grad()
    def __init__(self, prepared: PreparedGraph, inputs: Sequence[tuple[Tensor, ...]]) -> None:
        self.module, self.inputs = prepared.module, inputs
        set_mode(prepared, fake_quantize=False)
        self.wanted = [_outputs(self.module, each) for each in inputs]
        set_mode(prepared, fake_quantize=True)

    @torch.no_grad()
    def __call__(self) -> float:
        """Of the graph as it is now."""
        return sum(_distance(_outputs(self.module, each), exact) for each, exact in zip(self.inputs, self.wanted, strict=True))


def _outputs(module: nn.Module, inputs: tuple[Tensor, ...]) -> list[Tensor]:
    result = module(*inputs)
    return [result] if isinstance(result, Tensor) else list(result)


def _distance(found: Sequence[Tensor], wanted: Sequence[Tensor]) -> float:
    return sum(float((mine - exact).square().mean() / exact.var().clamp_min(1e-12)) for mine, exact in zip(found, wanted, strict=True))
