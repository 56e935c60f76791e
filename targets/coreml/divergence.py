"""Where a package's results leave PyTorch's: every operation beside the node of the captured program that it came from."""

from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from torch import Tensor
from torch.export import ExportedProgram
from torch.fx import Interpreter, Node

from ...capture.program import operator_name
from ...metrics.difference import max_abs, snr_db
from ...model.graph import Arrays, Size
from ...recipe.precision import Precision
from ...system.silence import silence
from ..base import Divergence
from .interface import as_captured, to_package, with_interface
from .mil.evaluator import Evaluator
from .mil.package import open_package
from .refusal import module_paths

if TYPE_CHECKING:
    from ...capture.program import GraphProgram

# What the converter adds to a node's name.
SUFFIX = "_cast_fp16"
PROPORTIONAL_DB = 15.0


def divergence(path: Path, graph: "GraphProgram", precision: Precision, size: Size, inputs: Arrays) -> tuple[Divergence, ...]:
    """Every operation of a package that has a node of its name in the captured program, in order.

    Args:
        path: the package.
        precision: of the package: with INT8 the program it is compared with is the int8 one, fake quantisation included.
        inputs: of the graph, by name, as ``Runner.run`` takes them.
    """
    program = graph.int8_program if precision is Precision.INT8 else graph.float_program
    assert program is not None
    with silence():
        captured = with_interface(graph, program, [size]).program
        evaluator = Evaluator(open_package(path))
    return compare_operations(evaluator, captured, graph, inputs)


def compare_operations(evaluator: Evaluator, captured: ExportedProgram, graph: "GraphProgram", inputs: Arrays) -> tuple[Divergence, ...]:
    """The same, of an open package and the program that it was converted from, with its interface."""
    given = {spec.name: to_package(spec, inputs[spec.name]) for spec in graph.inputs}
    results: dict[str, np.ndarray] = {}
    evaluator.run(given, lambda name, values: results.update({name: values[0].numpy()}))
    recorder = _Recorder(captured.module(check_guards=False))
    with torch.no_grad():
        recorder.run(*(torch.from_numpy(as_captured(spec, value)) for spec, value in zip(graph.inputs, given.values(), strict=True)))
    paths = module_paths(graph, captured)
    rows = []
    for name, found in results.items():
        node = recorder.nodes.get(name.removesuffix(SUFFIX))
        if node is not None and (wanted := recorder.values[node.name].numpy()).shape == found.shape:
            unit = _unit(wanted, found)
            scaled = found * np.float32(unit)
            place = paths.get(node.name, "")
            rows.append(Divergence(name, operator_name(node), place, snr_db(wanted, scaled), max_abs(wanted, scaled), unit))
    return tuple(rows)


def _unit(wanted: np.ndarray, found: np.ndarray) -> float:
    """1, or the factor that makes two results alike which are not otherwise: the converter adds int8 tensors in units of a scale."""
    if snr_db(wanted, found) > 0:
        return 1.0
    energy = float(np.vdot(found, found))
    factor = float(np.vdot(found, wanted)) / energy if energy else 1.0
    return factor if snr_db(wanted, found * np.float32(factor)) > PROPORTIONAL_DB else 1.0


class _Recorder(Interpreter):
    """Keeps every float result by its node's name."""

    def __init__(self, module: torch.fx.GraphModule) -> None:
        super().__init__(module)
        self.nodes: dict[str, Node] = {}
        self.values: dict[str, Tensor] = {}

    def run_node(self, n: Node) -> Any:
        result = super().run_node(n)
        if n.op == "call_function" and isinstance(result, Tensor) and result.is_floating_point():
            self.nodes[n.name], self.values[n.name] = n, result
        return result
