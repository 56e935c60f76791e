"""The stages importance, prune and recover: from the whole model to the one that is exported."""

from dataclasses import replace
from itertools import islice
from pathlib import Path

from safetensors.torch import save
from torch import Tensor

from ...calibration.holdout import contents_listed, names_below, split
from ...calibration.imageset import ImageSet
from ...compression.distillation.draws import SampleDraws
from ...compression.pruning.checkpoint import read_learnt, read_pruned, write_pruned
from ...model.checkpoint import read_tensors
from ...model.graph import Sample
from ...model.runs import graph_inputs
from ...recipe.settings import ImageSetSettings, PruneSettings
from ...system.disk import atomic_write
from ...system.errors import ImageError
from ...system.hashing import digest, file_sha256
from ...system.progress import ReportProgress
from ..cache.pipeline import Pipeline
from ..cache.store import Entry, Workspace
from ..source.image_checks import check_disjoint
from ..source.source import Source
from .quantize import WEIGHTS

SCORES = "importance.safetensors"


def prune(pipeline: Pipeline, source: Source) -> Source:
    """The source with a pruned model: the finished one of the recipe, or pruned here and recovered if the recipe says so.

    Raises:
        RecipeError: a pattern matches nothing.
        PruneError: the model cannot be pruned so.
        CheckpointError: the finished one is missing, or does not fit.
    """
    settings, model = source.recipe.prune, source.model
    if settings.method == "off":
        pipeline.pass_over("prune", "", "off")
        return source
    if settings.result is not None:
        pipeline.pass_over("prune", "", f"as in {settings.result.name}")
        return _pruned(source, settings.result)
    from ...compression.pruning.whole import check_patterns, prune_model, touched

    check_patterns(model, settings, source.recipe.path)
    scored = {name: importance(pipeline, source, name, settings) for name in touched(model, settings)}

    def cut(workspace: Workspace, report: ReportProgress) -> None:
        scores = {name: read_scores(entry) for name, entry in scored.items()}
        pruned, rows = prune_model(model, _samples(source), settings, scores)
        write_pruned(pruned, rows, path=workspace.output / WEIGHTS, bare=source.bare, metadata={})

    inputs = {name: entry.digest for name, entry in scored.items()}
    key = {"scores": inputs, "settings": settings.model_dump(mode="json", exclude={"recover", "result"}), **_score_key(source)}
    entry = pipeline.run("prune", "", key, cut)

    def learn(workspace: Workspace, report: ReportProgress) -> None:
        from ...compression.distillation.recover import recover

        side = settings.recover.crop
        student, rows = read_pruned(model, entry.folder / WEIGHTS, source.bare)
        draws = SampleDraws(model, (side, side), lessons, settings.recover.seed)
        recover(student, model, draws=draws, settings=settings.recover, state_file=workspace.state / "recover.pt", report=report)
        write_pruned(student, rows, path=workspace.output / WEIGHTS, bare=source.bare, metadata={})

    if settings.recover.any_steps:
        lessons = _lessons(source)
        own = settings.recover.model_dump(mode="json", exclude={"images", "held_out", "rounded"})
        key = {"model": source.fingerprint, "pruned": entry.digest, "settings": own, "images": [images.sha256 for images in lessons]}
        entry = pipeline.run("recover", "", key, learn)
    else:
        pipeline.pass_over("recover", "", "off")
    if settings.recover.rounded.any_steps:
        entry = _rounded(pipeline, source, entry)
    return _pruned(source, entry.folder / WEIGHTS, entry.digest)


