"""``instantstyle parity``: whether a candidate is worse than the release that apps have, by more than its recipe allows."""

import math
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from ...recipe.recipe import parse_recipe
from ...recipe.release_settings import ParitySettings
from ...system.errors import ArtifactError
from ...validation.integrity import verify
from ...validation.judge.gate import gate
from ...validation.results.bundle import FILE_NAME, RECIPE, Bundle, BundleArtifact
from ...validation.results.bundle_file import decode_bundle, read_bundle
from ...validation.results.measurements import Measurements, Quality, Spread
from ..download import download_content
from ..errors import RegistryError
from ..layout import Blob
from ..pull import PATIENCE_S, choose_version, fetch_index
from ..transport.places import reader


@dataclass(frozen=True)
class Row:
    """One number of one artifact.

    Attributes:
        quantity: what it is.
        released, candidate: None where it was not measured.
        allowed: what the candidate may have at worst; None where the released one has no number to compare with.
        better: which direction is better.
    """

    artifact: str
    quantity: str
    released: float | None
    candidate: float | None
    allowed: float | None
    better: Literal["more", "less"]

    @property
    def failure(self) -> str:
        """Why this number stops the candidate, as a sentence; empty if it does not. What was not measured, or is no number, does."""
        if self.released is None or self.allowed is None:
            return ""
        if self.candidate is None:
            return f"{self.artifact}: {self.quantity} is {self.released:g} in the release, and was not measured of the candidate"
        kept = self.candidate >= self.allowed if self.better == "more" else self.candidate <= self.allowed
        if kept:
            return ""
        bound = "least" if self.better == "more" else "most"
        wanted = f"at {bound} {self.allowed:g} is allowed (the release has {self.released:g})"
        return f"{self.artifact}: {self.quantity} {self.candidate:g}, {wanted}"


@dataclass(frozen=True)
class Parity:
    """A candidate beside a release.

    Attributes:
        released: version that it was compared with.
        rows: of every artifact of the release.
        missing: artifacts of the release that the candidate has not, as sentences.
        gate: what its own gate has against the candidate.
    """

    model: str
    released: str
    rows: tuple[Row, ...]
    missing: tuple[str, ...]
    gate: tuple[str, ...]

    @property
    def failures(self) -> tuple[str, ...]:
        """All that stops the candidate."""
        return (*self.gate, *self.missing, *(row.failure for row in self.rows if row.failure))


@dataclass(frozen=True)
class Baseline:
    """A released bundle's description."""

    version: str
    bundle: Bundle


def released(place: str, model: str, key: Path, timeout_s: float = PATIENCE_S) -> Baseline:
    """What a registry has under ``REGISTRY@CHANNEL`` or ``REGISTRY@VERSION``; no file of the release but its description is read.

    Raises:
        RegistryError, SignatureError, DownloadError: as of ``pull``.
    """
    address, _, name = place.rpartition("@")
    if not address:
        raise RegistryError(f"--baseline {place}: give REGISTRY@CHANNEL or REGISTRY@VERSION")
    source = reader(address, timeout_s)
    try:
        version = choose_version(fetch_index(source, model, key), name, source.where)
        file = next((file for file in version.bundle if file.path == FILE_NAME), None)
        if file is None:
            raise RegistryError(f"{source.where}: {model} {version.version} lists no {FILE_NAME}")
        content = download_content(source, Blob(file.sha256, file.size_bytes))
        return Baseline(version.version, decode_bundle(content, f"{source.where}: {FILE_NAME} of {model} {version.version}"))
    finally:
        source.close()


def candidate(folder: Path) -> tuple[Bundle, ParitySettings]:
    """A bundle that is what was built, and what its recipe allows.

    Raises:
        ArtifactError: it is not.
    """
    bundle = read_bundle(folder)
    verify(bundle, folder)
    return bundle, parse_recipe(folder / RECIPE).parity


def compare(before: Baseline, after: Bundle, allowed: ParitySettings) -> Parity:
    """Every artifact of the release that was measured, beside the candidate's of the same name.

    Raises:
        ArtifactError: they are of different models.
    """
    if before.bundle.model.name != after.model.name:
        raise ArtifactError(f"the candidate is of '{after.model.name}', the release of '{before.bundle.model.name}'")
    there = {artifact.name: artifact for artifact in after.artifacts if artifact.folder}
    rows: list[Row] = []
    missing: list[str] = []
    for artifact in before.bundle.artifacts:
        if not artifact.folder:
            continue
        if artifact.name in there:
            rows += _rows(artifact, there[artifact.name], allowed)
        else:
            missing.append(f"{artifact.name}: is in the release, and not in the candidate")
    if not rows and not missing:
        missing.append("the release has no artifact to compare with")
    return Parity(after.model.name, before.version, tuple(rows), tuple(missing), gate(after))


def _rows(before: BundleArtifact, after: BundleArtifact, allowed: ParitySettings) -> Iterator[Row]:
    old, new = before.measurements, after.measurements
    for name in ("mean", "worst", "hard"):
        was, now = _ssim(old, name), _ssim(new, name)
        yield Row(after.name, f"SSIM {name}", was, now, None if was is None else was - allowed.max_ssim_drop, "more")
    most = math.floor(before.shipped_bytes * (1 + allowed.max_growth))
    yield Row(after.name, "bytes", before.shipped_bytes, after.shipped_bytes, most, "less")
    for quantity, field in (("times ORT float", "over_ort_float"), ("times PyTorch", "over_pytorch")):
        was, now = _ratio(old, field), _ratio(new, field)
        yield Row(after.name, quantity, was, now, None if was is None else was * (1 - allowed.max_speed_drop), "more")


def _ssim(measured: Measurements | None, which: str) -> float | None:
    spread = _spread(measured.end_to_end, which) if measured else None
    return None if spread is None else spread.mean if which == "mean" else spread.worst


def _spread(quality: Quality, which: str) -> Spread | None:
    return quality.hard_ssim() if which == "hard" else quality.ssim()


def _ratio(measured: Measurements | None, field: str) -> float | None:
    latency = measured.latency_of(measured.hot_graph) if measured else None
    return None if latency is None else getattr(latency, field)
