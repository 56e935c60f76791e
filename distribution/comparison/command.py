"""``instantstyle diff``: prints what is new in Markdown; exit code 0 if nothing is."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from ...system.disk import atomic_write, check_output
from ...system.tables import markdown_table
from ...validation.integrity import verify
from ...validation.results.bundle_file import read_bundle
from ..verifying import verified_bundle
from .paintings import Painted, paintings
from .release import ReleaseDifference, Side, check_same_model, differences


@dataclass(frozen=True)
class DiffOptions:
    """The command line of ``instantstyle diff``. Without ``key``, bundles need no signature; ``pictures`` is a folder to write to."""

    old: Path
    new: Path
    key: Path | None = None
    pictures: Path | None = None


def diff(options: DiffOptions) -> int:
    """Prints the difference of two bundles; 1 if there is any.

    Raises:
        SignatureError, ArtifactError: one of them is not what was built, or they are of different models.
    """
    old, new = (_side(folder, options.key) for folder in (options.old, options.new))
    check_same_model(old, new)
    if options.pictures is not None:
        check_output(options.pictures, folder=True)
    found = differences(old, new)
    painted = list(paintings(old, new)) if not found.is_none else []
    for each in painted:
        if options.pictures is not None and each.picture:
            atomic_write(options.pictures / f"{each.artifact}.png", each.picture)
    print(markdown(old, new, found, painted))
    return 0 if found.is_none else 1


def _side(folder: Path, key: Path | None) -> Side:
    if key is not None:
        return Side(verified_bundle(folder, key), folder)
    bundle = read_bundle(folder)
    verify(bundle, folder)
    return Side(bundle, folder)


def markdown(old: Side, new: Side, found: ReleaseDifference, painted: Sequence[Painted]) -> str:
    """The whole report."""
    head = f"# {new.bundle.model.name}: {new.bundle.created:%Y-%m-%d} against {old.bundle.created:%Y-%m-%d}"
    if found.is_none:
        same = " Some files have other bytes of the same content." if found.files else ""
        return f"{head}\n\nNo difference.{same}"
    return "\n".join([head, "", *_sections(found, painted)]).rstrip()


def _sections(found: ReleaseDifference, painted: Sequence[Painted]) -> Iterator[str]:
    yield from _list("Worse", found.worse)
    yield from _list("Better or narrower", found.better)
    yield from _list("Artifacts", found.artifacts)
    if painted:
        yield from ("## Pictures, old against new", "")
        rows = ((each.artifact, *_scores(each)) for each in painted)
        yield from markdown_table(("Artifact", "lowest SSIM", "mean", "at"), rows)
    if found.files:
        yield from ("## Files", "")
        rows = ((each.path, _bytes(each.old_bytes), _bytes(each.new_bytes), _bytes(each.download_bytes)) for each in found.files)
        total = sum(each.download_bytes for each in found.files)
        yield from markdown_table(("File", "old bytes", "new bytes", "to download"), [*rows, ("all", "", "", _bytes(total))])
    yield from _list("Tensors", found.tensors)
    if found.ranges:
        yield from ("## Ranges", "", "```", found.ranges, "```", "")


def _scores(painted: Painted) -> tuple[str, str, str]:
    if painted.why_not:
        return "-", "-", painted.why_not
    values = list(painted.ssim.values())
    return f"{min(values):.4f}", f"{sum(values) / len(values):.4f}", painted.worst


def _list(title: str, sentences: Sequence[str]) -> Iterator[str]:
    if sentences:
        yield from (f"## {title}", "", *(f"- {sentence}" for sentence in sentences), "")


def _bytes(count: int) -> str:
    return f"{count:,}" if count else "-"
