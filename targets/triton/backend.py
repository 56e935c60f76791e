"""Runs a model's ``model.onnx`` in ONNX Runtime on the CPU, in Triton's Python backend.

As ``model.py`` of a model it serves that one. As ``model.py`` of a backend it serves every model that names this backend, and so stands
in for Triton's own ONNX Runtime backend where a server lacks it. Needs onnxruntime and NumPy in the server's Python.
"""

import json
from pathlib import Path

import numpy as np
import onnxruntime
import triton_python_backend_utils as triton  # pyright: ignore[reportMissingImports]  (the server's own)


class TritonPythonModel:
    """One instance of a model: a session of its own, in a process of its own."""

    def initialize(self, args):
        """Opens the file. Triton's ``args`` have the model's folder, its version and its configuration as JSON."""
        config = json.loads(args["model_config"])
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = int(config["parameters"]["intra_op_thread_count"]["string_value"])
        options.inter_op_num_threads = 1
        path = Path(args["model_repository"]) / args["model_version"] / "model.onnx"
        self.session = onnxruntime.InferenceSession(str(path), options, providers=["CPUExecutionProvider"])
        self.inputs = [each.name for each in self.session.get_inputs()]
        self.outputs = [each.name for each in self.session.get_outputs()]
        self.batched = config["max_batch_size"] > 0

    def execute(self, requests):
        """One response a request. Those that Triton has batched run as one batch; without batches one runs after another."""
        given = [[triton.get_input_tensor_by_name(request, name).as_numpy() for name in self.inputs] for request in requests]
        try:
            found = self._as_one(given) if self.batched and len(given) > 1 else [self._run(arrays) for arrays in given]
        except Exception as error:  # ONNX Runtime's classes have no other parent; whoever asked is told
            return [triton.InferenceResponse(error=triton.TritonError(str(error)))] * len(requests)
        return [
            triton.InferenceResponse([triton.Tensor(name, array) for name, array in zip(self.outputs, arrays, strict=True)])
            for arrays in found
        ]

    def _run(self, arrays):
        return self.session.run(self.outputs, dict(zip(self.inputs, arrays, strict=True)))

    def _as_one(self, given):
        """Triton batches requests of equal shapes alone; each has its own number of pictures."""
        ends = np.cumsum([arrays[0].shape[0] for arrays in given])[:-1]
        whole = self._run([np.concatenate(arrays) for arrays in zip(*given, strict=True)])
        return zip(*(np.split(np.asarray(array), ends) for array in whole), strict=True)
