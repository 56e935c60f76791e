"""Instance norms that count from their first pixel, against NumPy in float64, above all on flat pictures."""

from pathlib import Path

import numpy as np
import onnx
import pytest
from graphs import SCALE, Net, evaluate, kernels, random_image

from instantstyle.targets.onnx.rewrites.apply import apply
from instantstyle.targets.onnx.rewrites.center_norms import center_norms
from instantstyle.targets.onnx.rewrites.fold_channel_scales import fold_channel_scales
from instantstyle.targets.onnx.rewrites.uint8_activations import uint8_activations

CHANNELS, SIDE, EPSILON = 5, 64, 1e-5
GAIN, BIAS = np.linspace(0.5, 2, CHANNELS), np.linspace(-1, 1, CHANNELS)
FACTORS = np.array([0.3, 1.7, 0.9, 1.1, 2.3], np.float32).reshape(1, CHANNELS, 1, 1)


def normed(by_channel: bool) -> onnx.ModelProto:
    net = Net(x=[1, CHANNELS, SIDE, SIDE])
    value = net.grid("x", 0.0371)
    if by_channel:
        value = net.add("Mul", value, net.constant(FACTORS))
    parts = (net.constant(each.astype(np.float32)) for each in (GAIN, BIAS))
    return net.model(net.add("InstanceNormalization", value, *parts, epsilon=EPSILON))


def exact(image: np.ndarray, by_channel: bool) -> np.ndarray:
    grid = np.rint(image / np.float32(0.0371)).clip(-128, 127) * np.float64(np.float32(0.0371)) * (FACTORS if by_channel else 1)
    mean, variance = grid.mean((2, 3), keepdims=True), grid.var((2, 3), keepdims=True)
    return (grid - mean) / np.sqrt(variance + EPSILON) * GAIN.reshape(1, -1, 1, 1) + BIAS.reshape(1, -1, 1, 1)


@pytest.mark.parametrize("by_channel", [False, True])
def test_a_flat_picture_is_the_bias(by_channel: bool, tmp_path: Path) -> None:
    model = normed(by_channel)
    centred, changes = apply(model, [uint8_activations, fold_channel_scales, center_norms])
    assert [change.rewrite for change in changes if change.rewrite == "center_norms"] == ["center_norms"]
    flat = np.tile(np.array([4.7, -3.3, 1.9, -4.1, 2.2], np.float32).reshape(1, CHANNELS, 1, 1), (1, 1, SIDE, SIDE))
    before, after = (np.abs(evaluate(each, {"x": flat})[0] - exact(flat, by_channel)).max() for each in (model, centred))
    assert after < 1e-6
    assert before > 1e-3, "ONNX Runtime adds up exactly now: the rewrite has no reason any more"
    assert kernels(centred, tmp_path)["InstanceNormalization"] == 1


@pytest.mark.parametrize("by_channel", [False, True])
def test_any_other_picture_is_what_it_was(by_channel: bool) -> None:
    centred, _ = apply(normed(by_channel), [uint8_activations, fold_channel_scales, center_norms])
    image = random_image(3, 1, CHANNELS, SIDE, SIDE)
    np.testing.assert_allclose(evaluate(centred, {"x": image})[0], exact(image, by_channel), atol=2e-5)


@pytest.mark.parametrize("case", ["float", "a batch"])
def test_norms_that_stay(case: str) -> None:
    net = Net(x=[2 if case == "a batch" else 1, 3, 8, 8])
    value = net.add("Tanh", "x") if case == "float" else net.grid("x", SCALE)
    parts = (net.constant(np.ones(3, np.float32)) for _ in range(2))
    assert apply(net.model(net.add("InstanceNormalization", value, *parts)), [center_norms])[1] == ()
