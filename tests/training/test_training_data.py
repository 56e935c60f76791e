from hashlib import sha256
from pathlib import Path

import numpy as np
import pytest

from instantstyle.recipe.settings import HeldOutSettings
from instantstyle.system.errors import ImageError
from instantstyle.training import rows as rows_module
from instantstyle.training.images import load_square, recolour, split_data
from instantstyle.training.pairs import PairCache, build_pairs
from instantstyle.training.recipe import TrainingRecipe


def silent(what: str, done: int, total: int) -> None:
    pass


def build(recipe: TrainingRecipe) -> PairCache:
    photos, artworks = split_data(recipe.data, recipe.path.parent)
    return build_pairs(photos.training, artworks.training, recipe.run.folder / "pairs", recipe.data, silent)


def test_every_third_is_held_out_and_never_trained_with(recipe: TrainingRecipe) -> None:
    photos, artworks = split_data(recipe.data, recipe.path.parent)
    assert [path.stem for path in photos.held_out] == ["photos0", "photos3"]
    assert [path.stem for path in photos.training] == ["photos1", "photos2", "photos4"]
    assert [path.stem for path in artworks.held_out] == ["artworks0", "artworks3"]
    assert not photos.damaged and not artworks.damaged


def test_names_below_a_folder_are_held_out(recipe: TrainingRecipe, tmp_path: Path) -> None:
    (tmp_path / "kept" / "deep").mkdir(parents=True)
    (tmp_path / "kept" / "deep" / "photos4.jpg").write_bytes(b"any")
    held_out = recipe.data.held_out.model_copy(update={"names_of": tmp_path / "kept", "photo_every": 0})
    photos, _ = split_data(recipe.data.model_copy(update={"held_out": held_out}), tmp_path)
    assert [path.stem for path in photos.held_out] == ["photos4"]


