"""Peak memory of an artifact, in a process of its own."""

import importlib
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cache, partial
from pathlib import Path

import psutil

from ...model.graph import Arrays
from ...system.child import ask
from ...targets.base import Artifact, Target

PROC_STATUS = Path("/proc/self/status")
PURPOSE = "measures its memory"


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

    def execute(self) -> int:
        """Does it; gives the most that another process took for it, in bytes."""
        runners = [(self.target.open(self.artifact, self.folder, graph, self.threads), inputs) for graph, inputs in self.inputs.items()]
        for runner, inputs in runners:
            runner.run(inputs)
        elsewhere = max((runner.memory_elsewhere() for runner, _ in runners), default=0)
        for runner, _ in runners:
            runner.close()
        return elsewhere


def peak_over_baseline(request: Request) -> int:
    """Peak resident memory in bytes of a process that serves ``request``, less that of one that only imported the runtime.

    At least 0.

    Raises:
        ExecutionError: the process crashed; has the end of what it printed.
    """
    taken = ask(partial(_serve, request), request.artifact.name, PURPOSE)
    return max(0, taken.peak_bytes - _baseline(type(request.target).__module__, taken.modules))


@cache
def _baseline(target_module: str, modules: tuple[str, ...]) -> int:
    """Resident memory after importing the target and the packages that it imported while it ran."""
    return ask(partial(_import_all, (target_module, *modules)), "baseline", PURPOSE)


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


@dataclass(frozen=True)
class _Taken:
    """What serving a request took in its process, and the top-level modules that it imported on the way."""

    peak_bytes: int
    modules: tuple[str, ...]


def _serve(request: Request) -> _Taken:
    before = set(sys.modules)
    elsewhere = request.execute()
    new = {name.partition(".")[0] for name in set(sys.modules) - before} - before
    return _Taken(peak_bytes() + elsewhere, tuple(sorted(new)))


def _import_all(modules: Sequence[str]) -> int:
    """Resident memory in bytes of a process that imported these."""
    for name in modules:
        try:
            importlib.import_module(name)
        except ImportError:  # a name that a package registered without being importable; the baseline is then lower, the result higher
            print(f"not importable: {name}", file=sys.stderr)
    return psutil.Process().memory_info().rss
