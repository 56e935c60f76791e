"""Measurements and verdicts as data. Measurements are stored apart from limits, so that a stored run can be judged again."""

import math
from dataclasses import dataclass, field
from enum import StrEnum

import numpy as np
from pydantic import with_config

from ...metrics.statistics import can_carry
from ...recipe.precision import Precision
from .codec import STRICT
from .departure import Departures
from .evidence import Evidence
from .half_range import HalfRange
from .numbers import Count
from .timing import Latency, Machine


class Status(StrEnum):
    """What is known about an artifact. Only PASSED is a pass.

    GRAPH_PARITY: its graph kept every limit of quality and size in an evaluator that stands in for the runtime; it was not executed.
    VENDOR_CPU: the artifact itself did, executed by its vendor's own library on this CPU and by nothing else; not on the vendor's hardware.
    UNDECIDED: it missed no limit, but a speed has its limit inside its interval, or was measured on a busy machine.
    """

    PASSED = "passed"
    GRAPH_PARITY = "graph_parity"
    VENDOR_CPU = "vendor_cpu"
    UNDECIDED = "undecided"
    FAILED = "failed"
    NOT_EXECUTED = "not_executed"


@dataclass(frozen=True)
class Score:
    """One output of one sample against the float PyTorch reference.

    Attributes:
        sample: name of the sample.
        ssim: Wang et al. 2004, in [-1, 1]; None for an output that is no image.
        psnr_db: against the output's range; ``inf`` for equality. For a vector, the signal-to-noise ratio.
        max_abs: in units of the output.
    """

    sample: str
    ssim: float | None
    psnr_db: float
    max_abs: float

    @property
    def is_finite(self) -> bool:
        """False if NaN or Inf was anywhere in the output. An infinite PSNR is that of equality."""
        values = (self.max_abs,) if self.ssim is None else (self.max_abs, self.ssim)
        return all(map(math.isfinite, values)) and not math.isnan(self.psnr_db)


@dataclass(frozen=True)
class Spread:
    """Mean, 5th percentile and worst of one metric; NaN in any score makes all three NaN.

    Attributes:
        fifth_percentile: None where there are too few scores to carry it.
        worst_sample: name of the sample of the worst score.
    """

    mean: float
    fifth_percentile: float | None
    worst: float
    worst_sample: str

    @classmethod
    def of(cls, values: tuple[tuple[str, float], ...]) -> "Spread | None":
        """Of a metric for which more is better, by sample; None of no values."""
        if not values:
            return None
        worst_sample, worst = min(values, key=lambda entry: -math.inf if math.isnan(entry[1]) else entry[1])
        numbers = np.array([value for _, value in values])
        fifth = float(np.percentile(numbers, 5)) if can_carry(5, len(numbers)) else None
        return cls(float(numbers.mean()), fifth, worst, worst_sample)


@dataclass(frozen=True)
class Quality:
    """Scores of one graph, or end to end, on all samples.

    Attributes:
        scores: of the ordinary samples; statistics are taken over these alone.
        hard_scores: of the hard samples, judged and shown by name.
    """

    scores: tuple[Score, ...]
    hard_scores: tuple[Score, ...]

    def ssim(self) -> Spread | None:
        """Over the ordinary samples; None if none of the outputs is an image."""
        return Spread.of(tuple((score.sample, score.ssim) for score in self.scores if score.ssim is not None))

    def hard_ssim(self) -> Spread | None:
        """Over the hard samples; None if there are none or the outputs are no images."""
        return Spread.of(tuple((score.sample, score.ssim) for score in self.hard_scores if score.ssim is not None))

    def psnr_db(self) -> Spread | None:
        """Over the ordinary samples; for a vector, of the signal-to-noise ratio."""
        return Spread.of(tuple((score.sample, score.psnr_db) for score in self.scores))


@dataclass(frozen=True)
class GraphExecution:
    """What executed for one graph (see targets.base.Execution).

    Attributes:
        graph: name of the graph.
        provider: what executed it, e.g. ``CPUExecutionProvider``.
        convolutions: convolutions in the graph that the runtime executes, after its own optimisation.
        int8_convolutions: those of them that are int8 kernels.
        int8_convolutions_asked: how many had to be.
        overflow: the first operation that float16 made infinite; empty if none was seen.
    """

    graph: str
    provider: str
    convolutions: Count
    int8_convolutions: Count
    int8_convolutions_asked: Count
    overflow: str = ""


@dataclass(frozen=True)
class UnitMeasurements:
    """The same artifact on another compute unit of the machine.

    Attributes:
        unit: name of the compute unit, e.g. ``cpu and gpu``.
        end_to_end: through the scenario.
        graphs: each graph alone, on the reference's own inputs.
        latency: one entry a graph.
        executions: one entry a graph.
        departures: end to end, beside the float network that the artifact was made of.
    """

    unit: str
    end_to_end: Quality
    graphs: tuple[tuple[str, Quality], ...]
    latency: tuple[Latency, ...]
    executions: tuple[GraphExecution, ...]
    departures: Departures


@with_config(STRICT)
@dataclass(frozen=True)
class Measurements:
    """All that was measured about one artifact.

    Attributes:
        artifact: name of the artifact, e.g. ``android-int8-512x512``.
        precision: of its convolutions; an int8 artifact has to be faster than float.
        hot_graph: the graph that runs once per image; speed limits apply to it.
        end_to_end: through the scenario.
        graphs: each graph alone, on the reference's own inputs.
        latency: one entry a graph.
        executions: one entry a graph.
        peak_memory_bytes: resident memory over the baseline of a process that only imported the runtime.
        shipped_bytes: what an app must carry.
        machine: where and under what load latency was measured.
        evidence: what was measured, and on what, by content.
        evaluator: what computed the outputs in the place of the artifact's runtime, and what it was not executed on; empty where the
            artifact itself ran where it belongs. There are no latencies and no memory then.
        by_vendor: whether the evaluator is the vendor's own library, which executed the artifact itself.
        unit: the compute unit that all this is of, where there are several.
        other_units: the others.
        half_range: how much of float16's range it needs; null if it computes nothing in float16.
        departures: end to end, beside the float network that the artifact was made of.
    """

    artifact: str
    precision: Precision
    hot_graph: str
    end_to_end: Quality
    graphs: tuple[tuple[str, Quality], ...]
    latency: tuple[Latency, ...]
    executions: tuple[GraphExecution, ...]
    peak_memory_bytes: Count
    shipped_bytes: Count
    machine: Machine
    evidence: Evidence
    evaluator: str = ""
    by_vendor: bool = False
    unit: str = ""
    other_units: tuple[UnitMeasurements, ...] = ()
    half_range: HalfRange | None = None
    departures: Departures = field(default_factory=Departures)

    @property
    def own_unit(self) -> UnitMeasurements:
        """What was measured on the first compute unit, as of the others."""
        return UnitMeasurements(self.unit, self.end_to_end, self.graphs, self.latency, self.executions, self.departures)

    def latency_of(self, graph: str) -> Latency | None:
        """Of that graph; None if it was not measured."""
        return {latency.graph: latency for latency in self.latency}.get(graph)
