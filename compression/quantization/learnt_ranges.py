"""Ranges of activations that are learnt together with the weights.

Learned step size quantisation (Esser et al. 2020, arXiv:1902.08153): the step of a grid has a gradient, which weighs what is cut off at its
ends against what is rounded inside.
"""

import torch
from torch import Tensor, nn

from .quantize import PreparedGraph
from .quantizer import LIMIT

# A step is the first one times exp(RATE * parameter), so that one learning rate serves weights and steps of whatever unit: at 1e-4 a step
# moves by 0.3% at most each time.
RATE = 30.0


class LearntGrid(nn.Module):
    """Fake quantisation with a step that is learnt, in the place of a fake quantiser of PT2E.

    Args:
        fake: the one that it starts from, with its range.
    """

    def __init__(self, fake: nn.Module) -> None:
        super().__init__()
        observer = fake.activation_post_process
        self.low, self.high = int(observer.quant_min), int(observer.quant_max)  # type: ignore[union-attr,arg-type]
        self.logarithm = nn.Parameter(torch.zeros(1))
        self.register_buffer("first", fake.scale.detach().clone().reshape(1))  # type: ignore[operator,union-attr]
        self.register_buffer("zero_point", torch.zeros(1))
        self.fake_quant_enabled, self.observer_enabled = fake.fake_quant_enabled, fake.observer_enabled

    @property
    def step(self) -> Tensor:
        """(1,), above 0."""
        return self.first * (RATE * self.logarithm).exp()

    @property
    def half_range(self) -> float:
        """What the largest level of 127, or of 254 where there are no negative ones, stands for."""
        return self.step.item() * LIMIT * (2 if self.low == 0 else 1)

    def forward(self, values: Tensor) -> Tensor:
        """The same values on the grid."""
        if not self.fake_quant_enabled[0]:
            return values
        # As in the paper: the gradient of one step is that of all the values that it rounds.
        share = (values.numel() * self.high) ** -0.5
        return torch._fake_quantize_learnable_per_tensor_affine(values, self.step, self.zero_point, self.low, self.high, share)


def learn_ranges(prepared: PreparedGraph) -> dict[str, LearntGrid]:
    """Puts a learnt grid in the place of every activation's fake quantiser, by tensor; the ranges are those that are set."""
    grids = {name: LearntGrid(fake) for name, fake in prepared.activations.items()}
    by_fake = {id(fake): grids[name] for name, fake in prepared.activations.items()}
    for node in prepared.module.graph.nodes:
        if node.op == "call_module" and (grid := by_fake.get(id(prepared.module.get_submodule(str(node.target))))) is not None:
            prepared.module.set_submodule(str(node.target), grid)
    return grids
