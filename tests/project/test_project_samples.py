"""The sample images: public domain or CC0 only, each with its source, the right size, no image in two sets."""

import csv
import hashlib
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest
from make_artworks import ARTWORKS
from PIL import Image

ROOT = Path(__file__).parents[2]
SAMPLES = ROOT / "samples"
COUNTS = {"calibration/photos": 24, "calibration/styles": 8, "validation/photos": 12, "validation/styles": 4}
LICENCES = {"Public domain", "CC0-1.0", "Public domain, CC0-1.0"}
# Kept out of training, so that validation judges what the network has not seen.
HELD_OUT_STYLES = {"gc_Gogh4.jpg", "gc_VincentVanGoghBridge.jpg"}
HELD_OUT_PHOTOS = {
    *(
        "es_city3.jpg",
        "es_mountain1.jpg",
        "es_scene_loc5.jpg",
        "gc_ani_giraffe.jpg",
        "gc_ani_jaguar.jpg",
        "gc_mon_neuschwansteinCastle.jpg",
    ),
    *("gc_mon_statueofLiberty.jpg", "palapeli_citrus-fruits.jpg", "sk_astronaut.jpg", "sk_chelsea.jpg", "sk_coffee.jpg", "sk_rocket.jpg"),
}


def images() -> list[Path]:
    return sorted(path for folder in COUNTS for path in (SAMPLES / folder).iterdir())


def rows() -> list[dict[str, str]]:
    with (SAMPLES / "SOURCES.tsv").open(encoding="utf-8", newline="") as file:
        return list(csv.DictReader(file, delimiter="\t", quoting=csv.QUOTE_NONE))


def test_counts() -> None:
    assert {folder: len(list((SAMPLES / folder).iterdir())) for folder in COUNTS} == COUNTS


def test_every_image_has_one_row_and_every_row_an_image() -> None:
    assert [row["file"] for row in rows()] == [path.relative_to(SAMPLES).as_posix() for path in images()]


@pytest.mark.parametrize("row", rows(), ids=lambda row: row["file"])
def test_row_is_complete_and_free(row: dict[str, str]) -> None:
    assert row["licence"] in LICENCES
    assert row["package"] and row["original"] and row["author"]


def test_format_and_total_size() -> None:
    for path in images():
        with Image.open(path) as image:
            assert (image.format, image.size, image.mode) == ("JPEG", (512, 512), "RGB"), path.name
    assert sum(path.stat().st_size for path in SAMPLES.rglob("*") if path.is_file()) < 6_000_000


def test_sets_are_disjoint() -> None:
    for attribute in ("original", "file"):
        values = [Path(row[attribute]).name for row in rows()]
        assert len(set(values)) == len(values)
    hashes = [hashlib.sha256(path.read_bytes()).hexdigest() for path in images()]
    assert len(set(hashes)) == len(hashes)


def test_validation_holds_what_training_keeps_out() -> None:
    assert {path.name for path in (SAMPLES / "validation/photos").iterdir()} == HELD_OUT_PHOTOS
    assert {path.name for path in (SAMPLES / "validation/styles").iterdir()} >= HELD_OUT_STYLES


def test_painted_artworks_are_listed_as_such() -> None:
    painted = {row["file"] for row in rows() if row["package"] == "instantstyle"}
    assert painted == {artwork.file for artwork in ARTWORKS}
    assert all((ROOT / row["original"]).is_file() for row in rows() if row["package"] == "instantstyle")


@pytest.mark.parametrize("name", ["made_geometry", "made_ink_wash", "made_woodblock_waves", "made_pointillism"])
def test_script_paints_the_stored_artwork(name: str) -> None:
    (artwork,) = (artwork for artwork in ARTWORKS if Path(artwork.file).stem == name)
    painted = np.asarray(artwork.image().reduce(8), np.float32)
    with Image.open(SAMPLES / artwork.file) as stored:
        error = np.square(painted - np.asarray(stored.reduce(8), np.float32)).mean()
    # What JPEG leaves of the means of 8x8 pixels; another seed stays below 21 dB.
    assert 10 * np.log10(255**2 / error) > 38


def test_artworks_differ_in_colour() -> None:
    """Styles of nearly one mean colour would calibrate the style encoder on one point."""
    means = sorted(float(np.asarray(Image.open(path), np.float32).mean()) for path in images() if "styles" in path.parts)
    assert means[-1] - means[0] > 60
    assert max(second - first for first, second in pairwise(means)) < 60
