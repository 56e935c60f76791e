"""Pruned models as checkpoints: what factories load in their own widths, with what was removed in the metadata."""

import copy
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from types import MappingProxyType
from typing import Annotated

import torch
from pydantic import Field, TypeAdapter, ValidationError
from torch import Tensor

from ...model.checkpoint import PRUNED, load_tensors, read_metadata, read_tensors, save_tensors
from ...model.graph import Model
from ...model.resize import resize
from ...system.errors import CheckpointError
from .prune import Pruned

ROWS = TypeAdapter(tuple[Pruned, ...])
HalfRanges = Mapping[str, Mapping[str, float]]
LEARNT = TypeAdapter(dict[str, dict[str, Annotated[float, Field(gt=0, allow_inf_nan=False)]]])
RANGES = "learnt_ranges"  # in the metadata


def write_pruned(
    model: Model,
    rows: tuple[Pruned, ...],
    *,
    path: Path,
    bare: bool,
    metadata: Mapping[str, str],
    half: bool = False,
    learnt: HalfRanges = MappingProxyType({}),
) -> None:
    """Writes the tensors of all graphs, atomically.

    Args:
        bare: tensors are named as in the only graph's module, else ``<graph>.<name in the graph's module>``.
        metadata: of the checkpoint that was pruned.
        half: matrices as float16.
        learnt: half ranges of activations that were learnt with the weights, by graph and tensor.
    """
    tensors: dict[str, Tensor] = {}
    for graph in model.graphs:
        prefix = "" if bare else f"{graph.name}."
        # Each of its own memory: safetensors refuses what layers share.
        tensors |= {f"{prefix}{name}": value.clone() for name, value in graph.module.state_dict().items()}
    ranges = {RANGES: LEARNT.dump_json({graph: dict(each) for graph, each in learnt.items()}).decode()} if learnt else {}
    save_tensors(tensors, path, {**metadata, PRUNED: ROWS.dump_json(rows).decode(), **ranges}, half)


def read_learnt(path: Path) -> dict[str, dict[str, float]]:
    """Half ranges that were learnt with the weights, by graph and tensor; none where none were.

    Raises:
        CheckpointError: they are no ranges.
    """
    text = read_metadata(path).get(RANGES)
    try:
        return LEARNT.validate_json(text) if text else {}
    except ValidationError as error:
        wrong = error.errors()[0]
        where = ".".join((RANGES, *map(str, wrong["loc"])))
        raise CheckpointError(f"checkpoint {path}: its metadata has ranges that cannot be used: {where}: {wrong['msg']}") from None


def read_pruned(model: Model, path: Path, bare: bool) -> tuple[Model, tuple[Pruned, ...]]:
    """The pruned model, and what was removed. Graphs that were left whole are those of ``model``, bit for bit.

    Raises:
        CheckpointError: missing, truncated, not pruned, or not of this model.
    """
    tensors = read_tensors(path)
    try:
        rows = ROWS.validate_json(read_metadata(path).get(PRUNED, ""))
    except ValidationError:
        raise CheckpointError(
            f"checkpoint {path}: its metadata does not say what was pruned; was it written by instantstyle prune?"
        ) from None
    graphs = []
    for graph in model.graphs:
        prefix = "" if bare else f"{graph.name}."
        own = {name.removeprefix(prefix): value for name, value in tensors.items() if name.startswith(prefix)}
        state = graph.module.state_dict()
        if state.keys() == own.keys() and all(torch.equal(state[name], value) for name, value in own.items()):
            graphs.append(graph)
            continue
        module = copy.deepcopy(graph.module)
        resize(module, {name: value.shape for name, value in own.items()})
        load_tensors(module, own, path)
        graphs.append(replace(graph, module=module.eval()))
    return replace(model, graphs=tuple(graphs)), rows
