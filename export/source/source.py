"""The loaded model and its images, all checked: what every stage starts from."""

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from itertools import islice

from torch import nn

from ...calibration.imageset import ImageSet, check_images
from ...calibration.samples import count_samples, labels, make_samples
from ...compression.pruning.prune import Pruned
from ...model.graph import Model, Sample, Size, TensorKind
from ...recipe.recipe import Recipe
from ...recipe.settings import ImageSetSettings
from ...system.disk import atomic_write
from ...system.errors import RecipeError
from ...system.progress import ReportProgress
from ...validation.judge.gate import too_few_samples
from ...validation.results.evidence import SampleImage, SampleSet
from ..cache.fingerprint import model_fingerprint, weights_sha256
from ..cache.pipeline import Pipeline
from ..cache.store import Workspace
from .image_checks import check_disjoint, count_different
from .loading import LoadedModel, load_model
from .photo_probe import examine, trace

NOTICES, PICTURES = "notices.json", "pictures.json"
MINIMUM_VALIDATION_IMAGES = 1
PROBED_PHOTOS = 4


@dataclass(frozen=True)
class ImageSets:
    """The image sets of one purpose, in the order of the model's image inputs, and how they are paired."""

    sets: tuple[ImageSet, ...]
    settings: ImageSetSettings

    @property
    def key(self) -> dict[str, object]:
        """What a stage's result depends on."""
        return {"images": [images.sha256 for images in self.sets], "pairing": self.settings.pairing}

    def samples(self, model: Model, size: Size) -> Iterator[Sample]:
        """All of them for a model, as the pairing says."""
        return make_samples(model, size, self.sets, self.settings.pairing)

    def first(self, model: Model, size: Size, count: int) -> list[Sample]:
        """As many of them as there are, ``count`` at most."""
        return list(islice(self.samples(model, size), count))

    @property
    def sample_set(self) -> SampleSet:
        """The same for the bundle, file by file."""
        named = tuple(tuple(map(SampleImage, labels(images.files), images.digests)) for images in self.sets)
        return SampleSet(named, self.settings.pairing)


@dataclass(frozen=True)
class Source:
    """The loaded model and its images: what every later stage starts from.

    Attributes:
        model: float, perhaps pruned, in eval mode; nobody changes it.
        reference: the model before pruning, which everything is compared with; ``model`` itself without pruning.
        fingerprint: hash of the model's weights, structure and code.
        reference_fingerprint: the same of the reference.
        reference_sha256: of the reference's weights alone.
        different_samples: validation samples that differ in what they show.
        bare: as in ``LoadedModel``.
        pruning: what was removed from the model.
        learnt: half ranges of activations that were learnt with its weights, by graph and tensor.
        in_memory: whether the model was given, so that no other process can make it.
    """

    recipe: Recipe
    model: Model
    reference: Model
    fingerprint: str
    reference_fingerprint: str
    reference_sha256: str
    calibration: ImageSets
    validation: ImageSets
    different_samples: int
    bare: bool = False
    pruning: tuple[Pruned, ...] = ()
    learnt: Mapping[str, Mapping[str, float]] = field(default_factory=dict)
    in_memory: bool = False


def load(pipeline: Pipeline, recipe: Recipe, given: nn.Module | Model | None = None) -> Source:
    """Model, checkpoint and image sets, all checked. Never cached: it is quick, and it finds what changed.

    Args:
        given: the model, in the place of what the recipe's factory would return.
    """
    with pipeline.display.stage("load", recipe.name):
        loaded = load_model(recipe, given)
        calibration = _image_sets(recipe, loaded.model, recipe.images.calibration)
        validation = _image_sets(recipe, loaded.model, recipe.images.validation)
        fingerprint, weights = model_fingerprint(loaded.model, loaded.source), weights_sha256(loaded.model)
    for notice in loaded.notices:
        pipeline.display.notice(notice)
    _probe(pipeline, recipe, loaded, calibration, fingerprint)
    minimum = recipe.quantize.minimum_images if recipe.quantize.method != "off" else 1
    fitted = _check_images(pipeline, "calibration", calibration, minimum)
    judged = _check_images(pipeline, "validation", validation, MINIMUM_VALIDATION_IMAGES)
    check_disjoint(calibration.sets, fitted, validation.sets, judged, recipe.path)
    different, wanted = count_different(judged, validation.settings.pairing), recipe.images.validation.minimum
    if different < wanted:
        pipeline.display.notice(f"{recipe.path}: {too_few_samples(different, wanted)}")
    parts = (recipe, loaded.model, loaded.model, fingerprint, fingerprint, weights, calibration, validation, different)
    return Source(*parts, loaded.bare, in_memory=given is not None)


def _image_sets(recipe: Recipe, model: Model, settings: ImageSetSettings) -> ImageSets:
    wanted = sum(spec.kind is TensorKind.IMAGE for spec in model.sample_inputs)
    sets = tuple(ImageSet.from_patterns(patterns, recipe.base) for patterns in islice(settings.patterns(), wanted))
    images = ImageSets(sets, settings)
    count_samples(model, sets, settings.pairing)  # refuses a model that wants more image sets than there are
    return images


def _probe(pipeline: Pipeline, recipe: Recipe, loaded: LoadedModel, images: ImageSets, fingerprint: str) -> None:
    """Looks at the model on a few calibration photos, and runs it once at every other size."""

    def make(workspace: Workspace, report: ReportProgress) -> None:
        first, *others = recipe.model.sizes
        found = examine(loaded.model, images.first(loaded.model, first, PROBED_PHOTOS), first, loaded.bare)
        for size in others:
            trace(loaded.model, images.first(loaded.model, size, 1)[0], size)
        atomic_write(workspace.output / NOTICES, json.dumps(found))

    key = {"model": fingerprint, "sizes": recipe.model.sizes, "bare": loaded.bare, **images.key}
    try:
        entry = pipeline.run("probe", "", key, make)
    except RecipeError as error:
        raise RecipeError(f"{recipe.path}: {error}") from error
    for notice in json.loads((entry.folder / NOTICES).read_text()):
        pipeline.display.notice(notice)


def _check_images(pipeline: Pipeline, purpose: str, images: ImageSets, minimum: int) -> list[list[str]]:
    """Opens every image once, and gives hashes of the pictures; remembered, because large sets take time."""

    def make(workspace: Workspace, report: ReportProgress) -> None:
        pictures = []
        for index, (images_set, what) in enumerate(zip(images.sets, ("photos", "styles"), strict=False)):
            report(index, len(images.sets), what)
            pictures.append(check_images(images_set, minimum if index == 0 else 1, f"{purpose} {what}"))
        atomic_write(workspace.output / PICTURES, json.dumps(pictures, indent=1))

    entry = pipeline.run("images", purpose, {**images.key, "minimum": minimum}, make)
    return json.loads((entry.folder / PICTURES).read_text())
