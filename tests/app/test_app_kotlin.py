"""The app's Kotlin: compiled against stubs of Android's and the runtimes' interfaces, and run on a JVM on top of the runtimes for Python.

Skipped where there is no ``kotlinc``; its files are parsed all the same in ``test_distribution_app.py``.
"""

import json
import os
import shutil
import subprocess
import sys
from collections.abc import Callable
from functools import partial
from pathlib import Path

import numpy as np
import pytest
from app_models import SIZE, local, package, picture, save, whole
from PIL import Image

from instantstyle.export.app.files import HERE
from instantstyle.model.graph import Model
from instantstyle.stylize.artifact_painter import ArtifactPainter
from instantstyle.stylize.loaded import LoadedArtifact
from instantstyle.stylize.tile_loop import DISAGREEMENT, faded
from instantstyle.targets.artifact import read_manifest
from instantstyle.targets.base import Target
from instantstyle.targets.onnx.target import OnnxTarget
from instantstyle.validation.golden.pairs import read_golden
from instantstyle.validation.golden.replay import Runtime, replay
from instantstyle.validation.measure.built import Built

STUBS = Path(__file__).parent / "stubs"
App = Callable[..., str]

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(not (shutil.which("kotlinc") and shutil.which("javac")), reason="needs kotlinc and a JDK"),
]


@pytest.fixture(scope="module")
def jar(tmp_path_factory: pytest.TempPathFactory) -> str:
    """Class path of the compiled app. Warnings are errors."""
    folder = tmp_path_factory.mktemp("kotlin")
    subprocess.run(["javac", "-d", folder, *(STUBS / "java").rglob("*.java")], check=True)
    sources = [*(HERE / "android").glob("*.kt"), *(STUBS / "kotlin").glob("*.kt")]
    command = ["kotlinc", "-Werror", "-cp", folder, "-include-runtime", "-d", folder / "app.jar", *sources]
    done = subprocess.run(command, check=False, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    return f"{folder}{os.pathsep}{folder / 'app.jar'}"


@pytest.fixture(scope="module")
def app(jar: str) -> App:
    def run(runtime: str, *arguments: object) -> str:
        peer = os.pathsep.join([sys.executable, str(Path(__file__).parent / "peer.py"), runtime])
        command = ["java", "-Djava.awt.headless=true", f"-Dpeer={peer}", "-cp", jar, "MainKt", runtime, *map(str, arguments)]
        done = subprocess.run(command, check=False, capture_output=True, text=True)
        assert done.returncode == 0, done.stderr
        return done.stdout

    return run


def painted(app: App, runtime: str, folder: Path, photo: Path, home: Path) -> np.ndarray:
    """(H, W, 3) levels."""
    app(runtime, folder, "paint", photo, home / "painted.png")
    return np.asarray(Image.open(home / "painted.png").convert("RGB"))


def target_of(runtime: str) -> Target:
    if runtime == "onnx":
        return OnnxTarget()
    pytest.importorskip("ai_edge_litert")
    from instantstyle.targets.litert.target import LiteRTTarget

    return LiteRTTarget()


@pytest.mark.parametrize("runtime", ["onnx", "litert"])
@pytest.mark.parametrize("model", [local, whole])
def test_photos_of_any_size_are_painted_as_by_apply(app: App, runtime: str, model: Callable[[], Model], tmp_path: Path) -> None:
    folder = package(model(), target_of(runtime), tmp_path / "model")
    with LoadedArtifact(folder, threads=1) as loaded:
        for height, width in ((50, 70), (40, 230), (171, 253)):
            photo = save(picture(height, width), tmp_path / "photo.png")
            wanted = np.asarray(loaded(Image.open(photo))).astype(int)
            found = painted(app, runtime, folder, photo, tmp_path).astype(int)
            assert found.shape == wanted.shape
            # The app rounds to 8 bits before it corrects the tone.
            assert np.abs(found - wanted).max() <= 1
            assert np.mean(found != wanted) < (0.3 if model is whole else 0.001)


def test_tones_are_corrected_where_tiles_disagree(tmp_path: Path) -> None:
    """So that the test above has something to compare."""
    for model, factor, disagrees in ((local(), 2, False), (whole(), 1, True)):
        painter = ArtifactPainter(package(model, OnnxTarget(), tmp_path / str(factor)), threads=1)
        values = (picture(171, 253).transpose(2, 0, 1)[None] / 127.5 - 1).astype(np.float32)
        _, disagreement = faded(values, SIZE, factor, partial(painter._paint_tile, prepared={}), lambda done, total: None)
        painter.close()
        assert (disagreement > DISAGREEMENT) if disagrees else (disagreement < DISAGREEMENT / 100)


@pytest.mark.parametrize("runtime", ["onnx", "litert"])
def test_the_self_test_says_what_the_release_measures(app: App, runtime: str, tmp_path: Path) -> None:
    target = target_of(runtime)
    folder = package(local(), target, tmp_path / "model")
    built = Built(read_manifest(folder), folder, target)
    wanted = replay(read_golden(folder / "golden"), folder / "golden", built, Runtime("", "", ())).results
    rows = [line.split("\t") for line in app(runtime, folder, "test").splitlines()]
    assert [(name, passed) for name, _, passed in rows] == [(each.pair, "true") for each in wanted]
    assert [float(ssim) for _, ssim, _ in rows] == pytest.approx([each.ssim for each in wanted], abs=2e-5)
    assert all(0.99 < each.ssim < 1 for each in wanted)


def test_the_self_test_finds_a_damaged_model(app: App, tmp_path: Path) -> None:
    folder = package(local(), OnnxTarget(), tmp_path / "model")
    golden = json.loads((folder / "golden/golden.json").read_text())
    golden["pairs"][0]["output"] = golden["pairs"][1]["output"]
    (folder / "golden/golden.json").write_text(json.dumps(golden))
    passed = [line.split("\t")[2] for line in app("onnx", folder, "test").splitlines()]
    assert passed == ["false", "true", "true"]
