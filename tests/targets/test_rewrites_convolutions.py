"""Rewrites of convolutions: int32 biases, padded channels, and padding of integers."""

from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
from graphs import SCALE, Net, evaluate, kernels, operators, random_image
from onnx import numpy_helper

from instantstyle.targets.onnx.rewrites.apply import apply
from instantstyle.targets.onnx.rewrites.count import int8_convolutions
from instantstyle.targets.onnx.rewrites.fold_stride import fold_stride
from instantstyle.targets.onnx.rewrites.integer_pad import integer_pad
from instantstyle.targets.onnx.rewrites.integer_shuffle import integer_shuffle
from instantstyle.targets.onnx.rewrites.pad_narrow_convolutions import fast_channels, pad_narrow_convolutions
from instantstyle.targets.onnx.rewrites.quantize_bias import quantize_bias
from instantstyle.targets.onnx.rewrites.refine_non_negative import refine_non_negative
from instantstyle.targets.onnx.rewrites.uint8_activations import uint8_activations

RANDOM = np.random.default_rng(6)


def one_convolution(channels: int, bias: np.ndarray | None, scales: np.ndarray | None = None) -> onnx.ModelProto:
    """Q/DQ, a 3x3 convolution of 4 channels, ReLU, Q/DQ."""
    net = Net(x=[1, 4, 8, 8])
    weight = net.weight(RANDOM.integers(-127, 128, (channels, 4, 3, 3)), np.full(channels, 2.0**-10) if scales is None else scales)
    return net.model(net.grid(net.add("Relu", net.conv(net.grid("x"), weight, bias, pads=[1, 1, 1, 1]))))


def stored(model: onnx.ModelProto) -> dict[str, np.ndarray]:
    return {tensor.name: numpy_helper.to_array(tensor) for tensor in model.graph.initializer}


def inputs_of(model: onnx.ModelProto, kind: str) -> list[list[np.ndarray]]:
    """The constants behind each input of every node of a kind: an initializer's, or those of the DequantizeLinear that makes it."""
    arrays, producers = stored(model), {node.output[0]: node for node in model.graph.node}
    found = []
    for node in (node for node in model.graph.node if node.op_type == kind):
        for name in node.input[1:]:
            parts = [name] if name in arrays else list(producers[name].input)
            found.append([arrays[part] for part in parts])
    return found


def test_bias_becomes_int32_in_units_of_the_accumulator() -> None:
    bias = RANDOM.normal(size=16).astype(np.float32)
    model = one_convolution(16, bias, scales=np.linspace(1e-4, 3e-3, 16))
    rewritten, changes = apply(model, [quantize_bias])
    (_, (integers, unit, zeros)) = inputs_of(rewritten, "Conv")
    assert (integers.dtype, unit.dtype) == (np.dtype(np.int32), np.dtype(np.float32))
    np.testing.assert_array_equal(unit, np.float32(SCALE) * np.linspace(1e-4, 3e-3, 16).astype(np.float32))
    assert not zeros.any()
    # Half a unit, and what float32 cannot say of the product.
    assert np.all(np.abs(integers * unit.astype(np.float64) - bias) <= unit * 0.5000001)
    assert [change.detail for change in changes] == ["int32"]
    x = {"x": random_image(2, 1, 4, 8, 8)}
    assert np.abs(evaluate(rewritten, x)[0] - evaluate(model, x)[0]).max() <= SCALE


def test_bias_of_a_dead_channel_keeps_its_value() -> None:
    """A weight scale of 1e-13 would ask for a bias of 3e14 units, far beyond int32."""
    scales = np.full(16, 2.0**-10)
    scales[3] = 1e-13
    bias = np.zeros(16, np.float32)
    bias[3] = 1.0
    model = one_convolution(16, bias, scales)
    rewritten, changes = apply(model, [quantize_bias])
    ((weight, new_scales, _), (integers, unit, _)) = inputs_of(rewritten, "Conv")
    assert integers[3] * float(unit[3]) == pytest.approx(1.0, abs=1e-6)
    assert abs(int(integers[3])) <= 2**30
    assert np.count_nonzero(weight[3]) == 0
    np.testing.assert_array_equal(np.delete(new_scales, 3), np.float32(2.0**-10))
    assert changes[0].detail == "int32, 1 scales of its weight raised"
    x = {"x": random_image(3, 1, 4, 8, 8)}
    np.testing.assert_array_equal(evaluate(rewritten, x)[0], evaluate(model, x)[0])


