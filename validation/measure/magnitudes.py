"""The largest magnitude of every tensor of a captured float program over samples, through the model's scenario."""

from collections.abc import Sequence
from dataclasses import replace
from functools import partial
from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch.fx import GraphModule, Interpreter, Node

from ...capture.program import GraphProgram, Program, module_path, operator_name
from ...model.cached_run import CachedRun
from ...model.graph import Arrays, Model, Run, Sample
from ...system.progress import ReportProgress
from ..results.half_range import Magnitude

# They add up squares inside, and nothing of that can be seen from outside.
NORMS = frozenset(
    ("instance_norm", "layer_norm", "group_norm", "native_layer_norm", "native_group_norm", "_native_batch_norm_legit", "rms_norm")
    + ("var", "std", "var_mean", "std_mean")
)  # fmt: skip


def measure_magnitudes(model: Model, program: Program, samples: Sequence[Sample], report: ReportProgress) -> tuple[Magnitude, ...]:
    """One entry for each floating-point result of each graph, in the order of execution.

    Args:
        program: of the model, at the samples' size.
        report: is told of every sample.
    """
    recorders = {graph.name: _Recorder(graph) for graph in program.graphs}
    # A graph that runs once a style need not run again with every photo.
    runs: dict[str, Run] = {name: CachedRun(recorder.run_arrays) for name, recorder in recorders.items()}
    for done, sample in enumerate(samples, 1):
        for recorder in recorders.values():
            recorder.sample = sample.name
        model.scenario({name: partial(_call, run) for name, run in runs.items()}, sample.inputs)
        report(done, len(samples), sample.name)
    return tuple(row for recorder in recorders.values() for row in recorder.rows())


def _call(run: Run, inputs: Arrays) -> dict[str, np.ndarray]:
    return run(inputs)


class _Recorder(Interpreter):
    """Runs one graph and remembers magnitudes by node name."""

    def __init__(self, graph: GraphProgram) -> None:
        module = graph.float_program.module(check_guards=False)
        assert isinstance(module, GraphModule)
        super().__init__(module)
        self.sample = ""
        self._graph = graph
        self._paths = {node.name: module_path(node) for node in graph.float_program.graph.nodes}
        self._found: dict[str, Magnitude] = {}

    def run_arrays(self, inputs: Arrays) -> dict[str, np.ndarray]:
        """The graph on named arrays."""
        with torch.inference_mode():
            result = self.run(*(torch.from_numpy(np.array(inputs[spec.name], np.float32)) for spec in self._graph.inputs))
        results = result if isinstance(result, (tuple, list)) else (result,)
        return {spec.name: value.numpy() for spec, value in zip(self._graph.outputs, results, strict=True)}

    def rows(self) -> tuple[Magnitude, ...]:
        """In the order of execution."""
        return tuple(self._found.values())

    def run_node(self, n: Node) -> Any:
        result = super().run_node(n)
        if n.op == "call_function" and isinstance(result, Tensor) and result.is_floating_point():
            operator = _operator(n)
            square = self._square(n) if operator in NORMS else 0.0
            found = Magnitude(self._graph.name, self._paths.get(n.name, ""), operator, largest(result), self.sample, square)
            before = self._found.get(n.name, found)
            worst = found if found.largest > before.largest else before
            self._found[n.name] = replace(worst, square=max(found.square, before.square))
        return result

    def _square(self, node: Node) -> float:
        source = node.args[0]
        value = self.env.get(source) if isinstance(source, Node) else None
        return largest(value) ** 2 if isinstance(value, Tensor) else 0.0


def _operator(node: Node) -> str:
    name = operator_name(node)
    return "square" if name == "mul" and len(node.args) == 2 and node.args[0] is node.args[1] else name


def largest(value: Tensor) -> float:
    """Largest finite magnitude; an infinity that float32 has, such as that of a mask, is one in float16, too."""
    if value.numel() == 0:
        return 0.0
    low, high = torch.aminmax(value)
    found = max(-float(low), float(high))
    if np.isfinite(found):
        return found
    finite = value[torch.isfinite(value)]
    return float(finite.abs().max()) if finite.numel() else 0.0
