"""Inputs that validation photos do not have: flat, noisy, high in contrast, saturated, badly exposed, and every strength of a scalar."""

from collections.abc import Callable, Iterator

import numpy as np

from ...model.graph import Model, Sample, Size, TensorKind, TensorSpec
from ...model.pixels import LEVELS, encode, from_levels, visible

CHECKER_PIXELS = 8


def hard_samples(model: Model, size: Size, ordinary: Sample, seed: int = 0) -> tuple[Sample, ...]:
    """Hard samples for ``model``: a hard first image, then badly exposed ones of ``ordinary``, each with its other inputs; then
    ``ordinary`` with other scalars.

    Args:
        size: height and width of the first image input, as in the recipe.
        ordinary: any validation sample of the model at that size.
        seed: of the noise.
    """
    images = [spec for spec in model.sample_inputs if spec.kind is TensorKind.IMAGE][:1]
    scalars = [spec for spec in model.sample_inputs if spec.kind is TensorKind.SCALAR]
    made = [(spec.name, *each) for spec in images for each in (*_images(spec, size, seed), *_exposed(spec, ordinary.inputs[spec.name]))]
    swept = [(spec.name, *each) for spec in scalars for each in _sweep(spec, size)]
    return tuple(
        Sample(name, {**ordinary.inputs, changed: value}, made=is_made)
        for is_made, rows in ((True, made), (False, swept))
        for changed, name, value in rows
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


def _exposed(spec: TensorSpec, image: np.ndarray) -> Iterator[tuple[str, np.ndarray]]:
    """The photo as a camera gets it wrong, again in 8 bits; its alpha channel, if it has one, too."""
    levels = visible(spec, image)
    for name, changed in (
        ("dim", 0.12 * levels),
        ("bright", LEVELS - 0.3 * (LEVELS - levels)),
        ("low contrast", LEVELS / 2 + 0.1 * (levels - LEVELS / 2)),
        ("over-exposed", np.minimum(2.5 * levels, LEVELS)),
    ):
        yield name, from_levels(spec, np.rint(changed))


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
    for value in np.linspace(spec.minimum, spec.maximum, 5):
        yield f"{spec.name} {value:g}", np.full(spec.shape(size), value, np.float32)
