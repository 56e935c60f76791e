"""The Triton Inference Server of nvidia-pytriton as a process of its own, in the environment of target ``triton``.

It has the Python backend alone. ``backend.py`` stands in for the ONNX Runtime one, so that repositories are served as they are.
"""

import atexit
import http.client
import os
import shutil
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import psutil

from ...system.errors import ExecutionError, TargetUnavailableError
from ..environments.install import folder, python
from .client import Client

TARGET = "triton"
REMEDY = f"instantstyle doctor --install {TARGET}"
ONNX_BACKEND, PYTHON_BACKEND = "onnxruntime", "python"
SCRIPT, GUARD = Path(__file__).with_name("backend.py"), Path(__file__).with_name("guard.py")
IN_ONNX_RUNTIME = "same file in ONNX Runtime, called from Python; not served by Triton"
STAND_IN = "Triton's Python backend with ONNX Runtime, in the place of its ONNX Runtime backend, which nvidia-pytriton lacks"
START_SECONDS = 120.0
STOP_SECONDS = 30.0
SHARED_MEMORY = Path("/dev/shm")


@dataclass(frozen=True)
class Installation:
    """Where the server is.

    Attributes:
        interpreter: Python of the environment, which its Python backend runs as well.
        packages: the folder that its packages are in, whose parent is named after the version of Python.
    """

    interpreter: Path
    packages: Path

    @property
    def server(self) -> Path:
        """The folder of the server with its backends."""
        return self.packages / "pytriton" / "tritonserver"

    @property
    def stub(self) -> Path:
        """The program that runs Python models, linked to this version of Python."""
        return self.server / "python_backend_stubs" / self.packages.parent.name.removeprefix("python") / "triton_python_backend_stub"

    def environment(self) -> dict[str, str]:
        """Of the process. The stub is linked to Python's shared library, and finds packages where it is told."""
        settings = (line.partition("=") for line in (self.interpreter.parents[1] / "pyvenv.cfg").read_text().splitlines())
        home = next(value.strip() for key, _, value in settings if key.strip() == "home")
        libraries = (str(Path(home).parent / "lib"), str(self.packages / "nvidia_pytriton.libs"))
        return {
            **os.environ,
            "LD_LIBRARY_PATH": os.pathsep.join(libraries),
            "PYTHONPATH": str(self.packages),
            "VIRTUAL_ENV": str(self.interpreter.parents[1]),
            "PATH": os.pathsep.join((str(self.interpreter.parent), os.environ.get("PATH", ""))),
        }


def installation() -> Installation | None:
    """The server here; None if there is no such environment, or its Python is none that the server's Python backend is built for."""
    interpreter = python(TARGET)
    found = next((folder(TARGET) / "lib").glob("python3.*/site-packages"), None)
    if interpreter is None or found is None:
        return None
    installed = Installation(interpreter, found)
    return installed if installed.stub.is_file() else None


class Server:
    """A running server on this machine, over HTTP alone; a second ``stop`` does nothing.

    Args:
        repositories: served whole; without any, models come and go by ``load`` and ``unload``.

    Attributes:
        port: of HTTP.
        version: of Triton.
        baseline: memory in bytes before a model was loaded; of whole repositories, after.

    Raises:
        TargetUnavailableError: it is not installed.
        ExecutionError: it does not start; with the last line that it said.
    """

    def __init__(self, repositories: Sequence[Path] = ()) -> None:
        installed = installation()
        if installed is None:
            raise TargetUnavailableError(f"target '{TARGET}' needs Triton, not installed here: {REMEDY}")
        self._folder = Path(tempfile.mkdtemp(prefix="instantstyle-"))
        self._repository = self._folder / "repository"
        self._repository.mkdir()
        self._shared = f"instantstyle-{os.getpid()}-{self._folder.name}-"
        self.port = _free_port()
        with (self._folder / "log").open("wb") as log:
            command = [sys.executable, str(GUARD), *self._command(installed, repositories)]
            # Its Python would take a folder named model, where it stands, for the module of that name.
            place = {"cwd": self._folder, "env": installed.environment()}
            self._process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=log, stderr=log, **place)
        atexit.register(self.stop)
        self.version = self._started()
        self.baseline = self.memory()

    def _command(self, installed: Installation, repositories: Sequence[Path]) -> list[str]:
        backends = self._folder / "backends"
        # Copies: Triton refuses a library that a link leads out of the folder of its backend.
        shutil.copytree(installed.server / "backends", backends)
        shutil.copy(installed.stub, backends / PYTHON_BACKEND)
        (backends / ONNX_BACKEND).mkdir()
        shutil.copy(SCRIPT, backends / ONNX_BACKEND / "model.py")
        served = [f"--model-repository={path.resolve()}" for path in repositories or (self._repository,)]
        control = "none" if repositories else "explicit"
        # Configurations are complete: what Triton would add by itself, other servers might add otherwise.
        options = f"--disable-auto-complete-config --model-control-mode={control} --exit-timeout-secs=2 --backend-directory={backends}"
        ports = f"--http-address=127.0.0.1 --http-port={self.port} --allow-grpc=false --allow-metrics=false"
        shared = [f"--backend-config={name},shm-region-prefix-name={self._shared}" for name in (PYTHON_BACKEND, ONNX_BACKEND)]
        return [str(installed.server / "bin" / "tritonserver"), *served, *options.split(), *ports.split(), *shared]

    def _started(self) -> str:
        client, end = self.client(), time.monotonic() + START_SECONDS
        while self.alive and time.monotonic() < end:
            try:
                client.get("/v2/health/ready")
                return client.get("/v2")["version"]
            except (OSError, http.client.HTTPException, ExecutionError):
                time.sleep(0.05)
            finally:
                client.close()
        raise self.ended()

    @property
    def alive(self) -> bool:
        """Whether it can be asked."""
        return self._process.poll() is None

    def client(self) -> Client:
        """A new connection."""
        return Client(self.port)

    def place(self, name: str) -> Path:
        """The folder of a model that is to be loaded."""
        return self._repository / name

    def processes(self) -> list[psutil.Process]:
        """The server, and those that its instances run in."""
        return psutil.Process(self._process.pid).children(recursive=True)

    def memory(self) -> int:
        """What its processes take now, in bytes; what they share counts once."""
        total = 0
        for process in self.processes():
            try:
                total += process.memory_full_info().pss
            except psutil.Error:
                continue  # it has ended
        return total

    def stop(self) -> None:
        """Ends the process, and leaves nothing of it."""
        atexit.unregister(self.stop)
        if self._process.stdin is not None:
            self._process.stdin.close()
        try:
            self._process.wait(STOP_SECONDS)
        except subprocess.TimeoutExpired:
            for process in (*self.processes(), self._process):
                process.kill()
            self._process.wait()
        shutil.rmtree(self._folder, ignore_errors=True)
        for region in SHARED_MEMORY.glob(f"{self._shared}*"):
            region.unlink(missing_ok=True)

    def ended(self) -> ExecutionError:
        """What to say of a server that does not answer; stops it."""
        code = self._process.poll()
        lines = (self._folder / "log").read_text(errors="replace").splitlines()
        failed = [line.strip() for line in lines if "failed to load '" in line and " version " in line]
        said = failed[:1] or [line.strip() for line in lines if line.strip()][-1:] or ["it printed nothing"]
        self.stop()
        how = f"ended with code {code}" if code is not None else "does not answer"
        return ExecutionError(f"Triton {how}: {said[0]}")


def _free_port() -> int:
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        return listener.getsockname()[1]
