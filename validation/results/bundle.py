"""``dist/bundle.json``: what was built, what it was measured at and what it was held to. Its schema is docs/bundle.schema.json."""

import os
from dataclasses import dataclass
from datetime import UTC, datetime

from pydantic import with_config

from ...model.graph import Size
from ...recipe.limits import Limits
from ...recipe.precision import Precision
from ...system.errors import InstantStyleError
from ...targets.base import ArtifactFile
from .codec import STRICT
from .evidence import SampleSet, Sha256
from .measurements import Measurements, Status
from .numbers import Count
from .provenance import Island, Library, ModelSource, PlanDecision, PlanPoint, PrunedGroup, RecipeSource
from .timing import Machine

FILE_NAME, RECIPE, TABLE = "bundle.json", "recipe.toml", "calibration.json"
# Covers every file of a bundle, this one too, so it can be listed nowhere.
SIGNATURE = "signature.json"
FORMAT = 5


@dataclass(frozen=True)
class Failure:
    """One limit that an artifact missed.

    Attributes:
        limit: the field of ``Limits``, or the name of a check that needs no limit.
        wanted: None for a check that is no number.
        measured: None for what was not measured.
        sentence: which artifact, what was measured and wanted, and by how much it missed.
        undecided: it may be kept or missed; the measurement does not say.
    """

    limit: str
    wanted: float | None
    measured: float | None
    sentence: str
    undecided: bool = False


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
        status: only ``passed`` is a pass; ``vendor_cpu`` and ``graph_parity`` are where the recipe says so.
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
class Fallback:
    """What became of an int8 artifact that missed its limits, where the recipe's ``quantize.fallback`` lets another precision ship.

    Attributes:
        artifact: name of the int8 artifact.
        ships: name of the one that takes its place and keeps its limits; empty if none does.
        reason: what int8 missed.
    """

    artifact: str
    ships: str
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
        vendor_cpu_suffices: what of ``required`` the vendor's own library may have executed on a CPU instead.
        choices: of precisions, by measurement.
        fallbacks: what ships in the place of int8 artifacts that missed their limits.
        built_instead: names of artifacts that the recipe does not ask for, built to take the place of int8 ones and held to their limits.
        reference_sha256: of the weights of the float PyTorch model that everything is compared with.
        samples: what everything is judged on.
        different_samples: those of them that differ in what they show.
        minimum_samples: how many of these the recipe asks for.
        files: every file of the bundle but this one, with paths relative to it.
        plan: what the plan of quantisation tried.
        plan_points: plans that were compared.
        digests: of every part of this file but this one.
        built_only: the target that was built alone; empty for all of the recipe.
        judged_only: the target that was judged alone; empty for all that were built.
        executed_only: whether nothing less than ``passed`` suffices, whatever the recipe says.
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
    vendor_cpu_suffices: tuple[str, ...] = ()
    choices: tuple[Choice, ...] = ()
    fallbacks: tuple[Fallback, ...] = ()
    built_instead: tuple[str, ...] = ()
    built_only: str = ""
    judged_only: str = ""
    executed_only: bool = False
    irreproducible: tuple[Irreproducible, ...] = ()
    plan: tuple[PlanDecision, ...] = ()
    plan_points: tuple[PlanPoint, ...] = ()
    files: tuple[ArtifactFile, ...] = ()
    digests: tuple[PartDigest, ...] = ()

    @property
    def levels(self) -> dict[str, Status]:
        """What is enough for each of ``required`` for which less than a pass is."""
        vendor = dict.fromkeys(self.vendor_cpu_suffices, Status.VENDOR_CPU)
        return vendor | dict.fromkeys(self.graph_parity_suffices, Status.GRAPH_PARITY)


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
