"""What `make gpu-check` makes of a bundle: an engine that something stood in for is no engine that ran."""

from contextlib import ExitStack
from pathlib import Path

import gpu_measure
import pytest
import torch
import validation_fakes as fakes
from cuda_contestants import EAGER_FLOAT32, ORT_CUDA
from cuda_latency import Race, Schedule
from gpu_measure import measure
from gpu_result import PART, WHOLE, GraphTimes, Verdict

from instantstyle.recipe.limits import Limits
from instantstyle.recipe.recipe import Recipe
from instantstyle.system.errors import CaptureError, ExecutionError, RecipeError
from instantstyle.targets.tensorrt.bindings import TENSORRT, Probe
from instantstyle.validation.results.bundle import Bundle

RECIPE = Path(__file__).parents[2] / "recipes" / "server.toml"
STAND_IN = {"evaluator": "same graph elsewhere", "latency": (), "peak_memory_bytes": 0}


def test_verdict_of_an_artifact_that_ran(tmp_path: Path) -> None:
    bundle = fakes.bundle_in(tmp_path)
    found = Verdict.of(bundle, bundle.artifacts[0])
    assert found.passed and found.ships and (found.ssim_worst, found.worst_sample) == (0.9712, "b")
    assert (found.int8_convolutions, found.convolutions, found.shipped_bytes) == (12, 13, 3_000_000)


def test_verdict_of_one_that_misses_a_limit(tmp_path: Path) -> None:
    bundle = fakes.bundle_in(tmp_path, Limits(min_ssim_worst=0.98))
    found = Verdict.of(bundle, bundle.artifacts[0])
    assert not found.passed and found.status == "failed" and "0.9712" in found.problems[0] and found.ssim_worst == 0.9712


def test_scores_of_a_stand_in_are_not_the_engines(tmp_path: Path) -> None:
    bundle = fakes.bundle_in(tmp_path, **STAND_IN)
    found = Verdict.of(bundle, bundle.artifacts[0])
    assert not found.passed and found.ssim_mean is None and found.convolutions == 0 and "graph parity only" in found.problems[0]


@pytest.fixture
def released(monkeypatch: pytest.MonkeyPatch, tmp_path: Path):
    """Puts a bundle, or an error, in the place of a release, and made-up times in the place of timing."""

    def fake(outcome: Bundle | Exception) -> list[list[str]]:
        timed: list[list[str]] = []

        def release(*_: object) -> Bundle:
            if isinstance(outcome, Exception):
                raise outcome
            return outcome

        def time_all(recipe: Recipe, whole, shipped, product, executed, work: Path, schedule: Schedule) -> tuple[GraphTimes, ...]:
            timed.append([artifact.name for artifact in executed])
            return (GraphTimes.of("stylizer", True, size=(512, 512), found=Race({}, {}, {}), failures={}, baseline=""),)

        monkeypatch.setattr(gpu_measure, "_release", release)
        monkeypatch.setattr(gpu_measure, "_time_all", time_all)
        monkeypatch.setattr(gpu_measure, "probe", lambda product: Probe("11.0", None, ()))
        return timed

    return fake


def test_executed_artifacts_are_timed(released, tmp_path: Path) -> None:
    timed = released(fakes.bundle_in(tmp_path))
    part = measure(TENSORRT, RECIPE, 80, tmp_path, Schedule())
    assert timed == [["android-int8-512x512"]] and part.title == "TensorRT 11.0" and part.gate == () and not part.said
    assert PART.validate_json(PART.dump_json(part)) == part


def test_what_was_not_executed_is_not_timed(released, tmp_path: Path) -> None:
    timed = released(fakes.bundle_in(tmp_path, **STAND_IN))
    part = measure(TENSORRT, RECIPE, 80, tmp_path, Schedule())
    assert timed == [] and not part.ran and part.latency == ()
    assert part.said == "graph parity, same graph elsewhere" and "graph parity only" in part.gate[0]


def test_a_release_that_is_refused_is_a_sentence(released, tmp_path: Path) -> None:
    timed = released(CaptureError("graph 'stylizer': TensorRT built no engine"))
    part = measure(TENSORRT, RECIPE, 80, tmp_path, Schedule())
    assert timed == [] and part.said == "CaptureError: graph 'stylizer': TensorRT built no engine" and part.gate == (part.said,)


def test_without_a_product_nothing_is_built(released, tmp_path: Path) -> None:
    timed = released(RuntimeError("no release is wanted"))
    part = measure(None, RECIPE, 80, tmp_path, Schedule())
    assert timed == [[]] and part.target == "" and part.verdicts == ()


def test_a_recipe_that_has_yet_to_be_pruned_is_refused() -> None:
    recipe = gpu_measure.load_recipe(RECIPE)
    unpruned = recipe.model_copy(update={"prune": recipe.prune.model_copy(update={"result": None})})
    with pytest.raises(RecipeError, match="prune.result: missing, and a GPU check does not prune"):
        gpu_measure.networks(unpruned)


@pytest.mark.skipif(torch.cuda.is_available(), reason="with CUDA, it measures")
def test_without_cuda_every_contestant_says_why_it_was_not_timed(tmp_path: Path) -> None:
    part = measure(None, RECIPE, 80, tmp_path, Schedule(warmup=1, rounds=1, untimed=0, passes=1))
    assert [(graph.graph, graph.hot, graph.times) for graph in part.latency] == [("style_encoder", False, ()), ("stylizer", True, ())]
    for graph in part.latency:
        assert len(graph.failures) == 7 and WHOLE in graph.failures
        assert "CUDA" in graph.failures[EAGER_FLOAT32] and "has no CUDA provider" in graph.failures[ORT_CUDA]


class Opening(fakes.FakeTarget):
    """Opens a runner that is no engine, or refuses."""

    def open(self, artifact, folder: Path, graph: str, threads: int):
        if self.behaviour:
            raise ExecutionError(self.behaviour)
        return super().open(artifact, folder, graph, threads)


@pytest.mark.parametrize(
    ("behaviour", "said"), [("", "opened as FakeProvider, not as an engine"), ("no memory", "ExecutionError: no memory")]
)
def test_what_does_not_open_as_an_engine_is_not_timed(behaviour: str, said: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    bundle = fakes.bundle_in(tmp_path)
    monkeypatch.setattr(gpu_measure, "get_target", lambda name: Opening(behaviour))
    monkeypatch.setattr(gpu_measure, "read_manifest", lambda folder: fakes.artifact())
    graph = fakes.model().graphs[0]
    with ExitStack() as stack:
        assert gpu_measure._engines(stack, TENSORRT, artifacts=bundle.artifacts, graph=graph, inputs={}, work=tmp_path) == (
            {},
            {"android-int8-512x512": said},
        )
    assert gpu_measure._engines(ExitStack(), None, artifacts=bundle.artifacts, graph=graph, inputs={}, work=tmp_path) == ({}, {})
