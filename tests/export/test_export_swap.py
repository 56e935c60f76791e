"""A dist folder is the old one or the new one, whatever happens in between."""

import json
import os
import signal
from pathlib import Path

import pytest

from instantstyle.export.bundle import swap
from instantstyle.export.bundle.swap import check_replaceable, replacing, restore
from instantstyle.system.disk import OutputError


def make(folder: Path, content: str) -> None:
    """A bundle of one artifact, whose file has ``content``."""
    (folder / "onnx").mkdir(parents=True, exist_ok=True)
    (folder / "onnx" / "net.onnx").write_text(content)
    (folder / "onnx" / "artifact.json").write_text(content)
    artifact = {"folder": "onnx", "files": [{"path": "net.onnx"}]}
    (folder / "bundle.json").write_text(json.dumps({"format": 1, "recipe": {"sha256": content}, "artifacts": [artifact]}))


def state(parent: Path) -> dict[str, str]:
    """Contents of all artifacts' files; nothing but whole bundles may be there."""
    found = {path.relative_to(parent).as_posix(): path.read_text() for path in parent.rglob("*") if path.is_file()}
    rest = [name for name in found if not name.endswith(("onnx/net.onnx", "onnx/artifact.json", "bundle.json"))]
    assert len(found) == 3 * sum(name.endswith("bundle.json") for name in found) and rest == []
    return {name.removesuffix("/onnx/net.onnx"): content for name, content in found.items() if name.endswith("net.onnx")}


def test_replaces_as_a_whole(tmp_path: Path) -> None:
    dist = tmp_path / "deep" / "dist"
    with replacing(dist) as new:
        make(new, "first")
    (dist / "onnx" / "net.onnx").write_text("altered")
    with replacing(dist) as new:
        make(new, "second")
        assert state(dist) == {"onnx/net.onnx": "altered"}
    assert state(tmp_path) == {"deep/dist": "second"}


def test_a_failure_keeps_the_old(tmp_path: Path) -> None:
    make(tmp_path / "dist", "old")
    with pytest.raises(ZeroDivisionError), replacing(tmp_path / "dist") as new:
        make(new, "new")
        raise ZeroDivisionError
    assert state(tmp_path) == {"dist": "old"}


def test_a_failed_second_rename_puts_the_old_back(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    make(tmp_path / "dist", "old")
    rename = os.rename

    def fail(source: Path, target: Path) -> None:
        if ".new-" in source.name:
            raise OSError(28, "No space left on device")
        rename(source, target)

    monkeypatch.setattr(os, "rename", fail)
    with pytest.raises(OutputError, match="the disk is full"), replacing(tmp_path / "dist") as new:
        make(new, "new")
    assert state(tmp_path) == {"dist": "old"}


@pytest.mark.parametrize(("renames", "survivor"), [(0, "old"), (1, "old"), (2, "new")])
def test_killed_between_the_renames_it_recovers(tmp_path: Path, renames: int, survivor: str, monkeypatch: pytest.MonkeyPatch) -> None:
    dist = tmp_path / "dist"
    make(dist, "old")
    rename, done = os.rename, [0]

    def counted(source: Path, target: Path) -> None:
        if done[0] == renames:
            os.kill(os.getpid(), signal.SIGKILL)
        rename(source, target)
        done[0] += 1

    child = os.fork()
    if child == 0:
        monkeypatch.setattr(os, "rename", counted)
        monkeypatch.setattr(swap, "sync_folder", lambda _: os.kill(os.getpid(), signal.SIGKILL))
        try:
            with replacing(dist) as new:
                make(new, "new")
        finally:
            os._exit(0)
    assert os.WTERMSIG(os.waitpid(child, 0)[1]) == signal.SIGKILL
    restore(dist)
    assert state(tmp_path) == {"dist": survivor}


def test_what_must_not_be_replaced(tmp_path: Path) -> None:
    check_replaceable(tmp_path / "new" / "dist")
    (tmp_path / "empty").mkdir()
    check_replaceable(tmp_path / "empty")
    make(tmp_path / "bundle", "x")
    for name in ("recipe.toml", "calibration.json", "summary.md", "junit.xml", ".DS_Store", "onnx/.DS_Store"):
        (tmp_path / "bundle" / name).write_text("x")
    check_replaceable(tmp_path / "bundle")
    (tmp_path / "file").write_text("x")
    with pytest.raises(OutputError, match="is a file, not a folder"):
        check_replaceable(tmp_path / "file")
    (tmp_path / "photos").mkdir()
    (tmp_path / "photos" / "holiday.jpg").write_text("x")
    with pytest.raises(OutputError, match=r"photos: is not empty and holds no bundle\.json, so it is not replaced"):
        check_replaceable(tmp_path / "photos")


@pytest.mark.parametrize("name", ["notes.md", "onnx/mine.onnx", "older/net.onnx", "bundle.json.bak"])
def test_a_bundle_with_a_strangers_file_is_not_replaced(tmp_path: Path, name: str) -> None:
    dist = tmp_path / "dist"
    make(dist, "x")
    (dist / name).parent.mkdir(exist_ok=True)
    (dist / name).write_text("mine")
    with pytest.raises(OutputError, match=rf"dist: holds {name}, which is not of its bundle, so it is not replaced\. Move that, or choose"):
        check_replaceable(dist)


@pytest.mark.parametrize("content", ["{}", "[1]", "no JSON", '{"recipe": {"sha256": "x"}, "artifacts": [1]}'])
def test_any_folder_with_a_bundle_json_is_not_ours(tmp_path: Path, content: str) -> None:
    """Bundlers of other kinds write files of that name, beside people's sources."""
    (tmp_path / "bundle.json").write_text(content)
    with pytest.raises(OutputError, match=r"its bundle\.json is none that release wrote"):
        check_replaceable(tmp_path)


def test_what_comes_into_the_folder_during_the_build_is_kept(tmp_path: Path) -> None:
    dist = tmp_path / "dist"
    make(dist, "old")
    with pytest.raises(OutputError, match=r"holds notes\.md"), replacing(dist) as new:
        make(new, "new")
        (dist / "notes.md").write_text("mine")
    assert (dist / "notes.md").read_text() == "mine" and (dist / "onnx" / "net.onnx").read_text() == "old"


def test_the_cache_must_not_lie_in_what_is_replaced(tmp_path: Path) -> None:
    check_replaceable(tmp_path / "dist", tmp_path / "cache")
    with pytest.raises(OutputError, match=r"cache in it would be lost"):
        check_replaceable(tmp_path / "dist", tmp_path / "dist" / "cache")


@pytest.mark.parametrize("which", ["dist", "."])
def test_a_read_only_folder_is_refused_even_for_root(tmp_path: Path, which: str) -> None:
    parent = tmp_path / "parent"
    dist = parent / "dist"
    parent.mkdir()
    make(dist, "x")
    folder = (parent / which).resolve()
    folder.chmod(0o555)
    try:
        with pytest.raises(OutputError, match=rf"{folder}: is read-only, dist cannot be written\. Make it writable, or .*--out"):
            check_replaceable(dist)
    finally:
        folder.chmod(0o755)
