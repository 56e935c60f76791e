"""Models of one size, and the folders that an app gets of them."""

from pathlib import Path

import numpy as np
import torch
from PIL import Image
from torch import Tensor, nn
from torch.nn import functional

from instantstyle.capture.program import Program
from instantstyle.compression.quantization.capture import capture
from instantstyle.export.app.description import description
from instantstyle.export.stages.golden import golden_files
from instantstyle.model.graph import Graph, Model, Sample, TensorSpec, single_graph
from instantstyle.recipe.limits import Limits
from instantstyle.recipe.precision import Precision
from instantstyle.recipe.settings import QuantizeSettings
from instantstyle.targets.artifact import write_manifest
from instantstyle.targets.base import Target
from instantstyle.validation.golden.pictures import to_values

SIZE = (64, 96)


class Local(nn.Module):
    """Looks three pixels far, and doubles the size."""

    def __init__(self) -> None:
        super().__init__()
        torch.manual_seed(0)
        first, second, last = (nn.Conv2d(given, made, 3, padding=1) for given, made in ((3, 8), (8, 8), (8, 12)))
        self.layers = nn.Sequential(first, nn.Tanh(), second, nn.Tanh(), last)

    def forward(self, image: Tensor) -> Tensor:
        return torch.tanh(functional.pixel_shuffle(self.layers(image), 2))


class Global(nn.Module):
    """Looks at the whole, as AdaIN does: every tile comes out in a tone and a contrast of its own."""

    def __init__(self) -> None:
        super().__init__()
        torch.manual_seed(1)
        self.first, self.last = nn.Conv2d(3, 8, 3, padding=1), nn.Conv2d(8, 3, 3, padding=1)

    def forward(self, image: Tensor) -> Tensor:
        return torch.tanh(self.last(functional.instance_norm(self.first(image))))


def local() -> Model:
    """Pixels in BGR from 0 to 255, less a mean."""
    image = TensorSpec("image", minimum=0, maximum=255, mean=(104.0, 117.0, 123.0), std=(60.0, 70.0, 80.0), order="BGR")
    graph = Graph("model", Local().eval(), (image,), (TensorSpec("output", scale=2),))
    return Model("model", (graph,), lambda runs, sample: runs["model"](sample)["output"], (image,), "model")


def whole() -> Model:
    """Pixels from -1 to 1."""
    return single_graph(Global().eval())


def program(model: Model) -> Program:
    return capture(model, SIZE, table=None, tuned={}, settings=QuantizeSettings())


def package(model: Model, target: Target, folder: Path) -> Path:
    """What ``instantstyle pull --golden`` leaves, in float32, and the manifest besides, for ``ArtifactPainter``."""
    folder.mkdir()
    artifact = target.emit(program(model), Precision.FLOAT32, folder)
    write_manifest(artifact, folder)
    limits = Limits(min_ssim_worst=0.99, min_ssim_hard=0.95)
    (folder / "model.json").write_text(description(model, artifact, limits, ()))
    samples = [(Sample(f"sample {index}", {"image": encoded(model, picture(*SIZE, index))}), index == 2) for index in range(3)]
    (folder / "golden").mkdir()
    for name, content in golden_files(model, model, samples, SIZE, 1_000_000).items():
        (folder / "golden" / name).write_bytes(content)
    return folder


def encoded(model: Model, levels: np.ndarray) -> np.ndarray:
    """Levels (H, W, 3) as the model takes them."""
    return to_values(model.graphs[0].inputs[0], levels)


def picture(height: int, width: int, seed: int = 0) -> np.ndarray:
    """Levels (H, W, 3) of waves of several lengths, one half of it dull."""
    rows, columns = np.mgrid[:height, :width]
    long = [np.sin(rows / (7 + 5 * channel) + channel + seed) * np.cos(columns / (11 - 3 * channel)) for channel in range(3)]
    short = [0.4 * np.sin((rows + 2 * columns) / 3 + channel) for channel in range(3)]
    levels = 127.5 + 85 * (np.stack(long, axis=2) + np.stack(short, axis=2))
    levels[:, width // 2 :] = 0.3 * levels[:, width // 2 :] + 150
    return np.rint(levels).clip(0, 255).astype(np.uint8)


def save(levels: np.ndarray, path: Path) -> Path:
    Image.fromarray(levels).save(path)
    return path
