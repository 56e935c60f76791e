"""A release for Core AI, whose own library executes it on this CPU."""

from pathlib import Path

import pytest
from export_helpers import release, write_recipe

from instantstyle.targets.coreai.target import EVALUATOR
from instantstyle.validation.results.bundle_file import read_bundle
from instantstyle.validation.results.measurements import Status

pytest.importorskip("coreai_torch", reason="target coreai is an extra: pip install instantstyle[coreai]")

TARGET = ('android = ["int8"]', 'coreai = ["int8", "float16"]'), ('required = ["android"]', 'required = ["coreai"]')
LEVEL = ("[targets.build]", '[targets.level]\ncoreai = "vendor_cpu"\n\n[targets.build]')


def test_vendor_code_is_what_proves_it(tmp_path: Path) -> None:
    write_recipe(tmp_path, changes=(*TARGET, LEVEL))
    code, _ = release(tmp_path)
    bundle = read_bundle(tmp_path / "dist")
    assert code == 0 and bundle.vendor_cpu_suffices == ("coreai",)
    for artifact in bundle.artifacts:
        assert artifact.status is Status.VENDOR_CPU and artifact.reason.startswith(f"vendor code on this CPU, {EVALUATOR}")
        measured = artifact.measurements
        assert measured is not None and measured.latency == () and measured.peak_memory_bytes == 0, "this library's speed is no phone's"
        assert (measured.half_range is not None) == (artifact.name == "coreai-float16-64x64")
        (execution,) = measured.executions
        assert execution.int8_convolutions == ("int8" in artifact.name) * execution.convolutions
    assert not [each.path for each in bundle.irreproducible if each.path.startswith("coreai/")]
