"""A captured graph as an ONNX model that QNN takes whole, and as what its compiler makes of that for one architecture."""

import tempfile
from pathlib import Path
from typing import TYPE_CHECKING

from ...capture.program import GraphProgram, Program
from ...recipe.precision import Precision
from ...system.errors import CaptureError
from ..convolutions import advice, convolutions, repeated_note
from ..onnx.exporter import module_paths, stamp, to_onnx
from ..onnx.target import build, portable_rewrites, save
from .session import QNNError, left_to_cpu, open_session

if TYPE_CHECKING:
    import onnx


def convert(program: Program, graph: GraphProgram, precision: Precision) -> tuple["onnx.ModelProto", int, tuple[str, ...]]:
    """One graph; how many of its convolutions must run in int8; notes for the artifact.

    HTP computes in float16 what is not quantised. Norms are left as they are: counted from their first pixel, as ONNX Runtime wants
    them, they hold a slice that QNN refuses.

    Raises:
        CaptureError: the graph has no form in ONNX.
    """
    from ..onnx.rewrites.apply import apply, summary
    from ..onnx.rewrites.keep_cubic_layout import keep_cubic_layout
    from ..onnx.rewrites.plain_prelu import plain_prelu
    from ..onnx.rewrites.scale_products import scale_products
    from ..onnx.rewrites.store_half import store_half

    if precision is Precision.INT8:
        model, _, notes = build(program, graph, precision, (plain_prelu, *portable_rewrites(graph), scale_products, store_half))
        asked = sum(each.int8 for each in convolutions(graph, precision))
        return model, asked, tuple(note for note in notes if "ONNX Runtime" not in note)
    model, changes = apply(to_onnx(graph, Precision.FLOAT32, program.size), (keep_cubic_layout, plain_prelu, store_half))
    stamp(model, program, graph, precision)
    return model, 0, (*repeated_note(graph, convolutions(graph, precision)), f"{graph.name}: {summary(changes)}")


def write_context(source: Path, path: Path, program: Program, graph: GraphProgram, *, precision: Precision, architecture: int) -> None:
    """Compiles an ONNX file for an architecture and loads the result; writes it with the facts that the ONNX file has.

    Raises:
        CaptureError: QNN leaves nodes to the CPU, or cannot compile or load the graph; names modules.
    """
    import onnx

    with tempfile.TemporaryDirectory(prefix="instantstyle-") as folder:
        compiled = Path(folder) / path.name
        try:
            # Under a name without a folder, or the file that is written would keep the path.
            open_session(source, architecture, 1, context=compiled)
            model = onnx.load(compiled)
            stamp(model, program, graph, precision)
            save(model, path)
            open_session(path, architecture, 1)
        except QNNError as error:
            raise CaptureError(_refusal(source, program, graph, error, precision=precision, architecture=architecture)) from error


def check_taken(source: Path, program: Program, graph: GraphProgram, precision: Precision, architecture: int) -> None:
    """Raises CaptureError, with modules, unless QNN takes a whole ONNX file."""
    try:
        open_session(source, architecture, 1)
    except QNNError as error:
        raise CaptureError(_refusal(source, program, graph, error, precision=precision, architecture=architecture)) from error


def _refusal(source: Path, program: Program, graph: GraphProgram, error: QNNError, *, precision: Precision, architecture: int) -> str:
    where = f"graph '{graph.name}' for HTP v{architecture}"
    try:
        left = left_to_cpu(source.read_bytes(), architecture)
    except QNNError:
        left = ()
    if not left:
        return f"{where}: QNN cannot compile it: {error}; ship another target"
    paths = module_paths(graph, Precision.INT8 if precision is Precision.INT8 else Precision.FLOAT32, program.size)
    listed = ", ".join(f"{operator} '{name}'" + (f" of '{paths[name]}'" if paths.get(name) else "") for name, operator in left)
    return f"{where}: QNN leaves to the CPU {listed}; {advice(paths.get(name, '') for name, _ in left)}"
