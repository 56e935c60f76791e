"""Every module's output in the int8 program beside the float program's, on the float model's own inputs of each graph."""

from collections.abc import Collection, Iterable, Iterator, Sequence
from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch.export import ExportedProgram
from torch.fx import GraphModule, Interpreter, Node

from ...capture.program import GraphProgram, Program, module_path, operator_name
from ...model.graph import Arrays, Model, Sample
from ...model.runs import graph_inputs
from ...system.progress import ReportProgress
from ..results.module_losses import ModuleLoss


def measure_losses(model: Model, program: Program, samples: Sequence[Sample], report: ReportProgress) -> tuple[ModuleLoss, ...]:
    """One entry for each module that both programs of a graph have, in the order of execution; none of a graph without int8.

    Args:
        program: of the model, at the samples' size.
        report: is told of every sample.
    """
    meters = {graph.name: _Meter(graph) for graph in program.graphs if graph.int8_program is not None}
    for done, (sample, fed) in enumerate(zip(samples, graph_inputs(model, samples), strict=True), 1):
        for name, meter in meters.items():
            meter.add(fed[name])
        report(done, len(samples), sample.name)
    return tuple(loss for meter in meters.values() for loss in meter.losses())


class _Meter:
    """Adds up signal and noise at the modules of one graph."""

    def __init__(self, graph: GraphProgram) -> None:
        assert graph.int8_program is not None
        self._graph = graph
        self._float, self._int8 = _Outputs(graph.float_program), _Outputs(graph.int8_program)
        self._energies: dict[str, tuple[float, float]] = {}

    def add(self, inputs: Arrays) -> None:
        """One sample, by the names of the graph's inputs."""
        given = [torch.from_numpy(np.array(inputs[spec.name], np.float32)) for spec in self._graph.inputs]
        with torch.inference_mode():
            wanted, found = self._float.of(given), self._int8.of(given)
        for path, value in wanted.items():
            other = found.get(path)
            if other is None or other.shape != value.shape:
                continue
            signal, noise = self._energies.get(path, (0.0, 0.0))
            difference = (other - value).double()
            self._energies[path] = signal + float(value.double().square().sum()), noise + float(difference.square().sum())

    def losses(self) -> Iterator[ModuleLoss]:
        """Of all samples; what is zero in float has no share."""
        noise = {path: found / signal for path, (signal, found) in self._energies.items() if signal > 0 and np.isfinite(found)}
        for path, found in noise.items():
            read = max((noise[other] for other in self._float.reads(path, noise.keys())), default=0.0)
            yield ModuleLoss(self._graph.name, path, found, read)


class _Outputs(Interpreter):
    """Runs a program and gives what each module computes last, as those that read it see it: rounded, where it is quantised."""

    def __init__(self, program: ExportedProgram) -> None:
        module = program.module(check_guards=False)
        assert isinstance(module, GraphModule)
        super().__init__(module)
        paths = {node.name: module_path(node) for node in program.graph.nodes}
        last: dict[str, Node] = {}
        for node in module.graph.nodes:
            path = paths.get(node.name, "")
            if node.op == "call_function" and path and not operator_name(node).startswith(("quantize", "dequantize")):
                last[path] = node
        self._wanted = {_seen(node): path for path, node in last.items()}
        self._found: dict[str, Tensor] = {}

    def of(self, inputs: Iterable[Tensor]) -> dict[str, Tensor]:
        """By module path, in the order of execution."""
        self._found = {}
        self.run(*inputs)
        return self._found

    def reads(self, path: str, known: Collection[str]) -> set[str]:
        """The closest of the known modules whose outputs a module reads, through others if need be."""
        pending = list(next(node for node, found in self._wanted.items() if found == path).all_input_nodes)
        found, seen = set[str](), set[Node]()
        while pending:
            node = pending.pop()
            other = self._wanted.get(node, path)
            if other != path and other in known:
                found.add(other)
            elif node not in seen:
                seen.add(node)
                pending += node.all_input_nodes
        return found

    def run_node(self, n: Node) -> Any:
        value = super().run_node(n)
        if n in self._wanted and isinstance(value, Tensor) and value.is_floating_point():
            self._found[self._wanted[n]] = value.clone()
        return value


def _seen(node: Node) -> Node:
    """The value that others read of a node's."""
    for prefix in ("quantize", "dequantize"):
        following = [user for user in node.users if operator_name(user).startswith(prefix)]
        if len(following) != 1:
            return node
        (node,) = following
    return node
