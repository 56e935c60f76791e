"""A registry is a folder that any web server can serve: blobs that are named by their content, and a signed index for each model.

Blobs are written before the index that names them, every file under a temporary name first. So a reader sees the registry before
a change or after it, and a publication that is killed leaves at most blobs that nothing names yet.
"""

import os
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path

from ..system.disk import OutputError, atomic_write, check_output, explained_disk_errors
from ..system.hashing import file_sha256
from ..system.lock import Lock
from ..targets.artifact import describe_all
from ..targets.base import ArtifactFile
from ..validation.judge.gate import exit_code
from ..validation.results.bundle import Bundle
from .errors import RegistryError
from .index import FORMAT, VERSION, Index, Version, blob_path, check_name, index_path, open_index, seal_index
from .keys import private_key, public_pem
from .packages import packages
from .verifying import verified_bundle

LOCK = ".lock"
STABLE = "stable"


@dataclass(frozen=True)
class Published:
    """What a publication did.

    Attributes:
        model: its name in the registry.
        version: that was published.
        files: of the bundle.
        new_bytes: of the blobs that the registry did not have.
        changed: False if all of that was there already.
    """

    model: str
    version: str
    files: int
    new_bytes: int
    changed: bool


def publish(folder: Path, registry: Path, *, version: str, channel: str | None, private: Path, name: str | None = None) -> Published:
    """Adds a signed bundle to a registry, which is made if there is none.

    Args:
        channel: that names it from now on.
        name: of the model in the registry; by default the model's own.

    Raises:
        SignatureError: bundle or index is not signed with this key.
        RegistryError: the bundle did not pass, the version is there with other content, or a name is none.
        OutputError: the registry cannot be written; it is then as it was.
    """
    check_name(version, "version", VERSION)
    if channel is not None:
        check_name(channel, "channel")
    with _public_of(private) as public:
        bundle = verified_bundle(folder, public)
        _check_passed(bundle, folder)
        model = name or bundle.model.name.lower()
        check_name(model, "name of a model; choose one with --name")
        files = describe_all(folder)
        release = Version(version, bundle.created, files, packages(bundle, folder))
        with _changing(registry):
            index = _read(registry, model, public) or Index(FORMAT, model, 0, (), ())
            there = index.version(version)
            if there is not None and there.bundle != files:
                raise RegistryError(f"{registry}: has a {model} {version} of other content; a version never changes, take the next")
            new_bytes = sum(_store(registry, folder, file) for file in files)
            wanted = index if there else replace(index, versions=(*index.versions, release))
            wanted = wanted.with_channel(channel, version) if channel else wanted
            changed = _write(registry, index, wanted, private)
    return Published(model, version, len(files), new_bytes, changed)


def promote(registry: Path, model: str, version: str, channel: str, private: Path) -> bool:
    """Lets a channel name a version; False if it did already.

    Raises:
        RegistryError: there is no such version, or it was yanked.
    """
    check_name(channel, "channel")

    def change(index: Index) -> Index:
        found = _version(index, version, registry)
        if found.yanked:
            raise RegistryError(f"{registry}: {model} {version} was yanked ({found.yanked}), so no channel may name it")
        return index.with_channel(channel, version)

    return _change(registry, model, private, change)


def yank(registry: Path, model: str, version: str, reason: str, private: Path) -> bool:
    """Marks a version as one that must not be used, for everybody who pulls from now on; False if it was already, for that reason.

    Raises:
        RegistryError: there is no such version, or no reason.
    """
    if not reason.strip():
        raise RegistryError("--reason: whoever wanted the version has to be told why it is gone")

    def change(index: Index) -> Index:
        _version(index, version, registry)
        rows = (replace(each, yanked=reason) if each.version == version else each for each in index.versions)
        return replace(index, versions=tuple(rows))

    return _change(registry, model, private, change)


def _check_passed(bundle: Bundle, folder: Path) -> None:
    if exit_code(bundle) != 0:
        raise RegistryError(f"{folder}: did not pass its gate, so it is not published; `instantstyle validate {folder}` says what failed")


def _change(registry: Path, model: str, private: Path, change: Callable[[Index], Index]) -> bool:
    check_name(model, "name of a model")
    with _public_of(private) as public, _changing(registry):
        index = _read(registry, model, public)
        if index is None:
            raise RegistryError(f"{registry}: has no model '{model}'{_others(registry)}")
        return _write(registry, index, change(index), private)


def _others(registry: Path) -> str:
    found = sorted(path.parent.name for path in registry.glob("*/index.json"))
    return f"; it has {', '.join(found)}" if found else ""


def _version(index: Index, version: str, registry: Path) -> Version:
    found = index.version(version)
    if found is None:
        known = ", ".join(each.version for each in index.versions) or "none"
        raise RegistryError(f"{registry}: {index.model} has no version {version}; it has {known}")
    return found


def _read(registry: Path, model: str, public: Path) -> Index | None:
    path = registry / index_path(model)
    if not path.exists():
        return None
    return open_index(path.read_bytes(), public, model, str(path))


def _write(registry: Path, before: Index, wanted: Index, private: Path) -> bool:
    """Writes an index that says something else than before."""
    if wanted == before:
        return False
    sealed = seal_index(replace(wanted, serial=before.serial + 1), private)
    atomic_write(registry / index_path(wanted.model), sealed)
    return True


def _store(registry: Path, folder: Path, file: ArtifactFile) -> int:
    """Puts a file's content among the blobs; how many bytes that took, none if it was there."""
    blob = registry / blob_path(file.sha256)
    if blob.is_file() and blob.stat().st_size == file.size_bytes and file_sha256(blob) == file.sha256:
        return 0
    content = (folder / file.path).read_bytes()
    atomic_write(blob, content)
    if file_sha256(blob) != file.sha256:
        blob.unlink()
        raise RegistryError(f"{folder / file.path}: was changed while it was published; build and sign the bundle again")
    return file.size_bytes


@contextmanager
def _changing(registry: Path) -> Iterator[None]:
    """One publication at a time; what a killed one left half-written is removed."""
    check_output(registry, folder=True)
    with explained_disk_errors(registry):
        registry.mkdir(parents=True, exist_ok=True)
        lock = Lock(registry / LOCK)
        if not lock.acquire():
            raise OutputError(f"{registry}: another publication is at work ({lock.owner()}); try again when it is done")
        try:
            for leftover in (*registry.glob("blobs/sha256/*/.*.tmp"), *registry.glob("*/.index.json.*.tmp")):
                leftover.unlink()
            yield
        finally:
            lock.release()


@contextmanager
def _public_of(private: Path) -> Iterator[Path]:
    """The public key of a private one, as a file."""
    content = public_pem(private_key(private).public_key())
    with tempfile.TemporaryDirectory(prefix="instantstyle-key-") as scratch:
        path = Path(scratch, os.path.basename(private) + ".pub")
        path.write_bytes(content)
        yield path
