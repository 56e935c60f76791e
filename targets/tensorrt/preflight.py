"""The nodes that TensorRT's own parser refuses, with the module that each comes from."""

import tempfile
from collections.abc import Iterator
from pathlib import Path

from ...capture.program import GraphProgram, Program, module_path, operator_name
from ...recipe.precision import Precision
from ...system.errors import CaptureError
from ..base import Finding
from ..onnx.exporter import to_onnx
from ..onnx.half import too_large
from ..onnx.target import save
from .bindings import Product, probe
from .builder import describe, refused_nodes
from .options import TensorRTOptions


def findings(product: Product, program: Program, options: TensorRTOptions) -> tuple[Finding, ...]:
    """Of the float program: int8 differs from it by Q/DQ nodes that are known to be taken."""
    found = [*_capabilities(product, options)]
    for graph in program.graphs:
        found += _of_graph(product, graph, program)
    return tuple(found)


def _capabilities(product: Product, options: TensorRTOptions) -> Iterator[Finding]:
    able = probe(product).capabilities
    for capability in options.capabilities if product.ahead_of_time else ():
        if capability not in able:
            known = ", ".join(map(str, able))
            problem = f"{product.title} {probe(product).version} does not build for compute capability {capability}"
            yield Finding(f"[targets.options.{product.target}] capabilities", problem, f"take it out; it builds for {known}")


def _of_graph(product: Product, graph: GraphProgram, program: Program) -> Iterator[Finding]:
    try:
        model = to_onnx(graph, Precision.FLOAT32, program.size)
    except CaptureError as error:
        problem, _, remedy = str(error).rpartition("; ")
        yield Finding(f"graph '{graph.name}'", problem, remedy)
        return
    yield from too_large(graph, Precision.FLOAT32, program.size)
    with tempfile.TemporaryDirectory(prefix="instantstyle-") as folder:
        file = Path(folder) / f"{graph.name}.onnx"
        save(model, file)
        for refusal in refused_nodes(product, file):
            place = module_of(graph, str(refusal["node"]), str(refusal["operator"]))
            yield Finding(
                f"{graph.name}.{place}" if place else graph.name, describe(refusal), "write that line of the model with other operators"
            )


def module_of(graph: GraphProgram, node: str, operator: str) -> str:
    """Path of the module that an ONNX node comes from, or several with ``or`` between them; empty if nothing tells.

    The exporter names most nodes after the captured program's, with a number behind; otherwise the operator's name has to do.
    """
    nodes = [each for each in graph.float_program.graph.nodes if each.op == "call_function"]
    named = sorted((each for each in nodes if each.name in node), key=lambda each: len(each.name))
    alike = [each for each in nodes if operator and operator.lower() in operator_name(each).replace("_", "")]
    found = named[-1:] or alike
    return " or ".join(dict.fromkeys(path for each in found if (path := module_path(each))))
