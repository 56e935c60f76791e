"""How a file shows a graph: images in (N, H, W, C), all else as in the program; float32 in and out."""

from typing import Any

import numpy as np

from ...model.graph import TensorKind, TensorSpec
from ..base import Artifact, GraphArtifact
from ..declared import Declared, Tensor, as_arrays
from .graph import CHANNELS_LAST

FACTS = "instantstyle."


def wanted(artifact: Artifact, graph: GraphArtifact) -> Declared:
    """What a graph's file must declare."""
    plain = as_arrays(artifact, graph)
    return Declared(_shown(graph.inputs, plain.inputs), _shown(graph.outputs, plain.outputs), plain.facts)


def _shown(specs: tuple[TensorSpec, ...], tensors: tuple[Tensor, ...]) -> tuple[Tensor, ...]:
    return tuple(
        Tensor(each.name, each.dtype, tuple(each.shape[axis] for axis in CHANNELS_LAST)) if spec.kind is TensorKind.IMAGE else each
        for spec, each in zip(specs, tensors, strict=True)
    )


def to_file(array: np.ndarray) -> np.ndarray:
    """A graph's value as the file takes it."""
    return np.ascontiguousarray(array.transpose(CHANNELS_LAST)) if array.ndim == 4 else array


def from_file(array: np.ndarray) -> np.ndarray:
    """The inverse."""
    return np.ascontiguousarray(array.transpose(0, 3, 1, 2)) if array.ndim == 4 else array


def declared(content: bytes) -> Declared:
    """The interface of a file, in the order of its inputs and outputs, under the names of its signature."""
    from ai_edge_litert import schema_py_generated

    schema: Any = schema_py_generated
    model = schema.Model.GetRootAs(content, 0)
    graph = model.Subgraphs(0)
    types = {number: name.lower() for name, number in vars(schema.TensorType).items() if isinstance(number, int)}
    maps = [model.SignatureDefs(place) for place in range(model.SignatureDefsLength())]

    def tensors(kind: str) -> tuple[Tensor, ...]:
        indices = [int(getattr(graph, kind)(place)) for place in range(getattr(graph, f"{kind}Length")())]
        entries = [getattr(each, kind)(place) for each in maps for place in range(getattr(each, f"{kind}Length")())]
        names = {entry.TensorIndex(): entry.Name().decode() for entry in entries}
        found = [(index, graph.Tensors(index)) for index in indices]
        return tuple(
            Tensor(names.get(index, each.Name().decode()), types[each.Type()], tuple(map(int, each.ShapeAsNumpy())))
            for index, each in found
        )

    entries = [model.Metadata(place) for place in range(model.MetadataLength())]
    facts = {each.Name().decode(): bytes(model.Buffers(each.Buffer()).DataAsNumpy()).decode() for each in entries}
    known = {key.removeprefix(FACTS): value for key, value in facts.items() if key.startswith(FACTS)}
    return Declared(tensors("Inputs"), tensors("Outputs"), known)
