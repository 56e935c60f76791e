"""Whether a model's images lie where it declares them, and if not, which declaration would fit."""

from collections.abc import Iterator
from dataclasses import replace

import numpy as np
import torch

from ...model.graph import Model, Sample, TensorSpec
from ...model.pixels import decode, describe, encode, to_levels
from ...system.errors import RecipeError

# Shares of a range: an image is far outside if FAR_SHARE of it is more than FAR beyond black or white.
FAR, FAR_SHARE = 0.25, 0.05
# An image whose values span less can be compared with nothing: SSIM calls everything equal.
LEAST_SPAN = 0.01
# Where else the values of images lie, by what is usual.
USUAL = (((0.0, 255.0), (), ()), ((0.0, 1.0), (), ()), ((-1.0, 1.0), (), ()), ((0.0, 1.0), (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)))
PERCENTILES = (1, 99)
DARK, BRIGHT, TOUCHING = 0.2, 0.5, 0.02


class Observed:
    """An image output on several samples, in shares of its range: 0 is black and 1 is white."""

    def __init__(self, spec: TensorSpec) -> None:
        self.spec = spec
        self.samples: list[Sample] = []
        self.shares: list[np.ndarray] = []

    def add(self, sample: Sample, values: np.ndarray) -> None:
        """Values of the network."""
        self.samples.append(sample)
        self.shares.append(to_levels(self.spec, values) / 255)

    @property
    def all(self) -> np.ndarray:
        """Every value."""
        return np.concatenate([share.ravel() for share in self.shares])

    def limits(self) -> tuple[float, float]:
        """The lowest and highest percent left out, in the units of the range."""
        low, high = np.percentile(self.all, PERCENTILES) * (self.spec.maximum - self.spec.minimum) + self.spec.minimum
        return float(low), float(high)


def check_range(model: Model, what: str, seen: Observed, bare: bool) -> None:
    """Raises RecipeError if an image is far outside of its range; says which declaration would fit."""
    if _far(seen.all) > FAR_SHARE:
        raise _refusal(model, what, seen, bare, "so that much of it would be cut off")


def check_span(model: Model, what: str, seen: Observed, bare: bool) -> None:
    """Raises RecipeError if an image spans next to nothing of its range."""
    span = _span(seen.all)
    if span < LEAST_SPAN:
        raise _refusal(model, what, seen, bare, f"of which that is {span:.2%}: one colour, and every other looks like it")


def _refusal(model: Model, what: str, seen: Observed, bare: bool, problem: str) -> RecipeError:
    low, high = seen.limits()
    photos = f"{len(seen.samples)} calibration photo{'s' * (len(seen.samples) != 1)}"
    declared = f"declared as {describe(seen.spec)}, {problem}.{_advice(model, seen, bare)}"
    return RecipeError(f"model: {what} goes from {low:.4g} to {high:.4g} on {photos}, but is {declared}")


def notices(seen: Observed, bare: bool) -> tuple[str, ...]:
    """What is odd, but may be meant: an image in -1 to 1 that is never below 0 may be one in 0 to 1."""
    spec, (low, high) = seen.spec, seen.limits()
    if not (spec.minimum < 0 < spec.maximum and low >= -TOUCHING * spec.maximum and high > BRIGHT * spec.maximum and _dark(seen.samples)):
        return ()
    key = f"[model.output] range = [0, {spec.maximum:g}]" if bare else f"minimum=0, maximum={spec.maximum:g} in its TensorSpec"
    found = f"goes from {low:.3g} to {high:.3g} on calibration photos"
    return (f"the image is declared as {describe(spec)}, but {found}: if 0 is black, say {key}",)


def _dark(samples: list[Sample]) -> bool:
    """Whether the photos have dark places."""
    photos = [next(array for array in sample.inputs.values() if array.ndim == 4) for sample in samples]
    values = np.concatenate([photo.ravel() for photo in photos])
    return float(np.percentile(values, 5)) < float(values.min()) + DARK * float(np.ptp(values))


def _far(shares: np.ndarray) -> float:
    """The part of an image that is far outside."""
    return float(np.mean((shares < -FAR) | (shares > 1 + FAR)))


def _span(shares: np.ndarray) -> float:
    low, high = np.percentile(shares, PERCENTILES)
    return float(high - low)


def _fits(shares: np.ndarray) -> bool:
    """Whether an image uses its range, and hardly leaves it."""
    return _far(shares) <= FAR_SHARE and float(np.mean((shares < 0) | (shares > 1))) <= 0.25 and _span(shares) >= 0.2


def _advice(model: Model, seen: Observed, bare: bool) -> str:
    if not bare:
        return (
            f"\n  Declare what it is, e.g. TensorSpec('{seen.spec.name}', minimum=0, maximum=255), of the inputs as well; "
            "or end its forward with what keeps it inside"
        )
    for image, output in alternatives(model, seen):
        sections = {"input": list(recipe_lines(image)), "output": list(recipe_lines(output))}
        lines = "".join(f"\n    {line}" for key, found in sections.items() for line in (f"[model.{key}]", *found))
        braces = ", ".join(f"{key} = {{ {', '.join(found)} }}" for key, found in sections.items())
        return (
            f"\n  Fed with {describe(image)} it gives {describe(output)}: if it was trained so, write in the recipe{lines}\n"
            f"  or, inside of model = {{ … }}: {braces}"
        )
    return (
        "\n  Say in the recipe what it was trained with ([model.input] and [model.output]: range, mean, std, order), "
        "or end its forward with what keeps it inside (tanh, clamp)"
    )


def recipe_lines(spec: TensorSpec) -> Iterator[str]:
    """The keys of ``[model.input]`` or ``[model.output]`` that declare an image so."""
    yield f"range = [{spec.minimum:g}, {spec.maximum:g}]"
    for key, numbers in (("mean", spec.mean), ("std", spec.std)):
        if numbers:
            yield f"{key} = [{', '.join(f'{number:g}' for number in numbers)}]"
    if spec.order != "RGB":
        yield f'order = "{spec.order}"'


def alternatives(model: Model, seen: Observed) -> Iterator[tuple[TensorSpec, TensorSpec]]:
    """Declarations of input and output under which a photo comes out as a picture, the same for both first."""
    (graph,) = model.graphs
    declared = graph.inputs[0]
    sample = seen.samples[0]
    picture = decode(declared, sample.inputs[declared.name])
    found: list[tuple[TensorSpec, TensorSpec]] = []
    for image in (*_usual(declared), declared):
        with torch.no_grad():
            values = graph.module(torch.from_numpy(encode(image, picture).copy())).numpy()
        found += [(image, output) for output in _usual(graph.outputs[0]) if _fits(to_levels(output, values) / 255)]
    yield from sorted(found, key=lambda pair: _meaning(pair[0]) != _meaning(pair[1]))


def _usual(spec: TensorSpec) -> Iterator[TensorSpec]:
    for (low, high), mean, std in USUAL:
        if not mean or spec.channels == len(mean):
            yield replace(spec, minimum=low, maximum=high, mean=mean, std=std)


def _meaning(spec: TensorSpec) -> tuple[object, ...]:
    return spec.minimum, spec.maximum, spec.mean, spec.std
