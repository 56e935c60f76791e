"""After pruning: each graph learns again to give what its whole self gives, on random crops of whatever pictures there are."""

from collections.abc import Sequence
from pathlib import Path

import torch
from torch import Tensor

from ...model.graph import Model
from ...model.precision import working_dtype
from ...recipe.settings import RecoverSettings
from ...system.progress import ReportProgress
from .distill import read_state
from .draws import SampleDraws
from .student import School, Student, changed_graphs


def recover(
    model: Model, reference: Model, *, draws: SampleDraws, settings: RecoverSettings, state_file: Path, report: ReportProgress
) -> dict[str, dict[str, Tensor]]:
    """Fine-tunes every pruned graph; batch normalisation keeps its statistics.

    Args:
        model: its graphs' weights move.
        reference: the same graphs, whole.
        draws: samples at the crop size of the settings.
        state_file: where the state is kept every few steps; a killed run continues from it and ends with the same weights.

    Returns:
        Parameters by graph and name.
    """
    torch.manual_seed(settings.seed)
    device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
    # As in training: in bfloat16 a step takes three quarters of the time so, in float32 as long as otherwise.
    layout = torch.channels_last if working_dtype(device) is torch.bfloat16 else torch.contiguous_format
    _move((model, reference), device, layout)
    try:
        weights = _recover(model, reference, draws=draws, settings=settings, state_file=state_file, report=report)
    finally:
        _move((model, reference), torch.device("cpu"), torch.contiguous_format)
    return {graph: {name: value.contiguous() for name, value in each.items()} for graph, each in weights.items()}


def _recover(
    model: Model, reference: Model, *, draws: SampleDraws, settings: RecoverSettings, state_file: Path, report: ReportProgress
) -> dict[str, dict[str, Tensor]]:
    """``recover`` where the graphs' modules are."""
    school = School.of(reference, draws, settings)
    state = read_state(state_file)
    changed = changed_graphs(model, reference, settings.steps_of)
    total, done = sum(settings.steps_of(graph.name) for graph in changed), 0
    for graph in changed:
        for parameter in graph.module.parameters():
            parameter.requires_grad = True
        student = Student(school, graph, graph.module.eval(), settings.steps_of(graph.name))
        student.learn(
            state,
            state_file,
            lambda loss, student=student, done=done: report(done + student.step, total, f"{student.teacher.name} {loss:.4f}"),
        )
        student.helper.shutdown()
        done += student.steps
    return {graph.name: state[graph.name]["weights"] for graph in changed}


def _move(models: Sequence[Model], device: torch.device, layout: torch.memory_format) -> None:
    for model in models:
        for graph in model.graphs:
            graph.module.to(device).to(memory_format=layout)  # type: ignore[call-overload]
