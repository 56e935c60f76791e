"""After pruning: each graph learns again to give what its whole self gives."""

from collections.abc import Sequence
from pathlib import Path

import torch
from torch import Tensor

from ..calibration.samples import Sample
from ..export.distill import SAVE_EVERY, Distiller, read_state, save_state, with_scalars
from ..export.progress import Report
from ..export.quantize import graph_inputs
from ..export.settings import RecoverSettings
from ..model.graph import Model


def recover(
    model: Model, reference: Model, samples: Sequence[Sample], settings: RecoverSettings, state_file: Path, report: Report
) -> dict[str, dict[str, Tensor]]:
    """Fine-tunes every pruned graph; batch normalisation keeps its statistics.

    Args:
        model: its graphs' weights move.
        reference: the same graphs, whole.
        samples: at the crop size of the settings; scalar inputs are drawn anew over their range.
        state_file: where the state is kept every few steps; a killed run continues from it and ends with the same weights.

    Returns:
        Parameters by graph and name.
    """
    torch.manual_seed(settings.seed)
    fed = list(graph_inputs(reference, with_scalars(model, samples, settings.seed)))
    state = read_state(state_file)
    changed = [graph for graph in model.graphs if graph.module is not reference.graph(graph.name).module]
    for position, graph in enumerate(changed):
        for parameter in graph.module.parameters():
            parameter.requires_grad_(True)
        student = Distiller(reference.graph(graph.name), graph.module, [inputs[graph.name] for inputs in fed], settings)
        student.restore(state.get(graph.name))
        while student.step < settings.steps:
            loss = student.train_step()
            report(position * settings.steps + student.step, settings.steps * len(changed), f"{graph.name} L1 {loss:.4f}")
            if student.step % SAVE_EVERY == 0 or student.step == settings.steps:
                state[graph.name] = student.state()
                save_state(state, state_file)
    return {graph.name: state[graph.name]["weights"] for graph in changed}
