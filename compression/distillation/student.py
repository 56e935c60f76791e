"""A pruned graph that learns from its whole self."""

import os
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import AbstractContextManager
from dataclasses import dataclass
from typing import Self

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional

from ...metrics.ssim_loss import structural_similarity
from ...model.cached_run import CachedRun
from ...model.graph import Arrays, Graph, Model, Run, Sample, TensorKind, TensorSpec
from ...model.pixels import affine
from ...model.precision import working_dtype
from ...model.runs import runs_from_modules
from ...recipe.settings import RecoverSettings
from .distill import Distiller
from .draws import SampleDraws

# Steps at the end in float32, where bfloat16 was faster before: its rounding would hide the last of the differences.
EXACT_SHARE = 0.2
# Samples that other graphs are run for. Of a style pack of 72 pictures in 24 variants that is every second code.
POOL = 768


@dataclass(frozen=True)
class School:
    """What all graphs of a model learn from.

    Attributes:
        reference: the model whose outputs are wanted.
        draws: samples at the crop size of the settings.
        runs: of the reference's graphs.
    """

    reference: Model
    draws: SampleDraws
    runs: Mapping[str, Run]
    settings: RecoverSettings

    @classmethod
    def of(cls, reference: Model, draws: SampleDraws, settings: RecoverSettings) -> Self:
        """With the reference's modules."""
        return cls(reference, draws, {name: CachedRun(run) for name, run in runs_from_modules(reference).items()}, settings)


def changed_graphs(model: Model, reference: Model, steps_of: Callable[[str], int]) -> list[Graph]:
    """Those that are not the reference's own, and have steps."""
    return [graph for graph in model.graphs if graph.module is not reference.graph(graph.name).module and steps_of(graph.name)]


class Student(Distiller):
    """Learns what the graph of the same name in the reference gives.

    What the scenario passes on to the graph as it is (a photo, alpha) is drawn for every step. What other graphs make (the code of a style)
    comes from a pool that they are run for once.

    Args:
        module: of the graph that learns.
    """

    rate_key = "prune.recover.learning_rate"

    def __init__(self, school: School, graph: Graph, module: nn.Module, steps: int) -> None:
        super().__init__(school.reference.graph(graph.name), module, (), school.settings, steps)
        self.reference, self.draws, self.runs, self.structure = school.reference, school.draws, school.runs, school.settings.structure
        on_cpu = self.device.type == "cpu"
        # On the CPU cutting pictures keeps one core busy for a quarter of a step, which the next step's may do beside this one.
        self.threads = 1 if on_cpu else os.cpu_count() or 1
        self.helper = ThreadPoolExecutor(self.threads)
        self.ahead: dict[int, Future[dict[str, np.ndarray]]] = {}
        # Inputs of a fixed size repeat, and so does what the teacher makes of them.
        self.repeats = on_cpu and all(spec.fixed_size for spec in graph.inputs)
        self.bfloat16 = working_dtype(self.device) is torch.bfloat16
        self.made: dict[str, list[np.ndarray]] = {}

    def restore(self, state: dict | None) -> None:
        super().restore(state)
        # A graph that was finished before a kill needs none.
        if self.step < self.steps:
            self.made = self._made_by_others()

    def arithmetic(self) -> AbstractContextManager[object]:
        return torch.autocast(self.device.type, torch.bfloat16, enabled=self.bfloat16 and self.step < (1 - EXACT_SHARE) * self.steps)

    def teach(self, batch: Arrays, inputs: Sequence[Tensor]) -> Tensor | tuple[Tensor, ...]:
        if not self.repeats:
            return super().teach(batch, inputs)
        run, count = self.runs[self.teacher.name], len(inputs[0])
        # What is kept is exact.
        with torch.autocast("cpu", enabled=False):
            rows = [run({name: array[row : row + 1] for name, array in batch.items()}) for row in range(count)]
        return tuple(torch.from_numpy(np.concatenate([row[spec.name] for row in rows])) for spec in self.teacher.outputs)

    def batch_arrays(self, step: int) -> dict[str, np.ndarray]:
        ready = self.ahead.pop(step, None)
        wanted = range(step + 1, min(step + 1 + self.threads, self.steps))
        self.ahead = {each: self.ahead.get(each) or self.helper.submit(self._batch, each) for each in wanted}
        return ready.result() if ready else self._batch(step)

    def _batch(self, step: int) -> dict[str, np.ndarray]:
        positions = range(self.settings.batch)
        chosen = np.random.default_rng((self.settings.seed, step)).integers(POOL, size=len(positions))
        return {
            spec.name: np.concatenate(
                [self.made[spec.name][chosen[at]] for at in positions]
                if spec.name in self.made
                else [self.draws.draw_input(spec.name, step, at) for at in positions]
            )
            for spec in self.teacher.inputs
        }

    def _made_by_others(self) -> dict[str, list[np.ndarray]]:
        """Inputs of the graph that are not the sample's own, of ``POOL`` samples; empty where all are."""
        first = self.draws.draw(self.steps, 0)  # no step's
        own = {name for name, array in self._inputs(first).items() if np.array_equal(array, first.inputs.get(name, ()))}
        names = [spec.name for spec in self.teacher.inputs if spec.name not in own]
        if not names:
            return {}

        def row(index: int) -> list[np.ndarray]:
            fed = self._inputs(self.draws.draw(self.steps, index))
            return [fed[name] for name in names]  # a pool of photos would take a gigabyte

        return {name: list(column) for name, column in zip(names, zip(*self.helper.map(row, range(POOL)), strict=True), strict=True)}

    def _inputs(self, sample: Sample) -> Arrays:
        """What the scenario feeds to the graph; nothing behind it is computed."""

        def stop(inputs: Arrays) -> dict[str, np.ndarray]:
            raise _ReachedError(inputs)

        try:
            self.reference.scenario({**self.runs, self.teacher.name: stop}, sample.inputs)
        except _ReachedError as reached:
            return reached.inputs
        raise AssertionError(f"the scenario never runs graph '{self.teacher.name}'")

    def loss(self, got: Tensor, wanted: Tensor, spec: TensorSpec) -> Tensor:
        got, wanted = got.float(), wanted.float()
        distance = functional.l1_loss(got, wanted)
        if spec.kind is not TensorKind.IMAGE or not self.structure:
            return distance
        scale, offset = (torch.from_numpy(numbers).float().to(self.device) for numbers in affine(spec))
        shown = got * scale + offset, wanted * scale + offset
        return distance + self.structure * (1 - structural_similarity(*shown, spec.minimum, spec.maximum))


class _ReachedError(Exception):
    """The scenario has come to the graph whose inputs were wanted."""

    def __init__(self, inputs: Arrays) -> None:
        super().__init__()
        self.inputs = inputs
