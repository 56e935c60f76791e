"""A captured program as a traced module, and such a file opened again."""

import io
import json
import re
from collections import Counter
from pathlib import Path
from typing import Any

import torch

from ...capture.program import GraphProgram, Program
from ...recipe.precision import Precision
from ...system.errors import ArtifactError, CaptureError
from ...system.silence import silence
from ..base import Artifact, Execution
from ..declared import TENSORS, Declared, as_arrays, check_declared
from ..pt2.archive import EXTRA, described, named
from ..pt2.lean import drop_unused
from ..pt2.runner import TorchRunner
from ..runner_checks import check_int8

CONVOLUTIONS = ("aten::conv2d", "aten::conv1d", "aten::conv_transpose2d", "aten::_convolution")
CLASS = "___torch_mangle_"
MANGLED = rf"{CLASS}(\d+)"
# By the writer itself.
WRITTEN = ("version", "byteorder")
PROVIDER = "TorchScript interpreter, CPU"


def write(path: Path, program: Program, graph: GraphProgram) -> None:
    """Traces the float program of a graph. CaptureError if it cannot be traced."""
    module: Any = graph.float_program.module(check_guards=False)
    drop_unused(module)
    examples = tuple(torch.full(spec.shape(program.size), (spec.minimum + spec.maximum) / 2) for spec in graph.inputs)
    buffer = io.BytesIO()
    try:
        with silence(), torch.no_grad():
            traced: Any = torch.jit.trace(module, examples, check_trace=False)
            traced = torch.jit.freeze(traced.eval(), optimize_numerics=False)
            torch._C._jit_pass_erase_shape_information(traced.graph)
            torch.jit.save(traced, buffer, _extra_files={EXTRA: described(program, graph, Precision.FLOAT32)})
    except (RuntimeError, TypeError, ValueError) as error:
        raise CaptureError(f"graph '{graph.name}' has no form in TorchScript: {error}; ship target pt2 instead") from error
    path.write_bytes(_reproducible(buffer.getvalue()))


def _reproducible(content: bytes) -> bytes:
    """The same file without source positions, which hold paths of this machine, and without the number that a process gives its classes."""
    reader = torch._C.PyTorchFileReader(io.BytesIO(content))
    kept = [name for name in reader.get_all_records() if not (name.endswith(".debug_pkl") or name in WRITTEN or name.startswith(".data/"))]
    numbers = sorted({int(number) for name in kept for number in re.findall(MANGLED, name)})

    def renumbered(found: re.Match[str]) -> str:
        return f"{CLASS}{numbers.index(int(found[1]))}"

    buffer = io.BytesIO()
    writer = torch._C.PyTorchFileWriter(buffer)
    for name in kept:
        record = reader.get_record(name)
        if name == "data.pkl" or name.startswith("code/"):
            # One byte a character, whatever the bytes are.
            record = re.sub(MANGLED, renumbered, record.decode("latin-1")).encode("latin-1")
        writer.write_record(re.sub(MANGLED, renumbered, name), record, len(record))
    writer.write_end_of_file()
    return buffer.getvalue()


class ScriptRunner(TorchRunner):
    """A traced module.

    Args:
        path: the ``.pt`` file.
        artifact: that the file belongs to.
        name: of the graph.
        threads: within an operator.

    Raises:
        ArtifactError: PyTorch cannot open the file.
        ExecutionError: the file declares another interface than the manifest, or int8 convolutions are asked for.
    """

    def __init__(self, path: Path, artifact: Artifact, name: str, threads: int) -> None:
        graph = artifact.graph(name)
        super().__init__(graph, artifact.size, threads)
        extra = {EXTRA: ""}
        try:
            with silence():
                module = torch.jit.load(str(path), map_location="cpu", _extra_files=extra)
        except RuntimeError as error:
            raise ArtifactError(f"PyTorch {torch.__version__} cannot open {path}: {error}") from error
        text = extra[EXTRA].decode() if isinstance(extra[EXTRA], bytes) else extra[EXTRA]  # pyright: ignore[reportAttributeAccessIssue]
        check_declared(_declared(text), as_arrays(artifact, graph), path)
        kinds = Counter(node.kind() for node in module.inlined_graph.nodes() if node.kind().startswith("aten::"))
        count = sum(kinds[kind] for kind in CONVOLUTIONS)
        self.execution = Execution(PROVIDER, count, 0, tuple(kinds.most_common()))
        check_int8(
            graph, path, convolutions=count, int8_convolutions=0, floats=(name for name, _ in graph.modules), how="run as int8 kernels"
        )
        self._module = module


def _declared(text: str) -> Declared:
    """The interface of a file. TorchScript itself keeps no shapes: they are those of the facts, which say what was traced."""
    known = json.loads(text) if text else {}
    found = {key: json.loads(known["facts"][key]) if known else [] for key in TENSORS}
    inputs, outputs = ([("float32", tuple(each["shape"])) for each in found[key]] for key in TENSORS)
    return named(text, inputs, outputs)
