"""Runs one graph on LiteRT's interpreter with XNNPACK, and says what ran."""

from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np

from ...model.graph import Arrays
from ...system.errors import ArtifactError, ExecutionError
from ...system.silence import silence
from ..base import Artifact, Execution, Runner
from ..declared import check_declared
from ..runner_checks import check_int8
from .interface import declared, from_file, to_file, wanted

CONVOLUTIONS = frozenset({"CONV_2D", "DEPTHWISE_CONV_2D", "TRANSPOSE_CONV"})
DELEGATE, XNNPACK = "DELEGATE", "XNNPACK"
# Of TRANSPOSE_CONV, the input's place among its operands; of all others it is the first.
INPUT_PLACE = {"TRANSPOSE_CONV": 2}


class LiteRTRunner(Runner):
    """An interpreter.

    Args:
        path: the ``.tflite`` file.
        artifact: that the file belongs to.
        name: of the graph.
        threads: within an operator.

    Raises:
        ArtifactError: LiteRT cannot open the file.
        ExecutionError: the file declares another interface than the manifest, has fewer int8 convolutions than asked for, or XNNPACK took
            none of them.
    """

    def __init__(self, path: Path, artifact: Artifact, name: str, threads: int) -> None:
        super().__init__(artifact.graph(name), artifact.size)
        self._interpreter = open_interpreter(path, threads)
        check_declared(declared(path.read_bytes()), wanted(artifact, self._graph), path)
        details = self._interpreter._get_ops_details()
        tensors = {each["index"]: each for each in self._interpreter.get_tensor_details()}
        found = [each for each in details if each["op_name"] in CONVOLUTIONS]
        floats = [each for each in found if tensors[each["inputs"][INPUT_PLACE.get(each["op_name"], 0)]]["dtype"] is not np.int8]
        kernels = Counter(_executed(self._interpreter, details))
        self.execution = Execution("LiteRT CPU with XNNPACK", len(found), len(found) - len(floats), tuple(kernels.most_common()))
        left = sorted(CONVOLUTIONS & kernels.keys())
        if left:
            raise ExecutionError(f"graph '{name}' ({path}): XNNPACK does not take {', '.join(left)}: LiteRT's slow kernels would run them")
        named = [tensors[each["outputs"][0]]["name"] for each in floats]
        check_int8(
            self._graph, path, convolutions=len(found), int8_convolutions=len(found) - len(floats), floats=named, how="run as int8 kernels"
        )
        self._inputs = [each["index"] for each in self._interpreter.get_input_details()]
        self._outputs = [each["index"] for each in self._interpreter.get_output_details()]

    def _execute(self, inputs: Arrays) -> dict[str, np.ndarray]:
        for spec, index in zip(self._graph.inputs, self._inputs, strict=True):
            self._interpreter.set_tensor(index, to_file(inputs[spec.name]))
        self._interpreter.invoke()
        pairs = zip(self._graph.outputs, self._outputs, strict=True)
        return {spec.name: from_file(self._interpreter.get_tensor(index)) for spec, index in pairs}

    def _free(self) -> None:
        del self._interpreter


def open_interpreter(path: Path, threads: int) -> Any:
    """An interpreter that is ready to run. ArtifactError if LiteRT cannot open the file."""
    import ai_edge_litert
    from ai_edge_litert.interpreter import Interpreter

    try:
        with silence(native=True):
            interpreter = Interpreter(model_path=str(path), num_threads=threads)
            interpreter.allocate_tensors()
    except (RuntimeError, ValueError) as error:
        version = getattr(ai_edge_litert, "__version__", "")
        raise ArtifactError(f"LiteRT {version} cannot open {path}: {error}") from error
    return interpreter


def _executed(interpreter: Any, details: list[dict[str, Any]]) -> Iterator[str]:
    """The operators that make the outputs: the parts that XNNPACK took over count once each."""
    # A part's result is made by the part, although the operators that it stands for are still listed.
    maker = {index: each for each in details for index in each["outputs"]}
    waiting = [each["index"] for each in interpreter.get_output_details()]
    seen: set[int] = set()
    while waiting:
        each = maker.get(waiting.pop())
        if each is not None and each["index"] not in seen:
            seen.add(each["index"])
            yield XNNPACK if each["op_name"] == DELEGATE else each["op_name"]
            waiting += [int(index) for index in each["inputs"] if index >= 0]
