"""Measures what each module costs the picture when it alone is quantised, and when it alone is pruned by steps."""

import copy
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from torch import Tensor, nn
from torch.fx import Node

from ..compression.pruning.channels import ChannelGroup, keep_best
from ..compression.pruning.heads import heads_of
from ..compression.pruning.prune import Prunable, parameter_count, prunable
from ..compression.pruning.trial import remove_all
from ..compression.quantization.quantize import PreparedGraph, prepare, set_mode
from ..compression.quantization.quantizer import module_path
from ..compression.quantization.ranges import fix_ranges
from ..model.cached_run import CachedRun
from ..model.graph import Graph, Model, Run, Sample, Size, scenario_output
from ..model.runs import graph_inputs, run_of, runs_from_modules
from ..recipe.settings import PruneSettings, QuantizeSettings
from ..system.progress import ReportProgress
from ..validation.measure.quality import similarity
from .sensitivity import CHANNELS, HEADS, INT8, STEPS, Sensitivity


@dataclass(frozen=True)
class PendingChange:
    """A change that waits to be measured; ``make`` gives the graph's module with it."""

    graph: Graph
    name: str
    change: str
    ratio: float
    make: Callable[[], nn.Module]


class SensitivityAnalysis:
    """Measures a model on some samples. Nothing of the model is changed.

    Args:
        samples: whose pictures are compared, all of one size.
        size: theirs.
        scores: importance by graph and group, as ``score_graph`` gives it.
    """

    def __init__(
        self,
        model: Model,
        samples: Sequence[Sample],
        *,
        size: Size,
        quantize: QuantizeSettings,
        prune: PruneSettings,
        scores: Mapping[str, Mapping[str, Tensor]],
    ) -> None:
        self.model, self.samples, self.size = model, samples, size
        self.quantize, self.prune, self.scores = quantize, prune, scores
        self.runs: dict[str, Run] = {name: CachedRun(run) for name, run in runs_from_modules(model).items()}
        self.output = scenario_output(model)
        self.pictures = [model.scenario(self.runs, sample.inputs) for sample in samples]
        self.fed = list(graph_inputs(model, samples))

    def pending(self) -> Iterator[PendingChange]:
        """Everything that can be changed alone."""
        for graph in self.model.graphs:
            if self.quantize.method != "off":
                yield from self._int8(graph)
            found = prunable(graph, self.fed[0][graph.name])
            yield from self._narrowed(graph, found)
            yield from self._without_heads(graph, found)

    def measure(self, known: Sequence[Sensitivity], keep: Callable[[Sensitivity], None], report: ReportProgress) -> None:
        """Measures every change that is not known yet.

        Args:
            known: measured earlier.
            keep: called with every new measurement.
        """
        done = {(row.name, row.change, row.ratio) for row in known}
        pending = list(self.pending())
        for count, each in enumerate(pending, 1):
            if (each.name, each.change, each.ratio) not in done:
                module = each.make()
                removed = 0 if each.change == INT8 else parameter_count(each.graph.module) - parameter_count(module)
                keep(Sensitivity(each.name, each.change, each.ratio, self._lost(each.graph, module), removed))
            report(count, len(pending), f"{each.name} {each.change}" + (f" {each.ratio:.0%}" if each.ratio else ""))

    def _lost(self, graph: Graph, module: nn.Module) -> float:
        runs = {**self.runs, graph.name: CachedRun(run_of(graph, module))}
        scores = [
            similarity(self.output, wanted, self.model.scenario(runs, sample.inputs))
            for sample, wanted in zip(self.samples, self.pictures, strict=True)
        ]
        return 1 - float(np.mean(scores))

    def _int8(self, graph: Graph) -> Iterator[PendingChange]:
        prepared = prepare(graph, self.size, self.quantize)
        fix_ranges(prepared, graph, [fed[graph.name] for fed in self.fed], self.quantize)
        for path, fakes in quantisers(prepared).items():

            def make(fakes: Sequence[nn.Module] = fakes) -> nn.Module:
                set_mode(prepared, fake_quantize=False)
                for fake in fakes:
                    fake.fake_quant_enabled.fill_(1)  # type: ignore[operator]
                return prepared.module

            yield PendingChange(graph, f"{graph.name}.{path}", INT8, 0.0, make)

    def _narrowed(self, graph: Graph, found: Prunable) -> Iterator[PendingChange]:
        for group in found.channels:
            for ratio in STEPS if not group.obstacle else ():
                kept = keep_best(self.scores[graph.name][group.name], ratio, group.step(self.prune.multiple))

                def make(group: ChannelGroup = group, kept: Tensor = kept) -> nn.Module:
                    return remove_all(found.module, found.example, found.found, {group.name: kept})

                if len(kept) < group.width:
                    yield PendingChange(graph, f"{graph.name}.{group.name}", CHANNELS, ratio, make)

    def _without_heads(self, graph: Graph, found: Prunable) -> Iterator[PendingChange]:
        for group in found.heads:
            for ratio in STEPS:
                kept = keep_best(self.scores[graph.name][group.name], ratio, 1).tolist()

                def make(group: ChannelGroup = group, kept: list[int] = kept) -> nn.Module:
                    slim = copy.deepcopy(found.module)
                    heads_of(slim)[group.name].keep_heads(kept)
                    return slim

                if len(kept) < group.width:
                    yield PendingChange(graph, f"{graph.name}.{group.name}", HEADS, ratio, make)


def quantisers(prepared: PreparedGraph) -> dict[str, list[nn.Module]]:
    """The fake quantisers of weight and input of every quantised layer, by module path."""
    fakes = {id(fake): fake for fake in (*prepared.activations.values(), *prepared.weight_quantizers)}
    weights = {id(fake) for fake in prepared.weight_quantizers}
    found: dict[str, list[nn.Module]] = {}
    for node in prepared.module.graph.nodes:
        sources = [prepared.module.get_submodule(str(a.target)) for a in node.args if isinstance(a, Node) and a.op == "call_module"]
        if any(id(source) in weights for source in sources):
            found[module_path(node)] = [source for source in sources if id(source) in fakes]
    return found
