"""A registry: blobs that are named by their content, and a signed index for each model. ``publish``, ``promote`` and ``yank`` change it.

Blobs are written before the index that names them, so a reader sees the registry before a change or after it. A change is a function of
the index: it is read, changed and written until what is read already says so. Where two publications meet, both are in it in the end.
"""

import os
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from functools import reduce
from pathlib import Path

from ..targets.artifact import describe_all
from ..validation.judge.gate import exit_code
from ..validation.results.bundle import Bundle
from .errors import RegistryError
from .index import FORMAT, VERSION, Index, Version, check_name, merged, open_index, seal_index
from .keys import private_key, public_pem
from .layout import Blob, index_path
from .packages import packages
from .patience import pause
from .transport.base import Found, Store
from .transport.places import store
from .verifying import verified_bundle

ROUNDS = 8  # of reading and writing; more than a few say that something is wrong


@dataclass(frozen=True)
class Place:
    """A registry that is changed.

    Attributes:
        address: of a server, or a folder.
        private: key that signs.
        timeout_s: how long a server may be silent.
        is_alone: nobody else changes it meanwhile.
    """

    address: str
    private: Path
    timeout_s: float = 30.0
    is_alone: bool = False


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


def publish(folder: Path, place: Place, *, version: str, channel: str | None, name: str | None = None) -> Published:
    """Adds a signed bundle to a registry; one in a folder is made if there is none.

    Args:
        channel: that names it from now on.
        name: of the model in the registry; by default the model's own.

    Raises:
        SignatureError: bundle or index is not signed with this key.
        RegistryError: the bundle did not pass, the version is there with other content, or a name is none.
        OutputError, DownloadError: the registry cannot be written; what it says is then as it was.
    """
    check_name(version, "version", VERSION)
    if channel is not None:
        check_name(channel, "channel")
    with _public_of(place.private) as public:
        bundle = verified_bundle(folder, public)
        _check_passed(bundle, folder)
        model = name or bundle.model.name.lower()
        check_name(model, "name of a model; choose one with --name")
        files = describe_all(folder)
        release = Version(version, bundle.created, files, packages(bundle, folder))

        def change(index: Index) -> Index:
            there = index.version(version)
            if there is not None and there.bundle != files:
                raise RegistryError(f"{place.address}: has a {model} {version} of other content; a version never changes, take the next")
            wanted = index if there else replace(index, versions=(*index.versions, release))
            return wanted.with_channel(channel, version) if channel else wanted

        with _opened(place) as registry:
            change(_read(registry, model, public)[0])  # refused before anything is sent
            new_bytes = sum(registry.put(folder / file.path, Blob(file.sha256, file.size_bytes)) for file in files)
            registry.keep(model, version, files)
            changed = _change(registry, model, (place.private, public), change)
    return Published(model, version, len(files), new_bytes, changed)


def promote(place: Place, model: str, version: str, channel: str) -> bool:
    """Lets a channel name a version; False if it did already.

    Raises:
        RegistryError: there is no such version, or it was yanked.
    """
    check_name(channel, "channel")

    def change(index: Index) -> Index:
        found = _version(index, version, place.address)
        if found.yanked:
            raise RegistryError(f"{place.address}: {model} {version} was yanked ({found.yanked}), so no channel may name it")
        return index.with_channel(channel, version)

    return _change_existing(place, model, change)


def yank(place: Place, model: str, version: str, reason: str) -> bool:
    """Marks a version as one that must not be used, for everybody who pulls from now on; False if it was already, for that reason.

    Raises:
        RegistryError: there is no such version, or no reason.
    """
    if not reason.strip():
        raise RegistryError("--reason: whoever wanted the version has to be told why it is gone")

    def change(index: Index) -> Index:
        _version(index, version, place.address)
        rows = (replace(each, yanked=reason) if each.version == version else each for each in index.versions)
        return replace(index, versions=tuple(rows))

    return _change_existing(place, model, change)


def _check_passed(bundle: Bundle, folder: Path) -> None:
    if exit_code(bundle) != 0:
        raise RegistryError(f"{folder}: did not pass its gate, so it is not published; `instantstyle validate {folder}` says what failed")


def _change_existing(place: Place, model: str, change: Callable[[Index], Index]) -> bool:
    check_name(model, "name of a model")
    with _public_of(place.private) as public, _opened(place) as registry:
        if registry.find(model) is None:
            others = registry.models()
            known = f"; it has {', '.join(others)}" if others else ""
            raise RegistryError(f"{place.address}: has no model '{model}'{known}")
        return _change(registry, model, (place.private, public), change)


def _version(index: Index, version: str, where: str) -> Version:
    found = index.version(version)
    if found is None:
        known = ", ".join(each.version for each in index.versions) or "none"
        raise RegistryError(f"{where}: {index.model} has no version {version}; it has {known}")
    return found


@contextmanager
def _opened(place: Place) -> Iterator[Store]:
    registry = store(place.address, place.timeout_s, is_alone=place.is_alone)
    try:
        with registry.changing():
            yield registry
    finally:
        registry.close()


def _read(registry: Store, model: str, public: Path) -> tuple[Index, Found | None]:
    """The index of a model, an empty one if there is none, and what it was read from."""
    found = registry.find(model)
    if found is None:
        return Index(FORMAT, model, 0, (), ()), None
    where = f"{registry.where}/{index_path(model)}"
    return reduce(merged, (open_index(content, public, model, where) for content in found.contents)), found


def _change(registry: Store, model: str, keys: tuple[Path, Path], change: Callable[[Index], Index]) -> bool:
    """Makes the index say what ``change`` makes of it; False if it did already."""
    private, public = keys
    for round_number in range(1, ROUNDS + 1):
        index, found = _read(registry, model, public)
        wanted = change(index)
        if wanted == index and (found is None or len(found.contents) == 1):
            return round_number > 1
        if round_number > 2:  # the second only reads what the first wrote, unless somebody was faster
            pause(round_number - 2)
        serial = index.serial + 1
        registry.replace(model, seal_index(replace(wanted, serial=serial), private), serial, found)
    raise RegistryError(
        f"{registry.where}: the index of {model} does not become what it should in {ROUNDS} attempts: others change it all the time, "
        "or the server forgets what it is sent; try again later"
    )


@contextmanager
def _public_of(private: Path) -> Iterator[Path]:
    """The public key of a private one, as a file."""
    content = public_pem(private_key(private).public_key())
    with tempfile.TemporaryDirectory(prefix="instantstyle-key-") as scratch:
        path = Path(scratch, os.path.basename(private) + ".pub")
        path.write_bytes(content)
        yield path
