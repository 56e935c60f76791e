"""A release for Triton: judged by what really served it."""

from pathlib import Path

import pytest
from export_helpers import change, release, write_recipe

from instantstyle.targets.environments.install import FOLDER_VARIABLE
from instantstyle.targets.triton.server import IN_ONNX_RUNTIME, STAND_IN, installation
from instantstyle.validation.results.bundle import BundleArtifact
from instantstyle.validation.results.bundle_file import read_bundle
from instantstyle.validation.results.measurements import Status

TRITON = ('android = ["int8"]', 'triton = ["int8"]'), ('required = ["android"]', 'required = ["triton"]')
OPTIONS = '[targets.level]\ntriton = "graph_parity"\n\n[targets.options.triton]\nbackend = "{}"\ninstances = 1\n\n[targets.build]'
needs_triton = pytest.mark.skipif(installation() is None, reason="Triton is not installed: instantstyle doctor --install triton")


def judged(folder: Path, backend: str, *changes: tuple[str, str]) -> BundleArtifact:
    """The artifact of a release that ends well."""
    write_recipe(folder, changes=(*TRITON, *changes, ("[targets.build]", OPTIONS.format(backend))))
    found, _ = release(folder)
    (artifact,) = read_bundle(folder / "dist").artifacts
    assert found == 0, artifact.reason
    return artifact


@pytest.mark.parametrize("backend", ["onnxruntime", "python"])
def test_without_a_server_nothing_is_said_to_be_served(backend: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(FOLDER_VARIABLE, str(tmp_path / "environments"))
    artifact = judged(tmp_path, backend)
    assert artifact.status is Status.GRAPH_PARITY and IN_ONNX_RUNTIME in artifact.reason
    assert artifact.measurements is not None and artifact.measurements.latency == ()
    change(tmp_path / "recipe.toml", ('triton = "graph_parity"', 'triton = "passed"'))
    assert release(tmp_path)[0] == 1


@needs_triton
@pytest.mark.slow
def test_a_backend_that_stands_in_is_no_pass(tmp_path: Path) -> None:
    artifact = judged(tmp_path, "onnxruntime")
    assert artifact.status is Status.GRAPH_PARITY and STAND_IN in artifact.reason
    assert artifact.measurements is not None and artifact.measurements.latency == ()
    (execution,) = artifact.measurements.executions
    assert execution.provider.startswith("Triton 2.") and execution.int8_convolutions == execution.convolutions > 0


@needs_triton
@pytest.mark.slow
def test_what_ships_with_its_backend_passes_and_is_timed(tmp_path: Path) -> None:
    # Int8 has to be faster than ONNX Runtime's float; of 64 pixels HTTP takes longer than the network.
    artifact = judged(tmp_path, "python", ('triton = ["int8"]', 'triton = ["float32"]'))
    assert artifact.status is Status.PASSED
    measured = artifact.measurements
    assert measured is not None and not measured.evaluator and measured.latency[0].artifact.p50_ms > 0
    # ONNX Runtime in another process.
    assert measured.peak_memory_bytes > 20e6
    assert measured.executions[0].provider.endswith("backend python, 1 instances")
