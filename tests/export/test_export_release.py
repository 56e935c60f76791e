"""The whole pipeline on small nets: from a recipe to a judged bundle, and again with nothing to do."""

import io
import json
import os
import subprocess
import sys
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path

import numpy as np
import onnxruntime
import pytest
import torch
from export_helpers import MODELS, change, content_of, outcomes, release, write_recipe
from torch import nn
from typer.testing import CliRunner

from instantstyle.cli.main import app
from instantstyle.export.cache.pipeline import Doubt, Make, Pipeline
from instantstyle.export.cache.store import Entry, Store
from instantstyle.export.source.checked_recipe import load_recipe
from instantstyle.export.source.factory import import_factory
from instantstyle.export.source.source import load
from instantstyle.export.stages.capture import capture
from instantstyle.export.stages.quantize import calibrate
from instantstyle.recipe.precision import Precision
from instantstyle.system.errors import ArtifactError
from instantstyle.system.hashing import digest
from instantstyle.system.progress import PlainDisplay
from instantstyle.targets.android.target import AndroidTarget
from instantstyle.targets.base import Availability
from instantstyle.validation.judge.agreement import check_agreement
from instantstyle.validation.results.blame import BLAMES
from instantstyle.validation.results.bundle_file import read_bundle
from instantstyle.validation.results.measurements import Status

# The latency of so small a net says nothing; the check that int8 is faster than float has tests of its own.
SPEED_CHECK = "int8_faster_than_float"
EARLY = {"probe", "images calibration", "images validation", "calibrate", "capture float 64x64", "capture int8 64x64"}
GOLDEN = {"golden 64x64", "losses 64x64", "replay android-int8-64x64"}
LATE = {"emit onnx-float32-64x64", "emit android-int8-64x64", "validate android-int8-64x64"}


def check_android_model(folder: Path, net: str) -> None:
    """Everything that a release promises about the Android model of a user's net."""
    dist = folder / "dist"
    (artifact,) = read_bundle(dist).artifacts
    module = import_factory(f"{net}.py:make", MODELS)[0]().eval()
    assert artifact.name == "android-int8-64x64"
    assert all(failure.limit.startswith(SPEED_CHECK) for failure in artifact.failures)
    assert artifact.measurements is not None
    (execution,) = artifact.measurements.executions
    assert execution.convolutions == execution.int8_convolutions == sum(isinstance(m, nn.Conv2d) for m in module.modules())
    # The shipped file, run by nothing but ONNX Runtime, against the user's own module.
    image = np.random.default_rng(0).uniform(-1, 1, (1, 3, 64, 64)).astype(np.float32)
    with torch.no_grad():
        wanted = module(torch.from_numpy(image)).numpy()
    session = onnxruntime.InferenceSession(next((dist / artifact.folder).glob("*.ort")))
    output = np.asarray(session.run(None, {"image": image})[0])
    assert output.shape == wanted.shape
    assert 0 < np.square(output - wanted).mean() / np.square(wanted).mean() < 0.02
    assert {path.name for path in dist.iterdir()} - {"blame.json"} == {  # which is there where so small a net is slower in int8
        "android",
        "app",
        "bundle.json",
        "calibration.json",
        "golden",
        "junit.xml",
        "licenses.md",
        "losses.json",
        "model-card.md",
        "recipe.toml",
        "report.html",
        "sbom.cdx.json",
        "summary.md",
    }


@pytest.mark.parametrize("net", ["transform_net", "unet"])
def test_a_users_net_becomes_an_android_model(tmp_path: Path, net: str) -> None:
    write_recipe(tmp_path, f"{net}.py:make")
    code, events = release(tmp_path)
    check_android_model(tmp_path, net)
    stages = {name for name in outcomes(events) if not name.startswith("times")}
    assert stages == EARLY | LATE | GOLDEN | {"load tiny", "preflight android 64x64", "prune", "qat", "plan", "bundle dist"}
    assert events[-1] == {**events[-1], "event": "build_end", "exit_code": code}
    assert sorted(path.name for path in tmp_path.iterdir()) == ["cache", "calibration", "dist", "recipe.toml", "validation"]


