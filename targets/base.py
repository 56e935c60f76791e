"""The contract of a target: three verbs (emit, open, availability) and the values that they pass."""

import re
from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import numpy as np

from ..capture.program import Program, Provenance
from ..model.graph import Arrays, Size, TensorSpec
from ..recipe.precision import Precision
from ..system.errors import ExecutionError, InstantStyleError


@dataclass(frozen=True)
class Availability:
    """Whether a target can emit and run on this machine.

    Attributes:
        reason: why not, empty if it can do both.
        remedy: the command that would help, empty if there is none.
        evaluator: what stands in for the runtime where it cannot run, e.g. ``reference evaluator``; empty if nothing does.
    """

    can_emit: bool
    can_run: bool
    reason: str = ""
    remedy: str = ""
    evaluator: str = ""


@dataclass(frozen=True)
class Finding:
    """What a target will not like about a model, found before anything is trained.

    Attributes:
        place: graph and module path, or the key of the recipe.
        problem: what is wrong there.
        remedy: the way out.
    """

    place: str
    problem: str
    remedy: str

    def __str__(self) -> str:
        return f"{self.place}: {self.problem}; {self.remedy}"


@dataclass(frozen=True)
class Divergence:
    """One operation of an artifact's graph beside the node of the captured program that it came from.

    Attributes:
        operation: its name in the artifact.
        operator: the node's, e.g. ``conv2d``.
        module_path: of the module that computes the node.
        snr_db: signal-to-noise ratio of the operation's result; infinite for equality.
        max_abs: largest absolute difference.
        unit: what the artifact counts in here, 1 in most places: the converter may move a factor past a sum.
    """

    operation: str
    operator: str
    module_path: str
    snr_db: float
    max_abs: float
    unit: float = 1.0


@dataclass(frozen=True)
class ArtifactFile:
    """A file of an artifact.

    Attributes:
        path: relative to the artifact's folder, with forward slashes.
        size_bytes: of its content.
        sha256: of its content, in hexadecimal.
    """

    path: str
    size_bytes: int
    sha256: str


@dataclass(frozen=True)
class GraphArtifact:
    """One graph of an artifact. ``file`` is the model file, or folder, that a runner opens; ``int8_convolutions`` is how many of its
    ``convolutions`` must execute as int8 kernels; ``modules`` are the convolutions' names in the captured program, each with the path of
    its module; ``program_sha256`` is that program's fingerprint (``identity.fingerprint``), empty if its target takes none."""

    name: str
    file: str
    inputs: tuple[TensorSpec, ...]
    outputs: tuple[TensorSpec, ...]
    convolutions: int
    int8_convolutions: int
    modules: tuple[tuple[str, str], ...] = ()
    program_sha256: str = ""

    def node_of(self, node: str) -> str:
        """The captured program's name of a convolution in the file, whose own name holds it; empty if nothing tells."""
        names = [name for name, _ in self.modules if re.search(rf"(^|_){name}($|[^0-9_]|_(?![0-9]))", node)]
        return max(names, key=len, default="")

    def module_of(self, node: str) -> str:
        """Path of the module that a convolution in the file comes from; empty if nothing tells."""
        return dict(self.modules).get(self.node_of(node), "")


@dataclass(frozen=True)
class Artifact:
    """What one target emitted in one precision at one size: a folder of files.

    Attributes:
        shipped_bytes: what an app must carry: the model files, not the reports beside them.
        model: name of the model.
        provenance: of the program; what its files' metadata has to say as well.
    """

    target: str
    precision: Precision
    size: Size
    graphs: tuple[GraphArtifact, ...]
    files: tuple[ArtifactFile, ...]
    shipped_bytes: int
    notes: tuple[str, ...] = ()
    model: str = ""
    provenance: Provenance = field(default_factory=Provenance)

    @property
    def name(self) -> str:
        """Identifies the artifact within a bundle, e.g. ``android-int8-512x512``."""
        return f"{self.target}-{self.precision}-{self.size[0]}x{self.size[1]}"

    def graph(self, name: str) -> GraphArtifact:
        """The graph of that name; KeyError if there is none."""
        return {graph.name: graph for graph in self.graphs}[name]


@dataclass(frozen=True)
class Execution:
    """What really executed.

    Attributes:
        provider: e.g. ``CPUExecutionProvider``.
        convolutions: convolutions in the graph that the runtime executes, after its own optimisation.
        int8_convolutions: those of them that are int8 kernels.
        kernels: how many nodes of each kind the runtime executes, e.g. (("QLinearConv", 34), …), most frequent first.
        evaluator: where the runtime cannot run, who computed its results instead and on what it was not executed; empty where it ran.
        by_vendor: whether the evaluator is the vendor's own library, which executed the artifact itself, and refuses to leave any of it to
            other code.
    """

    provider: str
    convolutions: int
    int8_convolutions: int
    kernels: tuple[tuple[str, int], ...] = ()
    evaluator: str = ""
    by_vendor: bool = False


