import json
import shutil
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from stylize_files import PHOTOS, STYLE
from typer.testing import CliRunner

from instantstyle.cli.main import app
from instantstyle.stylize.engine import Engine, Say
from instantstyle.stylize.places import JOURNAL
from instantstyle.system.errors import InstantStyleError

SECOND = STYLE.with_name("made_pointillism.jpg")


class Brush(Engine):
    """Stands for an engine: mixes the photo with the code's colour. The code is the artwork's mean colour."""

    name, identity = "brush", "1"

    def __init__(self) -> None:
        self.painted = 0

    def code(self, artwork: Image.Image) -> np.ndarray:
        return np.asarray(artwork, np.float32).reshape(1, -1, 3).mean(axis=1) / 127.5 - 1

    def paint(self, photo: np.ndarray, code: np.ndarray, alpha: float, say: Say) -> np.ndarray:
        self.painted += 1
        say(1, 1)
        return (1 - alpha) * photo + alpha * np.broadcast_to(code[:, :, None, None], photo.shape)


@pytest.fixture
def brush(monkeypatch: pytest.MonkeyPatch) -> Brush:
    engine = Brush()
    monkeypatch.setattr("instantstyle.stylize.command.NetworkEngine.load", lambda _: engine)
    return engine


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """photos/: three photos of different formats, sizes and orientation."""
    photos = tmp_path / "photos"
    photos.mkdir()
    random = np.random.default_rng(0)
    for name, (width, height) in {"a.jpg": (40, 30), "b.png": (17, 33), "c.gif": (24, 24)}.items():
        image = Image.fromarray(random.integers(0, 256, (height, width, 3), dtype=np.uint8))
        exif = Image.Exif()
        exif[0x0112] = 6 if name == "a.jpg" else 1  # turned by 90 degrees
        image.save(photos / name, exif=exif)
    return tmp_path


def run(*arguments: object) -> tuple[int, str]:
    """Exit code and output; errors that are for the user are raised."""
    result = CliRunner().invoke(app, ["stylize", *map(str, arguments)], catch_exceptions=False)
    return result.exit_code, result.output


def colour(path: Path) -> np.ndarray:
    return np.asarray(Image.open(path).convert("RGB"), np.float64).reshape(-1, 3).mean(axis=0)


def test_network_paints_a_photo_in_its_size(tmp_path: Path) -> None:
    out = tmp_path / "new" / "out.png"
    code, _ = run(PHOTOS / "sk_astronaut.jpg", "--style", STYLE, "--size", 100, "-o", out)
    assert code == 0
    photo = np.asarray(Image.open(PHOTOS / "sk_astronaut.jpg").resize((100, 100)), np.float64)
    painted = np.asarray(Image.open(out), np.float64)
    assert painted.shape == (100, 100, 3)
    # The same picture in other colours.
    assert np.corrcoef(photo.mean(axis=2).ravel(), painted.mean(axis=2).ravel())[0, 1] > 0.6
    assert np.abs(photo - painted).mean() > 15


def test_artifact_paints_a_photo_in_tiles(artifact: Path, tmp_path: Path) -> None:
    out = tmp_path / "out.png"
    code, output = run(PHOTOS / "sk_astronaut.jpg", "--style", STYLE, "--artifact", artifact, "--size", 250, "--json", "-o", out)
    assert code == 0
    assert Image.open(out).size == (250, 250)
    assert any("part 6 of 7" in json.loads(line).get("note", "") for line in output.splitlines())


def test_mixture_of_styles_has_the_weights_shares(brush: Brush, folder: Path) -> None:
    styles = ("--style", STYLE, "--style", SECOND)
    for weights, shares in ((("--weights", "0.3,0.7"), (0.3, 0.7)), (("--weights", "3,1"), (0.75, 0.25)), ((), (0.5, 0.5))):
        run(folder / "photos/b.png", *styles, *weights, "-o", folder / "out.png")
        wanted = shares[0] * colour(STYLE) + shares[1] * colour(SECOND)
        assert np.abs(colour(folder / "out.png") - wanted).max() < 1
    run(folder / "photos/b.png", "--style", STYLE, "--alpha", 0, "-o", folder / "out.png")
    assert (colour(folder / "out.png") == colour(folder / "photos/b.png")).all()


def test_folder_keeps_names_formats_sizes_and_orientation(brush: Brush, folder: Path) -> None:
    code, _ = run(folder / "photos", "--style", STYLE, "-o", folder / "out")
    assert code == 0
    found = {path.name: (Image.open(path).format, Image.open(path).size) for path in (folder / "out").glob("[!.]*")}
    assert found == {"a.jpg": ("JPEG", (30, 40)), "b.png": ("PNG", (17, 33)), "c.gif.png": ("PNG", (24, 24))}


