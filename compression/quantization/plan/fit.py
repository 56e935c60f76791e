"""A graph with fake quantisers as a plan wants it, fitted on samples."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from ....calibration.tensor_range import TensorRange
from ....capture.normalization.nodes import argument
from ....model.graph import Arrays, Graph, Size
from ....recipe.settings import QuantizeSettings
from ..channel_scales import convolutions_of, scaled_weights
from ..quantize import PreparedGraph, load_weights, prepare, refresh_weight_ranges, set_mode
from ..ranges import as_runtimes_do, ranges_alone, set_activation_ranges
from .bias import correct_biases
from .channels import ChannelGrids, channel_grids
from .plan import Plan


@dataclass(frozen=True)
class Levers:
    """What a graph gets besides the rules and the recipe.

    Attributes:
        weights: with equalised channels, by name, in the place of the graph's own.
        grids: for each channel of convolutions that norms and other float operators read.
        biases: corrected.
        observers: by tensor, in the place of the recipe's.
        keep_float: module paths.
    """

    weights: Mapping[str, Tensor] | None = None
    grids: bool = False
    biases: bool = False
    observers: Mapping[str, str] | None = None
    keep_float: tuple[str, ...] = ()


@dataclass(frozen=True)
class Fitted:
    """A prepared graph with final ranges and weights, and what makes it so."""

    prepared: PreparedGraph
    ranges: Mapping[str, TensorRange]
    factors: Mapping[str, Tensor]
    limits: Mapping[str, float]

    @property
    def weights(self) -> dict[str, Tensor]:
        """By name."""
        return {name: value.detach().clone() for name, value in self.prepared.module.named_parameters()}


def fit(
    graph: Graph,
    size: Size,
    inputs: Sequence[Arrays],
    *,
    settings: QuantizeSettings,
    tuned: Mapping[str, Tensor],
    learnt: Mapping[str, float],
    levers: Levers,
) -> Fitted:
    """Prepares a graph and fits it. Fake quantisation is on.

    Args:
        inputs: of the graph, batch 1, at that size.
        tuned: its weights by name, empty for its own.
        learnt: half ranges that were learnt with them, by tensor.
    """
    settings = settings.model_copy(update={"keep_float": (*settings.keep_float, *levers.keep_float)})
    prepared = prepare(graph, size, settings, samples=inputs[:1])
    if weights := levers.weights or tuned:
        load_weights(prepared, weights)
    tensors = [tuple(torch.from_numpy(each[spec.name]) for spec in graph.inputs) for each in inputs]
    grids = channel_grids(prepared, tensors) if levers.grids else {}
    factors = {weight: grid.factors for weight, grid in grids.items()}
    if grids:
        scaled = prepare(graph, size, settings, samples=inputs[:1], factors=factors)
        load_weights(scaled, scaled_weights(scaled.module, dict(prepared.module.named_parameters()), factors))
        prepared = scaled
        _take_out_middles(prepared, grids)
    limits = {grid.tensor: grid.limit for grid in grids.values()}
    plan = Plan(limits={graph.name: limits}, learnt={graph.name: learnt})
    ranges = fitted_ranges(graph, prepared, inputs, settings=settings, observers=levers.observers or {}, plan=plan)
    set_activation_ranges(prepared, ranges)
    as_runtimes_do(prepared, ranges)
    refresh_weight_ranges(prepared)
    set_mode(prepared, fake_quantize=True)
    if levers.biases:
        correct_biases(prepared, tensors)
    return Fitted(prepared, ranges, factors, limits)


@torch.no_grad()
def _take_out_middles(prepared: PreparedGraph, grids: Mapping[str, ChannelGrids]) -> None:
    """Of what norms read: they do so themselves, so that nothing takes the middles back."""
    for weight, grid in grids.items():
        if grid.normalised:
            (convolution,) = convolutions_of(prepared.module, weight)
            prepared.module.get_parameter(str(argument(convolution, "bias").target)).sub_(grid.middle * grid.factors[0])


def fitted_ranges(
    graph: Graph,
    prepared: PreparedGraph,
    inputs: Sequence[Arrays],
    *,
    settings: QuantizeSettings,
    observers: Mapping[str, str],
    plan: Plan,
) -> dict[str, TensorRange]:
    """Ranges of a prepared graph's activations by tensor, from its own inputs or fixed by a plan. Fake quantisation is off afterwards."""
    return {entry.tensor: plan.fixed(entry) for entry in ranges_alone(prepared, graph, inputs, settings, observers)}
