"""After recovery: pruned graphs learn on with numbers rounded as int8 artifacts round them, and the ranges of activations with them."""

from collections.abc import Mapping
from pathlib import Path

import torch
from torch import Tensor

from ...capture.equality import check_same, probe_inputs
from ...capture.normalization.fold_batch_norm import names_to_unfold, unfold_batch_norm
from ...capture.trace import trace
from ...model.graph import Graph, Model
from ...model.runs import graph_inputs
from ...recipe.settings import QuantizeSettings, RecoverSettings
from ...system.progress import ReportProgress
from ..quantization.learnt_ranges import ready_to_learn
from ..quantization.quantize import PreparedGraph, load_weights, prepare, refresh_weight_ranges, set_mode
from .distill import read_state
from .draws import SampleDraws
from .student import School, Student, changed_graphs

# Samples that ranges are measured on before they move.
MEASURED = 16


def recover_rounded(
    model: Model,
    reference: Model,
    *,
    draws: SampleDraws,
    settings: RecoverSettings,
    quantize: QuantizeSettings,
    state_file: Path,
    report: ReportProgress,
) -> dict[str, dict[str, float]]:
    """Fine-tunes every pruned graph under fake quantisation, on the CPU.

    Args:
        model: its graphs' weights move; batch norms before which a convolution stands add its bias and do nothing else afterwards.
        reference: the same graphs, whole.
        draws: samples at the crop size of the settings.
        quantize: what stays in float.
        state_file: where the state is kept every few steps; a killed run continues from it and ends with the same weights.

    Returns:
        learnt half ranges by graph and tensor.

    Raises:
        CaptureError: a graph cannot be captured, or its weights cannot be put back.
    """
    torch.manual_seed(settings.seed)
    paced = settings.model_copy(update={"learning_rate": settings.rounded.learning_rate})
    school, state = School.of(reference, draws, paced), read_state(state_file)
    changed = changed_graphs(model, reference, settings.rounded.steps_of)
    total, done = sum(settings.rounded.steps_of(graph.name) for graph in changed), 0
    learnt: dict[str, dict[str, float]] = {}
    for graph in changed:
        student = _Rounded(school, graph, quantize)
        student.learn(
            state,
            state_file,
            lambda loss, student=student, done=done: report(done + student.step, total, f"{student.teacher.name} {loss:.4f}"),
        )
        student.helper.shutdown()
        done += student.steps
        learnt[graph.name] = student.put_back()
    return learnt


class _Rounded(Student):
    """A graph that learns under fake quantisation."""

    rate_key = "prune.recover.rounded.learning_rate"

    def __init__(self, school: School, graph: Graph, quantize: QuantizeSettings) -> None:
        settings = school.settings
        self.graph, self.size = graph, (settings.crop, settings.crop)
        for parameter in graph.module.parameters():
            parameter.requires_grad = True
        steps = settings.rounded.steps_of(graph.name)
        drawn = [school.draws.draw(steps, 0, index) for index in range(max(MEASURED, settings.batch))]  # no step's
        self.samples = [fed[graph.name] for fed in graph_inputs(school.reference, drawn)]
        self.prepared: PreparedGraph = prepare(graph, self.size, quantize, batch=settings.batch, samples=self.samples)
        self.captured = trace(graph, self.size).captured
        names = names_to_unfold(self.captured, graph.module)
        for name, parameter in self.prepared.module.named_parameters():
            parameter.requires_grad = name in names  # what became of a norm that nothing was folded into stays as it is
        self.grids = ready_to_learn(self.prepared, graph, self.samples, settings.batch, quantize)
        super().__init__(school, graph, self.prepared.module, steps)
        self.bfloat16 = False  # its rounding is as coarse as that which is learnt

    def before_step(self) -> None:
        refresh_weight_ranges(self.prepared)

    def load_weights(self, weights: Mapping[str, Tensor]) -> None:
        load_weights(self.prepared, weights)

    def put_back(self) -> dict[str, float]:
        """The weights into the graph's own module; the learnt half ranges by tensor."""
        weights = {name: value.detach() for name, value in self.prepared.module.named_parameters()}
        unfold_batch_norm(self.captured, self.graph.module, weights)
        set_mode(self.prepared, fake_quantize=False)
        inputs = probe_inputs(self.graph, self.size, self.samples, self.settings.batch)
        check_same(self.graph, self.captured, self.prepared.module, inputs, "what was learnt with rounded numbers")
        return {name: grid.half_range for name, grid in self.grids.items()}
