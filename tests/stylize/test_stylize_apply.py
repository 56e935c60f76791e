"""``instantstyle apply``: pictures in and out of artifacts, by their manifests alone, against PyTorch."""

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image
from torch import Tensor, nn
from torch.nn import functional
from typer.testing import CliRunner

from instantstyle.cli.main import app
from instantstyle.compression.quantization.capture import capture
from instantstyle.model.graph import Arrays, Graph, Model, Run, TensorKind, TensorSpec
from instantstyle.recipe.precision import Precision
from instantstyle.recipe.settings import QuantizeSettings
from instantstyle.system.errors import InstantStyleError
from instantstyle.targets.artifact import write_manifest
from instantstyle.targets.onnx.target import OnnxTarget

SIZE = (32, 48)
LEVELS: dict[str, Any] = {"minimum": 0.0, "maximum": 255.0}


class Tint(nn.Module):
    """Of levels: blurs, and moves the first channel up and the last down; so that range, order and place all show."""

    def __init__(self, channels: int, out: int, scale: int = 1) -> None:
        super().__init__()
        self.tint = nn.Parameter(torch.linspace(30, -30, out)[:, None, None])
        self.channels, self.out, self.scale = channels, out, scale

    def forward(self, image: Tensor) -> Tensor:
        blurred = functional.avg_pool2d(functional.pad(image, (1, 1, 1, 1), mode="replicate"), 3, stride=1)
        chosen = torch.cat([blurred[:, index % self.channels][:, None] for index in range(self.out)], dim=1)
        return functional.interpolate(chosen, scale_factor=self.scale, mode="nearest") + self.tint if self.scale > 1 else chosen + self.tint


class Mixer(nn.Module):
    """Two images and a number."""

    def forward(self, photo: Tensor, mood: Tensor, strength: Tensor) -> Tensor:
        return photo + strength[:, :, None, None] * mood[:, :, None, None]


class Mood(nn.Module):
    def forward(self, art: Tensor) -> Tensor:
        return art.mean(dim=(2, 3)) - 128


def single(channels: int, out: int, scale: int = 1, **encoding: Any) -> Model:
    image = TensorSpec("image", channels=channels, **LEVELS, **encoding)
    output = TensorSpec("output", channels=out, scale=scale, **LEVELS, **encoding)
    graph = Graph("net", Tint(channels, out, scale).eval(), (image,), (output,))
    return Model("net", (graph,), lambda runs, sample: runs["net"](sample)["output"], (image,), "net")


def two_images() -> Model:
    photo, art = TensorSpec("photo", **LEVELS, order="BGR"), TensorSpec("art", **LEVELS, order="BGR", fixed_size=(16, 16))
    mood, strength = TensorSpec("mood", TensorKind.VECTOR), TensorSpec("strength", TensorKind.SCALAR, channels=1, minimum=0, maximum=0.5)
    graphs = (
        Graph("mood_of", Mood().eval(), (art,), (mood,)),
        Graph("mixer", Mixer().eval(), (photo, mood, strength), (TensorSpec("picture", **LEVELS, order="BGR"),)),
    )

    def scenario(runs: Mapping[str, Run], sample: Arrays) -> np.ndarray:
        found = runs["mood_of"]({"art": sample["art"]})["mood"]
        return runs["mixer"]({"photo": sample["photo"], "mood": found, "strength": sample["strength"]})["picture"]

    return Model("two", graphs, scenario, (photo, art, strength), "mixer")


def artifact(model: Model, folder: Path) -> Path:
    folder.mkdir(exist_ok=True)
    program = capture(model, SIZE, table=None, tuned={}, settings=QuantizeSettings())
    write_manifest(OnnxTarget().emit(program, Precision.FLOAT32, folder), folder)
    return folder


def picture(path: Path, mode: str, size: tuple[int, int] = SIZE) -> np.ndarray:
    """Writes a smooth picture; its levels, (H, W, C)."""
    rows, columns = np.mgrid[: size[0], : size[1]]
    channels = [127.5 + 110 * np.sin(rows / (6 + c) + c) * np.cos(columns / (9 - c)) for c in range(len(mode))]
    levels = np.rint(np.stack(channels, axis=2)).astype(np.uint8)
    Image.fromarray(levels[..., 0] if mode == "L" else levels).save(path)
    return levels.astype(np.float64)


def run(*arguments: object) -> tuple[int, str]:
    result = CliRunner().invoke(app, ["apply", *map(str, arguments)], catch_exceptions=False)
    return result.exit_code, result.output


def by_pytorch(model: Model, levels: np.ndarray, bgr: bool = False) -> np.ndarray:
    """(H, W, C) of levels as a viewer shows what the network makes of them."""
    order = [2, 1, 0, 3][: levels.shape[2]] if bgr else list(range(levels.shape[2]))
    with torch.no_grad():
        out = model.graphs[0].module.double()(torch.from_numpy(levels[..., order].transpose(2, 0, 1)[None].copy()))
    shown = out[0].numpy().transpose(1, 2, 0).clip(0, 255)
    return shown[..., [2, 1, 0, 3][: shown.shape[2]]] if bgr else shown


