import hashlib
from dataclasses import replace
from pathlib import Path

import pytest
import validation_fakes as fakes
from rich.console import Console

from instantstyle.recipe.limits import Limits
from instantstyle.system.errors import ArtifactError, InstantStyleError
from instantstyle.validation.integrity import seal
from instantstyle.validation.rejudge import rejudge
from instantstyle.validation.results.measurements import Quality

RECIPE = """
name = "mobile"
[model]
factory = "a:b"
[limits]
min_ssim_mean = 0.90
[limits.android]
min_ssim_mean = {mean}
"""


@pytest.fixture
def dist(tmp_path: Path) -> Path:
    """A bundle that passed, its SSIM mean 0.9804 under a limit of 0.98."""
    folder = tmp_path / "dist"
    seal(fakes.bundle_in(folder, Limits(min_ssim_mean=0.98)), folder)
    return folder


def limits(tmp_path: Path, text: str) -> Path:
    path = tmp_path / "limits.toml"
    path.write_text(text)
    return path


def judged(dist: Path, limits_file: Path | None = None) -> tuple[int, str]:
    console = Console(record=True, width=200, file=(dist.parent / "screen.txt").open("w"))
    return rejudge(dist, limits_file, console), console.export_text()


def test_the_stored_limits_are_used_by_default(dist: Path) -> None:
    code, text = judged(dist)
    assert code == 0 and text.rstrip().endswith("passed, android")
    assert "judged on 3 different samples; fewer than 8 say little" in text


def test_other_limits_change_the_verdict_and_nothing_on_disk(dist: Path, tmp_path: Path) -> None:
    before = {path: hashlib.sha256(path.read_bytes()).hexdigest() for path in dist.rglob("*") if path.is_file()}
    code, text = judged(dist, limits(tmp_path, "[limits]\nmin_ssim_mean = 0.985\n"))
    assert code == 1 and "android-int8-512x512: SSIM mean 0.9804 is below 0.9850 by 0.0046" in text
    assert {path: hashlib.sha256(path.read_bytes()).hexdigest() for path in dist.rglob("*") if path.is_file()} == before


def test_weaker_limits_pass_what_had_failed(tmp_path: Path) -> None:
    folder = tmp_path / "dist"
    seal(fakes.bundle_in(folder, Limits(min_ssim_mean=0.999)), folder)
    assert judged(folder)[0] == 1
    assert judged(folder, limits(tmp_path, "[limits]\nmin_ssim_mean = 0.9\n"))[0] == 0


def test_a_recipe_is_a_file_of_limits_too(dist: Path, tmp_path: Path) -> None:
    assert judged(dist, limits(tmp_path, RECIPE.format(mean=0.95)))[0] == 0
    assert judged(dist, limits(tmp_path, RECIPE.format(mean=0.99)))[0] == 1


def test_limits_of_bytes_alone_leave_the_picture_under_the_default_ones(dist: Path, tmp_path: Path) -> None:
    assert judged(dist, limits(tmp_path, "[limits]\nmax_bytes = 3_000_000\n"))[0] == 0
    folder = tmp_path / "worse"
    scores = tuple(replace(score, ssim=score.ssim - 0.08) for score in fakes.SCORES if score.ssim is not None)
    loose = Limits(min_ssim_mean=0.5)
    seal(fakes.bundle_in(folder, loose, end_to_end=Quality(scores, fakes.HARD)), folder)
    assert judged(folder)[0] == 0
    code, text = judged(folder, limits(tmp_path, "[limits]\nmax_bytes = 3_000_000\n"))
    assert code == 1 and "SSIM mean 0.9004 is below 0.9500" in text and "worst sample 'b' 0.8912 is below 0.9000" in text


def test_limits_of_a_target_that_exists_and_was_not_built(dist: Path, tmp_path: Path) -> None:
    assert judged(dist, limits(tmp_path, "[limits.onnx]\nmin_ssim_mean = 1.0\n[limits.android-int8]\nmin_ssim_mean = 0.9\n"))[0] == 0


@pytest.mark.parametrize(
    "text,message",
    [
        ("[limits.andriod]\nmax_bytes = 1\n", r"\[limits.andriod\]: there is no target 'andriod'; known are android"),
        ("[limits]\nmin_sim = 1\n", r"\[limits\]: unknown key 'min_sim'"),
        ("[limit]\nmax_bytes = 1\n", r"there is no table \[limits\] in it, only limit"),
        ("", r"there is no table \[limits\] in it, nothing"),
        ("[limits]\n", r"\[limits\] has no limit in it; known are min_ssim_mean"),
        ("[limits]\nmax_bytes = 1\n[limits.android]\n", r"\[limits.android\] has no limit in it"),
        ("[limits\n", "not valid TOML"),
    ],
)
def test_limits_that_would_limit_nothing_are_refused(dist: Path, tmp_path: Path, text: str, message: str) -> None:
    with pytest.raises(InstantStyleError, match=f"limits.toml: {message}"):
        judged(dist, limits(tmp_path, text))
    with pytest.raises(InstantStyleError, match="nowhere.toml: cannot be read"):
        judged(dist, tmp_path / "nowhere.toml")


@pytest.mark.parametrize("name", ["painter.ort", "sub/encoder.ort"])
def test_an_altered_byte_is_refused_by_name(dist: Path, name: str) -> None:
    path = dist / "android/int8-512x512" / name
    content = bytearray(path.read_bytes())
    content[3] ^= 1
    path.write_bytes(content)
    with pytest.raises(ArtifactError, match=f"android/int8-512x512/{name} was altered"):
        judged(dist)


@pytest.mark.parametrize("name", ["painter.ort", "sub/encoder.ort"])
def test_a_missing_and_a_longer_file_are_refused_by_name(dist: Path, name: str) -> None:
    path = dist / "android/int8-512x512" / name
    path.write_bytes(path.read_bytes() + b"x")
    with pytest.raises(ArtifactError, match=f"{name} was altered"):
        judged(dist)
    path.unlink()
    with pytest.raises(ArtifactError, match=f"{name} is missing"):
        judged(dist)


def test_hashes_are_checked_before_anything_else(dist: Path, tmp_path: Path) -> None:
    (dist / "android/int8-512x512" / "painter.ort").unlink()
    with pytest.raises(ArtifactError, match="painter.ort is missing"):
        judged(dist, limits(tmp_path, "[limits\n"))
