"""What an int8 artifact computes in float is stored as float16."""

import math
from pathlib import Path

import numpy as np
import onnx
import onnxruntime
from graphs import evaluate, random_image
from onnx import TensorProto, helper, numpy_helper

from instantstyle.targets.android.ort_format import to_ort_format
from instantstyle.targets.onnx.rewrites.apply import apply
from instantstyle.targets.onnx.rewrites.store_half import store_half
from instantstyle.targets.onnx.rewrites.store_int8 import store_int8

RANDOM = np.random.default_rng(1)
LARGE, SMALL = RANDOM.normal(size=(16, 8, 3, 3)).astype(np.float32), RANDOM.normal(size=(4, 16, 1, 1)).astype(np.float32)


def net(large: np.ndarray = LARGE) -> onnx.ModelProto:
    """Two float convolutions, the first with 1152 weights, the second with 64."""
    nodes = [
        helper.make_node("Conv", ["x", "large"], ["y"], name="first", pads=[1, 1, 1, 1]),
        helper.make_node("Relu", ["y"], ["r"], name="relu"),
        helper.make_node("Conv", ["r", "small"], ["z"], name="second"),
    ]
    specs = [helper.make_tensor_value_info(name, TensorProto.FLOAT, [1, channels, 16, 16]) for name, channels in (("x", 8), ("z", 4))]
    weights = [numpy_helper.from_array(value, name) for name, value in (("large", large), ("small", SMALL))]
    return helper.make_model(
        helper.make_graph(nodes, "net", specs[:1], specs[1:], weights), opset_imports=[helper.make_opsetid("", 18)], ir_version=10
    )


def test_large_weights_are_halved_and_hardly_move() -> None:
    model = net()
    rewritten, changes = apply(model, [store_half])
    stored = {tensor.name: numpy_helper.to_array(tensor) for tensor in rewritten.graph.initializer}
    assert {name: value.dtype for name, value in stored.items()} == {"large.half": np.float16, "small": np.float32}
    assert [(change.node, change.detail) for change in changes] == [("y", "1152 weights")]
    x = {"x": random_image(3, 1, 8, 16, 16)}
    wanted = evaluate(model, x)[0]
    assert 0 < np.abs(evaluate(rewritten, x)[0] - wanted).max() < 2**-9 * np.abs(wanted).max()


def test_weights_beyond_float16_stay() -> None:
    rewritten, changes = apply(net(LARGE * 1e5), [store_half])
    assert not changes and {tensor.data_type for tensor in rewritten.graph.initializer} == {TensorProto.FLOAT}


def test_ort_file_keeps_them_halved(tmp_path: Path) -> None:
    sizes = {}
    for halve in (False, True):
        source, folder = tmp_path / f"source{halve}", tmp_path / f"out{halve}"
        source.mkdir()
        folder.mkdir()
        onnx.save(net(), source / "net.onnx")
        to_ort_format(source, folder, halve)
        sizes[halve] = (folder / "net.ort").stat().st_size
        assert "Conv" in (folder / "required_operators.config").read_text()
    assert sizes[False] - sizes[True] > 1.5 * LARGE.size
    x = {"x": random_image(3, 1, 8, 16, 16)}
    got, wanted = (np.asarray(onnxruntime.InferenceSession(tmp_path / f"out{halve}/net.ort").run(None, x)[0]) for halve in (True, False))
    assert 0 < np.abs(got - wanted).max() < 2**-9 * np.abs(wanted).max()


def test_a_weight_of_two_layers_is_stored_once_and_read_by_both() -> None:
    weight = RANDOM.normal(size=(8, 8, 3, 3)).astype(np.float32)
    nodes = [
        helper.make_node("Conv", ["x", "tied"], ["y"], name="first", pads=[1, 1, 1, 1]),
        helper.make_node("ConvTranspose", ["y", "tied"], ["z"], name="second", pads=[1, 1, 1, 1]),
    ]
    specs = [helper.make_tensor_value_info(name, TensorProto.FLOAT, [1, 8, 16, 16]) for name in ("x", "z")]
    graph = helper.make_graph(nodes, "net", specs[:1], specs[1:], [numpy_helper.from_array(weight, "tied")])
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)], ir_version=10)
    x = {"x": random_image(3, 1, 8, 16, 16)}
    wanted = evaluate(model, x)[0]
    # Int8 has a scale for each output channel, which are on other axes of the two.
    for rewrite, stored, error in ((store_half, 1, 2**-9), (store_int8, 2, 2**-5)):
        rewritten, changes = apply(model, [rewrite])
        assert len(changes) == 2
        assert sum(math.prod(tensor.dims) == weight.size for tensor in rewritten.graph.initializer) == stored
        assert 0 < np.abs(evaluate(rewritten, x)[0] - wanted).max() < error * np.abs(wanted).max()
