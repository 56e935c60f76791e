"""Float16 judged in float16: every result rounded, against NumPy, and what becomes infinite named."""

from pathlib import Path

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper

from instantstyle.system.errors import ExecutionError
from instantstyle.targets.half_evaluator import HalfEvaluator

HALF, FLOAT = TensorProto.FLOAT16, TensorProto.FLOAT


def chain(gain: float, nodes: list[onnx.NodeProto], names: tuple[str, ...]) -> onnx.ModelProto:
    """image -> float16 -> times ``gain`` -> ``nodes`` (from ``a`` to ``b``) -> float32."""
    first = helper.make_node("Cast", ["image"], ["half"], to=HALF)
    scale = helper.make_node("Mul", ["half", "gain"], ["a"], name="gain", doc_string="first.conv")
    last = helper.make_node("Cast", ["b"], ["output"], to=FLOAT)
    tensors = [helper.make_tensor_value_info(name, FLOAT, [1, 4]) for name in ("image", "output")]
    constant = onnx.numpy_helper.from_array(np.array(gain, np.float16), "gain")
    halves = [helper.make_tensor_value_info(name, HALF, [1, 4]) for name in ("half", "a", *names)]
    graph = helper.make_graph([first, scale, *nodes, last], "chain", tensors[:1], tensors[1:], [constant], value_info=halves)
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)], ir_version=9)


IMAGE = np.array([[0.1, -0.7, 0.333, 1.0]], np.float32)


def test_every_result_is_rounded() -> None:
    nodes = [helper.make_node("Mul", ["a", "a"], ["c"]), helper.make_node("Sub", ["c", "a"], ["b"])]
    found = HalfEvaluator(chain(1.7, nodes, ("b", "c")), threads=1).run({"image": IMAGE})["output"]
    half = IMAGE.astype(np.float16) * np.float16(1.7)
    np.testing.assert_array_equal(found, (half * half - half).astype(np.float32))
    exact = IMAGE * np.float32(1.7)
    assert np.abs(found - (exact * exact - exact)).max() > 1e-5  # which is what a fused float32 computation gives


def test_what_float16_makes_infinite_is_named_although_it_is_hidden_again() -> None:
    nodes = [helper.make_node("Mul", ["a", "a"], ["c"], name="square", doc_string="second"), helper.make_node("Tanh", ["c"], ["b"])]
    evaluator = HalfEvaluator(chain(300.0, nodes, ("b", "c")), threads=1)
    output = evaluator.run({"image": IMAGE})["output"]
    assert np.isfinite(output).all() and output[0, 3] == 1
    assert evaluator.overflow == "module 'second', node 'square' (Mul): 9e+04 is Inf in float16, which ends at 65504"


def test_what_stays_below_the_end_is_not_named() -> None:
    evaluator = HalfEvaluator(chain(248.0, [helper.make_node("Mul", ["a", "a"], ["b"])], ("b",)), threads=1)
    assert evaluator.run({"image": IMAGE})["output"][0, 3] == 61504 and evaluator.overflow == ""


def test_a_division_by_what_was_rounded_to_zero_is_named() -> None:
    """1e-5 squared is no float16 number but 0."""
    nodes = [helper.make_node("Mul", ["a", "a"], ["c"]), helper.make_node("Div", ["a", "c"], ["b"], name="divide", doc_string="norm")]
    evaluator = HalfEvaluator(chain(1e-5, nodes, ("b", "c")), threads=1)
    assert not np.isfinite(evaluator.run({"image": IMAGE})["output"]).all()
    assert evaluator.overflow == "module 'norm', node 'divide' (Div): NaN or Inf of finite inputs that were rounded to float16"


def test_an_infinity_of_the_model_itself_is_none_of_float16() -> None:
    """As in a mask before a softmax."""
    nodes = [helper.make_node("Where", ["mask", "a", "low"], ["c"]), helper.make_node("Softmax", ["c"], ["b"])]
    model = chain(1.0, nodes, ("b", "c"))
    constants = {"mask": np.array([[True, True, False, True]]), "low": np.array(-np.inf, np.float16)}
    model.graph.initializer.extend(onnx.numpy_helper.from_array(array, name) for name, array in constants.items())
    evaluator = HalfEvaluator(model, threads=1)
    output = evaluator.run({"image": IMAGE})["output"]
    assert output[0, 2] == 0 and output.sum() == pytest.approx(1, abs=1e-3) and evaluator.overflow == ""


def test_a_graph_in_a_node_is_refused(tmp_path: Path) -> None:
    branch = helper.make_graph([helper.make_node("Identity", ["a"], ["t"])], "t", [], [helper.make_tensor_value_info("t", HALF, [1, 4])])
    nodes = [helper.make_node("If", ["yes"], ["b"], name="if", then_branch=branch, else_branch=branch)]
    model = chain(1.0, nodes, ("b",))
    model.graph.initializer.append(onnx.numpy_helper.from_array(np.array(True), "yes"))
    with pytest.raises(ExecutionError, match=r"node 'if' \(If\) has a graph inside"):
        HalfEvaluator(model, threads=1)
