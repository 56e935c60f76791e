"""How like the reference's pictures are those of a model whose graphs are replaced."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from torch import nn

from ....metrics.ssim import ssim
from ....model.cached_run import CachedRun
from ....model.graph import Model, Run, Sample, scenario_output
from ....model.pixels import LEVELS, visible
from ....model.runs import run_of, runs_from_modules


@dataclass(frozen=True)
class Score:
    """SSIM over some samples."""

    mean: float
    worst: float

    def __sub__(self, other: "Score") -> "Score":
        return Score(self.mean - other.mean, self.worst - other.worst)


class Judge:
    """Compares end to end, through the scenario.

    Args:
        reference: whose pictures are wanted.
        samples: all of one size.
    """

    def __init__(self, model: Model, reference: Model, samples: Sequence[Sample]) -> None:
        self.model, self.samples = model, samples
        self.runs: dict[str, Run] = {name: CachedRun(run) for name, run in runs_from_modules(reference).items()}
        self.output = scenario_output(model)
        self.wanted = [visible(self.output, reference.scenario(self.runs, sample.inputs))[0] for sample in samples]

    def score(self, modules: Mapping[str, nn.Module]) -> Score:
        """With these in the place of the graphs' modules, by graph, in the mode that they are in."""
        runs: dict[str, Run] = {graph.name: CachedRun(run_of(graph, modules[graph.name])) for graph in self.model.graphs}
        found = []
        for sample, wanted in zip(self.samples, self.wanted, strict=True):
            picture = visible(self.output, self.model.scenario(runs, sample.inputs))[0]
            found.append(ssim(wanted, picture, 0, LEVELS))
        return Score(float(np.mean(found)), min(found))
