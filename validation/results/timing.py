"""Times: of one contestant, of a graph beside its baselines, and of the machine around them."""

import math
from dataclasses import dataclass
from typing import Annotated

from pydantic import Field

from .numbers import Count, NotNegative, Positive, Share

DISTURBING_SHARE = 0.1


@dataclass(frozen=True)
class Timing:
    """Latency of one contestant.

    Attributes:
        name: ``artifact``, ``ort_float`` or ``pytorch``.
        runs: how many were timed.
        p50_ms: median; of several processes, the geometric mean of theirs.
        p50_low_ms, p50_high_ms: its 95% interval.
        p90_ms: None where there are too few runs to carry it.
    """

    name: str
    runs: Count
    p50_ms: Positive
    p50_low_ms: Positive
    p50_high_ms: Positive
    p90_ms: Positive | None

    @property
    def frames_per_second(self) -> float:
        """At the median; of a median of zero, infinite."""
        return 1000 / self.p50_ms if self.p50_ms else math.inf


@dataclass(frozen=True)
class Latency:
    """One graph against its float baselines, interleaved in one run.

    Attributes:
        graph: name of the graph.
        artifact: the artifact under test.
        ort_float: the same graph in float in ONNX Runtime.
        pytorch: the same graph in PyTorch, eager, in float.
        over_ort_float: median time of ONNX Runtime float divided by the artifact's (higher is faster).
        over_pytorch: the same against PyTorch eager float.
        over_ort_float_low, over_ort_float_high: 95% interval of over_ort_float.
        over_pytorch_low, over_pytorch_high: 95% interval of over_pytorch.
        processes: independent processes that all this was measured in.
    """

    graph: str
    artifact: Timing
    ort_float: Timing
    pytorch: Timing
    over_ort_float: Positive
    over_pytorch: Positive
    over_ort_float_low: Positive
    over_ort_float_high: Positive
    over_pytorch_low: Positive
    over_pytorch_high: Positive
    processes: Annotated[int, Field(ge=1)] = 1


@dataclass(frozen=True)
class Machine:
    """Where and under what load latency was measured.

    Attributes:
        cpu: model name of the processor.
        cores: that this process may use.
        threads: that each contestant was given.
        load_before, load_after: the system's load average over one minute, before and after the timed runs.
        system: operating system and architecture.
        busy_elsewhere: share of the machine's processor time that other processes took during the timed runs, 0 to 1; None
            where nothing was timed.
    """

    cpu: str
    cores: Annotated[int, Field(ge=1)]
    threads: Annotated[int, Field(ge=1)]
    load_before: NotNegative
    load_after: NotNegative
    system: str
    busy_elsewhere: Share | None = None

    @property
    def is_disturbed(self) -> bool:
        """Whether other processes took more than DISTURBING_SHARE, so that times are not to be relied on."""
        return self.busy_elsewhere is not None and self.busy_elsewhere > DISTURBING_SHARE
