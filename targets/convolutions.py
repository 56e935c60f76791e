"""The convolutions that a captured program really needs: those whose result is read, equal ones once.

Runtimes and simplifiers compute equal calls once (the same layer twice on the same tensor) and leave out what nobody reads. So these are
what an artifact is asked for, not the number of calls.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from hashlib import sha256
from typing import Any

import torch
from torch.export import ExportedProgram
from torch.fx import Node

from ..export.program import GraphProgram, module_path
from .base import GraphArtifact, Precision

# torch.export's names of all kinds; of what PT2E makes, a quantised one reads dequantised values.
CONVOLUTION, DEQUANTIZE = "conv", "dequantize"


@dataclass(frozen=True)
class Convolution:
    """One convolution, or several equal ones.

    Attributes:
        names: of its nodes in the captured program.
        module_path: of the module that computes the first of them.
        int8: whether its weight and its input are dequantised integers.
    """

    names: tuple[str, ...]
    module_path: str
    int8: bool


def convolutions(graph: GraphProgram, precision: Precision) -> tuple[Convolution, ...]:
    """Of the program that artifacts of that precision are made from, in the order of execution."""
    program = graph.int8_program if precision is Precision.INT8 else graph.float_program
    if program is None:
        return ()
    live, keys = _live(program), _values(program)
    found: dict[str, list[Node]] = {}
    for node in program.graph.nodes:
        if node in live and _is_convolution(node):
            found.setdefault(keys[node], []).append(node)
    return tuple(Convolution(tuple(node.name for node in nodes), module_path(nodes[0]), _is_int8(nodes[0])) for nodes in found.values())


def described(graph: GraphProgram, file: str, precision: Precision, asked: int) -> GraphArtifact:
    """A graph in its artifact."""
    found = convolutions(graph, precision)
    modules = tuple((name, each.module_path) for each in found for name in each.names)
    return GraphArtifact(graph.name, file, graph.inputs, graph.outputs, len(found), asked, modules)


def repeated_note(graph: GraphProgram, found: Sequence[Convolution]) -> tuple[str, ...]:
    """A note for the artifact where the program has more calls than convolutions."""
    twice = [f"'{each.module_path}'" for each in found if len(each.names) > 1]
    return (f"{graph.name}: equal calls of {', '.join(twice)} are computed once",) if twice else ()


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


def _values(program: ExportedProgram) -> Mapping[Node, str]:
    """A key for the value of each node: equal for equal operators on equal values, and for parameters of equal content."""
    tensors = _tensors(program)
    keys: dict[Node, str] = {}
    for node in program.graph.nodes:
        if node.op != "call_function":
            keys[node] = tensors.get(node.name, f"{node.op} {node.name}")
            continue
        text = repr((str(node.target), _keyed(node.args, keys), _keyed(node.kwargs, keys)))
        keys[node] = sha256(text.encode()).hexdigest()
    return keys


def _keyed(value: Any, keys: Mapping[Node, str]) -> Any:
    if isinstance(value, Node):
        return keys[value]
    if isinstance(value, dict):
        return {name: _keyed(part, keys) for name, part in value.items()}
    return [_keyed(part, keys) for part in value] if isinstance(value, (list, tuple)) else value


def _tensors(program: ExportedProgram) -> dict[str, str]:
    """Hashes of the content of parameters, buffers and constants, by the name of their placeholder."""
    found: dict[str, str] = {}
    for spec in program.graph_signature.input_specs:
        name = spec.target
        value = program.state_dict.get(name) if name is not None else None
        value = program.constants.get(name) if value is None and name is not None else value
        if isinstance(value, torch.Tensor):
            content = value.detach().contiguous().cpu()
            digest = sha256(content.numpy().tobytes()).hexdigest()
            found[str(getattr(spec.arg, "name", name))] = f"{content.dtype} {tuple(content.shape)} {digest}"
    return found
