"""Evaluates an ONNX graph with float16 in it so that every float16 tensor really is rounded to float16.

ONNX Runtime's CPU provider has few float16 kernels: it computes in float32 and drops the pairs of casts between two such nodes, so that a
value beyond 65504 passes unharmed. Here every node is a session of its own, in float32, and its float16 results are rounded by us.

Assumed, as TensorRT's documentation says of its kernels: within one operation (the products of a convolution, the mean and variance of a
normalisation, a softmax) sums are kept in float32, and only the result is float16.
"""

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from ..recipe.precision import LARGEST_HALF
from ..system.errors import ExecutionError

if TYPE_CHECKING:
    import onnx
    import onnxruntime

# The only operators that are worth more than one thread; a pool for every node would be hundreds.
HEAVY = frozenset({"Conv", "ConvTranspose", "MatMul", "Gemm"})
LOG_NOTHING = 4
# ONNX element types.
FLOAT, FLOAT16 = 1, 10
FLOATS = (FLOAT, FLOAT16)


@dataclass(frozen=True)
class _Step:
    """One node. ``session`` is None for a Cast between float types, which is nothing but the rounding of its result."""

    node: "onnx.NodeProto"
    session: "onnxruntime.InferenceSession | None"
    inputs: tuple[str, ...]
    outputs: tuple[str, ...]
    dead: tuple[str, ...]


class HalfEvaluator:
    """An ONNX model, node by node.

    Args:
        model: with standard operators; the documentation string of a node is the path of the module that it comes from.
        threads: within an operator.

    Attributes:
        overflow: the first node of all runs so far whose finite result is infinite in float16, as a sentence; empty if there was none.

    Raises:
        ExecutionError: the type of a value cannot be told, or a node has a graph inside.
    """

    def __init__(self, model: "onnx.ModelProto", threads: int) -> None:
        import onnx

        self.overflow = ""
        self._suspect = ""
        self._outputs = tuple(value.name for value in model.graph.output)
        self._types = _element_types(model)
        self._half = frozenset(name for name, kind in self._types.items() if kind == FLOAT16)
        self._constants = {each.name: _widened(onnx.numpy_helper.to_array(each)) for each in model.graph.initializer}
        uses = Counter(name for node in model.graph.node for name in node.input if name)
        uses.update(self._outputs)
        self._steps: list[_Step] = []
        for node in model.graph.node:
            inputs = tuple(dict.fromkeys(name for name in node.input if name))
            uses.subtract(name for name in node.input if name)
            dead = tuple(name for name in inputs if uses[name] == 0 and name not in self._constants)
            session = None if self._is_rounding(node) else self._session(model, node, inputs, threads)
            self._steps.append(_Step(node, session, inputs, tuple(name for name in node.output if name), dead))

    def run(self, inputs: Mapping[str, np.ndarray]) -> dict[str, np.ndarray]:
        """Named arrays -> the outputs by name, float16 ones as float32."""
        values = {**self._constants, **{name: self._rounded(name, array) for name, array in inputs.items()}}
        for step in self._steps:
            given = {name: values[name] for name in step.inputs}
            results = [given[step.inputs[0]]] if step.session is None else step.session.run(list(step.outputs), given)
            for name, result in zip(step.outputs, results, strict=True):
                values[name] = self._rounded(name, np.asarray(result))
                if self._types[name] in FLOATS:
                    self._look(step.node, given.values(), np.asarray(result), values[name])
            for name in step.dead:
                del values[name]
        outputs = {name: values[name] for name in self._outputs}
        if self._suspect and not self.overflow and not all(np.isfinite(value).all() for value in outputs.values()):
            self.overflow = self._suspect
        return outputs

    def _rounded(self, name: str, array: np.ndarray) -> np.ndarray:
        if name not in self._half or array.dtype != np.float32:
            return array
        import torch

        return torch.from_numpy(np.require(array, requirements=("C", "W"))).half().float().numpy()

    def _look(self, node: "onnx.NodeProto", given: Iterable[np.ndarray], exact: np.ndarray, rounded: np.ndarray) -> None:
        """Remembers the first result that float16 made infinite, and the first that is not finite although all it is made of is."""
        if self.overflow or np.isfinite(rounded).all():
            return
        module = f"module '{node.doc_string}'" if node.doc_string else "the graph"
        where = f"{module}, node '{node.name}' ({node.op_type})"
        finite = exact[np.isfinite(exact)]
        largest = float(np.abs(finite).max()) if finite.size else 0.0
        if np.isinf(rounded[np.isfinite(exact)]).any():
            self.overflow = f"{where}: {largest:.4g} is Inf in float16, which ends at {LARGEST_HALF:.0f}"
        elif not self._suspect and all(np.isfinite(each).all() for each in given if each.dtype == np.float32):
            self._suspect = f"{where}: NaN or Inf of finite inputs that were rounded to float16"

    def _is_rounding(self, node: "onnx.NodeProto") -> bool:
        return node.op_type == "Cast" and self._types[node.input[0]] in FLOATS and self._types[node.output[0]] in FLOATS

    def _session(
        self, model: "onnx.ModelProto", node: "onnx.NodeProto", inputs: Sequence[str], threads: int
    ) -> "onnxruntime.InferenceSession":
        import onnx
        import onnxruntime

        widened = onnx.NodeProto()
        widened.CopyFrom(node)
        for attribute in widened.attribute:
            if attribute.HasField("g") or attribute.graphs:
                raise ExecutionError(f"node '{node.name}' ({node.op_type}) has a graph inside, which cannot be evaluated in float16")
            if attribute.HasField("t"):
                attribute.t.CopyFrom(onnx.numpy_helper.from_array(_widened(onnx.numpy_helper.to_array(attribute.t)), attribute.t.name))
        names = tuple(name for name in node.output if name)
        given, made = ([onnx.helper.make_tensor_value_info(name, self._wide(name), None) for name in part] for part in (inputs, names))
        graph = onnx.helper.make_graph([widened], node.name or "node", given, made)
        single = onnx.helper.make_model(graph, opset_imports=model.opset_import, ir_version=model.ir_version)
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads, options.inter_op_num_threads = threads if node.op_type in HEAVY else 1, 1
        options.log_severity_level = LOG_NOTHING
        options.graph_optimization_level = onnxruntime.GraphOptimizationLevel.ORT_DISABLE_ALL
        options.add_session_config_entry("session.intra_op.allow_spinning", "0")
        try:
            return onnxruntime.InferenceSession(single.SerializeToString(), options, providers=["CPUExecutionProvider"])
        except Exception as error:  # ONNX Runtime's classes have no common parent
            raise ExecutionError(f"node '{node.name}' ({node.op_type}) cannot be evaluated: {error}") from error

    def _wide(self, name: str) -> int:
        """The type of a value here: float16 is carried in float32."""
        return FLOAT if name in self._half else self._types[name]


def _widened(array: np.ndarray) -> np.ndarray:
    return array.astype(np.float32) if array.dtype == np.float16 else array


def _element_types(model: "onnx.ModelProto") -> dict[str, int]:
    """ONNX element types of all values.

    Raises:
        ExecutionError: one has none.
    """
    import onnx

    graph = onnx.shape_inference.infer_shapes(model).graph
    types = {value.name: value.type.tensor_type.elem_type for value in (*graph.input, *graph.output, *graph.value_info)}
    types |= {each.name: each.data_type for each in graph.initializer}
    unknown = next((name for node in graph.node for name in node.output if name and not types.get(name)), None)
    if unknown is not None:
        raise ExecutionError(f"the type of '{unknown}' cannot be told, so that its graph cannot be evaluated in float16")
    return types
