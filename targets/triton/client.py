"""Triton's HTTP interface: the KServe protocol, version 2, with tensors as bytes behind a JSON header."""

import http.client
import json
from collections.abc import Mapping
from typing import Any

import numpy as np

from ...model.graph import Arrays
from ...system.errors import ExecutionError

HEADER_LENGTH = "Inference-Header-Content-Length"
# A question that is not answered by then is not going to be.
TIMEOUT_SECONDS = 600.0


class Client:
    """One connection to a server on this machine, kept open between requests. Not for several threads at a time.

    Raises:
        ExecutionError: of every call: the server refused, with what it says.
        OSError, http.client.HTTPException: of every call: it does not answer.
    """

    def __init__(self, port: int) -> None:
        self._connection = http.client.HTTPConnection("127.0.0.1", port, timeout=TIMEOUT_SECONDS)

    def get(self, path: str) -> Any:
        """What is at a path, parsed; None where nothing is said."""
        return _parsed(self._ask("GET", path)[0])

    def post(self, path: str) -> Any:
        """The same, for what changes something."""
        return _parsed(self._ask("POST", path, b"{}")[0])

    def infer(self, model: str, inputs: Arrays, *, version: int | None = None) -> dict[str, np.ndarray]:
        """Named float32 arrays -> named float32 arrays, of the newest version of a model unless another one is asked for."""
        contents = {name: np.ascontiguousarray(array, np.float32).tobytes() for name, array in inputs.items()}
        tensors = [
            {"name": name, "shape": array.shape, "datatype": "FP32", "parameters": {"binary_data_size": len(contents[name])}}
            for name, array in inputs.items()
        ]
        header = json.dumps({"inputs": tensors, "parameters": {"binary_data_output": True}}).encode()
        place = f"/v2/models/{model}" + (f"/versions/{version}" if version is not None else "")
        body, told = self._ask("POST", f"{place}/infer", b"".join((header, *contents.values())), {HEADER_LENGTH: str(len(header))})
        start = int(told[HEADER_LENGTH])
        outputs = {}
        for tensor in json.loads(body[:start])["outputs"]:
            length = tensor["parameters"]["binary_data_size"]
            outputs[tensor["name"]] = np.frombuffer(body[start : start + length], np.float32).reshape(tensor["shape"])
            start += length
        return outputs

    def close(self) -> None:
        """Ends the connection."""
        self._connection.close()

    def _ask(
        self, method: str, path: str, body: bytes | None = None, headers: Mapping[str, str] | None = None
    ) -> tuple[bytes, http.client.HTTPMessage]:
        try:
            self._connection.request(method, path, body, dict(headers or {}))
            answer = self._connection.getresponse()
            content = answer.read()
        except (OSError, http.client.HTTPException):
            self._connection.close()
            raise
        if answer.status != http.client.OK:
            raise ExecutionError(f"Triton refuses {method} {path}: {_complaint(content)}")
        return content, answer.headers


def _parsed(content: bytes) -> Any:
    return json.loads(content) if content else None


def _complaint(content: bytes) -> str:
    try:
        return str(json.loads(content)["error"])
    except (ValueError, KeyError, TypeError):
        return content.decode(errors="replace").strip() or "it does not say why"
