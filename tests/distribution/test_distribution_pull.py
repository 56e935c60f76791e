"""Publish, promote, yank and pull, between folders."""

import json
import shutil
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path

import pytest
from distribution_helpers import Signed, variant
from gate_helpers import run, sha256

from instantstyle.distribution import registry as registry_module
from instantstyle.distribution.errors import RegistryError
from instantstyle.distribution.index import Package, Version, open_index
from instantstyle.distribution.pull import choose_package


@pytest.fixture
def registry(signed: Signed, tmp_path: Path) -> Path:
    """With painter 1.0.0 in the channel stable."""
    folder = tmp_path / "registry"
    code, output = publish(signed, folder, "1.0.0", "--channel", "stable")
    assert code == 0, output
    return folder


def publish(signed: Signed, registry: Path, version: str, *options: object) -> tuple[int, str]:
    return run("publish", signed.dist, "--to", registry, "--version", version, "--key", signed.private, *options)


def pull(signed: Signed, registry: object, to: Path, release: str = "painter", target: str = "onnx-float32-32x32", *options: object):
    return run("pull", release, "--target", target, "--from", registry, "--to", to, "--key", signed.public, *options)


def files(folder: Path) -> dict[str, bytes]:
    return {path.relative_to(folder).as_posix(): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def test_what_is_pulled_is_what_the_target_needs_and_nothing_else(signed: Signed, registry: Path, tmp_path: Path) -> None:
    code, output = pull(signed, registry, tmp_path / "app")
    assert code == 0, output
    found = files(tmp_path / "app")
    receipt = json.loads(found.pop("release.json"))
    models = {name: (signed.dist / "onnx/float32-32x32" / name).read_bytes() for name in ("encoder.onnx", "painter.onnx")}
    app = {"model.json": (signed.dist / "app/onnx-float32-32x32/model.json").read_bytes()}
    app |= {f"styles/{name}": content for name, content in files(signed.dist / "app/styles").items()}
    assert found == models | app
    total = sum(map(len, found.values()))
    assert f"{len(found)} files, {total:,} bytes for the app; {total:,} downloaded" in output
    assert {row["path"]: row["sha256"] for row in receipt["files"]} == {name: sha256(content) for name, content in found.items()}


def test_golden_pairs_come_when_asked_for_and_do_not_count_for_the_app(signed: Signed, registry: Path, tmp_path: Path) -> None:
    _, without = pull(signed, registry, tmp_path / "app")
    code, output = pull(signed, registry, tmp_path / "app", "painter", "onnx-float32-32x32", "--golden")
    assert code == 0 and output.partition(" bytes for the app")[0].split()[-1] == without.partition(" bytes for the app")[0].split()[-1]
    golden = {name: content for name, content in files(tmp_path / "app").items() if name.startswith("golden/")}
    assert golden == {f"golden/{name}": content for name, content in files(signed.dist / "golden/32x32").items()}


def test_blobs_are_named_by_their_content_and_the_index_by_nothing(registry: Path) -> None:
    blobs = list((registry / "blobs/sha256").rglob("*"))
    assert len([blob for blob in blobs if blob.is_file()]) > 40
    assert all(blob.name == sha256(blob.read_bytes()) and blob.parent.name == blob.name[:2] for blob in blobs if blob.is_file())


def test_an_update_that_changes_one_graph_moves_one_graph(signed: Signed, registry: Path, tmp_path: Path) -> None:
    assert pull(signed, registry, tmp_path / "app")[0] == 0
    variant(signed, "encoder.onnx", b"another")
    code, output = publish(signed, registry, "1.1.0", "--channel", "stable")
    assert code == 0, output
    size = (signed.dist / "onnx/float32-32x32/encoder.onnx").stat().st_size
    code, output = pull(signed, registry, tmp_path / "app")
    assert code == 0 and f"; {size:,} downloaded" in output, output
    assert (tmp_path / "app/encoder.onnx").read_bytes() == (signed.dist / "onnx/float32-32x32/encoder.onnx").read_bytes()
    code, output = pull(signed, registry, tmp_path / "app")
    assert code == 0 and "was up to date" in output


def test_what_a_killed_pull_left_is_removed_although_the_folder_is_up_to_date(signed: Signed, registry: Path, tmp_path: Path) -> None:
    home = tmp_path / "home"
    assert pull(signed, registry, home / "app")[0] == 0
    before = files(home)
    (home / ".app.pull/new").mkdir(parents=True)  # killed before it had removed what it was made of …
    (home / ".app.pull/new/encoder.onnx").write_bytes(b"old")
    (home / "app/.release.json.123.tmp").write_bytes(b"{")  # … or as it wrote the receipt
    code, output = pull(signed, registry, home / "app")
    assert code == 0 and "was up to date" in output, output
    assert files(home) == before and [path.name for path in home.iterdir()] == ["app"]


def test_channels_versions_and_what_was_yanked(signed: Signed, registry: Path, tmp_path: Path) -> None:
    variant(signed, "encoder.onnx", b"another")
    assert publish(signed, registry, "1.1.0", "--channel", "beta")[0] == 0
    app = tmp_path / "app"
    for release, version in (("painter", "1.0.0"), ("painter@beta", "1.1.0"), ("painter@stable", "1.0.0"), ("painter@1.1.0", "1.1.0")):
        code, output = pull(signed, registry, app, release)
        assert code == 0 and f"painter {version}, " in output, output
    assert run("promote", "painter@1.1.0", "stable", "--to", registry, "--key", signed.private)[0] == 0
    assert "painter 1.1.0, " in pull(signed, registry, app)[1]
    before = files(app)
    code, output = run("yank", "painter@1.1.0", "--to", registry, "--key", signed.private, "--reason", "paints faces green")
    assert code == 0, output
    code, output = pull(signed, registry, app)
    assert code == 2 and "channel 'stable' names 1.1.0, which was yanked: paints faces green" in output
    assert "beta, stable, 1.0.0" in output
    code, output = pull(signed, registry, app, "painter@1.1.0")
    assert code == 2 and "version 1.1.0 was yanked: paints faces green" in output
    assert files(app) == before
    code, output = run("promote", "painter@1.1.0", "stable", "--to", registry, "--key", signed.private)
    assert code == 2 and "no channel may name it" in output


def test_a_version_never_changes(signed: Signed, registry: Path) -> None:
    before = files(registry)
    code, output = publish(signed, registry, "1.0.0", "--channel", "stable")
    assert code == 0 and "was there already" in output and files(registry) == before
    variant(signed, "encoder.onnx", b"another")
    code, output = publish(signed, registry, "1.0.0")
    assert code == 2 and "of other content; a version never changes" in output and files(registry) == before


def test_what_did_not_pass_is_not_published(signed: Signed, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    honest = registry_module.verified_bundle
    monkeypatch.setattr(registry_module, "verified_bundle", lambda *given: replace(honest(*given), required=("onnx-float32", "coreml")))
    code, output = publish(signed, tmp_path / "registry", "1.0.0")
    assert code == 2 and "did not pass its gate, so it is not published" in output and not (tmp_path / "registry").exists()


def test_several_artifacts_of_a_target_have_to_be_told_apart() -> None:
    rows = tuple(Package("onnx", name, ()) for name in ("onnx-float32-32x32", "onnx-int8-32x32"))
    version = Version("1.0.0", datetime.now(UTC), (), rows)
    with pytest.raises(RegistryError, match="has several of 'onnx'; name one of onnx-float32-32x32, onnx-int8-32x32 with --target"):
        choose_package(version, "onnx", "painter", "here")
    assert choose_package(version, "onnx-int8-32x32", "painter", "here") is rows[1]


def test_an_unsigned_bundle_is_not_published(signed: Signed, tmp_path: Path) -> None:
    (signed.dist / "signature.json").unlink()
    code, output = publish(signed, tmp_path / "registry", "1.0.0")
    assert code == 2 and "is not signed" in output and not (tmp_path / "registry").exists()


def test_another_owner_cannot_add_to_a_registry(signed: Signed, registry: Path, keys: Path, tmp_path: Path) -> None:
    assert run("sign", signed.dist, "--key", keys / "stranger")[0] == 0
    before = files(registry)
    thief = replace(signed, private=keys / "stranger")
    code, output = publish(thief, registry, "2.0.0")
    assert code == 2 and "was signed with another key" in output and files(registry) == before


def test_an_older_index_is_refused(signed: Signed, registry: Path, tmp_path: Path) -> None:
    old = (registry / "painter/index.json").read_bytes()
    variant(signed, "encoder.onnx", b"another")
    assert publish(signed, registry, "1.1.0", "--channel", "stable")[0] == 0
    assert pull(signed, registry, tmp_path / "app")[0] == 0
    before = files(tmp_path / "app")
    (registry / "painter/index.json").write_bytes(old)
    code, output = pull(signed, registry, tmp_path / "app")
    assert code == 2 and "serves the index of painter in state 1, and the folder was pulled in state 2" in output
    assert files(tmp_path / "app") == before


def test_the_index_of_another_model_is_refused(signed: Signed, registry: Path, tmp_path: Path) -> None:
    assert publish(signed, registry, "1.0.0", "--name", "other", "--channel", "stable")[0] == 0
    shutil.copyfile(registry / "other/index.json", registry / "painter/index.json")
    code, output = pull(signed, registry, tmp_path / "app")
    assert code == 2 and "is the index of 'other', not of 'painter'" in output


REFUSALS = {
    "no such model": (("painting", "onnx-float32-32x32"), "has no painting/index.json"),
    "no such version": (("painter@9.9.9", "onnx-float32-32x32"), "has no version or channel '9.9.9'; it has stable, 1.0.0"),
    "no such target": (("painter", "android"), "has nothing that passed for 'android'; it has onnx-float32-32x32"),
    "a name that leaves": (("../painter", "onnx"), "is no name of a model"),
}


@pytest.mark.parametrize("name", REFUSALS)
def test_what_there_is_not_is_said_in_one_sentence(signed: Signed, registry: Path, tmp_path: Path, name: str) -> None:
    arguments, sentence = REFUSALS[name]
    code, output = pull(signed, registry, tmp_path / "app", *arguments)
    assert code == 2 and sentence in output, output
    assert not (tmp_path / "app").exists()


def test_a_folder_that_was_not_pulled_is_not_replaced(signed: Signed, registry: Path, tmp_path: Path) -> None:
    app = tmp_path / "app"
    app.mkdir()
    (app / "notes.txt").write_text("mine")
    code, output = pull(signed, registry, app)
    assert code == 2 and "holds no release.json" in output and files(app) == {"notes.txt": b"mine"}
    (app / "notes.txt").unlink()
    assert pull(signed, registry, app)[0] == 0
    (app / "notes.txt").write_text("mine")
    code, output = pull(signed, registry, app, "painter", "onnx-int8-32x32")
    assert code == 2 and "holds notes.txt, which was not pulled" in output


def test_a_damaged_file_of_the_folder_is_fetched_again(signed: Signed, registry: Path, tmp_path: Path) -> None:
    app = tmp_path / "app"
    assert pull(signed, registry, app)[0] == 0
    before = files(app)
    (app / "painter.onnx").write_bytes(b"damaged")
    code, output = pull(signed, registry, app)
    assert code == 0 and f"; {len(before['painter.onnx']):,} downloaded" in output
    assert files(app) == before


def test_nothing_is_left_beside_the_folder(signed: Signed, registry: Path, tmp_path: Path) -> None:
    home = tmp_path / "home"
    for _ in range(2):
        assert pull(signed, registry, home / "app")[0] == 0
    variant(signed, "encoder.onnx", b"another")
    assert publish(signed, registry, "1.1.0", "--channel", "stable")[0] == 0
    assert pull(signed, registry, home / "app")[0] == 0
    assert [path.name for path in home.iterdir()] == ["app"]


def test_an_index_is_read_with_its_owners_key_alone(signed: Signed, registry: Path) -> None:
    content = (registry / "painter/index.json").read_bytes()
    index = open_index(content, signed.public, "painter", "here")
    assert [version.version for version in index.versions] == ["1.0.0"] and index.serial == 1
