"""The app's Swift: type-checked against stubs of Apple's frameworks, and its tiles run; skipped where there is no ``swiftc``.

Its files are parsed all the same in ``test_distribution_app.py``.
"""

import shutil
import subprocess
from pathlib import Path

import numpy as np
import pytest
from app_models import picture

from instantstyle.export.app.files import HERE
from instantstyle.stylize.tile_loop import paint_in_tiles

STUBS = Path(__file__).parent / "stubs/swift"
FRAMEWORKS = ("CoreGraphics", "CoreVideo", "ImageIO", "CoreML")  # in the order in which they import each other
PURE = ("Golden.swift", "Pictures.swift", "Tiles.swift", "Tone.swift")

pytestmark = [pytest.mark.slow, pytest.mark.skipif(not shutil.which("swiftc"), reason="needs swiftc")]


def swiftc(folder: Path, *arguments: object) -> None:
    """Warnings are errors."""
    command = ["swiftc", "-warnings-as-errors", *map(str, arguments)]
    done = subprocess.run(command, check=False, capture_output=True, text=True, cwd=folder)
    assert done.returncode == 0, done.stdout + done.stderr


def test_all_files_fit_the_frameworks_interfaces(tmp_path: Path) -> None:
    for name in FRAMEWORKS:
        module = tmp_path / f"{name}.swiftmodule"
        swiftc(tmp_path, "-emit-module", "-parse-as-library", "-module-name", name, "-I", tmp_path, "-o", module, STUBS / f"{name}.swift")
    swiftc(tmp_path, "-typecheck", "-parse-as-library", "-I", tmp_path, *sorted((HERE / "apple").glob("*.swift")))


@pytest.fixture(scope="module")
def program(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("swift")
    swiftc(folder, "-O", "-static-stdlib", "-o", folder / "tiles", *(HERE / "apple" / name for name in PURE), STUBS / "main.swift")
    return folder / "tiles"


@pytest.mark.parametrize("strength", [0.0, 2.0])
def test_tiles_are_those_of_apply(program: Path, strength: float, tmp_path: Path) -> None:
    """The network inverts, enlarges and, if it has a strength, gives each tile a tone of its own: once without and once with correction."""

    def network(tile: np.ndarray, factor: int) -> np.ndarray:
        levels = (tile + 1) * np.float32(127.5)
        out = 255 - levels.repeat(factor, axis=2).repeat(factor, axis=3) + np.float32(strength) * (levels.mean(dtype=np.float64) - 128)
        return (out / 127.5 - 1).clip(-1, 1).astype(np.float32)

    for height, width, factor in ((50, 70, 1), (40, 230, 2), (171, 253, 1)):
        levels = picture(height, width).transpose(2, 0, 1)
        (tmp_path / "photo").write_bytes(levels.tobytes())
        sides = [3, height, width, 64, 96, factor]
        subprocess.run([program, tmp_path / "photo", *map(str, sides), tmp_path / "painted", str(strength)], check=True)
        found = np.frombuffer((tmp_path / "painted").read_bytes(), np.uint8).reshape(3, height * factor, width * factor).astype(int)
        photo = (levels[None] / 127.5 - 1).astype(np.float32)
        painted = paint_in_tiles(photo, (64, 96), factor, lambda tile, by=factor: network(tile, by), lambda done, total: None)
        wanted = np.rint((painted[0] + 1) * 127.5).clip(0, 255).astype(int)
        # The app rounds to 8 bits before it corrects the tone.
        assert np.abs(found - wanted).max() <= 1
        assert np.mean(found != wanted) < (0.3 if strength else 0.01)
