"""``dist/bundle.json``: what was built, what it was measured at and what it was held to. Its schema is docs/bundle.schema.json."""

import hashlib
import json
import os
from collections.abc import Mapping
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from pathlib import Path

from pydantic import with_config

from ..export.disk import atomic_write
from ..export.program import FloatIsland
from ..model.errors import ArtifactError, InstantStyleError
from ..model.graph import Size
from ..model.strict_json import parse
from ..pruning.prune import Pruned
from ..targets.base import ArtifactFile, Precision
from .codec import STRICT, decode_parsed, encode, schema
from .evidence import SampleSet, Sha256
from .limits import Failure, Limits
from .measurements import Count, Machine, Measurements, Share, Status

FILE_NAME = "bundle.json"
# Covers every file of a bundle, this one too, so it can be listed nowhere.
SIGNATURE = "signature.json"
FORMAT = 2


@dataclass(frozen=True)
class ModelSource:
    """The model that was exported.

    Attributes:
        name: of the model.
        checkpoint_sha256: of the checkpoint's file; null for a model without one.
    """

    name: str
    checkpoint_sha256: Sha256 | None


@dataclass(frozen=True)
class RecipeSource:
    """The recipe that was followed.

    Attributes:
        name: of the recipe.
        sha256: of its file.
    """

    name: str
    sha256: Sha256


@dataclass(frozen=True)
class Library:
    """A library that the build ran with.

    Attributes:
        name: as in the package index.
        version: as installed.
    """

    name: str
    version: str


@dataclass(frozen=True)
class Island:
    """Part of a graph that stays in float in the int8 artifacts.

    Attributes:
        graph: name of the graph.
        module_path: where in the graph's module.
        operators: what is computed there.
        reason: why it stays in float.
    """

    graph: str
    module_path: str
    operators: tuple[str, ...]
    reason: str

    @classmethod
    def of(cls, graph: str, island: FloatIsland) -> "Island":
        """Of a captured graph's island."""
        return cls(graph, island.module_path, island.operators, island.reason)


@dataclass(frozen=True)
class PrunedGroup:
    """Channels that go together, or the heads of one module, and how many of them were removed.

    Attributes:
        name: graph and module path of the heads, or of the first layer that makes the channels.
        kind: ``heads`` or ``channels``.
        asked: share that the recipe wants removed.
        reached: share that was removed.
        width: number before.
        kept: number after.
        obstacle: why nothing was removed, or empty.
    """

    name: str
    kind: str
    asked: Share
    reached: Share
    width: Count
    kept: Count
    obstacle: str

    @classmethod
    def of(cls, row: Pruned) -> "PrunedGroup":
        """Of what pruning says."""
        return cls(row.name, row.kind, row.asked, row.reached, row.width, row.kept, row.obstacle)


@dataclass(frozen=True)
class BundleArtifact:
    """One artifact that the recipe asked for, whether it could be made or not.

    Attributes:
        name: target, precision and size, e.g. ``android-int8-512x512``.
        target: what it runs on.
        precision: arithmetic of its convolutions.
        size: height and width in pixels.
        folder: where its files lie, relative to the bundle; empty if it could not be made.
        files: with their paths relative to ``folder``.
        shipped_bytes: what an app must carry; 0 if it could not be made.
        status: only ``passed`` is a pass; ``graph_parity`` is one where the recipe says so.
        reason: why it failed without being measured, or was not executed; otherwise empty.
        failures: the limits it missed.
        limits: what it was held to; null is not limited.
        measurements: null if it was not executed or crashed.
        notes: what its target has to say about it.
    """

    name: str
    target: str
    precision: Precision
    size: Size
    folder: str
    files: tuple[ArtifactFile, ...]
    shipped_bytes: Count
    status: Status
    reason: str
    failures: tuple[Failure, ...]
    limits: Limits
    measurements: Measurements | None
    notes: tuple[str, ...] = ()


@dataclass(frozen=True)
class Choice:
    """Which artifact of a target ships, where the recipe says that the fastest does.

    Attributes:
        target: of which precisions were built.
        size: height and width in pixels.
        artifact: name of the one that ships; empty if none could be chosen.
        reason: what was measured.
    """

    target: str
    size: Size
    artifact: str
    reason: str


@dataclass(frozen=True)
class Irreproducible:
    """A file that another build of the same commit, recipe and machine gives with other bytes.

    Attributes:
        path: relative to the bundle.
        reason: why.
    """

    path: str
    reason: str


@dataclass(frozen=True)
class PartDigest:
    """What proves that a part of this file is as it was written.

    Attributes:
        part: a key, or a key of one of ``artifacts``, e.g. ``artifacts[0].status``.
        sha256: of its canonical JSON: sorted keys, no spaces, as ASCII.
    """

    part: str
    sha256: Sha256


