"""An artifact that lies in a folder, with the target that opens it."""

from dataclasses import dataclass, replace
from pathlib import Path

from ..targets.base import Artifact, Runner, Target


@dataclass(frozen=True)
class Built:
    """An artifact, the folder it lies in, and the target that opens it."""

    artifact: Artifact
    folder: Path
    target: Target

    def open(self, graph: str, threads: int) -> Runner:
        """A runner for one graph."""
        return self.target.open(self.artifact, self.folder, graph, threads)

    def on(self, unit: str) -> "Built":
        """The same on one compute unit."""
        return replace(self, target=self.target.on(unit))
