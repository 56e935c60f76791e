"""What a registry says about one model: its versions, what each target needs of them, and the channels. Signed as one text."""

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass, replace
from datetime import datetime
from pathlib import Path
from typing import Annotated, Literal

from pydantic import Field, with_config

from ..system.errors import ArtifactError
from ..system.strict_json import parse
from ..targets.base import ArtifactFile
from ..validation.judge.listing import check_paths
from ..validation.results.codec import STRICT, decode, encode
from ..validation.results.evidence import Sha256
from .errors import RegistryError
from .signing import sign_text, verify_text

FORMAT = 1
SIGNED_AS = "index.json"  # what its signature says that it is
NAME, VERSION = r"^[a-z0-9][a-z0-9._-]{0,63}$", r"^\d+\.\d+\.\d+(-[0-9A-Za-z]+(\.[0-9A-Za-z]+)*)?$"
Name = Annotated[str, Field(pattern=NAME)]
VersionName = Annotated[str, Field(pattern=VERSION)]


Part = Literal["model", "app", "code", "golden"]


@dataclass(frozen=True)
class PackageFile:
    """A file of a pulled folder.

    Attributes:
        path: in the pulled folder.
        size_bytes: of its content.
        sha256: of its content; names the blob.
        part: ``model`` and ``app`` are what an app carries, ``code`` is compiled into it, ``golden`` comes if it is asked for.
    """

    path: str
    size_bytes: Annotated[int, Field(ge=1)]
    sha256: Sha256
    part: Part


@dataclass(frozen=True)
class Package:
    """What one target needs of a version.

    Attributes:
        target: name of the target.
        artifact: name of the artifact.
        files: of the pulled folder.
    """

    target: str
    artifact: str
    files: tuple[PackageFile, ...]


@dataclass(frozen=True)
class Version:
    """One release; nothing of it ever changes but ``yanked``.

    Attributes:
        version: as in ``1.4.0`` or ``1.4.0-rc.1``.
        created: when the bundle was built.
        bundle: all files of the bundle, with ``bundle.json`` and its signature.
        packages: one for each artifact that passed.
        yanked: why it must not be used any more; empty if it may.
    """

    version: VersionName
    created: datetime
    bundle: tuple[ArtifactFile, ...]
    packages: tuple[Package, ...]
    yanked: str = ""


@dataclass(frozen=True)
class Channel:
    """A name for a version that moves on."""

    name: Name
    version: VersionName


@with_config(STRICT)
@dataclass(frozen=True)
class Index:
    """A model in a registry.

    Attributes:
        format: of this file.
        model: its name.
        serial: grows with every change, so that nobody is served an older one unnoticed.
        versions: in the order of publication.
        channels: by name.
    """

    format: int
    model: Name
    serial: Annotated[int, Field(ge=1)]
    versions: tuple[Version, ...]
    channels: tuple[Channel, ...]

    def version(self, name: str) -> Version | None:
        """Of that name, if there is one."""
        return next((version for version in self.versions if version.version == name), None)

    def channel(self, name: str) -> str | None:
        """The version that a channel names, if there is such a channel."""
        return next((channel.version for channel in self.channels if channel.name == name), None)

    def with_channel(self, name: str, version: str) -> "Index":
        """The index with a channel that names that version."""
        others = [channel for channel in self.channels if channel.name != name]
        return replace(self, channels=tuple(sorted((*others, Channel(name, version)), key=lambda channel: channel.name)))


def merged(one: Index, other: Index) -> Index:
    """What both say, where two publications met: every version, withdrawn if either says so; of a channel, what the later index says."""
    older, newer = sorted((one, other), key=lambda index: index.serial)
    yanked = {version.version: version.yanked for index in (older, newer) for version in index.versions if version.yanked}
    known = {version.version: version for version in (*older.versions, *newer.versions)}
    channels = {channel.name: channel for channel in (*older.channels, *newer.channels)}
    versions = tuple(replace(version, yanked=yanked.get(name, "")) for name, version in known.items())
    return replace(newer, versions=versions, channels=tuple(channels[name] for name in sorted(channels)))


def check_name(name: str, what: str, pattern: str = NAME) -> None:
    """Refuses a name that could mean another place. RegistryError says what is allowed."""
    if not re.fullmatch(pattern, name):
        allowed = "like 1.4.0 or 1.4.0-rc.1" if pattern == VERSION else "of small letters, digits, '.', '_' and '-'"
        raise RegistryError(f"'{name}' is no {what}; give one {allowed}")


def seal_index(index: Index, private: Path) -> str:
    """The file's content: the index as a text, and the signature of that text."""
    text = encode(index)
    return json.dumps({"index": text, "signature": sign_text(SIGNED_AS, text, private)}, indent=1) + "\n"


def open_index(content: str | bytes, public: Path, model: str, where: str) -> Index:
    """The index in a file's content, once its signature holds.

    Args:
        model: that was asked for.
        where: the content comes from, for messages.

    Raises:
        SignatureError: another key's, or altered.
        RegistryError, ArtifactError: it was signed, and is no index of that model.
    """
    outer = parse(content, where)
    if not isinstance(outer, Mapping) or set(outer) != {"index", "signature"} or not all(isinstance(part, str) for part in outer.values()):
        raise ArtifactError(f"{where}: is no registry's index; check the address and the model's name")
    verify_text(SIGNED_AS, outer["index"], outer["signature"], public, where)
    index = _decoded(outer["index"], where)
    if index.model != model:
        raise RegistryError(f"{where}: is the index of '{index.model}', not of '{model}'")
    _check(index, where)
    return index


def _decoded(text: str, where: str) -> Index:
    found = parse(text, where)
    number = found.get("format") if isinstance(found, Mapping) else None
    if number != FORMAT and isinstance(number, int):
        raise RegistryError(f"{where}: format {number}; this version of instantstyle reads format {FORMAT}")
    return decode(Index, text, where)


def _check(index: Index, where: str) -> None:
    """What a schema cannot say: nothing is there twice, channels name versions, paths stay inside."""
    names = [version.version for version in index.versions]
    for what, listed in (("version", names), ("channel", [channel.name for channel in index.channels])):
        twice = next((name for name in listed if listed.count(name) > 1), None)
        if twice is not None:
            raise RegistryError(f"{where}: the {what} {twice} is there twice")
    for channel in index.channels:
        if channel.version not in names:
            raise RegistryError(f"{where}: channel '{channel.name}' names version {channel.version}, which there is not")
    for version in index.versions:
        for package in version.packages:
            files = [ArtifactFile(file.path, file.size_bytes, file.sha256) for file in package.files]
            check_paths(files, f"{where}, {version.version}, {package.artifact}", Path(package.artifact))
