"""The runner over ONNX Runtime: what it refuses, and that it counts what really runs."""

from pathlib import Path

import numpy as np
import onnx
import onnxruntime
import pytest
from graphs import SCALE, Net, random_image

from instantstyle.model.graph import TensorSpec
from instantstyle.recipe.precision import Precision
from instantstyle.system.errors import ArtifactError, ExecutionError
from instantstyle.targets.base import Artifact, GraphArtifact
from instantstyle.targets.declared import facts
from instantstyle.targets.onnx.declared import PREFIX
from instantstyle.targets.onnx.rewrites.apply import apply
from instantstyle.targets.onnx.rewrites.refine_non_negative import refine_non_negative
from instantstyle.targets.onnx.rewrites.uint8_activations import uint8_activations
from instantstyle.targets.onnx.runner import OrtRunner

SIZE = (8, 8)
FEATURES, OUTPUT = TensorSpec("x", channels=4), TensorSpec("y", channels=16)


def signed_model() -> onnx.ModelProto:
    """Two int8 convolutions with a ReLU between them, in the signed form that ONNX Runtime fuses badly on x86."""
    generator = np.random.default_rng(1)
    net = Net(x=[1, 4, *SIZE])
    value = net.grid("x")
    for channels in (4, 16):
        weight = net.weight(generator.integers(-127, 128, (16, channels, 3, 3)), np.full(16, 2.0**-10))
        value = net.grid(net.add("Relu", net.conv(value, weight, pads=[1, 1, 1, 1])))
    net.add("Tanh", value, name="y")
    return net.model("y")


def made(int8_convolutions: int = 2, output: TensorSpec = OUTPUT) -> Artifact:
    graph = GraphArtifact("net", "net.onnx", (FEATURES,), (output,), 2, int8_convolutions)
    return Artifact("onnx", Precision.INT8, SIZE, (graph,), (), 0)


def save(model: onnx.ModelProto, path: Path) -> None:
    """With what its metadata has to say."""
    for key, value in facts(made(), made().graph("net"), Precision.INT8, SIZE).items():
        model.metadata_props.add(key=f"{PREFIX}{key}", value=value)
    onnx.save(model, path)


@pytest.fixture
def path(tmp_path: Path) -> Path:
    model, _ = apply(signed_model(), [refine_non_negative, uint8_activations])
    save(model, tmp_path / "net.onnx")
    return tmp_path / "net.onnx"


def test_counts_kernels_of_the_optimised_graph(path: Path) -> None:
    with OrtRunner(path, made(), "net", threads=1) as runner:
        assert runner.execution.provider == "CPUExecutionProvider"
        assert (runner.execution.convolutions, runner.execution.int8_convolutions) == (2, 2)
        assert dict(runner.execution.kernels)["QLinearConv"] == 2
        assert runner.run({"x": random_image(0, 1, 4, *SIZE)})["y"].shape == (1, 16, *SIZE)
    assert [entry.name for entry in path.parent.iterdir()] == ["net.onnx"]


def test_convolutions_that_fall_back_to_float_are_an_error(path: Path) -> None:
    """The nodes of the file say int8; that its kernels are float shows only after ONNX Runtime's optimisation."""
    save(signed_model(), path)
    with OrtRunner(path, made(int8_convolutions=0), "net", threads=1) as runner:
        really = runner.execution.int8_convolutions
        assert really < runner.execution.convolutions == 2
    with pytest.raises(ExecutionError, match=rf"graph 'net' .*: {really} convolutions run as int8 kernels, 2 should, of 2"):
        OrtRunner(path, made(), "net", threads=1)


def test_another_provider_is_an_error(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(onnxruntime.InferenceSession, "get_providers", lambda _: ["XnnpackExecutionProvider", "CPUExecutionProvider"])
    with pytest.raises(ExecutionError, match=r"runs it on \['XnnpackExecutionProvider', 'CPUExecutionProvider'\]"):
        OrtRunner(path, made(), "net", threads=1)


def test_file_that_is_no_model(path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    path.write_bytes(b"not a model")
    with pytest.raises(ArtifactError, match=r"cannot open .*net\.onnx"):
        OrtRunner(path, made(), "net", threads=1)
    assert tuple(capfd.readouterr()) == ("", "")


@pytest.mark.parametrize("output", [TensorSpec("z", channels=16), TensorSpec("y", channels=3), TensorSpec("y", channels=16, scale=2)])
def test_file_that_is_another_model(path: Path, output: TensorSpec) -> None:
    with pytest.raises(ExecutionError, match=rf"net.onnx: its? .*output '{output.name}'.*build the artifact again"):
        OrtRunner(path, made(output=output), "net", threads=1)


def test_integers_of_the_file_are_what_runs(path: Path) -> None:
    """The output of the last ReLU is on the refined grid: multiples of half the scale, up to 127.5 of it."""
    with OrtRunner(path, made(), "net", threads=1) as runner:
        output = runner.run({"x": random_image(1, 1, 4, *SIZE)})["y"]
    levels = np.arctanh(output[output < 0.99].astype(np.float64)) / (SCALE / 2)
    assert np.abs(levels - np.rint(levels)).max() < 1e-2
    assert np.any(np.rint(levels) % 2 == 1)
