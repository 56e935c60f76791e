"""Random samples for fine-tuning: the same for the same index, of every scale and palette."""

from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from torch import nn

from instantstyle.calibration.imageset import ImageSet
from instantstyle.compression.distillation.draws import VARIANTS, SampleDraws
from instantstyle.model.graph import Graph, Model, TensorKind, TensorSpec
from instantstyle.system.errors import RecipeError

SPECS = (
    TensorSpec("photo", minimum=0.0, maximum=1.0),
    TensorSpec("style", fixed_size=(16, 24)),
    TensorSpec("alpha", TensorKind.SCALAR, 1, 0.0, 1.0),
)
MODEL = Model("m", (Graph("g", nn.Identity(), SPECS, (TensorSpec("image"),)),), lambda runs, sample: sample["photo"], SPECS, "g")


@pytest.fixture
def draws(tmp_path: Path) -> SampleDraws:
    """The photo's red rises from left to right, from 0 to 255; the style's three channels are 0, 128 and 255."""
    ramp = np.zeros((64, 256, 3), np.uint8)
    ramp[..., 0] = np.arange(256)
    Image.fromarray(ramp).save(tmp_path / "photo.png")
    Image.fromarray(np.full((40, 40, 3), (0, 128, 255), np.uint8)).save(tmp_path / "style.png")
    sets = [ImageSet.from_patterns([name], tmp_path) for name in ("photo.png", "style.png")]
    return SampleDraws(MODEL, (32, 32), sets, seed=3)


def test_a_sample_depends_on_its_index_alone(draws: SampleDraws) -> None:
    first, other, again = draws.draw(5, 1), draws.draw(5, 2), draws.draw(5, 1)
    assert all(np.array_equal(first.inputs[name], again.inputs[name]) for name in first.inputs)
    assert not np.array_equal(first.inputs["photo"], other.inputs["photo"])


def test_shapes_and_ranges(draws: SampleDraws) -> None:
    samples = [draws.draw(index).inputs for index in range(60)]
    assert {name: array.shape for name, array in samples[0].items()} == {"photo": (1, 3, 32, 32), "style": (1, 3, 16, 24), "alpha": (1, 1)}
    assert min(sample["photo"].min() for sample in samples) >= 0 and max(sample["photo"].max() for sample in samples) <= 1
    assert all(array.dtype == np.float32 and array.flags.c_contiguous for sample in samples for array in sample.values())
    alphas = [sample["alpha"].item() for sample in samples]
    assert 15 < sum(alpha == 1 for alpha in alphas) < 45 and min(alphas) < 0.2


def test_crops_are_mirrored_and_repainted_at_several_scales(draws: SampleDraws) -> None:
    photos = [draws.draw(index).inputs["photo"][0] for index in range(200)]
    red = [int(np.argmax(photo.mean(axis=(1, 2)))) for photo in photos]
    assert 10 < sum(channel != 0 for channel in red) < 70
    slopes = [float(photo[channel, 16, -1] - photo[channel, 16, 0]) for photo, channel in zip(photos, red, strict=True)]
    assert 60 < sum(slope < 0 for slope in slopes) < 140
    # A square that is cut out of a part of 64x256 with the same aspect ratio spans a quarter of that part's width.
    spans = np.abs(slopes)
    assert 0.08 < spans.min() < 0.13 and 0.22 < spans.max() < 0.27


def test_images_of_a_fixed_size_repeat(draws: SampleDraws) -> None:
    styles = {draws.draw(index).inputs["style"].tobytes() for index in range(300)}
    assert len(styles) <= VARIANTS
    assert {frozenset(np.round(draws.draw(index).inputs["style"][0, :, 0, 0], 2).tolist()) for index in range(20)} == {
        frozenset((-1, 0, 1))
    }


def test_every_image_input_needs_a_set(tmp_path: Path) -> None:
    Image.new("RGB", (9, 9)).save(tmp_path / "a.png")
    with pytest.raises(RecipeError, match="input 'style' is image input 2 of 2 and has no images"):
        SampleDraws(MODEL, (32, 32), [ImageSet.from_patterns(["a.png"], tmp_path)], 0)
