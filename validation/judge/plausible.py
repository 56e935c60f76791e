"""Whether an artifact's measurements can be true: in their ranges, complete, and in agreement with each other and the manifest.

Nothing of this depends on limits. What no measurement can give was altered, or is a defect of ours; neither may be judged.
"""

import math
from collections.abc import Iterator, Sequence

from ...metrics.statistics import can_carry
from ...model.graph import TensorKind, TensorSpec, main_output
from ...recipe.precision import LARGEST_HALF
from ...targets.artifact import files_of
from ...targets.base import Artifact
from ..measure.latency import runs_of
from ..results.departure import Departures, has_departures
from ..results.evidence import Evidence
from ..results.measurements import GraphExecution, Measurements, Quality, Score, UnitMeasurements
from ..results.timing import Latency, Timing

ROUNDING = 1e-6
TIMINGS = ("artifact", "ort_float", "pytorch")


def implausible(measured: Measurements, built: Artifact, runs: int, threads: int) -> Iterator[str]:
    """What cannot be, a sentence each, with the artifact, the field and what was found.

    Args:
        built: the artifact's manifest.
        runs, threads: as the recipe has them for latency.
    """
    for problem in _problems(measured, built, runs, threads):
        yield f"{built.name}: measurements.{problem}"


def _problems(measured: Measurements, built: Artifact, runs: int, threads: int) -> Iterator[str]:
    graphs = [graph.name for graph in built.graphs]
    yield from _equal("artifact", measured.artifact, built.name)
    yield from _equal("precision", str(measured.precision), str(built.precision))
    yield from _equal("shipped_bytes", measured.shipped_bytes, built.shipped_bytes)
    yield from _equal("machine.threads", measured.machine.threads, threads)
    if measured.hot_graph not in graphs:
        yield f"hot_graph is '{measured.hot_graph}', which is none of the artifact's graphs, {', '.join(graphs)}"
        return
    if [call.graph for call in measured.evidence.calls] != graphs:
        yield f"evidence.calls is of {_listed(call.graph for call in measured.evidence.calls)}, the artifact's graphs are {_listed(graphs)}"
        return
    if measured.evaluator and (measured.latency or measured.peak_memory_bytes):
        yield f"evaluator is '{measured.evaluator}', so that there can be no latency and no memory, and there is"
    if measured.by_vendor and not measured.evaluator:
        yield "by_vendor is true, and evaluator is empty: nothing says whose library executed the artifact"
    yield from _half_range(measured, graphs)
    yield from _unit("", measured, measured.own_unit, built, runs)
    for index, unit in enumerate(measured.other_units):
        yield from _unit(f"other_units[{index}].", measured, unit, built, runs)
    units = [measured.unit, *(unit.unit for unit in measured.other_units)]
    if len(set(units)) != len(units):
        yield f"other_units has a unit twice: {_listed(units)}"


def _half_range(measured: Measurements, graphs: Sequence[str]) -> Iterator[str]:
    found = measured.half_range
    if found is None:
        return
    if found.graph not in graphs:
        yield f"half_range.graph is '{found.graph}', which is none of the artifact's graphs"
    for field, value in (("largest", found.largest), ("share", found.share), ("square_share", found.square_share)):
        if not 0 <= value < math.inf:
            yield f"half_range.{field} is {value}"
    if not math.isclose(found.share, found.largest / LARGEST_HALF, rel_tol=ROUNDING):
        yield f"half_range.share is {found.share}; by half_range.largest, {found.largest}, it is {found.largest / LARGEST_HALF:.6g}"


def shipped_problem(built: Artifact) -> str:
    """What is wrong with a manifest's ``shipped_bytes``, given the sizes of its files; empty if nothing is.

    The model files, and not more than everything. Of a graph that is a folder, an app may carry a part.
    """
    if not built.graphs:
        return ""
    everything = sum(file.size_bytes for file in built.files)
    single = sum(file.size_bytes for graph in built.graphs for file in files_of(built, graph.file) if file.path == graph.file)
    if max(1, single) <= built.shipped_bytes <= everything:
        return ""
    return (
        f"{built.name}: shipped_bytes is {built.shipped_bytes}; its files have {everything} bytes, those that a graph consists of {single}"
    )


