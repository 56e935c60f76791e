"""Makes a plan: tries one thing after the other and keeps what makes the pictures of calibration samples more like the reference's."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace

import torch
from torch import Tensor, nn

from ....model.graph import Arrays, Graph, Model, Sample, Size
from ....model.runs import graph_inputs
from ....recipe.settings import QuantizeSettings
from ....system.progress import ReportProgress
from .equalize import equalized
from .fit import Fitted, Levers, fit, fitted_ranges
from .judge import Judge, Score
from .layers import Candidate, candidates, graph_is_float, left_in_float, time_share, weight_bytes
from .observers import CANDIDATES, choose_observers
from .plan import Decision, Plan, Point
from .task import Task

EQUAL, GRIDS, BIASES, RANGES = "channels equalised", "a grid for each channel", "biases corrected", "ranges by tensor"
FLOAT = "float"
# A gain below is no reason for anything: the order of summation moves SSIM by as much.
NOTICEABLE = 1e-5
RANGE_SAMPLES = 2
# Layers stay in float by themselves where each share of float's time buys that much mean SSIM, but never beyond this share.
WORTH, ENOUGH, LEAST_SHARE = 0.05, 0.5, 1e-4
# Of the gap to a perfect picture, what int8 may cost before layers are looked at one by one.
LITTLE = 0.0005


def make_plan(
    task: Task, known: dict[str, tuple[float, float]], keep: Callable[[], None], report: ReportProgress
) -> tuple[Plan, dict[str, dict[str, Tensor]]]:
    """The plan, and weights by graph and name that go with it.

    Args:
        known: scores of an earlier run that was interrupted; new ones are added.
        keep: called after each.

    Raises:
        CaptureError: as ``prepare`` does.
    """
    maker = _Maker(task, known, keep, report)
    for graph in task.model.graphs:
        maker.tune_graph(graph)
    maker.look_at_layers()
    return maker.finished()


class _Maker:
    def __init__(self, task: Task, known: dict[str, tuple[float, float]], keep: Callable[[], None], report: ReportProgress) -> None:
        self.task, self.known, self.keep, self.report = task, known, keep, report
        self.judge = Judge(task.model, task.reference, task.judged)
        self.inputs = _by_graph(task.model, task.fitted)
        self.levers = {graph.name: Levers() for graph in task.model.graphs}
        self.fitted = {graph.name: self._fit(graph, Levers()) for graph in task.model.graphs}
        self.hot = task.model.hot_graph
        self.decisions: list[Decision] = []
        self.points: list[Point] = []
        self.score = self._score("as the recipe says", {})
        self._point(())

    def tune_graph(self, graph: Graph) -> None:
        """Everything that costs no time."""
        for choice in (EQUAL, GRIDS, BIASES, RANGES):
            levers = self._with(graph, choice)
            trial = self._fit(graph, levers) if levers is not None else None
            if levers is None or trial is None or (choice is GRIDS and not trial.factors):
                continue
            score = self._score(f"{graph.name}: {choice}", {graph.name: trial})
            taken = score.mean > self.score.mean + NOTICEABLE
            self._decide(graph.name, choice, score, taken)
            if taken:
                self.levers[graph.name], self.fitted[graph.name] = levers, trial
        self._point(())

    def look_at_layers(self) -> None:
        """What each layer and join costs the pictures, and which of them stay in float."""
        perfect = self._score("nothing quantised", dict.fromkeys(self.fitted))
        if self.task.wanted.reached(self.score) and perfect.mean - self.score.mean < LITTLE:
            return
        gains: list[tuple[Candidate, Score]] = []
        for name, fitted in self.fitted.items():
            for candidate in candidates(name, fitted.prepared, hot=name == self.hot):
                what = f"{candidate.name}: {FLOAT}"
                if candidate.fakes:
                    with left_in_float(candidate):
                        score = self._score(what, {})
                else:
                    score = self._score_without(what, [candidate])
                if score.mean > self.score.mean + NOTICEABLE:
                    gains.append((candidate, score - self.score))
        kept = self._left_in_float(gains)
        self.decisions += [
            Decision(each.name, FLOAT, each in kept, gain.mean, gain.worst, each.time_share)
            for each, gain in sorted(gains, key=lambda pair: -pair[1].mean)
        ]
        self.levers = {name: self._without(name, kept) for name in self.levers}

    def _left_in_float(self, gains: Sequence[tuple[Candidate, Score]]) -> list[Candidate]:
        """The best for their time first, as long as limits want them or they are worth it by themselves."""
        kept: list[Candidate] = []
        for candidate, gain in sorted(gains, key=lambda pair: -pair[1].mean / max(pair[0].time_share, LEAST_SHARE)):
            trial = [*kept, candidate]
            share, size = self._cost(trial)
            worth = gain.mean >= WORTH * candidate.time_share and share <= ENOUGH
            # A graph with nothing in int8 is no plan of quantisation.
            emptied = any(graph_is_float(name, fitted.prepared, trial) for name, fitted in self.fitted.items())
            if emptied or not self.task.wanted.affordable(share, size) or not (worth or not self.task.wanted.reached(self.score)):
                continue
            score = self._score_without(f"{FLOAT}: {', '.join(each.name for each in trial)}", trial)
            if score.mean > self.score.mean + NOTICEABLE:
                kept, self.score = trial, score
                self._point(kept)
        return kept

    def _score_without(self, what: str, left: Sequence[Candidate]) -> Score:
        """With these in float, prepared so."""
        if what in self.known:
            return self._score(what, {})
        graphs = {each.graph for each in left}
        changed = {name: self._fit(self.task.model.graph(name), self._without(name, left)) for name in graphs}
        return self._score(what, changed)

    def _without(self, name: str, left: Sequence[Candidate]) -> Levers:
        return replace(self.levers[name], keep_float=tuple(each.pattern for each in left if each.graph == name))

    def finished(self) -> tuple[Plan, dict[str, dict[str, Tensor]]]:
        """Fitted at the full size."""
        same = self.task.full is self.task.fitted
        inputs = self.inputs if same else _by_graph(self.task.model, self.task.full)
        fitted: dict[str, Fitted] = {}
        for graph in self.task.model.graphs:
            name, levers = graph.name, self.levers[graph.name]
            known = same and not levers.keep_float  # what no layer was taken out of has been fitted already
            fitted[name] = self.fitted[name] if known else self._fit(graph, levers, inputs[name], self.task.full_size)
        plan = Plan(
            keep_float=tuple(f"{name}.{path}" for name, levers in self.levers.items() for path in levers.keep_float),
            factors={name: each.factors for name, each in fitted.items()},
            limits={name: each.limits for name, each in fitted.items()},
            learnt=self.task.learnt,
            observers={name: levers.observers or {} for name, levers in self.levers.items()},
            decisions=tuple(self.decisions),
            points=tuple(replace(point, taken=point is self.points[-1]) for point in self.points),
        )
        return plan, {name: each.weights for name, each in fitted.items()}

    def _with(self, graph: Graph, choice: str) -> Levers | None:
        """The present levers and one more."""
        present = self.levers[graph.name]
        if choice is GRIDS:
            return replace(present, grids=True)
        if choice is BIASES:
            return replace(present, biases=True)
        # Ranges that were learnt fit the weights that they were learnt with.
        if graph.name in self.task.learnt:
            return None
        fitted, tensors = (
            self.fitted[graph.name],
            [tuple(torch.from_numpy(each[spec.name]) for spec in graph.inputs) for each in self.inputs[graph.name]],
        )
        if choice is EQUAL:
            weights = equalized(fitted.prepared, tensors)
            return replace(present, weights=weights) if weights else None
        others = [
            fitted_ranges(
                graph,
                fitted.prepared,
                self.inputs[graph.name],
                settings=self._settings(observer),
                observers={},
                plan=Plan(limits={graph.name: fitted.limits}),
            )
            for observer in CANDIDATES
            if observer != self.task.settings.observer
        ]
        observers = choose_observers(fitted.prepared, fitted.ranges, others, tensors[:RANGE_SAMPLES])
        return replace(present, observers=observers) if observers else None

    def _settings(self, observer: str) -> QuantizeSettings:
        return self.task.settings.model_copy(update={"observer": observer})

    def _fit(self, graph: Graph, levers: Levers, inputs: Sequence[Arrays] | None = None, size: Size | None = None) -> Fitted:
        given = self.inputs[graph.name] if inputs is None else inputs
        tuned, learnt = self.task.tuned.get(graph.name, {}), self.task.learnt.get(graph.name, {})
        return fit(graph, size or self.task.size, given, settings=self.task.settings, tuned=tuned, learnt=learnt, levers=levers)

    def _score(self, what: str, changed: Mapping[str, Fitted | None]) -> Score:
        """Of the graphs as they are, with some changed; None for float."""
        if what not in self.known:
            graphs = {graph.name: graph.module for graph in self.task.model.graphs}
            modules: dict[str, nn.Module] = {}
            for name, fitted in {**self.fitted, **changed}.items():
                modules[name] = graphs[name] if fitted is None else fitted.prepared.module
            score = self.judge.score(modules)
            self.known[what] = score.mean, score.worst
            self.keep()
        score = Score(*self.known[what])
        self.report(len(self.known), 0, f"{what}: SSIM {score.mean:.4f} / {score.worst:.4f}")
        return score

    def _decide(self, where: str, choice: str, score: Score, taken: bool) -> None:
        gain = score - self.score
        self.decisions.append(Decision(where, choice, taken, gain.mean, gain.worst))
        if taken:
            self.score = score

    def _cost(self, kept: Sequence[Candidate]) -> tuple[float, int]:
        return time_share(self.fitted[self.hot].prepared, kept), sum(weight_bytes(each.prepared, kept) for each in self.fitted.values())

    def _point(self, kept: Sequence[Candidate]) -> None:
        share, size = self._cost(kept)
        self.points.append(Point(tuple(each.name for each in kept), self.score.mean, self.score.worst, share, size, taken=False))


def _by_graph(model: Model, samples: Sequence[Sample]) -> dict[str, list[Arrays]]:
    fed = list(graph_inputs(model, samples))
    return {graph.name: [inputs[graph.name] for inputs in fed] for graph in model.graphs}
