"""Ranges of activations that are learnt together with the weights.

Learned step size quantisation (Esser et al. 2020, arXiv:1902.08153): the step of a grid has a gradient, which weighs what is cut off at its
ends against what is rounded inside.
"""

from collections.abc import Iterator, Sequence

import numpy as np
import torch
from torch import Tensor, nn

from ...model.graph import Arrays, Graph
from ...recipe.settings import QuantizeSettings
from .plan.equalize import equalized
from .quantize import PreparedGraph, load_weights, set_mode
from .quantizer import LIMIT
from .ranges import as_runtimes_do, fix_ranges

# A step is the first one times exp(RATE * parameter), so that one learning rate serves weights and steps of whatever unit: at 1e-4 a step
# moves by 0.3% at most each time.
RATE = 30.0


class LearntGrid(nn.Module):
    """Fake quantisation with a step that is learnt, in the place of a fake quantiser of PT2E.

    Args:
        fake: the one that it starts from, with its range.
    """

    first: Tensor
    zero_point: Tensor
    fake_quant_enabled: Tensor
    observer_enabled: Tensor

    def __init__(self, fake: nn.Module) -> None:
        super().__init__()
        observer = fake.activation_post_process
        self.low, self.high = int(observer.quant_min), int(observer.quant_max)  # type: ignore[union-attr,arg-type]
        self.logarithm = nn.Parameter(torch.zeros(1))
        self.register_buffer("first", fake.scale.detach().clone().reshape(1))  # type: ignore[operator,union-attr]
        self.register_buffer("zero_point", torch.zeros(1))
        self.fake_quant_enabled, self.observer_enabled = fake.fake_quant_enabled, fake.observer_enabled  # type: ignore[assignment]

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
        return torch.ops.aten._fake_quantize_learnable_per_tensor_affine(values, self.step, self.zero_point, self.low, self.high, share)


def ready_to_learn(
    prepared: PreparedGraph, graph: Graph, inputs: Sequence[Arrays], batch: int, settings: QuantizeSettings
) -> dict[str, LearntGrid]:
    """A prepared graph under fake quantisation as artifacts round, channels equalised, with ranges that are learnt from here on.

    Args:
        inputs: of the graph, batch 1.
        batch: that it was prepared for.

    Returns:
        the grids by tensor.
    """
    batches = list(_batches(graph, inputs, batch))
    ranges = fix_ranges(prepared, graph, batches, settings)
    as_runtimes_do(prepared, ranges)
    weights = equalized(prepared, [tuple(torch.from_numpy(each[spec.name]) for spec in graph.inputs) for each in batches])
    if weights:
        load_weights(prepared, weights)
        as_runtimes_do(prepared, fix_ranges(prepared, graph, batches, settings))
    grids = learn_ranges(prepared)
    set_mode(prepared, fake_quantize=True)
    return grids


def _batches(graph: Graph, inputs: Sequence[Arrays], size: int) -> Iterator[dict[str, np.ndarray]]:
    """All inputs, as many at a time; the last batch begins again with the first."""
    for start in range(0, len(inputs), size):
        rows = [inputs[index % len(inputs)] for index in range(start, start + size)]
        yield {spec.name: np.concatenate([row[spec.name] for row in rows]) for spec in graph.inputs}


def learn_ranges(prepared: PreparedGraph) -> dict[str, LearntGrid]:
    """Puts a learnt grid in the place of every activation's fake quantiser, by tensor; the ranges are those that are set."""
    grids = {name: LearntGrid(fake) for name, fake in prepared.activations.items()}
    by_fake = {id(fake): grids[name] for name, fake in prepared.activations.items()}
    for node in prepared.module.graph.nodes:
        if node.op == "call_module" and (grid := by_fake.get(id(prepared.module.get_submodule(str(node.target))))) is not None:
            prepared.module.set_submodule(str(node.target), grid)
    return grids