def _unit(at: str, measured: Measurements, unit: UnitMeasurements, built: Artifact, runs: int) -> Iterator[str]:
    evidence, samples = measured.evidence, measured.evidence.samples.names()
    shown = main_output(built.graph(measured.hot_graph).outputs)
    for kind, scores, names in (
        ("scores", unit.end_to_end.scores, samples),
        ("hard_scores", unit.end_to_end.hard_scores, evidence.hard),
    ):
        where = f"{at}end_to_end.{kind}"
        yield from _complete(where, [score.sample for score in scores], names)
        for score in scores:
            yield from _score(where, score, shown)
    yield from _departures(f"{at}departures", unit.departures, evidence, shown)
    if [name for name, _ in unit.graphs] != [graph.name for graph in built.graphs]:
        yield f"{at}graphs is of {_listed(name for name, _ in unit.graphs)}, not of {_listed(graph.name for graph in built.graphs)}"
        return
    for (name, quality), call in zip(unit.graphs, evidence.calls, strict=True):
        yield from _graph(f"{at}graphs['{name}']", quality, (call.ordinary, call.hard), (samples, evidence.hard), built.graph(name).outputs)
    yield from _latencies(at, measured, unit.latency, runs)
    yield from _executions(at, unit.executions, built)


def _departures(at: str, departures: Departures, evidence: Evidence, shown: TensorSpec) -> Iterator[str]:
    if not has_departures(shown):
        return
    hard = set(evidence.hard)
    found, wanted = [row.sample for row in (*departures.pictures, *departures.made)], [*evidence.samples.names(), *hard]
    yield from _complete(at, sorted(found), sorted(wanted))
    ordinary = next((row.sample for row in departures.made if row.sample not in hard), None)
    if ordinary is not None:
        yield f"{at}.made has the sample '{ordinary}', which is a validation sample"
    for kind, rows in (("pictures", departures.pictures), ("made", departures.made)):
        for row in rows:
            for field, low, high in (("ssim", -1, 1), ("tile_ssim", -1, 1), ("block", 0, 1), ("colour", 0, math.inf), ("perceptual", 0, 8)):
                value = getattr(row, field)
                if value is not None and not math.isnan(value) and not low - ROUNDING <= value <= high + ROUNDING:
                    yield f"{at}.{kind}['{row.sample}'].{field} is {value}, outside of {low} to {high}"
            if row.tile_ssim > row.ssim + ROUNDING:
                yield f"{at}.{kind}['{row.sample}'].tile_ssim is {row.tile_ssim}, above the mean, {row.ssim}"
    without = [row.sample for row in departures.pictures if row.perceptual is None]
    if 0 < len(without) < len(departures.pictures):
        yield f"{at}.pictures['{without[0]}'].perceptual is missing, though others have it"


def _graph(
    at: str, quality: Quality, calls: tuple[int, int], samples: tuple[Sequence[str], Sequence[str]], outputs: Sequence[TensorSpec]
) -> Iterator[str]:
    """One graph alone: a score for each output of each call."""
    for kind, scores, called, names in zip(("scores", "hard_scores"), (quality.scores, quality.hard_scores), calls, samples, strict=True):
        where, labels = f"{at}.{kind}", [score.sample for score in scores]
        if len(scores) != called * len(outputs):
            yield f"{where} has {len(scores)} entries; the graph was called {called} times and has {len(outputs)} outputs"
        yield from _repeated(where, labels)
        known = tuple(f"{name}," for name in names)
        strange = next((label for label in labels if not f"{label},".startswith(known)), None)
        if strange is not None:
            yield f"{where} has the sample '{strange}', which is none of the validation set"
        for index, score in enumerate(scores):
            yield from _score(where, score, outputs[index % len(outputs)])


def _complete(at: str, found: Sequence[str], wanted: Sequence[str]) -> Iterator[str]:
    yield from _repeated(at, found)
    missing = [name for name in wanted if name not in set(found)]
    strange = [name for name in found if name not in set(wanted)]
    if missing:
        yield f"{at} has no score of {len(missing)} of {len(wanted)} samples, first '{missing[0]}'"
    if strange:
        yield f"{at} has the sample '{strange[0]}', which is none of the validation set"
    if not missing and not strange and len(found) == len(wanted) and list(found) != list(wanted):
        yield f"{at} has its samples in another order than they were measured in"


def _repeated(at: str, names: Sequence[str]) -> Iterator[str]:
    if len(set(names)) != len(names):
        twice = next(name for index, name in enumerate(names) if name in names[:index])
        yield f"{at} has the sample '{twice}' twice"


def _score(at: str, score: Score, spec: TensorSpec) -> Iterator[str]:
    """NaN is left to the verdict: it says something about the picture."""
    where, is_image = f"{at}['{score.sample}']", spec.kind is TensorKind.IMAGE
    if (score.ssim is not None) is not is_image:
        yield f"{where}.ssim is {score.ssim}; output '{spec.name}' is {'an image' if is_image else 'no image'}"
    if score.ssim is not None and (math.isinf(score.ssim) or abs(score.ssim) > 1 + ROUNDING):
        yield f"{where}.ssim is {score.ssim}, outside of -1 to 1"
    if score.max_abs < 0:
        yield f"{where}.max_abs is {score.max_abs}, below 0"
    if score.max_abs == 0 and score.psnr_db != math.inf:
        yield f"{where}.psnr_db is {score.psnr_db}, and of equal outputs it is infinite"
    if score.max_abs == 0 and score.ssim is not None and abs(score.ssim - 1) > ROUNDING:
        yield f"{where}.ssim is {score.ssim}, and of equal outputs it is 1"


