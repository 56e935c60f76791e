"""``instantstyle pull``: what one target needs of a release, verified before it replaces what was there."""

import shutil
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from ..system.disk import check_writable, existing_parent, explained_disk_errors
from ..system.hashing import file_sha256
from ..system.lock import lock_output
from ..targets.base import ArtifactFile
from .download import download_blob, download_index
from .errors import DownloadError, RegistryError, SignatureError
from .index import Index, Package, PackageFile, Version, check_name, open_index
from .install import Receipt, install, intact, read_receipt, restore, write_receipt
from .keys import key_id, public_key
from .layout import Blob, index_path
from .transport.base import Reader
from .transport.places import reader

PATIENCE_S = 30.0
STABLE = "stable"
Progress = Callable[[int, int], object]  # bytes that are there, and all


@dataclass(frozen=True)
class PullOptions:
    """The command line of ``instantstyle pull``.

    Attributes:
        release: ``MODEL``, ``MODEL@VERSION`` or ``MODEL@CHANNEL``; without either, the channel stable.
        target: a target, or an artifact where the release has several of one.
        source: address (``http``, ``https`` or ``oci``) or folder of the registry.
        folder: that is made, or replaced as a whole.
        golden: whether golden pairs come, too.
        timeout_s: how long a server may be silent.
    """

    release: str
    target: str
    source: str
    folder: Path
    key: Path
    golden: bool = False
    timeout_s: float = PATIENCE_S


@dataclass(frozen=True)
class Pulled:
    """What lies in the folder now.

    Attributes:
        release: the version.
        carried_bytes: what an app carries: without code, golden pairs and receipt.
        downloaded_bytes: what had to come for it.
    """

    model: str
    release: str
    artifact: str
    files: int
    carried_bytes: int
    downloaded_bytes: int
    changed: bool


def pull(options: PullOptions, progress: Progress = lambda done, total: None) -> Pulled:
    """Makes the folder what the release is for the target. Whatever fails, the folder stays as it was.

    Raises:
        SignatureError: the registry's index is not the owner's, or is older than the one that the folder was pulled with.
        RegistryError: it has no such model, version, channel or target, or the version was yanked.
        DownloadError: something did not arrive, or arrived with another content.
        OutputError: the folder cannot be written, or holds something else.
    """
    key = key_id(public_key(options.key))
    folder = options.folder.absolute()
    check_writable(existing_parent(folder.parent), folder, "choose another folder with --to")
    source = reader(options.source, options.timeout_s)
    try:
        with explained_disk_errors(folder):
            folder.parent.mkdir(parents=True, exist_ok=True)
            lock = lock_output(folder)
            try:
                restore(folder)
                return _pull(options, folder, key, source, progress)
            finally:
                lock.release()
    finally:
        source.close()


def _pull(options: PullOptions, folder: Path, key: str, source: Reader, progress: Progress) -> Pulled:
    before = read_receipt(folder)
    index = fetch_index(source, options.release.partition("@")[0], options.key)
    _check_not_older(index, before, key, source)
    version = choose_version(index, options.release.partition("@")[2], source.where)
    package = choose_package(version, options.target, index.model, source.where)
    files = [file for file in package.files if options.golden or file.part != "golden"]
    there = intact(before, folder) if before else {}
    receipt = Receipt(index.model, version.version, package.artifact, key, index.serial, tuple(map(_as_listed, files)))
    carried = sum(file.size_bytes for file in files if file.part in ("model", "app"))

    def pulled(downloaded: int, changed: bool) -> Pulled:
        return Pulled(index.model, version.version, package.artifact, len(files), carried, downloaded, changed)

    staging = folder.with_name(f".{folder.name}.pull")
    if before is not None and before.files == receipt.files and len(there) == len({file.sha256 for file in files}):
        write_receipt(receipt, folder)
        if staging.exists():  # of a pull that was killed when the folder was complete
            shutil.rmtree(staging)
        return pulled(0, before.version != receipt.version)
    staging.mkdir(exist_ok=True)
    downloaded = _fetch(source, files, there, staging, progress)
    new = staging / "new"
    _arrange(files, there, staging, new)
    write_receipt(receipt, new)
    install(new, folder)
    shutil.rmtree(staging)
    return pulled(downloaded, changed=True)


