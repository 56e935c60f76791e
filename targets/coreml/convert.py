"""A captured program to an ML program: coremltools' converter, at the oldest deployment target that the graph allows."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, cast

from torch.export import ExportedProgram

from ...model.errors import CaptureError
from ...model.graph import Size, TensorKind, TensorSpec
from ..base import Precision
from ..silence import silence
from .interface import colour_space, is_image, scale_and_bias, with_interface
from .options import DEPLOYMENT_TARGETS, CoreMLOptions

if TYPE_CHECKING:
    from coremltools.models import MLModel

    from ...export.program import GraphProgram

# What each precision needs: int8 weights came with iOS 16, int8 activations with iOS 17.
OLDEST = {Precision.FLOAT16: "iOS15", Precision.INT8_WEIGHTS: "iOS16", Precision.INT8: "iOS17"}


@dataclass(frozen=True)
class Converted:
    """An ML program in memory.

    Attributes:
        captured: what was converted: the program with its interface.
        deployment_target: that it needs, e.g. ``iOS17``.
        more_sizes: that it takes besides the program's own.
    """

    model: "MLModel"
    captured: ExportedProgram
    deployment_target: str
    more_sizes: tuple[Size, ...]


def convert(graph: "GraphProgram", precision: Precision, size: Size, options: CoreMLOptions) -> Converted:
    """Converts one graph.

    Raises:
        CaptureError: an operator has no form in Core ML, the program has no int8, or it needs a newer system than the options allow.
    """
    program = graph.int8_program if precision is Precision.INT8 else graph.float_program
    if program is None:
        raise CaptureError(f'graph \'{graph.name}\' has no int8 program: set quantize.method to "qat" or "ptq" in the recipe')
    sizes = options.sizes(size)
    refused: dict[str, Exception] = {}
    with silence():
        shown = with_interface(graph, program, sizes)
        for candidate in _candidates(precision, options, graph.name):
            try:
                model = _convert(graph, shown.program, sizes if shown.flexible else (size,), candidate)
                if precision is Precision.INT8_WEIGHTS:
                    model = _with_int8_weights(model)
            except Exception as error:  # the converter raises whatever class it likes, also where a newer system would do
                refused[candidate] = error
                continue
            return Converted(model, shown.program, candidate, sizes[1:] if shown.flexible else ())
    newest, error = list(refused.items())[-1]
    cause = str(error).strip().splitlines() or [type(error).__name__]
    limit = options.minimum_deployment_target
    way_out = f"allow a newer system than {limit} in [targets.options.coreml], or " if limit else ""
    raise CaptureError(
        f"graph '{graph.name}' has no form in Core ML for {newest}: {type(error).__name__}: {cause[0]}; "
        f"{way_out}write that part of the model with other operators"
    ) from error


def _candidates(precision: Precision, options: CoreMLOptions, graph: str) -> Sequence[str]:
    """Deployment targets to try, oldest first."""
    able = DEPLOYMENT_TARGETS[DEPLOYMENT_TARGETS.index(OLDEST[precision]) :]
    limit = options.minimum_deployment_target
    if limit is None:
        return able
    if limit not in able:
        raise CaptureError(
            f"graph '{graph}': {precision} needs {able[0]}, and [targets.options.coreml] says minimum_deployment_target = \"{limit}\"; "
            f"raise it to {able[0]}, or build float16"
        )
    return (limit,)


def _convert(graph: "GraphProgram", program: Any, sizes: Sequence[Size], deployment_target: str) -> "MLModel":
    import coremltools as ct

    return cast(Any, ct).convert(
        program,
        inputs=[_input(spec, sizes) for spec in graph.inputs],
        outputs=[_output(spec) for spec in graph.outputs],
        convert_to="mlprogram",
        minimum_deployment_target=ct.target[deployment_target],
        compute_precision=ct.precision.FLOAT16,
        skip_model_load=True,
    )


def _input(spec: TensorSpec, sizes: Sequence[Size]) -> Any:
    import coremltools as ct

    if spec.kind is TensorKind.SCALAR:
        return ct.TensorType(name=spec.name, shape=(1,))
    shapes = list(dict.fromkeys(spec.shape(size) for size in sizes))
    shape = shapes[0] if len(shapes) == 1 else ct.EnumeratedShapes(shapes=[list(each) for each in shapes], default=list(shapes[0]))
    if not is_image(spec):
        return ct.TensorType(name=spec.name, shape=shape)
    scale, bias = scale_and_bias(spec)
    return ct.ImageType(name=spec.name, shape=shape, scale=scale, bias=bias if spec.channels > 1 else bias[0], color_layout=_layout(spec))


def _output(spec: TensorSpec) -> Any:
    import coremltools as ct

    return ct.ImageType(name=spec.name, color_layout=_layout(spec)) if is_image(spec) else ct.TensorType(name=spec.name)


def _layout(spec: TensorSpec) -> Any:
    import coremltools as ct

    return ct.colorlayout[colour_space(spec)]


def _with_int8_weights(model: "MLModel") -> "MLModel":
    """Weights of at least 2048 numbers as int8, symmetric, with a scale for each output channel."""
    from coremltools.optimize.coreml import OpLinearQuantizerConfig, OptimizationConfig, linear_quantize_weights

    each = OpLinearQuantizerConfig(mode="linear_symmetric", dtype="int8", granularity="per_channel")
    return cast(Any, linear_quantize_weights(model, OptimizationConfig(global_config=each)))
