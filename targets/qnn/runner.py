"""Runs one graph on Qualcomm's HTP library and proves what it ran."""

from pathlib import Path

from ...system.errors import ArtifactError, ExecutionError
from ..base import Artifact, Execution
from ..declared import as_arrays, check_declared
from ..onnx.declared import of_session
from ..onnx.half_runner import check_onnx
from ..onnx.runner import SessionRunner
from ..runner_checks import check_int8
from .session import DEFAULT_ARCHITECTURE, QNNError, compile_graph, open_session, version

ONNX_FILE = "graph.onnx"


def context_file(architecture: int) -> str:
    """The name of the file that holds a graph as compiled for an architecture."""
    return f"v{architecture}.onnx"


class QNNRunner(SessionRunner):
    """A session on the file that ships: what was compiled for the first architecture, or the ONNX file where nothing was.

    Args:
        home: the graph's folder.
        artifact: that it belongs to.
        name: of the graph.
        threads: of ONNX Runtime; the library starts its own.
        evaluator: as of ``Execution``.

    Raises:
        ArtifactError: ONNX Runtime cannot open a file.
        ExecutionError: a file declares another interface than the manifest, QNN leaves a node to the CPU, or has fewer int8
            convolutions than asked for.
    """

    def __init__(self, home: Path, artifact: Artifact, name: str, threads: int, evaluator: str) -> None:
        graph = artifact.graph(name)
        super().__init__(graph, artifact.size)
        check_onnx(home / ONNX_FILE, artifact, name)
        contexts = sorted(home.glob("v*.onnx"))
        architecture = int(contexts[0].stem[1:]) if contexts else DEFAULT_ARCHITECTURE
        path = contexts[0] if contexts else home / ONNX_FILE
        try:
            compiled = compile_graph(home / ONNX_FILE, architecture, threads)
            self._session = open_session(path, architecture, threads)
        except QNNError as error:
            raise (ExecutionError if "fallback" in str(error) else ArtifactError)(f"graph '{name}' ({path}): {error}") from error
        check_declared(of_session(self._session), as_arrays(artifact, graph), path)
        convolutions = len(compiled.int8) + len(compiled.floats)
        provider = f"QNN {version()} HTP v{architecture}, emulated on x86"
        self.execution = Execution(provider, convolutions, len(compiled.int8), compiled.kinds, evaluator, by_vendor=True)
        check_int8(
            graph,
            home / ONNX_FILE,
            convolutions=convolutions,
            int8_convolutions=len(compiled.int8),
            floats=compiled.floats,
            how="have 8 bits in QNN's graph",
        )
