"""A small real bundle, and ways to damage it so that only one thing is wrong with it."""

import hashlib
import json
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image
from typer.testing import CliRunner

from instantstyle.cli.main import app
from instantstyle.validation.measure import parity

PAINTER = Path(__file__).parent.parent / "models" / "painter.py"
RECIPE = f"""\
name = "painter"

[model]
factory = "{PAINTER}:make"
sizes = [32]

[images]
calibration = {{ photos = "calibration/photos", styles = "calibration/styles" }}
validation = {{ photos = "validation/photos", styles = "validation/styles" }}

[quantize]
method = "ptq"
observer = "min_max"
plan = "off"
minimum_images = 4

[targets]
required = ["onnx-float32"]

[targets.build]
onnx = ["float32", "int8"]

[limits]
min_ssim_mean = 0.99
min_ssim_worst = 0.98
min_ssim_hard = 0.98

[limits.onnx-int8]
min_ssim_mean = 0.5
min_ssim_worst = 0.5
min_ssim_hard = -1.0
max_colour_hard = 100.0
min_ssim_tile = -1.0
max_block = 1.0
max_colour = 100.0

[latency]
threads = 1
warmup = 1
runs = 20
processes = 0
patience_s = 0
"""
SETS = {
    "calibration/photos": range(4),
    "calibration/styles": range(4, 6),
    "validation/photos": range(10, 14),
    "validation/styles": (14, 15),
}
Change = Callable[[Path], object]


def write_recipe(folder: Path) -> None:
    """The recipe and its pictures: eight validation samples."""
    for name, seeds in SETS.items():
        (folder / name).mkdir(parents=True)
        for seed in seeds:
            coarse = Image.fromarray(np.random.default_rng(seed).integers(0, 256, (6, 6, 3), dtype=np.uint8))
            coarse.resize((48, 48), Image.Resampling.BICUBIC).save(folder / name / f"{seed}.png")
    (folder / "recipe.toml").write_text(RECIPE)


def run(*arguments: object) -> tuple[int, str]:
    """Exit code and output of the command line, a refusal's sentence included."""
    result = CliRunner().invoke(app, [str(argument) for argument in arguments], env={"COLUMNS": "2000"})
    if result.exception is not None and not isinstance(result.exception, SystemExit):
        return 2, f"{result.output}\n{type(result.exception).__name__}: {result.exception}"
    return result.exit_code, result.output


def release(folder: Path, *options: object) -> tuple[int, str]:
    """Releases a folder's recipe into its ``dist``."""
    return run("release", folder / "recipe.toml", "--out", folder / "dist", "--cache", folder / "cache", *options)


def content(dist: Path) -> dict[str, Any]:
    return json.loads((dist / "bundle.json").read_text())


def entry(bundle: dict[str, Any], name: str = "onnx-float32") -> dict[str, Any]:
    """The artifact of that target and precision."""
    return next(artifact for artifact in bundle["artifacts"] if artifact["name"].startswith(name))


def sha256(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()


def sealed(bundle: dict[str, Any]) -> dict[str, Any]:
    """With digests of what it says now."""
    parts = {key: value for key, value in bundle.items() if key not in ("artifacts", "digests")}
    for index, artifact in enumerate(bundle.get("artifacts", [])):
        parts |= {f"artifacts[{index}].{key}": value for key, value in artifact.items()}
    rows = {part: sha256(json.dumps(value, sort_keys=True, separators=(",", ":")).encode()) for part, value in parts.items()}
    return bundle | {"digests": [{"part": part, "sha256": digest} for part, digest in rows.items()]}


def listed(bundle: dict[str, Any], dist: Path) -> dict[str, Any]:
    """With the sizes and hashes that files have now."""
    for row in bundle["files"]:
        data = (dist / row["path"]).read_bytes()
        row.update(size_bytes=len(data), sha256=sha256(data))
    return bundle


def says(change: Callable[[dict[str, Any]], object]) -> Change:
    """``bundle.json`` with a change, and digests as if it had been written so."""

    def apply(dist: Path) -> None:
        bundle = content(dist)
        change(bundle)
        (dist / "bundle.json").write_text(json.dumps(sealed(bundle), indent=1))

    return apply


def of_artifact(change: Callable[[dict[str, Any]], object], name: str = "onnx-float32") -> Change:
    """The same of an artifact."""
    return says(lambda bundle: change(entry(bundle, name)))


def measured(change: Callable[[dict[str, Any]], object], name: str = "onnx-float32") -> Change:
    """The same of its measurements."""
    return of_artifact(lambda artifact: change(artifact["measurements"]), name)


def unsealed(change: Callable[[dict[str, Any]], object]) -> Change:
    """``bundle.json`` with a change by hand: nothing else fits it then."""

    def apply(dist: Path) -> None:
        bundle = content(dist)
        change(bundle)
        (dist / "bundle.json").write_text(json.dumps(bundle, indent=1))

    return apply


def consistently(change: Change) -> Change:
    """A changed file that is listed with its new hash."""

    def apply(dist: Path) -> None:
        change(dist)
        (dist / "bundle.json").write_text(json.dumps(sealed(listed(content(dist), dist)), indent=1))

    return apply


def text(name: str, old: str, new: str) -> Change:
    """A file with another text in it."""

    def apply(dist: Path) -> None:
        before = (dist / name).read_text()
        assert old in before, old
        (dist / name).write_text(before.replace(old, new, 1))

    return apply


def data(name: str, change: Callable[[bytes], bytes]) -> Change:
    """A file with other content."""

    def apply(dist: Path) -> None:
        before = (dist / name).read_bytes()
        after = change(before)
        assert after != before
        (dist / name).write_bytes(after)

    return apply


@pytest.fixture(scope="session", autouse=True)
def quick_memory() -> Iterator[None]:
    """Memory has tests of its own; for a ``conftest.py`` that imports it, it costs no process."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(parity, "peak_over_baseline", lambda request: 5_000_000)
        yield
