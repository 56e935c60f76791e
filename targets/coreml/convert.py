"""A captured program to an ML program: coremltools' converter, at the oldest deployment target that the graph allows."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, cast

from torch.export import ExportedProgram

from ...model.graph import Size, TensorKind, TensorSpec
from ...recipe.precision import Precision
from ...system.errors import CaptureError
from ...system.silence import silence
from ..base import Finding
from .interface import colour_space, is_image, scale_and_bias, with_interface
from .options import DEPLOYMENT_TARGETS, CoreMLOptions
from .refusal import Refused, failing_node, place

if TYPE_CHECKING:
    from coremltools.models import MLModel

    from ...capture.program import GraphProgram

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
        Refused: an operator has no form in Core ML, or it needs a newer system than the options allow; names the module.
        CaptureError: the program has no int8, or is bound to one size.
    """
    program = graph.int8_program if precision is Precision.INT8 else graph.float_program
    if program is None:
        raise CaptureError(f'graph \'{graph.name}\' has no int8 program: set quantize.method to "qat" or "ptq" in the recipe')
    systems, sizes = deployment_targets(precision, options), options.sizes(size)
    if not systems:
        raise Refused(too_old(precision, options))
    with silence():
        shown = with_interface(graph, program, sizes)
        given = sizes if shown.flexible else (size,)
        found = _try(graph, shown.program, precision, given, systems)
    if isinstance(found, Converted):
        return found
    raise Refused(
        _explain(graph, shown.program, precision=precision, sizes=given, options=options, system=systems[-1], error=found)
    ) from found


def deployment_targets(precision: Precision, options: CoreMLOptions) -> tuple[str, ...]:
    """The systems that a graph may be converted for, oldest first; none if the options ask for one that is too old for the precision."""
    able = DEPLOYMENT_TARGETS[DEPLOYMENT_TARGETS.index(OLDEST[precision]) :]
    limit = options.minimum_deployment_target
    return able if limit is None else tuple(each for each in able if each == limit)


def too_old(precision: Precision, options: CoreMLOptions) -> Finding:
    """What is wrong with options that leave no system for a precision."""
    needed, limit = OLDEST[precision], options.minimum_deployment_target
    remedy = f'set it to "{needed}", or take {precision} out of targets.build.coreml'
    return Finding("[targets.options.coreml] minimum_deployment_target", f"{precision} needs {needed}, found {limit}", remedy)


def _try(
    graph: "GraphProgram", program: ExportedProgram, precision: Precision, sizes: Sequence[Size], systems: Sequence[str]
) -> Converted | Exception:
    """For the first system that will do, or why it is impossible for the last."""
    problem: Exception = ValueError("there is no system to convert for")
    for system in systems:
        try:
            model = _convert(graph, program, sizes, system)
            if precision is Precision.INT8_WEIGHTS:
                model = _with_int8_weights(model)
        except Exception as error:  # the converter raises whatever class it likes, also where a newer system would do
            problem = error
            continue
        return Converted(model, program, system, tuple(sizes[1:]))
    return problem


def _explain(
    graph: "GraphProgram",
    program: ExportedProgram,
    *,
    precision: Precision,
    sizes: Sequence[Size],
    options: CoreMLOptions,
    system: str,
    error: Exception,
) -> Finding:
    """What the converter has against a graph. A newer system is advised only if the graph converts for it."""
    cause = str(error).strip().splitlines() or ["no reason given"]
    problem = f"no form in Core ML for {system}: {type(error).__name__}: {cause[0]}"
    node, limit = failing_node(error), options.minimum_deployment_target
    newer = DEPLOYMENT_TARGETS[DEPLOYMENT_TARGETS.index(system) + 1 :]
    with silence():
        found = _try(graph, program, precision, sizes, newer) if limit is not None and newer else None
    if isinstance(found, Converted):
        remedy = f'it converts for {found.deployment_target}: raise minimum_deployment_target = "{limit}" in [targets.options.coreml]'
    else:
        remedy = "write that part of the model with other operators"
    return Finding(place(graph, program, node), f"node '{node}': {problem}" if node else problem, remedy)


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
