"""What an artifact is judged by where its own runtime ran: whether it is fast enough, as far as the measurement decides that."""

from collections.abc import Iterator
from dataclasses import replace
from typing import TYPE_CHECKING

from ..targets.base import Precision
from .comparison import MILLISECONDS, RATIO, Check, Quantity, at_least, at_most
from .measurements import Latency, Machine, Measurements

if TYPE_CHECKING:
    from .limits import Limits


def speed_checks(measurements: Measurements, limits: "Limits") -> Iterator[Check]:
    """Of every graph, the hot one last."""
    hot = measurements.hot_graph
    for graph in sorted((name for name, _ in measurements.graphs), key=hot.__eq__):
        precision, latency = measurements.precision, measurements.latency_of(graph)
        own = limits if graph == hot else None
        yield from graph_checks(measurements.artifact, graph, precision, latency, own, measurements.machine)
    if hot not in dict(measurements.graphs):
        yield from limit_checks(measurements.artifact, hot, None, limits, "")


def graph_checks(
    artifact: str, graph: str, precision: Precision, latency: Latency | None, limits: "Limits | None", machine: Machine
) -> Iterator[Check]:
    """Int8 that is slower than float is a failure of its own, on any graph; ``limits`` are those of the hot graph, None for another."""
    doubt = f"other processes took {machine.busy_elsewhere:.0%} of the machine meanwhile" if machine.is_disturbed else ""
    if precision is Precision.INT8:
        for result in at_least(f"int8_faster_than_float:{graph}", artifact, _over_ort_float(graph, latency, doubt), 1.0):
            failed = not result.passed and not result.undecided and result.measured is not None
            yield replace(result, sentence=result.sentence + "; ship float here") if failed else result
    if limits is not None:
        yield from limit_checks(artifact, graph, latency, limits, doubt)


def limit_checks(artifact: str, graph: str, latency: Latency | None, limits: "Limits", doubt: str) -> Iterator[Check]:
    """One check for each limit of speed that is set."""
    yield from at_least("min_over_ort_float", artifact, _over_ort_float(graph, latency, doubt), limits.min_over_ort_float)
    yield from at_least("min_over_pytorch", artifact, _over_pytorch(graph, latency, doubt), limits.min_over_pytorch)
    yield from at_most("max_p50_ms", artifact, _p50(graph, latency, doubt), limits.max_p50_ms)


def _over_ort_float(graph: str, latency: Latency | None, doubt: str) -> Quantity:
    what = f"speed of graph '{graph}' against ONNX Runtime float"
    if latency is None:
        return Quantity(what, None, RATIO)
    interval = (latency.over_ort_float_low, latency.over_ort_float_high)
    return Quantity(what, latency.over_ort_float, RATIO, interval, doubt, latency.processes)


def _over_pytorch(graph: str, latency: Latency | None, doubt: str) -> Quantity:
    what = f"speed of graph '{graph}' against PyTorch eager float"
    if latency is None:
        return Quantity(what, None, RATIO)
    interval = (latency.over_pytorch_low, latency.over_pytorch_high)
    return Quantity(what, latency.over_pytorch, RATIO, interval, doubt, latency.processes)


def _p50(graph: str, latency: Latency | None, doubt: str) -> Quantity:
    what = f"median time of graph '{graph}'"
    if latency is None:
        return Quantity(what, None, MILLISECONDS)
    timing = latency.artifact
    return Quantity(what, timing.p50_ms, MILLISECONDS, (timing.p50_low_ms, timing.p50_high_ms), doubt, latency.processes)
