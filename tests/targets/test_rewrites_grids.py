"""Rewrites that change the integer grids of activations and nothing else."""

from pathlib import Path

import numpy as np
import pytest
from graphs import SCALE, Net, evaluate, grids, kernels, operators, random_image

from instantstyle.targets.onnx.rewrites.apply import apply, summary
from instantstyle.targets.onnx.rewrites.fold_repeated_quantization import fold_repeated_quantization
from instantstyle.targets.onnx.rewrites.refine_non_negative import refine_non_negative
from instantstyle.targets.onnx.rewrites.uint8_activations import uint8_activations

RANDOM = np.random.default_rng(5)


def conv_relu(net: Net, value: str, channels: int = 16) -> str:
    weight = net.weight(RANDOM.integers(-127, 128, (channels, 4, 3, 3)), np.full(channels, 2.0**-10))
    return net.add("Relu", net.conv(value, weight, pads=[1, 1, 1, 1]))


def test_fold_removes_a_quantisation_that_repeats_the_grid() -> None:
    net = Net(x=[1, 4, 6, 6])
    model = net.model(net.add("Relu", net.grid(net.grid(net.grid("x")))))
    folded, changes = apply(model, [fold_repeated_quantization])
    assert operators(folded) == {"QuantizeLinear": 1, "DequantizeLinear": 1, "Relu": 1}
    assert summary(changes) == "fold_repeated_quantization 2"
    x = {"x": random_image(0, 1, 4, 6, 6)}
    np.testing.assert_array_equal(evaluate(folded, x)[0], evaluate(model, x)[0])


def test_fold_keeps_a_quantisation_of_another_grid() -> None:
    net = Net(x=[1, 4, 6, 6])
    model = net.model(net.grid(net.grid("x"), 2 * SCALE))
    folded, changes = apply(model, [fold_repeated_quantization])
    assert not changes
    assert operators(folded)["QuantizeLinear"] == 2


def test_uint8_is_exact_and_moves_the_zero_point() -> None:
    net = Net(x=[1, 4, 6, 6])
    value = net.dequantize(net.quantize("x", SCALE, -20), SCALE, -20)
    model = net.model(net.grid(conv_relu(net, value)))
    rewritten, changes = apply(model, [uint8_activations])
    assert [(zero, kind) for _, zero, kind in grids(rewritten).values()] == [(108, "uint8"), (128, "uint8")]
    assert len(changes) == 2
    x = {"x": random_image(1, 1, 4, 6, 6)}
    np.testing.assert_array_equal(evaluate(rewritten, x)[0], evaluate(model, x)[0])


def test_uint8_leaves_an_integer_alone_that_others_read() -> None:
    net = Net(x=[1, 4, 6, 6])
    integers = net.quantize("x")
    model = net.model(net.dequantize(integers), net.add("Cast", integers, to=1))
    rewritten, changes = apply(model, [uint8_activations])
    assert not changes
    assert rewritten.graph.node == model.graph.node


def test_refinement_halves_the_error_and_extends_the_range() -> None:
    net = Net(x=[1, 1, 1, 4096])
    model = net.model(net.grid(net.add("Relu", "x")))
    refined, changes = apply(model, [refine_non_negative])
    assert grids(refined) == {"relu0": (SCALE / 2, -128, "int8")}
    assert [change.node for change in changes] == ["quantizelinear1"]
    x = np.linspace(-1, 127 * SCALE, 4096, dtype=np.float32).reshape(1, 1, 1, -1)
    before, after = (np.abs(evaluate(one, {"x": x})[0] - np.maximum(x, 0)) for one in (model, refined))
    assert before.max() == pytest.approx(SCALE / 2, rel=0.05)
    assert after.max() == pytest.approx(SCALE / 4, rel=0.05)
    # Every old level is a level still; the largest value is half a step higher.
    levels = (np.arange(128, dtype=np.float32) * np.float32(SCALE)).reshape(1, 1, 1, -1)
    levels = np.pad(levels, [(0, 0), (0, 0), (0, 0), (0, 4096 - 128)])
    np.testing.assert_array_equal(evaluate(refined, {"x": levels})[0], levels)
    assert evaluate(refined, {"x": np.full_like(x, 100.0)})[0].max() == 127.5 * SCALE


def test_refinement_passes_through_selecting_nodes() -> None:
    net = Net(x=[1, 4, 8, 8])
    value = net.grid(net.add("Relu", "x", name="start"))
    steps = {
        "pool": lambda v: net.add("MaxPool", v, name="pool", kernel_shape=[2, 2], strides=[2, 2]),
        "linear": lambda v: net.add("Resize", v, "", net.constant(np.array([1, 1, 2, 2], np.float32)), name="linear", mode="linear"),
        "reflect": lambda v: net.add("Pad", v, net.constant(np.array([0, 0, 1, 1, 0, 0, 1, 1])), name="reflect", mode="reflect"),
        "zeros": lambda v: net.add("Pad", v, net.constant(np.array([0, 0, 1, 1, 0, 0, 1, 1])), name="zeros"),
        "shuffle": lambda v: net.add("DepthToSpace", v, name="shuffle", blocksize=2),
        "joined": lambda v: net.add("Concat", v, v, name="joined", axis=1),
    }
    for step in steps.values():
        value = net.grid(step(value))
    refined, changes = apply(net.model(value), [refine_non_negative])
    assert grids(refined) == dict.fromkeys(["start", *steps], (SCALE / 2, -128, "int8"))
    assert len(changes) == 7


