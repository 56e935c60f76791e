"""What stands in the way of a conversion, with the module that the converter was at when it gave up."""

import re

from torch.export import ExportedProgram

from ...capture.program import GraphProgram, module_path
from ...system.errors import CaptureError
from ..base import Finding

# Functions of coremltools that hold the node they translate in a variable of that name.
TRANSLATING = ("convert_nodes", "convert_single_node", "from_exir_node")


class Refused(CaptureError):
    """A graph that cannot be converted."""

    def __init__(self, finding: Finding) -> None:
        super().__init__(str(finding))
        self.finding = finding


def failing_node(error: BaseException) -> str:
    """Name of the node that coremltools was translating when it raised, which its errors seldom say; empty if nothing tells.

    Passes over the whole graph name an operation, which begins with the name of the node that it comes from.
    """
    layer = re.search(r"[Ll]ayer \"(\w+?)(_cast_fp16)?\"", str(error))
    name, trace = layer[1] if layer else "", error.__traceback__
    while trace is not None:
        if trace.tb_frame.f_code.co_name in TRANSLATING:
            name = str(getattr(trace.tb_frame.f_locals.get("node"), "name", name))
        trace = trace.tb_next
    return name


def place(graph: GraphProgram, shown: ExportedProgram | None, node: str) -> str:
    """Graph and module path of a node of the program with its interface; the graph alone if nothing tells."""
    paths = module_paths(graph, shown)
    return f"{graph.name}.{paths[node]}" if paths.get(node) else f"graph '{graph.name}'"


def module_paths(graph: GraphProgram, shown: ExportedProgram | None) -> dict[str, str]:
    """Module paths by the node names of a program that was captured a second time, which remembers names and not modules."""
    programs = [each for each in (graph.float_program, graph.int8_program) if each is not None]
    known = {node.name: module_path(node) for program in programs for node in program.graph.nodes}
    paths = dict(known)
    for node in shown.graph.nodes if shown is not None else ():
        sources = node.meta.get("from_node") or []
        if sources and sources[-1].name in known:
            paths[node.name] = known[sources[-1].name]
    return paths
