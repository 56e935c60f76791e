"""The process in a target's environment: asked over its standard input, it answers over its standard output.

A question is the name of a function here and its arguments; an answer is whether it succeeded, and the result or the exception.
"""

import os
import pickle
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import psutil
from torch import nn

from ...capture.program import Program
from ...capture.storage import load_program
from ...model.graph import Graph, Model
from ...recipe.precision import Precision
from ...system.errors import ExecutionError, InstantStyleError, TargetUnavailableError
from ..base import Artifact, Availability, Execution, Runner, Target
from ..registry import own_targets
from .frames import receive, send


class Served:
    """One target and its open runners, by number."""

    target: Target

    def __init__(self) -> None:
        self.runners: dict[int, Runner] = {}

    def start(self, name: str, options: dict[str, Any]) -> tuple[Availability, int]:
        """What it can do there, and the resident memory in bytes before anything is opened."""
        found = own_targets()
        if name not in found:
            raise TargetUnavailableError(f"target '{name}' is not in the environment of {sys.executable}; install its package there")
        target = found[name]
        self.target = target.configured(options) if options else target
        return self.target.availability(), psutil.Process().memory_info().rss

    def emit(self, program: Program, folder: Path, precision: Precision, into: Path) -> Artifact:
        """As ``Target.emit``, of a program whose captured programs are in a folder."""
        return self.target.emit(with_programs(program, folder), precision, into)

    def preflight(self, program: Program, folder: Path, precisions: list[Precision]) -> tuple[Any, ...]:
        """As ``Target.preflight``, likewise."""
        return self.target.preflight(with_programs(program, folder), precisions)

    def open(self, artifact: Artifact, folder: Path, graph: str, threads: int) -> tuple[int, Execution]:
        """The number of a new runner, and what it runs."""
        runner = self.target.open(artifact, folder, graph, threads)
        number = max(self.runners, default=0) + 1
        self.runners[number] = runner
        return number, runner.execution

    def run(self, number: int, inputs: dict[str, np.ndarray]) -> tuple[dict[str, np.ndarray], int]:
        """Outputs, and the resident memory in bytes after them."""
        return self.runners[number].run(inputs), psutil.Process().memory_info().rss

    def close(self, number: int) -> None:
        """Frees a runner."""
        self.runners.pop(number).close()


def main() -> None:
    """Until nobody asks any more."""
    # What libraries print goes to standard error; answers alone to standard output.
    answers = os.fdopen(os.dup(1), "wb")
    os.dup2(2, 1)
    served = Served()
    while True:
        try:
            name, arguments = receive(sys.stdin.buffer)
        except EOFError:
            return
        try:
            result = True, getattr(served, name)(*arguments)
        except Exception as error:  # told to whoever asked
            result = False, _portable(error)
        send(answers, result)


def with_programs(program: Program, folder: Path) -> Program:
    """A program that came without its captured programs, with those that ``save_program`` wrote."""
    graphs = tuple(Graph(graph.name, nn.Identity(), graph.inputs, graph.outputs) for graph in program.graphs)
    read = load_program(folder, Model(program.model, graphs, lambda runs, sample: sample["none"], (), graphs[0].name))
    return replace(read, provenance=program.provenance)


def _portable(error: Exception) -> Exception:
    """The exception, if the other end can read it, or what it says."""
    if isinstance(error, (InstantStyleError, ValueError)):
        try:
            pickle.loads(pickle.dumps(error))
            return error
        except Exception:  # its class wants other arguments than its text
            return InstantStyleError(str(error))
    return ExecutionError(f"{type(error).__name__}: {error}")


if __name__ == "__main__":
    main()
