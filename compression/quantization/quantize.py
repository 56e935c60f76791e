"""From a float graph to an int8 program: prepare (fake quantisation), calibrate, convert. PT2E of torchao."""

import copy
import itertools
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from operator import attrgetter
from types import MappingProxyType
from typing import cast

import torch
from torch import Tensor, nn
from torch.export import ExportedProgram
from torch.fx import GraphModule, Node

from ...capture.equality import check_converted, check_same, probe_inputs
from ...capture.normalization.nodes import forget_origins, set_origin
from ...capture.program import FloatIsland, is_convolution, module_path, operator_name
from ...capture.trace import trace
from ...model.graph import Arrays, Graph, Size
from ...recipe.recipe import QuantizeSettings
from ...system.errors import CaptureError
from ...system.silence import silence
from .channel_scales import scale_channels
from .operators import reads_integers
from .quantizer import IslandQuantizer, float_islands


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


def prepare(
    graph: Graph,
    size: Size,
    settings: QuantizeSettings,
    *,
    batch: int = 1,
    samples: Sequence[Arrays] = (),
    factors: Mapping[str, Tensor] = MappingProxyType({}),
) -> PreparedGraph:
    """Captures a graph at one size and inserts fake quantisers by the rules of ``IslandQuantizer``.

    Args:
        samples: inputs of the graph, batch 1, to check it on; seeded random numbers if there are none.
        factors: of output channels, as ``scale_channels`` takes them.

    Returns:
        Checked: with fake quantisation off, as it comes, it computes what the module does.

    Raises:
        CaptureError: ``torch.export`` refuses the model, nothing in it can be quantised, or the result computes something else.
    """
    # A captured program shares its parameters with the module, and tuning must not move the float reference. The module itself is not
    # copied: a hook that is a closure would write into the one and the copy read from itself.
    traced = copy.deepcopy(trace(graph, size, batch))
    inputs = probe_inputs(graph, size, samples, batch)
    check_same(graph, traced.captured, traced.normalized, inputs, "its normal form")
    scale_channels(traced.normalized, factors)
    keep_float, keep_int8 = (_within(graph.name, patterns) for patterns in (settings.keep_float, settings.keep_int8))
    with silence():
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
    in_int8 = sum(map(reads_integers, convolutions))
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
            take_scale(fake)


def take_scale(fake: nn.Module) -> None:
    """Takes the scale of the range that the fake quantiser's observer holds."""
    scale, zero_point = fake.activation_post_process.calculate_qparams()  # type: ignore[operator,union-attr]
    fake.scale.resize_(scale.shape).copy_(scale)  # type: ignore[operator,union-attr]
    fake.zero_point.resize_(zero_point.shape).copy_(zero_point)  # type: ignore[operator,union-attr]


def convert(prepared: PreparedGraph, graph: Graph, size: Size, samples: Sequence[Arrays] = ()) -> ExportedProgram:
    """A prepared graph with final ranges to an int8 program at its size, batch 1.

    Returns:
        the program; its example inputs are a sample, by which targets see how far sums of integers go.

    Raises:
        CaptureError: the program computes something else than the prepared graph under fake quantisation.
    """
    inputs = probe_inputs(graph, size, samples)
    with silence():
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


def load_weights(prepared: PreparedGraph, weights: Mapping[str, Tensor]) -> None:
    """Puts tuned weights into a prepared graph."""
    with torch.no_grad():
        for name, parameter in prepared.module.named_parameters():
            parameter.copy_(weights[name])
