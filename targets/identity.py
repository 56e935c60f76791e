"""Captured programs by what they compute: equal for equal operators on equal numbers, whatever the bytes of the file that holds them.

``torch.export.save`` writes the same program as other bytes in every process.
"""

from collections.abc import Mapping
from hashlib import sha256
from typing import Any

import torch
from torch.export import ExportedProgram
from torch.fx import Node

from ..capture.program import GraphProgram
from ..recipe.precision import Precision


def source(graph: GraphProgram, precision: Precision) -> ExportedProgram | None:
    """The program that artifacts of a precision are made from; None if there is no int8."""
    return graph.int8_program if precision is Precision.INT8 else graph.float_program


def fingerprint(graph: GraphProgram, precision: Precision) -> str:
    """SHA-256 of what a graph's outputs are made of, weights included; empty if there is no such program."""
    program = source(graph, precision)
    if program is None:
        return ""
    keys = values(program)
    return sha256(repr([_keyed(node.args, keys) for node in program.graph.nodes if node.op == "output"]).encode()).hexdigest()


def values(program: ExportedProgram) -> Mapping[Node, str]:
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
            digest = sha256(content.reshape(-1).view(torch.uint8).numpy().tobytes()).hexdigest()
            found[str(getattr(spec.arg, "name", name))] = f"{content.dtype} {tuple(content.shape)} {digest}"
    return found
