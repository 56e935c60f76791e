"""Small pictures, recipes and releases for the tests of the pipeline."""

import json
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image
from typer.testing import CliRunner

from instantstyle.cli.main import app

MODELS = Path(__file__).parent.parent / "models"

RECIPE = """\
name = "{name}"

[model]
factory = "{factory}"
sizes = [64]

[images]
calibration.photos = "calibration"
validation.photos = "validation"
validation.minimum = 2

[quantize]
method = "{method}"
steps = 4
batch = 2
crop = 64
learning_rate = 1e-4
observer = "min_max"
plan = "off"
minimum_images = 4

[targets]
required = ["android"]

[targets.build]
android = ["int8"]

[limits]
min_ssim_mean = 0.5

[latency]
threads = 1
warmup = 1
runs = 5
processes = 0
patience_s = 0
"""


def picture(seed: int) -> Image.Image:
    """A smooth 64x64 colour picture, different for every seed."""
    generator = np.random.default_rng(seed)
    coarse = Image.fromarray(generator.integers(0, 256, (6, 6, 3), dtype=np.uint8))
    return coarse.resize((64, 64), Image.Resampling.BICUBIC)


def write_recipe(folder: Path, factory: str = "superres.py:make", method: str = "ptq", changes: tuple[tuple[str, str], ...] = ()) -> Path:
    """Writes a recipe for a user's net, and its pictures, into ``folder``; ``changes`` are replacements in its text."""
    for name, seeds in (("calibration", range(4)), ("validation", range(10, 12))):
        (folder / name).mkdir(exist_ok=True)
        for seed in seeds:
            picture(seed).save(folder / name / f"{seed}.png")
    text = RECIPE.format(name="tiny", factory=MODELS / factory, method=method)
    path = folder / "recipe.toml"
    path.write_text(text)
    change(path, *changes)
    return path


def change(path: Path, *changes: tuple[str, str]) -> None:
    """Replaces texts in a file, each of which must be there."""
    text = path.read_text()
    for old, new in changes:
        assert old in text, old
        text = text.replace(old, new)
    path.write_text(text)


def release(folder: Path, *options: str) -> tuple[int, list[dict[str, Any]]]:
    """Exit code and JSON events of a release of ``folder``'s recipe into its ``dist``; errors pass."""
    arguments = ["release", str(folder / "recipe.toml"), "--out", str(folder / "dist"), "--cache", str(folder / "cache"), "--json"]
    result = CliRunner().invoke(app, [*arguments, *options])
    if result.exception is not None and not isinstance(result.exception, SystemExit):
        raise result.exception
    return result.exit_code, [json.loads(line) for line in result.stdout.splitlines()]


def outcomes(events: list[dict[str, Any]]) -> dict[str, str]:
    """What became of each stage: ``done``, ``reused`` or ``off``."""
    return {f"{e['stage']} {e['subject']}".strip(): e["outcome"] for e in events if e["event"] == "stage_end"}


def content_of(folder: Path) -> dict[str, bytes]:
    """All files below a folder."""
    return {path.relative_to(folder).as_posix(): path.read_bytes() for path in folder.rglob("*") if path.is_file()}
