"""A target whose packages are in an environment of its own: it emits and runs in a process there (``worker.py``)."""

import atexit
import subprocess
import tempfile
import threading
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from ...capture.program import Program
from ...capture.storage import save_program
from ...model.graph import Arrays, TensorSpec
from ...recipe.precision import Precision
from ...system.errors import ExecutionError
from ..base import Artifact, ArtifactFile, Availability, Finding, Runner, Target
from .frames import receive, send
from .install import PROGRAMS, python

WORKER = "instantstyle.targets.environments.worker"


def elsewhere(target: Target) -> Target:
    """The target, or where it lacks something here and has an environment of its own with this package, the one that works there."""
    interpreter = python(target.name)
    if interpreter is None or target.name in PROGRAMS:
        return target
    return target if target.availability() == target.at_best else RemoteTarget(target, interpreter)


class Worker:
    """A process that serves one target.

    Raises:
        ExecutionError: of every call: the process ended; with its last line. What a call raises there is raised here.
    """

    def __init__(self, name: str, options: Mapping[str, Any], interpreter: Path) -> None:
        self._name, self._interpreter = name, interpreter
        self._lock = threading.Lock()
        self._printed = tempfile.TemporaryFile()  # noqa: SIM115  (lives as long as the process)
        command = [str(interpreter), "-m", WORKER]
        self._process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=self._printed)
        atexit.register(self.stop)
        self.availability, self.baseline = self.ask("start", name, dict(options))

    @property
    def alive(self) -> bool:
        """Whether it can be asked."""
        return self._process.poll() is None

    def ask(self, question: str, *arguments: Any) -> Any:
        """What a function of ``worker.Served`` gives there."""
        questions, answers = self._process.stdin, self._process.stdout
        assert questions is not None and answers is not None
        with self._lock:
            try:
                send(questions, (question, arguments))
                succeeded, result = receive(answers)
            except (OSError, EOFError, ValueError) as error:
                raise self._ended() from error
        if not succeeded:
            raise result
        return result

    def stop(self) -> None:
        """Ends the process; a second call does nothing."""
        atexit.unregister(self.stop)
        if self.alive:
            self._process.kill()
        self._process.wait()

    def _ended(self) -> ExecutionError:
        self.stop()
        self._printed.seek(0)
        lines = [line.strip() for line in self._printed.read().decode(errors="replace").splitlines() if line.strip()]
        last = lines[-1] if lines else "it printed nothing"
        return ExecutionError(
            f"target '{self._name}': its process ({self._interpreter}) ended with code {self._process.returncode}: {last}; "
            f"instantstyle doctor --install {self._name} makes its environment again"
        )


class RemoteTarget(Target):
    """Stands for a target and asks a worker.

    Args:
        target: as it is here, without its packages.
        interpreter: Python of its environment.
        options: that it was configured with.
    """

    def __init__(self, target: Target, interpreter: Path, options: Mapping[str, Any] | None = None) -> None:
        self._target, self._interpreter, self._options = target, interpreter, dict(options or {})
        self._workers: dict[int, Worker] = {}
        self.name, self.precisions, self.float32_operators = target.name, target.precisions, target.float32_operators
        self.at_best = target.at_best
        self.description = f"{target.description}; in the environment {interpreter.parents[1]}"

    def availability(self) -> Availability:
        return self.at_best

    def configured(self, options: Mapping[str, Any]) -> Target:
        return RemoteTarget(self._target.configured(options), self._interpreter, options)

    @property
    def ships_fastest(self) -> bool:
        return self._target.ships_fastest

    def computes_half(self, precision: Precision) -> bool:
        return self._target.computes_half(precision)

    def shown(self, spec: TensorSpec, array: np.ndarray) -> np.ndarray:
        return self._target.shown(spec, array)

    def irreproducible(self, files: Sequence[ArtifactFile]) -> Mapping[str, str]:
        return self._target.irreproducible(files)

    def preflight(self, program: Program, precisions: Sequence[Precision]) -> tuple[Finding, ...]:
        return self._with_program(program, "preflight", list(precisions))

    def emit(self, program: Program, precision: Precision, folder: Path) -> Artifact:
        return self._with_program(program, "emit", precision, folder.resolve())

    def open(self, artifact: Artifact, folder: Path, graph: str, threads: int) -> Runner:
        return RemoteRunner(self._worker(threads), artifact, folder.resolve(), graph, threads)

    def _with_program(self, program: Program, question: str, *arguments: Any) -> Any:
        """Programs go through files: PyTorch's own, which do not depend on its version."""
        with tempfile.TemporaryDirectory(prefix="instantstyle-") as folder:
            save_program(program, Path(folder))
            empty: Any = {"float_program": None, "int8_program": None}
            told = replace(program, graphs=tuple(replace(graph, **empty) for graph in program.graphs))
            return self._worker(0).ask(question, told, Path(folder), *arguments)

    def _worker(self, threads: int) -> Worker:
        """One process for emitting, and one a number of threads: some runtimes have one pool of threads a process."""
        found = self._workers.get(threads)
        if found is None or not found.alive:
            found = self._workers[threads] = Worker(self.name, self._options, self._interpreter)
        return found


class RemoteRunner(Runner):
    """A runner in a worker; what it raises is what that one raises."""

    def __init__(self, worker: Worker, artifact: Artifact, folder: Path, graph: str, threads: int) -> None:
        super().__init__(artifact.graph(graph), artifact.size)
        self._worker, self._peak = worker, 0
        self._number, self.execution = worker.ask("open", artifact, folder, graph, threads)

    def memory_elsewhere(self) -> int:
        return max(0, self._peak - self._worker.baseline)

    def _execute(self, inputs: Arrays) -> dict[str, np.ndarray]:
        outputs, memory = self._worker.ask("run", self._number, dict(inputs))
        self._peak = max(self._peak, memory)
        return outputs

    def _free(self) -> None:
        if self._worker.alive:
            self._worker.ask("close", self._number)
