"""Pulls and publications that are killed at any moment leave the old state or the new one."""

import json
import subprocess
import sys
from pathlib import Path

import pytest
from distribution_helpers import Signed, variant
from gate_helpers import run

KILLED = Path(__file__).parent / "killed.py"


def kills(what: str, count: int, **setup: object) -> dict[str, int]:
    configuration = json.dumps({name: str(value) for name, value in setup.items()})
    command = [sys.executable, str(KILLED), what, str(count), "11", configuration]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    print(what, done.stdout)
    return json.loads(done.stdout)


def kill_pulls(signed: Signed, tmp_path: Path, count: int) -> dict[str, int]:
    registry = tmp_path / "registry"
    assert run("publish", signed.dist, "--to", registry, "--version", "1.0.0", "--key", signed.private)[0] == 0
    variant(signed, "painter.onnx", b"another")
    assert run("publish", signed.dist, "--to", registry, "--version", "1.1.0", "--key", signed.private)[0] == 0
    target = "onnx-float32-32x32"
    return kills("pull", count, registry=registry, app=tmp_path / "home/app", target=target, public=signed.public)


def kill_publications(signed: Signed, tmp_path: Path, count: int) -> dict[str, int]:
    keys = {"private": signed.private, "public": signed.public}
    return kills("publish", count, registry=tmp_path / "registry", dist=signed.dist, **keys)


def test_killed_pulls_leave_one_version_whole(signed: Signed, tmp_path: Path) -> None:
    counts = kill_pulls(signed, tmp_path, 10)
    assert counts["killed"] + counts["finished"] == 10 and counts["killed"] > 0


def test_killed_publications_leave_a_registry_that_holds(signed: Signed, tmp_path: Path) -> None:
    counts = kill_publications(signed, tmp_path, 6)
    assert counts["killed"] + counts["finished"] == 6 and counts["killed"] > 0


@pytest.mark.slow
def test_a_hundred_killed_pulls(signed: Signed, tmp_path: Path) -> None:
    counts = kill_pulls(signed, tmp_path, 100)
    assert counts["killed"] >= 50 and counts["new"] > 0 and counts["old"] > 0


@pytest.mark.slow
def test_a_hundred_killed_publications(signed: Signed, tmp_path: Path) -> None:
    counts = kill_publications(signed, tmp_path, 100)
    assert counts["killed"] >= 50 and counts["new"] > 0 and counts["old"] > 0