def _rounded(pipeline: Pipeline, source: Source, entry: Entry) -> Entry:
    """The pruned model after it learnt on with rounded numbers."""
    recipe, settings = source.recipe, source.recipe.prune.recover
    lessons = _lessons(source)

    def learn(workspace: Workspace, report: ReportProgress) -> None:
        from ...compression.distillation.rounded import recover_rounded

        student, rows = read_pruned(source.model, entry.folder / WEIGHTS, source.bare)
        draws = SampleDraws(source.model, (settings.crop, settings.crop), lessons, settings.seed)
        learnt = recover_rounded(
            student,
            source.model,
            draws=draws,
            settings=settings,
            quantize=recipe.quantize,
            state_file=workspace.state / "rounded.pt",
            report=report,
        )
        write_pruned(student, rows, path=workspace.output / WEIGHTS, bare=source.bare, metadata={}, learnt=learnt)

    own = settings.model_dump(mode="json", exclude={"images", "held_out", "steps", "learning_rate"})
    quantized = recipe.quantize.model_dump(mode="json", include={"keep_float", "keep_int8", "observer", "percentile"})
    key = {"model": source.fingerprint, "pruned": entry.digest, "settings": own, "quantize": quantized}
    return pipeline.run("rounded", "", {**key, "images": [images.sha256 for images in lessons]}, learn)


def importance(pipeline: Pipeline, source: Source, graph: str, asked: PruneSettings | None = None) -> Entry:
    """What the heads and channels of a graph matter: those that patterns of ``asked`` want fewer of, or all.

    Raises:
        PruneError: the graph does not run.
    """
    channels, heads = (asked.channels, asked.heads) if asked else (None, None)

    def make(workspace: Workspace, report: ReportProgress) -> None:
        from ...compression.pruning.prune import score_graph

        inputs = [fed[graph] for fed in graph_inputs(source.model, _samples(source))]
        scores = score_graph(source.model.graph(graph), inputs, lambda done, total: report(done, total, ""), channels, heads)
        atomic_write(workspace.output / SCORES, save(scores))

    # How much is asked for does not matter.
    patterns = [ratios and [(pattern, ratio > 0) for pattern, ratio in ratios.items()] for ratios in (channels, heads)]
    return pipeline.run("importance", graph, {"graph": graph, "asked": patterns, **_score_key(source)}, make)


def read_scores(entry: Entry) -> dict[str, Tensor]:
    """(width,) by group, as ``importance`` stored them."""
    return read_tensors(entry.folder / SCORES)


def _score_key(source: Source) -> dict[str, object]:
    size, count = source.recipe.model.sizes[0], source.recipe.prune.samples
    return {"model": source.fingerprint, "size": size, "samples": count, **source.calibration.key}


def _samples(source: Source) -> list[Sample]:
    images = source.calibration
    samples = images.samples(source.model, source.recipe.model.sizes[0])
    return list(islice(samples, source.recipe.prune.samples))


def _lessons(source: Source) -> tuple[ImageSet, ...]:
    """What recovery learns from.

    Raises:
        ImageError: a pattern matches nothing, everything is held out or unreadable, or a validation image is among them.
    """
    settings = source.recipe.prune.recover
    if settings.images is None:
        return source.calibration.sets
    sets = _held_in(source, settings.images)
    validation = source.validation.sets
    check_disjoint(sets, [images.digests for images in sets], validation, [images.digests for images in validation], source.recipe.path)
    return sets


def _held_in(source: Source, images: ImageSetSettings) -> tuple[ImageSet, ...]:
    """The images that recovery may see."""
    settings, base = source.recipe.prune.recover, source.recipe.base
    held_out = settings.held_out
    names, contents = names_below(held_out.names_of), contents_listed(held_out.contents)
    sets = []
    for patterns, every in zip(images.patterns(), (held_out.photo_every, held_out.artwork_every), strict=False):
        files = split(patterns, base, every, names, contents)
        if not files.training:
            raise ImageError(
                f"{source.recipe.path}: prune.recover.images: of {', '.join(patterns)} {len(files.held_out)} are held out and "
                f"{len(files.damaged)} cannot be read, so that none is left to learn from"
            )
        sets.append(ImageSet.from_patterns([str(path) for path in files.training], base))
    return tuple(sets)


def _pruned(source: Source, path: Path, what: str | None = None) -> Source:
    """The source with the model of a pruned checkpoint. Raises as ``read_pruned`` and ``read_learnt``."""
    model, rows = read_pruned(source.model, path, source.bare)
    fingerprint = digest({"model": source.fingerprint, "pruned": what or file_sha256(path)})
    return replace(source, model=model, fingerprint=fingerprint, pruning=rows, learnt=read_learnt(path))
