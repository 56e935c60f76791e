"""Runs stages: looks each up in the cache, makes what is missing, tells the display, counts."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

from .events import StageEnd
from .fingerprint import LIBRARIES, TARGET_LIBRARIES, digest, library_versions, product_sources
from .progress import Display, Report
from .store import Entry, Store, Workspace

# Files of the export package that show, store or arrange things and cannot change a stage's result.
ARRANGING = frozenset(
    (
        "bundling.py",
        "cli.py",
        "defect.py",
        "disk.py",
        "doctor.py",
        "events.py",
        "lock.py",
        "logs.py",
        "measure.py",
        "pipeline.py",
        "progress.py",
        "recipe.py",
    )
    + ("recipe_errors.py", "release.py", "settings.py", "store.py", "summary.py", "swap.py")
)
# Likewise in the validation package: what judges and shows measurements, but does not make them.
JUDGING = frozenset(
    ("bundle.py", "checks.py", "choice.py", "comparison.py", "entries.py", "gate.py", "junit.py", "limits.py", "rejudge.py")
    + ("report.py", "rows.py")
)  # fmt: skip
# And what shows pruning.
SHOWING = frozenset({"report.py"})
# Stages whose results depend on the targets' code and packages.
OF_TARGETS = ("preflight", "emit", "validate")

Make = Callable[[Workspace, Report], None]


@dataclass
class Pipeline:
    """The cache, the display and how many stages were reused and done so far."""

    store: Store
    display: Display
    reused: int = 0
    done: int = 0
    remeasure: frozenset[str] = field(default_factory=frozenset)

    def run(self, stage: str, subject: str, inputs: Mapping[str, object], make: Make) -> Entry:
        """The result of a stage: from the cache if its code, the libraries and ``inputs`` are what they were.

        Args:
            stage: names the folder in the cache.
            subject: what it works on, for the display.
            inputs: everything that the result depends on, JSON-able; digests for what is large.
            make: writes the result into the workspace.
        """
        key = digest({"stage": stage, "libraries": library_versions(self._libraries(stage)), "code": self._code(stage), **inputs})
        if stage in self.remeasure:
            self.store.drop(stage, key)
        found = self.store.find(stage, key)
        if found is not None:
            self.reused += 1
            self.display.show(StageEnd(stage, subject, "reused", 0.0, key[:8]))
            return found
        with self.display.stage(stage, subject) as report:
            entry = self.store.build(stage, key, lambda workspace: make(workspace, report))
        self.done += 1
        return entry

    def pass_over(self, stage: str, subject: str, why: str) -> None:
        """Shows that a stage has nothing to do."""
        self.display.show(StageEnd(stage, subject, why, 0.0))

    @staticmethod
    def _libraries(stage: str) -> tuple[str, ...]:
        return LIBRARIES + TARGET_LIBRARIES if stage in OF_TARGETS else LIBRARIES

    @staticmethod
    def _code(stage: str) -> list[str]:
        code = [product_sources(folder) for folder in ("model", "calibration")]
        code += [product_sources("export", ARRANGING), product_sources("pruning", SHOWING)]
        if stage == "sensitivity":
            code.append(product_sources("search"))
        if stage in OF_TARGETS:
            code.append(product_sources("targets"))
        if stage == "validate":
            code.append(product_sources("validation", JUDGING))
        return code
