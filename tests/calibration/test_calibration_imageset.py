"""Image sets: what patterns match, in which order, under which hash, and which sets are refused."""

import hashlib
import unicodedata
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from instantstyle.calibration.images import to_array
from instantstyle.calibration.imageset import ImageSet, check_images
from instantstyle.system.errors import ImageError


def picture(path: Path, seed: int = 0, flat: int | None = None) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    pixels = np.random.default_rng(seed).integers(0, 256, (8, 8, 3), dtype=np.uint8) if flat is None else np.full((8, 8, 3), flat, np.uint8)
    Image.fromarray(pixels).save(path)
    return path


@pytest.fixture
def base(tmp_path: Path) -> Path:
    for seed, name in enumerate(["photos/b.png", "photos/a.PNG", "photos/deep/c.png", "photos/deep/er/d.png", "art/e.png"]):
        picture(tmp_path / name, seed)
    (tmp_path / "photos/SOURCES.tsv").write_text("b.png\tCC0\n")
    (tmp_path / "photos/.hidden.png").write_bytes(b"not an image")
    return tmp_path


def names(patterns: list[str], base: Path) -> list[str]:
    return [path.relative_to(base).as_posix() for path in ImageSet.from_patterns(patterns, base).files]


@pytest.mark.parametrize(
    ("patterns", "expected"),
    [
        (["photos"], ["photos/a.PNG", "photos/b.png"]),
        (["photos/"], ["photos/a.PNG", "photos/b.png"]),
        (["photos/*"], ["photos/a.PNG", "photos/b.png"]),
        (["photos/*.png"], ["photos/b.png"]),
        (["photos/**/*.png"], ["photos/b.png", "photos/deep/c.png", "photos/deep/er/d.png"]),
        (["photos/**"], ["photos/a.PNG", "photos/b.png", "photos/deep/c.png", "photos/deep/er/d.png"]),
        (["art/e.png", "photos/b.png"], ["photos/b.png", "art/e.png"]),
        (["art", "photos", "photos/b.png", "./photos/../photos/b.png"], ["photos/a.PNG", "photos/b.png", "art/e.png"]),
    ],
)
def test_patterns(base: Path, patterns: list[str], expected: list[str]) -> None:
    assert names(patterns, base) == expected


def test_absolute_patterns(base: Path, tmp_path_factory: pytest.TempPathFactory) -> None:
    elsewhere = tmp_path_factory.mktemp("elsewhere")
    assert ImageSet.from_patterns([f"{base}/art/*.png"], elsewhere).files == (base / "art/e.png",)


def test_a_file_named_in_full_needs_no_suffix(base: Path) -> None:
    (base / "photos/b.png").rename(base / "photos/raw.data")
    assert names(["photos/raw.data"], base) == ["photos/raw.data"]


def test_brackets_in_names_are_not_wildcards(tmp_path: Path) -> None:
    base = tmp_path / "project [v1]"
    picture(base / "photo[1].png")
    assert names(["photo[1].png"], base) == ["photo[1].png"]
    assert names(["*.png"], base) == ["photo[1].png"]


def test_links_to_one_file_count_once(base: Path) -> None:
    (base / "art/link.png").symlink_to(base / "art/e.png")
    assert names(["art"], base) == ["art/e.png"]


@pytest.mark.parametrize(
    ("pattern", "words"),
    [("nothing/*.png", "no file"), ("photos/*.tsv", "1 files but none with the suffix"), ("missing.png", "no file"), ("empty", "no file")],
)
def test_a_pattern_without_images_is_refused(base: Path, pattern: str, words: str) -> None:
    (base / "empty").mkdir()
    with pytest.raises(ImageError, match=words) as error:
        ImageSet.from_patterns(["photos", pattern], base)
    assert f"'{pattern}'" in str(error.value)


def test_no_patterns_are_refused(base: Path) -> None:
    with pytest.raises(ImageError, match="at least one"):
        ImageSet.from_patterns([], base)


def expected_hash(files: dict[str, bytes]) -> str:
    lines = sorted((name, hashlib.sha256(data).hexdigest()) for name, data in files.items())
    return hashlib.sha256("".join(f"{name}\0{digest}\n" for name, digest in lines).encode()).hexdigest()


