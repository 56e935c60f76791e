"""An archive on disk: the program, and beside it in the same file what its tensors are called and where it comes from."""

import io
import json
from pathlib import Path

import torch
from torch.export import ExportedProgram

from ...capture.program import GraphProgram, Program
from ...recipe.precision import Precision
from ...system.errors import ArtifactError
from ...system.silence import silence
from ..declared import Declared, Tensor, facts

EXTRA = "instantstyle.json"


def write(path: Path, program: Program, graph: GraphProgram, precision: Precision, content: ExportedProgram) -> None:
    """Writes a file."""
    extra = {EXTRA: described(program, graph, precision)}
    # Through memory: on a full disk the writer of torch.export aborts the process.
    buffer = io.BytesIO()
    with silence():
        torch.export.save(content, buffer, extra_files=extra)
    path.write_bytes(buffer.getvalue())


def read(path: Path) -> tuple[ExportedProgram, Declared]:
    """The program and the interface of a file. ArtifactError if PyTorch cannot open it."""
    extra = {EXTRA: ""}
    try:
        with silence():
            # Registers the operators that int8 programs are made of.
            import torchao.quantization.pt2e  # noqa: F401

            program = torch.export.load(path, extra_files=extra)
    except Exception as error:  # it fails with many unrelated classes
        raise ArtifactError(f"PyTorch {torch.__version__} cannot open {path}: {type(error).__name__}: {error}") from error
    signature = program.graph_signature
    nodes = {node.name: node.meta["val"] for node in program.graph.nodes if "val" in node.meta}
    shapes = [[_tensor(nodes[name]) for name in names] for names in (signature.user_inputs, signature.user_outputs)]
    return program, named(extra[EXTRA], *shapes)


def described(program: Program, graph: GraphProgram, precision: Precision) -> str:
    """Names of inputs and outputs, which PyTorch's formats do not keep, and the facts."""
    names = {"inputs": [spec.name for spec in graph.inputs], "outputs": [spec.name for spec in graph.outputs]}
    return json.dumps({"names": names, "facts": facts(program, graph, precision, program.size)}, indent=1)


def named(extra: str, inputs: list[tuple[str, tuple[int, ...]]], outputs: list[tuple[str, tuple[int, ...]]]) -> Declared:
    """The interface of what has types and shapes, with the names that stand beside it."""
    known = json.loads(extra) if extra else {"names": {"inputs": [], "outputs": []}, "facts": {}}

    def tensors(kind: str, found: list[tuple[str, tuple[int, ...]]]) -> tuple[Tensor, ...]:
        names = known["names"][kind] + [f"{kind[:-1]}{place}" for place in range(len(known["names"][kind]), len(found))]
        return tuple(Tensor(name, dtype, shape) for name, (dtype, shape) in zip(names, found, strict=False))

    return Declared(tensors("inputs", inputs), tensors("outputs", outputs), known["facts"])


def _tensor(value: torch.Tensor) -> tuple[str, tuple[int, ...]]:
    return str(value.dtype).removeprefix("torch."), tuple(map(int, value.shape))
