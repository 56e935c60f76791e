"""Sums that x86 without VNNI cuts off at 16 bits: found on any machine, and added exactly on every one."""

from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
import torch
from graphs import Net, kernels, operators
from onnx import numpy_helper
from torch import Tensor, nn

from instantstyle.capture.program import Program
from instantstyle.compression.quantization.capture import quantized_graph
from instantstyle.compression.quantization.quantize import prepare
from instantstyle.compression.quantization.ranges import fix_ranges
from instantstyle.model.graph import Graph, TensorKind, TensorSpec
from instantstyle.recipe.precision import Precision
from instantstyle.recipe.recipe import QuantizeSettings
from instantstyle.targets.android.target import AndroidTarget
from instantstyle.targets.base import Target
from instantstyle.targets.onnx.rewrites.apply import apply
from instantstyle.targets.onnx.rewrites.narrow_weights import narrow_weights
from instantstyle.targets.onnx.rewrites.uint8_activations import uint8_activations
from instantstyle.targets.onnx.runner import open_session
from instantstyle.targets.onnx.saturation import saturating, saturation
from instantstyle.targets.onnx.target import OnnxTarget

SIDE = 12
LAYERS: dict[str, tuple[tuple[int, ...], dict[str, Any]]] = {
    "plain": ((8, 4, 3, 3), {"pads": [1, 1, 1, 1]}),
    "three channels, whose pairs cross pixels": ((8, 3, 3, 3), {"pads": [1, 1, 1, 1]}),
    "strided and padded unevenly": ((8, 4, 3, 5), {"strides": [2, 1], "pads": [1, 0, 2, 3]}),
    "dilated": ((8, 4, 3, 3), {"dilations": [2, 3]}),
    "two outputs of each channel": ((8, 1, 3, 3), {"group": 4}),
    "in groups": ((8, 3, 3, 3), {"group": 2, "pads": [1, 1, 1, 1]}),
}


def net_of(weights: np.ndarray, channels: int, readers: int = 1, **attributes: Any) -> onnx.ModelProto:
    """One convolution of a full-range image, or several with the same weight, each quantised."""
    net = Net(x=[1, channels, SIDE, SIDE])
    value = net.grid("x", 2.0**-7)
    weight = net.weight(weights, np.full(len(weights), 2.0**-10))
    return apply(net.model(*(net.grid(net.conv(value, weight, **attributes), 2.0**-3) for _ in range(readers))), [uint8_activations])[0]


def run(session: Any, image: dict[str, np.ndarray]) -> np.ndarray:
    return np.concatenate(session.run(None, image))


def by_loops(weights: np.ndarray, image: np.ndarray, attributes: dict[str, Any]) -> float:
    """Sums of two in 16 bits, one output after the other."""
    strides, dilations = attributes.get("strides", [1, 1]), attributes.get("dilations", [1, 1])
    top, left, bottom, right = attributes.get("pads", [0, 0, 0, 0])
    raw = np.clip(np.rint(image[0] * 128), -128, 127).astype(int) + 128
    padded = np.pad(raw, [(0, 0), (top, bottom), (left, right)], constant_values=128)
    outputs, each, height, width = weights.shape
    exact, cut = [], []
    for output in range(outputs):
        start = output // (outputs // attributes.get("group", 1)) * each
        for y in range(0, padded.shape[1] - (height - 1) * dilations[0], strides[0]):
            for x in range(0, padded.shape[2] - (width - 1) * dilations[1], strides[1]):
                terms = [
                    (padded[start + c, y + dilations[0] * i, x + dilations[1] * j], weights[output, c, i, j])
                    for i in range(height)
                    for j in range(width)
                    for c in range(each)
                ]
                products = [int(a) * int(w) for a, w in terms] + [0] * (len(terms) % 2)
                pairs = [products[k] + products[k + 1] for k in range(0, len(products), 2)]
                offset = 128 * sum(int(w) for _, w in terms)
                exact.append(sum(pairs) - offset)
                cut.append(sum(min(max(pair, -32768), 32767) for pair in pairs) - offset)
    return float(np.sqrt(np.square(np.subtract(cut, exact, dtype=float)).mean()) / np.std(exact))


@pytest.mark.parametrize("kind", LAYERS)
def test_what_a_convolution_loses_is_what_adding_in_16_bits_loses(kind: str) -> None:
    shape, attributes = LAYERS[kind]
    random = np.random.default_rng(3)
    weights, channels = random.integers(-127, 128, shape), shape[1] * attributes.get("group", 1)
    image = random.uniform(-1, 1, (1, channels, SIDE, SIDE)).astype(np.float32)
    (found,) = saturation(net_of(weights, channels, **attributes), {"x": image}).values()
    assert found == pytest.approx(by_loops(weights, image, attributes), rel=1e-5)
    assert found > 0.02


def test_small_weights_and_depthwise_convolutions_lose_nothing() -> None:
    random = np.random.default_rng(4)
    image = {"x": random.uniform(-1, 1, (1, 4, SIDE, SIDE)).astype(np.float32)}
    assert list(saturation(net_of(random.integers(-64, 65, (8, 4, 3, 3)), 4), image).values()) == [0.0]
    assert saturation(net_of(random.integers(-127, 128, (4, 1, 3, 3)), 4, group=4), image) == {}
    assert saturating(net_of(random.integers(-64, 65, (8, 4, 3, 3)), 4), [image]) == frozenset()


