"""Inputs that photographs do not have: flat, noisy, high in contrast, saturated, and every strength of a scalar input."""

from collections.abc import Callable, Iterator

import numpy as np

from ..calibration.samples import Sample
from ..model.graph import Model, Size, TensorKind, TensorSpec
from ..model.pixels import LEVELS, encode

CHECKER_PIXELS = 8


def hard_samples(model: Model, size: Size, ordinary: Sample, seed: int = 0) -> tuple[Sample, ...]:
    """Hard samples for ``model``: a hard first image with the other inputs of ``ordinary``, then ``ordinary`` with other scalars.

    Args:
        size: height and width of the first image input, as in the recipe.
        ordinary: any validation sample of the model at that size.
        seed: of the noise.
    """
    images = [spec for spec in model.sample_inputs if spec.kind is TensorKind.IMAGE][:1]
    scalars = [spec for spec in model.sample_inputs if spec.kind is TensorKind.SCALAR]
    return tuple(
        [Sample(name, {**ordinary.inputs, spec.name: image}) for spec in images for name, image in _images(spec, size, seed)]
        + [Sample(name, {**ordinary.inputs, spec.name: value}) for spec in scalars for name, value in _sweep(spec, size)]
    )


def _images(spec: TensorSpec, size: Size, seed: int) -> Iterator[tuple[str, np.ndarray]]:
    shape = spec.shape(size)
    patterns: dict[str, Callable[[tuple[int, ...]], np.ndarray]] = {
        "flat black": np.zeros,
        "flat white": np.ones,
        "noise": np.random.default_rng(seed).random,
        "checkerboard": _checkerboard,
        "saturated primaries": _primaries,
    }
    for name, pattern in patterns.items():
        # In the 8 bits that a picture has, so that no format has to round it.
        yield name, encode(spec, np.rint(pattern(shape) * LEVELS) / (LEVELS / 2) - 1)


def _checkerboard(shape: tuple[int, ...]) -> np.ndarray:
    rows, columns = (np.arange(length) // CHECKER_PIXELS for length in shape[2:])
    return np.broadcast_to((rows[:, None] + columns) % 2, shape)


def _primaries(shape: tuple[int, ...]) -> np.ndarray:
    """Vertical bands of red, green, yellow, blue, magenta and cyan: the colours' numbers 1 to 6 in binary, a channel a bit."""
    channels, width = shape[1], shape[3]
    colours = 1 + np.arange(width) * 6 // width
    bits = np.arange(channels) % 3
    return np.broadcast_to((colours >> bits[:, None, None]) & 1, shape)


def _sweep(spec: TensorSpec, size: Size) -> Iterator[tuple[str, np.ndarray]]:
    for value in (spec.minimum, (spec.minimum + spec.maximum) / 2, spec.maximum):
        yield f"{spec.name} {value:g}", np.full(spec.shape(size), value, np.float32)
