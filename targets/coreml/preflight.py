"""What Core ML will not like about a model, found in seconds, before anything is trained: mostly by converting it for trial."""

import tempfile
from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, cast

from ...capture.program import GraphProgram, Program, module_path
from ...recipe.precision import Precision
from ...system.errors import CaptureError
from ...system.silence import silence
from ..base import Finding
from .convert import convert, deployment_targets, too_old
from .faithful import check_faithful
from .interface import MISCONVERTED, with_interface
from .known_operators import is_known, overload
from .options import CoreMLOptions
from .package import write_package
from .refusal import Refused, place

if TYPE_CHECKING:
    from torch.fx import Node

PADS = ("aten::pad", *(f"aten::{mode}_pad{dimensions}d" for mode in ("reflection", "replication") for dimensions in (1, 2, 3)))
OTHERWISE = "write that line of the model with other operators"


def findings(program: Program, precisions: Sequence[Precision], options: CoreMLOptions) -> tuple[Finding, ...]:
    """What the converter refuses, by module path, for the systems that ``emit`` would try; and what converts and then fails in Core ML."""
    able = [precision for precision in precisions if deployment_targets(precision, options)]
    found = [too_old(precision, options) for precision in precisions if precision not in able]
    for graph in program.graphs:
        nodes = [node for node in graph.float_program.graph.nodes if node.op == "call_function"]
        broken = [*_antialiasing(graph, nodes, options), *_padding(graph, nodes, options)]
        found += broken or _trial(graph, program, able, options)
    return tuple(dict.fromkeys(found))


def _antialiasing(graph: GraphProgram, nodes: "Sequence[Node]", options: CoreMLOptions) -> Iterator[Finding]:
    """In a package of several sizes; in one of a single size it is written out."""
    for node in nodes if options.more_sizes else ():
        if node.target in MISCONVERTED:
            yield Finding(_place(graph, node), MISCONVERTED[node.target], f"resize without it, or {_single(options)}")


def _padding(graph: GraphProgram, nodes: "Sequence[Node]", options: CoreMLOptions) -> Iterator[Finding]:
    """Of reflection and replication; zeros are no problem. It converts, and fails when Core ML runs it."""
    for node in nodes:
        if _operator(node) not in PADS or _pads_with_zeros(node):
            continue
        if len(cast(Sequence[int], node.args[1])) > 4:  # https://github.com/apple/coremltools/issues/2576
            yield Finding(_place(graph, node), "Core ML reflects and replicates two dimensions at most", "pad with zeros")
        elif options.more_sizes:  # https://github.com/apple/coremltools/issues/1438
            problem = "Core ML fails on reflection and replication padding in a package of several sizes"
            yield Finding(_place(graph, node), problem, f"pad with zeros, or {_single(options)}")


def _single(options: CoreMLOptions) -> str:
    """What to do where only packages of a single size are possible."""
    listed = ", ".join(f"[{height}, {width}]" for height, width in options.more_sizes)
    return f"take more_sizes = [{listed}] out of [targets.options.coreml] and list the sizes in model.sizes"


def _pads_with_zeros(node: "Node") -> bool:
    given = node.args[2] if len(node.args) > 2 else node.kwargs.get("mode", "constant")
    return _operator(node) == "aten::pad" and given not in ("reflect", "replicate")


def _trial(graph: GraphProgram, program: Program, precisions: Sequence[Precision], options: CoreMLOptions) -> tuple[Finding, ...]:
    """The float program goes through the converter; int8 differs from it by operators that are known to be there.

    What converts for the systems of one precision will do for every other that may take more of them.
    """
    for precision in sorted(precisions, key=lambda each: len(deployment_targets(each, options))):
        try:
            with silence():
                _convert(replace(graph, int8_program=graph.float_program), precision, program, options)
        except Refused as error:
            unknown = tuple(_unknown_operators(graph, program, options))
            return unknown or (error.finding,)
        except CaptureError as error:
            problem, _, remedy = str(error).partition("; ")
            return (Finding(f"graph '{graph.name}'", problem, remedy or OTHERWISE),)
        break
    return ()


def _convert(graph: GraphProgram, precision: Precision, program: Program, options: CoreMLOptions) -> None:
    converted = convert(graph, precision, program.size, options)
    with tempfile.TemporaryDirectory(prefix="instantstyle-") as folder:
        path = Path(folder) / f"{graph.name}.mlpackage"
        write_package(converted.model, program, graph, precision, path)
        # Whatever the precision, it is the float program that was converted.
        least = precision if precision is Precision.INT8_WEIGHTS else Precision.FLOAT16
        check_faithful(path, graph, converted.captured, least, program.size)


def _unknown_operators(graph: GraphProgram, program: Program, options: CoreMLOptions) -> Iterator[Finding]:
    """All that the converter has no translation of, looked up under the names that it looks for itself."""
    with silence():
        shown = with_interface(graph, graph.float_program, options.sizes(program.size)).program
    for node in shown.graph.nodes:
        if not is_known(node):
            yield Finding(place(graph, shown, node.name), f"Core ML has no form of '{_operator(node)}'", OTHERWISE)


def _operator(node: "Node") -> str:
    """Without its overload, e.g. ``aten::conv2d``."""
    return overload(node).partition(".")[0]


def _place(graph: GraphProgram, node: "Node") -> str:
    path = module_path(node)
    return f"{graph.name}.{path}" if path else graph.name
