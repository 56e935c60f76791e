"""What two releases paint: the new one's golden pairs through both, side by side where they differ most."""

import io
from collections.abc import Iterator, Mapping
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from PIL import Image

from ...model.graph import TensorKind
from ...recipe.recipe import parse_recipe
from ...system.errors import ArtifactError, ExecutionError, TargetUnavailableError
from ...targets.artifact import read_manifest
from ...targets.registry import get_target
from ...validation.golden.chain import asked, outputs, run_chain
from ...validation.golden.pairs import FILE, Golden, GoldenPair, home, inputs_of, read_golden
from ...validation.golden.pictures import Levels, to_levels
from ...validation.golden.replay import THREADS
from ...validation.measure.built import Built
from ...validation.measure.quality import similarity
from ...validation.results.bundle import RECIPE
from .release import Side


@dataclass(frozen=True)
class Painted:
    """One artifact of both releases.

    Attributes:
        artifact: its name.
        why_not: why it was not run, otherwise empty.
        ssim: between old and new, by golden pair.
        worst: name of the pair that differs most.
        picture: PNG of the old picture, the new one and four times their difference; empty if nothing was run.
    """

    artifact: str
    why_not: str
    ssim: Mapping[str, float]
    worst: str = ""
    picture: bytes = b""


def paintings(old: Side, new: Side) -> Iterator[Painted]:
    """For every artifact that both have; it is run here."""
    for entry in new.bundle.artifacts:
        if entry.folder and old.artifact(entry.name):
            try:
                yield _painted(entry.name, old, new)
            except (TargetUnavailableError, ExecutionError, ArtifactError) as error:
                yield Painted(entry.name, str(error), {})


def _painted(name: str, old: Side, new: Side) -> Painted:
    entry = new.artifact(name)
    pairs = new.folder / home(entry.size) if entry else new.folder
    if entry is None or not (pairs / FILE).is_file():
        return Painted(name, "the new bundle has no golden pairs of its size", {})
    golden = read_golden(pairs)
    if not golden.pairs:
        return Painted(name, golden.reason, {})
    scores: dict[str, float] = {}
    worst: tuple[float, str, bytes] = (np.inf, "", b"")
    with ExitStack() as stack:
        sides = [_Side(stack, side, name) for side in (old, new)]
        spec = sides[1].outputs[golden.output]
        if spec.kind is not TensorKind.IMAGE:
            return Painted(name, "it gives no picture", {})
        for pair in golden.pairs:
            before, after = (side.run(pair, golden, pairs) for side in sides)
            found = similarity(spec, before, after)
            scores[pair.name] = found
            if found < worst[0]:
                worst = (found, pair.name, _beside(to_levels(spec, before), to_levels(spec, after)))
    return Painted(name, "", scores, worst[1], worst[2])


class _Side:
    """One release's artifact, opened."""

    def __init__(self, stack: ExitStack, side: Side, name: str) -> None:
        entry = side.artifact(name)
        if entry is None:
            raise ArtifactError(f"{side.folder}: has no {name}")
        options = parse_recipe(side.folder / RECIPE).targets.options.get(entry.target, {})
        target = get_target(entry.target).configured(options)
        available = target.availability()
        if not available.can_run:
            raise TargetUnavailableError(f"not executed here: {available.reason}")
        folder = side.folder / entry.folder
        self.artifact = read_manifest(folder)
        built = Built(self.artifact, folder, target).on(target.units()[0])
        self.runs = {graph.name: stack.enter_context(built.open(graph.name, THREADS)).run for graph in self.artifact.graphs}
        self.outputs = outputs(self.artifact.graphs)

    def run(self, pair: GoldenPair, golden: Golden, folder: Path) -> np.ndarray:
        inputs = inputs_of(pair, golden, folder, tuple(asked(self.artifact.graphs)))
        return run_chain(self.artifact.graphs, self.runs, inputs)[golden.output]


def _beside(old: Levels, new: Levels) -> bytes:
    difference = np.clip(4 * np.abs(old.astype(np.int16) - new.astype(np.int16)), 0, 255).astype(np.uint8)
    row = np.concatenate([old[:, :, :3], new[:, :, :3], difference[:, :, :3]], axis=1)
    buffer = io.BytesIO()
    Image.fromarray(row[:, :, 0] if row.shape[2] == 1 else row).save(buffer, "PNG")
    return buffer.getvalue()
