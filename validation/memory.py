"""Peak memory of an artifact, in a process of its own: ``python -m instantstyle.validation.memory`` is that process.

The process reads a pickled request from its standard input and answers in JSON. Pickle is safe here: both ends are this program.
"""

import importlib
import json
import os
import pickle
import subprocess
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path

import psutil

from ..model.errors import ExecutionError
from ..model.graph import Arrays
from ..targets.base import Artifact, Target

PROC_STATUS = Path("/proc/self/status")
TIMEOUT_SECONDS = 600


@dataclass(frozen=True)
class Request:
    """Open these graphs of an artifact one after another, keep them open and run each once.

    Attributes:
        inputs: by graph name.
    """

    target: Target
    artifact: Artifact
    folder: Path
    inputs: Mapping[str, Arrays]
    threads: int

    def execute(self) -> None:
        """Does it."""
        runners = [(self.target.open(self.artifact, self.folder, graph, self.threads), inputs) for graph, inputs in self.inputs.items()]
        for runner, inputs in runners:
            runner.run(inputs)
        for runner, _ in runners:
            runner.close()


def peak_over_baseline(request: Request) -> int:
    """Peak resident memory in bytes of a process that serves ``request``, less that of one that only imported the runtime.

    At least 0.

    Raises:
        ExecutionError: the process crashed; has the end of what it printed.
    """
    answer = _ask(request, request.artifact.name)
    return max(0, answer["peak_bytes"] - _baseline(type(request.target).__module__, tuple(answer["modules"])))


@cache
def _baseline(target_module: str, modules: tuple[str, ...]) -> int:
    """Resident memory after importing the target and the packages that it imported while it ran."""
    return _ask((target_module, *modules), "baseline")["resident_bytes"]


def _ask(question: Request | Sequence[str], name: str) -> dict:
    """The child's answer: peak_bytes, resident_bytes, modules."""
    path = os.pathsep.join(entry for entry in sys.path if entry)  # the child imports from where this process does
    command = [sys.executable, "-P", "-m", __name__]
    try:
        child = subprocess.run(
            command,
            input=pickle.dumps(question),
            capture_output=True,
            env={**os.environ, "PYTHONPATH": path},
            timeout=TIMEOUT_SECONDS,
            check=False,
        )
    except subprocess.TimeoutExpired as error:
        raise ExecutionError(f"{name}: the process that measures its memory took more than {TIMEOUT_SECONDS} s") from error
    if child.returncode != 0:
        printed = child.stderr.decode(errors="replace").strip()
        print(printed, file=sys.stderr)  # goes to the log
        last = (printed.splitlines() or ["no output"])[-1]
        raise ExecutionError(f"{name}: the process that measures its memory ended with code {child.returncode}: {last}")
    return json.loads(child.stdout)


def peak_bytes() -> int:
    """The highest resident memory of this process so far."""
    if PROC_STATUS.exists():
        # On Linux getrusage also counts what the parent had when it started this process.
        for line in PROC_STATUS.read_text().splitlines():
            if line.startswith("VmHWM:"):
                return int(line.split()[1]) * 1024
    if sys.platform == "win32":
        return psutil.Process().memory_info().peak_wset
    import resource

    return _rusage_bytes(resource.RUSAGE_SELF)


def pipeline_peak_bytes() -> int:
    """The highest resident memory of any one process so far: this one or a child that has ended."""
    if sys.platform == "win32":
        return peak_bytes()
    import resource

    return max(peak_bytes(), _rusage_bytes(resource.RUSAGE_CHILDREN))


def _rusage_bytes(who: int) -> int:
    import resource

    unit = 1 if sys.platform == "darwin" else 1024
    return resource.getrusage(who).ru_maxrss * unit


def _serve() -> None:
    """The child: what the runtime prints goes to standard error, the answer alone to standard output."""
    answer_to = os.fdopen(os.dup(1), "w")
    os.dup2(2, 1)
    question = pickle.load(sys.stdin.buffer)
    before = set(sys.modules)
    if isinstance(question, Request):
        question.execute()
    else:
        _import_all(question)
    new = sorted({name.partition(".")[0] for name in set(sys.modules) - before} - before)
    json.dump({"peak_bytes": peak_bytes(), "resident_bytes": psutil.Process().memory_info().rss, "modules": new}, answer_to)
    answer_to.close()


def _import_all(modules: Sequence[str]) -> None:
    for name in modules:
        try:
            importlib.import_module(name)
        except ImportError:  # a name that a package registered without being importable; the baseline is then lower, the result higher
            print(f"not importable: {name}", file=sys.stderr)


if __name__ == "__main__":
    # Unpickling has to find the class in the module that the parent knows, not in __main__.
    from instantstyle.validation.memory import _serve as serve

    serve()
