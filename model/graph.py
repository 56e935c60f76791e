"""What the toolchain exports: a model is a few named graphs and the scenario that composes them.

A user's own ``nn.Module`` with one image in and one image out becomes a ``Model`` through ``single_graph``.
"""

import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Literal

import numpy as np
from torch import nn

ORDERS = ("RGB", "BGR")
Size = tuple[int, int]  # height, width in pixels
Arrays = Mapping[str, np.ndarray]
Run = Callable[[Arrays], dict[str, np.ndarray]]
# The graphs' run functions by graph name, and one sample's inputs by name -> the image that a user sees.
Scenario = Callable[[Mapping[str, Run], Arrays], np.ndarray]


class TensorKind(StrEnum):
    """What a tensor means; a target may map an image to its platform's image type."""

    IMAGE = "image"
    VECTOR = "vector"
    SCALAR = "scalar"


@dataclass(frozen=True)
class TensorSpec:
    """One input or output of a graph, float32, batch 1.

    Attributes:
        name: the name it has in every artifact.
        kind: IMAGE (1, channels, H, W), VECTOR (1, channels) or SCALAR (1, 1).
        channels: image channels or vector length.
        minimum, maximum: range of the values; of an image black and white, before ``mean`` and ``std``.
        scale: H and W as a multiple of the recipe's size (2 for the output of a x2 super-resolution).
        fixed_size: H and W where they do not follow the recipe's size (the style image).
        mean, std: of an image: the network's values are (pixel - mean) / std, with one number for each channel in the network's order.
        order: of an image of 3 or 4 channels; with BGR, alpha stays the fourth. One channel is luma.

    Raises:
        ValueError: a range, mean, std or order that means nothing.
    """

    name: str
    kind: TensorKind = TensorKind.IMAGE
    channels: int = 3
    minimum: float = -1.0
    maximum: float = 1.0
    scale: int = 1
    fixed_size: Size | None = None
    mean: tuple[float, ...] = ()
    std: tuple[float, ...] = ()
    order: Literal["RGB", "BGR"] = "RGB"

    def __post_init__(self) -> None:
        for problem in self._problems():
            raise ValueError(f"tensor '{self.name}': {problem}")

    def _problems(self) -> Iterator[str]:
        if not (math.isfinite(self.minimum) and math.isfinite(self.maximum) and self.minimum < self.maximum):
            yield f"range {self.minimum:g} to {self.maximum:g}; give two finite numbers, the smaller one first"
        if self.order not in ORDERS:
            yield f"order '{self.order}'; allowed: {', '.join(ORDERS)}"
        if self.kind is not TensorKind.IMAGE:
            if self.mean or self.std or self.order != "RGB":
                yield "mean, std and order are for images"
            return
        for name, values in (("mean", self.mean), ("std", self.std)):
            if values and len(values) != self.channels:
                yield f"{name} has {len(values)} numbers, the image {self.channels} channels; give one for each"
            if not all(math.isfinite(value) and (name == "mean" or value > 0) for value in values):
                yield f"{name} {list(values)}; the numbers must be finite{' and above 0' if name == 'std' else ''}"
        if self.order != "RGB" and self.channels not in (3, 4):
            yield f"order '{self.order}' is for 3 or 4 channels, this image has {self.channels}"

    def shape(self, size: Size) -> tuple[int, ...]:
        """Shape at the recipe's ``size``."""
        if self.kind is not TensorKind.IMAGE:
            return (1, self.channels)
        height, width = self.fixed_size or (size[0] * self.scale, size[1] * self.scale)
        return (1, self.channels, height, width)


def main_output(outputs: Sequence[TensorSpec]) -> TensorSpec:
    """Of a graph's outputs, the one that a user sees: the first image, or the first if none is one."""
    return next((spec for spec in outputs if spec.kind is TensorKind.IMAGE), outputs[0])


@dataclass(frozen=True)
class Graph:
    """A network that becomes one file per artifact. ``module`` takes the inputs in order and returns one tensor or a tuple."""

    name: str
    module: nn.Module
    inputs: tuple[TensorSpec, ...]
    outputs: tuple[TensorSpec, ...]


@dataclass(frozen=True)
class Model:
    """Named graphs and the scenario that composes them on one sample.

    Attributes:
        name: for reports.
        graphs: in the order in which the scenario needs them.
        scenario: PyTorch graphs and every target's runners go through the same function.
        sample_inputs: the named inputs that the scenario reads. IMAGE inputs are filled from the recipe's image sets,
            the first from ``photos``, the second from ``styles``; SCALAR inputs take their ``maximum``
            unless a hard sample sweeps them.
        hot_graph: the graph that runs once per image; speed limits apply to it.
        size_multiple: height and width must be multiples of this.
    """

    name: str
    graphs: tuple[Graph, ...]
    scenario: Scenario
    sample_inputs: tuple[TensorSpec, ...]
    hot_graph: str
    size_multiple: int = 1

    def graph(self, name: str) -> Graph:
        """The graph of that name; KeyError if there is none."""
        return {graph.name: graph for graph in self.graphs}[name]


def single_graph(module: nn.Module, name: str = "model", scale: int = 1, size_multiple: int = 1) -> Model:
    """A model of one graph: RGB image ``image`` in [-1, 1] in, RGB image ``output`` out, ``scale`` times the size."""
    image, output = TensorSpec("image"), TensorSpec("output", scale=scale)

    def scenario(runs: Mapping[str, Run], sample: Arrays) -> np.ndarray:
        return runs[name]({"image": sample["image"]})["output"]

    return Model(name, (Graph(name, module, (image,), (output,)),), scenario, (image,), name, size_multiple)


@dataclass(frozen=True)
class Sample:
    """One set of inputs for a model's scenario.

    Attributes:
        name: of its images, e.g. ``sk_coffee x gc_Gogh4``; no two samples of a model share it.
        inputs: float32 arrays by input name, in the shapes and ranges of the model's ``sample_inputs``.
        made: whether its first image is none that a user would take: a pattern, or a photo badly exposed.
    """

    name: str
    inputs: dict[str, np.ndarray]
    made: bool = False


def scenario_output(model: Model) -> TensorSpec:
    """What the scenario returns: the first image of the hot graph, or its first output if it has no image."""
    return main_output(model.graph(model.hot_graph).outputs)