def test_super_resolution_doubles_the_size(released: Path) -> None:
    check_android_model(released, "superres")
    (graph,) = json.loads((released / "dist" / "android" / "int8-64x64" / "artifact.json").read_text())["graphs"]
    assert graph["outputs"][0]["scale"] == 2


def test_a_second_run_does_nothing_and_says_so(released: Path) -> None:
    before = content_of(released / "dist")
    inode = (released / "dist").stat().st_ino
    _, events = release(released)
    assert {name: outcome for name, outcome in outcomes(events).items() if name in EARLY | LATE} == dict.fromkeys(EARLY | LATE, "reused")
    assert content_of(released / "dist") == before
    assert (released / "dist").stat().st_ino == inode
    assert events[-1]["summary"].endswith(" stages reused, 0 done") and "dist was up to date; " in events[-1]["summary"]


@pytest.mark.parametrize("damage", ["junit.xml", "summary.md", "android/int8-64x64/model.ort"])
def test_a_damaged_dist_is_made_again_from_the_cache(released: Path, damage: str) -> None:
    before = content_of(released / "dist")
    (released / "dist" / damage).unlink()
    _, events = release(released)
    assert events[-1]["summary"].endswith(" stages reused, 0 done") and "dist written; " in events[-1]["summary"]
    after = content_of(released / "dist")
    assert set(after) == set(before)
    assert after["android/int8-64x64/model.ort"] == before["android/int8-64x64/model.ort"]


@pytest.mark.parametrize(
    ("old", "new", "done"),
    [
        ("min_ssim_mean = 0.5", "min_ssim_mean = 0.6", set()),
        ("runs = 5", "runs = 6", {"validate android-int8-64x64"}),
        (
            'observer = "min_max"',
            'observer = "mse"',
            {"calibrate", "capture int8 64x64", "emit android-int8-64x64", "validate android-int8-64x64"},
        ),
    ],
)
def test_a_change_runs_again_what_depends_on_it(released: Path, old: str, new: str, done: set[str]) -> None:
    change(released / "recipe.toml", (old, new))
    _, events = release(released)
    assert {name for name in EARLY | LATE if outcomes(events)[name] == "done"} == done


def test_a_missed_limit_fails_the_build_and_the_bundle_says_what_its_modules_lose(released: Path) -> None:
    change(released / "recipe.toml", ("min_ssim_mean = 0.5", "min_ssim_mean = 1.0"))
    code, events = release(released)
    assert code == 1
    (verdict,) = (event for event in events if event["event"] == "verdict")
    assert (verdict["status"], verdict["required"]) == ("failed", True)
    assert any("SSIM" in reason for reason in verdict["reasons"])
    done = {name for name, outcome in outcomes(events).items() if outcome == "done" and not name.startswith("times")}
    assert done == {"load tiny", "blame model 64x64", "bundle dist"}
    (artifact,) = read_bundle(released / "dist").artifacts
    (found,) = BLAMES.validate_json((released / "dist" / "blame.json").read_bytes())
    assert (found.artifact, found.graph, found.samples) == (artifact.name, "model", 4)
    gains = [row.ssim_gained for row in found.modules if row.ssim_gained is not None]
    assert gains == sorted(gains, reverse=True) and gains[0] > 0
    assert any(row.int8_ms and row.float_ms for row in found.modules[: len(gains)])
    assert found.advice[0] in (released / "dist" / "summary.md").read_text()
    before = content_of(released / "dist")
    _, events = release(released)
    assert events[-1]["summary"].endswith(" 0 done") and content_of(released / "dist") == before


