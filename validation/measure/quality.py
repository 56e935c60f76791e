"""How close an artifact's outputs are to the reference's: end to end through the scenario, and each graph alone."""

import math
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, replace

import numpy as np

from ...metrics.difference import max_abs, psnr_db, snr_db
from ...metrics.ssim import ssim
from ...model.graph import Arrays, Graph, Model, Run, Sample, Size, TensorKind, TensorSpec, scenario_output
from ...model.pixels import LEVELS, visible
from ...system.errors import ExecutionError, InstantStyleError, TargetUnavailableError
from ...targets.base import GraphArtifact
from ..results.departure import Departure, Departures, has_departures
from ..results.measurements import Quality, Score
from .reference import Reference

END_TO_END = ""  # stands beside the graphs' names
SCORING_THREADS = 2
Shown = Callable[[TensorSpec, np.ndarray], np.ndarray]


@dataclass(frozen=True)
class ArrayPair:
    """Two arrays to compare: ``where`` is END_TO_END or a graph's name."""

    where: str
    label: str
    spec: TensorSpec
    reference: np.ndarray
    output: np.ndarray


@dataclass(frozen=True)
class Qualities:
    """What ``compare_all`` found."""

    end_to_end: Quality
    graphs: tuple[tuple[str, Quality], ...]
    departures: Departures


def compare_all(
    model: Model,
    runs: Mapping[str, Run],
    *,
    references: tuple[Reference, Reference],
    samples: Sequence[Sample],
    hard_samples: Sequence[Sample],
    tick: Callable[[str], None],
    shown: Shown = lambda spec, array: array,
) -> Qualities:
    """Scores all samples; the next sample runs while the last one is scored.

    Args:
        runs: of the artifact's graphs, by name.
        references: the reference, and the float network that the artifact was made of.
        tick: is told each sample's name when it has run.
        shown: the reference's output as the artifact's format carries it.

    Raises:
        ExecutionError: a graph crashed or returned other outputs than declared, or the scenario failed with them; names the sample.
    """
    reference, own = references
    spec = scenario_output(model)
    found: list[tuple[bool, str, Score]] = []
    departures: list[tuple[bool, Future[Departure]]] = []
    with ThreadPoolExecutor(SCORING_THREADS) as pool:
        waiting: list[tuple[bool, str, Future[Score]]] = []
        for hard, sample in [(False, sample) for sample in samples] + [(True, sample) for sample in hard_samples]:
            comparisons = [
                replace(each, reference=shown(each.spec, each.reference)) for each in _array_pairs(model, sample, runs, reference)
            ]
            found += [(was_hard, where, future.result()) for was_hard, where, future in waiting]
            waiting = [(hard, item.where, pool.submit(_score, item)) for item in comparisons]
            if has_departures(spec):
                output = comparisons[0].output
                wanted = shown(spec, own.of(sample).output)
                departures.append((sample.made, pool.submit(Departure.of, sample.name, spec, wanted, output, sample.made)))
            tick(sample.name)
        found += [(was_hard, where, future.result()) for was_hard, where, future in waiting]

    def quality(name: str) -> Quality:
        ordinary, extreme = (tuple(entry for hard, where, entry in found if hard is kind and where == name) for kind in (False, True))
        return Quality(ordinary, extreme)

    apart = Departures(*(tuple(future.result() for made, future in departures if made is kind) for kind in (False, True)))
    return Qualities(quality(END_TO_END), tuple((graph.name, quality(graph.name)) for graph in model.graphs), apart)


def _array_pairs(model: Model, sample: Sample, runs: Mapping[str, Run], reference: Reference) -> Iterator[ArrayPair]:
    expected = reference.of(sample)
    try:
        output = model.scenario(runs, sample.inputs)
    except InstantStyleError as error:
        raise type(error)(f"{error} (sample '{sample.name}', end to end)") from error
    except Exception as error:  # the model's own code, which went well with the reference's outputs
        problem = f"{type(error).__name__}: {error}"
        raise ExecutionError(f"the model's scenario fails with this artifact's outputs: {problem} (sample '{sample.name}')") from error
    yield ArrayPair(END_TO_END, sample.name, scenario_output(model), expected.output, output)
    called: Counter[str] = Counter()
    for call in expected.calls:
        called[call.graph] += 1
        again = f", call {called[call.graph]}" if called[call.graph] > 1 else ""
        try:
            outputs = runs[call.graph](call.inputs)
        except InstantStyleError as error:
            raise type(error)(f"{error} (sample '{sample.name}', graph '{call.graph}' alone)") from error
        specs = model.graph(call.graph).outputs
        for spec in specs:
            label = f"{sample.name}{again}" if len(specs) == 1 else f"{sample.name}{again}, {spec.name}"
            yield ArrayPair(call.graph, label, spec, call.outputs[spec.name], outputs[spec.name])


def _score(item: ArrayPair) -> Score:
    return score(item.label, item.spec, item.reference, item.output)


def checked_run(run: Run, graph: Graph | GraphArtifact, size: Size, artifact: str) -> Run:
    """``run`` of an artifact's graph, its outputs checked against the declaration.

    Raises (when it runs):
        ExecutionError: the runtime crashed, or an output is missing or has another shape.
    """

    def checked(inputs: Arrays) -> dict[str, np.ndarray]:
        try:
            outputs = run(inputs)
        except (ExecutionError, TargetUnavailableError):
            raise
        except Exception as error:  # runtimes raise what they like; it becomes a failure with a name, and is never passed over
            raise ExecutionError(f"{artifact}: graph '{graph.name}' crashed: {type(error).__name__}: {error}") from error
        for spec in graph.outputs:
            if spec.name not in outputs:
                raise ExecutionError(
                    f"{artifact}: graph '{graph.name}' gave no output '{spec.name}', only {', '.join(outputs) or 'nothing'}"
                )
            if outputs[spec.name].shape != spec.shape(size):
                raise ExecutionError(
                    f"{artifact}: graph '{graph.name}' gave '{spec.name}' in shape {outputs[spec.name].shape}, not {spec.shape(size)}"
                )
        return outputs

    return checked


def score(sample: str, spec: TensorSpec, reference: np.ndarray, output: np.ndarray) -> Score:
    """Compares one output with the reference's.

    NaN or Inf in either makes all numbers NaN, so that no comparison with a limit holds. Images are compared as people see them: what
    leaves the spec's range is black or white, in the reference as in the output.

    Args:
        spec: of the output; an image is compared by SSIM and PSNR over its range, anything else by its signal-to-noise ratio.
        reference, output: of equal shape; an image is (1, C, H, W).

    Raises:
        ValueError: the shapes differ.
        InstantStyleError: an image is smaller than SSIM's window.
    """
    largest = max_abs(reference, output)
    is_image = spec.kind is TensorKind.IMAGE
    if not math.isfinite(largest):
        return Score(sample, math.nan if is_image else None, math.nan, math.nan)
    if not is_image:
        return Score(sample, None, snr_db(reference, output), largest)
    shown = visible(spec, reference), visible(spec, output)
    structure = ssim(shown[0][0], shown[1][0], 0, LEVELS)
    return Score(sample, structure, psnr_db(*shown, LEVELS), max_abs(*shown) * (spec.maximum - spec.minimum) / LEVELS)


def similarity(spec: TensorSpec, reference: np.ndarray, output: np.ndarray) -> float:
    """SSIM of an image (1, C, H, W) with the reference's, as ``score`` computes it."""
    return ssim(visible(spec, reference)[0], visible(spec, output)[0], 0, LEVELS)
