"""Ranges of activations: measured on samples, put into fake quantisers, kept in a table."""

import contextlib
import copy
import itertools
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from types import MappingProxyType

import torch
from torch import Tensor, nn

from ...calibration.observer import Observer, ObserverError
from ...calibration.observers import make_observer
from ...calibration.table import CalibrationTable, TensorRange
from ...capture.equality import probe_inputs
from ...model.graph import Arrays, Graph, Model, Sample, Size
from ...model.runs import graph_inputs, run_of
from ...recipe.recipe import QuantizeSettings
from ...system.errors import CalibrationError
from ...system.progress import ReportProgress
from .plan.plan import NO_PLAN, Plan
from .quantize import PreparedGraph, convert, load_weights, prepare, refresh_weight_ranges, set_mode, take_scale
from .quantizer import LIMIT


def set_activation_ranges(prepared: PreparedGraph, ranges: Mapping[str, TensorRange]) -> None:
    """Fixes the scale of every activation to a calibration table's."""
    for name, fake in prepared.activations.items():
        limit = torch.tensor(ranges[name].scale * LIMIT)
        observer = fake.activation_post_process
        observer.min_val, observer.max_val = -limit, limit  # type: ignore[union-attr]
        take_scale(fake)


def as_runtimes_do(prepared: PreparedGraph, ranges: Mapping[str, TensorRange]) -> None:
    """Gives tensors that are never negative all 256 levels, as most targets do, with the ranges that were set.

    ``convert`` goes by the ranges alone, and makes the program of 127 levels that targets start from.
    """
    for name, fake in prepared.activations.items():
        if ranges[name].minimum == 0:
            observer = fake.activation_post_process
            observer.quant_min, observer.quant_max = 0, 2 * LIMIT + 1  # type: ignore[union-attr]
            set_scale(fake, ranges[name], ranges[name].scale)


def set_scale(fake: nn.Module, entry: TensorRange, scale: float) -> None:
    """Sets the step of a fake quantiser after ``as_runtimes_do`` to what a table's scale means for it."""
    fake.scale.fill_(scale / 2 if entry.minimum == 0 else scale)  # type: ignore[operator,union-attr]


def observe(
    model: Model,
    prepared: Mapping[str, PreparedGraph],
    *,
    samples: Iterable[Sample],
    total: int,
    settings: QuantizeSettings,
    report: ReportProgress,
    chosen: Mapping[str, Mapping[str, str]] = MappingProxyType({}),
) -> tuple[TensorRange, ...]:
    """Ranges of every quantised activation over the samples, in float arithmetic, through the scenario.

    Args:
        chosen: observers by graph and tensor where they are not the recipe's.

    Raises:
        CalibrationError: NaN or infinity in an activation; names graph and tensor.
    """
    observers: dict[tuple[str, str], Observer] = {}
    kinds: dict[tuple[str, str], str] = {}
    with contextlib.ExitStack() as hooks:
        for graph_name, graph in prepared.items():
            set_mode(graph, fake_quantize=False)
            for name, fake in graph.activations.items():
                kinds[graph_name, name] = chosen.get(graph_name, {}).get(name, settings.observer)
                observers[graph_name, name] = make_observer(kinds[graph_name, name], settings.percentile)
                hook = fake.register_forward_pre_hook(_feed(observers[graph_name, name], graph_name, name))
                hooks.callback(hook.remove)
        # Without fake quantisation a prepared graph is the float graph, so that the scenario itself runs through them.
        runs = {graph.name: run_of(graph, prepared[graph.name].module) for graph in model.graphs}
        for done, sample in enumerate(samples, 1):
            model.scenario(runs, sample.inputs)
            report(done, total, "")
    ranges: list[TensorRange] = []
    for (graph_name, name), observer in observers.items():
        with _naming(graph_name, name):
            ranges.append(TensorRange.of(graph_name, name, observer.range(), kinds[graph_name, name]))
    return tuple(ranges)


