"""The Python API: exporting a model in memory, loading what came of it, comparing."""

import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from torch import Tensor, nn

import instantstyle
from instantstyle.export.bundle.swap import FILE_NAME
from instantstyle.system.errors import ImageError, RecipeError
from instantstyle.validation.results.bundle import RECIPE

SIDE = 48
# Speed is not what this is about, and these machines are busy.
BUSY = {"threads": 1, "warmup": 0, "runs": 5, "processes": 0, "patience_s": 0}


class Warm(nn.Module):
    """A photo filter: it keeps the photo and warms its colours."""

    def __init__(self) -> None:
        super().__init__()
        self.filter = nn.Conv2d(3, 3, 3, padding=1, padding_mode="replicate")
        with torch.no_grad():
            self.filter.weight.mul_(0.05)
            self.filter.weight[:, :, 1, 1] += 0.7 * torch.eye(3)
            assert self.filter.bias is not None
            self.filter.bias.copy_(torch.tensor([0.05, 0.0, -0.05]))

    def forward(self, image: Tensor) -> Tensor:
        return self.filter(image)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("api")
    (folder / "photos").mkdir()
    for index in range(16):
        values = np.random.default_rng(index).integers(0, 256, (6, 6, 3), np.uint8)
        Image.fromarray(values).resize((SIDE, SIDE), Image.Resampling.BICUBIC).save(folder / "photos" / f"{index}.png")
    return folder


@pytest.fixture(scope="module")
def net() -> Warm:
    torch.manual_seed(0)
    return Warm().eval()


@pytest.fixture(scope="module")
def bundle(folder: Path, net: Warm) -> instantstyle.Bundle:
    return instantstyle.export(
        net,
        images=folder / "photos",
        targets=["onnx-float32", "onnx-int8"],
        required=["onnx-float32"],
        limits={"min_ssim_mean": 0.98},
        size=SIDE,
        latency=BUSY,
        name="warm",
        out=folder / "dist",
        cache=folder / "cache",
    )