@with_config(STRICT)
@dataclass(frozen=True)
class Bundle:
    """All that a build made, and the proof.

    Numbers that are not finite are the strings "NaN", "Infinity" and "-Infinity"; the PSNR of equal images is "Infinity".

    Attributes:
        format: of this file.
        created: in UTC.
        model: that was exported.
        recipe: that was followed.
        sizes: heights and widths in pixels that were asked for.
        required: what has to pass: targets, or a target in one precision such as ``android-int8``.
        artifacts: everything the recipe asked for.
        float_islands: what stays in float in the int8 artifacts.
        libraries: that the build ran with.
        machine: that the build ran on.
        pipeline_peak_memory_bytes: highest resident memory of any one process of the build; 0 if nothing was run.
        pruning: what was removed from the model before everything else.
        graph_parity_suffices: what of ``required`` need not be executed: graph parity is enough.
        choices: of precisions, by measurement.
        reference_sha256: of the weights of the float PyTorch model that everything is compared with.
        samples: what everything is judged on.
        different_samples: those of them that differ in what they show.
        minimum_samples: how many of these the recipe asks for.
        files: every file of the bundle but this one, with paths relative to it.
        digests: of every part of this file but this one.
        built_only: the target that was built alone; empty for all of the recipe.
        judged_only: the target that was judged alone; empty for all that were built.
        executed_only: whether graph parity suffices for nothing, whatever the recipe says.
        irreproducible: the files that another build gives with other bytes; all others come out the same.
    """

    format: int
    created: datetime
    model: ModelSource
    recipe: RecipeSource
    sizes: tuple[Size, ...]
    required: tuple[str, ...]
    artifacts: tuple[BundleArtifact, ...]
    float_islands: tuple[Island, ...]
    libraries: tuple[Library, ...]
    machine: Machine
    pipeline_peak_memory_bytes: Count
    reference_sha256: Sha256
    samples: SampleSet
    different_samples: Count
    minimum_samples: Count
    pruning: tuple[PrunedGroup, ...] = ()
    graph_parity_suffices: tuple[str, ...] = ()
    choices: tuple[Choice, ...] = ()
    built_only: str = ""
    judged_only: str = ""
    executed_only: bool = False
    irreproducible: tuple[Irreproducible, ...] = ()
    files: tuple[ArtifactFile, ...] = ()
    digests: tuple[PartDigest, ...] = ()


def libraries(versions: Mapping[str, str]) -> tuple[Library, ...]:
    """By name."""
    return tuple(Library(name, version) for name, version in sorted(versions.items()))


def creation_time() -> datetime:
    """Now in UTC, or what SOURCE_DATE_EPOCH says (reproducible-builds.org).

    Raises:
        InstantStyleError: SOURCE_DATE_EPOCH is no number of seconds.
    """
    epoch = os.environ.get("SOURCE_DATE_EPOCH")
    if epoch is None:
        return datetime.now(UTC).replace(microsecond=0)
    try:
        return datetime.fromtimestamp(int(epoch), UTC)
    except (ValueError, OverflowError, OSError) as error:
        raise InstantStyleError(f"SOURCE_DATE_EPOCH has to be seconds since 1970, found {epoch!r}") from error


def digests(bundle: Bundle) -> tuple[PartDigest, ...]:
    """Of every part of ``bundle.json``."""
    parts = json.loads(encode(bundle))
    del parts["digests"]
    for index, artifact in enumerate(parts.pop("artifacts")):
        parts |= {f"artifacts[{index}].{key}": value for key, value in artifact.items()}
    return tuple(PartDigest(part, _canonical_sha256(value)) for part, value in parts.items())


def _canonical_sha256(value: object) -> str:
    return hashlib.sha256(json.dumps(value, sort_keys=True, separators=(",", ":")).encode()).hexdigest()


def write_bundle(bundle: Bundle, folder: Path) -> Path:
    """Writes ``bundle.json`` with its digests into ``folder``, all of it or nothing."""
    path = folder / FILE_NAME
    atomic_write(path, encode(replace(bundle, digests=digests(bundle))))
    return path


def read_bundle(folder: Path) -> Bundle:
    """Reads ``bundle.json``. What it says is not checked; ``integrity.verify`` does that.

    Raises:
        ArtifactError: it is missing, of another format, or not what its schema says.
    """
    path = folder / FILE_NAME
    try:
        text = path.read_bytes()
    except OSError as error:
        raise ArtifactError(f"{path}: cannot be read ({error.strerror}); `instantstyle release` makes it") from error
    return decode_bundle(text, str(path))


def decode_bundle(text: bytes, where: str) -> Bundle:
    """What the text of a ``bundle.json`` says; ``where`` it is from, for messages. Raises ArtifactError as ``read_bundle``."""
    content = parse(text, where)
    found = content.get("format") if isinstance(content, dict) else None
    if found != FORMAT and isinstance(found, int):
        raise ArtifactError(f"{where}: format {found}; this version reads format {FORMAT}. `instantstyle release` makes it again")
    return decode_parsed(Bundle, content, where)


def schema_text() -> str:
    """What docs/bundle.schema.json holds."""
    return json.dumps(schema(Bundle), indent=1) + "\n"


if __name__ == "__main__":
    print(schema_text(), end="")
