import sys
from pathlib import Path
from types import ModuleType

import numpy as np
import pytest
from PIL import Image

from instantstyle.training.recipe import TrainingRecipe, load_training_recipe

RECIPE = """
name = "tiny"
[data]
photos = "photos"
artworks = "artworks"
held_out = { photo_every = 3, artwork_every = 3 }
crops_per_photo = 2
variants_per_artwork = 2
photo_styles = 0
pairs_per_style = 3
painted_styles = 4
[run]
folder = "run"
checkpoint_every = 2
precision = "float32"
ema = 0.9
threads = 1
seed = 5
[[stages]]
name = "frozen"
steps = 3
batch = 2
crop = 64
learning_rate = 1e-3
freeze = ["style_encoder"]
frozen_norm = 0.5
[[stages]]
name = "joint"
steps = 4
batch = 4
photos_per_style = 2
crop = 64
learning_rate = 1e-3
schedule = "cosine"
clip = 1.0
"""


class FakeTeacher:
    """Stands at the boundary of the teacher's package: the photo in the style's mean colour, and a vector of mean and deviation."""

    calls = 0

    def __init__(self, threads: int = 2) -> None:
        pass

    def style_vector(self, style: np.ndarray) -> np.ndarray:
        pixels = style.reshape(-1, 3) / 255.0
        vector = np.zeros((1, 100), np.float32)
        vector[0, :6] = [*pixels.mean(0), *pixels.std(0)]
        return vector

    def stylize(self, photo: np.ndarray, vector: np.ndarray) -> np.ndarray:
        type(self).calls += 1
        return (photo * 0.5 + 127.5 * vector[0, :3]).astype(np.uint8)


@pytest.fixture
def teacher(monkeypatch: pytest.MonkeyPatch) -> type[FakeTeacher]:
    module = ModuleType("instantstyle.training.teacher")
    FakeTeacher.calls = 0
    module.Teacher = FakeTeacher  # type: ignore[attr-defined]
    monkeypatch.setitem(sys.modules, "instantstyle.training.teacher", module)
    return FakeTeacher


@pytest.fixture
def data(tmp_path: Path) -> Path:
    """A recipe with 5 photos and 4 artworks beside it; returns the recipe's path."""
    random = np.random.default_rng(0)
    for folder, count in (("photos", 5), ("artworks", 4)):
        (tmp_path / folder).mkdir()
        for index in range(count):
            coarse = random.integers(0, 256, (6, 8, 3), dtype=np.uint8)
            Image.fromarray(coarse).resize((120, 90), Image.Resampling.BICUBIC).save(tmp_path / folder / f"{folder}{index}.png")
    path = tmp_path / "tiny.toml"
    path.write_text(RECIPE)
    return path


@pytest.fixture
def recipe(data: Path) -> TrainingRecipe:
    return load_training_recipe(data)
