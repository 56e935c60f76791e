"""A model of two graphs that NumPy can follow, targets that misbehave in known ways, and measurements and bundles to judge."""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from pathlib import Path

import numpy as np
import torch
from torch import nn

from instantstyle.capture.program import Program, Provenance
from instantstyle.model.graph import Arrays, Graph, Model, Run, Sample, Size, TensorKind, TensorSpec
from instantstyle.recipe.limits import Limits
from instantstyle.recipe.precision import Precision
from instantstyle.system.hashing import file_sha256
from instantstyle.targets.artifact import describe_all, describe_files, write_manifest
from instantstyle.targets.base import Artifact, Availability, Execution, GraphArtifact, Runner, Target
from instantstyle.validation.judge.entries import judged
from instantstyle.validation.results.bundle import FORMAT, Bundle
from instantstyle.validation.results.departure import Departure, Departures
from instantstyle.validation.results.evidence import Evidence, GraphCalls, SampleImage, SampleSet
from instantstyle.validation.results.measurements import GraphExecution, Measurements, Quality, Score
from instantstyle.validation.results.provenance import Island, Library, ModelSource, RecipeSource
from instantstyle.validation.results.timing import Latency, Machine, Timing

SIZE: Size = (32, 48)
PHOTO = TensorSpec("photo")
STYLE = TensorSpec("style", fixed_size=(16, 16))
CODE = TensorSpec("code", TensorKind.VECTOR, channels=3)
ALPHA = TensorSpec("alpha", TensorKind.SCALAR, channels=1, minimum=0.0, maximum=1.0)
IMAGE = TensorSpec("image")


class Encoder(nn.Module):
    def forward(self, style: torch.Tensor) -> torch.Tensor:
        return style.mean((2, 3))


class Painter(nn.Module):
    def forward(self, photo: torch.Tensor, code: torch.Tensor, alpha: torch.Tensor) -> torch.Tensor:
        return photo * (1 - alpha / 2) + code[:, :, None, None] * alpha / 2


def scenario(runs: Mapping[str, Run], sample: Arrays) -> np.ndarray:
    code = runs["encoder"]({"style": sample["style"]})["code"]
    return runs["painter"]({"photo": sample["photo"], "code": code, "alpha": sample["alpha"]})["image"]


def model() -> Model:
    graphs = (Graph("encoder", Encoder(), (STYLE,), (CODE,)), Graph("painter", Painter(), (PHOTO, CODE, ALPHA), (IMAGE,)))
    return Model("tiny", graphs, scenario, (PHOTO, STYLE, ALPHA), "painter")


def samples(photos: int, styles: int = 1) -> list[Sample]:
    """All pairs of smooth random photos and noisy styles."""
    generator = np.random.default_rng(7)
    waves = [np.sin(np.linspace(0, 3 + index, SIZE[1]) + np.linspace(0, 2, SIZE[0])[:, None]) for index in range(photos)]
    pictures = [np.broadcast_to(wave * 0.7, PHOTO.shape(SIZE)).astype(np.float32) for wave in waves]
    textures = [generator.uniform(-1, 1, STYLE.shape(SIZE)).astype(np.float32) for _ in range(styles)]
    alpha = np.ones((1, 1), np.float32)
    return [
        Sample(f"p{row} x s{column}", {"photo": photo, "style": style, "alpha": alpha})
        for row, photo in enumerate(pictures)
        for column, style in enumerate(textures)
    ]


def noise(shape: tuple[int, ...]) -> np.ndarray:
    """What ``FakeTarget("noise")`` adds to every image."""
    return np.random.default_rng(3).normal(0, 0.05, shape).astype(np.float32)


