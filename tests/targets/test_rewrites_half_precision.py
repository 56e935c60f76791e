"""float16 with explicit casts, against NumPy and ONNX Runtime."""

import numpy as np
import onnx
import onnx_ir as ir
from graphs import Net

from instantstyle.targets.onnx.rewrites.apply import apply
from instantstyle.targets.onnx.rewrites.count import int8_convolutions
from instantstyle.targets.onnx.rewrites.half_precision import BeyondHalf, beyond_half, half_precision

HALF, FLOAT = onnx.TensorProto.FLOAT16, onnx.TensorProto.FLOAT


def types(model: onnx.ModelProto) -> dict[str, int]:
    """Element type of every value, inferred anew."""
    inferred = onnx.shape_inference.infer_shapes(model, strict_mode=True)
    values = (*inferred.graph.value_info, *inferred.graph.input, *inferred.graph.output)
    return {value.name: value.type.tensor_type.elem_type for value in values} | {t.name: t.data_type for t in inferred.graph.initializer}


def run(model: onnx.ModelProto, **inputs: np.ndarray) -> np.ndarray:
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.graph_optimization_level = onnxruntime.GraphOptimizationLevel.ORT_DISABLE_ALL
    return np.asarray(onnxruntime.InferenceSession(model.SerializeToString(), options).run(None, inputs)[0])


def test_a_convolution_computes_in_float16_between_float32_ends() -> None:
    weight = np.random.default_rng(0).normal(size=(4, 3, 3, 3)).astype(np.float32)
    net = Net(x=(1, 3, 16, 16))
    net.add("Relu", net.add("Conv", "x", net.constant(weight), name="conv"), name="y")
    before = net.model("y")
    after, changes = apply(before, (half_precision,))
    found = types(after)
    assert (found["x"], found["conv"], found["y"]) == (FLOAT, HALF, FLOAT)
    assert {change.detail for change in changes} == {"Conv", "Relu"}
    assert sum(node.op_type == "Cast" for node in after.graph.node) == 2
    assert {tensor.data_type for tensor in after.graph.initializer} == {HALF}
    x = np.random.default_rng(1).normal(size=(1, 3, 16, 16)).astype(np.float32)
    difference = np.abs(run(after, x=x) - run(before, x=x)).max()
    assert 0 < difference < 0.02


def variance(size: int) -> onnx.ModelProto:
    """Mean of the squares of a feature map, and its root."""
    net = Net(x=(1, 2, size, size))
    half = net.add("Relu", "x", name="features")
    mean = net.add("ReduceMean", half, net.constant(np.array([2, 3])), keepdims=1, name="mean")
    centred = net.add("Sub", half, mean, name="centred")
    square = net.add("Pow", centred, net.constant(np.float32(2)), name="square")
    spread = net.add("Sqrt", net.add("ReduceMean", square, net.constant(np.array([2, 3])), keepdims=1, name="variance"), name="deviation")
    net.add("Div", half, spread, name="scaled")
    net.add("Relu", "scaled", name="y")
    return net.model("y")


def test_statistics_stay_in_float32_because_squares_overflow() -> None:
    after, _ = apply(variance(128), (half_precision,))
    found = types(after)
    assert [found[name] for name in ("features", "mean", "centred", "square", "variance", "deviation")] == [HALF] + [FLOAT] * 5
    x = (np.random.default_rng(2).normal(size=(1, 2, 128, 128)) * 600).astype(np.float32)
    features = np.maximum(x, 0).astype(np.float16).astype(np.float64)
    wanted = features / features.std(axis=(2, 3), keepdims=True)
    assert (features - features.mean(axis=(2, 3), keepdims=True)).max() ** 2 > np.finfo(np.float16).max
    np.testing.assert_allclose(run(after, x=x), wanted, atol=4e-3)


def test_grids_are_untouched_and_convolutions_still_count_as_int8() -> None:
    net = Net(x=(1, 3, 8, 8))
    weight = np.random.default_rng(3).integers(-127, 128, (4, 3, 3, 3))
    conv = net.conv(net.grid("x"), net.weight(weight, np.full(4, 2.0**-7)), np.arange(4) / 8)
    net.add("Relu", net.grid(net.add("Relu", conv)), name="y")
    before = net.model("y")
    after, _ = apply(before, (half_precision,))
    assert int8_convolutions(before).plain == int8_convolutions(after).plain == 1
    names = {tensor.name: tensor for tensor in after.graph.initializer}
    for node in after.graph.node:
        if node.op_type in ("QuantizeLinear", "DequantizeLinear"):
            assert names[node.input[1]].data_type == FLOAT and names[node.input[2]].data_type == onnx.TensorProto.INT8
    x = np.random.default_rng(4).uniform(-2, 2, (1, 3, 8, 8)).astype(np.float32)
    steps = (run(after, x=x) - run(before, x=x)) * 2**5
    assert np.abs(steps).max() <= 1 and (steps == 0).mean() > 0.98


def test_a_finite_constant_beyond_float16_is_named_and_an_infinite_one_is_not() -> None:
    net = Net(x=(1, 3, 80, 80))
    net.add("Mul", "x", net.constant(np.float32(1e5)), name="m")
    net.add("Max", "m", net.constant(np.float32(-np.inf)), name="y")
    assert beyond_half(ir.from_proto(net.model("y"))) == (BeyondHalf("node_m", "c0", 1e5),)


def test_an_infinite_constant_stays_one() -> None:
    net = Net(x=(1, 3, 80, 80))
    net.add("Max", "x", net.constant(np.float32(-np.inf)), name="y")
    after, _ = apply(net.model("y"), (half_precision,))
    x = np.random.default_rng(5).integers(-9, 9, (1, 3, 80, 80)).astype(np.float32)
    np.testing.assert_array_equal(run(after, x=x), x)


def test_scales_of_resize_stay_float32() -> None:
    net = Net(x=(1, 3, 40, 40))
    scales = net.constant(np.array([1, 1, 2, 2], np.float32))
    net.add("Resize", net.add("Relu", "x"), "", scales, mode="linear", name="y")
    after, _ = apply(net.model("y"), (half_precision,))
    assert types(after)[scales] == FLOAT
    x = np.random.default_rng(5).normal(size=(1, 3, 40, 40)).astype(np.float32)
    np.testing.assert_allclose(run(after, x=x), run(net.model("y"), x=x), atol=4e-3)