def test_hash_covers_names_and_contents_but_not_folders(base: Path) -> None:
    content = {path.name: path.read_bytes() for path in [base / "photos/b.png", base / "photos/a.PNG", base / "art/e.png"]}
    before = ImageSet.from_patterns(["photos", "art"], base)
    assert before.sha256 == expected_hash(content)
    assert ImageSet.from_patterns(["art", "photos/b.png", "photos/*.PNG"], base) == before

    (base / "photos").rename(base / "moved")
    (base / "art/e.png").rename(base / "moved/e.png")
    assert ImageSet.from_patterns(["moved"], base).sha256 == before.sha256

    (base / "moved/e.png").rename(base / "moved/f.png")
    renamed = ImageSet.from_patterns(["moved"], base).sha256
    assert renamed == expected_hash({**{name: data for name, data in content.items() if name != "e.png"}, "f.png": content["e.png"]})
    assert renamed != before.sha256

    (base / "moved/b.png").write_bytes(content["b.png"] + b"\0")
    assert ImageSet.from_patterns(["moved"], base).sha256 != renamed


def test_hash_does_not_depend_on_how_accents_are_stored(tmp_path: Path) -> None:
    composed, decomposed = (unicodedata.normalize(form, "caf\u00e9.png") for form in ("NFC", "NFD"))
    picture(tmp_path / "one" / composed)
    picture(tmp_path / "two" / decomposed)
    assert ImageSet.from_patterns(["one"], tmp_path).sha256 == ImageSet.from_patterns(["two"], tmp_path).sha256


def test_same_names_in_two_folders_are_ordered_by_content(tmp_path: Path) -> None:
    picture(tmp_path / "a/same.png", seed=1)
    picture(tmp_path / "b/same.png", seed=2)
    order = [path.read_bytes() for path in ImageSet.from_patterns(["a", "b"], tmp_path).files]
    (tmp_path / "a").rename(tmp_path / "z")
    assert [path.read_bytes() for path in ImageSet.from_patterns(["z", "b"], tmp_path).files] == order
    assert len(order) == 2


def test_load_gives_the_array_of_one_image(base: Path) -> None:
    images = ImageSet.from_patterns(["photos"], base)
    assert len(images) == 2
    with Image.open(base / "photos/b.png") as image:
        np.testing.assert_array_equal(images.load(1, (8, 4)), to_array(image.convert("RGB"), (8, 4)))
    assert images.load(1, (8, 4)).shape == (1, 3, 8, 4)


def test_check_accepts_enough_real_pictures(base: Path) -> None:
    picture(base / "photos/black.png", flat=0)
    check_images(ImageSet.from_patterns(["photos"], base), 3, "calibration photos")


def test_check_counts(base: Path) -> None:
    with pytest.raises(ImageError, match="calibration photos: 2 found, at least 8 needed; add 6 more"):
        check_images(ImageSet.from_patterns(["photos"], base), 8, "calibration photos")


@pytest.mark.parametrize("name", ["z.jpg", "z.heic"])
def test_check_names_the_broken_file(base: Path, name: str) -> None:
    (base / "photos" / name).write_bytes(b"\xff\xd8 broken")
    with pytest.raises(ImageError, match=name.replace(".", r"\.")):
        check_images(ImageSet.from_patterns(["photos"], base), 2, "calibration photos")


def test_check_names_the_file_with_nan(base: Path) -> None:
    Image.fromarray(np.full((4, 4), np.nan, np.float32)).save(base / "photos/nan.tif")
    with pytest.raises(ImageError, match=r"nan\.tif: has NaN"):
        check_images(ImageSet.from_patterns(["photos"], base), 2, "calibration photos")


def test_check_refuses_a_constant_set(tmp_path: Path) -> None:
    for level in (0, 100, 255):
        picture(tmp_path / f"{level}.png", flat=level)
    with pytest.raises(ImageError, match="all 3 images are of a single colour"):
        check_images(ImageSet.from_patterns(["*.png"], tmp_path), 2, "calibration photos")
