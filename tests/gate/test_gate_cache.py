"""Stages that are taken from the cache: damaged, swapped and stale results are made again, and old scores never follow new bytes."""

import json
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from gate_helpers import content, entry, release, sha256

SSIM = "ssim"


def entries(work: Path, stage: str) -> list[Path]:
    return sorted((work / "cache" / "entries" / stage).iterdir())


def model_entry(work: Path) -> Path:
    """Of the float artifact."""
    (found,) = [
        each for each in entries(work, "emit") if json.loads((each / "files" / "artifact.json").read_text())["precision"] == "float32"
    ]
    return found


def score_entry(work: Path) -> Path:
    """Of its measurements."""
    (found,) = [
        each
        for each in entries(work, "validate")
        if json.loads((each / "files" / "measurements.json").read_text())["precision"] == "float32"
    ]
    return found


def believable(folder: Path) -> None:
    """Makes an entry's manifest say what its files are now."""
    manifest = json.loads((folder / "manifest.json").read_text())
    for name, row in manifest["files"].items():
        data = (folder / "files" / name).read_bytes()
        row.update(size_bytes=len(data), sha256=sha256(data))
    (folder / "manifest.json").write_text(json.dumps(manifest))


def scores(work: Path) -> list[float]:
    return [score[SSIM] for score in entry(content(work / "dist"))["measurements"]["end_to_end"]["scores"]]


@pytest.fixture
def damaged(work: Path) -> Iterator[Path]:
    """The work folder; afterwards its release has to be as good as new."""
    yield work
    code, output = release(work)
    assert code == 0 and "was up to date" in output, output


def test_a_damaged_model_is_built_and_measured_again(damaged: Path) -> None:
    model = model_entry(damaged) / "files" / "painter.onnx"
    model.write_bytes(model.read_bytes()[:-7])
    code, output = release(damaged)
    assert code == 0
    assert "cache: the result of emit is damaged (painter.onnx was altered); it will be made again" in output


def test_a_result_of_other_inputs_is_not_taken(damaged: Path) -> None:
    one, other = entries(damaged, "emit")
    one.rename(damaged / "meanwhile")
    other.rename(one)
    (damaged / "meanwhile").rename(other)
    code, output = release(damaged)
    assert code == 0 and output.count("cache: the result of emit is damaged (it is a result of emit for other inputs)") == 2


def test_a_link_in_the_cache_is_not_followed(damaged: Path) -> None:
    table = entries(damaged, "calibrate")[0] / "files" / "calibration.json"
    table.rename(damaged / "table.json")
    table.symlink_to(damaged / "table.json")
    code, output = release(damaged)
    assert code == 0 and "the result of calibrate is damaged (calibration.json is a link)" in output
    (damaged / "table.json").unlink()


def test_scores_of_other_bytes_are_not_taken(work: Path) -> None:
    """A build that came out differently, as those of some converters do: here with larger weights, and the cache does not know."""
    import onnx
    from onnx import numpy_helper

    folder = model_entry(work) / "files"
    model = onnx.load(folder / "painter.onnx")
    for weight in model.graph.initializer:
        weight.CopyFrom(numpy_helper.from_array(numpy_helper.to_array(weight) * (3 if "last" in weight.name else 1), weight.name))
    onnx.save(model, folder / "painter.onnx")
    data = (folder / "painter.onnx").read_bytes()
    manifest = json.loads((folder / "artifact.json").read_text())
    for row in manifest["files"]:
        if row["path"] == "painter.onnx":
            row.update(size_bytes=len(data), sha256=sha256(data))
    manifest["shipped_bytes"] = sum(row["size_bytes"] for row in manifest["files"])
    (folder / "artifact.json").write_text(json.dumps(manifest))
    believable(folder.parent)
    before = scores(work)
    shutil.rmtree(work / "dist")
    code, output = release(work)
    assert code == 1 and min(before) > 0.999 and max(scores(work)) < 0.99
    assert "onnx-float32-32x32: SSIM mean" in output and "is below 0.9900" in output


STALE: dict[str, tuple[Callable[[dict[str, Any]], object], str]] = {
    "too few runs": (lambda m: m["latency"][0]["artifact"].update(runs=3), "runs is 3; the recipe wants 9 in each of 1"),
    "another model file": (lambda m: m["evidence"]["files"][2].update(sha256="1" * 64), "SHA-256 111111111111…, and now has"),
    "another baseline": (lambda m: m["evidence"]["baseline"][2].update(sha256="2" * 64), "the baseline's painter.onnx had"),
    "another image": (lambda m: m["evidence"]["samples"]["images"][0][0].update(sha256="3" * 64), "image '10' has SHA-256 333333333333…"),
    "another reference": (lambda m: m["evidence"].update(reference_sha256="4" * 64), "the reference's weights have SHA-256 444444444444…"),
    "no hot graph": (lambda m: m.pop("hot_graph"), "'hot_graph' is a required property"),
}  # fmt: skip


@pytest.mark.parametrize("what", STALE)
def test_measurements_of_something_else_are_not_taken(work: Path, what: str) -> None:
    change, why = STALE[what]
    folder = score_entry(work)
    path = folder / "files" / "measurements.json"
    found = json.loads(path.read_text())
    change(found)
    path.write_text(json.dumps(found))
    believable(folder)
    code, output = release(work)
    assert code == 0 and "cache: the result of validate onnx-float32-32x32 is not taken (" in output and why in output, output
