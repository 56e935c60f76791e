"""The stages that turn a recipe into captured programs: load, images, prune, qat, calibrate, capture."""

import json
from dataclasses import asdict, dataclass
from itertools import islice
from pathlib import Path

from safetensors.torch import save
from torch import Tensor

from ..calibration.imageset import ImageSet, check
from ..calibration.samples import Sample, count_samples, labels, make_samples
from ..calibration.table import CalibrationTable
from ..model.checkpoint import read_tensors
from ..model.errors import RecipeError
from ..model.graph import Model, Size, TensorKind
from ..pruning.prune import Pruned
from ..validation.evidence import SampleImage, SampleSet
from ..validation.gate import too_few_samples
from .disk import atomic_write
from .fingerprint import file_sha256, model_fingerprint, weights_sha256
from .image_checks import check_disjoint, count_different
from .loading import LoadedModel, load_model
from .photo_probe import examine, trace
from .pipeline import Pipeline
from .program import FloatIsland, Program
from .progress import Report
from .recipe import Recipe
from .settings import ImageSetSettings
from .store import Entry, Workspace

WEIGHTS, TABLE, ISLANDS, PICTURES = "weights.safetensors", "calibration.json", "islands.json", "pictures.json"
NOTICES = "notices.json"
MINIMUM_VALIDATION_IMAGES = 1
CHECKED = 1  # calibration samples that a captured program is compared with its model on
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


def load(pipeline: Pipeline, recipe: Recipe) -> Source:
    """Model, checkpoint and image sets, all checked. Never cached: it is quick, and it finds what changed."""
    with pipeline.display.stage("load", recipe.name):
        loaded = load_model(recipe)
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
    given = (recipe, loaded.model, loaded.model, fingerprint, fingerprint, weights, calibration, validation, different)
    return Source(*given, loaded.bare)


def tune(pipeline: Pipeline, source: Source) -> Entry | None:
    """Weights after quantisation-aware training, or None if the recipe asks for none."""
    settings = source.recipe.quantize
    if settings.method != "qat":
        pipeline.pass_over("qat", "", "off")
        return None

    def make(workspace: Workspace, report: Report) -> None:
        from .qat import tune as train

        model, images, side = source.model, source.calibration, settings.crop
        samples = list(make_samples(model, (side, side), images.sets, images.settings.pairing))
        tuned = train(model, source.reference, samples, settings, workspace.state / "qat.pt", report)
        tensors = {f"{graph}.{name}": value.detach().clone() for graph, weights in tuned.items() for name, value in weights.items()}
        atomic_write(workspace.output / WEIGHTS, save(tensors))

    inputs = {"model": source.fingerprint, "reference": source.reference_fingerprint, **_quantization_key(source)}
    return pipeline.run("qat", "", inputs, make)


def calibrate(pipeline: Pipeline, source: Source, tuned: Entry | None) -> Entry:
    """The calibration table, measured or taken from the recipe's file."""
    settings = source.recipe.quantize
    table = settings.calibration_table

    def make(workspace: Workspace, report: Report) -> None:
        if table is not None:
            CalibrationTable.load(table).save(workspace.output / TABLE)
            return
        from .quantize import calibrate as measure

        model, size, images = source.model, source.recipe.model.sizes[0], source.calibration
        samples = make_samples(model, size, images.sets, images.settings.pairing)
        total = count_samples(model, images.sets, images.settings.pairing)
        hashes = "+".join(images_set.sha256 for images_set in images.sets)
        measure(model, samples, total, size, _weights(tuned), settings, hashes, report).save(workspace.output / TABLE)

    inputs = {"model": source.fingerprint, "tuned": tuned.digest if tuned else None, **_quantization_key(source)}
    return pipeline.run("calibrate", "", inputs, make)


def capture(pipeline: Pipeline, source: Source, size: Size, tuned: Entry | None, table: Entry | None) -> Entry:
    """The program at ``size``: int8 with a table, float only without."""
    kind = "int8" if table else "float"

    def make(workspace: Workspace, report: Report) -> None:
        from .capture import capture as trace
        from .capture import save_program

        ranges = CalibrationTable.load(table_path(table)) if table else None
        images = source.calibration
        samples = islice(make_samples(source.model, size, images.sets, images.settings.pairing), CHECKED)
        program = trace(source.model, size, ranges, _weights(tuned), source.recipe.quantize, samples)
        save_program(program, workspace.output)
        islands = [{"graph": graph.name, **asdict(island)} for graph in program.graphs for island in graph.float_islands]
        atomic_write(workspace.output / ISLANDS, json.dumps(islands, indent=1))

    # The calibration images too: what is captured was checked on them.
    inputs: dict[str, object] = {"model": source.fingerprint, "size": size, "checked": source.calibration.key}
    if table is not None:
        inputs |= {"table": table.digest, "tuned": tuned.digest if tuned else None, **_quantization_key(source)}
    return pipeline.run("capture", f"{kind} {size[0]}x{size[1]}", inputs, make)


