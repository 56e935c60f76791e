"""Files that other tools made, open in their runtimes: with the settings that the project's own runners have, and what really runs."""

import tempfile
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from instantstyle.model.graph import Arrays, Graph, Run
from instantstyle.system.errors import InstantStyleError
from instantstyle.targets.litert.interface import from_file, to_file
from instantstyle.targets.litert.runner import CONVOLUTIONS as LITERT_CONVOLUTIONS
from instantstyle.targets.litert.runner import INPUT_PLACE, open_interpreter
from instantstyle.targets.onnx.kernels import CONVOLUTIONS, INT8_CONVOLUTION, read_kernels
from instantstyle.targets.onnx.runner import open_session
from instantstyle.targets.openvino.runner import CONVOLUTIONS as OPENVINO_CONVOLUTIONS
from instantstyle.targets.openvino.runner import DEVICE, INTEGERS, settings


@dataclass(frozen=True)
class Opened:
    """A graph's file that is open.

    Attributes:
        int8: convolutions that run as int8 kernels.
        convolutions: all that run.
    """

    run: Run
    int8: int
    convolutions: int


def open_onnx(path: Path, graph: Graph, threads: int) -> Opened:
    """In ONNX Runtime."""
    with tempfile.TemporaryDirectory(prefix="instantstyle-") as folder:
        optimized = Path(folder) / "optimized.ort"
        session = open_session(path, threads, optimized)
        kernels = read_kernels(optimized)
    names = [spec.name for spec in graph.outputs]
    given = [each.name for each in session.get_inputs()]
    _check(path, given, graph)

    def run(inputs: Arrays) -> dict[str, np.ndarray]:
        return {name: np.asarray(value) for name, value in zip(names, session.run(None, dict(inputs)), strict=True)}

    return Opened(run, kernels[INT8_CONVOLUTION], sum(count for kernel, count in kernels.items() if kernel in CONVOLUTIONS))


def open_openvino(path: Path, graph: Graph, threads: int) -> Opened:
    """In OpenVINO's CPU plugin, which computes in float32 what is not int8."""
    import openvino

    compiled: Any = openvino.Core().compile_model(path, DEVICE, settings(threads, "f32"))
    _check(path, [each.any_name for each in compiled.inputs], graph)
    facts = [node.get_rt_info() for node in compiled.get_runtime_model().get_ordered_ops()]
    found = [each["runtimePrecision"].astype(str) for each in facts if each["layerType"].astype(str) in OPENVINO_CONVOLUTIONS]
    request, names = compiled.create_infer_request(), [spec.name for spec in graph.outputs]

    def run(inputs: Arrays) -> dict[str, np.ndarray]:
        request.infer(dict(inputs))
        return {name: np.array(request.get_output_tensor(place).data) for place, name in enumerate(names)}

    return Opened(run, sum(each in INTEGERS for each in found), len(found))


def open_litert(path: Path, graph: Graph, threads: int) -> Opened:
    """In LiteRT's interpreter with XNNPACK; inputs and outputs may be integers."""
    interpreter = open_interpreter(path, threads)
    tensors = {each["index"]: each for each in interpreter.get_tensor_details()}
    found = [each for each in interpreter._get_ops_details() if each["op_name"] in LITERT_CONVOLUTIONS]
    int8 = sum(tensors[each["inputs"][INPUT_PLACE.get(each["op_name"], 0)]]["dtype"] is np.int8 for each in found)
    signature = next(iter(interpreter.get_signature_list().values()))
    _check(path, signature["inputs"], graph)
    runner = interpreter.get_signature_runner()
    inputs_by, outputs_by = runner.get_input_details(), runner.get_output_details()

    def run(inputs: Arrays) -> dict[str, np.ndarray]:
        for name, details in inputs_by.items():
            interpreter.set_tensor(details["index"], _quantized(to_file(inputs[name]), details))
        interpreter.invoke()
        return {name: from_file(_float(interpreter.get_tensor(each["index"]), each)) for name, each in outputs_by.items()}

    return Opened(run, int8, len(found))


Open = Callable[[Path, Graph, int], Opened]
OPENERS: Mapping[str, Open] = {"ONNX Runtime": open_onnx, "OpenVINO": open_openvino, "LiteRT": open_litert}


def _check(path: Path, found: Sequence[str], graph: Graph) -> None:
    wanted = {spec.name for spec in graph.inputs}
    if set(found) != wanted:
        raise InstantStyleError(f"{path} has the inputs {', '.join(found)}; graph '{graph.name}' has {', '.join(sorted(wanted))}")


def _quantized(array: np.ndarray, details: Mapping[str, Any]) -> np.ndarray:
    if details["dtype"] is np.float32:
        return array
    (scale, zero), limits = details["quantization"], np.iinfo(details["dtype"])
    return np.clip(np.rint(array / np.float32(scale)) + zero, limits.min, limits.max).astype(details["dtype"])


def _float(array: np.ndarray, details: Mapping[str, Any]) -> np.ndarray:
    if details["dtype"] is np.float32:
        return array
    scale, zero = details["quantization"]
    return (array.astype(np.float32) - zero) * np.float32(scale)
