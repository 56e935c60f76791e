"""The graph as an app sees it: images in and out, scalars as single numbers."""

from collections.abc import Sequence
from dataclasses import dataclass
from math import gcd, pi
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from torch import Tensor, nn
from torch.export import Dim, ExportedProgram

from ...model.graph import Size, TensorKind, TensorSpec
from ...model.pixels import LEVELS, affine, from_levels, to_levels
from ...system.errors import CaptureError
from ..base import Finding
from ..unsigned_activations import unsigned_activations
from .bicubic import enlarge_bicubic
from .known_operators import with_known_operators
from .refusal import Refused, place
from .resize_by_matrices import resize_by_matrices

if TYPE_CHECKING:
    from ...capture.program import GraphProgram

# What coremltools 9.0 converts to something else without a word.
MISCONVERTED: dict[Any, str] = {
    torch.ops.aten._upsample_bilinear2d_aa.default: "Core ML has no antialiasing, and the converter leaves it out",
    torch.ops.aten._upsample_bilinear2d_aa.vec: "Core ML has no antialiasing, and the converter leaves it out",
}


def is_image(spec: TensorSpec) -> bool:
    """Whether Core ML passes a tensor as a pixel buffer: three colours or grey. With alpha it stays an array."""
    return spec.kind is TensorKind.IMAGE and spec.channels in (1, 3)


def colour_space(spec: TensorSpec) -> str:
    """An image's colour space as coremltools and the specification call it: in which order the program has the channels."""
    return spec.order if spec.channels == 3 else "GRAYSCALE"


def to_package(spec: TensorSpec, array: np.ndarray) -> np.ndarray:
    """A graph's value as the package takes it: 0 to 255 for an image, in 8 bits as in a pixel buffer; (1,) for a scalar."""
    if is_image(spec):
        return np.clip(np.rint(to_levels(spec, array)), 0, LEVELS).astype(np.float32)
    return array.reshape(1) if spec.kind is TensorKind.SCALAR else array


def scale_and_bias(spec: TensorSpec) -> tuple[float, list[float]]:
    """What Core ML itself does to the levels of an image: one factor, and a number for each channel to add.

    Where ``std`` differs between channels, that gives pixels in the range, and the program does the rest.
    """
    factor = (spec.maximum - spec.minimum) / LEVELS
    if _normalises(spec):
        return factor, [spec.minimum] * spec.channels
    std = spec.std[0] if spec.std else 1.0
    return factor / std, [(spec.minimum - mean) / std for mean in spec.mean or (0.0,) * spec.channels]


def as_captured(spec: TensorSpec, value: np.ndarray) -> np.ndarray:
    """What a package takes, as the program with its ``Interface`` takes it: Core ML itself scales an image (``scale_and_bias``)."""
    if not is_image(spec):
        return value
    scale, bias = scale_and_bias(spec)
    return (value.astype(np.float64) * scale + np.array(bias)[:, None, None]).astype(np.float32)


def _normalises(spec: TensorSpec) -> bool:
    """Whether the program itself takes mean and standard deviation from the input."""
    return is_image(spec) and len(set(spec.std)) > 1


def from_package(spec: TensorSpec, array: np.ndarray) -> np.ndarray:
    """The inverse. An image comes in the 8 bits of a pixel buffer, rounded to the nearest; NaN stays NaN, so that it is found."""
    if is_image(spec):
        return from_levels(spec, np.clip(np.rint(array.astype(np.float32)), 0, LEVELS))
    return array.astype(np.float32).reshape(1, -1) if spec.kind is TensorKind.SCALAR else array.astype(np.float32)