def test_a_model_in_memory_becomes_a_bundle_that_the_command_accepts(bundle: instantstyle.Bundle, folder: Path) -> None:
    assert set(bundle.artifacts) == {f"onnx-float32-{SIDE}x{SIDE}", f"onnx-int8-{SIDE}x{SIDE}"}
    assert bundle.statuses[f"onnx-float32-{SIDE}x{SIDE}"] == "passed", bundle.problems
    assert bundle.passed
    assert "onnx-float32-48x48: passed (required)" in repr(bundle)
    again = instantstyle.Bundle.open(folder / "dist")
    assert again.content == bundle.content
    done = subprocess.run(
        [sys.executable, "-m", "instantstyle.cli", "validate", str(folder / "dist")], capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stdout + done.stderr


def test_the_recipe_in_the_bundle_says_what_was_asked_for(bundle: instantstyle.Bundle) -> None:
    text = (bundle.folder / RECIPE).read_text()
    assert f'factory = "{Warm.__module__}:Warm"' in text
    assert "min_ssim_mean = 0.98" in text
    assert (bundle.folder / FILE_NAME).is_file()


def test_calibration_and_validation_are_different_halves(bundle: instantstyle.Bundle) -> None:
    names = {image.name for images in bundle.content.samples.images for image in images}
    assert len(names) == 8


def test_a_loaded_artifact_computes_what_the_module_does_in_the_form_of_the_photo(
    bundle: instantstyle.Bundle, net: Warm, folder: Path
) -> None:
    photo = np.asarray(Image.open(folder / "photos" / "3.png"))
    with torch.no_grad():
        image = torch.from_numpy(photo.transpose(2, 0, 1)[None] / np.float32(127.5) - np.float32(1))
        wanted = ((net(image)[0].clamp(-1, 1) + 1) * 127.5).round().byte().permute(1, 2, 0).numpy()
    with instantstyle.load(bundle, "onnx-float32") as paint:
        found = paint(photo)
        assert found.dtype == np.uint8
        assert np.abs(found.astype(int) - wanted).max() <= 1
        shared = paint(photo / 255.0)
        assert shared.dtype == np.float64
        assert np.abs(shared * 255 - wanted).max() <= 1
        assert isinstance(paint(Image.fromarray(photo)), Image.Image)
        assert np.array_equal(np.asarray(paint(folder / "photos" / "3.png")), found)


def test_comparing_says_how_far_apart(bundle: instantstyle.Bundle, folder: Path) -> None:
    found = instantstyle.compare(lambda photo: photo, lambda photo: photo, folder / "photos")
    assert (found.mean, found.worst) == (1, 1)
    assert all(np.isinf(row.psnr_db) and row.largest == 0 for row in found.rows)
    black, grey = np.zeros((32, 32, 3), np.uint8), np.full((32, 32, 3), 51, np.uint8)
    apart = instantstyle.compare(black, grey).rows[0]
    assert apart.psnr_db == pytest.approx(20 * np.log10(5))
    assert apart.largest == 51
    between = instantstyle.compare(
        bundle.artifacts[f"onnx-float32-{SIDE}x{SIDE}"], instantstyle.load(bundle, "onnx-int8"), folder / "photos"
    )
    assert 0.9 < between.worst <= between.mean < 1
    assert "| 3.png |" in between._repr_markdown_()


def test_wrong_input_is_told_in_a_sentence(folder: Path, net: Warm, bundle: instantstyle.Bundle) -> None:
    with pytest.raises(
        ImageError, match="photos: 1 different files; at least 16 are needed, half of them to judge with. Give more, or validation="
    ):
        instantstyle.export(net, images=folder / "photos" / "1.png", cache=folder / "cache")
    with pytest.raises(RecipeError, match="targets: found 'android'; write a target and a precision, e.g. 'android-int8'"):
        instantstyle.export(net, images=folder / "photos", targets=["android"], cache=folder / "cache")
    with pytest.raises(RecipeError, match="unknown target 'androit', did you mean 'android'"):
        instantstyle.export(net, images=folder / "photos", targets=["androit-int8"], cache=folder / "cache")
    with pytest.raises(instantstyle.InstantStyleError, match="no artifact 'coreml'; there are onnx-float32-48x48, onnx-int8-48x48"):
        instantstyle.load(bundle, "coreml")
    paint = instantstyle.load(bundle, "onnx-float32")
    with pytest.raises(instantstyle.InstantStyleError, match="takes no number 'alpha'; it takes none"):
        paint(np.zeros((8, 8, 3), np.uint8), alpha=0.5)
    with pytest.raises(ImageError, match=r"floats from 0 to 255; a picture is an array"):
        paint(np.linspace(0, 255, 192).reshape(8, 8, 3))


def test_another_forward_of_an_equal_looking_class_is_another_model(folder: Path, bundle: instantstyle.Bundle, net: Warm) -> None:
    """As in a notebook, where a cell is edited and run again."""

    class Warm(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.filter = net.filter

        def forward(self, image: Tensor) -> Tensor:
            return self.filter(image) * 0.5

    changed = instantstyle.export(
        Warm(),
        images=folder / "photos",
        targets=["onnx-float32"],
        size=SIDE,
        name="warm",
        out=folder / "other",
        cache=folder / "cache",
        latency=BUSY,
    )
    photo = np.full((SIDE, SIDE, 3), 200, np.uint8)
    with instantstyle.load(changed, "onnx") as half, instantstyle.load(bundle, "onnx-float32") as whole:
        assert half(photo).astype(float).mean() == pytest.approx((whole(photo).astype(float).mean() - 127.5) / 2 + 127.5, abs=1)


def test_importing_costs_nothing() -> None:
    code = (
        "import sys, instantstyle; assert not {'torch', 'numpy', 'onnx', 'pydantic'} & sys.modules.keys(); print(instantstyle.__version__)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert done.stdout.strip() == "0.1.0"


def test_everything_that_is_promised_is_there_and_documented() -> None:
    assert set(dir(instantstyle)) == set(instantstyle.__all__)
    for name in instantstyle.__all__:
        assert getattr(instantstyle, name).__doc__
    with pytest.raises(AttributeError, match="no attribute 'exprot'; it has Bundle, Comparison"):
        instantstyle.exprot  # noqa: B018
