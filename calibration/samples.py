"""Samples: the named inputs of a model, filled from image sets."""

from collections.abc import Callable, Iterable, Iterator, Sequence
from itertools import product
from math import prod
from pathlib import Path
from typing import Literal

import numpy as np

from ..model.graph import Model, Sample, Size, TensorKind, TensorSpec
from ..model.pixels import PICTURE_CHANNELS, encode
from ..system.errors import RecipeError
from .imageset import ImageSet

Pairing = Literal["all", "cycle"]


def make_samples(model: Model, size: Size, image_sets: Sequence[ImageSet], pairing: Pairing) -> Iterator[Sample]:
    """Samples of ``model``, each loaded when the iterator reaches it.

    IMAGE inputs take the image sets in order; sets beyond the model's IMAGE inputs are left out. Inputs of other kinds
    are filled with their maximum.

    Args:
        size: of images that have no fixed size of their own.
        pairing: ``all`` for every combination of images, the first set slowest; ``cycle`` for as many samples as the
            first set has images, the other sets starting over as often as needed.

    Raises:
        RecipeError: at once, if an IMAGE input has no image set or is no picture.
        ImageError: while iterating, for an image that cannot be read.
    """
    counts = [len(images) for images in image_sets[: len(image_inputs(model, image_sets))]]
    return _samples(model, size, image_sets, _pairs(counts, pairing))


def uncovered_samples(model: Model, size: Size, image_sets: Sequence[ImageSet], pairing: Pairing) -> Iterator[Sample]:
    """The first photo with each style that ``pairing`` leaves out; nothing for a model with one image input."""
    counts = [len(images) for images in image_sets[: len(image_inputs(model, image_sets))]]
    used = {indices[1] for indices in _pairs(counts, pairing)} if len(counts) > 1 else set()
    return _samples(model, size, image_sets, [(0, style) for style in range(counts[1]) if style not in used] if len(counts) > 1 else [])


def _samples(model: Model, size: Size, image_sets: Sequence[ImageSet], pairs: Iterable[tuple[int, ...]]) -> Iterator[Sample]:
    specs = image_inputs(model, image_sets)
    sets = image_sets[: len(specs)]
    named = [labels(images.files) for images in sets]

    def sample(indices: tuple[int, ...]) -> Sample:
        inputs = {spec.name: np.full(spec.shape(size), spec.maximum, np.float32) for spec in model.sample_inputs if spec not in specs}
        for spec, images, index in zip(specs, sets, indices, strict=True):
            inputs[spec.name] = _load(spec, size, images, index)
        return Sample(_name(named, indices), inputs)

    return map(sample, pairs)


def sample_names(sets: Sequence[Sequence[str]], pairing: Pairing) -> tuple[str, ...]:
    """Names of the samples that ``make_samples`` makes of image sets whose ``labels`` are given, in its order."""
    return tuple(_name(sets, indices) for indices in _pairs([*map(len, sets)], pairing))


def _name(sets: Sequence[Sequence[str]], indices: tuple[int, ...]) -> str:
    return " x ".join(names[index] for names, index in zip(sets, indices, strict=True))


def count_samples(model: Model, image_sets: Sequence[ImageSet], pairing: Pairing) -> int:
    """How many samples ``make_samples`` yields. The same RecipeErrors."""
    counts = [len(images) for images in image_sets[: len(image_inputs(model, image_sets))]]
    return prod(counts) if pairing == "all" else counts[0]


def image_inputs(model: Model, image_sets: Sequence[ImageSet]) -> list[TensorSpec]:
    """The IMAGE inputs of ``model``, each of which has its image set. RecipeError if one has not, or cannot be a picture."""
    specs = [spec for spec in model.sample_inputs if spec.kind is TensorKind.IMAGE]
    if not specs:
        raise RecipeError(f"model '{model.name}' has no image among its sample inputs, so images cannot make samples of it")
    for position, spec in enumerate(specs):
        if position >= len(image_sets) or len(image_sets[position]) == 0:
            raise RecipeError(
                f"model '{model.name}': input '{spec.name}' is image input {position + 1} of {len(specs)} and has no images; "
                f"the recipe gives {len(image_sets)} image set{'s' * (len(image_sets) != 1)}, add one for it"
            )
        if spec.channels not in PICTURE_CHANNELS:
            raise RecipeError(
                f"model '{model.name}': image input '{spec.name}' wants {spec.channels} channels; "
                "pictures have 1 (luma), 3 (RGB) or 4 (RGB and alpha)"
            )
    return specs


def _pairs(counts: Sequence[int], pairing: Pairing) -> Iterator[tuple[int, ...]]:
    if pairing == "all":
        return product(*map(range, counts))
    return (tuple(index % count for count in counts) for index in range(counts[0]))


def _load(spec: TensorSpec, size: Size, images: ImageSet, index: int) -> np.ndarray:
    height, width = spec.shape(size)[2:]
    return encode(spec, images.load(index, (height, width), spec.channels))


def labels(files: Sequence[Path]) -> list[str]:
    """What the files of an image set are called in samples: the shortest kind of name that tells them apart.

    Without suffix, with it, with folder, the whole path.
    """
    kinds: tuple[Callable[[Path], str], ...] = (
        lambda path: path.stem,
        lambda path: path.name,
        lambda path: f"{path.parent.name}/{path.name}",
    )
    for kind in kinds:
        names = [kind(path) for path in files]
        if len(set(names)) == len(names):
            return names
    return [str(path) for path in files]
