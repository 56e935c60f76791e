"""A package that takes several sizes, compared with the program it was converted from at those that nobody measures otherwise."""

from collections.abc import Sequence
from pathlib import Path

from torch.export import ExportedProgram

from ...capture.program import GraphProgram
from ...model.graph import Size
from ...system.errors import CaptureError
from ...system.silence import silence
from .faithful import first_deviation
from .mil.evaluator import Evaluator
from .mil.package import open_package

# Far below what rounding costs a package, int8 included, and far above what a wrong shape or corner gives.
LEAST_SNR_DB = 12.0


def check_sizes(path: Path, graph: GraphProgram, captured: ExportedProgram, sizes: Sequence[Size]) -> None:
    """Runs the package and ``captured``, its program with its interface, at each size.

    Raises:
        CaptureError: they differ at one of them.
    """
    if not sizes:
        return
    with silence():
        evaluator = Evaluator(open_package(path))
    for size in sizes:
        deviation = first_deviation(evaluator, captured, graph, size, LEAST_SNR_DB)
        if deviation is not None:
            raise CaptureError(
                f"graph '{graph.name}': {deviation}; take that size out of more_sizes in [targets.options.coreml], "
                "or build a package for each of model.sizes"
            )
