"""Target ``triton``: a model repository with the graphs as ONNX files and the ensemble of them."""

import json
import shutil
import subprocess
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from ...capture.program import GraphProgram, Program
from ...recipe.precision import Precision
from ...system.errors import CaptureError
from ..artifact import describe, graph_path
from ..base import Artifact, Availability, Finding, GraphArtifact, Runner, Target
from ..convolutions import described
from ..onnx.exporter import PACKAGES
from ..onnx.target import RUNTIME, availability, build, file_rewrites, save
from ..packages import require
from .config import CONFIG, Step, model_name, of_ensemble, of_graph, tensors
from .options import TritonOptions
from .server import IN_ONNX_RUNTIME, ONNX_BACKEND, PYTHON_BACKEND, REMEDY, SCRIPT, STAND_IN, Installation, installation

CHECK = Path(__file__).with_name("check_config.py")
NO_BACKEND = "the Triton of nvidia-pytriton has no ONNX Runtime backend"
NO_SERVER = "not installed: Triton"
INT8_ALONE = "ONNX Runtime rounds int8 otherwise in a batch, and is no faster with one"
# What Triton wants the folder of, and has nothing in it.
OF_AN_ENSEMBLE = "ensemble.txt"


class TritonTarget(Target):
    """A folder a graph with ``config.pbtxt`` and ``<version>/model.onnx``, and one of the ensemble.

    Args:
        options: of the recipe.
    """

    name = "triton"
    description = "model repository for NVIDIA Triton (float32, int8), served here by the server that nvidia-pytriton brings"
    precisions = (Precision.FLOAT32, Precision.INT8)

    def __init__(self, options: TritonOptions | None = None) -> None:
        self.options = options or TritonOptions()
        if self.options.backend == ONNX_BACKEND:
            self.at_best = Availability(can_emit=True, can_run=False, reason=NO_BACKEND, evaluator=STAND_IN)

    def configured(self, options: Mapping[str, Any]) -> Target:
        return TritonTarget(TritonOptions.parse(options))

    def availability(self) -> Availability:
        found = availability((*PACKAGES, RUNTIME), ())
        if found.reason:
            return replace(found, can_run=False)
        if installation() is None:
            return Availability(can_emit=True, can_run=False, reason=NO_SERVER, remedy=REMEDY, evaluator=IN_ONNX_RUNTIME)
        return self.at_best

    def preflight(self, program: Program, precisions: Sequence[Precision]) -> tuple[Finding, ...]:
        require(self.name, (*PACKAGES, RUNTIME))
        from ..onnx.preflight import findings

        return findings(program)

    def emit(self, program: Program, precision: Precision, folder: Path) -> Artifact:
        require(self.name, (*PACKAGES, RUNTIME))
        graphs, notes = [], ()
        for graph in program.graphs:
            made, graph_notes = self._emit_graph(program, graph, precision, folder)
            graphs.append(made)
            notes += graph_notes
        notes += self._emit_ensemble(program, precision, folder)
        if self.options.backend == PYTHON_BACKEND:
            notes += ("served by the Python backend: its Python needs onnxruntime and numpy",)
        return describe(self.name, program, precision, folder, graphs=graphs, notes=(*notes, _checked(folder)))

    def open(self, artifact: Artifact, folder: Path, graph: str, threads: int) -> Runner:
        require(self.name, (*PACKAGES, RUNTIME))
        from .runner import FileRunner, TritonRunner, model_file

        home = graph_path(artifact, folder, graph)
        if installation() is not None:
            return TritonRunner(home, artifact, graph, threads)
        stand_in = FileRunner(model_file(home), artifact, graph, threads)
        stand_in.execution = replace(stand_in.execution, evaluator=IN_ONNX_RUNTIME)
        return stand_in

    def _emit_graph(
        self, program: Program, graph: GraphProgram, precision: Precision, folder: Path
    ) -> tuple[GraphArtifact, tuple[str, ...]]:
        from ..onnx.rewrites.plain_prelu import plain_prelu
        from .batch import open_batch

        name = model_name(program, precision, graph.name)
        home = folder / name / str(self.options.version)
        home.mkdir(parents=True)
        model, asked, notes = build(program, graph, precision, file_rewrites(graph), float_rewrites=(plain_prelu,))
        if self.options.max_batch_size == 1:
            why_not = "the recipe wants no batches"
        elif precision is Precision.INT8:
            why_not = INT8_ALONE
        else:
            model, why_not = open_batch(model, graph.inputs, program.size)
        save(model, home / "model.onnx")
        if self.options.backend == PYTHON_BACKEND:
            shutil.copyfile(SCRIPT, home / "model.py")
        inputs, outputs = (tensors(specs, program.size, batched=not why_not) for specs in (graph.inputs, graph.outputs))
        text = of_graph(name, inputs, outputs, self.options, batched=not why_not, why_not=why_not)
        (folder / name / CONFIG).write_text(text, encoding="utf-8")
        batches = f"one picture a request, {why_not}" if why_not else f"batches of up to {self.options.max_batch_size} pictures"
        return described(graph, name, precision, asked), (*notes, f"{graph.name}: {batches}")

    def _emit_ensemble(self, program: Program, precision: Precision, folder: Path) -> tuple[str, ...]:
        from .ensemble import wire

        if len(program.graphs) == 1:
            return ()
        found = wire(program.graphs, program.size)
        if isinstance(found, str):
            return (f"no ensemble: {found}",)
        steps = [
            Step(
                model_name(program, precision, graph.name), *(tuple(spec.name for spec in specs) for specs in (graph.inputs, graph.outputs))
            )
            for graph in program.graphs
        ]
        name = model_name(program, precision)
        home = folder / name / str(self.options.version)
        home.mkdir(parents=True)
        # Folders without a file are lost on the way to a registry and back.
        (home / OF_AN_ENSEMBLE).write_text("Triton wants this folder of an ensemble, and nothing in it.\n", encoding="utf-8")
        inputs, outputs = tensors(found.inputs, program.size), tensors(found.outputs, program.size)
        (folder / name / CONFIG).write_text(of_ensemble(name, inputs, outputs, steps), encoding="utf-8")
        return (f"ensemble {name}: tensors of one name in several graphs are one tensor",)


def _checked(folder: Path) -> str:
    """Reads all configurations into Triton's own message, and says so; or that nobody did.

    Raises:
        CaptureError: one is none.
    """
    installed = installation()
    if installed is None:
        return f"configurations not read by Triton's protobuf, which is not installed: {REMEDY}"
    return f"configurations read by the protobuf of tritonclient {read_configs(installed, sorted(folder.glob(f'*/{CONFIG}')))[0]}"


def read_configs(installed: Installation, files: Sequence[Path]) -> tuple[str, list[dict[str, Any]]]:
    """tritonclient's version, and what each configuration holds by Triton's own names. Raises CaptureError for what is none."""
    command = [str(installed.interpreter), str(CHECK), *map(str, files)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode:
        last = (done.stderr.strip().splitlines() or ["it does not say why"])[-1]
        raise CaptureError(f"tritonclient refuses a configuration: {last}")
    answer = json.loads(done.stdout)
    return answer["version"], answer["configurations"]
