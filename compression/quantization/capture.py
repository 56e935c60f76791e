"""From a model and its calibration table to the program of all precisions."""

from collections.abc import Iterable, Mapping, Sequence
from typing import TYPE_CHECKING

from torch import Tensor
from torch.export import ExportedProgram

from ...calibration.table import CalibrationTable, check_fits
from ...capture.program import GraphProgram, Program
from ...capture.trace import capture_float
from ...model.graph import Arrays, Graph, Model, Sample, Size
from ...model.runs import graph_inputs
from ...recipe.recipe import QuantizeSettings
from .plan.plan import NO_PLAN, Plan

if TYPE_CHECKING:
    from .quantize import PreparedGraph


def capture(
    model: Model,
    size: Size,
    *,
    table: CalibrationTable | None,
    tuned: Mapping[str, Mapping[str, Tensor]],
    settings: QuantizeSettings,
    samples: Iterable[Sample] = (),
    plan: Plan = NO_PLAN,
) -> Program:
    """Captures all graphs at one size.

    Args:
        table: ranges of the activations; None for a program without int8.
        tuned: weights by graph and parameter name as ``qat.tune`` or a plan returned them; empty for the model's own.
        plan: that table and weights belong to.
        samples: to check each program on, at that size; seeded random numbers if there are none.

    Raises:
        CaptureError: ``torch.export`` refuses the model, or a program computes something else than it; names where.
        InstantStyleError: the table does not fit the model.
    """
    fed = list(graph_inputs(model, samples))
    probes = {graph.name: [inputs[graph.name] for inputs in fed] for graph in model.graphs}
    if table is None:
        return Program(model.name, size, tuple(float_graph(graph, size, probes[graph.name]) for graph in model.graphs))
    from .quantize import load_weights, prepare
    from .ranges import set_activation_ranges

    settings = plan.applied(settings)
    prepared = {
        graph.name: prepare(graph, size, settings, samples=probes[graph.name], factors=plan.factors.get(graph.name, {}))
        for graph in model.graphs
    }
    check_fits(table, [(name, tensor) for name, graph in prepared.items() for tensor in graph.activations])
    for name, weights in tuned.items():
        load_weights(prepared[name], weights)
    for name, graph in prepared.items():
        set_activation_ranges(graph, {entry.tensor: entry for entry in table.entries if entry.graph == name})
    graphs = (quantized_graph(graph, size, prepared[graph.name], probes[graph.name]) for graph in model.graphs)
    return Program(model.name, size, tuple(graphs))


def float_graph(graph: Graph, size: Size, samples: Sequence[Arrays]) -> GraphProgram:
    """A graph without int8; raises what ``capture_float`` does."""
    from ...capture.program import is_convolution

    program = capture_float(graph, size, samples=samples)
    convolutions = sum(map(is_convolution, program.graph.nodes))
    return GraphProgram(graph.name, graph.inputs, graph.outputs, program, None, convolutions, 0, ())


def quantized_graph(
    graph: Graph, size: Size, prepared: "PreparedGraph", samples: Sequence[Arrays], plain: ExportedProgram | None = None
) -> GraphProgram:
    """A graph in float and int8, from fake quantisers with final ranges of activations.

    Args:
        plain: its float program where that has been captured.

    Raises:
        CaptureError: as ``capture_float`` and ``convert`` do.
    """
    from .quantize import convert

    return GraphProgram(
        graph.name,
        graph.inputs,
        graph.outputs,
        plain or capture_float(graph, size, samples=samples),
        convert(prepared, graph, size, samples),
        prepared.convolutions,
        prepared.int8_convolutions,
        prepared.islands,
    )