def fetch_index(source: Reader, model: str, key: Path) -> Index:
    """The signed index of a model. Raises as ``pull``."""
    check_name(model, "name of a model")
    return open_index(download_index(source, model), key, model, f"{source.where}/{index_path(model)}")


def choose_version(index: Index, wanted: str, where: str) -> Version:
    """The version of that name, or the one that the channel of that name names; by default, the channel stable."""
    name = index.channel(wanted or STABLE)
    if name is None and not wanted:
        raise RegistryError(f"{where}: {index.model} has no channel '{STABLE}'; name one of {_known(index)} after an @")
    if name is None:
        name = wanted
    version = index.version(name)
    if version is None:
        raise RegistryError(f"{where}: {index.model} has no version or channel '{wanted}'; it has {_known(index)}")
    if version.yanked:
        through = f"channel '{wanted or STABLE}' names {name}, which" if name != wanted else f"version {name}"
        raise RegistryError(f"{where}: {index.model}: {through} was yanked: {version.yanked}. Pull another one: {_known(index)}")
    return version


def choose_package(version: Version, target: str, model: str, where: str) -> Package:
    """What a target, or an artifact, needs of a version."""
    found = [package for package in version.packages if target in (package.target, package.artifact)]
    if len(found) == 1:
        return found[0]
    known = ", ".join(package.artifact for package in version.packages) or "none"
    if not found:
        raise RegistryError(f"{where}: {model} {version.version} has nothing that passed for '{target}'; it has {known}")
    raise RegistryError(f"{where}: {model} {version.version} has several of '{target}'; name one of {known} with --target")


def _known(index: Index) -> str:
    names = [channel.name for channel in index.channels]
    return ", ".join([*names, *(version.version for version in index.versions if not version.yanked)]) or "nothing"


def _check_not_older(index: Index, before: Receipt | None, key: str, source: Reader) -> None:
    if before is None or (before.model, before.key) != (index.model, key) or before.serial <= index.serial:
        return
    raise SignatureError(
        f"{source.where}: serves the index of {index.model} in state {index.serial}, and the folder was pulled in state {before.serial}: "
        "an old copy, from a cache or from somebody who wants you to stay behind"
    )


def _fetch(source: Reader, files: Sequence[PackageFile], there: dict[str, Path], staging: Path, progress: Progress) -> int:
    """Downloads what is not there; how many bytes that took."""
    blobs = {file.sha256: Blob(file.sha256, file.size_bytes) for file in files}
    missing = [blob for blob in blobs.values() if blob.sha256 not in there]
    kept = sum(min((staging / blob.sha256).stat().st_size, blob.size_bytes) for blob in missing if (staging / blob.sha256).is_file())
    total = sum(blob.size_bytes for blob in blobs.values())
    done = total - sum(blob.size_bytes for blob in missing) + kept
    came = 0

    def report(count: int) -> None:
        nonlocal done, came
        done += count
        came += max(count, 0)
        progress(done, total)

    progress(done, total)
    for blob in missing:
        download_blob(source, blob, staging / blob.sha256, report)
    return came


def _arrange(files: Sequence[PackageFile], there: dict[str, Path], staging: Path, new: Path) -> None:
    """Copies everything to its path, and checks it again where it lies."""
    if new.exists():
        shutil.rmtree(new)
    for file in files:
        path = new / file.path
        path.parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(there.get(file.sha256, staging / file.sha256), path)
        if path.stat().st_size != file.size_bytes or file_sha256(path) != file.sha256:
            raise DownloadError(f"{path}: was changed while it was put into place; pull again")


def _as_listed(file: PackageFile) -> ArtifactFile:
    return ArtifactFile(file.path, file.size_bytes, file.sha256)
