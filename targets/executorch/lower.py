"""A captured graph to a ``.pte`` file: ExecuTorch's own compiler, with XNNPACK for all that it takes."""

from pathlib import Path

from torch.export import ExportedProgram
from torch.fx import GraphModule

from ...capture.program import GraphProgram, Program
from ...recipe.precision import Precision
from ...system.errors import CaptureError
from ...system.silence import silence
from ..identity import source
from ..pt2.archive import described
from ..pt2.lean import drop_unused, export_again
from .contents import FACTS
from .patterns import fit


def write(path: Path, program: Program, graph: GraphProgram, precision: Precision) -> None:
    """Writes a file. CaptureError if the program has no int8, or ExecuTorch no form of it."""
    captured = source(graph, precision)
    if captured is None:
        raise CaptureError(f'graph \'{graph.name}\' has no int8 program: set quantize.method to "qat" or "ptq" in the recipe')
    path.write_bytes(lower(graph, captured, described(program, graph, precision)))


def lower(graph: GraphProgram, captured: ExportedProgram, facts: str) -> bytes:
    """The content of a file. Raises CaptureError as ``write`` does."""
    from executorch.backends.xnnpack.partition.xnnpack_partitioner import XnnpackPartitioner
    from executorch.exir import to_edge_transform_and_lower

    with silence(native=True):
        # Registers the operators that int8 programs are made of.
        import torchao.quantization.pt2e  # noqa: F401

        ready = prepared(captured)
        try:
            edge = to_edge_transform_and_lower(ready, partitioner=[XnnpackPartitioner()], constant_methods={FACTS: facts})
            return bytes(edge.to_executorch().buffer)
        except Exception as error:  # it fails with many unrelated classes
            raise CaptureError(f"graph '{graph.name}' has no form in ExecuTorch: {cause(error)}; write that part otherwise") from error


def cause(error: Exception) -> str:
    """What its compiler says, in a line."""
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    return f"{type(error).__name__}: {lines[0] if lines else 'it gives no reason'}"


def prepared(captured: ExportedProgram) -> ExportedProgram:
    """The program without what nobody reads, and of an int8 one in XNNPACK's forms."""
    module: GraphModule = captured.module(check_guards=False)  # pyright: ignore[reportAssignmentType]
    fit(module)
    drop_unused(module)
    return export_again(module)
