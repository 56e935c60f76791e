"""ONNX Runtime's sessions on Qualcomm's HTP library, which emulates a Hexagon processor where there is none (x86-64 Linux)."""

import importlib
import tempfile
from functools import cache
from pathlib import Path
from types import ModuleType
from typing import TYPE_CHECKING

from ...system.silence import silence
from ..onnx.runner import LOG_NOTHING
from .graph import QNNGraph, read_graph
from .options import CHIPS

if TYPE_CHECKING:
    import onnxruntime

LIBRARY = "onnxruntime_qnn"
# What a graph is compiled and run for where nothing says otherwise.
DEFAULT_ARCHITECTURE = 75


class QNNError(Exception):
    """QNN does not take a model; what ONNX Runtime said."""


def _library() -> ModuleType:
    """Qualcomm's package. By name: it is on no machine but those that want it."""
    return importlib.import_module(LIBRARY)


@cache
def _devices() -> list:
    """The provider's devices; registers it, once in a process."""
    import onnxruntime

    library = _library()
    name = library.get_ep_name()
    with silence(native=True):
        # The name that it is registered under is the one that its devices have.
        onnxruntime.register_execution_provider_library(name, library.get_library_path())
    return [device for device in onnxruntime.get_ep_devices() if device.ep_name == name][:1]


def version() -> str:
    """Of the library."""
    return _library().__version__


def open_session(model: Path | bytes, architecture: int, threads: int, *, context: Path | None = None) -> "onnxruntime.InferenceSession":
    """A session that runs the whole graph on QNN; no node of it may fall back to the CPU.

    Args:
        context: where the graph as compiled for ``architecture`` is written, as one ONNX file, if anywhere.

    Raises:
        QNNError: QNN does not take all of the graph, or cannot compile it.
    """
    entries = {"session.disable_cpu_ep_fallback": "1"}
    if context is not None:
        entries |= {"ep.context_enable": "1", "ep.context_embed_mode": "1", "ep.context_file_path": str(context)}
    return _session(model, architecture, threads, entries, {})


def compile_graph(model: Path, architecture: int, threads: int) -> QNNGraph:
    """The graph that QNN makes of a model, as QNN writes it down: its operations with the types of their tensors. Raises QNNError."""
    with tempfile.TemporaryDirectory(prefix="instantstyle-") as folder:
        wanted = {"dump_json_qnn_graph": "1", "json_qnn_graph_dir": folder}
        _session(model, architecture, threads, {"session.disable_cpu_ep_fallback": "1"}, wanted)
        return read_graph(Path(folder))


def left_to_cpu(model: bytes, architecture: int) -> tuple[tuple[str, str], ...]:
    """Name and operator of the nodes that QNN does not take; none if it takes all. Raises QNNError if it cannot compile the others."""
    entries = {"session.record_ep_graph_assignment_info": "1"}
    session = _session(model, architecture, 1, entries, {})
    parts = [part for part in session.get_provider_graph_assignment_info() if part.ep_name != _devices()[0].ep_name]
    return tuple((node.name, node.op_type) for part in parts for node in part.get_nodes())


def _session(
    model: Path | bytes, architecture: int, threads: int, entries: dict[str, str], wanted: dict[str, str]
) -> "onnxruntime.InferenceSession":
    import onnxruntime

    devices = _devices()
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads, options.inter_op_num_threads = threads, 1
    options.log_severity_level = LOG_NOTHING
    for key, value in entries.items():
        options.add_session_config_entry(key, value)
    settings = {
        "backend_path": _library().get_qnn_htp_path(),
        "htp_arch": str(architecture),
        "soc_model": str(CHIPS[architecture][1]),
        "enable_htp_fp16_precision": "1",
        # Or the CPU would quantise inputs and dequantise outputs wherever it may.
        "offload_graph_io_quantization": "0",
    }
    options.add_provider_for_devices(devices, settings | wanted)
    try:
        with silence(native=True):
            return onnxruntime.InferenceSession(model, options)
    except Exception as error:  # the bindings have a class for each code, with no other parent
        if type(error).__module__.startswith("onnxruntime."):
            raise QNNError(" ".join(str(error).split())) from error
        raise
