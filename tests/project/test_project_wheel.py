"""The wheel: installed into an empty folder, it has all that the README's commands need without a clone."""

import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

from instantstyle.export.source.checked_recipe import load_recipe
from instantstyle.recipe.shipped import checkpoint_file, recipe_file
from instantstyle.system.errors import RecipeError

ROOT = Path(__file__).parents[2]
REQUIRED = ('required = ["android"]', 'required = ["onnx-float32"]')
NET = """
from torch import nn


def make():
    return nn.Sequential(nn.Conv2d(3, 3, 1, groups=3), nn.Hardtanh()).apply(unchanged)


def unchanged(layer):
    if isinstance(layer, nn.Conv2d):
        nn.init.ones_(layer.weight)
        nn.init.zeros_(layer.bias)
"""
# pip would fetch setuptools for an isolated build; what is installed will do.
BUILD = "import setuptools.build_meta as backend, sys; print(backend.build_wheel(sys.argv[1]))"


def test_a_recipe_is_found_by_its_name(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    assert load_recipe(Path("mobile")).path == ROOT / "recipes" / "mobile.toml"
    with pytest.raises(RecipeError, match="mobil: no such recipe, did you mean 'mobile'\\?; with the package come heads, mobile"):
        recipe_file(Path("mobil"))
    assert recipe_file(Path("mobile.toml")) == Path("mobile.toml")
    (tmp_path / "mobile").write_text("")
    assert recipe_file(Path("mobile")) == Path("mobile")


def test_the_default_checkpoint_is_the_packages(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    default = Path("checkpoints/instantstyle-paint.safetensors")
    assert checkpoint_file(default) == ROOT / default
    assert checkpoint_file(Path("mine.safetensors")) == Path("mine.safetensors")


@pytest.mark.slow
def test_the_wheel_alone_paints_and_releases(tmp_path: Path) -> None:
    """Installed beside the packages of this environment, in a folder that has nothing else."""
    source, site, work = tmp_path / "source", tmp_path / "site", tmp_path / "work"
    work.mkdir()
    listing = ["git", "ls-files", "--cached", "--others", "--exclude-standard"]
    files = subprocess.run(listing, cwd=ROOT, capture_output=True, text=True, check=True).stdout.splitlines()
    for name in files:
        (source / name).parent.mkdir(parents=True, exist_ok=True)
        (source / name).write_bytes((ROOT / name).read_bytes())
    built = subprocess.run([sys.executable, "-c", BUILD, str(tmp_path)], cwd=source, capture_output=True, text=True, check=True)
    with zipfile.ZipFile(tmp_path / built.stdout.splitlines()[-1]) as wheel:
        wheel.extractall(site)
    assert {path.name for path in site.iterdir() if not path.name.endswith(".dist-info")} == {"instantstyle"}

    def run(*arguments: str) -> str:
        # Without the finder of the editable installation nothing of the clone is found.
        finders = "sys.meta_path[:] = [f for f in sys.meta_path if 'editable' not in str(f).lower()]"
        code = f"import sys; sys.path[:0] = [{str(site)!r}]; {finders}; from instantstyle.cli.main import main; main()"
        done = subprocess.run([sys.executable, "-c", code, *arguments], cwd=work, capture_output=True, text=True, check=False)
        assert done.returncode == 0, done.stderr
        return done.stdout

    assert "instantstyle 0.1.0" in run("--version")
    assert "android" in run("doctor")
    package = site / "instantstyle"
    for recipe in sorted((package / "recipes").glob("*.toml")):
        assert (recipe.parent / recipe.read_text().partition("\n")[0].removeprefix("#:schema ")).is_file()
    samples = package / "samples" / "validation"
    photo, style = (next(iter(sorted((samples / kind).iterdir()))) for kind in ("photos", "styles"))
    run("stylize", str(photo), "--style", str(style), "--size", "128", "-o", "out.png")
    assert (work / "out.png").stat().st_size > 1000

    (work / "net.py").write_text(NET)
    run("init", "net.py:make", "--photos", str(package / "samples" / "calibration" / "photos"), "-o", "net.toml")
    text = (work / "net.toml").read_text().replace("sizes = [512]", "sizes = [64]").replace(*REQUIRED)
    (work / "net.toml").write_text(text + "[latency]\nruns = 5\npatience_s = 0\n")
    run("release", "net.toml")
    assert "onnx-float32-64x64" in (work / "dist" / "summary.md").read_text()