def test_raising_a_scale_leaves_another_convolution_that_shares_the_weight_alone() -> None:
    net = Net(x=[1, 4, 8, 8])
    scales = np.full(16, 2.0**-10)
    scales[0] = 1e-13
    values = RANDOM.integers(-127, 128, (16, 4, 3, 3))
    weight, value = net.weight(values, scales), net.grid("x")
    ends = [net.grid(net.conv(value, weight, bias, pads=[1, 1, 1, 1])) for bias in (np.ones(16), np.zeros(16))]
    rewritten, _ = apply(net.model(*ends), [quantize_bias])
    raised, _, kept, _ = inputs_of(rewritten, "Conv")
    assert not raised[0][0].any() and raised[1][0] > 1e-11
    np.testing.assert_array_equal(kept[0], values)
    assert kept[1][0] == np.float32(1e-13)


def test_bias_of_a_linear_layer() -> None:
    net = Net(x=[1, 32])
    weight = net.weight(RANDOM.integers(-127, 128, (8, 32)), np.full(8, 2.0**-10))
    bias = np.linspace(-1, 1, 8, dtype=np.float32)
    model = net.model(net.add("Gemm", net.grid("x"), weight, net.constant(bias), transB=1))
    rewritten, changes = apply(model, [quantize_bias])
    assert len(changes) == 1
    x = {"x": random_image(4, 1, 32)}
    assert np.abs(evaluate(rewritten, x)[0] - evaluate(model, x)[0]).max() <= SCALE * 2.0**-10


@pytest.mark.parametrize("case", ["float input", "float weight", "computed bias"])
def test_bias_stays_float_without_an_accumulator(case: str) -> None:
    net = Net(x=[1, 4, 8, 8], b=[16])
    values = RANDOM.integers(-127, 128, (16, 4, 3, 3))
    weight = net.constant(values.astype(np.float32)) if case == "float weight" else net.weight(values, np.full(16, 2.0**-10))
    value = "x" if case == "float input" else net.grid("x")
    model = net.model(net.add("Conv", value, weight, "b" if case == "computed bias" else net.constant(np.ones(16, np.float32))))
    assert apply(model, [quantize_bias])[1] == ()


@pytest.mark.parametrize(("channels", "fast"), [(1, 16), (12, 16), (16, 16), (17, 20), (20, 20), (48, 48), (63, 64)])
def test_fast_numbers_of_channels(channels: int, fast: int) -> None:
    assert fast_channels(channels) == fast


@pytest.mark.parametrize("bias", ["none", "float", "int32"])
@pytest.mark.parametrize("channels", [3, 12, 18])
def test_padded_convolution_is_exact(channels: int, bias: str, tmp_path: Path) -> None:
    model = one_convolution(channels, None if bias == "none" else np.linspace(-1, 1, channels))
    if bias == "int32":
        model, _ = apply(model, [quantize_bias])
    padded, changes = apply(model, [pad_narrow_convolutions])
    assert [change.detail for change in changes] == [f"{channels} to {fast_channels(channels)} output channels"]
    weight = inputs_of(padded, "Conv")[0][0]
    assert weight.shape[0] == fast_channels(channels) and not weight[channels:].any()
    assert operators(padded)["Slice"] == 1
    x = {"x": random_image(5, 1, 4, 8, 8)}
    np.testing.assert_array_equal(evaluate(padded, x)[0], evaluate(model, x)[0])
    fusable, _ = apply(model, [refine_non_negative, uint8_activations, pad_narrow_convolutions])
    assert kernels(fusable, tmp_path)["QLinearConv"] == 1


@pytest.mark.parametrize("case", ["wide enough", "groups", "output stays float", "two readers"])
def test_convolutions_that_are_not_padded(case: str) -> None:
    net = Net(x=[1, 4, 8, 8])
    channels = 16 if case == "wide enough" else 4
    values = RANDOM.integers(-127, 128, (channels, 1 if case == "groups" else 4, 3, 3))
    conv = net.conv(net.grid("x"), net.weight(values, np.full(channels, 2.0**-10)), group=4 if case == "groups" else 1)
    ends = {"output stays float": [net.add("Tanh", conv)], "two readers": [net.grid(conv), net.add("Tanh", conv)]}
    assert apply(net.model(*ends.get(case, [net.grid(conv)])), [pad_narrow_convolutions])[1] == ()


