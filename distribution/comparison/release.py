"""What differs between two bundles: files and what a download of them costs, tensors, ranges, promises, and what they paint."""

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from ...calibration.diff import describe, diff_tables
from ...calibration.table import CalibrationTable
from ...recipe.limits import Limits
from ...system.errors import ArtifactError
from ...validation.results.bundle import TABLE, Bundle, BundleArtifact
from .tensors import SUFFIXES, read_content

# Some tens of names say enough about a change of everything.
MOST_TENSORS = 20


@dataclass(frozen=True)
class Side:
    """A bundle and where it lies."""

    bundle: Bundle
    folder: Path

    def artifact(self, name: str) -> BundleArtifact | None:
        """The artifact of that name that has files."""
        return next((each for each in self.bundle.artifacts if each.name == name and each.folder), None)


@dataclass(frozen=True)
class FileChange:
    """A file of an artifact; bytes are 0 where it is not. ``same_content`` where only the order of what it holds differs."""

    path: str
    old_bytes: int
    new_bytes: int
    download_bytes: int
    same_content: bool


@dataclass(frozen=True)
class ReleaseDifference:
    """Attributes:
    artifacts: that are in one bundle alone, as sentences.
    files: of artifacts, that have other bytes.
    tensors: that changed, as sentences.
    ranges: what the calibration tables disagree about, as text.
    worse: promises that got worse, as sentences.
    better: that got better.
    """

    artifacts: tuple[str, ...]
    files: tuple[FileChange, ...]
    tensors: tuple[str, ...]
    ranges: str
    worse: tuple[str, ...]
    better: tuple[str, ...]

    @property
    def is_none(self) -> bool:
        """Whether both do the same: other bytes of the same content are no difference."""
        changed = [file for file in self.files if not file.same_content]
        return not (changed or self.artifacts or self.tensors or self.ranges or self.worse or self.better)


def differences(old: Side, new: Side) -> ReleaseDifference:
    """Of two verified bundles; nothing is run."""
    before, after = ({each.name for each in side.bundle.artifacts if each.folder} for side in (old, new))
    alone = [f"{name} is gone" for name in sorted(before - after)] + [f"{name} is new" for name in sorted(after - before)]
    files, tensors, worse, better = [], [], [], []
    for name in sorted(before & after):
        pair = old.artifact(name), new.artifact(name)
        if pair[0] is None or pair[1] is None:
            continue
        for change, sentences in _files(old.folder, new.folder, pair[0], pair[1]):
            files.append(change)
            tensors += sentences
        for is_worse, sentence in _promises(pair[0], pair[1]):
            (worse if is_worse else better).append(sentence)
    return ReleaseDifference(tuple(alone), tuple(files), tuple(tensors), _ranges(old.folder, new.folder), tuple(worse), tuple(better))


def _files(old: Path, new: Path, before: BundleArtifact, after: BundleArtifact) -> Iterator[tuple[FileChange, list[str]]]:
    was, now = ({file.path: file for file in artifact.files} for artifact in (before, after))
    for path in sorted(was.keys() | now.keys()):
        first, second = was.get(path), now.get(path)
        if first is not None and second is not None and first.sha256 == second.sha256:
            continue
        place = f"{after.folder}/{path}"
        sizes = (first.size_bytes if first else 0, second.size_bytes if second else 0)
        sentences: list[str] = []
        same = False
        if first is not None and second is not None and path.endswith(SUFFIXES):
            sentences = list(_tensors(old / before.folder / path, new / after.folder / path, place))
            same = not sentences
        yield FileChange(place, *sizes, sizes[1], same), sentences


def _tensors(old: Path, new: Path, place: str) -> Iterator[str]:
    before, after = read_content(old), read_content(new)
    changed = [name for name in after.tensors if name in before.tensors and not _equal(before.tensors[name], after.tensors[name])]
    for name in changed[:MOST_TENSORS]:
        yield f"{place}: {name}: {_change(before.tensors[name], after.tensors[name])}"
    if len(changed) > MOST_TENSORS:
        yield f"{place}: and {len(changed) - MOST_TENSORS} more tensors"
    for what, names in (("gone", before.tensors.keys() - after.tensors.keys()), ("new", after.tensors.keys() - before.tensors.keys())):
        if names:
            yield f"{place}: {what}: {', '.join(sorted(names)[:MOST_TENSORS])}{' …' if len(names) > MOST_TENSORS else ''}"
    if before.structure != after.structure:
        count = len(set(before.structure) ^ set(after.structure))
        yield f"{place}: nodes, attributes, inputs or outputs differ in {count} places"


def _equal(one: np.ndarray, other: np.ndarray) -> bool:
    return one.dtype == other.dtype and one.shape == other.shape and one.tobytes() == other.tobytes()


def _change(one: np.ndarray, other: np.ndarray) -> str:
    if one.dtype != other.dtype or one.shape != other.shape:
        return f"{one.dtype} {list(one.shape)} became {other.dtype} {list(other.shape)}"
    if not np.issubdtype(one.dtype, np.number):
        return "other values"
    apart = np.abs(one.astype(np.float64) - other.astype(np.float64))
    return f"{int(np.count_nonzero(one != other)):,} of {one.size:,} values, by {float(apart.max()) if apart.size else 0.0:g} at most"


def _ranges(old: Path, new: Path) -> str:
    tables = [folder / TABLE for folder in (old, new)]
    if not all(path.is_file() for path in tables):
        there = [path.is_file() for path in tables]
        return "" if there[0] == there[1] else "one of the bundles has no calibration table"
    difference = diff_tables(*map(CalibrationTable.load, tables), tolerance=0.0)
    return "" if difference.identical else describe(difference)


def _promises(old: BundleArtifact, new: BundleArtifact) -> Iterator[tuple[bool, str]]:
    """Limits, what an app carries and which system it needs, as whether it got worse, and a sentence."""
    for name in Limits.model_fields:
        before, after = getattr(old.limits, name), getattr(new.limits, name)
        if before != after:
            yield _looser(name, before, after), f"{new.name}: limit {name}: {_value(before)} became {_value(after)}"
    if old.shipped_bytes != new.shipped_bytes:
        text = f"{new.name}: an app carries {new.shipped_bytes:,} bytes, {new.shipped_bytes - old.shipped_bytes:+,}"
        yield new.shipped_bytes > old.shipped_bytes, text
    if old.status != new.status:
        yield new.status != "passed", f"{new.name}: {old.status} became {new.status}"
    for note in new.notes:
        if note not in old.notes:
            yield True, f"{new.name}: new: {note}"
    for note in old.notes:
        if note not in new.notes:
            yield False, f"{new.name}: no longer: {note}"


def _looser(name: str, before: float | None, after: float | None) -> bool:
    if before is None or after is None:
        return after is None
    return after < before if name.startswith("min_") else after > before


def _value(limit: float | None) -> str:
    return "none" if limit is None else f"{limit:g}"


def check_same_model(old: Side, new: Side) -> None:
    """ArtifactError if they are releases of different models."""
    names = old.bundle.model.name, new.bundle.model.name
    if names[0] != names[1]:
        raise ArtifactError(f"{new.folder}: is of '{names[1]}', {old.folder} of '{names[0]}'; compare releases of one model")
