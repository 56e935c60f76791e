"""Runs one model file on ONNX Runtime for a process on another architecture: arm64_parity.py starts it under qemu.

``python arm64_guest.py MODEL THREADS OPTIONS``, the session's options in JSON. First a line of JSON about itself goes to standard output;
then for each npz of inputs on standard input an npz of outputs, each after its length in eight bytes, until there is no more.
"""

import io
import json
import platform
import sys

import numpy as np
import onnxruntime

LENGTH_BYTES = 8


def main() -> None:
    """Answers until standard input ends."""
    model, threads, entries = sys.argv[1:]
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads, options.inter_op_num_threads = int(threads), 1
    options.log_severity_level = 4
    for key, value in json.loads(entries).items():
        options.add_session_config_entry(key, value)
    session = onnxruntime.InferenceSession(model, options, providers=["CPUExecutionProvider"])
    about = {"machine": platform.machine(), "numpy": np.__version__, "onnxruntime": onnxruntime.__version__}
    send = sys.stdout.buffer
    send.write(json.dumps(about | {"providers": session.get_providers()}).encode() + b"\n")
    send.flush()
    while length := sys.stdin.buffer.read(LENGTH_BYTES):
        with np.load(io.BytesIO(sys.stdin.buffer.read(int.from_bytes(length, "little")))) as arrays:
            names = [output.name for output in session.get_outputs()]
            outputs = dict(zip(names, session.run(names, dict(arrays)), strict=True))
        buffer = io.BytesIO()
        np.savez(buffer, **outputs)  # pyright: ignore[reportArgumentType]
        send.write(len(buffer.getvalue()).to_bytes(LENGTH_BYTES, "little") + buffer.getvalue())
        send.flush()


if __name__ == "__main__":
    main()
