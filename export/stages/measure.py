"""The stage that measures artifacts against the float reference."""

from collections.abc import Iterable
from contextlib import ExitStack
from dataclasses import asdict, dataclass, replace
from functools import partial
from types import TracebackType
from typing import Self

import numpy as np

from ...calibration.samples import uncovered_samples
from ...model.cached_run import content_key
from ...model.graph import Model, Sample, Size
from ...recipe.recipe import Recipe
from ...system.disk import atomic_write
from ...system.errors import ArtifactError, ExecutionError, TargetUnavailableError
from ...system.progress import ReportProgress
from ...targets.artifact import describe_all
from ...validation.judge.plausible import implausible
from ...validation.measure.built import Built
from ...validation.measure.hard import hard_samples
from ...validation.measure.parity import Task, measure
from ...validation.measure.quiet import Patience
from ...validation.measure.reference import Reference
from ...validation.results.codec import decode, encode
from ...validation.results.evidence import Evidence
from ...validation.results.measurements import Measurements, Status
from ..cache.pipeline import Pipeline
from ..cache.store import Entry, Workspace
from ..source.loading import load_model
from ..source.source import Source
from .emit import Emitted, NotEmitted, configured, foreign_source, why_not
from .headroom import half_range

FILE = "measurements.json"


@dataclass(frozen=True)
class AtSize:
    """Ordinary samples, hard samples, the reference, and the float network that is converted: the reference itself without pruning."""

    samples: tuple[Sample, ...]
    hard: tuple[Sample, ...]
    reference: Reference
    own: Reference


class Bench:
    """Validation samples and the float reference at each size, made when the first artifact needs them. A context manager."""

    def __init__(self, source: Source) -> None:
        self.source = source
        self.patience = Patience(source.recipe.latency.patience_s)
        self._open = ExitStack()
        self._sizes: dict[Size, AtSize] = {}

    def at(self, size: Size) -> "AtSize":
        """What artifacts of a size are measured on and against."""
        if size not in self._sizes:
            images = self.source.validation
            samples = _sharing_arrays(images.samples(self.source.model, size))
            left_out = uncovered_samples(self.source.model, size, images.sets, images.settings.pairing)
            hard = (*hard_samples(self.source.model, size, samples[0]), *_sharing_arrays(left_out))
            reference = own = self._open.enter_context(Reference(self.source.reference, size))
            if self.source.model is not self.source.reference:
                own = self._open.enter_context(Reference(self.source.model, size))
            self._sizes[size] = AtSize(samples, hard, reference, own)
        return self._sizes[size]

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self._open.close()


def measure_artifact(
    pipeline: Pipeline, bench: Bench, emitted: Emitted, baseline: Emitted | NotEmitted
) -> Measurements | tuple[Status, str]:
    """The measurements of an artifact, or its status and the reason why there are none.

    Args:
        baseline: the same model in float for ONNX Runtime; without it nothing is timed, and what has to be fast fails.
    """
    source = bench.source
    target = configured(source.recipe, emitted.spec.target)
    available = target.availability()
    if not (available.can_run or available.evaluator):
        pipeline.pass_over("validate", emitted.spec.name, "cannot run here")
        return Status.NOT_EXECUTED, f"emitted, not executed here: {why_not(available)}"

    size = emitted.spec.size
    needed = half_range(
        pipeline, source, size=size, samples=lambda: bench.at(size).samples, target=target, precision=emitted.spec.precision
    )

    def make(workspace: Workspace, report: ReportProgress) -> None:
        at = bench.at(size)
        built = Built(emitted.artifact, emitted.folder, target)
        ort_float = None
        if isinstance(baseline, Emitted):
            ort_float = Built(baseline.artifact, baseline.folder, configured(source.recipe, baseline.spec.target))
        limits = source.recipe.limits_for(emitted.spec.target, emitted.spec.precision)
        latency, sample_set = source.recipe.latency, source.validation.sample_set
        load = None if source.in_memory else partial(load_float, source.recipe)
        given = (source.reference, size, at.samples, at.hard, at.reference, ort_float, latency, sample_set, source.reference_sha256)
        task = Task(*given, at.own, needed, limits, load, bench.patience)
        found = measure(task, built, report)
        atomic_write(workspace.output / FILE, encode(found))

    inputs = {
        "model": source.fingerprint,
        "reference": source.reference_fingerprint,
        "artifact": emitted.entry.digest,
        "baseline": baseline.entry.digest if isinstance(baseline, Emitted) else None,
        "half_range": asdict(needed) if needed else None,
        "options": source.recipe.targets.options.get(emitted.spec.target, {}),
        "source": foreign_source(target),
        "latency": source.recipe.latency.model_dump(),
        "availability": asdict(available),
        **source.validation.key,
    }
    expected = evidence(source, emitted, baseline)
    try:
        entry = pipeline.run("validate", emitted.spec.name, inputs, make, lambda entry: _doubt(entry, expected, emitted, source))
    except TargetUnavailableError as error:
        return Status.NOT_EXECUTED, f"emitted, not executed here: {error}"
    except ExecutionError as error:
        return Status.FAILED, str(error)
    return _read(entry)


def evidence(source: Source, emitted: Emitted, baseline: Emitted | NotEmitted) -> Evidence:
    """What an artifact's measurements have to be of, as it lies in its folder now."""
    files, floats = describe_all(emitted.folder), describe_all(baseline.folder) if isinstance(baseline, Emitted) else ()
    return Evidence(files, floats, source.reference_sha256, source.validation.sample_set, (), ())


def _doubt(entry: Entry, expected: Evidence, emitted: Emitted, source: Source) -> str:
    """Why measurements are not those of the artifact, its baseline, the reference and the samples at hand, or cannot be; or nothing."""
    try:
        found = _read(entry)
    except ArtifactError as error:
        return str(error)
    latency = source.recipe.latency
    return expected.difference(found.evidence) or next(implausible(found, emitted.artifact, latency.runs, latency.threads), "")


def _read(entry: Entry) -> Measurements:
    path = entry.folder / FILE
    return decode(Measurements, path.read_bytes(), str(path))


def load_float(recipe: Recipe) -> Model:
    """The float, unpruned model of a recipe, for a process of its own."""
    return load_model(recipe).model


def _sharing_arrays(samples: Iterable[Sample]) -> tuple[Sample, ...]:
    """The same samples; equal images, of which every pairing has many, are held once."""
    held: dict[str, np.ndarray] = {}

    def shared(array: np.ndarray) -> np.ndarray:
        return held.setdefault(content_key({"": array}), array)

    return tuple(replace(sample, inputs={name: shared(array) for name, array in sample.inputs.items()}) for sample in samples)
