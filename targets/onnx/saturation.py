"""Which int8 layers lose sums on x86 without VNNI: its kernels add two products of a uint8 and an int8 number in 16 bits, with saturation.

255 * 127 + 255 * 127 is twice what 16 bits hold. Most trained layers hardly ever come there; one that reads a picture with
large weights can lose a fifth of its output. What a layer would lose is computed here from its weights and from integers that it
really gets, the same on every machine. Pairs are neighbours in the order in which ONNX Runtime's kernels (MLAS) add up: rows of
the kernel, columns, channels of a group. A depthwise layer has a kernel of its own, which adds in 32 bits.
"""

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass

import numpy as np
import onnx
import onnx_ir as ir

from .rewrites.graph import DEQUANTIZE, constant, value_name
from .rewrites.narrow_weights import neighbours
from .rewrites.weights import QuantizedWeight, quantized_weight

LOWEST, HIGHEST = -(2**15), 2**15 - 1
PLACES = 1024  # output pixels of a layer that are looked at
# Less than rounding the output to 8 bits costs, which is about 0.006 of its standard deviation.
TOLERABLE = 0.005
BYTES_AT_ONCE = 2**28


@dataclass(frozen=True)
class Layer:
    """A convolution or linear layer, its int8 weight and the uint8 value that it reads."""

    node: ir.Node
    weight: QuantizedWeight
    integers: ir.Value
    zero_point: int


def saturating(model: onnx.ModelProto, samples: Iterable[Mapping[str, np.ndarray]]) -> frozenset[str]:
    """Names of the layers that lose more than ``TOLERABLE`` of any of some samples; arguments as of ``saturation``."""
    return frozenset(name for inputs in samples for name, share in saturation(model, inputs).items() if share > TOLERABLE)


def saturation(model: onnx.ModelProto, inputs: Mapping[str, np.ndarray]) -> dict[str, float]:
    """What each int8 layer with uint8 inputs loses, by the name of its node.

    Args:
        model: in final form, with weights as ``quantized_weight`` knows them.
        inputs: of the model, by name.

    Returns:
        root mean square of what saturation changes, as a share of the standard deviation of the layer's output without it.
    """
    found: dict[str, float] = {}
    for layers in _batches(_layers(ir.from_proto(model).graph)):
        values = _integers(model, tuple(dict.fromkeys(value_name(layer.integers) for layer in layers)), inputs)
        found |= {layer.node.name or "": _share(layer, values[value_name(layer.integers)]) for layer in layers}
    return found


def _batches(layers: Iterable[Layer]) -> Iterator[list[Layer]]:
    """Layers whose inputs fit into memory together."""
    batch: list[Layer] = []
    size = 0
    for layer in layers:
        shape = layer.integers.shape
        needed = int(np.prod(shape.numpy())) if shape is not None and shape.is_static() else 0
        if batch and size + needed > BYTES_AT_ONCE:
            yield batch
            batch, size = [], 0
        batch.append(layer)
        size += needed
    if batch:
        yield batch


def _layers(graph: ir.Graph) -> Iterator[Layer]:
    for node in graph:
        weight = quantized_weight(node)
        source = node.inputs[0].producer() if weight is not None and node.inputs[0] is not None else None
        if weight is None or source is None or source.op_type != DEQUANTIZE or source.inputs[0] is None or len(source.inputs) < 3:
            continue
        zero_point = constant(source.inputs[2])
        if zero_point is not None and zero_point.size == 1 and zero_point.dtype == np.uint8 and not _is_depthwise(node, weight):
            yield Layer(node, weight, source.inputs[0], int(zero_point.item()))


def _is_depthwise(node: ir.Node, weight: QuantizedWeight) -> bool:
    """Whether it makes one channel of each."""
    return node.op_type == "Conv" and weight.values.shape[:2] == (_number(node, "group", 1), 1)


def _integers(model: onnx.ModelProto, names: tuple[str, ...], inputs: Mapping[str, np.ndarray]) -> dict[str, np.ndarray]:
    """Values inside the model as it is written, nothing fused."""
    from .runner import open_session

    copy = onnx.ModelProto.FromString(model.SerializeToString())
    del copy.graph.output[:]
    copy.graph.output.extend(onnx.helper.make_tensor_value_info(name, onnx.TensorProto.UINT8, None) for name in names)
    session = open_session(copy.SerializeToString(), 1, optimize=False)
    wanted = {each.name for each in session.get_inputs()}
    fed = {name: value for name, value in inputs.items() if name in wanted}
    return {name: np.asarray(value) for name, value in zip(names, session.run(names, fed), strict=True)}