def test_damaged_files_are_skipped_and_named(recipe: TrainingRecipe, tmp_path: Path) -> None:
    whole = (tmp_path / "photos" / "photos1.png").read_bytes()
    (tmp_path / "photos" / "half.png").write_bytes(whole[: len(whole) // 2])
    (tmp_path / "photos" / "empty.jpg").write_bytes(b"")
    photos, _ = split_data(recipe.data, tmp_path)
    assert len(photos.damaged) == 2
    assert any("half.png" in problem for problem in photos.damaged) and any("empty.jpg" in problem for problem in photos.damaged)
    assert len(photos.training) + len(photos.held_out) == 5


def test_too_few_images_say_so(recipe: TrainingRecipe, tmp_path: Path) -> None:
    for index in (1, 2):
        (tmp_path / "artworks" / f"artworks{index}.png").write_bytes(b"no picture")
    with pytest.raises(ImageError, match="artworks: 1 readable to train with, 1 held out, 2 damaged"):
        split_data(recipe.data, tmp_path)


def test_square_is_the_centre(tmp_path: Path, recipe: TrainingRecipe) -> None:
    from PIL import Image

    pixels = np.asarray(Image.open(tmp_path / "photos" / "photos0.png"))
    assert np.array_equal(load_square(tmp_path / "photos" / "photos0.png", 90), pixels[:, 15:105])


def test_recolour_permutes_and_keeps_structure() -> None:
    random = np.random.default_rng(1)
    pixels = random.integers(40, 200, (32, 32, 3), dtype=np.uint8)
    changed = recolour(pixels, random)
    correlation = np.asarray(np.corrcoef(np.concatenate((pixels, changed), axis=2).reshape(-1, 6).T))[:3, 3:]
    # Saturation mixes the channels, but each new channel follows one old one, each another.
    assert sorted(correlation.argmax(axis=0)) == [0, 1, 2] and correlation.max(axis=0).min() > 0.8


def test_pairs_are_what_the_teacher_paints(recipe: TrainingRecipe, teacher: type) -> None:
    cache = build(recipe)
    assert cache.contents.shape == (6, 384, 384, 3) and cache.styles.shape == (4, 512, 512, 3)
    assert cache.targets.array.shape == (12, 384, 384, 3) and cache.vectors.shape == (4 + 3, 100)
    assert list(cache.painted) == [0, 4, 8]
    for pair in (0, 5, 11):
        style, content = cache.styles[cache.style_of[pair]], cache.contents[cache.content_of[pair]]
        wanted = content * 0.5 + 127.5 * (style.reshape(-1, 3) / 255).mean(0)
        assert np.abs(cache.targets[pair] - wanted).max() <= 1
    painted = cache.targets[4]
    assert np.allclose(cache.vectors[5, :3], painted.reshape(-1, 3).mean(0) / 255, atol=1e-5)
    picture = cache.style_images(np.array([0, 5]))
    assert picture.shape == (2, 3, 512, 512)
    assert np.allclose(picture[0].permute(1, 2, 0).numpy(), cache.styles[0] / 127.5 - 1, atol=1e-6)
    assert abs(picture[1].mean().item() - (painted.mean() / 127.5 - 1)) < 2e-3


def test_pairs_are_made_once(recipe: TrainingRecipe, teacher: type) -> None:
    build(recipe)
    before = teacher.calls
    build(recipe)
    assert teacher.calls == before == 12


def test_killed_pairs_go_on_and_end_the_same(
    recipe: TrainingRecipe, teacher: type, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    whole = build(recipe.model_copy(update={"run": recipe.run.model_copy(update={"folder": tmp_path / "whole"})}))
    monkeypatch.setattr(rows_module, "FLUSH_EVERY", 2)
    paint = teacher.stylize

    def dies(self: object, photo: np.ndarray, vector: np.ndarray) -> np.ndarray:
        if teacher.calls == 12 + 7:
            raise KeyboardInterrupt
        return paint(self, photo, vector)

    monkeypatch.setattr(teacher, "stylize", dies)
    with pytest.raises(KeyboardInterrupt):
        build(recipe)
    monkeypatch.setattr(teacher, "stylize", paint)
    again = build(recipe)
    assert teacher.calls == 12 + 7 + 6  # six were on disk
    assert np.array_equal(whole.targets.array, again.targets.array)
    for name in ("contents", "styles", "vectors", "content_of", "style_of"):
        assert np.array_equal(getattr(whole, name), getattr(again, name)), name


def test_lazy_pairs_are_painted_when_they_are_drawn_and_are_the_same(recipe: TrainingRecipe, teacher: type, tmp_path: Path) -> None:
    whole = build(recipe)
    painted = teacher.calls
    data = recipe.data.model_copy(update={"lazy": True, "painted_styles": 0})
    run = recipe.run.model_copy(update={"folder": tmp_path / "lazy"})
    lazy = recipe.model_copy(update={"data": data, "run": run})
    cache = build(lazy)
    assert teacher.calls == painted
    assert np.array_equal(cache.targets[7], whole.targets[7]) and np.array_equal(cache.targets[7], whole.targets[7])
    assert teacher.calls == painted + 1
    cache.targets.save()
    assert not np.array_equal(cache.targets[3], cache.targets[7])  # painted, but a kill comes before it is saved
    again = build(lazy)
    assert again.targets.made.nonzero()[0].tolist() == [7]
    assert np.array_equal(again.targets[7], whole.targets[7]) and teacher.calls == painted + 2


def test_clear_skies_are_contents_too(recipe: TrainingRecipe, teacher: type) -> None:
    data = recipe.data.model_copy(update={"skies": 3})
    plain, cache = build(recipe), build(recipe.model_copy(update={"data": data}))
    assert np.array_equal(cache.contents[:6], plain.contents) and len(cache.contents) == 9
    assert cache.folder != plain.folder


def test_contents_that_a_list_names_are_held_out_under_any_name(recipe: TrainingRecipe, tmp_path: Path) -> None:
    moved = tmp_path / "photos" / "zebra.png"
    (tmp_path / "photos" / "photos2.png").rename(moved)
    listed = tmp_path / "held-out.sha256"
    listed.write_text(f"{sha256(moved.read_bytes()).hexdigest()}  elsewhere/photos2.png\n")
    held_out = HeldOutSettings(photo_every=0, artwork_every=0, contents=listed)
    photos, _ = split_data(recipe.data.model_copy(update={"held_out": held_out}), tmp_path)
    assert photos.held_out == [moved] and len(photos.training) == 4
    listed.write_text("photos2.png\n")
    with pytest.raises(ImageError, match=r"held-out.sha256: entry 1 does not start with a SHA-256 sum \('photos2.png'\)"):
        split_data(recipe.data.model_copy(update={"held_out": held_out}), tmp_path)


def test_other_files_make_another_cache(recipe: TrainingRecipe, teacher: type, tmp_path: Path) -> None:
    build(recipe)
    (tmp_path / "photos" / "photos1.png").write_bytes((tmp_path / "photos" / "photos2.png").read_bytes())
    build(recipe)
    assert teacher.calls == 24