def test_a_shared_weight_is_narrowed_once_and_adds_up_exactly(tmp_path: Path) -> None:
    random = np.random.default_rng(5)
    weights = random.integers(-127, 128, (16, 4, 3, 3))
    model = net_of(weights, 4, readers=2, pads=[1, 1, 1, 1])
    image = {"x": random.uniform(-1, 1, (1, 4, SIDE, SIDE)).astype(np.float32)}
    layers = saturating(model, [image])
    assert len(layers) == 2
    narrow, changes = apply(model, [narrow_weights(sorted(layers)[:1])])
    assert len(changes) == 1
    assert operators(narrow)["Conv"] == 2
    assert sum(tensor.data_type == onnx.TensorProto.INT8 and tensor.dims == [16, 4, 3, 3] for tensor in narrow.graph.initializer) == 1
    assert set(saturation(narrow, image).values()) == {0.0}
    before, after = (run(open_session(each.SerializeToString(), 1, optimize=False), image) for each in (model, narrow))
    # Weights moved by half a step of a grid at most twice as coarse: few outputs fall on another of their own, coarse levels.
    assert np.abs(after - before).max() <= 2.0**-3
    assert 0 < (after != before).mean() < 0.02
    # By the kernels of whatever processor this is: within one level.
    fused = run(open_session(narrow.SerializeToString(), 1, tmp_path / "fused.ort"), image)
    assert np.abs(fused - after).max() <= 2.0**-3
    assert kernels(narrow, tmp_path)["QLinearConv"] == 2


def test_no_pair_of_narrow_weights_leaves_16_bits_and_channels_that_fit_keep_theirs() -> None:
    rows = np.asarray([[127, 127, 1], [-127, -127, 1], [127, -127, 1], [100, 29, 1], [64, 63, -127], [100, 27, 126]], np.int8)
    model = net_of(rows.reshape(6, 3, 1, 1), 3)
    (name,) = (node.name for node in model.graph.node if node.op_type == "Conv")
    narrow, _ = apply(model, [narrow_weights([name])])
    (stored,) = (numpy_helper.to_array(tensor) for tensor in narrow.graph.initializer if list(tensor.dims) == [6, 3, 1, 1])
    integers = stored[..., 0, 0].astype(int)
    pairs = np.stack([integers[:, :2], np.pad(integers[:, 2:], ((0, 0), (0, 1)))], axis=1)
    assert (255 * np.maximum(pairs, 0).sum(axis=2)).max() <= 32767
    assert (255 * np.minimum(pairs, 0).sum(axis=2)).min() >= -32768
    assert [np.array_equal(*both) for both in zip(integers, rows, strict=True)] == [False, False, True, False, True, True]
    assert integers[0].tolist() == [64, 64, 0]  # halved, halves to even


class Bright(nn.Module):
    """Weights of equal sign, on pictures near white: every sum of two is cut off."""

    def __init__(self) -> None:
        super().__init__()
        self.loud, self.quiet = nn.Conv2d(3, 16, 3, 1, 1), nn.Conv2d(16, 3, 3, 1, 1)
        with torch.no_grad():
            self.loud.weight.copy_(0.05 + 0.05 * self.loud.weight.abs())
            self.quiet.weight *= 0.1
            # One large weight a channel: the others are small numbers of levels.
            self.quiet.weight[:, 0, 1, 1] = 1.0

    def forward(self, image: Tensor) -> Tensor:
        return torch.tanh(self.quiet(self.loud(image)) - 1.0)


@pytest.mark.parametrize("target", [OnnxTarget(), AndroidTarget()], ids=lambda target: target.name)
def test_an_artifact_adds_exactly_where_its_sample_says_that_it_must(target: Target, tmp_path: Path) -> None:
    torch.manual_seed(0)
    spec = TensorSpec("image", TensorKind.IMAGE)
    graph = Graph("model", Bright().eval(), (spec,), (TensorSpec("out", TensorKind.IMAGE),))
    image = np.random.default_rng(0).uniform(0.2, 1.0, (1, 3, 32, 32)).astype(np.float32)
    prepared = prepare(graph, (32, 32), QuantizeSettings(), samples=[{"image": image}])
    fix_ranges(prepared, graph, [{"image": image}], QuantizeSettings())
    # The sample is as dark as can be: what its negative saturates is found all the same.
    captured = quantized_graph(graph, (32, 32), prepared, [{"image": -image}])
    artifact = target.emit(Program("bright", (32, 32), (captured,)), Precision.INT8, tmp_path)
    assert "narrow_weights 1" in " ".join(artifact.notes)
    with target.open(artifact, tmp_path, "model", 1) as runner:
        found = runner.run({"image": image})["out"]
        assert runner.execution.int8_convolutions == 2
    assert captured.int8_program is not None
    with torch.no_grad():
        wanted = captured.int8_program.module(check_guards=False)(torch.from_numpy(image)).numpy()
    assert np.abs(found - wanted).max() < 0.02
    assert np.ptp(wanted) > 0.2
