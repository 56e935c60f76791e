"""From a float graph to an int8 program: prepare (fake quantisation), calibrate, convert. PT2E of torchao."""

import contextlib
import copy
import io
import itertools
import logging
import warnings
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from operator import attrgetter
from typing import cast

import numpy as np
import torch
from torch import Tensor, nn
from torch.export import ExportedProgram
from torch.fx import GraphModule, Node

from ..calibration.observer import Observer, ObserverError
from ..calibration.observers import make_observer
from ..calibration.samples import Sample
from ..calibration.table import CalibrationTable, TensorRange
from ..model.errors import CalibrationError, CaptureError
from ..model.graph import Arrays, Graph, Model, Size
from ..validation.reference import graph_inputs
from .capture import trace
from .equality import check_converted, check_same, probe_inputs
from .normalization.nodes import forget_origins, set_origin
from .program import FloatIsland, module_path, operator_name
from .progress import Report
from .quantizer import LIMIT, IslandQuantizer, float_islands, is_convolution
from .recipe import QuantizeSettings


@contextlib.contextmanager
def quiet() -> Iterator[None]:
    """Keeps torchao's import notes and deprecation warnings off the screen; errors still raise."""
    level = logging.root.manager.disable
    with warnings.catch_warnings(), contextlib.redirect_stdout(io.StringIO()):
        warnings.simplefilter("ignore")
        logging.disable(logging.WARNING)
        try:
            yield
        finally:
            logging.disable(level)


@dataclass(frozen=True)
class PreparedGraph:
    """A captured graph with fake quantisers.

    Attributes:
        module: trainable, in normal form: batch normalisation is folded or written out.
        activations: fake quantisers of activations by tensor name (module path and operator), in the order of execution.
        weights: fake quantisers of weights by parameter name: two where a convolution and a transposed one read the same weight,
            whose output channels are different axes of it.
    """

    module: GraphModule
    activations: Mapping[str, nn.Module]
    weights: Mapping[str, Sequence[nn.Module]]
    convolutions: int
    int8_convolutions: int
    islands: tuple[FloatIsland, ...]

    @property
    def weight_quantizers(self) -> tuple[nn.Module, ...]:
        """Of all weights."""
        return tuple(itertools.chain.from_iterable(self.weights.values()))


def prepare(graph: Graph, size: Size, settings: QuantizeSettings, batch: int = 1, samples: Sequence[Arrays] = ()) -> PreparedGraph:
    """Captures a graph at one size and inserts fake quantisers by the rules of ``IslandQuantizer``.

    Args:
        samples: inputs of the graph, batch 1, to check it on; seeded random numbers if there are none.

    Returns:
        Checked: with fake quantisation off, as it comes, it computes what the module does.

    Raises:
        CaptureError: ``torch.export`` refuses the model, nothing in it can be quantised, or the result computes something else.
    """
    # A captured program shares its parameters with the module, and tuning must not move the float reference.
    traced = trace(replace(graph, module=copy.deepcopy(graph.module)), size, batch)
    inputs = probe_inputs(graph, size, samples, batch)
    check_same(graph, traced.captured, traced.normalized, inputs, "its normal form")
    keep_float, keep_int8 = (_within(graph.name, patterns) for patterns in (settings.keep_float, settings.keep_int8))
    with quiet():
        from torchao.quantization.pt2e import FakeQuantize
        from torchao.quantization.pt2e.quantize_pt2e import prepare_pt2e

        module = prepare_pt2e(traced.normalized, IslandQuantizer(keep_float, keep_int8))
    activations: dict[str, nn.Module] = {}
    weights: dict[str, list[nn.Module]] = {}
    seen: set[int] = set()
    for node in module.graph.nodes:
        if node.op != "call_module" or not isinstance(fake := module.get_submodule(str(node.target)), FakeQuantize):
            continue
        source = node.args[0]
        if id(fake) in seen or not isinstance(source, Node):
            continue
        seen.add(id(fake))
        if source.op == "get_attr":
            weights.setdefault(str(source.target), []).append(fake)
        else:
            activations[_unique(_tensor_name(source), activations)] = fake
    if not weights:
        raise CaptureError(f"graph '{graph.name}' has no convolution or linear layer that can be quantised; set quantize.method = \"off\"")
    convolutions = [node for node in module.graph.nodes if is_convolution(node)]
    in_int8 = sum(all(isinstance(part, Node) and part.op == "call_module" for part in node.args[:2]) for node in convolutions)
    prepared = PreparedGraph(module, activations, weights, len(convolutions), in_int8, float_islands(module, keep_float))
    set_mode(prepared, fake_quantize=False)
    check_same(graph, traced.captured, module, inputs, "the graph prepared for int8")
    return prepared