def _share(layer: Layer, integers: np.ndarray) -> float:
    weight = layer.weight
    groups = _number(layer.node, "group", 1) if layer.node.op_type == "Conv" else 1
    lost, sums = [], []
    channels = weight.values.shape[0] // groups
    for group, patches in enumerate(_patches(layer, integers, groups)):
        part = slice(group * channels, (group + 1) * channels)
        rows = np.moveaxis(weight.values[part], 1, -1).reshape(channels, -1).astype(np.float32)
        scales = weight.scales[part]
        lost.append(_lost(patches, weight.values[part]) * scales)
        sums.append(((patches - layer.zero_point) @ rows.T) * scales)
    spread = np.concatenate(sums, axis=1).std()
    return float(np.sqrt(np.square(np.concatenate(lost, axis=1)).mean()) / spread) if spread > 0 else 0.0


def _lost(patches: np.ndarray, weights: np.ndarray) -> np.ndarray:
    """What saturation takes from each sum of (P, K) patches with (O, I, ...) weights; (P, O)."""
    patches = np.pad(patches, ((0, 0), (0, patches.shape[1] % 2)))
    left, right = np.ascontiguousarray(patches[:, 0::2].T), np.ascontiguousarray(patches[:, 1::2].T)
    first, second = neighbours(weights)
    lost = np.zeros((len(weights), len(patches)), np.float32)
    # Products of opposite signs never come that far, nor do those of small weights.
    for output, pair in zip(*np.nonzero((first * second >= 0) & (255 * np.abs(first + second) > HIGHEST)), strict=True):
        total = left[pair] * first[output, pair] + right[pair] * second[output, pair]
        lost[output] += total - np.clip(total, LOWEST, HIGHEST)
    return lost.T


def _patches(layer: Layer, integers: np.ndarray, groups: int) -> Iterator[np.ndarray]:
    """What a layer reads for some of its output pixels, drawn with a fixed seed, group by group: (P, K) float32."""
    if layer.node.op_type != "Conv":
        rows = integers.reshape(-1, integers.shape[-1])
        yield rows[_drawn(len(rows))].astype(np.float32)
        return
    windows = _windows(layer, integers)
    spatial = integers.ndim - 2
    counts = windows.shape[1 : 1 + spatial]
    chosen = np.unravel_index(_drawn(int(np.prod(counts))), counts)
    read = np.moveaxis(windows[(slice(None), *chosen)], 0, -1).astype(np.float32)
    for part in np.split(read, groups, axis=-1):
        yield part.reshape(len(part), -1)


def _windows(layer: Layer, integers: np.ndarray) -> np.ndarray:
    """A view of what a convolution reads of one sample: (C, output pixels by axis, kernel by axis)."""
    spatial, kernel = integers.ndim - 2, layer.weight.values.shape[2:]
    axes = tuple(range(1, 1 + spatial))
    pads = _numbers(layer.node, "pads", (0,) * 2 * spatial)
    strides, dilations = (_numbers(layer.node, name, (1,) * spatial) for name in ("strides", "dilations"))
    widths = [(0, 0), *zip(pads[:spatial], pads[spatial:], strict=True)]
    padded = np.pad(integers[0], widths, constant_values=layer.zero_point)
    reach = [(side - 1) * dilation + 1 for side, dilation in zip(kernel, dilations, strict=True)]
    windows = np.lib.stride_tricks.sliding_window_view(padded, reach, axis=axes)
    return windows[(slice(None), *(slice(None, None, step) for step in (*strides, *dilations)))]


def _drawn(count: int) -> np.ndarray:
    return np.sort(np.random.default_rng(0).permutation(count)[:PLACES])


def _number(node: ir.Node, name: str, default: int) -> int:
    attribute = node.attributes.get(name)
    return default if attribute is None else attribute.as_int()


def _numbers(node: ir.Node, name: str, default: tuple[int, ...]) -> tuple[int, ...]:
    attribute = node.attributes.get(name)
    return default if attribute is None else tuple(attribute.as_ints())
