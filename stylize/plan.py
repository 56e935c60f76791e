"""How the graphs of an artifact make one picture of a photo. Its manifest says nothing more than names, kinds and encodings."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from ..model.graph import TensorKind, TensorSpec
from ..model.pixels import PICTURE_CHANNELS
from ..system.errors import ArtifactError
from ..targets.base import Artifact, GraphArtifact


@dataclass(frozen=True)
class Plan:
    """Graphs are chained by name, in the manifest's order: what one gives is what a later one takes, as in the Swift file of a package.

    Attributes:
        photo: the first image that the last graph is asked for, or else the first of all.
        styles: every other image to be given, in order.
        scalars: numbers to be given.
        before: graphs that do not need the photo; they run once for all photos.
        painting: graphs that do.
        picture: the first image that the last graph gives.
        factor: height and width of the picture as a multiple of the photo's.
    """

    photo: TensorSpec
    styles: tuple[TensorSpec, ...]
    scalars: tuple[TensorSpec, ...]
    before: tuple[GraphArtifact, ...]
    painting: tuple[GraphArtifact, ...]
    picture: TensorSpec
    factor: int


def plan(artifact: Artifact, folder: Path) -> Plan:
    """The plan of an artifact.

    Args:
        folder: for messages.

    Raises:
        ArtifactError: it takes no photo, gives no picture, or wants numbers that no graph gives.
    """

    def refuse(problem: str) -> ArtifactError:
        return ArtifactError(f"{folder}: {problem}, so it cannot be applied to a picture")

    asked = list(dict.fromkeys(_asked(artifact.graphs)))
    images = [spec for spec in asked if spec.kind is TensorKind.IMAGE]
    unknown = next((spec.name for spec in asked if spec.kind is TensorKind.VECTOR), None)
    if unknown is not None:
        raise refuse(f"it wants a vector '{unknown}', which none of its graphs gives")
    last = artifact.graphs[-1]
    photo = next((spec for spec in last.inputs if spec in images), images[0] if images else None)
    picture = next((spec for spec in last.outputs if spec.kind is TensorKind.IMAGE), None)
    if photo is None or picture is None:
        raise refuse(f"graph '{last.name}' gives no image" if picture is None else "it takes no image")
    for spec in (*images, picture):
        if spec.channels not in PICTURE_CHANNELS:
            raise refuse(f"'{spec.name}' has {spec.channels} channels, pictures have 1, 3 or 4")
    small, large = (spec.shape(artifact.size)[2:] for spec in (photo, picture))
    factor = max(1, large[0] // small[0])
    if large != (small[0] * factor, small[1] * factor):
        raise refuse(f"'{picture.name}' has {large[0]}x{large[1]} pixels, no multiple of the {small[0]}x{small[1]} of '{photo.name}'")
    before, painting = _split(artifact.graphs, photo)
    scalars = tuple(spec for spec in asked if spec.kind is TensorKind.SCALAR)
    return Plan(photo, tuple(spec for spec in images if spec != photo), scalars, before, painting, picture, factor)


def _asked(graphs: Sequence[GraphArtifact]) -> Iterator[TensorSpec]:
    """Inputs that no earlier graph gives."""
    given: set[str] = set()
    for graph in graphs:
        yield from (spec for spec in graph.inputs if spec.name not in given)
        given |= {spec.name for spec in graph.outputs}


def _split(graphs: Sequence[GraphArtifact], photo: TensorSpec) -> tuple[tuple[GraphArtifact, ...], tuple[GraphArtifact, ...]]:
    """Graphs that do not depend on the photo, and those that do."""
    moving = {photo.name}
    painting = []
    for graph in graphs:
        if moving & {spec.name for spec in graph.inputs}:
            painting.append(graph)
            moving |= {spec.name for spec in graph.outputs}
    return tuple(graph for graph in graphs if graph not in painting), tuple(painting)
