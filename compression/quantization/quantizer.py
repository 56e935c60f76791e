"""Which tensors become int8: the PT2E quantizer of every target.

Rules, by operator:

- convolution, transposed convolution: weight, input and output (the output after a ReLU that follows it);
- linear: weight; its input and output too, unless the output feeds float operators only. Such a linear computes the
  statistics that AdaIN wants, or a head; quantising those cost more than all the rest together;
- addition of two tensors of equal shape (residuals, skips), concatenation: inputs and output;
- pooling, resizing, padding, slicing, pixel shuffle between two of the above: pass the scale through;
- everything else (normalisation statistics, softmax, tanh, products of activations …) is a float island.

Activations are symmetric per tensor with zero point 0, weights symmetric per output channel: the common
denominator of all runtimes. What a target wants differently is a rewrite in its adapter.
"""

from collections.abc import Iterable
from fnmatch import fnmatchcase
from typing import cast

import torch
from torch.fx import GraphModule, Node
from torchao.quantization.pt2e import FakeQuantize, MinMaxObserver, PerChannelMinMaxObserver
from torchao.quantization.pt2e.quantizer import (
    QuantizationAnnotation,
    QuantizationSpec,
    QuantizationSpecBase,
    Quantizer,
    SharedQuantizationSpec,
)

from ...capture.program import CONVOLUTIONS, FloatIsland, module_path, operator_name

ANNOTATION = "quantization_annotation"
LIMIT = 127

aten = torch.ops.aten
LINEARS = {aten.linear.default}
ADDITIONS = {aten.add.Tensor}
RELUS = {aten.relu.default}
CONCATENATIONS = {aten.cat.default}
PASS_THROUGH = {
    aten.max_pool2d.default,
    aten.avg_pool2d.default,
    aten.adaptive_avg_pool2d.default,
    aten.upsample_nearest2d.vec,
    aten.upsample_nearest2d.default,
    aten.upsample_bilinear2d.vec,
    aten.upsample_bilinear2d.default,
    aten.pixel_shuffle.default,
    aten.pixel_unshuffle.default,
    aten.pad.default,
    aten.reflection_pad2d.default,
    aten.slice.Tensor,
    aten.flatten.using_ints,
    aten.reshape.default,
    aten.view.default,
    aten.clone.default,
}

ACTIVATION = QuantizationSpec(
    dtype=torch.int8,
    # Plain FakeQuantize: the fused variant converts to other weights than it trained with when quant_min is -127.
    observer_or_fake_quant_ctr=FakeQuantize.with_args(observer=MinMaxObserver),
    quant_min=-LIMIT,
    quant_max=LIMIT,
    qscheme=torch.per_tensor_symmetric,
)


def _weight_spec(channel_axis: int) -> QuantizationSpec:
    return QuantizationSpec(
        dtype=torch.int8,
        observer_or_fake_quant_ctr=FakeQuantize.with_args(observer=PerChannelMinMaxObserver, ch_axis=channel_axis),
        quant_min=-LIMIT,
        quant_max=LIMIT,
        qscheme=torch.per_channel_symmetric,
        ch_axis=channel_axis,
    )


def _matches(path: str, patterns: Iterable[str]) -> bool:
    return any(fnmatchcase(path, pattern) or fnmatchcase(path, f"{pattern}.*") for pattern in patterns)


def _kept(node: Node, patterns: Iterable[str]) -> bool:
    """Whether a pattern has the node's module, or its module and operator: ``decoder.up`` or ``decoder.up:add``."""
    path = module_path(node)
    return _matches(path, patterns) or _matches(f"{path}:{operator_name(node)}", patterns)


def _is_feature_map(node: object) -> bool:
    """(N, C, H, W) with more than one position: statistics kept as (N, C, 1, 1) are none."""
    value = node.meta.get("val") if isinstance(node, Node) else None
    return isinstance(value, torch.Tensor) and value.dim() == 4 and value.shape[2] * value.shape[3] > 1


def _activation_inputs(node: Node) -> list[Node]:
    """The inputs of an int8 operator that are activations."""
    if node.target in CONCATENATIONS:
        return list(node.args[0])  # type: ignore[arg-type]
    return [part for part in node.args[: 2 if node.target in ADDITIONS else 1] if isinstance(part, Node)]


