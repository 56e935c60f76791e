"""An artifact that lies in a folder, with the target that opens it."""

from dataclasses import dataclass, replace
from pathlib import Path

from ...system.disk import OutputError, explained_disk_errors
from ...system.errors import ExecutionError, InstantStyleError, TargetUnavailableError
from ...system.foreign import foreign_errors
from ...targets.base import Artifact, Runner, Target


@dataclass(frozen=True)
class Built:
    """An artifact, the folder it lies in, and the target that opens it."""

    artifact: Artifact
    folder: Path
    target: Target

    def open(self, graph: str, threads: int) -> Runner:
        """A runner for one graph.

        Raises:
            TargetUnavailableError: it cannot run on this machine.
            ExecutionError: it cannot be opened, for whatever reason, or would run something else than was asked for.
        """
        where = f"{self.artifact.name}: graph '{graph}' cannot be opened"
        with foreign_errors(ExecutionError, where), explained_disk_errors(self.folder):
            try:
                return self.target.open(self.artifact, self.folder, graph, threads)
            except (ExecutionError, TargetUnavailableError, OutputError):
                raise
            except InstantStyleError as error:
                raise ExecutionError(f"{where}: {error}") from error

    def on(self, unit: str) -> "Built":
        """The same on one compute unit."""
        return replace(self, target=self.target.on(unit))
