"""What `make gpu-check` measured, as data."""

from collections.abc import Mapping
from dataclasses import dataclass

from cuda_latency import Race
from pydantic import TypeAdapter

from instantstyle.metrics.statistics import Estimate
from instantstyle.model.graph import Size
from instantstyle.targets.tensorrt.bindings import Gpu
from instantstyle.validation.judge.gate import shortcomings
from instantstyle.validation.results.bundle import Bundle, BundleArtifact
from instantstyle.validation.results.timing import Timing

WHOLE = "PyTorch float32, whole network"


@dataclass(frozen=True)
class Verdict:
    """An artifact before the gate.

    Attributes:
        name: e.g. ``tensorrt_rtx-int8-512x512``.
        status: of the bundle; only ``passed`` is a pass.
        ships: whether it is the one that ships.
        problems: what stands in the way of a pass, a sentence each.
        ssim_mean, ssim_worst: end to end, against the whole float network; None if it was not executed.
        worst_sample: of ``ssim_worst``.
        shipped_bytes: what an application carries.
        int8_convolutions, convolutions: of all graphs.
    """

    name: str
    status: str
    ships: bool
    problems: tuple[str, ...]
    ssim_mean: float | None
    ssim_worst: float | None
    worst_sample: str
    shipped_bytes: int
    int8_convolutions: int
    convolutions: int

    @property
    def passed(self) -> bool:
        """Whether the gate has nothing against it."""
        return self.status == "passed" and not self.problems

    @classmethod
    def of(cls, bundle: Bundle, artifact: BundleArtifact) -> "Verdict":
        """Of an artifact of a bundle."""
        measured = artifact.measurements if artifact.measurements and not artifact.measurements.evaluator else None
        spread = measured.end_to_end.ssim() if measured else None
        executions = measured.executions if measured else ()
        return cls(
            name=artifact.name,
            status=str(artifact.status),
            ships=not bundle.choices or any(choice.artifact == artifact.name for choice in bundle.choices),
            problems=shortcomings(bundle, artifact),
            ssim_mean=spread.mean if spread else None,
            ssim_worst=spread.worst if spread else None,
            worst_sample=spread.worst_sample if spread else "",
            shipped_bytes=artifact.shipped_bytes,
            int8_convolutions=sum(execution.int8_convolutions for execution in executions),
            convolutions=sum(execution.convolutions for execution in executions),
        )


@dataclass(frozen=True)
class Time:
    """A contestant's time.

    Attributes:
        name: what computed the graph, and how.
        method: what it was timed by.
        timing: median and interval in milliseconds.
        over_pytorch: how many times as fast as PyTorch eager float32 without TF32 on the same network; None if that was not timed.
        over_whole: the same, of PyTorch on the network before pruning.
    """

    name: str
    method: str
    timing: Timing
    over_pytorch: Estimate | None
    over_whole: Estimate | None


@dataclass(frozen=True)
class GraphTimes:
    """All contestants on one graph at one size. ``failures`` has those that could not be timed, and why; ``hot`` runs once an image."""

    graph: str
    hot: bool
    size: Size
    times: tuple[Time, ...]
    failures: Mapping[str, str]

    @classmethod
    def of(cls, graph: str, hot: bool, *, size: Size, found: Race, failures: Mapping[str, str], baseline: str) -> "GraphTimes":
        """Of a comparison, and of what failed before it. ``baseline`` names PyTorch eager float32."""
        times = tuple(
            Time(name, found.methods[name], found.timing(name), found.times_over(name, baseline), found.times_over(name, WHOLE))
            for name in found.times_ms
        )
        return cls(graph, hot, size, times, {**failures, **found.failures})


@dataclass(frozen=True)
class Part:
    """What one TensorRT did, or, with an empty ``target``, what was measured without any.

    Attributes:
        title: of the product, with its version.
        said: why there are no artifacts, or no times; empty if there are.
        gate: what stands in the way of a pass, a sentence each.
    """

    target: str
    title: str
    verdicts: tuple[Verdict, ...] = ()
    gate: tuple[str, ...] = ()
    latency: tuple[GraphTimes, ...] = ()
    said: str = ""

    @property
    def ran(self) -> bool:
        """Whether one of its engines was executed and timed."""
        names = tuple(f"{verdict.name}, " for verdict in self.verdicts)
        return bool(names) and any(time.name.startswith(names) for graph in self.latency for time in graph.times)


PART = TypeAdapter(Part)


@dataclass(frozen=True)
class Check:
    """A whole run.

    Attributes:
        date: in UTC, ISO 8601.
        driver, cuda: versions of the driver and of PyTorch's CUDA.
        system: operating system and architecture.
        missing: what was not here, a sentence each.
        schedule: how often what was run.
        recipe_sha256, checkpoint_sha256: of the recipe that everything was derived from, and of its model.
    """

    gpu: Gpu
    date: str
    driver: str
    cuda: str
    system: str
    versions: Mapping[str, str]
    missing: tuple[str, ...]
    schedule: Mapping[str, int]
    recipe_sha256: str
    checkpoint_sha256: str | None
    parts: tuple[Part, ...]

    @property
    def ran(self) -> bool:
        """Whether any TensorRT engine was executed and timed."""
        return any(part.ran for part in self.parts)

    @property
    def measured(self) -> bool:
        """Whether there is a single time."""
        return any(graph.times for part in self.parts for graph in part.latency)

    @property
    def passed(self) -> bool:
        """Whether every TensorRT that was tried was executed and passed the gate."""
        tried = [part for part in self.parts if part.target]
        return self.ran and all(part.ran and not part.gate for part in tried)


CHECK = TypeAdapter(Check)
