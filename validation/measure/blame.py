"""Which modules an int8 graph loses its quality by: what the picture gains where one module alone stays in float."""

from collections.abc import Sequence
from operator import attrgetter

import numpy as np
from torch import nn
from torch.fx import Node

from ...capture.program import module_path, operator_name
from ...compression.quantization.quantize import PreparedGraph, set_mode
from ...model.cached_run import CachedRun
from ...model.graph import Graph, Model, Run, Sample, scenario_output
from ...model.runs import run_of, runs_from_modules
from ...system.progress import ReportProgress
from ..results.blame import INPUTS, Blame, Losses
from .quality import similarity


def blame(model: Model, graph: Graph, prepared: PreparedGraph, samples: Sequence[Sample], report: ReportProgress) -> Losses:
    """Measures every module of a graph with fake quantisers; the model's other graphs stay in float.

    Args:
        prepared: with final ranges of weights and activations. Its modes change.
    """
    runs: dict[str, Run] = {name: CachedRun(run) for name, run in runs_from_modules(model).items()}
    spec = scenario_output(model)
    wanted = [model.scenario(runs, sample.inputs) for sample in samples]

    def scores() -> list[float]:
        now = {**runs, graph.name: run_of(graph, prepared.module)}
        return [similarity(spec, picture, model.scenario(now, sample.inputs)) for picture, sample in zip(wanted, samples, strict=True)]

    set_mode(prepared, fake_quantize=True)
    whole = scores()
    groups = quantisers_by_module(prepared)
    rows = []
    for count, (path, fakes) in enumerate(groups.items(), 1):
        set_mode(prepared, fake_quantize=True)
        for fake in fakes:
            fake.fake_quant_enabled.fill_(0)  # type: ignore[operator]
        weights = sum(attrgetter(name)(prepared.module).numel() for name in prepared.weights if _owner(name) == path)
        rows.append(Blame(path, float(np.mean(scores()) - np.mean(whole)), more_bytes=weights))
        report(count, len(groups), path)
    return Losses(float(np.mean(whole)), min(whole), tuple(sorted(rows, key=lambda row: -(row.ssim_gained or 0))))


def quantisers_by_module(prepared: PreparedGraph) -> dict[str, list[nn.Module]]:
    """The fake quantisers of each module's weights and results, by its path; of what the graph computes itself, by ``(operator)``."""
    found: dict[str, list[nn.Module]] = {}
    taken: set[int] = set()
    for node in prepared.module.graph.nodes:
        source = node.args[0] if node.op == "call_module" else None
        fake = prepared.module.get_submodule(str(node.target)) if isinstance(source, Node) and source.op != "get_attr" else None
        if fake is not None and id(fake) not in taken:
            taken.add(id(fake))
            found.setdefault(_place(source), []).append(fake)  # pyright: ignore[reportArgumentType]
    for name, fakes in prepared.weights.items():
        found.setdefault(_owner(name), []).extend(fakes)
    return found


def _place(node: Node) -> str:
    """Of a quantised value; a ReLU behind a layer is part of it."""
    while operator_name(node) == "relu" and node.all_input_nodes:
        node = node.all_input_nodes[0]
    return INPUTS if node.op == "placeholder" else module_path(node) or f"({operator_name(node)})"


def _owner(weight: str) -> str:
    return weight.rpartition(".")[0] or weight
