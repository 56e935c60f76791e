"""Which tensors become int8: the PT2E quantizer of every target.

Rules, by operator:

- convolution, transposed convolution: weight, input and output (the output after a ReLU that follows it);
- linear: weight; its input and output too, unless the output feeds float operators only. Such a linear computes the
  statistics that AdaIN wants, or a head; quantising those cost more than all the rest together;
- addition of two tensors of equal shape (residuals, skips), concatenation: inputs and output, where anything that follows is computed by a
  layer. What only the graph's output is made of stays in float: a curve that is applied to a photo eight times would round it eight times;
- product of two feature maps, or of one and its gate: inputs and output, where a layer reads the result;
- pooling, resizing, padding, slicing, pixel shuffle between two of the above: pass the scale through;
- functions of each number alone (sigmoid, SiLU, GELU …) between two of the above: from integers to integers, as runtimes see fit;
- everything else (normalisation statistics, softmax, products of what was normalised …) is a float island.

Activations are symmetric per tensor with zero point 0, weights symmetric per output channel: the common
denominator of all runtimes. What a target wants differently is a rewrite in its adapter.
"""

from collections.abc import Collection, Iterable
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
from .operators import (
    LINEARS,
    PASS_THROUGH,
    POINTWISE,
    PRODUCTS,
    RELUS,
    activation_inputs,
    aten,
    before,
    can_join,
    carries,
    is_float32,
    rank,
)

ANNOTATION = "quantization_annotation"
LIMIT = 127
# Core ML has tensors of five dimensions. Windows are made of six, by reshaping and permuting, which coremltools joins to one step
# where nothing stands between.
HIGHEST_RANK = 5

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
        computing = self._computing(model)
        reached = self._passes_to_int8(model, computing)
        for node in model.graph.nodes:
            if node in computing:
                self._annotate_computing(node, reached)
            elif node in reached and node.target in PASS_THROUGH and max(map(rank, (node, node.args[0]))) <= HIGHEST_RANK:
                source = cast(Node, node.args[0])
                shared = SharedQuantizationSpec((source, node))
                node.meta[ANNOTATION] = QuantizationAnnotation(input_qspec_map={source: ACTIVATION}, output_qspec=shared, _annotated=True)
        return model

    def validate(self, model: GraphModule) -> None:
        pass

    def _computing(self, model: GraphModule) -> set[Node]:
        """What has its inputs on grids: layers, and what joins tensors on the way to one."""
        layers: set[Node] = set()
        joins: set[Node] = set()
        for node in model.graph.nodes:
            if node.op != "call_function" or _kept(node, self.keep_float):
                continue
            if node.target in CONVOLUTIONS or node.target in LINEARS:
                weight = node.args[1]
                if isinstance(weight, Node) and weight.op == "get_attr" and is_float32(node):
                    layers.add(node)
            elif can_join(node, layers | joins):
                joins.add(node)
        sums = {node for node in joins if node.target not in PRODUCTS} & before(model, layers)
        return layers | sums | (joins & self._passes_to_int8(model, layers | sums, joins))

    def _passes_to_int8(self, model: GraphModule, computing: set[Node], joins: Collection[Node] = ()) -> set[Node]:
        """Nodes whose value an int8 operator reads, directly or through what carries integers; ``joins`` do, too."""
        reached: set[Node] = set()
        for node in reversed(model.graph.nodes):
            for user in node.users:
                passes = user in reached and (carries(user) or user in joins)
                if (user in computing or passes) and node in activation_inputs(user):
                    reached.add(node)
        return reached

    def _annotate_computing(self, node: Node, reached: set[Node]) -> None:
        inputs: dict[Node, QuantizationSpecBase | None] = dict.fromkeys(activation_inputs(node), ACTIVATION)
        output: QuantizationSpec | None = ACTIVATION
        if node.target in CONVOLUTIONS or node.target in LINEARS:
            source, weight = activation_inputs(node)[0], cast(Node, node.args[1])
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


def _between_grids(node: Node) -> bool:
    """Whether a prepared graph gives a node nothing but what is on a grid, and puts its result on one."""
    return all(neighbour.op == "call_module" for neighbour in (activation_inputs(node)[0], *node.users))


def float_islands(graph: GraphModule, keep_float: Iterable[str]) -> tuple[FloatIsland, ...]:
    """What stays in float in an annotated graph, by module path, with the reason."""
    found: dict[str, list[str]] = {}
    for node in graph.graph.nodes:
        if node.op != "call_function" or ANNOTATION in node.meta or not isinstance(node.meta.get("val"), torch.Tensor):
            continue
        if node.target in RELUS or node.target in PASS_THROUGH or not node.meta["val"].is_floating_point():
            continue
        if node.target in POINTWISE and _between_grids(node):
            continue
        operators = found.setdefault(module_path(node), [])
        if operator_name(node) not in operators:
            operators.append(operator_name(node))
    return tuple(
        FloatIsland(path, tuple(operators), "kept by the recipe" if _matches(path, keep_float) else "no int8 rule for these operators")
        for path, operators in found.items()
    )
