"""Every single thing that an artifact is judged by, passed or failed."""

import math
from collections.abc import Iterable, Iterator
from typing import TYPE_CHECKING

from ...recipe.precision import Precision
from ..results.measurements import Measurements, Quality, Score, Spread, UnitMeasurements
from .departure import departure_checks
from .half_range import half_checks
from .quantity import AMPLITUDE, BYTES, SIMILARITY, Check, Quantity, at_least, at_most
from .speed import speed_checks

if TYPE_CHECKING:
    from ...recipe.limits import Limits

FINITE = "finite"  # the check that no output has NaN or Inf
NAMED_SAMPLES = 3
# Limits that say nothing about a graph, only about its execution.
EXECUTED_LIMITS = ("max_memory_bytes", "min_over_ort_float", "min_over_pytorch", "max_p50_ms")


def check(measurements: Measurements, limits: "Limits") -> tuple[Check, ...]:
    """All checks of an artifact: those that every artifact has to pass, then one for each limit that is set."""
    executed = not measurements.evaluator
    results = [_scored(measurements), _finite(measurements)]
    if measurements.precision is Precision.INT8:
        results.append(_int8_executed(measurements))
    name = measurements.artifact
    end_to_end = measurements.end_to_end
    results += [
        *at_least("min_ssim_mean", name, _ssim("mean", end_to_end.ssim()), limits.min_ssim_mean),
        *at_least("min_ssim_worst", name, _ssim("worst", end_to_end.ssim()), limits.min_ssim_worst),
        *at_most("max_abs", name, _max_abs(end_to_end.scores), limits.max_abs),
        *at_most("max_abs_hard", name, _max_abs(end_to_end.hard_scores), limits.max_abs_hard),
        *at_most("max_bytes", name, Quantity("size", measurements.shipped_bytes or None, BYTES), limits.max_bytes),
    ]
    results += departure_checks(measurements, name, limits)
    results += half_checks(measurements, limits.max_half_share)
    for unit in measurements.other_units:
        results += _unit_checks(f"{name} on {unit.unit}", unit, limits)
    if not executed:
        return tuple(results)
    memory = Quantity("peak memory", measurements.peak_memory_bytes or None, BYTES)
    results += [*at_most("max_memory_bytes", name, memory, limits.max_memory_bytes), *speed_checks(measurements, limits)]
    return tuple(results)


def unjudged(measurements: Measurements, limits: "Limits") -> tuple[str, ...]:
    """The limits that are set and can only be judged where the artifact itself runs: those of speed and memory."""
    return tuple(name for name in EXECUTED_LIMITS if measurements.evaluator and getattr(limits, name) is not None)


def _unit_checks(name: str, unit: UnitMeasurements, limits: "Limits") -> Iterator[Check]:
    """What every other compute unit has to keep, too: the picture. Which of them is the fastest is the app's choice."""
    broken = [score.sample for score in (*unit.end_to_end.scores, *unit.end_to_end.hard_scores) if not score.is_finite]
    text = f"NaN or Inf in {_listed(broken)}" if broken else "no NaN or Inf"
    yield Check(f"{FINITE}:{unit.unit}", not broken, 0, len(broken), f"{name}: {text}")
    found = unit.end_to_end
    for limit, which, spread, wanted in (
        ("min_ssim_mean", "mean", found.ssim(), limits.min_ssim_mean),
        ("min_ssim_worst", "worst", found.ssim(), limits.min_ssim_worst),
    ):
        yield from at_least(f"{limit}:{unit.unit}", name, _ssim(which, spread), wanted)
    yield from departure_checks(unit, name, limits, f":{unit.unit}")


def _scored(measurements: Measurements) -> Check:
    parts = [("end to end", measurements.end_to_end), *measurements.graphs]
    missing = [name for name, quality in parts if not quality.scores]
    missing += ["the graphs alone"] if not measurements.graphs else []
    missing += [f"execution of {graph}" for graph, _ in measurements.graphs if graph not in {run.graph for run in measurements.executions}]
    count = len(measurements.end_to_end.scores) + len(measurements.end_to_end.hard_scores)
    text = f"was not measured: {', '.join(missing)}" if missing else f"{count} samples and every graph were measured"
    return Check("measured", not missing, None, None, f"{measurements.artifact}: {text}")


def _finite(measurements: Measurements) -> Check:
    broken = [(where, score.sample) for where, score in _all_scores(measurements) if not score.is_finite]
    text = f"NaN or Inf in {_listed([sample for _, sample in broken])}, first {broken[0][0]}" if broken else "no NaN or Inf"
    overflows = [run.overflow for run in measurements.executions if run.overflow]
    if overflows:
        text = f"{text if broken else 'Inf on the way'}: {'; '.join(overflows)}"
    return Check(FINITE, not broken and not overflows, 0, len(broken) + len(overflows), f"{measurements.artifact}: {text}")


def _listed(samples: Iterable[str]) -> str:
    """Samples by name, the first few of them."""
    different = list(dict.fromkeys(samples))
    named = ", ".join(f"'{sample}'" for sample in different[:NAMED_SAMPLES])
    more = len(different) - NAMED_SAMPLES
    return f"sample{'s' * (len(different) > 1)} {named}" + (f" and {more} more" if more > 0 else "")


def _all_scores(measurements: Measurements) -> Iterator[tuple[str, Score]]:
    parts: list[tuple[str, Quality]] = [("end to end", measurements.end_to_end)]
    parts += [(f"in graph '{name}' alone", quality) for name, quality in measurements.graphs]
    for where, quality in parts:
        for score in (*quality.scores, *quality.hard_scores):
            yield where, score


def _int8_executed(measurements: Measurements) -> Check:
    """All convolutions that were asked for ran as int8 kernels."""
    ran = sum(execution.int8_convolutions for execution in measurements.executions)
    asked = sum(execution.int8_convolutions_asked for execution in measurements.executions)
    short = [
        f"graph '{run.graph}' ran {run.int8_convolutions} of {run.int8_convolutions_asked}"
        for run in measurements.executions
        if not run.int8_convolutions >= run.int8_convolutions_asked
    ]
    text = f"convolutions that should be int8 are not: {', '.join(short)}" if short else f"{ran} of {asked} int8 convolutions ran as int8"
    return Check("int8_executed", not short, asked, ran, f"{measurements.artifact}: {text}")


def _ssim(which: str, spread: Spread | None) -> Quantity:
    if spread is None:
        return Quantity(f"SSIM {which}", None, SIMILARITY)
    if which == "mean":
        return Quantity("SSIM mean", spread.mean, SIMILARITY)
    kind = "hard sample" if which == "hard" else "worst sample"
    return Quantity(f"SSIM of the {kind} '{spread.worst_sample}'", spread.worst, SIMILARITY)


def _max_abs(scores: Iterable[Score]) -> Quantity:
    worst = max(scores, key=lambda score: math.inf if math.isnan(score.max_abs) else score.max_abs, default=None)
    if worst is None:
        return Quantity("largest difference", None, AMPLITUDE)
    return Quantity(f"largest difference, in sample '{worst.sample}',", worst.max_abs, AMPLITUDE)
