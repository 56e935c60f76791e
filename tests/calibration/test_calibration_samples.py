"""Samples: which images fill which inputs, in which order, and what is refused."""

from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from torch import nn

from instantstyle.calibration.imageset import ImageSet
from instantstyle.calibration.samples import Pairing, count_samples, make_samples
from instantstyle.model.graph import Model, TensorKind, TensorSpec, single_graph
from instantstyle.system.errors import ImageError, RecipeError

PHOTO = TensorSpec("photo")
STYLE = TensorSpec("style", fixed_size=(4, 6))
ALPHA = TensorSpec("alpha", TensorKind.SCALAR, channels=1, minimum=0, maximum=1)


def model(*inputs: TensorSpec) -> Model:
    return Model("styler", (), lambda runs, sample: sample["photo"], inputs, hot_graph="none")


def image_set(folder: Path, levels: dict[str, int]) -> ImageSet:
    folder.mkdir(parents=True, exist_ok=True)
    for name, level in levels.items():
        (folder / name).parent.mkdir(exist_ok=True)
        Image.new("RGB", (12, 12), (level, level, level)).save(folder / name)
    return ImageSet.from_patterns(["**/*.png"], folder)


@pytest.fixture
def photos(tmp_path: Path) -> ImageSet:
    return image_set(tmp_path / "photos", {"p0.png": 0, "p1.png": 51, "p2.png": 102})


@pytest.fixture
def styles(tmp_path: Path) -> ImageSet:
    return image_set(tmp_path / "styles", {"s0.png": 204, "s1.png": 255})


@pytest.mark.parametrize(
    ("pairing", "expected"),
    [
        ("all", [(0, 204), (0, 255), (51, 204), (51, 255), (102, 204), (102, 255)]),
        ("cycle", [(0, 204), (51, 255), (102, 204)]),
    ],
)
def test_pairing(photos: ImageSet, styles: ImageSet, pairing: Pairing, expected: list[tuple[int, int]]) -> None:
    samples = list(make_samples(model(ALPHA, STYLE, PHOTO), (8, 16), [styles, photos], pairing="cycle"))
    assert [sample.name for sample in samples] == ["s0 x p0", "s1 x p1"]  # the first image input takes the first set

    samples = list(make_samples(model(PHOTO, STYLE, ALPHA), (8, 16), [photos, styles], pairing))
    levels = [tuple(round((float(sample.inputs[name].mean()) + 1) * 127.5) for name in ("photo", "style")) for sample in samples]
    assert levels == expected
    assert [sample.name for sample in samples] == [f"p{photo // 51} x s{style // 51 - 4}" for photo, style in expected]
    assert count_samples(model(PHOTO, STYLE, ALPHA), [photos, styles], pairing) == len(expected)


def test_shapes_and_other_inputs(photos: ImageSet, styles: ImageSet) -> None:
    code = TensorSpec("code", TensorKind.VECTOR, channels=5, minimum=-2, maximum=3)
    sample = next(make_samples(model(PHOTO, STYLE, ALPHA, code), (8, 16), [photos, styles], "all"))
    shapes = {name: array.shape for name, array in sample.inputs.items()}
    assert shapes == {"photo": (1, 3, 8, 16), "style": (1, 3, 4, 6), "alpha": (1, 1), "code": (1, 5)}
    assert all(array.dtype == np.float32 for array in sample.inputs.values())
    np.testing.assert_array_equal(sample.inputs["alpha"], [[1]])
    np.testing.assert_array_equal(sample.inputs["code"], [[3, 3, 3, 3, 3]])


def test_images_follow_the_range_of_their_input(photos: ImageSet) -> None:
    spec = TensorSpec("photo", minimum=0, maximum=255)
    values = [float(sample.inputs["photo"][0, 0, 0, 0]) for sample in make_samples(model(spec), (8, 8), [photos], "all")]
    np.testing.assert_allclose(values, [0, 51, 102], atol=1e-4)


def test_a_single_graph_needs_one_set(photos: ImageSet, styles: ImageSet) -> None:
    for sets in ([photos], [photos, styles]):
        samples = list(make_samples(single_graph(nn.Identity()), (8, 8), sets, "all"))
        assert [sample.name for sample in samples] == ["p0", "p1", "p2"]
        assert list(samples[0].inputs) == ["image"]


def test_images_are_read_one_by_one(photos: ImageSet, monkeypatch: pytest.MonkeyPatch) -> None:
    read: list[int] = []
    load = ImageSet.load
    monkeypatch.setattr(ImageSet, "load", lambda self, index, *rest: read.append(index) or load(self, index, *rest))
    samples = make_samples(single_graph(nn.Identity()), (8, 8), [photos], "all")
    assert read == []
    next(samples)
    assert read == [0]
    photos.files[1].write_bytes(b"broken")
    with pytest.raises(ImageError, match="p1.png"):
        next(samples)


def test_names_stay_apart(tmp_path: Path) -> None:
    by_suffix = image_set(tmp_path / "one", {"a.png": 1, "b.png": 2})
    Image.new("RGB", (12, 12)).save(tmp_path / "one/a.bmp")
    by_suffix = ImageSet.from_patterns(["*"], tmp_path / "one")
    by_folder = image_set(tmp_path / "two", {"x/a.png": 1, "y/a.png": 2})
    by_path = image_set(tmp_path / "three", {"x/a.png": 1, "y/a.png": 2})
    (tmp_path / "three/y/x").mkdir()
    (tmp_path / "three/y/a.png").rename(tmp_path / "three/y/x/a.png")
    by_path = ImageSet.from_patterns(["**/*.png"], tmp_path / "three")

    def found(images: ImageSet) -> set[str]:
        return {sample.name for sample in make_samples(single_graph(nn.Identity()), (8, 8), [images], "all")}

    assert found(by_suffix) == {"a.bmp", "a.png", "b.png"}
    assert found(by_folder) == {"x/a.png", "y/a.png"}
    assert found(by_path) == {str(tmp_path / "three/x/a.png"), str(tmp_path / "three/y/x/a.png")}


@pytest.mark.parametrize("sets", [0, 1])
def test_an_input_without_images_is_named_at_once(photos: ImageSet, sets: int) -> None:
    name = ["photo", "style"][sets]
    for call in (lambda m, s: make_samples(m, (8, 8), s, "all"), lambda m, s: count_samples(m, s, "all")):
        with pytest.raises(RecipeError, match=f"input '{name}' is image input {sets + 1} of 2"):
            call(model(PHOTO, STYLE), [photos][:sets])


def test_an_empty_set_is_refused() -> None:
    with pytest.raises(RecipeError, match="input 'photo'"):
        make_samples(model(PHOTO), (8, 8), [ImageSet((), "0" * 64)], "cycle")


def test_models_that_images_cannot_feed_are_refused(photos: ImageSet) -> None:
    with pytest.raises(RecipeError, match="'depth' wants 2 channels; pictures have 1"):
        make_samples(model(TensorSpec("depth", channels=2)), (8, 8), [photos], "all")
    with pytest.raises(RecipeError, match="no image among"):
        make_samples(model(ALPHA), (8, 8), [photos], "all")