@pytest.mark.parametrize("kind", ["cubic", "ones", "tanh", "sum with a signed tensor"])
def test_refinement_stops_where_values_can_be_negative(kind: str) -> None:
    net = Net(x=[1, 4, 8, 8])
    value = net.grid(net.add("Relu", "x", name="start"))
    if kind == "cubic":
        value = net.add("Resize", value, "", net.constant(np.array([1, 1, 2, 2], np.float32)), name="end", mode="cubic")
    elif kind == "ones":
        fill = net.constant(np.float32(-1.0))
        value = net.add("Pad", value, net.constant(np.array([0, 0, 1, 1, 0, 0, 1, 1])), fill, name="end")
    elif kind == "tanh":
        value = net.add("Tanh", "x", name="end")
    else:
        value = net.add("Add", value, net.grid("x"), name="end")
    refined, _ = apply(net.model(net.grid(value)), [refine_non_negative])
    assert grids(refined)["end"] == (SCALE, 0, "int8")


def test_tensors_that_share_a_scale_are_refined_together_or_not_at_all() -> None:
    """0.74 rounds to 1 on the coarse grid; rounded to halves first it is 0.5, which the coarse grid would make 0."""
    net = Net(x=[1, 1, 1, 8], y=[1, 1, 1, 8])
    positive, signed = net.grid(net.add("Relu", "x", name="positive"), 1.0), net.grid("y", 1.0)
    pooled = net.grid(net.add("MaxPool", positive, name="pooled", kernel_shape=[1, 1]), 1.0)
    model = net.model(net.grid(net.add("Concat", pooled, signed, name="both", axis=1), 1.0))
    refined, _ = apply(model, [refine_non_negative])
    assert grids(refined) == {
        **dict.fromkeys(["positive", "pooled"], (1.0, -128, "int8")),
        **dict.fromkeys(["y", "both"], (1.0, 0, "int8")),
    }
    x = {"x": np.full((1, 1, 1, 8), 0.74, np.float32), "y": np.full((1, 1, 1, 8), -3.0, np.float32)}
    assert evaluate(refined, x)[0][0, 0, 0, 0] == 1.0
    levels = {"x": np.array([-9, 0, 1, 2, 64, 126, 127, 500], np.float32).reshape(1, 1, 1, 8), "y": x["y"]}
    np.testing.assert_array_equal(evaluate(refined, levels)[0], evaluate(model, levels)[0])


def test_a_relu_whose_grid_a_signed_tensor_shares_is_folded_into_its_convolution(tmp_path: Path) -> None:
    """A join with a signed tensor, whose range the ReLU's output sets."""
    net = Net(x=[1, 4, 16, 16])
    source = net.grid("x")
    positive = net.grid(conv_relu(net, source, 4))
    joined = net.grid(net.add("Concat", positive, source, axis=1))
    weight = net.weight(RANDOM.integers(-127, 128, (16, 8, 1, 1)), np.full(16, 2.0**-10))
    model = net.model(net.grid(net.conv(joined, weight)))
    rewritten, _ = apply(model, [refine_non_negative, uint8_activations])
    fused = kernels(rewritten, tmp_path)
    assert (fused["QLinearConv"], fused["Relu"], fused["Conv"]) == (2, 0, 0)


def test_refinement_ignores_a_link_to_another_scale() -> None:
    net = Net(x=[1, 4, 8, 8], y=[1, 4, 8, 8])
    positive = net.grid(net.add("Relu", "x", name="positive"))
    model = net.model(net.grid(net.add("Concat", positive, net.grid("y"), name="both", axis=1), 3 * SCALE))
    refined, _ = apply(model, [refine_non_negative])
    assert grids(refined) == {"positive": (SCALE / 2, -128, "int8"), "y": (SCALE, 0, "int8"), "both": (3 * SCALE, 0, "int8")}


def test_together_they_let_onnxruntime_fuse_convolution_and_relu(tmp_path: Path) -> None:
    net = Net(x=[1, 4, 16, 16])
    value = net.grid(conv_relu(net, net.grid("x")))
    weight = net.weight(RANDOM.integers(-127, 128, (16, 16, 1, 1)), np.full(16, 2.0**-10))
    model = net.model(net.grid(net.conv(value, weight)))
    assert kernels(model, tmp_path)["QLinearConv"] < 2
    rewritten, _ = apply(model, [refine_non_negative, uint8_activations])
    fused = kernels(rewritten, tmp_path)
    assert (fused["QLinearConv"], fused["Relu"], fused["Conv"]) == (2, 0, 0)
