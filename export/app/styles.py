"""The stage that turns the recipe's style pack into codes, so that an app can ship styles without the graph that makes them."""

import json
import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from ...calibration.imageset import ImageSet
from ...calibration.samples import labels
from ...model.graph import Graph, Model, Size, TensorKind, TensorSpec
from ...model.pixels import PICTURE_CHANNELS, encode
from ...model.runs import runs_from_modules, torch_threads
from ...system.disk import atomic_write
from ...system.errors import RecipeError
from ...system.progress import ReportProgress
from ..cache.pipeline import Pipeline
from ..cache.store import Entry, Workspace
from ..source.source import Source

FILE, SUFFIX = "styles.json", ".f32"


@dataclass(frozen=True)
class StyleEncoder:
    """The part of a model that a style goes through once.

    Attributes:
        image: the style's image input.
        graphs: that need no photo, in order.
        codes: what the other graphs take of them.
    """

    image: TensorSpec
    graphs: tuple[Graph, ...]
    codes: tuple[TensorSpec, ...]


def style_encoder(model: Model) -> StyleEncoder | None:
    """The style encoder of a model; None if the photo is the only image that it takes, or styles are no vectors."""
    images = [spec for spec in model.sample_inputs if spec.kind is TensorKind.IMAGE]
    if len(images) != 2:
        return None
    known, graphs = {images[1].name}, []
    for graph in model.graphs:
        if {spec.name for spec in graph.inputs} <= known:
            graphs.append(graph)
            known |= {spec.name for spec in graph.outputs}
    taken = {spec.name for graph in model.graphs if graph not in graphs for spec in graph.inputs}
    codes = tuple(spec for graph in graphs for spec in graph.outputs if spec.name in taken)
    if not codes or images[1].name in taken or any(spec.kind is not TensorKind.VECTOR for spec in codes):
        return None
    return StyleEncoder(images[1], tuple(graphs), codes)


def styles(pipeline: Pipeline, source: Source) -> Entry | None:
    """The codes of the recipe's styles; None if it names none.

    Raises:
        RecipeError: the model has no style encoder.
        ImageError: a style cannot be read.
    """
    recipe = source.recipe
    if not recipe.app.styles:
        return None
    encoder = style_encoder(source.model)
    if encoder is None:
        raise RecipeError(f"{recipe.path}: app.styles: '{source.model.name}' makes no vectors of a second image; leave the key out")
    images = ImageSet.from_patterns(recipe.app.styles, recipe.base)

    def make(workspace: Workspace, report: ReportProgress) -> None:
        with torch_threads(recipe.latency.threads):
            made = codes(source.model, encoder, images, recipe.model.sizes[0])
        for name, values in made.items():
            atomic_write(workspace.output / f"{name}{SUFFIX}", values.tobytes())
        atomic_write(workspace.output / FILE, json.dumps(list(made)))

    inputs = {"model": source.fingerprint, "images": images.sha256, "threads": recipe.latency.threads, "size": recipe.model.sizes[0]}
    return pipeline.run("styles", "", inputs, make)


def codes(model: Model, encoder: StyleEncoder, images: ImageSet, size: Size) -> dict[str, np.ndarray]:
    """By a name that is a file's: what the float encoder makes of a style, its outputs one after the other, float32, little-endian."""
    spec = encoder.image
    if spec.channels not in PICTURE_CHANNELS:
        raise RecipeError(f"app.styles: '{spec.name}' wants {spec.channels} channels; pictures have 1, 3 or 4")
    height, width = spec.shape(size)[2:]
    runs = runs_from_modules(model)
    found = {}
    for index, name in enumerate(_file_names(images.files)):
        known = {spec.name: encode(spec, images.load(index, (height, width), spec.channels))}
        for graph in encoder.graphs:
            known |= runs[graph.name]({each.name: known[each.name] for each in graph.inputs})
        found[name] = np.concatenate([known[code.name].reshape(-1) for code in encoder.codes]).astype("<f4")
    return found


def _file_names(files: Sequence[Path]) -> list[str]:
    """The images' names, as every file system and package tool takes them: small letters, digits, '_' and '-'."""
    names = [re.sub(r"[^a-z0-9_-]+", "_", label.lower()).strip("_") or "style" for label in labels(files)]
    return [name if names.count(name) == 1 else f"{name}_{names[:index].count(name) + 1}" for index, name in enumerate(names)]
