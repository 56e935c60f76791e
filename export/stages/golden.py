"""The stage that makes golden pairs."""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from itertools import islice

import numpy as np

from ...calibration.samples import make_samples
from ...model.cached_run import CachedRun
from ...model.graph import Model, Run, Sample, Size, TensorKind, TensorSpec, scenario_output
from ...model.pixels import PICTURE_CHANNELS
from ...model.runs import runs_from_modules, torch_threads
from ...system.disk import atomic_write
from ...system.progress import ReportProgress
from ...validation.golden.chain import asked, run_chain
from ...validation.golden.pairs import FILE, Golden, GoldenImage, GoldenPair, GoldenScalar, golden_json
from ...validation.golden.pictures import Levels, enlarged, png, reduction, to_levels, to_values
from ...validation.measure.hard import hard_samples
from ..cache.pipeline import Pipeline
from ..cache.store import Entry, Workspace
from ..source.source import Source

ORDINARY = 4
WINDOWS = (192, 160, 128, 96, 64)  # the largest that fits
MAX_BYTES = 700_000  # of all golden pairs in a bundle; with a picture of every artifact that ran them they stay below a million


def golden(pipeline: Pipeline, source: Source, size: Size) -> Entry:
    """The golden pairs at one size, in the files of a folder."""

    def make(workspace: Workspace, report: ReportProgress) -> None:
        budget = MAX_BYTES // len(source.recipe.model.sizes)
        with torch_threads(source.recipe.latency.threads):
            files = golden_files(source.model, source.reference, _small_samples(source, size), size, budget)
        for name, content in files.items():
            atomic_write(workspace.output / name, content)

    inputs = {
        "model": source.fingerprint,
        "reference": source.reference_fingerprint,
        "size": size,
        "sizes": len(source.recipe.model.sizes),
        "threads": source.recipe.latency.threads,
        "images": [images.sha256 for images in source.validation.sets],
    }
    return pipeline.run("golden", f"{size[0]}x{size[1]}", inputs, make)


def golden_files(model: Model, reference: Model, samples: Sequence[tuple[Sample, bool]], size: Size, budget: int) -> dict[str, bytes]:
    """Content by file name: ``golden.json``, or what it says instead of pairs, and the pictures, which keep the budget.

    Args:
        reference: what ordinary samples are compared with; hard ones are with ``model`` itself.
        samples: reduced, each with whether it is a hard one.
        budget: bytes of all files together.
    """
    specs = tuple(asked(model.graphs))
    spec = scenario_output(model)
    obstacle = _obstacle(specs, spec)
    if obstacle:
        return {FILE: _none(size, obstacle)}
    made: dict[str, bytes] = {}
    pairs: list[GoldenPair] = []
    pictures: dict[str, Levels] = {}
    # The scenario repeats what the chain has run, and most samples have the same style.
    runs = {
        hard: {name: CachedRun(run) for name, run in runs_from_modules(owner).items()}
        for hard, owner in ((False, reference), (True, model))
    }
    for index, (sample, hard) in enumerate(samples):
        images, inputs = _inputs(sample, specs, size, made)
        owner = model if hard else reference
        known = run_chain(owner.graphs, runs[hard], inputs) if _chains(specs, inputs) else {}
        if not _is_scenario(owner, runs[hard], inputs, known.get(spec.name)):
            return {FILE: _none(size, "the model's scenario is more than its graphs one after the other, by the names of their tensors")}
        if not np.isfinite(known[spec.name]).all():
            return {FILE: _none(size, f"the float reference gives NaN or Inf of '{sample.name}'")}
        scalars = tuple(GoldenScalar(each.name, float(inputs[each.name].flat[0])) for each in specs if each.kind is TensorKind.SCALAR)
        pairs.append(GoldenPair(sample.name, hard, images, scalars, f"output-{index:02d}.png"))
        pictures[pairs[-1].output] = to_levels(spec, known[spec.name])
    height, width = next(iter(pictures.values())).shape[:2]
    for side in WINDOWS:
        window = _centre(height, width, side)
        outputs_made = {name: png(_cut(picture, window)) for name, picture in pictures.items()}
        files = {**made, **outputs_made, FILE: golden_json(Golden(size, spec.name, window, tuple(pairs))).encode()}
        if sum(map(len, files.values())) <= budget:
            return files
    return {FILE: _none(size, f"the pictures of {len(pairs)} pairs do not fit into {budget:,} bytes")}


