"""Where runtimes disagree about one int8 program: quantisation levels between each runtime's tensor and what PyTorch makes of its inputs.

The program is given an output for each of its quantised tensors, and every runtime emits and runs that. Each tensor is then compared with
PyTorch's result on the same runtime's own inputs, so that what one module rounds otherwise is not counted again in all that follow.
Integer arithmetic on the program's grid stays within half a level, on a grid of half steps within a quarter.
"""

import tempfile
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import torch
from torch.fx import GraphModule, Interpreter, Node
from torch.fx.graph import CodeGen

from instantstyle.capture.program import GraphProgram, Program, module_path, operator_name
from instantstyle.model.graph import Arrays, TensorKind, TensorSpec
from instantstyle.recipe.precision import Precision
from instantstyle.system.errors import InstantStyleError
from instantstyle.targets.base import Target

QUANTIZE, DEQUANTIZE = "quantize_per_tensor", "dequantize_per_tensor"
# What runtimes that promise integer arithmetic may differ by.
LIMIT_LEVELS = 1.0
# Of float32 numbers that stand for integers.
TOLERANCE = 1e-3


@dataclass(frozen=True)
class Disagreement:
    """One quantised tensor of one runtime.

    Attributes:
        module_path: of the module that computes it.
        levels: largest difference in levels of the program's grid.
        share: of the numbers that differ by more than half a level.
    """

    runtime: str
    tensor: str
    module_path: str
    levels: float
    share: float


@dataclass(frozen=True)
class Tapped:
    """A program of one graph whose outputs are its own and its quantised tensors; ``taps`` are the quantisers by the outputs' names."""

    program: Program
    graph: GraphProgram
    module: GraphModule
    taps: Mapping[str, Node]


def tapped(program: Program, name: str) -> Tapped:
    """A graph of a program with all its quantised feature maps and vectors as outputs.

    Raises:
        InstantStyleError: the graph has no int8 program.
    """
    graph = next(each for each in program.graphs if each.name == name)
    if graph.int8_program is None:
        raise InstantStyleError(f"graph '{name}' has no int8 program")
    module: Any = graph.int8_program.module(check_guards=False)
    taps = {f"tap_{index}": node for index, node in enumerate(filter(_is_tap, module.graph.nodes))}
    shown: Any = graph.int8_program.module(check_guards=False)
    nodes = {node.name: node for node in shown.graph.nodes}
    (output,) = (node for node in shown.graph.nodes if node.op == "output")
    results = output.args[0] if isinstance(output.args[0], (list, tuple)) else (output.args[0],)
    output.args = ((*results, *(_reader(nodes[node.name]) for node in taps.values())),)
    # Its pytree knows the old outputs alone.
    shown.graph._codegen = CodeGen()
    shown.recompile()
    examples = tuple(torch.zeros(spec.shape(program.size)) for spec in graph.inputs)
    with torch.no_grad():
        exported = torch.export.export(shown, examples, strict=False)
    specs = tuple(_spec(key, node) for key, node in taps.items())
    whole = replace(graph, int8_program=exported, outputs=(*graph.outputs, *specs))
    return Tapped(replace(program, graphs=(whole,)), whole, module, taps)


def disagreements(tap: Tapped, target: Target, inputs: Arrays) -> tuple[Disagreement, ...]:
    """Of one runtime, in the order of execution.

    Raises:
        InstantStyleError: the target cannot emit or run the program.
    """
    with tempfile.TemporaryDirectory(prefix="instantstyle-") as folder:
        artifact = target.emit(tap.program, Precision.INT8, Path(folder))
        with target.open(artifact, Path(folder), tap.graph.name, 1) as runner:
            found = runner.run(inputs)
    given = [torch.from_numpy(inputs[spec.name]) for spec in tap.graph.inputs]
    return compared(tap, target.name, found, given)


def compared(tap: Tapped, runtime: str, found: Arrays, given: list[torch.Tensor]) -> tuple[Disagreement, ...]:
    """A runtime's tensors, by the names of the outputs, beside PyTorch's of the same inputs."""
    judge = _Judge(tap.module, {node: torch.from_numpy(found[key]) for key, node in tap.taps.items()})
    with torch.no_grad():
        judge.run(*given)
    rows = []
    for key, node in tap.taps.items():
        difference = judge.levels[node]
        share = float((difference > 0.5 + 1e-3).float().mean())
        rows.append(Disagreement(runtime, key, _path(node), float(difference.max()), share))
    return tuple(rows)


class _Judge(Interpreter):
    """Runs the program, but goes on with the runtime's tensors instead of its own."""

    def __init__(self, module: GraphModule, theirs: Mapping[Node, torch.Tensor]) -> None:
        super().__init__(module)
        self._theirs = theirs
        self.levels: dict[Node, torch.Tensor] = {}

    def run_node(self, n: Node) -> Any:
        source = n.all_input_nodes[0] if n.all_input_nodes else None
        if n in self._theirs and source is not None:
            scale, low, high = float(n.args[1]), int(n.args[3]), int(n.args[4])  # type: ignore[arg-type]
            # The upper end of a grid of half steps is half a level higher.
            theirs, ours = self._theirs[n] / scale, self.env[source] / scale
            self.levels[n] = (theirs - torch.maximum(torch.minimum(ours, torch.clamp(theirs, min=high)), torch.tensor(float(low)))).abs()
        if source is not None and source in self._theirs:
            return self._theirs[source]
        return super().run_node(n)


def _is_tap(node: Node) -> bool:
    value = node.meta.get("val")
    return _is(node, QUANTIZE) and isinstance(value, torch.Tensor) and value.dim() in (2, 4) and value.shape[0] == 1


def _is(node: Node, name: str) -> bool:
    return node.op == "call_function" and str(node.target) == f"quantized_decomposed.{name}.default"


def _reader(node: Node) -> Node:
    return next(user for user in node.users if _is(user, DEQUANTIZE))


def _spec(name: str, node: Node) -> TensorSpec:
    shape, reach = tuple(map(int, node.meta["val"].shape)), float(node.args[1]) * 128  # type: ignore[arg-type]
    if len(shape) == 2:
        return TensorSpec(name, TensorKind.VECTOR, shape[1], -reach, reach)
    return TensorSpec(name, TensorKind.IMAGE, shape[1], -reach, reach, fixed_size=(shape[2], shape[3]))


def _path(node: Node) -> str:
    """Of the module that a tensor comes from, and its operator where several of a module's are quantised; or an input's name."""
    while _is(node, QUANTIZE) or _is(node, DEQUANTIZE):
        node = node.all_input_nodes[0]
    layer = node
    # A ReLU behind a layer is part of it.
    while layer.all_input_nodes and operator_name(layer) == "relu":
        layer = layer.all_input_nodes[0]
    return module_path(layer) or layer.name


def as_markdown(rows: Mapping[str, tuple[Disagreement, ...]]) -> str:
    """One line a tensor, a column a runtime; bold beyond the limit."""
    names = list(rows)
    lines = [f"| module | tensor | {' | '.join(names)} |", "|---" * (len(names) + 2) + "|"]
    for each in zip(*rows.values(), strict=True):
        cells = [f"**{one.levels:.2f}**" if one.levels > LIMIT_LEVELS + TOLERANCE else f"{one.levels:.2f}" for one in each]
        lines.append(f"| `{each[0].module_path}` | {each[0].tensor} | {' | '.join(cells)} |")
    return "\n".join(lines)


def worst(rows: tuple[Disagreement, ...]) -> Disagreement:
    """The tensor that differs most."""
    return max(rows, key=lambda row: row.levels)
