"""What runs on a Mac, with Core ML's prediction replaced at its boundary by the reference evaluator."""

from pathlib import Path

import numpy as np
import pytest
from prediction import Prediction, pretend_to_be_a_mac
from programs import CODE, SIZE
from suite import Emitted, graph_inputs, run_pytorch, snr_db

from instantstyle.capture.program import Program
from instantstyle.recipe.precision import Precision
from instantstyle.system.errors import ArtifactError, ExecutionError
from instantstyle.targets.base import Artifact
from instantstyle.targets.coreml import predict_runner
from instantstyle.targets.coreml.target import CoreMLTarget


@pytest.fixture
def emitted(coreml: Emitted) -> tuple[Artifact, Path]:
    return coreml(Precision.INT8)


@pytest.fixture
def loaded(monkeypatch: pytest.MonkeyPatch) -> list[Prediction]:
    """The models that were loaded, on a machine that calls itself a Mac."""
    return pretend_to_be_a_mac(monkeypatch)


def test_a_mac_can_run_and_has_three_compute_units(loaded: list[Prediction]) -> None:
    target = CoreMLTarget()
    found = target.availability()
    assert found.can_emit and found.can_run and found.evaluator == ""
    assert target.units() == ("CPU_AND_NE", "CPU_AND_GPU", "CPU_ONLY")


@pytest.mark.parametrize("unit", ["CPU_AND_NE", "CPU_AND_GPU", "CPU_ONLY"])
def test_each_unit_runs_the_package(emitted: tuple[Artifact, Path], loaded: list[Prediction], program: Program, unit: str) -> None:
    artifact, folder = emitted
    inputs = graph_inputs()["stylizer"]
    with CoreMLTarget().on(unit).open(artifact, folder, "stylizer", threads=1) as runner:
        output = runner.run(inputs)["stylised"]
        assert runner.execution.provider == f"Core ML, {unit}" and runner.execution.evaluator == ""
        assert runner.execution.int8_convolutions == artifact.graph("stylizer").int8_convolutions > 0
    (model,) = loaded
    assert model.unit == unit
    photo = model.seen["photo"]
    assert photo.size == (SIZE[1], SIZE[0]) and photo.mode == "RGB"
    np.testing.assert_array_equal(np.asarray(photo), np.rint((inputs["photo"][0].transpose(1, 2, 0) + 1) * 127.5))
    assert model.seen["alpha"].shape == (1,) and model.seen["code"].shape == (1, CODE)
    reference = run_pytorch(program.graphs[1].float_program, list(inputs.values()))
    assert output.shape == reference.shape and output.dtype == np.float32
    assert snr_db(output, reference) > 28


def test_numbers_and_arrays_come_back_as_float32(emitted: tuple[Artifact, Path], loaded: list[Prediction]) -> None:
    artifact, folder = emitted
    with CoreMLTarget().open(artifact, folder, "style_encoder", threads=1) as runner:
        code = runner.run(graph_inputs()["style_encoder"])["code"]
    assert (code.shape, code.dtype) == ((1, CODE), np.float32)
    assert loaded[0].unit == "CPU_AND_NE"


def test_unknown_unit(emitted: tuple[Artifact, Path], loaded: list[Prediction]) -> None:
    with pytest.raises(ExecutionError, match="no compute unit 'TPU'; allowed: CPU_AND_NE, CPU_AND_GPU, CPU_ONLY"):
        CoreMLTarget().on("TPU").open(*emitted, "stylizer", threads=1)


def test_a_package_that_core_ml_cannot_load_is_a_failure(
    emitted: tuple[Artifact, Path], loaded: list[Prediction], monkeypatch: pytest.MonkeyPatch
) -> None:
    def load(path: Path, unit: str) -> Prediction:
        raise RuntimeError("Error compiling model")

    monkeypatch.setattr(predict_runner, "load_model", load)
    with pytest.raises(ExecutionError, match=r"stylizer.mlpackage: Core ML cannot load it on CPU_AND_NE: Error compiling model"):
        CoreMLTarget().open(*emitted, "stylizer", threads=1)


def test_missing_output_is_named(emitted: tuple[Artifact, Path], loaded: list[Prediction], monkeypatch: pytest.MonkeyPatch) -> None:
    with CoreMLTarget().open(*emitted, "stylizer", threads=1) as runner:
        monkeypatch.setattr(loaded[0], "predict", lambda data: {"var_1": 0})
        with pytest.raises(ArtifactError, match="Core ML gave var_1, not stylised"):
            runner.run(graph_inputs()["stylizer"])


def test_closed_and_wrong_inputs(emitted: tuple[Artifact, Path], loaded: list[Prediction]) -> None:
    runner = CoreMLTarget().open(*emitted, "stylizer", threads=1)
    with pytest.raises(ValueError, match="stylizer"):
        runner.run({})
    runner.close()
    with pytest.raises(ExecutionError, match="closed"):
        runner.run(graph_inputs()["stylizer"])


def test_nan_of_a_broken_network_is_not_rounded_away(emitted: tuple[Artifact, Path], loaded: list[Prediction]) -> None:
    with CoreMLTarget().open(*emitted, "style_encoder", threads=1) as runner:
        loaded[0].predict = lambda data: {"code": np.full((1, CODE), np.nan, np.float16)}  # type: ignore[method-assign]
        assert np.isnan(runner.run(graph_inputs()["style_encoder"])["code"]).all()
