"""A release for a target that cannot run here, and the same bundle measured where it can."""

import json
import shutil
from pathlib import Path

import pytest
from export_helpers import change, outcomes, release, write_recipe
from prediction import pretend_to_be_a_mac
from typer.testing import CliRunner

from instantstyle.cli.main import app
from instantstyle.export.cache import pipeline
from instantstyle.system.errors import CaptureError, RecipeError
from instantstyle.system.versions import library_versions
from instantstyle.validation.results.bundle_file import read_bundle
from instantstyle.validation.results.measurements import Status

COREML = ('android = ["int8"]', 'coreml = ["int8", "float16"]'), ('required = ["android"]', 'required = ["coreml"]')
LEVEL = ("[targets.build]", '[targets.level]\ncoreml = "graph_parity"\n\n[targets.build]')


@pytest.fixture(scope="module")
def built(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with a recipe and the bundle that it made here."""
    folder = tmp_path_factory.mktemp("coreml")
    write_recipe(folder, changes=(*COREML, LEVEL))
    code, _ = release(folder)
    assert code == 0
    return folder


@pytest.fixture
def folder(built: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(built, tmp_path / "coreml"))


def measure(folder: Path, *options: str) -> tuple[int, str]:
    arguments = [
        "measure",
        str(folder / "dist"),
        str(folder / "recipe.toml"),
        "--out",
        str(folder / "measured"),
        "--cache",
        str(folder / "cache"),
    ]
    result = CliRunner().invoke(app, [*arguments, *options])
    if result.exception is not None and not isinstance(result.exception, SystemExit):
        raise result.exception
    return result.exit_code, " ".join(result.stdout.split())


def test_graph_parity_is_said_everywhere(built: Path) -> None:
    bundle = read_bundle(built / "dist")
    artifact, other = bundle.artifacts
    assert artifact.status is other.status is Status.GRAPH_PARITY
    assert artifact.reason == "graph parity, reference evaluator; not executed on Apple hardware"
    assert bundle.graph_parity_suffices == ("coreml",)
    assert artifact.measurements is not None
    assert artifact.measurements.latency == () and artifact.measurements.peak_memory_bytes == 0
    (execution,) = artifact.measurements.executions
    assert execution.int8_convolutions == execution.convolutions > 0
    summary = (built / "dist" / "summary.md").read_text()
    assert "- coreml-int8-64x64: graph parity, reference evaluator; not executed on Apple hardware" in summary
    assert json.loads((built / "dist" / "bundle.json").read_text())["artifacts"][0]["status"] == "graph_parity"


def test_graph_parity_is_no_pass_unless_the_recipe_says_so(folder: Path) -> None:
    change(folder / "recipe.toml", (LEVEL[1], LEVEL[0]))
    code, events = release(folder)
    assert code == 1
    verdict = next(event for event in events if event["event"] == "verdict")
    assert "graph parity only" in verdict["reasons"][0] and "targets.level" in verdict["reasons"][0]


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ('coreml = "graph_parity"', 'onnx = "graph_parity"', "'onnx' is not required, so it needs no level; allowed: coreml"),
        ('coreml = "graph_parity"', 'coreml = "simulated"', "targets.level.coreml"),
        (LEVEL[0], "[targets.options.onnx]\nspeed = 1\n\n[targets.build]", "found 'onnx', which is not built"),
        (LEVEL[0], "[targets.options.coreml]\nspeed = 1\n\n[targets.build]", "unknown key 'speed'; known are more_sizes"),
    ],
)
def test_wrong_levels_and_options_are_refused_with_their_line(folder: Path, old: str, new: str, message: str) -> None:
    change(folder / "recipe.toml", (old, new))
    with pytest.raises(RecipeError, match=rf"recipe.toml:\d+: .*{message}"):
        release(folder)


def test_what_a_required_target_will_refuse_is_said_before_anything_is_trained(tmp_path: Path) -> None:
    write_recipe(tmp_path, "logaddexp_net.py:make", "qat", (*COREML, LEVEL))
    with pytest.raises(CaptureError, match=r"nothing was trained:\n  model.up: Core ML has no form of 'aten::logaddexp'; write"):
        release(tmp_path)
    assert not (tmp_path / "dist").exists()
    assert not (tmp_path / "cache" / "entries" / "qat").exists()


def test_what_is_not_required_is_a_notice(tmp_path: Path) -> None:
    both = ('android = ["int8"]', 'android = ["int8"]\ncoreml = ["int8"]')
    write_recipe(tmp_path, "logaddexp_net.py:make", changes=(both,))
    _, events = release(tmp_path)
    (notice,) = [event["text"] for event in events if event["event"] == "notice"]
    assert notice.startswith("coreml, which is not required, will refuse this model: model.up: Core ML has no form of")
    found = {artifact.target: artifact.status for artifact in read_bundle(tmp_path / "dist").artifacts}
    assert found["coreml"] is Status.FAILED and found["android"] is not Status.NOT_EXECUTED


def test_preflight_is_not_asked_twice(folder: Path) -> None:
    _, events = release(folder)
    assert outcomes(events)["preflight coreml 64x64"] == "reused"


def test_a_mac_measures_what_linux_built(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    pretend_to_be_a_mac(monkeypatch)
    measure(folder, "--only", "coreml", "--level", "passed")
    int8, half = read_bundle(folder / "measured").artifacts
    assert half.status is Status.PASSED and half.measurements is not None
    measured = half.measurements
    assert (measured.unit, measured.evaluator) == ("CPU_AND_NE", "")
    assert [unit.unit for unit in measured.other_units] == ["CPU_AND_GPU", "CPU_ONLY"]
    assert all(unit.latency and unit.end_to_end.scores for unit in measured.other_units)
    assert measured.latency and measured.end_to_end.scores == measured.other_units[0].end_to_end.scores
    summary = (folder / "measured" / "summary.md").read_text()
    assert all(f"| coreml-float16-64x64 | {unit} |" in summary for unit in ("CPU_AND_NE", "CPU_AND_GPU", "CPU_ONLY"))
    # Executed, int8 has to be faster than float, which the evaluator in its place is not.
    assert [failure.limit for failure in int8.failures] == ["int8_faster_than_float:model"]
    # What Linux built is carried over as it is.
    for before, after in zip(read_bundle(folder / "dist").artifacts, (int8, half), strict=True):
        assert (after.files, after.limits) == (before.files, before.limits)


def test_measured_here_it_stays_graph_parity(folder: Path) -> None:
    assert measure(folder)[0] == 0
    code, text = measure(folder, "--level", "passed")
    assert code == 1 and "graph parity only" in text


def test_another_recipe_or_an_altered_bundle_is_refused(folder: Path) -> None:
    with pytest.raises(RecipeError, match="--only tensor: .* has no such target; allowed: coreml"):
        measure(folder, "--only", "tensor")
    change(folder / "recipe.toml", ("runs = 5", "runs = 6"))
    with pytest.raises(RecipeError, match="was built by another recipe"):
        measure(folder)
    assert not (folder / "measured").exists()


def test_another_version_of_a_targets_package_emits_again_and_trains_nothing(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def newer(names: tuple[str, ...]) -> dict[str, str]:
        return library_versions(names) | ({"coremltools": "99"} if "coremltools" in names else {})

    monkeypatch.setattr(pipeline, "library_versions", newer)
    _, events = release(folder)
    found = outcomes(events)
    assert found["emit coreml-int8-64x64"] == found["preflight coreml 64x64"] == "done"
    assert found["calibrate"] == found["capture int8 64x64"] == "reused"
