"""The inputs and outputs that a package declares, against what the artifact says of them."""

from pathlib import Path
from typing import Any

from ...model.errors import ArtifactError
from ...model.graph import Size, TensorKind, TensorSpec
from ..base import GraphArtifact
from .interface import colour_space, is_image


def check_features(specification: Any, graph: GraphArtifact, size: Size, path: Path) -> None:
    """Raises ArtifactError unless names, kinds and sizes of the package's inputs and outputs are those of the specs."""
    described = specification.description
    for kind, features, specs in (("inputs", described.input, graph.inputs), ("outputs", described.output, graph.outputs)):
        found = {feature.name: shapes_of(feature) for feature in features}
        wanted = {spec.name: _shape(spec, size) for spec in specs}
        if found.keys() != wanted.keys() or any(found[name] and wanted[name] not in found[name] for name in found):
            raise ArtifactError(f"{path}: its {kind} are {found}, the manifest says {wanted}; build the artifact again")
        spaces = {feature.name: _colour_space(feature) for feature in features}
        wanted_spaces = {spec.name: colour_space(spec) if is_image(spec) else "" for spec in specs}
        if spaces != wanted_spaces:
            raise ArtifactError(
                f"{path}: colour spaces of its {kind} are {spaces}, the manifest says {wanted_spaces}; build the artifact again"
            )


def _colour_space(feature: Any) -> str:
    """``RGB``, ``BGR`` or ``GRAYSCALE``; empty for what is no image."""
    image = feature.type.imageType
    return image.ColorSpace.Name(image.colorSpace) if feature.type.WhichOneof("Type") == "imageType" else ""


def shapes_of(feature: Any) -> list[tuple[int, ...]]:
    """The shapes that a feature may have, its own first: of an image height and width, of an array all. Empty for an image of any size."""
    if feature.type.WhichOneof("Type") != "imageType":
        return [tuple(feature.type.multiArrayType.shape)]
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
