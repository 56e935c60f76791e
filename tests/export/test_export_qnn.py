"""A release for a target that its vendor's own library executes on this CPU, judged at each level."""

import json
import re
import shutil
from pathlib import Path

import pytest
from export_helpers import change, release, write_recipe

from instantstyle.distribution.packages import packages
from instantstyle.targets.qnn.target import EVALUATOR
from instantstyle.validation.results.bundle_file import read_bundle
from instantstyle.validation.results.measurements import Status

pytest.importorskip("onnxruntime_qnn", reason="target qnn is an extra: pip install instantstyle[qnn]")

QNN = ('android = ["int8"]', 'qnn = ["int8"]'), ('required = ["android"]', 'required = ["qnn"]')
LEVEL = ("[targets.build]", '[targets.level]\nqnn = "vendor_cpu"\n\n[targets.options.qnn]\narchitectures = [75]\n\n[targets.build]')


@pytest.fixture(scope="module")
def built(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with a recipe and the bundle that it made here."""
    folder = tmp_path_factory.mktemp("qnn")
    write_recipe(folder, changes=(*QNN, LEVEL))
    code, _ = release(folder)
    assert code == 0
    return folder


@pytest.fixture
def folder(built: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(built, tmp_path / "qnn"))


def test_vendor_code_is_said_everywhere(built: Path) -> None:
    bundle = read_bundle(built / "dist")
    (artifact,) = bundle.artifacts
    assert artifact.status is Status.VENDOR_CPU and artifact.reason == f"vendor code on this CPU, {EVALUATOR}"
    assert (bundle.vendor_cpu_suffices, bundle.graph_parity_suffices) == (("qnn",), ())
    measured = artifact.measurements
    assert measured is not None and measured.by_vendor and measured.evaluator == EVALUATOR
    assert measured.latency == () and measured.peak_memory_bytes == 0, "an emulator's speed is nobody's"
    (execution,) = measured.executions
    assert execution.provider.startswith("QNN ") and execution.int8_convolutions == execution.convolutions > 0
    assert f"- qnn-int8-64x64: vendor code on this CPU, {EVALUATOR}" in (built / "dist" / "summary.md").read_text()
    assert json.loads((built / "dist" / "bundle.json").read_text())["artifacts"][0]["status"] == "vendor_cpu"
    assert "qnn/int8-64x64/model/v75.onnx" in {each.path for each in bundle.irreproducible}
    assert [package.artifact for package in packages(bundle, built / "dist")] == ["qnn-int8-64x64"]


@pytest.mark.parametrize(("level", "code"), [("passed", 1), ("graph_parity", 0)])
def test_it_is_enough_for_a_lower_level_and_not_for_a_higher_one(folder: Path, level: str, code: int) -> None:
    change(folder / "recipe.toml", ('qnn = "vendor_cpu"', f'qnn = "{level}"'))
    found, events = release(folder)
    verdict = next(event for event in events if event["event"] == "verdict")
    assert found == code and verdict["status"] == "vendor_cpu"
    wanted = r"vendor code on this CPU only, Qualcomm.*: run it where it belongs, or set its targets.level to vendor_cpu"
    assert code == 0 or re.search(wanted, verdict["reasons"][0])
