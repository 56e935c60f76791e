"""The convolutions that a captured program really needs: those whose result is read, equal ones once.

Runtimes and simplifiers compute equal calls once (the same layer twice on the same tensor) and leave out what nobody reads. So these are
what an artifact is asked for, not the number of calls.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import torch
from torch.export import ExportedProgram
from torch.fx import Node

from ..capture.program import GraphProgram, module_path
from ..recipe.precision import Precision
from .base import GraphArtifact
from .identity import fingerprint, source, values

# torch.export's names of all kinds; of what PT2E makes, a quantised one reads dequantised values.
CONVOLUTION, DEQUANTIZE = "conv", "dequantize"


@dataclass(frozen=True)
class Convolution:
    """One convolution, or several equal ones.

    Attributes:
        names: of its nodes in the captured program.
        module_path: of the module that computes the first of them.
        int8: whether its weight and its input are dequantised integers.
        grouped_transposed: whether it is a transposed one with groups.
    """

    names: tuple[str, ...]
    module_path: str
    int8: bool
    grouped_transposed: bool = False


def convolutions(graph: GraphProgram, precision: Precision) -> tuple[Convolution, ...]:
    """Of the program that artifacts of that precision are made from, in the order of execution."""
    program = source(graph, precision)
    if program is None:
        return ()
    live, keys = _live(program), values(program)
    found: dict[str, list[Node]] = {}
    for node in program.graph.nodes:
        if node in live and _is_convolution(node):
            found.setdefault(keys[node], []).append(node)
    return tuple(
        Convolution(tuple(node.name for node in nodes), module_path(nodes[0]), _is_int8(nodes[0]), _is_grouped_transposed(nodes[0]))
        for nodes in found.values()
    )


def described(graph: GraphProgram, file: str, precision: Precision, asked: int) -> GraphArtifact:
    """A graph in its artifact."""
    found = convolutions(graph, precision)
    modules = tuple((name, each.module_path) for each in found for name in each.names)
    return GraphArtifact(graph.name, file, graph.inputs, graph.outputs, len(found), asked, modules, fingerprint(graph, precision))


def repeated_note(graph: GraphProgram, found: Sequence[Convolution]) -> tuple[str, ...]:
    """A note for the artifact where the program has more calls than convolutions."""
    twice = [f"'{each.module_path}'" for each in found if len(each.names) > 1]
    return (f"{graph.name}: equal calls of {', '.join(twice)} are computed once",) if twice else ()


def asked_of(graph: GraphProgram, precision: Precision, runtime: str) -> tuple[int, tuple[str, ...]]:
    """How many convolutions must run in int8 where transposed ones with groups cannot, and a note that names these.

    Args:
        runtime: that has no int8 kernel for them.
    """
    int8 = [each for each in convolutions(graph, precision) if each.int8]
    left = [f"'{each.module_path or each.names[0]}'" for each in int8 if each.grouped_transposed]
    note = f"{graph.name}: {', '.join(left)} in float, {runtime} has no int8 kernel for transposed convolutions with groups"
    return len(int8) - len(left), (note,) if left else ()


def missing(found: Iterable[Convolution], names: Iterable[str]) -> tuple[Convolution, ...]:
    """The int8 convolutions that have no node of their name in a converted graph, where converters add something before or behind."""
    known = {plain_name(name) for name in names}
    return tuple(each for each in found if each.int8 and not known & set(each.names))


def plain_name(name: str) -> str:
    """The captured program's name of a node, of what the ONNX exporter and coremltools make of it."""
    return name.removeprefix("node_").removesuffix("_cast_fp16")


def advice(modules: Iterable[str]) -> str:
    """What to do about convolutions that do not become int8."""
    listed = ", ".join(f'"{path}"' for path in dict.fromkeys(modules) if path)
    keep = f"keep them in float with quantize.keep_float = [{listed}]" if listed else "keep them in float with quantize.keep_float"
    return f"building it again changes nothing: {keep}, or ship another precision"


def _is_convolution(node: Node) -> bool:
    name = getattr(node.target, "_opname", "")
    return node.op == "call_function" and name.startswith(CONVOLUTION) and isinstance(node.target, torch._ops.OpOverload)


def _is_grouped_transposed(node: Node) -> bool:
    arguments = node.target._schema.arguments if isinstance(node.target, torch._ops.OpOverload) else ()
    place = next((index for index, each in enumerate(arguments) if each.name == "groups"), len(node.args))
    groups = node.args[place] if place < len(node.args) else node.kwargs.get("groups", 1)
    return "transpose" in str(node.target) and isinstance(groups, int) and groups > 1


def _is_int8(node: Node) -> bool:
    sources = [argument for argument in node.args[:2] if isinstance(argument, Node)]
    return len(sources) == 2 and all(DEQUANTIZE in str(source.target) for source in sources)


def _live(program: ExportedProgram) -> set[Node]:
    """What the program's outputs are made of."""
    waiting = [node for node in program.graph.nodes if node.op == "output"]
    live: set[Node] = set()
    while waiting:
        node = waiting.pop()
        if node not in live:
            live.add(node)
            waiting += node.all_input_nodes
    return live