class FakeRunner(Runner):
    """Both graphs in NumPy; ``behaviour`` says what is wrong with it."""

    def __init__(self, graph: GraphArtifact, size: Size, behaviour: str) -> None:
        super().__init__(graph, size)
        self.execution = Execution("FakeProvider", 5, 5, evaluator="a stand-in" if behaviour == "evaluator" else "")
        self._behaviour = behaviour
        self.ran = 0
        self.closed = False

    def _execute(self, inputs: Arrays) -> dict[str, np.ndarray]:
        self.ran += 1
        if self._behaviour == "memory":
            ballast = np.ones(100 * 2**20, np.uint8)
            return {"code": np.full((1, 3), float(ballast[-1]), np.float32)}
        if self._graph.name == "encoder":
            return {"code": inputs["style"].mean((2, 3))}
        alpha = inputs["alpha"]
        image = inputs["photo"] * (1 - alpha / 2) + inputs["code"][:, :, None, None] * alpha / 2
        if self._behaviour == "noise":
            image = image + noise(image.shape)
        if self._behaviour == "nan":
            image[0, 1, 5, 5] = np.nan
        if self._behaviour == "crash":
            raise RuntimeError("segment 7 of the tensor arena is gone")
        if self._behaviour == "shape":
            image = image[:, :, 1:]
        return {"picture" if self._behaviour == "name" else "image": image}

    def _free(self) -> None:
        self.closed = True


@dataclass
class FakeTarget(Target):
    behaviour: str = ""
    name = "fake"
    description = "for tests"
    precisions = (Precision.FLOAT32, Precision.INT8)

    def __post_init__(self) -> None:
        self.opened: dict[str, FakeRunner] = {}
        self.threads: set[int] = set()

    def availability(self) -> Availability:
        return Availability(can_emit=True, can_run=True)

    def emit(self, program: Program, precision: Precision, folder: Path) -> Artifact:
        raise NotImplementedError

    def open(self, artifact: Artifact, folder: Path, graph: str, threads: int) -> Runner:
        self.threads.add(threads)
        self.opened[graph] = FakeRunner(artifact.graph(graph), artifact.size, self.behaviour)
        return self.opened[graph]


def artifact(precision: Precision = Precision.INT8, size: Size = SIZE) -> Artifact:
    graphs = (
        GraphArtifact("encoder", "e.bin", (STYLE,), (CODE,), 5, 4),
        GraphArtifact("painter", "p.bin", (PHOTO, CODE, ALPHA), (IMAGE,), 5, 5),
    )
    return Artifact("fake", precision, size, graphs, (), 1234)


def timing(name: str, p50_ms: float) -> Timing:
    return Timing(name, 30, p50_ms, p50_ms * 0.9, p50_ms * 1.1, p50_ms * 1.2)


def latency(graph: str, over_ort_float: float = 2.5, over_pytorch: float = 4.0, spread: float = 0.1) -> Latency:
    artifact_ms = 10.0
    return Latency(
        graph,
        timing("artifact", artifact_ms),
        timing("ort_float", artifact_ms * over_ort_float),
        timing("pytorch", artifact_ms * over_pytorch),
        over_ort_float,
        over_pytorch,
        over_ort_float - spread,
        over_ort_float + spread,
        over_pytorch - spread,
        over_pytorch + spread,
    )


MACHINE = Machine("Test CPU", 2, 2, 0.1, 0.2, "Linux test", busy_elsewhere=0.03)
SCORES = (Score("a", 0.9900, 40.0, 0.10), Score("b", 0.9712, 35.0, 0.30), Score("c", 0.9800, 38.0, 0.20))
HARD = (Score("flat black", 0.95, 30.0, 0.5), Score("noise", 0.90, 28.0, 0.7))


SAMPLES = SampleSet((tuple(SampleImage(score.sample, f"{index}" * 64) for index, score in enumerate(SCORES)),), "all")
CALLS = (GraphCalls("encoder", len(SCORES), 0), GraphCalls("painter", len(SCORES), len(HARD)))
EVIDENCE = Evidence((), (), "a" * 64, SAMPLES, tuple(score.sample for score in HARD), CALLS)


