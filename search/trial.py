"""One candidate of a search: pruned, briefly recovered, calibrated, emitted and measured."""

from collections.abc import Callable, Mapping
from contextlib import ExitStack
from dataclasses import dataclass, replace
from functools import partial

import numpy as np

from ..export.cache.pipeline import Pipeline
from ..export.source.source import Source
from ..export.stages.capture import capture
from ..export.stages.emit import ArtifactSpec, Emitted, emit
from ..export.stages.prune import prune
from ..export.stages.quantize import calibrate
from ..metrics.statistics import median, ratio_of_medians
from ..model.cached_run import CachedRun
from ..model.graph import Arrays, Run, scenario_output
from ..model.runs import runs_from_modules
from ..recipe.precision import Precision
from ..recipe.settings import PruneSettings
from ..system.errors import CaptureError
from ..targets.registry import get_target
from ..validation.measure.built import Built
from ..validation.measure.latency import interleave
from ..validation.measure.quality import similarity
from .proposal import Proposal


@dataclass(frozen=True)
class Measured:
    """An emitted candidate; units as in ``Candidate``."""

    size_bytes: int
    ssim_mean: float
    ssim_worst: float
    p50_ms: float
    over_whole: float


class Trials:
    """Makes and measures candidates of one model for one target, on calibration images.

    Validation images are left alone, so that what a release says of the winner is not what it was chosen by.

    Args:
        source: the whole model.
        spec: target and precision to emit.
        pairs: how many pairs of images a candidate is measured on.
        recover_steps: steps that every pruned graph recovers for.
    """

    def __init__(self, pipeline: Pipeline, source: Source, spec: ArtifactSpec, pairs: int, recover_steps: int) -> None:
        self.pipeline, self.source, self.spec, self.recover_steps = pipeline, source, spec, recover_steps
        images, model = source.calibration, source.model
        self.samples = images.first(model, spec.size, pairs)
        runs: dict[str, Run] = {name: CachedRun(run) for name, run in runs_from_modules(model).items()}
        self.hot_inputs: Arrays = {}
        runs[model.hot_graph] = self._remembering(runs[model.hot_graph])
        self.output = scenario_output(model)
        self.pictures = [model.scenario(runs, sample.inputs) for sample in self.samples]
        self.whole = self._emit(Proposal({}, {}, ()))

    def measure_whole(self) -> Measured:
        """The unpruned artifact."""
        return replace(self._measure(self.whole), over_whole=1.0)

    def measure(self, proposal: Proposal) -> Measured:
        """Everything about one proposal.

        Raises:
            PruneError, CaptureError: the model cannot be pruned or captured so.
        """
        return self._measure(self._emit(proposal))

    def recipe_settings(self, proposal: Proposal) -> dict[str, object]:
        """The sections of the recipe that a proposal changes."""
        recipe = self.source.recipe
        recovery = recipe.prune.recover.model_copy(update={"steps": self.recover_steps})
        pruning = recipe.prune.model_copy(
            update={"method": "structured", "channels": proposal.channels, "heads": proposal.heads, "result": None, "recover": recovery}
        )
        quantize = recipe.quantize.model_copy(update={"keep_float": (*recipe.quantize.keep_float, *proposal.keep_float)})
        if quantize.method == "qat":
            quantize = quantize.model_copy(update={"method": "ptq"})
        return {"prune": pruning if proposal.channels or proposal.heads else PruneSettings(), "quantize": quantize}

    def _emit(self, proposal: Proposal) -> Built:
        pipeline, size = self.pipeline, self.spec.size
        source = replace(self.source, recipe=self.source.recipe.model_copy(update=self.recipe_settings(proposal)))
        source = prune(pipeline, source)
        table = calibrate(pipeline, source, None) if self.spec.precision is Precision.INT8 else None
        emitted = emit(pipeline, source, self.spec, capture(pipeline, source, size, None, table))
        if not isinstance(emitted, Emitted):
            raise CaptureError(f"{self.spec.name}: {emitted.reason}")
        return Built(emitted.artifact, emitted.folder, get_target(self.spec.target))

    def _measure(self, built: Built) -> Measured:
        model, settings = self.source.model, self.source.recipe.latency
        with ExitStack() as stack:
            opened = {graph.name: stack.enter_context(built.open(graph.name, settings.threads)) for graph in model.graphs}
            runs: Mapping[str, Run] = {name: CachedRun(runner.run) for name, runner in opened.items()}
            scores = [
                similarity(self.output, built.target.shown(self.output, wanted), model.scenario(runs, sample.inputs))
                for sample, wanted in zip(self.samples, self.pictures, strict=True)
            ]
            if not np.isfinite(scores).all():
                raise CaptureError(f"{self.spec.name}: its pictures have NaN or infinity")
            whole = stack.enter_context(self.whole.open(model.hot_graph, settings.threads))
            passes: list[Callable[[], object]] = [partial(runner.run, self.hot_inputs) for runner in (opened[model.hot_graph], whole)]
            own, of_whole = interleave(passes, settings.warmup, settings.runs)
        return Measured(
            size_bytes=built.artifact.shipped_bytes,
            ssim_mean=float(np.mean(scores)),
            ssim_worst=min(scores),
            p50_ms=median(own).value,
            over_whole=ratio_of_medians(of_whole, own).value,
        )

    def _remembering(self, run: Run) -> Run:
        def remembered(inputs: Arrays) -> dict[str, np.ndarray]:
            self.hot_inputs = {name: np.array(array) for name, array in inputs.items()}
            return run(inputs)

        return remembered
