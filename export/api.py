"""The Python API: ``export`` of a model in memory, ``release`` of a recipe, ``load`` and ``compare`` of what came of them."""

import html
import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ..stylize.comparison import Comparison, compare_makers, compare_pictures
from ..stylize.loaded import LoadedArtifact
from ..stylize.pictures import Picture
from ..system.errors import InstantStyleError
from ..targets.artifact import MANIFEST
from ..validation.integrity import verify
from ..validation.judge.gate import exit_code, shortcomings
from ..validation.judge.levels import names
from ..validation.report.report import SUMMARY
from ..validation.results.bundle import Bundle as Content
from ..validation.results.bundle_file import read_bundle
from .release import ReleaseOptions, build
from .written_recipe import Images, WrittenRecipe

if TYPE_CHECKING:
    from torch import nn

    from ..model.graph import Model


@dataclass(frozen=True)
class Bundle:
    """A folder that a release made, and what it says of itself.

    Attributes:
        folder: with ``bundle.json`` and a folder for each artifact.
        content: of ``bundle.json``.
    """

    folder: Path
    content: Content

    @classmethod
    def open(cls, folder: str | Path) -> "Bundle":
        """An earlier one.

        Raises:
            ArtifactError: it is no bundle, or a file of it was altered.
        """
        place = Path(folder)
        content = read_bundle(place)
        verify(content, place)
        return cls(place, content)

    @property
    def passed(self) -> bool:
        """Whether every required artifact kept every limit: exit code 0 of the command."""
        return exit_code(self.content) == 0

    @property
    def artifacts(self) -> dict[str, Path]:
        """Folders by name (``android-int8-512x512``) of everything that was made, passed or not."""
        found = {artifact.name: self.folder / artifact.folder for artifact in self.content.artifacts if artifact.folder}
        return {name: folder for name, folder in found.items() if folder.is_dir()}

    @property
    def problems(self) -> tuple[str, ...]:
        """Why artifacts did not pass, a sentence each."""
        return tuple(sentence for artifact in self.content.artifacts for sentence in shortcomings(self.content, artifact))

    @property
    def statuses(self) -> dict[str, str]:
        """``passed``, ``failed`` … by artifact."""
        return {artifact.name: str(artifact.status) for artifact in self.content.artifacts}

    def __repr__(self) -> str:
        rows = [
            f"  {artifact.name}: {artifact.status}{' (required)' if any(n in self.content.required for n in names(artifact)) else ''}"
            for artifact in self.content.artifacts
        ]
        return "\n".join([f"Bundle in {os.path.relpath(self.folder)}: {'passed' if self.passed else 'NOT passed'}", *rows])

    def _repr_markdown_(self) -> str:
        """What a notebook shows: the summary."""
        summary = self.folder / SUMMARY
        return summary.read_text(encoding="utf-8") if summary.is_file() else f"<pre>{html.escape(repr(self))}</pre>"


def export(  # noqa: PLR0913 - every table of a recipe is an option
    model: "nn.Module | Model",
    *,
    images: Images,
    validation: Images | None = None,
    styles: Images | None = None,
    validation_styles: Images | None = None,
    targets: Sequence[str] | Mapping[str, Sequence[str]] = ("onnx-float32", "android-int8"),
    limits: Mapping[str, Any] | None = None,
    size: int | tuple[int, int] | Sequence[tuple[int, int]] = 512,
    input: Mapping[str, Any] | None = None,
    output: Mapping[str, Any] | None = None,
    quantize: str | Mapping[str, Any] = "ptq",
    latency: Mapping[str, Any] | None = None,
    required: Sequence[str] | None = None,
    level: Mapping[str, str] | None = None,
    name: str = "model",
    out: str | Path = "dist",
    cache: str | Path | None = None,
) -> Bundle:
    """Exports a model in memory: calibrates, quantises, emits an artifact per target, compares each with the model, and writes a bundle.

    It does what ``instantstyle release`` does; the recipe that says the same is kept in the cache (``recipes/<name>.toml``).

    Args:
        model: one image in, one image out; (N, C, H, W). Or a ``Model`` of several graphs.
        images: photos to calibrate with: a folder, a glob, a file, or several. Without ``validation`` every second of them is kept back
            to judge with, of which there have to be 8 at least.
        validation: photos to judge with, none of them among ``images``.
        styles, validation_styles: the same for the second image of a model that takes two.
        targets: names with precisions (``android-int8``), or precisions by target.
        limits: as the table ``[limits]`` of a recipe; 0.95 mean and 0.90 worst SSIM without it.
        size: height and width in pixels, or one number for a square, or several sizes.
        input, output: as ``[model.input]`` and ``[model.output]``: range, mean, std, channels, order, select.
        quantize: ``ptq``, ``qat``, ``off``, or a table ``[quantize]``.
        latency: as the table ``[latency]``.
        required: artifacts that must pass; all of ``targets`` by default.
        level: as ``[targets.level]``: what is enough for a target that cannot run here.
        name: of the model.
        out: the folder to make; an earlier bundle in it is replaced.
        cache: where finished stages are kept.

    Raises:
        InstantStyleError: wrong input, with the sentence that the command prints. Missing a limit raises nothing: see ``Bundle.passed``.
    """
    written = WrittenRecipe(
        name, model, images, validation, styles, validation_styles, targets, limits, size, input, output, quantize, latency, required, level
    )
    place = None if cache is None else Path(cache)
    recipe = written.write(place)
    return _built(ReleaseOptions(recipe, Path(out), cache=place), model)