def _feed(observer: Observer, graph: str, tensor: str) -> Callable[[nn.Module, tuple[Tensor, ...]], None]:
    def hook(_: nn.Module, inputs: tuple[Tensor, ...]) -> None:
        with _naming(graph, tensor):
            observer.update(inputs[0])

    return hook


@contextlib.contextmanager
def _naming(graph: str, tensor: str) -> Iterator[None]:
    """An observer does not know what it watches; the user needs the name."""
    try:
        yield
    except ObserverError as error:
        raise CalibrationError(f"calibration of graph '{graph}', tensor '{tensor}': {error}") from error


def fix_ranges(prepared: PreparedGraph, graph: Graph, inputs: Sequence[Arrays], settings: QuantizeSettings) -> dict[str, TensorRange]:
    """Sets ranges of activations, by tensor, and of weights of one graph from its own inputs."""
    ranges = {entry.tensor: entry for entry in ranges_alone(prepared, graph, inputs, settings)}
    set_activation_ranges(prepared, ranges)
    refresh_weight_ranges(prepared)
    return ranges


def ranges_alone(
    prepared: PreparedGraph,
    graph: Graph,
    inputs: Sequence[Arrays],
    settings: QuantizeSettings,
    chosen: Mapping[str, str] = MappingProxyType({}),
) -> tuple[TensorRange, ...]:
    """Ranges of one graph's activations from its own inputs; ``chosen``: observers by tensor. Fake quantisation is off afterwards."""
    name, output = graph.name, graph.outputs[0].name
    alone = Model(name, (graph,), lambda runs, sample: runs[name](sample)[output], (), name)
    samples = [Sample(str(index), dict(arrays)) for index, arrays in enumerate(inputs)]
    report, observers = (lambda *_: None), {name: chosen}
    return observe(alone, {name: prepared}, samples=samples, total=len(samples), settings=settings, report=report, chosen=observers)


def calibrate(
    model: Model,
    samples: Iterable[Sample],
    *,
    total: int,
    size: Size,
    tuned: Mapping[str, Mapping[str, Tensor]],
    settings: QuantizeSettings,
    image_set_sha256: str,
    report: ReportProgress,
    plan: Plan = NO_PLAN,
) -> CalibrationTable:
    """Calibration table of a model at one size.

    Args:
        tuned: weights by graph and parameter name as ``qat.tune`` or a plan returned them; empty for the model's own.
        total: number of samples, for progress.
        plan: that the weights belong to.
    """
    settings = plan.applied(settings)
    remaining = iter(samples)
    first = list(itertools.islice(remaining, 1))
    (fed,) = graph_inputs(model, first)
    prepared = {
        graph.name: prepare(graph, size, settings, samples=[fed[graph.name]], factors=plan.factors.get(graph.name, {}))
        for graph in model.graphs
    }
    for graph in model.graphs:
        rehearse(prepared[graph.name], graph, size, [fed[graph.name]], settings)
    samples = itertools.chain(first, remaining)
    for name, weights in tuned.items():
        load_weights(prepared[name], weights)
    observed = observe(model, prepared, samples=samples, total=total, settings=settings, report=report, chosen=plan.observers)
    entries = [plan.fixed(entry) for entry in observed]
    return CalibrationTable.of(model.name, size, settings.observer, image_set_sha256, entries)


def rehearse(prepared: PreparedGraph, graph: Graph, size: Size, samples: Sequence[Arrays], settings: QuantizeSettings) -> None:
    """Converts a copy with the ranges of a few samples: what conversion changes is found before anything is calibrated or tuned.

    Raises:
        CaptureError: as ``convert``.
    """
    trial = copy.deepcopy(prepared)
    fix_ranges(trial, graph, samples or [_named(graph, probe_inputs(graph, size))], settings)
    convert(trial, graph, size, samples)


def _named(graph: Graph, inputs: Iterable[Tensor]) -> Arrays:
    return {spec.name: value.numpy() for spec, value in zip(graph.inputs, inputs, strict=True)}