DEPARTURES = Departures(
    (Departure("a", 0.99, 0.95, 0.02, 0.5, 0.1), Departure("b", 0.98, 0.85, 0.05, 1.5, 0.2), Departure("c", 0.985, 0.9, 0.03, 1.0, 0.0)),
    (Departure("flat black", 0.95, 0.93, 0.01, 0.6), Departure("noise", 0.90, 0.87, 0.04, 0.9)),
)


def measurements(**changes) -> Measurements:
    """Of ``android-int8-512x512``, which passes without limits: SSIM mean 0.9804, worst 0.9712 (b), hard 0.90 (noise)."""
    vectors = tuple(Score(score.sample, None, 50.0, 0.01) for score in SCORES)
    good = Measurements(
        artifact="android-int8-512x512",
        precision=Precision.INT8,
        hot_graph="painter",
        end_to_end=Quality(SCORES, HARD),
        graphs=(("encoder", Quality(vectors, ())), ("painter", Quality(SCORES, HARD))),
        latency=(latency("encoder", 1.5), latency("painter", 2.5)),
        executions=(GraphExecution("encoder", "CPU", 5, 5, 5), GraphExecution("painter", "CPU", 8, 7, 7)),
        peak_memory_bytes=90_000_000,
        shipped_bytes=3_000_000,
        machine=MACHINE,
        evidence=EVIDENCE,
        departures=DEPARTURES,
    )
    return replace(good, **changes)


RECIPE = """\
name = "mobile"
model = {{ factory = "a:b", sizes = [512] }}
images = {{ calibration = {{ photos = "a" }}, validation = {{ photos = "b", minimum = 3 }} }}
targets = {{ build = {{ android = ["int8"] }}, required = [{required}] }}
[limits]
{limits}
"""


def bundle_in(folder: Path, limits: Limits | None = None, required: tuple[str, ...] = ("android",), **changes) -> Bundle:
    """A bundle of one artifact whose files are written into ``folder``; ``integrity.seal`` completes it."""
    home = folder / "android" / "int8-512x512"
    (home / "sub").mkdir(parents=True)
    (home / "painter.ort").write_bytes(b"weights of the painter".ljust(2_000_000))
    (home / "sub" / "encoder.ort").write_bytes(b"weights of the encoder".ljust(1_000_000))
    graphs = (
        GraphArtifact("encoder", "sub/encoder.ort", (STYLE,), (CODE,), 5, 5),
        GraphArtifact("painter", "painter.ort", (PHOTO, CODE, ALPHA), (IMAGE,), 8, 7),
    )
    origin = ("tiny", Provenance(recipe="mobile", checkpoint_sha256="c" * 64))
    built = Artifact("android", Precision.INT8, (512, 512), graphs, describe_files(home), 3_000_000, ("a note",), *origin)
    write_manifest(built, home)
    named = ", ".join(f'"{name}"' for name in required)
    kept = "\n".join(f"{name} = {value}" for name, value in (limits or Limits()).model_dump(exclude_none=True).items())
    recipe = folder / "recipe.toml"
    recipe.write_text(RECIPE.format(required=named, limits=kept))
    found = measurements(evidence=replace(EVIDENCE, files=describe_all(home), baseline=describe_all(home)))
    entry = judged(built, "android/int8-512x512", replace(found, **changes), limits or Limits())
    return Bundle(
        format=FORMAT,
        created=datetime(2026, 11, 22, 10, 30, tzinfo=UTC),
        model=ModelSource("tiny", "c" * 64),
        recipe=RecipeSource("mobile", file_sha256(recipe)),
        sizes=((512, 512),),
        required=required,
        artifacts=(entry,),
        float_islands=(Island("painter", "decoder.adain", ("mean", "sqrt"), "AdaIN statistics"),),
        libraries=(Library("torch", "2.13.0"),),
        machine=MACHINE,
        pipeline_peak_memory_bytes=2_500_000_000,
        reference_sha256=EVIDENCE.reference_sha256,
        samples=SAMPLES,
        different_samples=len(SCORES),
        minimum_samples=len(SCORES),
    )