class Interface(nn.Module):
    """A captured program with scalars of shape (1,) and images of 0 to 255 as outputs; the input's scale is Core ML's own part.

    What no such scale can say (a standard deviation for each channel) is computed here.

    Args:
        flexible: whether it will be captured for several sizes.
    """

    def __init__(
        self, program: ExportedProgram, inputs: tuple[TensorSpec, ...], outputs: tuple[TensorSpec, ...], flexible: bool = False
    ) -> None:
        super().__init__()
        self.program = program.module(check_guards=False)
        unsigned_activations(self.program)
        if not flexible:
            resize_by_matrices(self.program)
        self.inputs, self.outputs = inputs, outputs
        for spec in filter(is_image, (*inputs, *outputs)):
            for name, numbers in zip(("std", "mean"), affine(spec), strict=True):
                self.register_buffer(f"{spec.name}_{name}", torch.from_numpy(numbers.astype(np.float32))[None])

    def forward(self, *given: Tensor) -> Tensor | tuple[Tensor, ...]:
        """The program's inputs and outputs, in order."""
        values = [self._taken(spec, value) for spec, value in zip(self.inputs, given, strict=True)]
        result = self.program(*values)
        results = result if isinstance(result, (tuple, list)) else (result,)
        shown = tuple(self._shown(spec, value) for spec, value in zip(self.outputs, results, strict=True))
        return shown[0] if len(shown) == 1 else shown

    def _taken(self, spec: TensorSpec, value: Tensor) -> Tensor:
        if _normalises(spec):
            return (value - self.get_buffer(f"{spec.name}_mean")) / self.get_buffer(f"{spec.name}_std")
        return value.reshape(1, 1) if spec.kind is TensorKind.SCALAR else value

    def _shown(self, spec: TensorSpec, value: Tensor) -> Tensor:
        if not is_image(spec):
            return value.reshape(1) if spec.kind is TensorKind.SCALAR else value
        if spec.mean or spec.std:
            value = value * self.get_buffer(f"{spec.name}_std") + self.get_buffer(f"{spec.name}_mean")
        # Clamped, because a pixel buffer has no room for anything else.
        return (value.clamp(spec.minimum, spec.maximum) - spec.minimum) * (LEVELS / (spec.maximum - spec.minimum))


@dataclass(frozen=True)
class Shown:
    """A graph with its interface, ready for the converter. ``flexible`` if height and width of its images are open."""

    program: ExportedProgram
    flexible: bool


def with_interface(graph: "GraphProgram", program: ExportedProgram, sizes: Sequence[Size]) -> Shown:
    """Captures a program again, with its interface.

    Args:
        sizes: that the package shall take, the program's own first.

    Raises:
        CaptureError: the program has its size built in and cannot take several.
    """
    size = sizes[0]
    examples = tuple(_example(spec, size) for spec in graph.inputs)
    dims = _open_dims(sizes)
    open_inputs = [spec.kind is TensorKind.IMAGE and spec.fixed_size is None for spec in graph.inputs]
    flexible = bool(dims) and any(open_inputs)
    shapes = (tuple(dims if is_open else None for is_open in open_inputs),) if flexible else None
    module = Interface(program, graph.inputs, graph.outputs, flexible)
    try:
        with torch.no_grad():
            captured = torch.export.export(module, examples, dynamic_shapes=shapes, strict=False)
    except Exception as error:  # torch.export fails with many unrelated classes
        if not flexible:
            raise Refused(_not_captured(graph, error)) from error
        raise CaptureError(
            f"graph '{graph.name}' computes with its own height and width, so it takes {size[0]}x{size[1]} alone; "
            "take more_sizes out of [targets.options.coreml], or build a package for each of model.sizes"
        ) from error
    try:
        decomposed = with_known_operators(captured.run_decompositions(_spelled_out()))
    except Exception as error:  # likewise
        raise Refused(_not_captured(graph, error)) from error
    lost = next((node for node in decomposed.graph.nodes if node.target in MISCONVERTED), None)
    if lost is not None:
        raise Refused(
            Finding(place(graph, decomposed, lost.name), MISCONVERTED[lost.target], "resize without it, or build packages of a single size")
        )
    _say_strides(decomposed)
    return Shown(decomposed, flexible)


def _not_captured(graph: "GraphProgram", error: Exception) -> Finding:
    cause = (str(error).strip().splitlines() or ["no reason given"])[0]
    problem = f"cannot be captured with Core ML's inputs and outputs: {type(error).__name__}: {cause}"
    return Finding(f"graph '{graph.name}'", problem, "write that part of the model with other operators")


