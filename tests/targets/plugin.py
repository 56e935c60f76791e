"""Installs small packages with entry points, as ``pip`` would leave them."""

from pathlib import Path

TARGET_MODULE = '''
"""A third party's target: saves the float program as it is and runs it with PyTorch."""

import importlib.util
import json

import torch

from instantstyle.system.errors import ExecutionError, TargetUnavailableError
from instantstyle.targets.artifact import describe_files, graph_path
from instantstyle.targets.base import Artifact, Availability, Execution, GraphArtifact, Precision, Runner, Target
from instantstyle.targets.declared import Declared, Tensor, as_arrays, check_declared, facts
from instantstyle.targets.identity import fingerprint

FACTS = "facts.json"


class TinyRunner(Runner):
    def __init__(self, path, artifact, name):
        graph = artifact.graph(name)
        extra = {FACTS: ""}
        super().__init__(graph, artifact.size)
        self.program = torch.export.load(path, extra_files=extra)
        found = json.loads(extra[FACTS])
        tensors = (json.loads(found[key]) for key in ("inputs", "outputs"))
        arrays = (tuple(Tensor(each["name"], "float32", tuple(each["shape"])) for each in rows) for rows in tensors)
        check_declared(Declared(*arrays, found), as_arrays(artifact, graph), path)
        convolutions = sum("convolution" in str(node.target) or "conv2d" in str(node.target) for node in self.program.graph.nodes)
        self.execution = Execution("pytorch", convolutions, 0)
        if graph.int8_convolutions:
            raise ExecutionError(f"graph '{graph.name}': 0 of {graph.int8_convolutions} convolutions run in int8")

    def _execute(self, inputs):
        with torch.no_grad():
            output = self.program.module(check_guards=False)(*(torch.from_numpy(inputs[spec.name]) for spec in self._graph.inputs))
        return {self._graph.outputs[0].name: output.numpy()}

    def _free(self):
        del self.program


class TinyTarget(Target):
    name = "tiny"
    description = "PyTorch, for tests"
    precisions = (Precision.FLOAT32,)

    def availability(self):
        if importlib.util.find_spec("tiny_runtime") is None:
            return Availability(False, False, "tiny_runtime is not installed", "pip install tiny-runtime")
        return Availability(True, True)

    def emit(self, program, precision, folder):
        availability = self.availability()
        if availability.reason:
            raise TargetUnavailableError(f"target 'tiny': {availability.reason}: {availability.remedy}")
        for graph in program.graphs:
            told = {FACTS: json.dumps(facts(program, graph, precision, program.size))}
            torch.export.save(graph.float_program, folder / f"{graph.name}.pt2", extra_files=told)
        graphs = tuple(
            GraphArtifact(g.name, f"{g.name}.pt2", g.inputs, g.outputs, g.convolutions, 0, (), fingerprint(g, precision))
            for g in program.graphs
        )
        files = describe_files(folder)
        shipped_bytes = sum(file.size_bytes for file in files)
        return Artifact(self.name, precision, program.size, graphs, files, shipped_bytes, (), program.model, program.provenance)

    def open(self, artifact, folder, graph, threads):
        return TinyRunner(graph_path(artifact, folder, graph), artifact, graph)
'''


def install(site: Path, package: str, modules: dict[str, str], entry_points: dict[str, str]) -> None:
    """Writes modules and a ``.dist-info`` with entry points of the group ``instantstyle.targets`` into a folder of ``sys.path``."""
    for module, source in modules.items():
        (site / f"{module}.py").write_text(source)
    info = site / f"{package.replace('-', '_')}-1.0.dist-info"
    info.mkdir()
    (info / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {package}\nVersion: 1.0\n")
    lines = [f"{name} = {value}" for name, value in entry_points.items()]
    (info / "entry_points.txt").write_text("\n".join(["[instantstyle.targets]", *lines]) + "\n")