def _within(graph: str, patterns: Iterable[str]) -> tuple[str, ...]:
    """Patterns of module paths, with or without the name of their graph, as patterns of paths inside ``graph``."""
    return tuple(pattern.removeprefix(f"{graph}.") for pattern in patterns)


def _tensor_name(node: Node) -> str:
    if node.op == "placeholder":
        return f"input {node.name}"
    path = module_path(node)
    return f"{path}:{operator_name(node)}" if path else operator_name(node)


def _unique(name: str, taken: Mapping[str, object]) -> str:
    candidates = itertools.chain([name], (f"{name}#{count}" for count in itertools.count(2)))
    return next(candidate for candidate in candidates if candidate not in taken)


def set_mode(prepared: PreparedGraph, fake_quantize: bool) -> None:
    """Switches fake quantisation of everything. No range follows by itself: ``refresh_weight_ranges`` and calibration set them."""
    for fake in (*prepared.activations.values(), *prepared.weight_quantizers):
        fake.fake_quant_enabled.fill_(int(fake_quantize))  # type: ignore[operator]
        fake.observer_enabled.fill_(0)  # type: ignore[operator]


def refresh_weight_ranges(prepared: PreparedGraph) -> None:
    """Takes the ranges of the weights as they are now; an observer alone would remember the largest it ever saw."""
    for name, fakes in prepared.weights.items():
        for fake in fakes:
            observer = fake.activation_post_process
            observer.reset_min_max_vals()  # type: ignore[operator,union-attr]
            observer(attrgetter(name)(prepared.module).detach())  # type: ignore[operator] - a parameter, or a buffer that serves as one
            _take_scale(fake)


def _take_scale(fake: nn.Module) -> None:
    scale, zero_point = fake.activation_post_process.calculate_qparams()  # type: ignore[operator,union-attr]
    fake.scale.resize_(scale.shape).copy_(scale)  # type: ignore[operator,union-attr]
    fake.zero_point.resize_(zero_point.shape).copy_(zero_point)  # type: ignore[operator,union-attr]


def set_activation_ranges(prepared: PreparedGraph, ranges: Mapping[str, TensorRange]) -> None:
    """Fixes the scale of every activation to a calibration table's."""
    for name, fake in prepared.activations.items():
        limit = torch.tensor(ranges[name].scale * LIMIT)
        observer = fake.activation_post_process
        observer.min_val, observer.max_val = -limit, limit  # type: ignore[union-attr]
        _take_scale(fake)


def observe(
    model: Model,
    prepared: Mapping[str, PreparedGraph],
    samples: Iterable[Sample],
    total: int,
    settings: QuantizeSettings,
    report: Report,
) -> tuple[TensorRange, ...]:
    """Ranges of every quantised activation over the samples, in float arithmetic, through the scenario.

    Raises:
        CalibrationError: NaN or infinity in an activation; names graph and tensor.
    """
    observers: dict[tuple[str, str], Observer] = {}
    with contextlib.ExitStack() as hooks:
        for graph_name, graph in prepared.items():
            set_mode(graph, fake_quantize=False)
            for name, fake in graph.activations.items():
                observers[graph_name, name] = make_observer(settings.observer, settings.percentile)
                hook = fake.register_forward_pre_hook(_feed(observers[graph_name, name], graph_name, name))
                hooks.callback(hook.remove)
        # Without fake quantisation a prepared graph is the float graph, so that the scenario itself runs through them.
        runs = {graph.name: partial(_run_prepared, graph, prepared[graph.name]) for graph in model.graphs}
        for done, sample in enumerate(samples, 1):
            model.scenario(runs, sample.inputs)
            report(done, total, "")
    ranges: list[TensorRange] = []
    for (graph_name, name), observer in observers.items():
        with _naming(graph_name, name):
            ranges.append(TensorRange.of(graph_name, name, observer.range(), settings.observer))
    return tuple(ranges)


