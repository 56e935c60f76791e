"""A Node process that runs onnxruntime-web: started once for a number of threads, and asked over pipes."""

import atexit
import json
import os
import struct
import subprocess
import tempfile
import threading
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from ...system.errors import ExecutionError, TargetUnavailableError
from . import runtime

SCRIPT = Path(__file__).with_name("worker.mjs")
LIBRARY = "ort.node.min.mjs"
LENGTH = struct.Struct("<I")
# A question that is not answered by then is not going to be.
TIMEOUT_SECONDS = 600.0


class Worker:
    """One process, several sessions.

    Args:
        threads: within an operator.

    Attributes:
        library, node: versions.
        baseline: resident memory in bytes before anything was opened.

    Raises:
        TargetUnavailableError: Node or onnxruntime-web is not installed.
        ExecutionError: Node cannot load it.
    """

    def __init__(self, threads: int) -> None:
        node, library = runtime.node(), runtime.library()
        if node is None or library is None:
            raise TargetUnavailableError(f"target 'web' needs {' and '.join(runtime.missing())}, not installed here: {runtime.remedy()}")
        self._lock = threading.Lock()
        self._printed = tempfile.TemporaryFile()  # noqa: SIM115  (lives as long as the process)
        answers, given = os.pipe()
        command = [node, str(SCRIPT), str(library / LIBRARY), str(threads), str(given)]
        self._process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=self._printed, stderr=self._printed, pass_fds=(given,))
        os.close(given)
        self._answers = os.fdopen(answers, "rb")
        atexit.register(self.stop)
        with self._lock, self._deadline():
            greeting, _ = self._read()
        self.library, self.node, self.baseline = str(greeting["library"]), str(greeting["node"]), int(greeting["baseline"])

    @property
    def alive(self) -> bool:
        """Whether it can be asked."""
        return self._process.poll() is None

    def ask(
        self, question: Mapping[str, Any], arrays: Mapping[str, np.ndarray] | None = None
    ) -> tuple[dict[str, Any], dict[str, np.ndarray]]:
        """What it answers: an object, and float32 arrays by name.

        Raises:
            ExecutionError: onnxruntime-web failed, or the process ended or does not answer.
        """
        given = {name: np.ascontiguousarray(array, np.float32) for name, array in (arrays or {}).items()}
        asked = dict(question) | ({"tensors": [{"name": name, "shape": array.shape} for name, array in given.items()]} if given else {})
        with self._lock, self._deadline():
            text = json.dumps(asked).encode()
            stream = self._process.stdin
            assert stream is not None
            try:
                stream.write(LENGTH.pack(len(text)) + text)
                for array in given.values():
                    stream.write(array.tobytes())
                stream.flush()
            except (BrokenPipeError, ValueError) as error:
                raise self._ended() from error
            answer, found = self._read()
        if "error" in answer:
            raise ExecutionError(f"onnxruntime-web {self.library}: {answer['error']}")
        return answer, found

    def stop(self) -> None:
        """Ends the process; a second call does nothing."""
        atexit.unregister(self.stop)
        if self.alive:
            self._process.kill()
        self._process.wait()

    def _deadline(self) -> "_Deadline":
        return _Deadline(self._process)

    def _read(self) -> tuple[dict[str, Any], dict[str, np.ndarray]]:
        answer = json.loads(self._exactly(LENGTH.unpack(self._exactly(LENGTH.size))[0]))
        arrays = {}
        for each in answer.get("tensors", ()):
            shape = tuple(each["shape"])
            content = self._exactly(4 * int(np.prod(shape)))
            arrays[each["name"]] = np.frombuffer(content, np.float32).reshape(shape).copy()
        return answer, arrays

    def _exactly(self, length: int) -> bytes:
        content = self._answers.read(length)
        if len(content) < length:
            raise self._ended()
        return content

    def _ended(self) -> ExecutionError:
        self.stop()
        self._printed.seek(0)
        lines = [line for line in self._printed.read().decode(errors="replace").splitlines() if line.strip()]
        last = next((line for line in lines if "Error" in line), (lines or ["no output"])[-1])
        return ExecutionError(f"the Node process that runs onnxruntime-web ended with code {self._process.returncode}: {last.strip()}")


class _Deadline:
    """Ends a process that has not answered in time, which then reads as ended."""

    def __init__(self, process: subprocess.Popen[bytes]) -> None:
        self._timer = threading.Timer(TIMEOUT_SECONDS, process.kill)
        self._timer.daemon = True

    def __enter__(self) -> None:
        self._timer.start()

    def __exit__(self, *_: object) -> None:
        self._timer.cancel()


_workers: dict[int, Worker] = {}


def worker(threads: int) -> Worker:
    """The process of that number of threads, started if there is none that answers."""
    found = _workers.get(threads)
    if found is None or not found.alive:
        found = _workers[threads] = Worker(threads)
    return found
