"""What an artifact is judged by where its own runtime ran: whether it is fast enough, as far as the measurement decides that."""

from collections.abc import Iterator
from dataclasses import replace
from typing import TYPE_CHECKING

from ...recipe.precision import Precision
from ..results.measurements import Measurements
from ..results.timing import Latency
from .quantity import MILLISECONDS, RATIO, Check, Quantity, Unit, at_least, at_most

if TYPE_CHECKING:
    from ...recipe.limits import Limits


def speed_checks(measurements: Measurements, limits: "Limits") -> Iterator[Check]:
    """Of every graph, the hot one last."""
    hot, machine = measurements.hot_graph, measurements.machine
    doubt = f"other processes took {machine.busy_elsewhere:.0%} of the machine meanwhile" if machine.is_disturbed else ""
    for graph in sorted((name for name, _ in measurements.graphs), key=hot.__eq__):
        own, latency = limits if graph == hot else None, measurements.latency_of(graph)
        yield from graph_checks(measurements.artifact, graph, precision=measurements.precision, latency=latency, limits=own, doubt=doubt)
    if hot not in dict(measurements.graphs):
        yield from _limit_checks(measurements.artifact, hot, None, limits, "")


def graph_checks(
    artifact: str, graph: str, *, precision: Precision, latency: Latency | None, limits: "Limits | None", doubt: str = ""
) -> Iterator[Check]:
    """Int8 that is slower than float is a failure of its own, on any graph.

    Args:
        limits: those of the hot graph, None for another.
        doubt: what makes the times doubtful, as it stands in a sentence.
    """
    if precision is Precision.INT8:
        for result in at_least(f"int8_faster_than_float:{graph}", artifact, _over_ort_float(graph, latency, doubt), 1.0):
            failed = not result.passed and not result.undecided and result.measured is not None
            yield replace(result, sentence=result.sentence + "; ship float here") if failed else result
    if limits is not None:
        yield from _limit_checks(artifact, graph, latency, limits, doubt)


def _limit_checks(artifact: str, graph: str, latency: Latency | None, limits: "Limits", doubt: str) -> Iterator[Check]:
    """One check for each limit of speed that is set."""
    over_pytorch = latency and (latency.over_pytorch, latency.over_pytorch_low, latency.over_pytorch_high)
    pytorch = _quantity(f"speed of graph '{graph}' against PyTorch eager float", RATIO, latency, over_pytorch, doubt)
    took = latency and (latency.artifact.p50_ms, latency.artifact.p50_low_ms, latency.artifact.p50_high_ms)
    p50 = _quantity(f"median time of graph '{graph}'", MILLISECONDS, latency, took, doubt)
    yield from at_least("min_over_ort_float", artifact, _over_ort_float(graph, latency, doubt), limits.min_over_ort_float)
    yield from at_least("min_over_pytorch", artifact, pytorch, limits.min_over_pytorch)
    yield from at_most("max_p50_ms", artifact, p50, limits.max_p50_ms)


def _over_ort_float(graph: str, latency: Latency | None, doubt: str) -> Quantity:
    found = latency and (latency.over_ort_float, latency.over_ort_float_low, latency.over_ort_float_high)
    return _quantity(f"speed of graph '{graph}' against ONNX Runtime float", RATIO, latency, found, doubt)


def _quantity(what: str, unit: Unit, latency: Latency | None, found: tuple[float, float, float] | None, doubt: str) -> Quantity:
    """Args: ``found``: value, low and high end; None if it was not measured."""
    if latency is None or found is None:
        return Quantity(what, None, unit)
    value, low, high = found
    return Quantity(what, value, unit, (low, high), doubt, latency.processes)