def _open_dims(sizes: Sequence[Size]) -> dict[int, Any]:
    """The dimensions of an image that differ between sizes, as multiples of what all sizes are multiples of: skip connections need that."""
    dims = {}
    for axis, name, lengths in ((2, "height", [size[0] for size in sizes]), (3, "width", [size[1] for size in sizes])):
        step = gcd(*lengths)
        if len(set(lengths)) > 1:
            if min(lengths) == step and step % 2 == 0:
                step //= 2  # torch.export takes a symbol that may be 1 for a constant
            dims[axis] = step * Dim(name, min=min(lengths) // step, max=max(lengths) // step)
    return dims


def _spelled_out() -> dict[Any, Any]:
    """Operators with a keyword that coremltools 9.0 leaves out without a word, and some that it has not, in others."""
    aten = torch.ops.aten

    def gelu(x: Tensor, *, approximate: str = "none") -> Tensor:
        if approximate == "none":
            return NotImplemented  # it stays as it is
        # Which coremltools knows as its own operator.
        return 0.5 * x * (1 + torch.tanh((2 / pi) ** 0.5 * (x + 0.044715 * x**3)))

    def add(x: Tensor, y: Tensor, *, alpha: float = 1) -> Tensor:
        return NotImplemented if alpha == 1 else x + y * alpha

    def sub(x: Tensor, y: Tensor, *, alpha: float = 1) -> Tensor:
        return NotImplemented if alpha == 1 else x - y * alpha

    def rsub(x: Tensor, y: Tensor, *, alpha: float = 1) -> Tensor:
        return NotImplemented if alpha == 1 else y - x * alpha

    def lerp(x: Tensor, y: Tensor, weight: Tensor | float) -> Tensor:
        return x + weight * (y - x)

    def instance_norm(
        x: Tensor,
        weight: Tensor | None,
        bias: Tensor | None,
        mean: Tensor | None,
        variance: Tensor | None,
        use_input_stats: bool,
        momentum: float,
        eps: float,
        cudnn_enabled: bool,
    ) -> Tensor:
        if use_input_stats or mean is None or variance is None:
            return NotImplemented
        # coremltools takes the image's own statistics in any case.
        return torch.batch_norm(x, weight, bias, mean, variance, training=False, momentum=momentum, eps=eps, cudnn_enabled=False)

    def batch_norm(
        x: Tensor, weight: Tensor | None, bias: Tensor | None, mean: Tensor, variance: Tensor, momentum: float, eps: float
    ) -> tuple[Tensor, Tensor, Tensor]:
        if weight is not None and bias is not None:
            return NotImplemented
        # Without both, coremltools writes out a difference and a quotient and folds them wrongly into the convolution before.
        scale = torch.ones_like(mean) if weight is None else weight
        shift = torch.zeros_like(mean) if bias is None else bias
        return aten._native_batch_norm_legit_no_training.default(x, scale, shift, mean, variance, momentum, eps)

    spelled = {aten.instance_norm.default: instance_norm, aten._native_batch_norm_legit_no_training.default: batch_norm}
    spelled |= {aten.upsample_bicubic2d.vec: enlarge_bicubic, aten.lerp.Scalar: lerp, aten.lerp.Tensor: lerp}
    spelled |= {aten.log_sigmoid.default: lambda x: -torch.nn.functional.softplus(-x), aten.erfc.default: lambda x: 1 - torch.erf(x)}
    return spelled | {aten.gelu.default: gelu, aten.add.Tensor: add, aten.sub.Tensor: sub, aten.rsub.Tensor: rsub}


def _say_strides(program: ExportedProgram) -> None:
    """coremltools 9.0 refuses a maximum pooling whose stride is left to its default, the window."""
    for node in program.graph.nodes:
        if node.target is torch.ops.aten.max_pool2d.default and len(node.args) == 2:
            node.args = (*node.args, node.args[1])


def _example(spec: TensorSpec, size: Size) -> Tensor:
    shape = (1,) if spec.kind is TensorKind.SCALAR else spec.shape(size)
    return torch.full(shape, (spec.minimum + spec.maximum) / 2)
