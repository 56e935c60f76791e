"""Target ``onnx``."""

import json

import numpy as np
import onnx
import pytest
from onnx import numpy_helper
from suite import Emitted, TargetSuite, assert_no_path_of_this_machine

from instantstyle.recipe.precision import Precision
from instantstyle.targets.base import Target
from instantstyle.targets.onnx.target import OnnxTarget


class TestOnnx(TargetSuite):
    precisions = (Precision.FLOAT32, Precision.INT8)
    packages = ("onnx", "onnxscript", "onnx_ir", "onnxsim", "onnxruntime")
    reproducible = ("*.onnx",)

    @pytest.fixture(scope="class")
    @classmethod
    def target(cls) -> Target:
        return OnnxTarget()

    def load(self, emitted: Emitted, precision: Precision, graph: str = "stylizer") -> onnx.ModelProto:
        _, folder = emitted(precision)
        return onnx.load(folder / f"{graph}.onnx")

    def test_standard_opset_18(self, emitted: Emitted, precision: Precision) -> None:
        model = self.load(emitted, precision)
        onnx.checker.check_model(model, full_check=True)
        assert [(entry.domain, entry.version) for entry in model.opset_import] == [("", 18)]

    def test_metadata_tells_an_app_what_to_feed(self, emitted: Emitted, precision: Precision) -> None:
        facts = {entry.key: entry.value for entry in self.load(emitted, precision).metadata_props}
        assert facts["instantstyle.precision"] == str(precision)
        assert (facts["instantstyle.model"], facts["instantstyle.graph"], facts["instantstyle.size"]) == ("small", "stylizer", "32x48")
        assert json.loads(facts["instantstyle.inputs"])[0] == {
            "name": "photo", "kind": "image", "shape": [1, 3, 32, 48], "minimum": -1.0, "maximum": 1.0,
            "order": "RGB", "mean": [], "std": [],
        }  # fmt: skip

    def test_int8_weights_are_stored_in_8_bits(self, emitted: Emitted) -> None:
        model = self.load(emitted, Precision.INT8)
        stored = {tensor.name: numpy_helper.to_array(tensor) for tensor in model.graph.initializer}
        producers = {node.output[0]: node for node in model.graph.node}
        weights = [stored[producers[node.input[1]].input[0]] for node in model.graph.node if node.op_type in ("Conv", "Gemm")]
        assert {weight.dtype for weight in weights} == {np.dtype(np.int8)}
        assert sum(weight.size for weight in weights) == 3 * 16 * 9 + 16 * 16 * 9 + 16 * 24 + 24 * 16 * 9 + 16 * 16 + 16 * 12 * 9 + 6 * 48
        # No float tensor is as large as a weight: only biases and scales.
        assert max(array.size for array in stored.values() if array.dtype == np.float32) == 48

    def test_int8_activations_are_uint8_and_use_all_levels_after_relu(self, emitted: Emitted) -> None:
        model = self.load(emitted, Precision.INT8)
        stored = {tensor.name: numpy_helper.to_array(tensor) for tensor in model.graph.initializer}
        producers = {node.output[0]: node.op_type for node in model.graph.node}
        zero_points = [
            (producers.get(node.input[0]), stored[node.input[2]].dtype, int(stored[node.input[2]]))
            for node in model.graph.node
            if node.op_type == "QuantizeLinear"
        ]
        assert {(kind, zero) for source, kind, zero in zero_points if source in ("Relu", "MaxPool")} == {(np.dtype(np.uint8), 0)}
        assert {(kind, zero) for source, kind, zero in zero_points if source in ("Conv", "Resize", None)} == {(np.dtype(np.uint8), 128)}

    def test_no_stack_traces_left(self, emitted: Emitted, precision: Precision) -> None:
        model = self.load(emitted, precision)
        assert not any(node.metadata_props or node.doc_string for node in model.graph.node)

    def test_files_keep_no_path_of_this_machine(self, emitted: Emitted, precision: Precision) -> None:
        assert_no_path_of_this_machine(emitted(precision)[1])
