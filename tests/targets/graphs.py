"""Small quantised ONNX graphs, their numbers, and what ONNX Runtime makes of them."""

from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import onnxruntime
from onnx import TensorProto, helper, numpy_helper

from instantstyle.targets.onnx.kernels import read_kernels

# Powers of two make the arithmetic of the float kernels exact, so that equal means equal.
SCALE = 2.0**-5


class Net:
    """Builds a graph node by node; every method returns the name of its output."""

    def __init__(self, **inputs: Sequence[int]) -> None:
        self.inputs = [helper.make_tensor_value_info(name, TensorProto.FLOAT, shape) for name, shape in inputs.items()]
        self.nodes: list[onnx.NodeProto] = []
        self.constants: list[onnx.TensorProto] = []

    def constant(self, array: np.ndarray | np.generic) -> str:
        name = f"c{len(self.constants)}"
        self.constants.append(numpy_helper.from_array(np.asarray(array), name))
        return name

    def add(self, kind: str, *inputs: str, name: str | None = None, **attributes: Any) -> str:
        output = name or f"{kind.lower()}{len(self.nodes)}"
        self.nodes.append(helper.make_node(kind, list(inputs), [output], name=f"node_{output}", **attributes))
        return output

    def quantize(self, value: str, scale: float = SCALE, zero_point: int = 0) -> str:
        return self.add("QuantizeLinear", value, self.constant(np.float32(scale)), self.constant(np.int8(zero_point)))

    def dequantize(self, value: str, scale: float = SCALE, zero_point: int = 0) -> str:
        return self.add("DequantizeLinear", value, self.constant(np.float32(scale)), self.constant(np.int8(zero_point)))

    def grid(self, value: str, scale: float = SCALE) -> str:
        """QuantizeLinear and DequantizeLinear."""
        return self.dequantize(self.quantize(value, scale), scale)

    def weight(self, values: np.ndarray, scales: np.ndarray) -> str:
        parts = (values.astype(np.int8), scales.astype(np.float32), np.zeros(len(scales), np.int8))
        return self.add("DequantizeLinear", *map(self.constant, parts), axis=0)

    def conv(self, value: str, weight: str, bias: np.ndarray | None = None, **attributes: Any) -> str:
        biases = () if bias is None else (self.constant(bias.astype(np.float32)),)
        return self.add("Conv", value, weight, *biases, **attributes)

    def model(self, *outputs: str) -> onnx.ModelProto:
        infos = [helper.make_tensor_value_info(name, TensorProto.FLOAT, None) for name in outputs]
        graph = helper.make_graph(self.nodes, "net", self.inputs, infos, self.constants)
        model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)], ir_version=10)
        model = onnx.shape_inference.infer_shapes(model, check_type=True, strict_mode=True, data_prop=True)
        onnx.checker.check_model(model, full_check=True)
        return model


def evaluate(model: onnx.ModelProto, inputs: Mapping[str, np.ndarray]) -> list[np.ndarray]:
    """Outputs with ONNX Runtime's optimisations off: every node computes what the ONNX specification says."""
    options = onnxruntime.SessionOptions()
    options.graph_optimization_level = onnxruntime.GraphOptimizationLevel.ORT_DISABLE_ALL
    options.intra_op_num_threads, options.log_severity_level = 1, 4
    session = onnxruntime.InferenceSession(model.SerializeToString(), options, providers=["CPUExecutionProvider"])
    return [np.asarray(output) for output in session.run(None, dict(inputs))]


def kernels(model: onnx.ModelProto, folder: Path) -> Counter[str]:
    """What ONNX Runtime executes after its optimisation."""
    options = onnxruntime.SessionOptions()
    options.optimized_model_filepath, options.log_severity_level = str(folder / "optimized.ort"), 4
    options.add_session_config_entry("session.save_model_format", "ORT")
    onnxruntime.InferenceSession(model.SerializeToString(), options, providers=["CPUExecutionProvider"])
    return read_kernels(folder / "optimized.ort")


def grids(model: onnx.ModelProto) -> dict[str, tuple[float, int, str]]:
    """Scale, zero point and type of every QuantizeLinear, by the value that it reads."""
    stored = {tensor.name: numpy_helper.to_array(tensor) for tensor in model.graph.initializer}
    return {
        node.input[0]: (float(stored[node.input[1]]), int(stored[node.input[2]]), str(stored[node.input[2]].dtype))
        for node in model.graph.node
        if node.op_type == "QuantizeLinear"
    }


def operators(model: onnx.ModelProto) -> Counter[str]:
    return Counter(node.op_type for node in model.graph.node)


def random_image(seed: int, *shape: int) -> np.ndarray:
    """Normal with deviation 2: the grid of ``SCALE`` ends at about 4."""
    return (2 * np.random.default_rng(seed).standard_normal(shape)).astype(np.float32)
