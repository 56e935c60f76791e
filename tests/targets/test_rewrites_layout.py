"""Resizing that ONNX Runtime has for one order of axes only."""

from pathlib import Path

import numpy as np
import onnx
import pytest
from graphs import SCALE, Net, evaluate, operators, random_image
from onnxruntime.capi.onnxruntime_pybind11_state import Fail

from instantstyle.targets.onnx.rewrites.apply import apply
from instantstyle.targets.onnx.rewrites.keep_cubic_layout import keep_cubic_layout
from instantstyle.targets.onnx.rewrites.uint8_activations import uint8_activations
from instantstyle.targets.onnx.runner import open_session

RANDOM = np.random.default_rng(9)
CUBIC = {"mode": "cubic", "coordinate_transformation_mode": "half_pixel", "cubic_coeff_a": -0.75}


def conv(net: Net, value: str) -> str:
    weight = net.weight(RANDOM.integers(-60, 60, (16, 16, 3, 3)), np.full(16, 2.0**-10))
    return net.grid(net.conv(net.grid(value), weight, pads=[1, 1, 1, 1]))


def between_convolutions(**inputs: np.ndarray) -> onnx.ModelProto:
    """int8 convolution, cubic Resize to half the size, int8 convolution."""
    net = Net(image=[1, 16, 16, 16])
    places = [net.constant(inputs[name]) if name in inputs else "" for name in ("scales", "sizes")]
    small = net.add("Resize", conv(net, "image"), "", *(places if "sizes" in inputs else places[:1]), **CUBIC)
    return net.model(conv(net, small))


@pytest.mark.parametrize(
    "inputs", [{"sizes": np.array([1, 16, 8, 8], np.int64)}, {"scales": np.array([1, 1, 0.5, 0.5], np.float32)}], ids=["sizes", "scales"]
)
def test_cubic_resizing_beside_int8_convolutions_runs_when_optimised(inputs: dict[str, np.ndarray], tmp_path: Path) -> None:
    model, image = between_convolutions(**inputs), {"image": random_image(0, 1, 16, 16, 16)}
    kept, changes = apply(model, [uint8_activations, keep_cubic_layout])
    assert [change.rewrite for change in changes].count("keep_cubic_layout") == 1
    np.testing.assert_array_equal(evaluate(kept, image)[0], evaluate(model, image)[0])
    onnx.save(kept, tmp_path / "model.onnx")
    found = open_session(tmp_path / "model.onnx", 1, None).run(None, image)[0]
    np.testing.assert_allclose(np.asarray(found), evaluate(model, image)[0], atol=2 * SCALE)


def test_onnx_runtime_still_has_cubic_resizing_for_one_order_of_axes_alone(tmp_path: Path) -> None:
    """Once it has the other, the rewrite can go."""
    model, _ = apply(between_convolutions(sizes=np.array([1, 16, 8, 8], np.int64)), [uint8_activations])
    onnx.save(model, tmp_path / "model.onnx")
    with pytest.raises(Fail, match="'Cubic' mode only support"):
        open_session(tmp_path / "model.onnx", 1, None).run(None, {"image": random_image(0, 1, 16, 16, 16)})


def test_a_result_of_cubic_resizing_keeps_its_name_and_others_are_left() -> None:
    net = Net(image=[1, 3, 8, 8])
    sizes = net.constant(np.array([1, 3, 12, 12], np.int64))
    linear = net.add("Resize", "image", "", "", sizes, mode="linear")
    model = net.model(net.add("Resize", linear, "", "", net.constant(np.array([1, 3, 6, 6], np.int64)), name="small", **CUBIC))
    kept, _ = apply(model, [keep_cubic_layout])
    assert [(value.name, [side.dim_value for side in value.type.tensor_type.shape.dim]) for value in kept.graph.output] == [
        ("small", [1, 3, 6, 6])
    ]
    assert operators(kept) == {"Resize": 2, "Reshape": 2}
    image = {"image": random_image(0, 1, 3, 8, 8)}
    np.testing.assert_array_equal(evaluate(kept, image)[0], evaluate(model, image)[0])
