"""The captured program: what every target emits from."""

from dataclasses import dataclass

from torch.export import ExportedProgram

from ..model.graph import Size, TensorSpec


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
class Program:
    """All graphs of a model at one size. Immutable: a target that needs another form rewrites its own copy."""

    model: str
    size: Size
    graphs: tuple[GraphProgram, ...]
