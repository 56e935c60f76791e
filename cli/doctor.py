"""``instantstyle doctor``: what is installed, what can be emitted and run here, and how to get the rest."""

import importlib.metadata
import platform
from dataclasses import asdict, dataclass
from pathlib import Path

import psutil

from ..system.disk import free_bytes
from ..system.host import core_count, cpu_name
from ..system.versions import library_versions


@dataclass(frozen=True)
class TargetHealth:
    """What a target can do on this machine."""

    name: str
    description: str
    precisions: tuple[str, ...]
    can_emit: bool
    can_run: bool
    reason: str
    remedy: str
    evaluator: str


@dataclass(frozen=True)
class Health:
    """This machine and this installation."""

    version: str
    libraries: dict[str, str]
    targets: tuple[TargetHealth, ...]
    system: str
    cpu: str
    cores: int
    memory_total_bytes: int
    memory_available_bytes: int
    disk_free_bytes: int


def examine() -> Health:
    """Looks at everything; nothing heavy is run."""
    memory = psutil.virtual_memory()
    return Health(
        version=importlib.metadata.version("instantstyle"),
        libraries=library_versions(),
        targets=_targets(),
        system=f"{platform.system()} {platform.release()} {platform.machine()}",
        cpu=cpu_name(),
        cores=core_count(),
        memory_total_bytes=memory.total,
        memory_available_bytes=memory.available,
        disk_free_bytes=free_bytes(Path.cwd()),
    )


def as_dict(health: Health) -> dict[str, object]:
    """For ``--json``."""
    return asdict(health)


def as_text(health: Health) -> str:
    """For people."""
    gib = 2**30
    lines = [
        f"instantstyle {health.version} on {health.system}",
        f"{health.cpu}, {health.cores} cores",
        f"free: {health.memory_available_bytes / gib:.1f} of {health.memory_total_bytes / gib:.1f} GiB memory, "
        f"{health.disk_free_bytes / gib:.1f} GiB disk",
        "",
        "Libraries",
        *(f"  {name:<14} {version}" for name, version in health.libraries.items()),
        "",
        "Targets              emit  run   precisions",
    ]
    for target in health.targets:
        abilities = f"{_mark(target.can_emit)}   {_mark(target.can_run)}   {', '.join(target.precisions)}"
        lines.append(f"  {target.name:<18} {abilities:<38} {target.description}")
        if target.reason:
            lines.append(f"      {target.reason}")
        if target.evaluator:
            lines.append(f"      in its place: {target.evaluator}")
        if target.remedy:
            lines.append(f"      to get it: {target.remedy}")
    return "\n".join(lines)


def _mark(ability: bool) -> str:
    return "yes" if ability else "no "


def _targets() -> tuple[TargetHealth, ...]:
    from ..targets.registry import targets

    rows = []
    for name, target in sorted(targets().items()):
        found = target.availability()
        precisions = tuple(str(precision) for precision in target.precisions)
        abilities = found.can_emit, found.can_run, found.reason, found.remedy, found.evaluator
        rows.append(TargetHealth(name, target.description, precisions, *abilities))
    return tuple(rows)
