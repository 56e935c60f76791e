"""The captured program: what every target emits from."""

from dataclasses import dataclass

import torch
from torch.export import ExportedProgram
from torch.fx import Node

from ..model.graph import Size, TensorSpec

aten = torch.ops.aten
CONVOLUTIONS = {aten.conv1d.default, aten.conv2d.default, aten.conv2d.padding, aten.conv_transpose2d.input}


@dataclass(frozen=True)
class FloatIsland:
    """Part of a graph that stays in float in the int8 program."""

    module_path: str
    operators: tuple[str, ...]
    reason: str


@dataclass(frozen=True)
class GraphProgram:
    """One graph, captured at one size with batch 1.

    Attributes:
        inputs, outputs: in the order of the program's user inputs and outputs; the artifact uses their names.
        float_program: the float reference, exact.
        int8_program: the PT2E-converted program with ``quantized_decomposed`` operators (int8, symmetric, zero points 0,
            weights per output channel stored as int8), or None if the recipe has no int8.
        convolutions: number of convolutions; all of them must run as int8 kernels in an int8 artifact, except those
            inside a float island.
        float_islands: what was left in float and why.
    """

    name: str
    inputs: tuple[TensorSpec, ...]
    outputs: tuple[TensorSpec, ...]
    float_program: ExportedProgram
    int8_program: ExportedProgram | None
    convolutions: int
    int8_convolutions: int
    float_islands: tuple[FloatIsland, ...]


@dataclass(frozen=True)
class Provenance:
    """Where a program comes from: it stands in every artifact's manifest and in the metadata of its model files.

    Attributes:
        author, license, version: of the model, as the recipe says.
        recipe: name of the recipe.
        checkpoint_sha256: of the checkpoint's file; empty for a model without one.
    """

    author: str = ""
    license: str = ""
    version: str = ""
    recipe: str = ""
    checkpoint_sha256: str = ""


@dataclass(frozen=True)
class Program:
    """All graphs of a model at one size. Immutable: a target that needs another form rewrites its own copy."""

    model: str
    size: Size
    graphs: tuple[GraphProgram, ...]
    provenance: Provenance = Provenance()


def module_path(node: Node) -> str:
    """Path of the module that computes a node, e.g. ``decoder.residual.conv1``; empty for the root."""
    stack = node.meta.get("nn_module_stack") or {}
    return list(stack.values())[-1][0] if stack else ""


def operator_name(node: Node) -> str:
    """Short name of a node's operator, e.g. ``conv2d``."""
    return getattr(node.target, "_opname", None) or str(node.target).split(".")[-2 if "." in str(node.target) else -1]


def is_convolution(node: Node) -> bool:
    """Whether a node is a convolution of any kind."""
    return node.op == "call_function" and node.target in CONVOLUTIONS
