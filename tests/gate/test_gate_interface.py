"""A file whose interface is not the declared one is refused by name when it is opened, also where every hash was made to fit it."""

import importlib.util
import re
import shutil
from collections.abc import Callable
from dataclasses import replace
from functools import cache
from pathlib import Path
from typing import Any

import pytest
from altered import described, edit_onnx, edit_package, rebuild_ort, rehashed, rename
from gate_helpers import PAINTER, Change, run
from interface_defects import COREML, MODEL, ONNX, ORT, OTHER, fitting

from instantstyle.capture.program import Program, Provenance
from instantstyle.compression.quantization.capture import capture
from instantstyle.recipe.precision import Precision
from instantstyle.recipe.recipe import QuantizeSettings
from instantstyle.system.errors import ExecutionError
from instantstyle.targets.base import Artifact
from instantstyle.targets.registry import get_target
from instantstyle.validation.measure.built import Built

PRECISIONS = {"onnx": Precision.FLOAT32, "android": Precision.FLOAT32, "coreml": Precision.FLOAT16}
Copy = Callable[[str], tuple[Artifact, Path]]


@pytest.fixture(scope="module")
def program() -> Program:
    spec: Any = importlib.util.spec_from_file_location("painter_of_the_gate", PAINTER)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    captured = capture(module.make(), (32, 32), table=None, tuned={}, settings=QuantizeSettings(method="off"))
    return replace(captured, provenance=Provenance(recipe="phone", checkpoint_sha256="ab" * 32))


@pytest.fixture(scope="module")
def emitted(program: Program, tmp_path_factory: pytest.TempPathFactory) -> Copy:
    """A target's artifact, made once. Not to be changed."""

    @cache
    def emit(target: str) -> tuple[Artifact, Path]:
        folder = tmp_path_factory.mktemp(target)
        return get_target(target).emit(program, PRECISIONS[target], folder), folder

    return emit


@pytest.fixture
def copied(emitted: Copy, tmp_path: Path) -> Copy:
    """A copy of it."""

    def copy(target: str) -> tuple[Artifact, Path]:
        artifact, folder = emitted(target)
        return artifact, Path(shutil.copytree(folder, tmp_path / target))

    return copy


def refused(artifact: Artifact, folder: Path, graph: str, sentence: str) -> None:
    """By the way that ``release`` and ``measure`` open it; the other graph is not touched by it."""
    built = Built(rehashed(artifact, folder), folder, get_target(artifact.target))
    with pytest.raises(ExecutionError) as caught:
        built.open(graph, 1)
    text = str(caught.value)
    assert artifact.graph(graph).file in text and re.search(sentence, text) and "build the artifact again" in text, text


@pytest.mark.parametrize("name", ONNX)
def test_onnx(copied: Copy, name: str) -> None:
    graph, edit, sentence = ONNX[name]
    artifact, folder = copied("onnx")
    edit_onnx(folder / f"{graph}.onnx", edit)
    refused(artifact, folder, graph, sentence)


@pytest.mark.parametrize("name", ORT)
def test_ort(emitted: Copy, copied: Copy, name: str, tmp_path: Path) -> None:
    graph, edit, sentence = ONNX[name]
    artifact, folder = copied("android")
    rebuild_ort(folder / f"{graph}.ort", emitted("onnx")[1] / f"{graph}.onnx", edit, tmp_path / "scratch")
    refused(artifact, folder, graph, sentence)


@pytest.mark.parametrize("name", COREML)
def test_core_ml(copied: Copy, name: str) -> None:
    graph, edit, sentence = COREML[name]
    artifact, folder = copied("coreml")
    edit_package(folder / f"{graph}.mlpackage", edit)
    refused(artifact, folder, graph, sentence)


@pytest.mark.parametrize("target", PRECISIONS)
def test_honest_files_open(emitted: Copy, target: str) -> None:
    artifact, folder = emitted(target)
    for graph in artifact.graphs:
        Built(artifact, folder, get_target(target)).open(graph.name, 1).close()


def on_file(edit: Callable[[Any], object]) -> Change:
    return fitting(lambda folder, manifest: edit_onnx(folder / MODEL, edit))


def bgr_everywhere(folder: Path, manifest: dict[str, Any]) -> None:
    """File and manifest agree, and both are not the model's."""
    edit_onnx(folder / MODEL, described("inputs", 0, order="BGR"))
    manifest["graphs"][1]["inputs"][0]["order"] = "BGR"


MEASURED: dict[str, tuple[Change, str]] = {
    "a renamed input": (on_file(rename("photo", "picture")), "painter.onnx: it has no input 'photo'"),
    "another range": (on_file(described("inputs", 0, maximum=255.0)), "painter.onnx: its metadata says of its inputs: 'photo' has maximum"),
    "BGR in the manifest as well": (fitting(bgr_everywhere), "'painter': artifact.json says that order of input 'photo' is BGR; in the"),
}


@pytest.mark.parametrize("name", MEASURED)
def test_measure_refuses_what_fits_the_whole_bundle(work: Path, name: str) -> None:
    change, sentence = MEASURED[name]
    change(work / "dist")
    arguments = ("measure", work / "dist", work / "recipe.toml", "--out", work / "again", "--cache", work / "cache")
    code, output = run(*arguments)
    assert code == 1 and sentence in output, output


@pytest.mark.parametrize(
    ("field", "value", "sentence"),
    [
        ("checkpoint_sha256", OTHER, f"says checkpoint_sha256 '{OTHER}', and the bundle is of ''"),
        ("recipe", "server", "says recipe 'server'"),
    ],
)
def test_a_manifest_of_another_origin(dist: Path, field: str, value: str, sentence: str) -> None:
    fitting(lambda folder, manifest: manifest["provenance"].update({field: value}))(dist)
    code, output = run("validate", dist)
    assert code != 0 and sentence in output, output
