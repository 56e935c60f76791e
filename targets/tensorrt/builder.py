"""From an ONNX file to engines, and what the parser has against the file before."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from ...system.errors import CaptureError
from .bindings import Product, ask

MIB = 2**20


def build_engine(product: Product, onnx_file: Path, *, capability: int | None, engine: Path, workspace_mib: int | None, graph: str) -> None:
    """Builds one engine and writes it to ``engine``.

    Args:
        capability: compute capability, 86 for 8.6; None for the GPU at hand.
        workspace_mib: scratch memory that the engine may use.
        graph: its name, for errors.

    Raises:
        CaptureError: the parser or the builder refuses the graph: node, operator and what to do.
        TargetUnavailableError: TensorRT crashed.
    """
    workspace_bytes = workspace_mib * MIB if workspace_mib else None
    request = {"onnx": str(onnx_file), "capability": capability, "engine": str(engine), "workspace_bytes": workspace_bytes}
    answer = ask(product, {"task": "build", **request})
    if answer["refused"]:
        raise CaptureError(f"graph '{graph}': {product.title} refuses it: " + "; ".join(map(describe, answer["refused"])))
    if not answer["built"]:
        whom = "the GPU at hand" if capability is None else f"compute capability {capability}"
        raise CaptureError(f"graph '{graph}': {product.title} built no engine for {whom}: {explain(answer['log'])}")


def refused_nodes(product: Product, onnx_file: Path) -> list[dict[str, Any]]:
    """The nodes that the parser refuses: ``node``, ``operator``, ``problem``, ``check``."""
    return ask(product, {"task": "check", "onnx": str(onnx_file)})["refused"]


def describe(refusal: Mapping[str, Any]) -> str:
    """One refusal of the parser's as a sentence."""
    problem = " ".join(str(refusal["problem"]).split())
    # "false" is all that the parser says of an operator that it does not import at all.
    known = f"it has no form of that operator ({refusal['check']})" if problem == "false" else problem
    return f"node '{refusal['node']}' ({refusal['operator']}): {known}"


def explain(log: Sequence[str]) -> str:
    """The builder's last error, and what to do about those whose cause is known."""
    error = next((" ".join(line.split()) for line in log if "Error Code" in line), "it gave no reason")
    if "workspace" in error:
        return f"the workspace is too small for any of its kernels; raise workspace_mib in [targets.options], or leave it out ({error})"
    if "cudaError 35" in error or "driver" in error.lower():
        return f"there is no NVIDIA driver here ({error})"
    return error
