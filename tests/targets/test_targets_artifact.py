"""Manifest and hashes of artifacts."""

import hashlib
import json
from dataclasses import replace
from pathlib import Path

import pytest

from instantstyle.model.graph import TensorKind, TensorSpec
from instantstyle.recipe.precision import Precision
from instantstyle.system.errors import ArtifactError
from instantstyle.targets.artifact import MANIFEST, describe_files, graph_path, read_manifest, verify, write_manifest
from instantstyle.targets.base import Artifact, ArtifactFile, GraphArtifact

GRAPH = GraphArtifact("net", "deep/net.bin", (TensorSpec("image"),), (TensorSpec("code", TensorKind.VECTOR, 4, fixed_size=(8, 8)),), 3, 2)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "deep").mkdir()
    (tmp_path / "deep" / "net.bin").write_bytes(b"weights")
    (tmp_path / "report.txt").write_bytes(b"")
    return tmp_path


def artifact_of(folder: Path) -> Artifact:
    return Artifact("onnx", Precision.INT8, (8, 16), (GRAPH,), describe_files(folder), 7, ("a note",))


def test_files_are_described_without_the_manifest(folder: Path) -> None:
    write_manifest(artifact_of(folder), folder)
    assert describe_files(folder) == (
        ArtifactFile("deep/net.bin", 7, hashlib.sha256(b"weights").hexdigest()),
        ArtifactFile("report.txt", 0, "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"),
    )


def test_manifest_round_trip(folder: Path) -> None:
    artifact = artifact_of(folder)
    write_manifest(artifact, folder)
    assert read_manifest(folder) == artifact
    assert sorted(path.name for path in folder.iterdir()) == [MANIFEST, "deep", "report.txt"]
    verify(artifact, folder)
    assert graph_path(artifact, folder, "net") == folder / "deep" / "net.bin"


@pytest.mark.parametrize(
    ("damage", "message"),
    [
        (lambda path: path.write_bytes(b"weight"), r"net\.bin was altered after the build: 6 bytes, not 7"),
        (lambda path: path.write_bytes(b"Weights"), r"net\.bin was altered after the build: its SHA-256"),
        (lambda path: path.unlink(), r"net\.bin is missing"),
    ],
)
def test_damaged_file_is_refused(folder: Path, damage, message: str) -> None:
    artifact = artifact_of(folder)
    damage(folder / "deep" / "net.bin")
    with pytest.raises(ArtifactError, match=message):
        verify(artifact, folder)
    with pytest.raises(ArtifactError, match=message):
        graph_path(artifact, folder, "net")


@pytest.mark.parametrize("path", ["../outside.bin", "/etc/hostname", "deep/../../outside.bin"])
def test_file_outside_of_the_folder_is_refused(folder: Path, path: str) -> None:
    artifact = replace(artifact_of(folder), files=(ArtifactFile(path, 7, "0" * 64),))
    with pytest.raises(ArtifactError, match="outside of the artifact's folder"):
        verify(artifact, folder)


def test_unlisted_model_file_is_refused(folder: Path) -> None:
    artifact = replace(artifact_of(folder), files=())
    with pytest.raises(ArtifactError, match=r"deep/net\.bin.*not listed"):
        graph_path(artifact, folder, "net")
    write_manifest(artifact, folder)
    with pytest.raises(ArtifactError, match=r"deep/net\.bin.*not listed"):
        read_manifest(folder)


def test_bad_manifest_is_refused(folder: Path) -> None:
    with pytest.raises(ArtifactError, match=r"artifact\.json is missing"):
        read_manifest(folder)
    write_manifest(artifact_of(folder), folder)
    content = json.loads((folder / MANIFEST).read_text())
    content["precision"] = "int9"
    (folder / MANIFEST).write_text(json.dumps(content))
    with pytest.raises(ArtifactError, match=r"precision: .*int8"):
        read_manifest(folder)
    (folder / MANIFEST).write_bytes(b'{"target": "onn')
    with pytest.raises(ArtifactError, match="not an artifact's manifest"):
        read_manifest(folder)
