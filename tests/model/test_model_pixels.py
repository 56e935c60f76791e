"""Ranges, orders and channels, against the formulas in NumPy float64 and Pillow."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from instantstyle.calibration.images import load_image, to_image, whole_array
from instantstyle.calibration.imageset import ImageSet
from instantstyle.model.graph import TensorKind, TensorSpec
from instantstyle.model.pixels import decode, encode, from_levels, to_levels

IMAGENET: dict[str, Any] = {"mean": (0.485, 0.456, 0.406), "std": (0.229, 0.224, 0.225)}
CAFFE: dict[str, Any] = {"mean": (103.939, 116.779, 123.68), "order": "BGR"}  # in the network's order


def levels(channels: int) -> np.ndarray:
    """Every level in every channel, (1, C, 16, 16), no two channels alike."""
    return np.stack([np.roll(np.arange(256.0), 40 * channel).reshape(16, 16) for channel in range(channels)])[None]


@pytest.mark.parametrize(
    ("spec", "expected"),
    [
        (TensorSpec("x"), lambda x: x / 127.5 - 1),
        (TensorSpec("x", minimum=0, maximum=255), lambda x: x),
        (TensorSpec("x", minimum=0, maximum=1), lambda x: x / 255),
        (TensorSpec("x", minimum=0, maximum=255, order="BGR"), lambda x: x[:, ::-1]),
        (TensorSpec("x", minimum=0, maximum=1, **IMAGENET), lambda x: (x / 255 - column(IMAGENET["mean"])) / column(IMAGENET["std"])),
        (TensorSpec("x", minimum=0, maximum=255, **CAFFE), lambda x: x[:, ::-1] - column(CAFFE["mean"])),
        (TensorSpec("x", channels=1, minimum=0, maximum=1, mean=(0.5,), std=(0.25,)), lambda x: (x / 255 - 0.5) / 0.25),
        (TensorSpec("x", channels=4, minimum=0, maximum=255, order="BGR"), lambda x: x[:, [2, 1, 0, 3]]),
    ],
)
def test_encodings_are_their_formulas_and_come_back(spec: TensorSpec, expected) -> None:
    given = levels(spec.channels)
    picture = (given / 127.5 - 1).astype(np.float32)
    values = encode(spec, picture)
    wanted = expected(given)
    assert values.dtype == np.float32
    np.testing.assert_allclose(values, wanted, atol=np.abs(wanted).max() * 2e-7)
    np.testing.assert_allclose((decode(spec, values).astype(np.float64) + 1) * 127.5, given, atol=1e-4)
    np.testing.assert_array_equal(np.asarray(to_image(decode(spec, values))), np.asarray(to_image(picture)))
    np.testing.assert_allclose(from_levels(spec, to_levels(spec, values)), values, atol=np.abs(wanted).max() * 2e-7)


def column(numbers: tuple[float, ...]) -> np.ndarray:
    return np.array(numbers)[:, None, None]


def coloured(folder: Path, alpha: bool) -> tuple[Path, np.ndarray]:
    samples = np.random.default_rng(0).integers(0, 256, (12, 9, 4), dtype=np.uint8)
    samples = samples if alpha else samples[..., :3]
    Image.fromarray(samples).save(folder / "picture.png")
    return folder / "picture.png", samples.astype(np.float64)


def test_luma_is_bt_601(tmp_path: Path) -> None:
    path, samples = coloured(tmp_path, alpha=False)
    luma = (whole_array(load_image(path, 1))[0, 0] + 1) * 127.5
    assert np.abs(luma - samples @ [0.299, 0.587, 0.114]).max() <= 0.502
    np.testing.assert_allclose(luma, np.asarray(Image.open(path).convert("L")), atol=1e-4)


def test_alpha_is_the_pictures_or_one(tmp_path: Path) -> None:
    path, samples = coloured(tmp_path, alpha=True)
    found = (whole_array(load_image(path, 4))[0].transpose(1, 2, 0) + 1) * 127.5
    np.testing.assert_allclose(found, samples, atol=1e-4)
    path, samples = coloured(tmp_path, alpha=False)
    found = (whole_array(load_image(path, 4))[0].transpose(1, 2, 0) + 1) * 127.5
    np.testing.assert_allclose(found[..., :3], samples, atol=1e-4)
    assert (found[..., 3] > 254.999).all()


def test_a_transparent_level_of_16_bits_is_transparent(tmp_path: Path) -> None:
    samples = np.array([[0, 257 * 7], [65535, 257 * 7]], np.uint16)
    Image.fromarray(samples).save(tmp_path / "grey.png", transparency=257 * 7)
    np.testing.assert_array_equal(np.asarray(load_image(tmp_path / "grey.png", 4))[..., 3], [[255, 0], [255, 0]])
    np.testing.assert_array_equal(np.asarray(load_image(tmp_path / "grey.png"))[..., 0], [[0, 255], [255, 255]])


@pytest.mark.parametrize("channels", [1, 3, 4])
def test_image_sets_give_the_channels_that_are_wanted(tmp_path: Path, channels: int) -> None:
    path, _ = coloured(tmp_path, alpha=True)
    found = ImageSet.from_patterns([str(path)], tmp_path).load(0, (12, 9), channels)
    np.testing.assert_array_equal(found, whole_array(load_image(path, channels)))
    assert found.shape == (1, channels, 12, 9)


@pytest.mark.parametrize(
    ("changes", "told"),
    [
        ({"minimum": 1, "maximum": 1}, "range 1 to 1"),
        ({"maximum": float("inf")}, "range -1 to inf"),
        ({"mean": (0.5,)}, "mean has 1 numbers, the image 3 channels"),
        ({"std": (1, 0, 1)}, r"std \[1, 0, 1\]; the numbers must be finite and above 0"),
        ({"order": "GBR"}, "order 'GBR'; allowed: RGB, BGR"),
        ({"order": "BGR", "channels": 1}, "this image has 1"),
        ({"kind": TensorKind.VECTOR, "mean": (0, 0, 0)}, "are for images"),
    ],
)
def test_encodings_that_mean_nothing_are_refused(changes: dict, told: str) -> None:
    with pytest.raises(ValueError, match=f"tensor 'x': .*{told}"):
        TensorSpec("x", **changes)
