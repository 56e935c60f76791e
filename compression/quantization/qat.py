"""Quantisation-aware training: weights learn to live on the int8 grid, each graph distilled from its float, unpruned self.

Short by design: it starts from a trained float model, batch normalisation is folded, activation ranges are calibrated
first, and move with the weights from there. Tensors that are never negative have the levels that artifacts have. The loss is the L1
distance to that graph's outputs.
"""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from ...model.graph import Arrays, Graph, Model, Sample
from ...model.runs import graph_inputs
from ...recipe.recipe import QuantizeSettings
from ...system.progress import ReportProgress
from ..distillation.distill import Distiller, read_state, with_scalars
from .learnt_ranges import ready_to_learn
from .plan.plan import Plan
from .quantize import PreparedGraph, load_weights, prepare, refresh_weight_ranges
from .ranges import rehearse


def tune(
    model: Model, reference: Model, *, samples: Sequence[Sample], settings: QuantizeSettings, state_file: Path, report: ReportProgress
) -> tuple[Plan, dict[str, dict[str, Tensor]]]:
    """Fine-tunes every graph under fake quantisation.

    Args:
        reference: the same graphs, unpruned: what is aimed at.
        samples: at the crop size of the settings; scalar inputs are drawn anew over their range.
        state_file: where the state is kept every few steps; a killed run continues from it and ends with the same weights.

    Returns:
        a plan that holds the learnt ranges, and weights by graph and parameter name, batch normalisation folded.
    """
    size = (settings.crop, settings.crop)
    torch.manual_seed(settings.seed)
    fed = list(graph_inputs(reference, with_scalars(model, samples, settings.seed)))
    state = read_state(state_file)
    trainable = [graph for graph in model.graphs if any(parameter.requires_grad for parameter in graph.module.parameters())]
    total = settings.steps * len(trainable)
    tuned: dict[str, dict[str, Tensor]] = {}
    learnt: dict[str, dict[str, float]] = {}
    for position, graph in enumerate(trainable):
        if graph.name in state and state[graph.name]["step"] == settings.steps:
            tuned[graph.name], learnt[graph.name] = _result(state[graph.name])
            continue
        own = [inputs[graph.name] for inputs in fed]
        rehearse(prepare(graph, size, settings, samples=own[:1]), graph, size, own[:1], settings)
        prepared = prepare(graph, size, settings, batch=settings.batch, samples=own[: settings.batch])
        tuner = _Tuner(reference.graph(graph.name), graph, prepared, own, settings)
        before = position * settings.steps
        tuner.learn(
            state,
            state_file,
            lambda loss, tuner=tuner, before=before: report(before + tuner.step, total, f"{tuner.teacher.name} L1 {loss:.4f}"),
        )
        tuned[graph.name], learnt[graph.name] = _result(state[graph.name])
    return Plan(learnt=learnt), tuned


class _Tuner(Distiller):
    """A graph under fake quantisation, with ranges that are learnt from those of its samples on."""

    rate_key = "quantize.learning_rate"

    def __init__(self, teacher: Graph, graph: Graph, prepared: PreparedGraph, inputs: Sequence[Arrays], settings: QuantizeSettings) -> None:
        self.names = {name for name, _ in prepared.module.named_parameters()}
        self.prepared, self.grids = prepared, ready_to_learn(prepared, graph, inputs, settings.batch, settings)
        super().__init__(teacher, prepared.module, inputs, settings, settings.steps)

    def teach(self, batch: Arrays, inputs: Sequence[Tensor]) -> Tensor | tuple[Tensor, ...]:
        """One sample at a time, as artifacts run: some models normalise by the statistics of their batch."""
        rows = [self.teacher.module(*(value[index : index + 1] for value in inputs)) for index in range(len(inputs[0]))]
        return torch.cat(rows) if isinstance(rows[0], Tensor) else tuple(torch.cat(column) for column in zip(*rows, strict=True))

    def before_step(self) -> None:
        refresh_weight_ranges(self.prepared)

    def load_weights(self, weights: Mapping[str, Tensor]) -> None:
        load_weights(self.prepared, weights)

    def state(self) -> dict:
        mine = {name for name, _ in self.prepared.module.named_parameters()} - self.names
        return {**super().state(), "steps_of_grids": sorted(mine), "learnt": {name: grid.half_range for name, grid in self.grids.items()}}


def _result(state: Mapping[str, Any]) -> tuple[dict[str, Tensor], dict[str, float]]:
    """Weights by name and learnt half ranges by tensor, of a graph that is finished."""
    return {name: value for name, value in state["weights"].items() if name not in state["steps_of_grids"]}, state["learnt"]
