"""What goes wrong with one target costs that target alone; what is required makes the verdict."""

from pathlib import Path
from typing import Any

import pytest
from export_helpers import release, write_recipe

from instantstyle.system.errors import CaptureError
from instantstyle.targets.base import Availability, Target
from instantstyle.targets.coreml.target import CoreMLTarget
from instantstyle.targets.onnx.target import OnnxTarget
from instantstyle.validation.results.bundle import BundleArtifact
from instantstyle.validation.results.bundle_file import read_bundle
from instantstyle.validation.results.measurements import Status

FLOAT = ('android = ["int8"]', 'onnx = ["float32"]\ncoreml = ["float16"]')
PROBLEM = "unsupported operand type(s) for +: 'NoneType' and 'float'"


def broken(*arguments: Any, **options: Any) -> None:
    raise TypeError(PROBLEM)


def recipe(folder: Path, required: str) -> Path:
    return write_recipe(folder, changes=(FLOAT, ('required = ["android"]', f'required = ["{required}"]')))


def artifacts(folder: Path) -> dict[str, BundleArtifact]:
    return {artifact.target: artifact for artifact in read_bundle(folder / "dist").artifacts}


@pytest.mark.parametrize("verb", ["preflight", "emit", "open"])
def test_a_target_that_breaks_stops_nothing(verb: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    recipe(tmp_path, "onnx")
    monkeypatch.setattr(CoreMLTarget, verb, broken)
    code, events = release(tmp_path)
    found = artifacts(tmp_path)
    assert code == 0 and found["onnx"].status is Status.PASSED
    if verb == "preflight":
        assert any(
            "coreml, which is not required" in event["text"] and PROBLEM in event["text"] for event in events if event["event"] == "notice"
        )
        assert found["coreml"].status is Status.GRAPH_PARITY
    else:
        assert found["coreml"].status is Status.FAILED and f"TypeError: {PROBLEM}" in found["coreml"].reason
        assert "coreml-float16-64x64" in found["coreml"].reason


@pytest.mark.parametrize("verb", ["emit", "open"])
def test_a_required_one_fails_the_build_in_a_sentence(verb: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    recipe(tmp_path, "coreml")
    monkeypatch.setattr(CoreMLTarget, verb, broken)
    code, _ = release(tmp_path)
    assert code == 1 and f"TypeError: {PROBLEM}" in artifacts(tmp_path)["coreml"].reason


def test_a_required_one_that_cannot_be_asked_stops_early(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    recipe(tmp_path, "coreml")
    monkeypatch.setattr(CoreMLTarget, "preflight", broken)
    with pytest.raises(CaptureError, match="target 'coreml' cannot look at this model: TypeError: unsupported operand"):
        release(tmp_path)


def test_a_required_one_that_cannot_be_emitted_is_told_before_anything_is_trained(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    recipe(tmp_path, "coreml")
    absent = Availability(can_emit=False, can_run=False, reason="not installed: coremltools", remedy="pip install coremltools")
    monkeypatch.setattr(CoreMLTarget, "availability", lambda target: absent)
    code, events = release(tmp_path)
    told = f"coreml is required and cannot be emitted here, so this release will not pass: {absent.reason}; to get it: {absent.remedy}"
    position = next(index for index, event in enumerate(events) if event["event"] == "notice" and event["text"] == told)
    assert position < next(index for index, event in enumerate(events) if event.get("stage") == "capture")
    assert code == 1 and artifacts(tmp_path)["coreml"].status is Status.NOT_EXECUTED


def test_without_the_baseline_the_others_are_measured(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A model without an ONNX form: Core ML is judged all the same, but nothing can be timed."""
    recipe(tmp_path, "coreml-float16")
    monkeypatch.setattr(OnnxTarget, "emit", broken)
    _, events = release(tmp_path)
    found = artifacts(tmp_path)
    assert found["onnx"].status is Status.FAILED and found["coreml"].status is Status.GRAPH_PARITY
    assert any("nothing is timed" in event["text"] and PROBLEM in event["text"] for event in events if event["event"] == "notice")


def test_a_precision_that_is_not_required_stops_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Core ML's float16 converts for iOS16, int8 needs a newer system than the recipe allows."""
    options = ("[targets.build]", '[targets.options.coreml]\nminimum_deployment_target = "iOS16"\n\n[targets.build]')
    both = ('coreml = ["float16"]', 'coreml = ["float16", "int8"]')
    write_recipe(tmp_path, changes=(FLOAT, both, options, ('required = ["android"]', 'required = ["onnx", "coreml-float16"]')))
    _, events = release(tmp_path)
    (notice,) = [event["text"] for event in events if event["event"] == "notice"]
    assert 'int8 needs iOS17, found iOS16; set it to "iOS17", or take int8 out of targets.build.coreml' in notice
    found = {artifact.name: artifact.status for artifact in read_bundle(tmp_path / "dist").artifacts}
    assert found["coreml-float16-64x64"] is Status.GRAPH_PARITY and found["coreml-int8-64x64"] is Status.FAILED


def test_headroom_is_measured_once_and_only_for_float16(tmp_path: Path) -> None:
    recipe(tmp_path, "onnx")
    _, events = release(tmp_path)
    assert sum(event["event"] == "stage_end" and event["stage"] == "headroom" for event in events) == 1
    found = artifacts(tmp_path)
    onnx, coreml = (found[name].measurements for name in ("onnx", "coreml"))
    assert onnx is not None and onnx.half_range is None
    assert coreml is not None and coreml.half_range is not None and 0 < coreml.half_range.share < 0.001
    assert "## Headroom in float16" in (tmp_path / "dist" / "summary.md").read_text()
    assert Target.computes_half(OnnxTarget(), coreml.precision)
