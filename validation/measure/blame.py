"""Which modules an int8 graph loses its quality by: what the picture gains where one module alone stays in float."""

from collections.abc import Mapping, Sequence
from dataclasses import replace
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
from ..results.blame import Blame, Losses
from .quality import similarity

INPUTS = "inputs"


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
    rows: list[tuple[float, Blame]] = []
    for count, (path, fakes) in enumerate(groups.items(), 1):
        set_mode(prepared, fake_quantize=True)
        for fake in fakes:
            fake.fake_quant_enabled.fill_(0)  # type: ignore[operator]
        weights = sum(attrgetter(name)(prepared.module).numel() for name in prepared.weights if _owner(name) == path)
        gained = float(np.mean(scores()) - np.mean(whole))
        rows.append((gained, Blame(path, gained, more_bytes=weights)))
        report(count, len(groups), path)
    return Losses(float(np.mean(whole)), min(whole), tuple(row for _, row in sorted(rows, key=lambda ranked: -ranked[0])))


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


def with_times(rows: Sequence[Blame], int8_ms: Mapping[str, float], float_ms: Mapping[str, float]) -> tuple[Blame, ...]:
    """The rows with the times of the modules, and behind them one for each module that has a time only, the slowest first."""
    known = {row.module_path for row in rows}
    timed = sorted((path for path in {**int8_ms, **float_ms} if path not in known), key=lambda path: -int8_ms.get(path, 0.0))
    rows = [*rows, *map(Blame, timed)]
    return tuple(replace(row, int8_ms=int8_ms.get(row.module_path), float_ms=float_ms.get(row.module_path)) for row in rows)


def advice(rows: Sequence[Blame], graph: str) -> tuple[str, ...]:
    """The change that would help the picture most, and the one that would save most time, each with its price; empty if none would."""
    layers = [row for row in rows if row.module_path != INPUTS and not row.module_path.startswith("(")]
    quality = max((row for row in layers if (row.ssim_gained or 0) > 0), key=lambda row: row.ssim_gained or 0, default=None)
    speed = min((row for row in layers if (_more_ms(row) or 0) < 0), key=lambda row: _more_ms(row) or 0, default=None)
    said = [(quality, "would help most")] if quality else []
    said += [(speed, "would save most time")] if speed else []
    return tuple(f'quantize.keep_float = ["{graph}.{row.module_path}"] {helps}: {_price(row)}' for row, helps in said)


def _more_ms(row: Blame) -> float | None:
    """What a layer takes longer in float."""
    return None if row.int8_ms is None or row.float_ms is None else row.float_ms - row.int8_ms


def _price(row: Blame) -> str:
    more = _more_ms(row)
    gained = [] if row.ssim_gained is None else [f"{row.ssim_gained:+.4f} mean SSIM in PyTorch"]
    time = [] if more is None else [f"{more:+.2f} ms"]
    bytes_more = [f"{row.more_bytes:+,} bytes"] if row.ssim_gained is not None else []
    return ", ".join((*gained, *time, *bytes_more))


def _place(node: Node) -> str:
    """Of a quantised value; a ReLU behind a layer is part of it."""
    while operator_name(node) == "relu" and node.all_input_nodes:
        node = node.all_input_nodes[0]
    return INPUTS if node.op == "placeholder" else module_path(node) or f"({operator_name(node)})"


def _owner(weight: str) -> str:
    return weight.rpartition(".")[0] or weight