def test_float_ships_where_int8_misses_a_limit_and_the_recipe_allows_it(released: Path) -> None:
    strict = ("min_ssim_mean = 0.5", "min_ssim_mean = 0.5\nmax_abs = 1e-4")
    change(released / "recipe.toml", strict)
    assert release(released)[0] == 1
    assert [artifact.name for artifact in read_bundle(released / "dist").artifacts] == ["android-int8-64x64"]
    change(released / "recipe.toml", ("[quantize]", '[quantize]\nfallback = "float"'))
    code, events = release(released)
    assert code == 0, [event for event in events if event["event"] == "verdict"]
    # The key changes nothing of what was calibrated, captured and measured before.
    assert {name for name, outcome in outcomes(events).items() if outcome == "done"} - {"load tiny", "bundle dist"} == {
        "emit android-float32-64x64",
        "validate android-float32-64x64",
        "replay android-float32-64x64",
    }
    dist = released / "dist"
    bundle = read_bundle(dist)
    int8, plain = bundle.artifacts
    assert (int8.status, plain.status, plain.limits) == (Status.FAILED, Status.PASSED, int8.limits)
    (fallback,) = bundle.fallbacks
    assert (fallback.artifact, fallback.ships, bundle.built_instead) == (int8.name, plain.name, (plain.name,))
    assert "largest difference" in fallback.reason and "is above 0.0001" in fallback.reason
    verdicts = {event["artifact"]: event for event in events if event["event"] == "verdict"}
    assert [(verdicts[each.name]["required"], verdicts[each.name]["reasons"][:1]) for each in (int8, plain)] == [
        (False, [f"ships as {plain.name}"]),
        (True, []),
    ]
    said = f"{int8.name} ships as {plain.name}, in float32, because {int8.name}: largest difference"
    summary, page, junit = ((dist / name).read_text() for name in ("summary.md", "report.html", "junit.xml"))
    assert said in summary and said in page
    assert f"passed, android; not in int8: {plain.name} instead of {int8.name}" in summary.splitlines()[0]
    assert "<failure" not in junit and f"{plain.name} ships instead" in junit
    assert CliRunner().invoke(app, ["validate", str(dist)]).exit_code == 0
    for wrong in (replace(bundle, fallbacks=()), replace(bundle, fallbacks=(replace(fallback, ships=int8.name),))):
        with pytest.raises(ArtifactError, match="fallbacks is"):
            check_agreement(wrong, dist)
    with pytest.raises(ArtifactError, match="android-float32-64x64, which recipe.toml does not ask for"):
        check_agreement(replace(bundle, built_instead=()), dist)


def test_float_that_misses_the_limits_of_int8_does_not_ship(released: Path) -> None:
    change(
        released / "recipe.toml",
        ("min_ssim_mean = 0.5", "min_ssim_mean = 0.5\nmax_abs = 1e-4\n[limits.android-int8]\nmin_over_ort_float = 1000.0"),
        ("[quantize]", '[quantize]\nfallback = "float"'),
    )
    code, _ = release(released)
    bundle = read_bundle(released / "dist")
    assert (code, bundle.artifacts[0].status) == (1, Status.FAILED)
    assert bundle.artifacts[1].status in (Status.FAILED, Status.UNDECIDED)  # a busy machine decides nothing
    assert bundle.artifacts[1].limits.min_over_ort_float == 1000.0
    assert [(each.artifact, each.ships) for each in bundle.fallbacks] == [("android-int8-64x64", "")]
    summary = (released / "dist" / "summary.md").read_text()
    assert "android-int8-64x64 has nothing to ship in its place: no other precision keeps its limits" in summary
    assert "tried instead of int8: android-float32-64x64" in summary
    assert CliRunner().invoke(app, ["validate", str(released / "dist")]).exit_code == 1


def test_divergence_names_modules_with_losses_and_times(released: Path) -> None:
    folder = released / "dist" / "android" / "int8-64x64"
    result = CliRunner().invoke(
        app, ["divergence", str(folder), str(released / "recipe.toml"), "--cache", str(released / "cache"), "--json"]
    )
    assert result.exit_code == 0, result.output
    found = json.loads(result.stdout.splitlines()[-1])
    net = import_factory("superres.py:make", MODELS)[0]()
    layers = {name for name, module in net.named_modules() if isinstance(module, nn.Conv2d)}
    rows = {row["module_path"]: row for row in found["modules"]}
    assert layers <= rows.keys()
    assert all(rows[name]["int8_ms"] > 0 and rows[name]["float_ms"] > 0 and rows[name]["more_bytes"] > 0 for name in layers)
    gains = [row["ssim_gained"] for row in found["modules"]]
    assert gains[: len(layers)] == sorted(gains[: len(layers)], reverse=True)
    assert found["operations"] == []
    best = max((rows[name] for name in layers), key=lambda row: row["ssim_gained"])
    helps = [sentence for sentence in found["advice"] if "would help most" in sentence]
    assert any(f"model.{best['module_path']}" in sentence for sentence in helps) == (best["ssim_gained"] > 0)


