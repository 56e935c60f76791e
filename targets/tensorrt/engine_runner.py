"""Runs an engine on the GPU that it was built for. PyTorch's CUDA gives it memory and a stream."""

import importlib
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import torch

from ...model.graph import Arrays
from ...system.errors import ExecutionError
from ..base import Artifact, Runner
from ..census import Census
from ..declared import Declared, Tensor, as_arrays, check_declared
from ..runner_checks import execution_by
from .bindings import Gpu, Product

Buffers = dict[str, torch.Tensor]
# TensorRT's names of types, where NumPy has others.
TYPES = {"FLOAT": "float32", "HALF": "float16"}


class EngineRunner(Runner):
    """An execution context with buffers on the device.

    Args:
        path: the engine's file.
        artifact: that the engine belongs to.
        name: of the graph.
        census: of the graph that the engine was built from; the engine itself does not tell.

    Raises:
        ExecutionError: the engine cannot be loaded, has other inputs or outputs than the manifest, or fewer int8 convolutions than
            asked for.
    """

    def __init__(self, path: Path, artifact: Artifact, *, name: str, product: Product, gpu: Gpu, census: Census) -> None:
        graph, size = artifact.graph(name), artifact.size
        super().__init__(graph, size)
        self.execution = execution_by(census, graph, path, f"{product.title} on {gpu.name}")
        trt: Any = importlib.import_module(product.module)
        self._runtime = trt.Runtime(trt.Logger(trt.Logger.ERROR))
        engine = self._runtime.deserialize_cuda_engine(path.read_bytes())
        if engine is None:
            raise ExecutionError(f"{path}: {product.title} {trt.__version__} cannot load this engine; build it again on this machine")
        self._engine = engine
        wanted = as_arrays(artifact, graph)
        # An engine has no metadata; those of the ONNX file that it was built from were read.
        check_declared(replace(of_engine(engine), facts=wanted.facts), wanted, path)
        self._context: Any = engine.create_execution_context()
        if self._context is None:
            raise ExecutionError(f"{path}: {product.title} cannot make a context for this engine on {gpu.name}: too little GPU memory?")
        self.stream = torch.cuda.Stream()
        self.buffers: Buffers = {}
        with torch.cuda.stream(self.stream):  # on another stream, the zeros could come after the first input
            for spec in (*graph.inputs, *graph.outputs):
                self.buffers[spec.name] = torch.zeros(spec.shape(size), dtype=torch.float32, device="cuda")
                self._context.set_tensor_address(spec.name, self.buffers[spec.name].data_ptr())

    def enqueue(self) -> None:
        """One pass on the buffers, on ``stream``; returns before it is done."""
        if not self._context.execute_async_v3(self.stream.cuda_stream):
            raise ExecutionError(f"graph '{self._graph.name}': the engine did not run")

    def _execute(self, inputs: Arrays) -> dict[str, np.ndarray]:
        with torch.cuda.stream(self.stream):
            for spec in self._graph.inputs:
                self.buffers[spec.name].copy_(torch.from_numpy(np.require(inputs[spec.name], np.float32, ("C", "W"))), non_blocking=True)
            self.enqueue()
            found = {spec.name: self.buffers[spec.name].cpu() for spec in self._graph.outputs}
        self.stream.synchronize()
        return {name: value.numpy() for name, value in found.items()}

    def _free(self) -> None:
        del self._context, self._engine, self._runtime
        self.buffers.clear()


def of_engine(engine: Any) -> Declared:
    """Names, types and shapes of an engine's inputs and outputs."""
    tensors: dict[str, list[Tensor]] = {"INPUT": [], "OUTPUT": []}
    for index in range(engine.num_io_tensors):
        name = engine.get_tensor_name(index)
        kind: str = engine.get_tensor_dtype(name).name
        shape = tuple("?" if length < 0 else int(length) for length in engine.get_tensor_shape(name))
        tensors[engine.get_tensor_mode(name).name].append(Tensor(name, TYPES.get(kind, kind.lower()), shape))
    return Declared(tuple(tensors["INPUT"]), tuple(tensors["OUTPUT"]), {})
