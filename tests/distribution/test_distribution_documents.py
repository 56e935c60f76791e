"""The papers of a bundle, and what a second build gives again."""

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from distribution_helpers import Signed
from gate_helpers import content, sha256


def test_the_bill_of_materials_names_every_file_of_the_artifacts_and_every_library(signed: Signed) -> None:
    bom = json.loads((signed.dist / "sbom.cdx.json").read_text())
    assert (bom["bomFormat"], bom["specVersion"]) == ("CycloneDX", "1.6")
    assert bom["metadata"]["component"]["type"] == "machine-learning-model"
    hashes = {part["name"]: part["hashes"][0]["content"] for part in bom["components"] if part["type"] == "file"}
    files = list((signed.dist / "onnx").rglob("*.onnx"))
    assert len(files) == 4
    assert hashes == {path.relative_to(signed.dist).as_posix(): sha256(path.read_bytes()) for path in files}
    libraries = {part["name"]: part for part in bom["components"] if part["type"] == "library"}
    assert libraries["numpy"]["purl"].startswith("pkg:pypi/numpy@") and libraries["numpy"]["licenses"]
    assert {row["name"]: row["version"] for row in content(signed.dist)["libraries"] if row["version"]} == {
        name: part["version"] for name, part in libraries.items()
    }


def test_the_model_card_says_what_goes_in_and_what_it_was_judged_on(signed: Signed) -> None:
    card = (signed.dist / "model-card.md").read_text()
    assert "| painter | in | photo | image | 1x3x32x32 | -1 to 1, RGB |" in card
    assert "8 samples of 4 and 2 images" in card
    assert "Model and artifacts: not said in the recipe" in (signed.dist / "licenses.md").read_text()


def test_what_a_second_build_gives_otherwise_is_listed_with_the_reason(signed: Signed) -> None:
    rows = {row["path"]: row["reason"] for row in content(signed.dist)["irreproducible"]}
    assert set(rows) == {"bundle.json", "junit.xml", "model-card.md", "report.html", "sbom.cdx.json", "signature.json", "summary.md"}
    assert "times" in rows["bundle.json"]


BUILD = "import sys; from instantstyle.cli.main import main; sys.argv[0] = 'instantstyle'; main()"


@pytest.mark.slow
def test_two_builds_differ_in_nothing_that_is_not_listed(workshop: Path, tmp_path: Path) -> None:
    """In processes and caches of their own, with every target that can emit on a machine without a GPU."""
    found: list[dict[str, bytes]] = []
    listed: set[str] = set()
    for name in ("first", "second"):
        work = tmp_path / name / "work"
        shutil.copytree(workshop, work, ignore=shutil.ignore_patterns("dist", "cache"))
        recipe = (work / "recipe.toml").read_text()
        more = 'onnx = ["float32", "int8"]\nandroid = ["float32", "int8"]\ncoreml = ["int8", "float16"]'
        (work / "recipe.toml").write_text(recipe.replace('onnx = ["float32", "int8"]', more))
        command = [sys.executable, "-c", BUILD, "release", "recipe.toml", "--cache", "cache"]
        environment = os.environ | {"SOURCE_DATE_EPOCH": "1790000000", "PYTHONHASHSEED": "random"}
        done = subprocess.run(command, cwd=work, env=environment, capture_output=True, text=True, check=False)
        assert done.returncode in (0, 1), done.stderr
        files = [path for path in (work / "dist").rglob("*") if path.is_file()]
        found.append({path.relative_to(work / "dist").as_posix(): path.read_bytes() for path in files})
        listed = {row["path"] for row in content(work / "dist")["irreproducible"]}
    first, second = found
    assert first.keys() == second.keys()
    differing = {path for path in first if first[path] != second[path]}
    assert differing <= listed, differing - listed
    assert {"android/int8-32x32/painter.ort", "onnx/int8-32x32/painter.onnx"} <= first.keys()