def _none(size: Size, reason: str) -> bytes:
    return golden_json(Golden(size, "", (0, 0, 0, 0), (), reason)).encode()


def _obstacle(specs: Sequence[TensorSpec], output: TensorSpec) -> str:
    """What stands in the way of golden pairs, which are pictures and numbers; empty if nothing does."""
    vector = next((spec.name for spec in specs if spec.kind is TensorKind.VECTOR), None)
    if vector is not None:
        return f"the model takes a vector, '{vector}', that none of its graphs gives"
    if output.kind is not TensorKind.IMAGE or output.channels not in PICTURE_CHANNELS:
        return f"'{output.name}' is no picture"
    return ""


def _chains(specs: Sequence[TensorSpec], inputs: dict[str, np.ndarray]) -> bool:
    return all(spec.name in inputs for spec in specs)


def _is_scenario(model: Model, runs: Mapping[str, Run], inputs: dict[str, np.ndarray], found: np.ndarray | None) -> bool:
    return found is not None and np.array_equal(found, model.scenario(runs, inputs))


def _inputs(
    sample: Sample, specs: Sequence[TensorSpec], size: Size, made: dict[str, bytes]
) -> tuple[tuple[GoldenImage, ...], dict[str, np.ndarray]]:
    """What goes into the model, and the files of its images, which ``made`` gets; equal ones share a file."""
    images: list[GoldenImage] = []
    inputs = dict(sample.inputs)
    for spec in specs:
        if spec.kind is not TensorKind.IMAGE or spec.name not in sample.inputs:
            continue
        small = to_levels(spec, sample.inputs[spec.name])
        factor = reduction(_pixels(spec, size))
        content = png(small)
        name = next((name for name, known in made.items() if known == content), f"input-{len(made):02d}.png")
        made[name] = content
        images.append(GoldenImage(spec.name, name, factor))
        inputs[spec.name] = to_values(spec, enlarged(small, factor))
    return tuple(images), inputs


def _small_samples(source: Source, size: Size) -> list[tuple[Sample, bool]]:
    """A few validation samples and the hard ones, with images that are reduced by ``reduction``."""
    factor = reduction(size)
    specs = tuple(_reduced(spec, size) for spec in source.model.sample_inputs)
    model = replace(source.model, sample_inputs=specs)
    small = (size[0] // factor, size[1] // factor)
    ordinary = list(islice(make_samples(model, small, source.validation.sets, "cycle"), ORDINARY))
    return [(sample, False) for sample in ordinary] + [(sample, True) for sample in hard_samples(model, small, ordinary[0])]


def _reduced(spec: TensorSpec, size: Size) -> TensorSpec:
    """An image that does not follow the recipe's size, as its reduced picture is loaded."""
    if spec.kind is not TensorKind.IMAGE:
        return spec
    height, width = _pixels(spec, size)
    factor = reduction((height, width))
    return replace(spec, scale=1, fixed_size=(height // factor, width // factor))


def _pixels(spec: TensorSpec, size: Size) -> Size:
    height, width = spec.shape(size)[2:]
    return height, width


def _centre(height: int, width: int, side: int) -> tuple[int, int, int, int]:
    rows, columns = min(side, height), min(side, width)
    return (height - rows) // 2, (width - columns) // 2, rows, columns


def _cut(picture: Levels, window: tuple[int, int, int, int]) -> Levels:
    top, left, height, width = window
    return np.ascontiguousarray(picture[top : top + height, left : left + width])
