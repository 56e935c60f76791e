"""Runs one model file for an app under test: ``peer.py onnx|litert FILE``, tensors by name through stdin and stdout, big-endian."""

import struct
import sys
from collections.abc import Callable, Mapping
from typing import Any, BinaryIO

import numpy as np

Values = dict[str, np.ndarray]


def onnx(file: str) -> Callable[[Values], Values]:
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = 1
    session: Any = onnxruntime.InferenceSession(file, options, providers=["CPUExecutionProvider"])
    shapes = {each.name: each.shape for each in session.get_inputs()}
    names = [each.name for each in session.get_outputs()]
    return lambda given: dict(zip(names, session.run(names, _shaped(given, shapes)), strict=True))


def litert(file: str) -> Callable[[Values], Values]:
    from ai_edge_litert.interpreter import Interpreter

    interpreter: Any = Interpreter(file, num_threads=1)
    runner = interpreter.get_signature_runner()
    shapes = {name: tuple(detail["shape"]) for name, detail in runner.get_input_details().items()}
    return lambda given: runner(**_shaped(given, shapes))


def _shaped(given: Values, shapes: Mapping[str, Any]) -> Values:
    return {name: values.reshape(shapes[name]) for name, values in given.items()}


def serve(run: Callable[[Values], Values], source: BinaryIO, sink: BinaryIO) -> None:
    """Until the other side closes."""
    while head := source.read(4):
        given: Values = {}
        for _ in range(struct.unpack(">i", head)[0]):
            name = source.read(struct.unpack(">H", source.read(2))[0]).decode()
            given[name] = np.frombuffer(source.read(4 * struct.unpack(">i", source.read(4))[0]), ">f4").astype(np.float32)
        found = run(given)
        sink.write(struct.pack(">i", len(found)))
        for name, values in found.items():
            sink.write(struct.pack(">H", len(name.encode())) + name.encode() + struct.pack(">i", values.size))
            sink.write(values.astype(">f4").tobytes())
        sink.flush()


if __name__ == "__main__":
    serve({"onnx": onnx, "litert": litert}[sys.argv[1]](sys.argv[2]), sys.stdin.buffer, sys.stdout.buffer)