@pytest.mark.parametrize("kernel", [(7, 7), (3, 3), (2, 5), (4, 4), (1, 1)], ids=lambda kernel: f"{kernel[0]}x{kernel[1]}")
@pytest.mark.parametrize("pads", [(3, 3, 3, 3), (1, 1, 1, 1), (0, 0, 0, 0), (0, 1, 1, 0), (2, 3, 1, 4)], ids=str)
@pytest.mark.parametrize("stride", [2, 3])
def test_a_stride_in_channels_computes_the_same(kernel: tuple[int, int], pads: tuple[int, ...], stride: int) -> None:
    net = Net(x=[1, 3, 12, 18])
    weight = net.weight(RANDOM.integers(-127, 128, (16, 3, *kernel)), np.linspace(1e-4, 3e-3, 16))
    model = net.model(net.grid(net.conv(net.grid("x"), weight, np.linspace(-1, 1, 16), pads=list(pads), strides=[stride, stride])))
    folded, changes = apply(model, [fold_stride])
    ends = []
    for axis, side in enumerate((12, 18)):
        outputs = (side + pads[axis] + pads[axis + 2] - kernel[axis]) // stride + 1
        ends.append((outputs - 1) * stride - pads[axis] + kernel[axis] - 1)  # the last pixel that is read
    # Where nothing of the last block is read, the new padding would have to be negative.
    reads_last_blocks = ends[0] >= 12 - stride and ends[1] >= 18 - stride
    assert [change.detail for change in changes] == (
        [f"stride {stride} in {(4 if stride == 2 else 3) * stride**2} channels"] if reads_last_blocks else []
    )
    x = {"x": random_image(8, 1, 3, 12, 18)}
    np.testing.assert_allclose(evaluate(folded, x)[0], evaluate(model, x)[0], atol=1e-6)
    assert np.ptp(evaluate(model, x)[0]) > 1


def test_a_stem_of_seven_is_four_places_and_one_int8_kernel(tmp_path: Path) -> None:
    net = Net(x=[1, 3, 16, 16])
    weight = net.weight(RANDOM.integers(-127, 128, (16, 3, 7, 7)), np.full(16, 2.0**-10))
    model = net.model(net.grid(net.conv(net.grid("x"), weight, np.linspace(-1, 1, 16), pads=[3, 3, 3, 3], strides=[2, 2])))
    folded, _ = apply(model, [uint8_activations, fold_stride, quantize_bias])
    (conv,) = (node for node in folded.graph.node if node.op_type == "Conv")
    assert {each.name: list(each.ints) for each in conv.attribute if each.ints} == {
        "kernel_shape": [4, 4],
        "pads": [2, 2, 1, 1],
        "strides": [1, 1],
    }
    weight = inputs_of(folded, "Conv")[0][0]
    assert weight.shape == (16, 16, 4, 4) and not weight[:, 3::4].any()
    assert int8_convolutions(folded).plain == 1
    found = kernels(folded, tmp_path)
    # One to put channels last, one that moves rows of blocks; what follows the convolution has channels first again.
    assert (found["QLinearConv"], found["Transpose"], found["DequantizeLinear"]) == (1, 3, 1)


@pytest.mark.parametrize("mode", ["CRD", "DCR"])
@pytest.mark.parametrize(("channels", "size", "padded"), [(3, 2, 4), (3, 4, 3), (1, 3, 4), (16, 2, 16)])
@pytest.mark.parametrize("bias", ["none", "float", "int32"])
def test_a_shuffle_of_integers_is_exact(mode: str, channels: int, size: int, padded: int, bias: str, tmp_path: Path) -> None:
    net = Net(x=[1, 4, 6, 10])
    outputs = channels * size**2
    weight = net.weight(RANDOM.integers(-127, 128, (outputs, 4, 3, 3)), np.linspace(1e-4, 3e-3, outputs))
    conv = net.conv(net.grid("x"), weight, None if bias == "none" else np.linspace(-1, 1, outputs), pads=[1, 1, 1, 1])
    shuffle = net.add("DepthToSpace", net.grid(net.add("Relu", conv)), blocksize=size, mode=mode)
    model = net.model(shuffle if bias == "none" else net.add("Tanh", shuffle))
    if bias == "int32":
        model, _ = apply(model, [quantize_bias])
    shuffled, changes = apply(model, [integer_shuffle])
    assert [change.detail for change in changes] == [f"{channels} channels in blocks of {size}"]
    assert inputs_of(shuffled, "Conv")[0][0].shape[0] == padded * size**2
    assert operators(shuffled)["DepthToSpace"] == 0
    x = {"x": random_image(9, 1, 4, 6, 10)}
    np.testing.assert_array_equal(evaluate(shuffled, x)[0], evaluate(model, x)[0])
    fusable, _ = apply(model, [refine_non_negative, uint8_activations, integer_shuffle, pad_narrow_convolutions])
    assert (kernels(fusable, tmp_path)["QLinearConv"], int8_convolutions(fusable).plain) == (1, 1)


