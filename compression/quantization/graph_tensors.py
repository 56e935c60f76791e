"""Tensors of several graphs in one safetensors file, by the name of the graph and their own."""

from collections.abc import Mapping
from pathlib import Path

from safetensors.torch import save
from torch import Tensor

from ...model.checkpoint import read_tensors
from ...system.disk import atomic_write


def write_graph_tensors(tensors: Mapping[str, Mapping[str, Tensor]], path: Path) -> None:
    """Writes them, atomically; in the file, ``encoder``'s ``conv.weight`` is ``encoder.conv.weight``."""
    named = {f"{graph}.{name}": value.detach().contiguous() for graph, own in tensors.items() for name, value in own.items()}
    atomic_write(path, save(named))


def read_graph_tensors(path: Path) -> dict[str, dict[str, Tensor]]:
    """What ``write_graph_tensors`` wrote."""
    tensors: dict[str, dict[str, Tensor]] = {}
    for key, value in read_tensors(path).items():
        graph, _, name = key.partition(".")
        tensors.setdefault(graph, {})[name] = value
    return tensors
