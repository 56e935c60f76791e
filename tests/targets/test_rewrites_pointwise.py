"""Rewrites of functions of each number alone, of gates and of means, so that ONNX Runtime has fast kernels for them."""

from pathlib import Path

import numpy as np
import onnx
import pytest
from graphs import SCALE, Net, evaluate, kernels, operators, random_image

from instantstyle.targets.onnx.rewrites.apply import apply
from instantstyle.targets.onnx.rewrites.integer_gate import integer_gate
from instantstyle.targets.onnx.rewrites.integer_mean import integer_mean
from instantstyle.targets.onnx.rewrites.plain_prelu import plain_prelu
from instantstyle.targets.onnx.rewrites.uint8_activations import uint8_activations

SHAPE = (1, 4, 6, 6)
IMAGE = {"x": random_image(3, *SHAPE)}


@pytest.mark.parametrize(
    ("slopes", "made"),
    [
        ([0.25], {"LeakyRelu": 1}),
        ([0.25, -0.5, 1.0, 0.0], {"Mul": 1, "Max": 1}),
        ([0.25, -0.5, 2.0, 0.0], {"Relu": 1, "Min": 1, "Mul": 1, "Add": 1}),
    ],
)
def test_prelu_is_the_same_numbers_by_other_operators(slopes: list[float], made: dict[str, int]) -> None:
    net = Net(x=SHAPE)
    model = net.model(net.add("PRelu", "x", net.constant(np.array(slopes, np.float32).reshape(-1, 1, 1))))
    plain, changes = apply(model, [plain_prelu])
    assert operators(plain) == made and len(changes) == 1
    slope = np.array(slopes, np.float32).reshape(-1, 1, 1)
    np.testing.assert_array_equal(evaluate(plain, IMAGE)[0], np.where(IMAGE["x"] > 0, IMAGE["x"], IMAGE["x"] * slope))


def test_a_computed_slope_stays() -> None:
    net = Net(x=SHAPE, slope=(4, 1, 1))
    model = net.model(net.add("PRelu", "x", "slope"))
    assert apply(model, [plain_prelu])[1] == ()


def gated(kind: str) -> onnx.ModelProto:
    net = Net(x=SHAPE)
    value = net.grid("x")
    if kind == "HardSwish":
        return net.model(net.grid(net.add("HardSwish", value)))
    gate = net.add(kind, value, alpha=1 / 6, beta=0.5) if kind == "HardSigmoid" else net.add(kind, value)
    return net.model(net.grid(net.add("Mul", value, gate)))


@pytest.mark.parametrize("kind", ["Sigmoid", "HardSigmoid", "HardSwish"])
def test_gates_run_on_integers_and_move_by_at_most_one_level(kind: str, tmp_path: Path) -> None:
    plain, _ = apply(gated(kind), [uint8_activations])
    model, changes = apply(plain, [integer_gate])
    assert len(changes) == 1
    found, wanted = evaluate(model, IMAGE)[0], evaluate(plain, IMAGE)[0]
    levels = np.abs(found - wanted) / SCALE
    assert levels.max() <= 1 and (levels > 0.5).mean() < 0.25
    on_grid = np.clip(np.rint(IMAGE["x"] / SCALE), -128, 127) * SCALE
    gate = 1 / (1 + np.exp(-on_grid)) if kind == "Sigmoid" else np.clip(on_grid / 6 + 0.5, 0, 1)
    assert np.abs(found - on_grid * gate).max() < SCALE
    run = kernels(model, tmp_path)
    first = "QLinearSigmoid" if kind == "Sigmoid" else "QLinearAdd"
    assert run == {"QuantizeLinear": 1, first: 1, "QLinearMul": 1, "DequantizeLinear": 1}
    assert kernels(plain, tmp_path).keys().isdisjoint({"QLinearMul", "QLinearAdd"})


def test_a_gate_of_floats_stays() -> None:
    net = Net(x=SHAPE)
    model, _ = apply(net.model(net.grid(net.add("Mul", "x", net.add("Sigmoid", "x")))), [uint8_activations])
    assert apply(model, [integer_gate])[1] == ()


def test_means_of_integers_are_taken_by_a_kernel_on_integers(tmp_path: Path) -> None:
    net = Net(x=SHAPE)
    mean = net.add("ReduceMean", net.grid("x"), net.constant(np.array([-1, 2])), keepdims=1)
    model, _ = apply(net.model(net.grid(mean)), [uint8_activations])
    pooled, changes = apply(model, [integer_mean])
    assert len(changes) == 1
    np.testing.assert_allclose(evaluate(pooled, IMAGE)[0], evaluate(model, IMAGE)[0], atol=SCALE * 1.001)
    assert kernels(pooled, tmp_path)["QLinearGlobalAveragePool"] == 1
    assert kernels(model, tmp_path)["QLinearGlobalAveragePool"] == 0


def test_means_of_channels_stay() -> None:
    net = Net(x=SHAPE)
    model, _ = apply(
        net.model(net.grid(net.add("ReduceMean", net.grid("x"), net.constant(np.array([1, 2])), keepdims=1))), [uint8_activations]
    )
    assert apply(model, [integer_mean])[1] == ()