class Runner(ABC):
    """Runs one graph of an artifact; a context manager. Subclasses implement ``_execute`` and ``_free``.

    Args:
        graph: names and specs of its inputs and outputs.
        size: the artifact's, H and W in pixels.

    Attributes:
        execution: what it runs.
        overflow: the first operation of all runs so far that float16 made infinite, as a sentence; empty if none was, or nobody looks.
    """

    execution: Execution
    overflow: str = ""

    def __init__(self, graph: GraphArtifact, size: Size) -> None:
        self._graph, self._size = graph, size
        self._closed = False

    def run(self, inputs: Arrays) -> dict[str, np.ndarray]:
        """Named float32 arrays in the shapes of the graph's specs -> named float32 arrays.

        Raises:
            ExecutionError: the runner was closed, or the runtime failed.
            ValueError: ``inputs`` have other names, shapes or types than the graph's specs.
        """
        if self._closed:
            raise ExecutionError(f"graph '{self._graph.name}': the runner was closed")
        wanted = {spec.name: spec.shape(self._size) for spec in self._graph.inputs}
        given = {name: array.shape for name, array in inputs.items()}
        if given != wanted or any(array.dtype != np.float32 for array in inputs.values()):
            types = ", ".join(sorted({str(array.dtype) for array in inputs.values()}))
            raise ValueError(f"graph '{self._graph.name}' wants float32 arrays {wanted}, got {types} {given}")
        return self._execute(inputs)

    def close(self) -> None:
        """Frees the runtime's memory; a second call does nothing."""
        if not self._closed:
            self._closed = True
            self._free()

    def memory_elsewhere(self) -> int:
        """The highest resident memory in bytes, so far, of another process that runs it, less that before it opened anything; 0 without."""
        return 0

    @abstractmethod
    def _execute(self, inputs: Arrays) -> dict[str, np.ndarray]:
        """What ``run`` gives, from inputs that were checked."""

    @abstractmethod
    def _free(self) -> None:
        """Lets go of the runtime; called once."""

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self.close()


class Target(ABC):
    """A place to deploy to. Subclasses import their heavy packages inside the methods.

    Attributes:
        name: as in recipes, the bundle and the entry point.
        description: one line for ``instantstyle doctor``.
        precisions: what it can emit.
        float32_operators: operators of captured programs whose results stay in float32 where an artifact computes in float16.
        at_best: what it can do on a machine that builds and has all its packages.
    """

    name: str
    description: str
    precisions: Sequence[Precision]
    float32_operators: frozenset[str] = frozenset()
    at_best: Availability = Availability(can_emit=True, can_run=True)

    @abstractmethod
    def availability(self) -> Availability:
        """Whether it can emit and run here; cheap, never raises."""

    def configured(self, options: Mapping[str, Any]) -> "Target":
        """The target with the options of ``[targets.options.<name>]``.

        Raises:
            InstantStyleError: an unknown option or a wrong value; without options of its own, any.
        """
        if options:
            raise InstantStyleError(f"target '{self.name}' has no options, found {', '.join(options)}")
        return self

    @property
    def ships_fastest(self) -> bool:
        """Whether the precision that is measured fastest ships alone."""
        return False

    def computes_half(self, precision: Precision) -> bool:
        """Whether an artifact of that precision computes anything in float16, so that its range matters."""
        return precision is Precision.FLOAT16

    def units(self) -> tuple[str, ...]:
        """The compute units that an artifact is measured on here, by name, the preferred one first; one without a name by default."""
        return ("",)

    def on(self, unit: str) -> "Target":
        """The target whose runners use one of ``units``."""
        return self

    def shown(self, spec: TensorSpec, array: np.ndarray) -> np.ndarray:
        """A graph's output as the target's format carries it, e.g. in 8 bits; what an artifact is compared with goes through it."""
        return array

    def irreproducible(self, files: Sequence[ArtifactFile]) -> Mapping[str, str]:
        """Those of an artifact's files, by path, that the same program gives with other bytes each time, with the reason."""
        return {}

    def preflight(self, program: Program, precisions: Sequence[Precision]) -> tuple[Finding, ...]:
        """What stands in the way of emitting these precisions of a float program. Quick, and before anything is trained."""
        return ()

    def divergence(self, artifact: Artifact, folder: Path, program: Program, graph: str, inputs: Arrays) -> tuple[Divergence, ...]:
        """Operation by operation, how far a graph's results are from those of the program that it was emitted from.

        Raises:
            InstantStyleError: the target cannot look inside its artifacts.
        """
        raise InstantStyleError(f"target '{self.name}' cannot look inside its artifacts")

    def module_times(self, artifact: Artifact, folder: Path, graph: str, *, inputs: Arrays, threads: int) -> Mapping[str, float]:
        """Milliseconds of one run of a graph by module path; empty where the runtime does not tell."""
        return {}

    @abstractmethod
    def emit(self, program: Program, precision: Precision, folder: Path) -> Artifact:
        """Writes the artifact's files into ``folder``, which exists and is empty; the caller makes it atomic.

        Raises:
            TargetUnavailableError: a package is missing.
            CaptureError: the program has something that this target cannot express; names node and module path.
        """

    @abstractmethod
    def open(self, artifact: Artifact, folder: Path, graph: str, threads: int) -> Runner:
        """A runner for one graph of an artifact that ``emit`` wrote into ``folder``.

        Raises:
            TargetUnavailableError: it cannot run on this machine.
            ExecutionError: the runtime would execute something else than was asked for (another provider, fewer int8
                convolutions than ``GraphArtifact.int8_convolutions``), or the file declares another interface than the manifest
                (``declared.check_declared``).
        """
