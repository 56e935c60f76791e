"""What Core ML will not like about a model, found in seconds, before anything is trained."""

from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, Any, cast

from ...export.program import GraphProgram, Program, module_path
from ...model.errors import CaptureError
from ..base import Finding, Precision
from ..silence import silence
from .convert import OLDEST, convert
from .interface import MISCONVERTED
from .options import DEPLOYMENT_TARGETS, CoreMLOptions

if TYPE_CHECKING:
    from torch.fx import Node

PADS = ("aten::pad", *(f"aten::{mode}_pad{dimensions}d" for mode in ("reflection", "replication") for dimensions in (1, 2, 3)))


def findings(program: Program, precisions: Sequence[Precision], options: CoreMLOptions) -> tuple[Finding, ...]:
    """Every operator without a form in Core ML by module path, then what several sizes and old systems do not allow.

    Where nothing of the kind is found, the float program is converted for trial.
    """
    found = [*_deployment_target(precisions, options)]
    for graph in program.graphs:
        with silence():
            decomposed = graph.float_program.run_decompositions({})
        nodes = [node for node in decomposed.graph.nodes if node.op == "call_function"]
        found += [*_unknown_operators(graph, nodes), *_padding(graph, nodes, options)]
    return tuple(found or _trial(program, precisions, options))


def _deployment_target(precisions: Sequence[Precision], options: CoreMLOptions) -> Iterator[Finding]:
    names, limit = DEPLOYMENT_TARGETS, options.minimum_deployment_target
    for precision in precisions:
        needed = OLDEST[precision]
        if limit is not None and names.index(limit) < names.index(needed):
            yield Finding(
                "[targets.options.coreml] minimum_deployment_target",
                f"{precision} needs {needed}, found {limit}",
                f'set it to "{needed}", or take {precision} out of targets.build.coreml',
            )


def _unknown_operators(graph: GraphProgram, nodes: "Sequence[Node]") -> Iterator[Finding]:
    from coremltools.converters.mil.frontend.torch.torch_op_registry import _TORCH_OPS_REGISTRY as registry

    for node in nodes:
        name = _operator(node)
        if node.target in MISCONVERTED:
            yield Finding(_place(graph, node), MISCONVERTED[node.target], "resize without it")
        elif registry.get_func(name) is None:
            yield Finding(_place(graph, node), f"Core ML has no form of '{name}'", "write that line of the model with other operators")


def _padding(graph: GraphProgram, nodes: "Sequence[Node]", options: CoreMLOptions) -> Iterator[Finding]:
    """Of reflection and replication; zeros are no problem."""
    for node in nodes:
        if _operator(node) not in PADS or _pads_with_zeros(node):
            continue
        if len(cast(Sequence[int], node.args[1])) > 4:  # https://github.com/apple/coremltools/issues/2576
            yield Finding(_place(graph, node), "Core ML reflects and replicates two dimensions at most", "pad with zeros")
        elif options.more_sizes:  # https://github.com/apple/coremltools/issues/1438
            yield Finding(
                _place(graph, node),
                "Core ML fails on reflection and replication padding in a package of several sizes",
                "pad with zeros, or drop more_sizes and build a package for each of model.sizes",
            )


def _pads_with_zeros(node: "Node") -> bool:
    given = node.args[2] if len(node.args) > 2 else node.kwargs.get("mode", "constant")
    return _operator(node) == "aten::pad" and given not in ("reflect", "replicate")


def _trial(program: Program, precisions: Sequence[Precision], options: CoreMLOptions) -> Iterator[Finding]:
    """The float program goes through the converter; int8 differs from it by operators that are known to be there."""
    oldest = max((OLDEST[precision] for precision in precisions), key=DEPLOYMENT_TARGETS.index)
    limited = options if options.minimum_deployment_target else options.model_copy(update={"minimum_deployment_target": oldest})
    for graph in program.graphs:
        try:
            convert(graph, Precision.FLOAT16, program.size, limited)
        except CaptureError as error:
            problem, _, remedy = str(error).partition("; ")
            yield Finding(f"graph '{graph.name}'", problem, remedy)


def _operator(node: "Node") -> str:
    """``aten::conv2d``."""
    target: Any = node.target
    return target.name().partition(".")[0] if hasattr(target, "name") else str(getattr(target, "__name__", target))


def _place(graph: GraphProgram, node: "Node") -> str:
    path = module_path(node)
    return f"{graph.name}.{path}" if path else graph.name
