"""Which modules an int8 graph loses its quality by: what the picture gains where one module alone stays in float."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
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
from .quality import similarity

INPUTS = "inputs"


@dataclass(frozen=True)
class Blame:
    """One module of an int8 graph.

    Attributes:
        module_path: of the module; INPUTS for the graph's inputs, ``(operator)`` for what the graph computes outside of any module.
        ssim_gained: mean SSIM that the picture gains if this module's weight and result alone stay in float, in PyTorch.
        int8_ms: of one run of the artifact; None where its runtime does not tell. Includes what follows the module up to the next layer.
        float_ms: the same of the float graph in ONNX Runtime.
        more_bytes: what its weights take in half precision beyond int8.
    """

    module_path: str
    ssim_gained: float
    int8_ms: float | None = None
    float_ms: float | None = None
    more_bytes: int = 0


@dataclass(frozen=True)
class Losses:
    """``ssim`` of the whole int8 graph, mean and worst of the samples, and each module's part in it, the largest first."""

    ssim_mean: float
    ssim_worst: float
    modules: tuple[Blame, ...]


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
    return Losses(float(np.mean(whole)), min(whole), tuple(sorted(rows, key=lambda row: -row.ssim_gained)))


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


def with_times(losses: Losses, int8_ms: Mapping[str, float], float_ms: Mapping[str, float]) -> tuple[Blame, ...]:
    """The rows with the times of the modules, and a row for each module that has a time only."""
    known = {row.module_path for row in losses.modules}
    rows = [*losses.modules, *(Blame(path, 0.0) for path in {**int8_ms, **float_ms} if path not in known)]
    return tuple(
        Blame(row.module_path, row.ssim_gained, int8_ms.get(row.module_path), float_ms.get(row.module_path), row.more_bytes) for row in rows
    )


def advice(rows: Sequence[Blame], graph: str) -> str:
    """The one change that would help the picture most, and its price; empty if no module gains anything."""
    best = max(
        (row for row in rows if row.module_path != INPUTS and not row.module_path.startswith("(")),
        key=lambda row: row.ssim_gained,
        default=None,
    )
    if best is None or best.ssim_gained <= 0:
        return ""
    time = ""
    if best.int8_ms is not None and best.float_ms is not None:
        time = f", {best.float_ms - best.int8_ms:+.2f} ms"
    return (
        f'quantize.keep_float = ["{graph}.{best.module_path}"] would help most: {best.ssim_gained:+.4f} mean SSIM in PyTorch'
        f"{time}, {best.more_bytes:+,} bytes"
    )


def _place(node: Node) -> str:
    """Of a quantised value; a ReLU behind a layer is part of it."""
    while operator_name(node) == "relu" and node.all_input_nodes:
        node = node.all_input_nodes[0]
    return INPUTS if node.op == "placeholder" else module_path(node) or f"({operator_name(node)})"


def _owner(weight: str) -> str:
    return weight.rpartition(".")[0] or weight
