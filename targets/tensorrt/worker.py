"""Everything that touches TensorRT's bindings, in a process of its own: ``python worker.py`` with a request in JSON on its standard input.

The bindings can end the process that they run in, above all without a driver. So this file imports nothing of the product, and the product
imports nothing of TensorRT. The answer, in JSON, is the last line of the standard output.
"""

import contextlib
import ctypes
import importlib
import json
import os
import sys
from pathlib import Path

DEVICE_NAME_BYTES = 256
# CUdevice_attribute: https://docs.nvidia.com/cuda/cuda-driver-api/group__CUDA__TYPES.html
CAPABILITY_MAJOR, CAPABILITY_MINOR = 75, 76


def probe(request):
    """Version of the bindings, and the first GPU, if there is a driver: name and compute capability (86 for 8.6)."""
    trt = importlib.import_module(request["module"])
    return {"version": trt.__version__, "gpu": _gpu(), "capabilities": sorted(_capabilities(trt))}


def _gpu():
    try:
        cuda = ctypes.CDLL("nvcuda.dll" if os.name == "nt" else "libcuda.so.1")
    except OSError:
        return None
    device = ctypes.c_int()
    if cuda.cuInit(0) != 0 or cuda.cuDeviceGet(ctypes.byref(device), 0) != 0:
        return None
    name = ctypes.create_string_buffer(DEVICE_NAME_BYTES)
    cuda.cuDeviceGetName(name, DEVICE_NAME_BYTES, device)
    values = []
    for attribute in (CAPABILITY_MAJOR, CAPABILITY_MINOR):
        value = ctypes.c_int()
        cuda.cuDeviceGetAttribute(ctypes.byref(value), attribute, device)
        values.append(value.value)
    return {"name": name.value.decode(), "capability": 10 * values[0] + values[1]}


def _capabilities(trt):
    """What engines can be built for ahead of time; none in TensorRT proper, which builds for the GPU at hand."""
    members = getattr(getattr(trt, "ComputeCapability", None), "__members__", {})
    return [int(name[2:]) for name in members if name[2:].isdigit()]


def check(request):
    """The nodes of an ONNX model that the parser refuses, by name and operator."""
    trt = importlib.import_module(request["module"])
    logger = _logger(trt)
    _, _, parser = _parser(trt, logger)
    content = Path(request["onnx"]).read_bytes()
    return {"refused": [] if parser.supports_model_v2(content) else _errors(parser), "log": logger.lines}


def build(request):
    """One engine, written to a path. ``capability`` null builds for the GPU at hand.

    One, because after a build that failed the next engine of the same process comes out for another GPU (tensorrt_rtx 1.7.1).
    """
    trt = importlib.import_module(request["module"])
    logger = _logger(trt)
    builder, network, parser = _parser(trt, logger)
    if not parser.parse(Path(request["onnx"]).read_bytes()):
        return {"refused": _errors(parser), "log": logger.lines, "built": False}
    config = builder.create_builder_config()
    if request["workspace_bytes"]:
        config.set_memory_pool_limit(trt.MemoryPoolType.WORKSPACE, request["workspace_bytes"])
    with contextlib.suppress(AttributeError):  # what was timed on one machine has no place in an engine for another
        config.set_flag(trt.BuilderFlag.DISABLE_TIMING_CACHE)
    if request["capability"] is not None:
        config.num_compute_capabilities = 1
        config.set_compute_capability(getattr(trt.ComputeCapability, f"SM{request['capability']}"), 0)
    engine = builder.build_serialized_network(network, config)
    if engine is not None:
        Path(request["engine"]).write_bytes(bytes(engine))
    return {"refused": [], "log": logger.lines, "built": engine is not None}


def _parser(trt, logger):
    builder = trt.Builder(logger)
    # TensorRT 10 needs to be told that precisions are those of the graph; 11 knows nothing else.
    flags = trt.NetworkDefinitionCreationFlag
    network = builder.create_network(1 << int(flags.STRONGLY_TYPED) if hasattr(flags, "STRONGLY_TYPED") else 0)
    return builder, network, trt.OnnxParser(network, logger)


def _errors(parser):
    found = []
    for index in range(parser.num_errors):
        error = parser.get_error(index)
        found.append({"node": error.node_name(), "operator": error.node_operator(), "problem": error.desc(), "check": error.func()})
    return found


def _logger(trt):
    class Logger(trt.ILogger):
        def __init__(self):
            trt.ILogger.__init__(self)
            self.lines = []

        def log(self, severity, msg):
            if int(severity) <= int(trt.ILogger.ERROR):
                self.lines.append(msg)

    return Logger()


if __name__ == "__main__":
    # What the bindings print goes to standard error; the answer alone to standard output.
    answer = os.fdopen(os.dup(1), "w")
    os.dup2(2, 1)
    question = json.load(sys.stdin)
    json.dump({"probe": probe, "check": check, "build": build}[question["task"]](question), answer)
    answer.close()