def test_remeasure_measures_again(released: Path) -> None:
    _, events = release(released, "--remeasure")
    assert {name for name in EARLY | LATE if outcomes(events)[name] == "done"} == {"validate android-int8-64x64"}


def test_a_target_that_cannot_run_here_is_never_a_pass(released: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(AndroidTarget, "availability", lambda self: Availability(True, False, "no phone", "buy one"))
    code, _ = release(released)
    (artifact,) = read_bundle(released / "dist").artifacts
    assert (code, artifact.status, artifact.measurements) == (1, Status.NOT_EXECUTED, None)
    assert artifact.reason == "emitted, not executed here: no phone; buy one"
    assert artifact.files
    monkeypatch.setattr(AndroidTarget, "availability", lambda self: Availability(False, False, "no package", "pip install it"))
    code, _ = release(released)
    (artifact,) = read_bundle(released / "dist").artifacts
    assert (code, artifact.status, artifact.files) == (1, Status.NOT_EXECUTED, ())
    assert artifact.reason == "no package; pip install it"
    assert not (released / "dist" / "android").exists()


def test_without_quantisation_there_are_float_models_only(released: Path) -> None:
    change(released / "recipe.toml", ('"ptq"', '"off"'), ("android", "onnx"), ('["int8"]', '["float32"]'))
    code, events = release(released)
    assert code == 0
    assert set(outcomes(events)) & {"qat", "calibrate", "capture int8 64x64"} == set()
    (artifact,) = read_bundle(released / "dist").artifacts
    assert (artifact.name, artifact.precision, artifact.status) == ("onnx-float32-64x64", Precision.FLOAT32, Status.PASSED)
    assert not (released / "dist" / "calibration.json").exists()
    assert not (released / "dist" / "android").exists()


class Recorder(Pipeline):
    """Notes every stage's key, and does nothing but what ``load`` itself reads."""

    def __init__(self, store: Store) -> None:
        super().__init__(store, PlainDisplay(io.StringIO()))
        self.keys: list[tuple[str, str]] = []

    def run(self, stage: str, subject: str, inputs: Mapping[str, object], make: Make, doubt: Doubt = lambda entry: "") -> Entry:
        if stage == "probe":
            return super().run(stage, subject, inputs, make)
        self.keys.append((stage, digest({"stage": stage, **inputs})))
        if stage == "images":
            return super().run(stage, subject, inputs, make, doubt)
        return Entry(stage, self.keys[-1][1], Path("nowhere"))


def test_every_size_and_precision_has_its_own_key(tmp_path: Path) -> None:
    recipe = load_recipe(write_recipe(tmp_path, changes=(("sizes = [64]", "sizes = [64, [64, 96], [96, 64]]"),)))
    recorder = Recorder(Store(tmp_path / "cache"))
    source = load(recorder, recipe)
    table = calibrate(recorder, source, None)
    for size in recipe.model.sizes:
        for ranges in (None, table):
            capture(recorder, source, size, None, ranges)
    assert [stage for stage, _ in recorder.keys] == ["images"] * 2 + ["calibrate"] + ["capture"] * 6
    assert len(set(recorder.keys)) == 9


def test_an_altered_artifact_is_refused_by_validate(released: Path) -> None:
    dist = released / "dist"
    assert CliRunner().invoke(app, ["validate", str(dist)]).exit_code in (0, 1)
    model = dist / "android" / "int8-64x64" / "model.ort"
    content = bytearray(model.read_bytes())
    content[-1] ^= 1
    model.write_bytes(content)
    result = CliRunner().invoke(app, ["validate", str(dist)])
    assert "model.ort was altered after the build" in str(result.exception)


def test_the_exported_table_is_the_bundles_and_can_be_reused(released: Path) -> None:
    table = released / "table.json"
    arguments = ["calibration", "export", str(released / "recipe.toml"), "-o", str(table), "--cache", str(released / "cache")]
    assert CliRunner().invoke(app, arguments, catch_exceptions=False).exit_code == 0
    assert table.read_bytes() == (released / "dist" / "calibration.json").read_bytes()
    assert CliRunner().invoke(app, ["calibration", "diff", str(table), str(released / "dist" / "calibration.json")]).exit_code == 0
    altered = json.loads(table.read_text())
    altered["entries"][0].update(minimum=-9.0, maximum=9.0, scale=9.0 / 127)
    (released / "other.json").write_text(json.dumps(altered))
    assert CliRunner().invoke(app, ["calibration", "diff", str(table), str(released / "other.json")]).exit_code == 1
    change(released / "recipe.toml", ('observer = "min_max"', 'calibration_table = "other.json"\nobserver = "min_max"'))
    CliRunner().invoke(app, arguments, catch_exceptions=False)
    assert json.loads(table.read_text()) == altered


@pytest.mark.slow
def test_killed_at_any_moment_it_resumes_and_ends_with_the_same_files(tmp_path: Path) -> None:
    """Kills: in the middle of QAT, before capture, in emission, in validation, in the bundle. The comparison was not disturbed."""
    changes = (("steps = 4", "steps = 22"), ("android", "onnx"))
    write_recipe(tmp_path, method="qat", changes=changes)
    fatal = ("progress:qat:21", "stage_start:capture", "stage_start:emit", "progress:validate:3", "stage_start:bundle")
    killed = _driver(tmp_path, "killed", *fatal, "-")
    assert [row["ended"] for row in killed[:-1]] == [-9] * 5
    assert killed[-1]["ended"] in (0, 1)
    assert [row["dist"] for row in killed] == [False] * 5 + [True]
    assert killed[0]["qat_steps"] == list(range(1, 22))
    assert killed[1]["qat_steps"] == [21, 22]  # it went on from the state saved at step 20
    assert all(
        killed[-1]["outcomes"][name] == "reused" for name in ("qat", "calibrate", "emit onnx-int8-64x64", "validate onnx-int8-64x64")
    )
    _driver(tmp_path, "whole", "stage_start:validate")
    for stage in ("qat", "calibrate", "emit"):
        entries = [content_of(tmp_path / cache / "cache" / "entries" / stage) for cache in ("killed", "whole")]
        assert entries[0] == entries[1]
        assert entries[0]
    assert list((tmp_path / "killed" / "cache" / "work").iterdir()) == []


def _driver(folder: Path, name: str, *fatal: str) -> list[dict]:
    command = [sys.executable, str(Path(__file__).with_name("killed_release.py")), str(folder / "recipe.toml")]
    paths = [str(folder / name / "dist"), str(folder / name / "cache")]
    environment = {**os.environ, "OMP_NUM_THREADS": "1"}
    done = subprocess.run([*command, *paths, *fatal], capture_output=True, text=True, env=environment, check=True)
    rows = [json.loads(line) for line in done.stdout.splitlines()]
    assert len(rows) == len(fatal), done.stderr
    return rows


@pytest.mark.slow
def test_killed_at_random_moments_there_is_an_old_bundle_or_a_new_one(tmp_path: Path) -> None:
    """`benchmarks/killed_releases.py` does so a hundred times: docs/reliability.md."""
    write_recipe(tmp_path, changes=(("android", "onnx"),))
    script = Path(__file__).parents[2] / "benchmarks/killed_releases.py"
    command = [sys.executable, str(script), str(tmp_path / "recipe.toml"), str(tmp_path / "out"), "--kills", "6"]
    done = subprocess.run(command, capture_output=True, text=True, env={**os.environ, "OMP_NUM_THREADS": "1"}, check=False)
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout.splitlines()[-1])["killed"] == 6
