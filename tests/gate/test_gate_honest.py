"""What is allowed to happen to a bundle and to a build passes."""

import json
import os
import shutil
from pathlib import Path

import pytest
from gate_helpers import content, release, run


def passes(dist: Path, *options: object) -> None:
    code, output = run("validate", dist, *options)
    assert code == 0 and output.rstrip().endswith("passed, onnx-float32"), output


def test_as_it_was_built(dist: Path) -> None:
    passes(dist)


def test_moved_and_renamed(dist: Path, tmp_path: Path) -> None:
    (tmp_path / "elsewhere").mkdir()
    passes(dist.rename(tmp_path / "elsewhere" / "release-7"))


def test_through_a_link_to_the_folder(dist: Path) -> None:
    dist.with_name("latest").symlink_to(dist)
    passes(dist.with_name("latest"))


def test_by_a_relative_path(dist: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(dist)
    passes(Path("."))


def test_at_another_time_and_read_only(dist: Path) -> None:
    for path in dist.rglob("*"):
        os.utime(path, (0, 0))
        path.chmod(0o444 if path.is_file() else 0o755)
    passes(dist)


def test_without_its_recipe_and_images_at_hand(dist: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir("/")
    passes(dist)


def test_under_looser_and_stricter_limits_that_it_keeps(dist: Path, tmp_path: Path) -> None:
    for number, text in enumerate(
        ("[limits]\nmin_ssim_mean = 0.5\n", "[limits]\nmin_ssim_worst = 0.9999\n[limits.android]\nmax_bytes = 1\n")
    ):
        (tmp_path / f"{number}.toml").write_text(text)
        passes(dist, "--limits", tmp_path / f"{number}.toml")


def test_zipped_and_unzipped(dist: Path, tmp_path: Path) -> None:
    shutil.make_archive(str(tmp_path / "dist"), "zip", dist)
    shutil.unpack_archive(tmp_path / "dist.zip", tmp_path / "unpacked")
    passes(tmp_path / "unpacked")


def test_built_again_with_nothing_changed(work: Path) -> None:
    before = (work / "dist" / "bundle.json").read_bytes()
    code, output = release(work)
    assert code == 0 and "was up to date" in output
    assert (work / "dist" / "bundle.json").read_bytes() == before
    passes(work / "dist")


def test_one_target_alone(work: Path) -> None:
    code, output = release(work, "--only", "onnx")
    assert code == 0 and content(work / "dist")["built_only"] == "onnx", output
    passes(work / "dist")


def test_measured_again_here(work: Path) -> None:
    arguments = ("measure", work / "dist", work / "recipe.toml", "--out", work / "again", "--cache", work / "cache", "--level", "passed")
    code, output = run(*arguments)
    assert code == 0, output
    found = content(work / "again")
    assert found["executed_only"] is True
    passes(work / "again")
    # The same bytes on the same samples have the same scores, wherever they were found.
    assert json.dumps(found["artifacts"][0]["files"]) == json.dumps(content(work / "dist")["artifacts"][0]["files"])
    for image in sorted((work / "validation" / "photos").iterdir())[:1]:
        shutil.copyfile(sorted((work / "validation" / "styles").iterdir())[0], image)
    code, output = run(*arguments)
    assert code == 2 and "images.validation: not the images that" in output and "image '10' has SHA-256" in output