def read_program(entry: Entry, model: Model) -> Program:
    """The program that ``capture`` stored."""
    from .capture import load_program

    return load_program(entry.folder, model)


def read_islands(entry: Entry) -> tuple[tuple[str, FloatIsland], ...]:
    """Graph and island of everything that stays in float in a captured program, without loading the program."""
    rows = json.loads((entry.folder / ISLANDS).read_text())
    return tuple((row.pop("graph"), FloatIsland(row["module_path"], tuple(row["operators"]), row["reason"])) for row in rows)


def table_path(entry: Entry) -> Path:
    """Where ``calibrate`` stored the table."""
    return entry.folder / TABLE


def _weights(tuned: Entry | None) -> dict[str, dict[str, Tensor]]:
    """Tuned weights by graph and name; empty without tuning."""
    weights: dict[str, dict[str, Tensor]] = {}
    for key, value in (read_tensors(tuned.folder / WEIGHTS) if tuned else {}).items():
        graph, _, name = key.partition(".")
        weights.setdefault(graph, {})[name] = value
    return weights


def _quantization_key(source: Source) -> dict[str, object]:
    settings = source.recipe.quantize
    table = settings.calibration_table
    return {
        "settings": settings.model_dump(mode="json", exclude={"minimum_images", "calibration_table"}),
        "table_file": file_sha256(table) if table else None,
        "calibration_size": source.recipe.model.sizes[0],
        **source.calibration.key,
    }


def _image_sets(recipe: Recipe, model: Model, settings: ImageSetSettings) -> ImageSets:
    wanted = sum(spec.kind is TensorKind.IMAGE for spec in model.sample_inputs)
    sets = tuple(ImageSet.from_patterns(patterns, recipe.base) for patterns in islice(settings.patterns(), wanted))
    images = ImageSets(sets, settings)
    count_samples(model, sets, settings.pairing)  # refuses a model that wants more image sets than there are
    return images


def _probe(pipeline: Pipeline, recipe: Recipe, loaded: LoadedModel, images: ImageSets, fingerprint: str) -> None:
    """Looks at the model on a few calibration photos, and runs it once at every other size."""

    def make(workspace: Workspace, report: Report) -> None:
        first, *others = recipe.model.sizes
        found = examine(loaded.model, samples(first, PROBED_PHOTOS), first, loaded.bare)
        for size in others:
            trace(loaded.model, samples(size, 1)[0], size)
        atomic_write(workspace.output / NOTICES, json.dumps(found))

    def samples(size: Size, count: int) -> list[Sample]:
        return list(islice(make_samples(loaded.model, size, images.sets, images.settings.pairing), count))

    key = {"model": fingerprint, "sizes": recipe.model.sizes, "bare": loaded.bare, **images.key}
    try:
        entry = pipeline.run("probe", "", key, make)
    except RecipeError as error:
        raise RecipeError(f"{recipe.path}: {error}") from error
    for notice in json.loads((entry.folder / NOTICES).read_text()):
        pipeline.display.notice(notice)


def _check_images(pipeline: Pipeline, purpose: str, images: ImageSets, minimum: int) -> list[list[str]]:
    """Opens every image once, and gives hashes of the pictures; remembered, because large sets take time."""

    def make(workspace: Workspace, report: Report) -> None:
        pictures = []
        for index, (images_set, what) in enumerate(zip(images.sets, ("photos", "styles"), strict=False)):
            report(index, len(images.sets), what)
            pictures.append(check(images_set, minimum if index == 0 else 1, f"{purpose} {what}"))
        atomic_write(workspace.output / PICTURES, json.dumps(pictures, indent=1))

    entry = pipeline.run("images", purpose, {**images.key, "minimum": minimum}, make)
    return json.loads((entry.folder / PICTURES).read_text())
