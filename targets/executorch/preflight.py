"""What ExecuTorch refuses of a model, by module path, before anything is trained: its compiler is asked, without XNNPACK."""

from collections.abc import Iterator

from torch.fx import Node

from ...capture.program import GraphProgram, Program, module_path, operator_name
from ...system.silence import silence
from ..base import Finding
from .lower import cause, prepared

OTHERWISE = "write that line of the model with other operators"


def findings(program: Program) -> tuple[Finding, ...]:
    """Of the float program: int8 differs from it by operators that are known to be taken."""
    return tuple(dict.fromkeys(finding for graph in program.graphs for finding in _of_graph(graph)))


def _of_graph(graph: GraphProgram) -> Iterator[Finding]:
    from executorch.exir import to_edge

    try:
        with silence(native=True):
            edge = to_edge(prepared(graph.float_program)).exported_program()
    except Exception as error:  # it fails with many unrelated classes
        yield Finding(f"graph '{graph.name}'", f"no form in ExecuTorch: {cause(error)}", OTHERWISE)
        return
    known = _kernels()
    for node in edge.graph.nodes:
        if node.op == "call_function" and not _has_kernel(node, known):
            path = module_path(node)
            place = f"{graph.name}.{path}" if path else f"graph '{graph.name}'"
            yield Finding(place, f"ExecuTorch has no kernel of '{operator_name(node)}'", OTHERWISE)


def _has_kernel(node: Node, known: frozenset[str]) -> bool:
    schema = getattr(node.target, "_schema", None)
    # Without a schema it is Python's, such as the choice of one of several results.
    return schema is None or schema.name in known


def _kernels() -> frozenset[str]:
    """Names without overloads of what the runtime computes by itself."""
    from executorch.runtime import Runtime

    with silence(native=True):
        return frozenset(name.partition(".")[0] for name in Runtime.get().operator_registry.operator_names)