@pytest.mark.parametrize(
    ("channels", "out", "scale", "encoding", "mode"),
    [
        (3, 3, 1, {}, "RGB"),
        (3, 3, 1, {"order": "BGR"}, "RGB"),
        (3, 3, 2, {}, "RGB"),
        (1, 1, 1, {}, "L"),
        (4, 4, 4, {"order": "BGR"}, "RGBA"),
        (3, 1, 1, {}, "L"),
    ],
)
def test_a_picture_of_the_artifacts_size_is_pytorchs(
    tmp_path: Path, channels: int, out: int, scale: int, encoding: dict[str, str], mode: str
) -> None:
    model = single(channels, out, scale, **encoding)
    folder = artifact(model, tmp_path / "artifact")
    given = picture(tmp_path / "photo.png", {1: "L", 3: "RGB", 4: "RGBA"}[channels])
    assert run(folder, tmp_path / "photo.png", "-o", tmp_path / "out.png")[0] == 0
    found = Image.open(tmp_path / "out.png")
    assert (found.mode, found.size) == (mode, (SIZE[1] * scale, SIZE[0] * scale))
    wanted = by_pytorch(model, given, bgr=bool(encoding))
    assert np.abs(np.atleast_3d(np.asarray(found, np.float64)) - wanted).max() <= 1
    assert np.abs(wanted - given[..., :out].repeat(scale, axis=0).repeat(scale, axis=1)).max() > 25


@pytest.mark.parametrize("size", [(32, 90), (75, 101), (20, 30)])
def test_another_size_is_padded_or_tiled(tmp_path: Path, size: tuple[int, int]) -> None:
    """The network looks three pixels far, so that nothing but the corners of tiles differs from one piece."""
    model = single(3, 3, 2)
    folder = artifact(model, tmp_path / "artifact")
    given = picture(tmp_path / "photo.png", "RGB", size)
    run(folder, tmp_path / "photo.png", "-o", tmp_path / "out.png")
    found = np.asarray(Image.open(tmp_path / "out.png"), np.float64)
    difference = np.abs(found - by_pytorch(model, given))
    assert found.shape == (2 * size[0], 2 * size[1], 3)
    assert difference[4:-4, 4:-4].max() <= 4 and np.median(difference) <= 0.5


def test_the_second_image_comes_by_style_and_numbers_are_at_their_maximum(tmp_path: Path) -> None:
    folder = artifact(two_images(), tmp_path / "artifact")
    given = picture(tmp_path / "photo.png", "RGB")
    Image.new("RGB", (20, 20), (188, 128, 88)).save(tmp_path / "art.png")
    run(folder, tmp_path / "photo.png", "--style", tmp_path / "art.png", "-o", tmp_path / "out.png")
    found = np.asarray(Image.open(tmp_path / "out.png"), np.float64)
    assert np.abs(found - (given + [30, 0, -20]).clip(0, 255)).max() <= 1
    for styles in ((), ("--style", tmp_path / "art.png", "--style", tmp_path / "art.png")):
        with pytest.raises(InstantStyleError, match=rf"--style: {len(styles) // 2} given, .* needs one for each of art"):
            run(folder, tmp_path / "photo.png", *styles, "-o", tmp_path / "out.png")
    with pytest.raises(InstantStyleError, match="needs none"):
        run(artifact(single(3, 3), tmp_path / "one"), tmp_path / "photo.png", "--style", tmp_path / "art.png", "-o", tmp_path / "out.png")


def test_a_folder_keeps_names_and_transparency_needs_a_format_for_it(tmp_path: Path) -> None:
    folder = artifact(single(4, 4), tmp_path / "artifact")
    (tmp_path / "photos").mkdir()
    picture(tmp_path / "photos/a.jpg", "RGB")
    picture(tmp_path / "photos/b.png", "RGBA")
    arguments = (folder, tmp_path / "photos", "-o", tmp_path / "out")
    assert run(*arguments)[0] == 0
    found = {path.name: Image.open(path).mode for path in (tmp_path / "out").glob("[!.]*")}
    assert found == {"a.jpg.png": "RGBA", "b.png": "RGBA"}
    assert "2 were there already" in run(*arguments)[1]
    with pytest.raises(InstantStyleError, match=r"'\.jpg' has no transparency, which this picture has; use one of \.png"):
        run(folder, tmp_path / "photos/a.jpg", "-o", tmp_path / "out.jpg")


def test_artifacts_that_make_no_picture_of_a_photo_are_refused(tmp_path: Path) -> None:
    picture(tmp_path / "photo.png", "RGB")
    image, many = TensorSpec("image"), TensorSpec("output", channels=5)
    graph = Graph("net", Tint(3, 5).eval(), (image,), (many,))
    model = Model("net", (graph,), lambda runs, sample: runs["net"](sample)["output"], (image,), "net")
    code = Model("two", two_images().graphs[1:], two_images().scenario, two_images().sample_inputs[:1], "mixer")
    for index, (wrong, told) in enumerate([(model, "'output' has 5 channels, pictures have 1, 3 or 4"), (code, "wants a vector 'mood'")]):
        with pytest.raises(InstantStyleError, match=told):
            run(artifact(wrong, tmp_path / str(index)), tmp_path / "photo.png", "-o", tmp_path / "out.png")
    assert not (tmp_path / "out.png").exists()


def test_the_manifest_alone_decides(tmp_path: Path) -> None:
    """An artifact that says BGR is fed so, whatever made it."""
    model = single(3, 3)
    (graph,) = model.graphs
    swapped = replace(graph, inputs=tuple(replace(spec, order="BGR") for spec in graph.inputs))
    folder = artifact(replace(model, graphs=(swapped,)), tmp_path / "artifact")
    given = picture(tmp_path / "photo.png", "RGB")
    run(folder, tmp_path / "photo.png", "-o", tmp_path / "out.png")
    wanted = by_pytorch(model, given[..., ::-1].copy())
    assert np.abs(np.asarray(Image.open(tmp_path / "out.png"), np.float64) - wanted).max() <= 1
