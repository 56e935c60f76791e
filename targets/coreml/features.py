"""The inputs and outputs that a package declares, and those that its manifest says it must declare."""

from collections.abc import Iterable
from pathlib import Path
from typing import Any

from ...model.graph import Size, TensorKind, TensorSpec
from ..base import Artifact, GraphArtifact
from ..declared import Declared, Tensor, check_declared, facts
from .interface import colour_space, is_image

PREFIX = "com.instantstyle."
IMAGE = "image"
# From this version of the specification on (iOS 16), arrays pass in float16 beside float16 arithmetic; before, there were none.
HALF_ARRAYS = 7


def check_features(specification: Any, artifact: Artifact, graph: GraphArtifact, path: Path) -> None:
    """Raises ExecutionError unless the package of a graph declares what the manifest says."""
    check_declared(declared(specification, graph, artifact.size), wanted(specification, artifact, graph), path)


def declared(specification: Any, graph: GraphArtifact, size: Size) -> Declared:
    """What a package says of itself; of a feature that may have several shapes, the one that ``graph`` has at ``size`` if it is there."""
    described = specification.description
    shapes = {spec.name: _shape(spec, size) for spec in (*graph.inputs, *graph.outputs)}
    # A state is an input that a caller has to make and to pass along.
    inputs = _tensors((*described.input, *described.state), shapes)
    metadata = described.metadata.userDefined
    told = {key.removeprefix(PREFIX): metadata[key] for key in metadata if key.startswith(PREFIX)}
    # Where inputs may have several shapes, coremltools leaves those of outputs open: they follow from the inputs'.
    several = any(len(shapes_of(feature)) > 1 for feature in described.input)
    return Declared(inputs, _tensors(described.output, shapes, several), told)


def wanted(specification: Any, artifact: Artifact, graph: GraphArtifact) -> Declared:
    """What the manifest says. The version of the specification tells in which numbers arrays pass."""
    array = "float16" if specification.specificationVersion >= HALF_ARRAYS else "float32"
    inputs, outputs = (tuple(_wanted(spec, artifact.size, array) for spec in specs) for specs in (graph.inputs, graph.outputs))
    return Declared(inputs, outputs, facts(artifact, graph, artifact.precision, None))


def _wanted(spec: TensorSpec, size: Size, array: str) -> Tensor:
    dtype, colours = (IMAGE, colour_space(spec)) if is_image(spec) else (array, "")
    return Tensor(spec.name, dtype, _shape(spec, size), colours)


def _tensors(features: Iterable[Any], shapes: dict[str, tuple[int, ...]], may_be_open: bool = False) -> tuple[Tensor, ...]:
    return tuple(_tensor(feature, shapes.get(feature.name, ()), may_be_open) for feature in features)


def _tensor(feature: Any, wanted_shape: tuple[int, ...], may_be_open: bool) -> Tensor:
    kind, optional = feature.type.WhichOneof("Type"), feature.type.isOptional
    if kind not in ("imageType", "multiArrayType"):
        return Tensor(feature.name, str(kind).removesuffix("Type"), (), optional=optional)
    described, shapes = getattr(feature.type, kind), shapes_of(feature)
    shape: tuple[int | str, ...] = shapes[0] if shapes else ("?", "?")
    if wanted_shape in shapes or (may_be_open and not shapes):
        shape = wanted_shape
    if kind == "imageType":
        return Tensor(feature.name, IMAGE, shape, described.ColorSpace.Name(described.colorSpace), optional)
    has_default = described.WhichOneof("defaultOptionalValue") is not None
    return Tensor(feature.name, described.ArrayDataType.Name(described.dataType).lower(), shape, optional=optional or has_default)


def shapes_of(feature: Any) -> list[tuple[int, ...]]:
    """The shapes that a feature may have, its own first: of an image height and width, of an array all. Empty if a length is open."""
    if feature.type.WhichOneof("Type") != "imageType":
        array = feature.type.multiArrayType
        shapes = (
            [] if array.HasField("shapeRange") else [tuple(array.shape), *(tuple(each.shape) for each in array.enumeratedShapes.shapes)]
        )
        return list(dict.fromkeys(shapes))
    image = feature.type.imageType
    if image.HasField("imageSizeRange"):
        return []
    sizes = [(each.height, each.width) for each in image.enumeratedSizes.sizes]
    return list(dict.fromkeys([(image.height, image.width), *sizes]))


def _shape(spec: TensorSpec, size: Size) -> tuple[int, ...]:
    shape = spec.shape(size)
    if is_image(spec):
        return shape[2:]
    return (1,) if spec.kind is TensorKind.SCALAR else shape