def _run_prepared(graph: Graph, prepared: PreparedGraph, inputs: Arrays) -> dict[str, np.ndarray]:
    with torch.no_grad():
        result = prepared.module(*(torch.from_numpy(inputs[spec.name]) for spec in graph.inputs))
    results = (result,) if isinstance(result, Tensor) else result
    return {spec.name: value.numpy() for spec, value in zip(graph.outputs, results, strict=True)}


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


def convert(prepared: PreparedGraph, graph: Graph, size: Size, samples: Sequence[Arrays] = ()) -> ExportedProgram:
    """A prepared graph with final ranges to an int8 program at its size, batch 1.

    Returns:
        the program; its example inputs are a sample, by which targets see how far sums of integers go.

    Raises:
        CaptureError: the program computes something else than the prepared graph under fake quantisation.
    """
    inputs = probe_inputs(graph, size, samples)
    with quiet():
        from torchao.quantization.pt2e.quantize_pt2e import convert_pt2e

        refresh_weight_ranges(prepared)
        set_mode(prepared, fake_quantize=True)
        converted = convert_pt2e(copy.deepcopy(prepared.module))
        for node in converted.graph.nodes:
            set_origin(node, node.name)
        program = torch.export.export(converted, inputs, strict=False)
    check_converted(graph, prepared.module, cast(GraphModule, program.module(check_guards=False)), inputs)
    forget_origins(program.graph)
    return program


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


def fix_ranges(prepared: PreparedGraph, graph: Graph, inputs: Sequence[Arrays], settings: QuantizeSettings) -> None:
    """Ranges of activations and weights of one graph from its own inputs."""
    name, output = graph.name, graph.outputs[0].name
    alone = Model(name, (graph,), lambda runs, sample: runs[name](sample)[output], (), name)
    samples = [Sample(str(index), dict(arrays)) for index, arrays in enumerate(inputs)]
    ranges = observe(alone, {name: prepared}, samples, len(samples), settings, lambda *_: None)
    set_activation_ranges(prepared, {entry.tensor: entry for entry in ranges})
    refresh_weight_ranges(prepared)


def calibrate(
    model: Model,
    samples: Iterable[Sample],
    total: int,
    size: Size,
    tuned: Mapping[str, Mapping[str, Tensor]],
    settings: QuantizeSettings,
    image_set_sha256: str,
    report: Report,
) -> CalibrationTable:
    """Calibration table of a model at one size.

    Args:
        tuned: weights by graph and parameter name as ``qat.tune`` returned them; empty for post-training quantisation.
        total: number of samples, for progress.
    """
    remaining = iter(samples)
    first = list(itertools.islice(remaining, 1))
    (fed,) = graph_inputs(model, first)
    prepared = {graph.name: prepare(graph, size, settings, samples=[fed[graph.name]]) for graph in model.graphs}
    for graph in model.graphs:
        rehearse(prepared[graph.name], graph, size, [fed[graph.name]], settings)
    samples = itertools.chain(first, remaining)
    for name, weights in tuned.items():
        load_weights(prepared[name], weights)
    entries = observe(model, prepared, samples, total, settings, report)
    return CalibrationTable.of(model.name, size, settings.observer, image_set_sha256, entries)


def load_weights(prepared: PreparedGraph, weights: Mapping[str, Tensor]) -> None:
    """Puts tuned weights into a prepared graph."""
    with torch.no_grad():
        for name, parameter in prepared.module.named_parameters():
            parameter.copy_(weights[name])