@pytest.mark.parametrize("case", ["groups", "output stays float", "two readers", "another before it"])
def test_shuffles_that_stay(case: str) -> None:
    net = Net(x=[1, 4, 6, 6])
    values = RANDOM.integers(-127, 128, (12 if case != "groups" else 4, 1 if case == "groups" else 4, 3, 3))
    conv = net.conv(net.grid("x"), net.weight(values, np.full(len(values), 2.0**-10)), group=4 if case == "groups" else 1)
    grid = {"output stays float": conv, "another before it": net.grid(net.add("Sigmoid", conv))}.get(case, net.grid(conv))
    ends = [net.add("DepthToSpace", grid, blocksize=2)] + ([net.add("Tanh", grid)] if case == "two readers" else [])
    assert apply(net.model(*ends), [integer_shuffle])[1] == ()


@pytest.mark.parametrize("case", ["many channels", "no stride", "uneven strides", "odd side", "groups", "dilated"])
def test_strides_that_stay(case: str) -> None:
    channels = 8 if case == "many channels" else 4
    net = Net(x=[1, channels, 9 if case == "odd side" else 8, 8])
    values = RANDOM.integers(-127, 128, (16, 1 if case == "groups" else channels, 3, 3))
    attributes: dict[str, Any] = {"strides": {"no stride": [1, 1], "uneven strides": [2, 1]}.get(case, [2, 2]), "pads": [1, 1, 1, 1]}
    attributes |= {"groups": {"group": 4}, "dilated": {"dilations": [2, 2], "pads": [2, 2, 2, 2]}}.get(case, {})
    model = net.model(net.grid(net.conv(net.grid("x"), net.weight(values, np.full(16, 2.0**-10)), **attributes)))
    assert apply(model, [fold_stride])[1] == ()


@pytest.mark.parametrize("mode", ["reflect", "edge", "constant", "constant 0"])
def test_padding_of_integers_is_exact(mode: str, tmp_path: Path) -> None:
    net = Net(x=[1, 4, 8, 8])
    fill = [net.constant(np.float32(0.0))] if mode == "constant 0" else []
    pad = net.add("Pad", net.grid("x"), net.constant(np.array([0, 0, 1, 2, 0, 0, 3, 0])), *fill, mode=mode.split(maxsplit=1)[0])
    weight = net.weight(RANDOM.integers(-127, 128, (16, 4, 3, 3)), np.full(16, 2.0**-10))
    model = net.model(net.grid(net.conv(net.grid(pad), weight)))
    rewritten, changes = apply(model, [uint8_activations, integer_pad])
    assert len([change for change in changes if change.rewrite == "integer_pad"]) == 1
    # The photo and the output of the convolution: no way to float and back around the Pad.
    assert operators(rewritten)["QuantizeLinear"] == 2
    x = {"x": random_image(7, 1, 4, 8, 8) + 1}
    np.testing.assert_array_equal(evaluate(rewritten, x)[0], evaluate(model, x)[0])
    assert kernels(rewritten, tmp_path)["DequantizeLinear"] == 1


@pytest.mark.parametrize("case", ["filled with ones", "another grid", "two readers"])
def test_padding_that_stays_in_float(case: str) -> None:
    net = Net(x=[1, 4, 8, 8])
    fill = [net.constant(np.float32(1.0))] if case == "filled with ones" else []
    pad = net.add("Pad", net.grid("x"), net.constant(np.array([0, 0, 1, 1, 0, 0, 1, 1])), *fill)
    ends = [net.grid(pad, 2 * SCALE if case == "another grid" else SCALE)] + ([net.add("Tanh", pad)] if case == "two readers" else [])
    assert apply(net.model(*ends), [integer_pad])[1] == ()


def test_int8_convolutions_are_counted_by_their_nodes() -> None:
    net = Net(x=[1, 4, 8, 8])
    value, scales = net.grid("x"), np.full(16, 2.0**-10)
    weight = net.weight(RANDOM.integers(-127, 128, (16, 4, 3, 3)), scales)
    float_weight = net.constant(np.ones((16, 4, 3, 3), np.float32))
    transposed = net.weight(RANDOM.integers(-127, 128, (4, 16, 2, 2)), np.full(4, 2.0**-10))
    ends = [
        net.grid(net.conv(value, weight)),
        net.grid(net.add("Relu", net.conv(value, weight))),
        net.add("Tanh", net.conv(value, weight)),
        net.grid(net.conv("x", weight)),
        net.grid(net.conv(value, float_weight)),
        net.grid(net.add("ConvTranspose", value, transposed, strides=[2, 2])),
    ]
    found = int8_convolutions(net.model(*ends))
    assert (found.plain, found.transposed) == (2, 1)
