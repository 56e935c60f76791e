"""Runs stages: looks each up in the cache, makes what is missing, tells the display, counts."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

from ...system.device import device
from ...system.errors import InstantStyleError
from ...system.events import StageEnd
from ...system.hashing import digest
from ...system.progress import Display, ReportProgress
from ...system.versions import library_versions
from .dependencies import dependencies
from .fingerprint import product_sources
from .store import Entry, Store, Workspace

Make = Callable[[Workspace, ReportProgress], None]
# What speaks against taking a result, empty if nothing does.
Doubt = Callable[[Entry], str]


@dataclass
class Pipeline:
    """The cache, the display and how many stages were reused and done so far."""

    store: Store
    display: Display
    reused: int = 0
    done: int = 0
    remeasure: frozenset[str] = field(default_factory=frozenset)

    def run(self, stage: str, subject: str, inputs: Mapping[str, object], make: Make, doubt: Doubt = lambda entry: "") -> Entry:
        """The result of a stage: from the cache if its code, the libraries and ``inputs`` are what they were.

        Args:
            stage: names the folder in the cache.
            subject: what it works on, for the display.
            inputs: everything that the result depends on, JSON-able; digests for what is large.
            make: writes the result into the workspace.
            doubt: is asked about a result from the cache, which is made again if there is any, and about a new one.

        Raises:
            InstantStyleError: there is doubt about a new result.
        """
        key = digest({"stage": stage, **surroundings(stage), **inputs})
        if stage in self.remeasure:
            self.store.drop(stage, key)
        found = self.store.find(stage, key)
        why = doubt(found) if found is not None else ""
        if why:
            self.display.notice(f"cache: the result of {stage} {subject} is not taken ({why}); it will be made again")
            self.store.drop(stage, key)
        elif found is not None:
            self.reused += 1
            self.display.show(StageEnd(stage, subject, "reused", 0.0, key[:8]))
            return found
        with self.display.stage(stage, subject) as report:
            entry = self.store.build(stage, key, lambda workspace: make(workspace, report))
        why = doubt(entry)
        if why:
            self.store.drop(stage, key)
            raise InstantStyleError(f"{stage} {subject}: {why}; run the same command again")
        self.done += 1
        return entry

    def pass_over(self, stage: str, subject: str, why: str) -> None:
        """Shows that a stage has nothing to do."""
        self.display.show(StageEnd(stage, subject, why, 0.0))


def surroundings(stage: str) -> dict[str, object]:
    """What the result of a stage depends on besides its inputs: the versions of packages, its code, and the machine if it matters."""
    needed = dependencies(stage)
    return {
        "libraries": library_versions(needed.libraries),
        "code": product_sources(needed.sources),
        "device": device() if needed.on_device else None,
    }