class IslandQuantizer(Quantizer):
    """Annotates by the rules above.

    Args:
        keep_float: globs of module paths, or ``<module path>:<operator>``, that stay in float whatever the rules say.
        keep_int8: globs of module paths whose linears are quantised in and out although the rules would not.
    """

    def __init__(self, keep_float: Iterable[str] = (), keep_int8: Iterable[str] = ()) -> None:
        super().__init__()
        self.keep_float = tuple(keep_float)
        self.keep_int8 = tuple(keep_int8)

    def annotate(self, model: GraphModule) -> GraphModule:
        computing = [node for node in model.graph.nodes if self._computes_in_int8(node)]
        reached = self._passes_to_int8(model, set(computing))
        for node in model.graph.nodes:
            if node in computing:
                self._annotate_computing(node, reached)
            elif node in reached and node.target in PASS_THROUGH:
                source = cast(Node, node.args[0])
                shared = SharedQuantizationSpec((source, node))
                node.meta[ANNOTATION] = QuantizationAnnotation(input_qspec_map={source: ACTIVATION}, output_qspec=shared, _annotated=True)
        return model

    def validate(self, model: GraphModule) -> None:
        pass

    def _computes_in_int8(self, node: Node) -> bool:
        if node.op != "call_function" or _kept(node, self.keep_float):
            return False
        if node.target in CONVOLUTIONS or node.target in LINEARS:
            weight = node.args[1]
            return isinstance(weight, Node) and weight.op == "get_attr"
        if node.target in ADDITIONS:
            left, right = node.args[0], node.args[1]
            return _is_feature_map(left) and _is_feature_map(right) and left.meta["val"].shape == right.meta["val"].shape  # type: ignore[union-attr]
        return node.target in CONCATENATIONS and _is_feature_map(node)

    def _passes_to_int8(self, model: GraphModule, computing: set[Node]) -> set[Node]:
        """Nodes whose value an int8 operator reads, directly or through pass-through operators and ReLUs."""
        reached: set[Node] = set()
        for node in reversed(model.graph.nodes):
            for user in node.users:
                reads = user in computing and node in _activation_inputs(user)
                if reads or (user in reached and (user.target in PASS_THROUGH or user.target in RELUS)):
                    reached.add(node)
        return reached

    def _annotate_computing(self, node: Node, reached: set[Node]) -> None:
        inputs: dict[Node, QuantizationSpecBase | None] = dict.fromkeys(_activation_inputs(node), ACTIVATION)
        output: QuantizationSpec | None = ACTIVATION
        if node.target in CONVOLUTIONS or node.target in LINEARS:
            source, weight = _activation_inputs(node)[0], cast(Node, node.args[1])
            inputs[weight] = _weight_spec(1 if node.target is aten.conv_transpose2d.input else 0)
            if node.target in LINEARS and node not in reached and not _matches(module_path(node), self.keep_int8):
                output = None
                # Its input is worth an int8 step only if it is an int8 feature map already.
                if source.target not in PASS_THROUGH:
                    del inputs[source]
        users = list(node.users)
        annotated = node
        if output is not None and len(users) == 1 and users[0].target in RELUS:
            # One kernel computes both: only the ReLU's result exists as int8.
            annotated = users[0]
            node.meta[ANNOTATION] = QuantizationAnnotation(input_qspec_map=inputs, _annotated=True)
            annotated.meta[ANNOTATION] = QuantizationAnnotation(output_qspec=output, _annotated=True)
        else:
            node.meta[ANNOTATION] = QuantizationAnnotation(input_qspec_map=inputs, output_qspec=output, _annotated=True)


def float_islands(graph: GraphModule, keep_float: Iterable[str]) -> tuple[FloatIsland, ...]:
    """What stays in float in an annotated graph, by module path, with the reason."""
    found: dict[str, list[str]] = {}
    for node in graph.graph.nodes:
        if node.op != "call_function" or ANNOTATION in node.meta or not isinstance(node.meta.get("val"), torch.Tensor):
            continue
        if node.target in RELUS or node.target in PASS_THROUGH or not node.meta["val"].is_floating_point():
            continue
        operators = found.setdefault(module_path(node), [])
        if operator_name(node) not in operators:
            operators.append(operator_name(node))
    return tuple(
        FloatIsland(path, tuple(operators), "kept by the recipe" if _matches(path, keep_float) else "no int8 rule for these operators")
        for path, operators in found.items()
    )
