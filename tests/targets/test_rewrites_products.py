"""The rewrite of linear layers for QNN: one scale for a weight, the rest behind the products."""

import numpy as np
import pytest
from graphs import Net, evaluate, operators

from instantstyle.targets.onnx.rewrites.apply import apply
from instantstyle.targets.onnx.rewrites.scale_products import scale_products

GENERATOR = np.random.default_rng(7)
INTEGERS = GENERATOR.integers(-127, 128, (5, 8))
# A factor of 2,000 between them: on one grid of 8 bits the smallest would be nothing.
SCALES = np.array([0.001, 0.5, 0.02, 2.0, 0.007])
BIAS = np.array([3.0, -1.0, 0.5, 0.0, 100.0], np.float32)
VECTOR = {"x": GENERATOR.standard_normal((1, 8)).astype(np.float32)}


@pytest.mark.parametrize("has_bias", [True, False])
def test_products_are_scaled_behind_and_nothing_is_lost(has_bias: bool) -> None:
    net = Net(x=(1, 8))
    bias = (net.constant(BIAS),) if has_bias else ()
    model, changes = apply(net.model(net.add("Gemm", "x", net.weight(INTEGERS, SCALES), *bias, transB=1)), [scale_products])
    assert operators(model) == {"DequantizeLinear": 1, "MatMul": 1, "Mul": 1} | ({"Add": 1} if has_bias else {})
    assert len(changes) == 1 and changes[0].detail == "40 weights"
    wanted = VECTOR["x"].astype(np.float64) @ (INTEGERS * SCALES[:, None]).T + (BIAS if has_bias else 0)
    (found,) = evaluate(model, VECTOR)
    np.testing.assert_allclose(found, wanted, rtol=2e-5, atol=2e-5 * np.abs(wanted).max())
    # The smallest scale's row on its own: one grid for all would have left nothing of it.
    assert abs(found[0, 0] - wanted[0, 0]) < 1e-5
    stored = [tensor.dims for tensor in model.graph.initializer if tensor.data_type == tensor.INT8 and len(tensor.dims) == 2]
    assert [list(dims) for dims in stored] == [[8, 5]]


def test_a_weight_of_zeros_gives_the_bias() -> None:
    net = Net(x=(1, 8))
    model = net.model(net.add("Gemm", "x", net.weight(INTEGERS * 0, SCALES * 0), net.constant(BIAS), transB=1))
    rewritten, _ = apply(model, [scale_products])
    np.testing.assert_array_equal(evaluate(rewritten, VECTOR)[0], BIAS[None])


def test_what_qnn_takes_as_it_is_stays() -> None:
    """A quantised output, a factor on the products, and a float weight."""
    net = Net(x=(1, 8))
    bias = net.constant(BIAS)
    outputs = (
        net.grid(net.add("Gemm", net.grid("x"), net.weight(INTEGERS, SCALES), bias, transB=1)),
        net.add("Gemm", "x", net.weight(INTEGERS, SCALES), bias, transB=1, alpha=0.5),
        net.add("Gemm", "x", net.constant(INTEGERS.astype(np.float32)), bias, transB=1),
    )
    model = net.model(*outputs)
    rewritten, changes = apply(model, [scale_products])
    assert changes == () and operators(rewritten) == operators(model)
