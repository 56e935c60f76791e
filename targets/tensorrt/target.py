"""Targets ``tensorrt`` and ``tensorrt_rtx``: a folder of engines for each graph, with the ONNX file that they were built from."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from ...capture.program import Program
from ...recipe.precision import Precision
from ...system.errors import TargetUnavailableError
from ...system.hashing import file_sha256
from ..artifact import describe_files, graph_path
from ..base import Artifact, ArtifactFile, Availability, Finding, Runner, Target
from ..convolutions import described
from ..onnx.exporter import PACKAGES as ONNX_PACKAGES
from ..onnx.half import FLOAT32_OPERATORS
from ..onnx.target import RUNTIME, save
from ..packages import install_command, missing_packages, require
from .bindings import TENSORRT, TENSORRT_RTX, Probe, Product, probe
from .options import TensorRTOptions

NO_CUDA = "this PyTorch has no CUDA"
ONNX_FILE = "graph.onnx"
EVALUATOR = "same graph in ONNX Runtime; engine built, not executed: no NVIDIA GPU"


class TensorRTTarget(Target):
    """Engines for the GPU at hand.

    Args:
        options: of the recipe.
    """

    name = "tensorrt"
    description = "TensorRT engines (int8, float16), built and executed on a machine with an NVIDIA GPU"
    precisions = (Precision.INT8, Precision.FLOAT16)
    product: Product = TENSORRT
    float32_operators = FLOAT32_OPERATORS

    def __init__(self, options: TensorRTOptions | None = None) -> None:
        self.options = options or TensorRTOptions()

    @property
    def packages(self) -> tuple[str, ...]:
        """What emitting needs."""
        return (*ONNX_PACKAGES, self.product.module)

    def configured(self, options: Mapping[str, Any]) -> Target:
        return type(self)(TensorRTOptions.parse(options))

    @property
    def ships_fastest(self) -> bool:
        return self.options.precision == "fastest"

    def availability(self) -> Availability:
        missing = missing_packages((*self.packages, RUNTIME))
        if missing:
            can_emit = missing == (RUNTIME,)
            return Availability(can_emit, can_run=False, reason=f"not installed: {', '.join(missing)}", remedy=install_command(missing))
        found = probe(self.product)
        if found.problem:
            return Availability(can_emit=False, can_run=False, reason=found.problem)
        if found.gpu is None and not self.product.ahead_of_time:
            reason = f"{self.product.title} builds engines on the NVIDIA GPU that they are for, and there is none here"
            return Availability(can_emit=False, can_run=False, reason=reason, remedy=f"target {TENSORRT_RTX.target} builds without one")
        if found.gpu is None:
            return Availability(can_emit=True, can_run=False, reason="no NVIDIA GPU or no driver", evaluator=EVALUATOR)
        return self._with_gpu(found)

    def _with_gpu(self, found: Probe) -> Availability:
        import torch

        if torch.cuda.is_available():
            return Availability(can_emit=True, can_run=True)
        return Availability(
            can_emit=True, can_run=False, reason=NO_CUDA, remedy="pip install torch==2.13.0 with CUDA, from PyTorch's own index"
        )

    def computes_half(self, precision: Precision) -> bool:
        return True  # int8 covers convolutions; all the rest is float16

    def irreproducible(self, files: Sequence[ArtifactFile]) -> Mapping[str, str]:
        return {file.path: "TensorRT chooses kernels by timing them" for file in files if file.path.endswith(".engine")}

    def preflight(self, program: Program, precisions: Sequence[Precision]) -> tuple[Finding, ...]:
        self._require()
        from .preflight import findings

        return findings(self.product, program, self.options)

    def emit(self, program: Program, precision: Precision, folder: Path) -> Artifact:
        self._require()
        from .builder import build_engine
        from .engines import name_engine, write_list
        from .flavour import flavoured

        found = probe(self.product)
        graphs, notes, shipped_bytes = [], (), 0
        for graph in program.graphs:
            home = folder / graph.name
            home.mkdir()
            model, asked, graph_notes = flavoured(program, graph, precision)
            save(model, home / ONNX_FILE)
            digest = file_sha256(home / ONNX_FILE)
            engines = [name_engine(self.product, found.version, capability, precision, digest) for capability in self._capabilities(found)]
            for engine in engines:
                capability = engine.capability if self.product.ahead_of_time else None
                build_engine(
                    self.product,
                    home / ONNX_FILE,
                    capability=capability,
                    engine=home / engine.file,
                    workspace_mib=self.options.workspace_mib,
                    graph=graph.name,
                )
            write_list(engines, home)
            graphs.append(described(graph, graph.name, precision, asked))
            # An application carries the engine of one GPU.
            shipped_bytes += max((home / engine.file).stat().st_size for engine in engines)
            notes += graph_notes
        built = ", ".join(map(str, self._capabilities(found)))
        notes += (f"engines for compute capability {built}; they need {self.product.title} {found.version} at run time",)
        in_float = [each for each in self._capabilities(found) if each in self.product.without_int8]
        if precision is Precision.INT8 and in_float:
            listed = ", ".join(map(str, in_float))
            notes += (f"for compute capability {listed}, {self.product.title} computes int8 convolutions in float: ship float16 there",)
        source = (program.model, program.provenance)
        return Artifact(self.name, precision, program.size, tuple(graphs), describe_files(folder), shipped_bytes, notes, *source)

    def _require(self) -> None:
        """Raises TargetUnavailableError if a package is missing. TensorRT is looked for, not imported: it runs in other processes."""
        require(self.name, ONNX_PACKAGES)
        missing = missing_packages((self.product.module,))
        if missing:
            raise TargetUnavailableError(f"target '{self.name}' needs {missing[0]}, not installed here: {install_command(missing)}")

    def _capabilities(self, found: Probe) -> tuple[int, ...]:
        if self.product.ahead_of_time:
            return self.options.capabilities
        if found.gpu is None:
            raise TargetUnavailableError(f"target '{self.name}': no NVIDIA GPU to build an engine on")
        return (found.gpu.capability,)

    def open(self, artifact: Artifact, folder: Path, graph: str, threads: int) -> Runner:
        require(self.name, (*ONNX_PACKAGES, RUNTIME))
        home = graph_path(artifact, folder, graph)
        from ..onnx.half_runner import HalfRunner, check_onnx, take_census
        from .engines import check_engines, choose, read_list

        found, engines = probe(self.product), read_list(home)
        check_onnx(home / ONNX_FILE, artifact, graph)
        check_engines(engines, artifact, home / ONNX_FILE)
        if found.gpu is None:
            return HalfRunner(home / ONNX_FILE, artifact.graph(graph), artifact.size, threads, EVALUATOR)
        from .engine_runner import EngineRunner

        engine = choose(engines, self.product, found.version, found.gpu)
        return EngineRunner(
            home / engine.file, artifact, name=graph, product=self.product, gpu=found.gpu, census=take_census(home / ONNX_FILE)
        )


class TensorRTRTXTarget(TensorRTTarget):
    """Engines for the recipe's compute capabilities, built on any machine."""

    name = "tensorrt_rtx"
    description = "TensorRT for RTX engines (int8, float16), built without a GPU for several of them; executed where there is one"
    product = TENSORRT_RTX