def release(
    recipe: str | Path,
    out: str | Path = "dist",
    *,
    only: str | None = None,
    cache: str | Path | None = None,
    start: str | None = None,
    remeasure: bool = False,
) -> Bundle:
    """Builds, measures, judges and bundles everything in a recipe: ``instantstyle release``.

    Args:
        recipe: a TOML file.
        out: the folder to make; an earlier bundle in it is replaced.
        only: build this target alone.
        cache: where finished stages are kept.
        start: the recipe's checkpoint to start from; the whole model's prunes again.
        remeasure: measure again, even if nothing changed.

    Raises:
        InstantStyleError: wrong input, with the sentence that the command prints. Missing a limit raises nothing: see ``Bundle.passed``.
    """
    return _built(ReleaseOptions(Path(recipe), Path(out), only, Path(cache) if cache else None, remeasure, start=start))


def load(bundle_or_artifact: Any, artifact: str | None = None, threads: int | None = None) -> LoadedArtifact:
    """An artifact, ready to paint.

    Args:
        bundle_or_artifact: what ``instantstyle.export`` returned, the folder of a bundle, or that of an artifact.
        artifact: which one of a bundle: the beginning of its name (``android``, ``onnx-int8``); by default the first that
            passed.
        threads: for the runtime; PyTorch's number by default.

    Raises:
        InstantStyleError: there is none, or it cannot run here.
    """
    folder = Path(getattr(bundle_or_artifact, "folder", bundle_or_artifact))
    if (folder / MANIFEST).is_file():
        return LoadedArtifact(folder, threads)
    content = read_bundle(folder)
    names = [entry.name for entry in content.artifacts]
    wanted = [entry for entry in content.artifacts if artifact is None or entry.name.startswith(artifact)]
    if not wanted:
        raise InstantStyleError(f"{folder}: no artifact '{artifact}'; there are {', '.join(names)}")
    if artifact is None:
        wanted = [entry for entry in wanted if str(entry.status) == "passed"]
        if not wanted:
            raise InstantStyleError(f"{folder}: no artifact passed; name one of {', '.join(names)} to load it all the same")
    if not wanted[0].folder:
        raise InstantStyleError(f"{folder}: {wanted[0].name} was not made: {wanted[0].status}")
    return LoadedArtifact(folder / wanted[0].folder, threads)


def compare(
    reference: Any, candidate: Any, images: Picture | Sequence[Picture] | None = None, styles: Sequence[Picture] = ()
) -> Comparison:
    """How far the pictures of ``candidate`` are from those of ``reference``, in 8 bits.

    Args:
        reference, candidate: functions from a picture to a picture, such as what ``load`` gives; bundles, their folders or those of
            artifacts; or, without ``images``, two pictures.
        images: a folder, a glob, a file, a picture, or several pictures.
        styles: given to both behind each photo.

    Raises:
        InstantStyleError: the pictures differ in size, there are none, or an artifact cannot run here.
    """
    if images is None:
        return compare_pictures(reference, candidate)
    one, other = (maker if callable(maker) else load(maker) for maker in (reference, candidate))
    return compare_makers(one, other, images, styles)


def _built(options: ReleaseOptions, given: "nn.Module | Model | None" = None) -> Bundle:
    built = build(options, given)
    return Bundle(options.out.resolve(), built.bundle)