def test_interrupted_folder_goes_on_where_it_stopped(brush: Brush, folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    arguments = (folder / "photos", "--style", STYLE, "-o", folder / "out")
    paint = brush.paint

    def stop(photo: np.ndarray, code: np.ndarray, alpha: float, say: Say) -> np.ndarray:
        if brush.painted == 2:
            raise KeyboardInterrupt
        return paint(photo, code, alpha, say)

    monkeypatch.setattr(brush, "paint", stop)
    assert run(*arguments)[0] == 130
    assert {path.name for path in (folder / "out").iterdir()} == {"a.jpg", "b.png", JOURNAL}
    monkeypatch.setattr(brush, "paint", paint)
    _, output = run(*arguments)
    assert brush.painted == 3 and "1 painted, 2 were there already" in output
    assert run(*arguments, "--force")[0] == 0
    assert brush.painted == 6


def test_pictures_of_other_settings_are_not_taken_for_done(brush: Brush, folder: Path) -> None:
    arguments = (folder / "photos", "--style", STYLE, "-o", folder / "out")
    run(*arguments)
    before = (folder / "out/a.jpg").read_bytes()
    with pytest.raises(InstantStyleError, match=r"a.jpg and 2 more: there already, painted from something else; --force"):
        run(*arguments, "--alpha", 0.5)
    assert (folder / "out/a.jpg").read_bytes() == before
    # A photo that changed is not done either.
    Image.new("RGB", (9, 9)).save(folder / "photos/b.png")
    with pytest.raises(InstantStyleError, match=r"b.png: there already"):
        run(*arguments)


def test_damaged_photo_is_named_and_the_others_painted(brush: Brush, folder: Path) -> None:
    (folder / "photos/b.png").write_bytes((folder / "photos/b.png").read_bytes()[:60])
    code, output = run(folder / "photos", "--style", STYLE, "-o", folder / "out")
    assert code == 1 and "2 painted, 1 cannot be read" in output and f"skipped: {folder / 'photos/b.png'}" in output
    with pytest.raises(InstantStyleError, match=r"b\.png"):
        run(folder / "photos/b.png", "--style", STYLE, "-o", folder / "new.png")
    assert not (folder / "new.png").exists()


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("photos/a.jpg", "-o", "photos/a.jpg"), "would be overwritten"),
        (("photos", "-o", "photos"), "would be overwritten"),
        (("photos/a.jpg", "-o", "style.jpg"), "would be overwritten"),
        (("photos", "-o", "out.png"), "3 photos for the one file out.png"),
        (("photos", "more", "-o", "out"), "would both become out/a.jpg"),
        (("photos/a.jpg", "-o", "out.heic"), "'.heic' cannot be written"),
        (("photos/a.jpg", "-o", "notes"), "notes is a file"),
        (("nothing/*.jpg", "-o", "out"), "matches no file"),
        (("photos", "-o", "out", "--weights", "1,2"), "2 numbers for 1 styles"),
        (("photos", "-o", "out", "--weights", "0"), "not all 0"),
        (("photos", "-o", "out", "--weights", "-1"), "0 or more"),
        (("photos", "-o", "out", "--weights", "nan"), "0 or more"),
        (("photos", "-o", "out", "--weights", "much"), "numbers with commas"),
        (("photos", "-o", "out", "--alpha", "1.5"), "from 0"),
        (("photos", "-o", "out", "--alpha", "nan"), "from 0"),
        (("photos", "-o", "out", "--artifact", "nothing"), "artifact.json is missing"),
    ],
)
def test_wrong_input_is_told_before_anything_is_painted(
    brush: Brush, folder: Path, monkeypatch: pytest.MonkeyPatch, arguments: tuple[str, ...], message: str
) -> None:
    monkeypatch.chdir(folder)
    shutil.copytree("photos", "more")
    shutil.copy(STYLE, "style.jpg")
    Path("notes").write_text("mine")
    before = {path: path.read_bytes() for path in folder.rglob("*") if path.is_file()}
    with pytest.raises(InstantStyleError, match=message):
        run(*arguments, "--style", "style.jpg")
    assert {path: path.read_bytes() for path in folder.rglob("*") if path.is_file()} == before


def test_artifact_of_another_model_is_refused(artifact: Path, folder: Path) -> None:
    other = folder / "artifact"
    shutil.copytree(artifact, other)
    manifest = json.loads((other / "artifact.json").read_text())
    manifest["graphs"] = [graph | {"name": "model"} for graph in manifest["graphs"][1:]]
    (other / "artifact.json").write_text(json.dumps(manifest))
    with pytest.raises(InstantStyleError, match="graphs model: stylize needs an artifact of InstantStyle"):
        run(folder / "photos", "--style", STYLE, "--artifact", other, "-o", folder / "out")


def test_nan_is_not_written(brush: Brush, folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(brush, "paint", lambda photo, *_: np.full_like(photo, np.nan))
    with pytest.raises(InstantStyleError, match=r"out.png: not written, because the model gave NaN"):
        run(folder / "photos/b.png", "--style", STYLE, "-o", folder / "out.png")
    assert not (folder / "out.png").exists()