def _latencies(at: str, measured: Measurements, latencies: Sequence[Latency], runs: int) -> Iterator[str]:
    if measured.evaluator or not (measured.evidence.baseline or latencies):
        return
    found, everywhere = [latency.graph for latency in latencies], len(measured.evidence.samples.names())
    if len(set(found)) != len(found):
        yield f"{at}latency has a graph twice: {_listed(found)}"
    for call in measured.evidence.calls:
        if call.graph not in found and (call.graph == measured.hot_graph or call.ordinary >= everywhere):
            yield f"{at}latency has nothing of graph '{call.graph}'"
    for latency in latencies:
        where = f"{at}latency['{latency.graph}']"
        if latency.graph not in {call.graph for call in measured.evidence.calls}:
            yield f"{where} is of no graph of the artifact"
        wanted = runs_of(latency.graph == measured.hot_graph, runs)
        for name, timing in zip(TIMINGS, (latency.artifact, latency.ort_float, latency.pytorch), strict=True):
            yield from _timing(f"{where}.{name}", name, timing, wanted, latency.processes)
        if len({latency.artifact.runs, latency.ort_float.runs, latency.pytorch.runs}) > 1:
            yield f"{where} has contestants of different numbers of runs"
        yield from _ratio(f"{where}.over_ort_float", latency.ort_float, latency.artifact, latency.over_ort_float)
        yield from _ratio(f"{where}.over_pytorch", latency.pytorch, latency.artifact, latency.over_pytorch)
        for name in ("over_ort_float", "over_pytorch"):
            low, value, high = (getattr(latency, f"{name}{end}") for end in ("_low", "", "_high"))
            yield from _ordered(f"{where}.{name}", low, value, high)


def _timing(at: str, name: str, timing: Timing, wanted: int, processes: int) -> Iterator[str]:
    yield from _equal(f"{at}.name", timing.name, name)
    if timing.runs < wanted * processes:
        yield f"{at}.runs is {timing.runs}; the recipe wants {wanted} in each of {processes} processes"
    yield from _ordered(f"{at}.p50_ms", timing.p50_low_ms, timing.p50_ms, timing.p50_high_ms)
    if (timing.p90_ms is not None) is not can_carry(90, timing.runs):
        yield f"{at}.p90_ms is {timing.p90_ms}, which {timing.runs} runs {'can' if timing.p90_ms is None else 'cannot'} carry"
    # Of several processes, the median is a mean of medians, which nothing orders.
    if processes == 1 and timing.p90_ms is not None and timing.p90_ms < timing.p50_ms:
        yield f"{at}.p90_ms is {timing.p90_ms}, below p50_ms, {timing.p50_ms}"


def _ratio(at: str, slower: Timing, faster: Timing, found: float) -> Iterator[str]:
    wanted = slower.p50_ms / faster.p50_ms
    if not math.isclose(found, wanted, rel_tol=ROUNDING):
        yield f"{at} is {found}; by the times it comes from, {slower.p50_ms} and {faster.p50_ms} ms, it is {wanted:.6g}"


def _ordered(at: str, low: float, value: float, high: float) -> Iterator[str]:
    if not low <= value <= high:
        yield f"{at} is {value}, outside of its interval {low} to {high}"


def _executions(at: str, executions: Sequence[GraphExecution], built: Artifact) -> Iterator[str]:
    found, graphs = [execution.graph for execution in executions], [graph.name for graph in built.graphs]
    if found != graphs:
        yield f"{at}executions is of {_listed(found)}, the artifact's graphs are {_listed(graphs)}"
        return
    for execution, graph in zip(executions, built.graphs, strict=True):
        where = f"{at}executions['{graph.name}']"
        if execution.int8_convolutions > execution.convolutions:
            yield f"{where}.int8_convolutions is {execution.int8_convolutions}, of {execution.convolutions} convolutions"
        yield from _equal(f"{where}.int8_convolutions_asked", execution.int8_convolutions_asked, graph.int8_convolutions)
        if not execution.provider:
            yield f"{where}.provider is empty"


def _equal(at: str, found: object, wanted: object) -> Iterator[str]:
    if found != wanted:
        yield f"{at} is {found!r}, and has to be {wanted!r}"


def _listed(names: Iterator[str] | Sequence[str]) -> str:
    return ", ".join(names) or "nothing"
