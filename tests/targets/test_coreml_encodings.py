"""Core ML packages of networks with other ranges, orders, channels, means: pixel buffers in and out, against PyTorch in float64."""

import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from prediction import pretend_to_be_a_mac
from torch import Tensor, nn

from instantstyle.compression.quantization.capture import capture
from instantstyle.model.graph import Graph, Model, TensorSpec
from instantstyle.model.pixels import encode
from instantstyle.recipe.precision import Precision
from instantstyle.recipe.settings import QuantizeSettings
from instantstyle.system.errors import ExecutionError
from instantstyle.targets.base import Artifact
from instantstyle.targets.coreml.target import CoreMLTarget

pytestmark = pytest.mark.skipif(sys.platform == "darwin", reason="there, Core ML itself runs")
SIZE = (16, 24)
IMAGENET = {"mean": (0.485, 0.456, 0.406), "std": (0.229, 0.224, 0.225)}
SPECS = {
    "levels": {"minimum": 0, "maximum": 255},
    "unit": {"minimum": 0, "maximum": 1},
    "caffe": {"minimum": 0, "maximum": 255, "mean": (103.9, 116.8, 123.7), "order": "BGR"},
    "one std": {"minimum": 0, "maximum": 1, "mean": (0.5, 0.4, 0.3), "std": (0.25, 0.25, 0.25)},
    "imagenet": {"minimum": 0, "maximum": 1, **IMAGENET},
    "luma": {"channels": 1, "minimum": 0, "maximum": 1, "mean": (0.4,), "std": (0.3,)},
    "alpha": {"channels": 4, "minimum": 0, "maximum": 255, "order": "BGR"},
}


class Mix(nn.Module):
    """Every channel becomes a little more like its neighbour, in units of the range; nothing is symmetric between channels."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.mix = nn.Conv2d(channels, channels, 1, bias=False)
        weight = 0.8 * torch.eye(channels) + 0.2 * torch.eye(channels).roll(1, 0)
        self.mix.weight = nn.Parameter(weight[:, :, None, None])

    def forward(self, image: Tensor) -> Tensor:
        return self.mix(image) * 1.1


def emitted(folder: Path, changes: dict) -> tuple[Artifact, Model]:
    image, output = TensorSpec("image", **changes), TensorSpec("output", **changes)
    graph = Graph("net", Mix(image.channels).eval(), (image,), (output,))
    model = Model("net", (graph,), lambda runs, sample: runs["net"](sample)["output"], (image,), "net")
    program = capture(model, SIZE, table=None, tuned={}, settings=QuantizeSettings())
    return CoreMLTarget().emit(program, Precision.FLOAT16, folder), model


def picture(channels: int) -> np.ndarray:
    """Levels, smooth, (1, C, H, W)."""
    rows, columns = np.mgrid[: SIZE[0], : SIZE[1]]
    return np.rint(np.stack([127.5 + 120 * np.sin(rows / 5 + c) * np.cos(columns / (4 + c)) for c in range(channels)]))[None]


@pytest.mark.parametrize("name", SPECS)
def test_package_is_pytorch_to_within_a_level(name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    artifact, model = emitted(tmp_path, SPECS[name])
    (graph,) = model.graphs
    spec = graph.outputs[0]
    values = encode(graph.inputs[0], picture(spec.channels) / 127.5 - 1)
    with torch.no_grad():
        wanted = graph.module.double()(torch.from_numpy(values).double()).numpy()
    with CoreMLTarget().open(artifact, tmp_path, "net", 1) as runner:
        found = runner.run({"image": values})["output"]
    span = spec.maximum - spec.minimum
    std, mean = (np.array(numbers)[:, None, None] for numbers in (spec.std or (1.0,), spec.mean or (0.0,)))
    if spec.channels == 4:  # not a pixel buffer: the numbers themselves, in half precision
        assert np.abs(found - wanted).max() < 0.5
        return
    pixels = np.clip(wanted * std + mean, spec.minimum, spec.maximum)
    levels, expected = ((array - spec.minimum) * 255 / span for array in (found * std + mean, pixels))
    assert np.abs(levels - np.rint(levels)).max() < 1e-3
    assert np.abs(levels - expected).max() < 1.01
    assert np.abs(levels - expected).mean() < 0.35
    # What the reference is compared as.
    shown = CoreMLTarget().shown(spec, wanted)
    assert np.abs(shown * std + mean - (np.rint(expected) * span / 255 + spec.minimum)).max() < span * 1e-6
    # On a Mac, the picture that Core ML gets has red first, whatever the network has.
    if spec.channels == 3:
        seen = pretend_to_be_a_mac(monkeypatch)
        with CoreMLTarget().open(artifact, tmp_path, "net", 1) as runner:
            there = runner.run({"image": values})["output"]
        np.testing.assert_array_equal(np.asarray(seen[0].seen["image"]), picture(3)[0].transpose(1, 2, 0))
        np.testing.assert_allclose(there, found, atol=span * 1e-6 / std.min())


def test_a_package_of_another_colour_space_is_refused(tmp_path: Path) -> None:
    artifact, _ = emitted(tmp_path, SPECS["caffe"])
    graph = artifact.graphs[0]
    swapped = replace(graph, inputs=tuple(replace(spec, order="RGB") for spec in graph.inputs))
    with pytest.raises(ExecutionError, match=r"its input 'image' is BGR, and artifact.json declares RGB"):
        CoreMLTarget().open(replace(artifact, graphs=(swapped,)), tmp_path, "net", 1)
