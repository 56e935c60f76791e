"""Manifests in which anything was changed are refused in a sentence, or mean what they meant; nothing is written elsewhere."""

import json
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest
from distribution_helpers import Signed
from gate_helpers import run, sealed
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from instantstyle.distribution.index import SIGNED_AS, open_index
from instantstyle.distribution.pull import PullOptions, pull
from instantstyle.distribution.signing import sign_folder, sign_text
from instantstyle.distribution.verifying import verified_bundle
from instantstyle.system.errors import InstantStyleError

TARGET = "onnx-float32-32x32"
WICKED = ["../x", "/etc/passwd", "a/../../x", "release.json", "RELEASE.JSON", "x\x00y", "CON", "C:x", "\\x", "0" * 64, "1.0.0"]
NUMBERS = st.integers(-(2**70), 2**70) | st.floats(allow_nan=False, allow_infinity=False)
LEAVES = st.none() | st.booleans() | NUMBERS | st.text(max_size=12) | st.sampled_from(WICKED)
VALUES = LEAVES | st.lists(LEAVES, max_size=2) | st.dictionaries(st.text(max_size=4), LEAVES, max_size=2)
QUIET = [HealthCheck.function_scoped_fixture, HealthCheck.too_slow, HealthCheck.data_too_large]
FEW = settings(max_examples=100, deadline=None, suppress_health_check=QUIET, database=None, derandomize=True)
MANY = settings(FEW, max_examples=1000)


def places(value: Any) -> Iterator[tuple[Any, Any]]:
    """Every object or list in a JSON value, with each of its keys."""
    keys = value if isinstance(value, dict) else range(len(value)) if isinstance(value, list) else ()
    for key in keys:
        yield value, key
        yield from places(value[key])


def mutated(data: st.DataObject, text: str) -> str:
    """JSON with one place changed, removed, added or doubled."""
    content = json.loads(text)
    owner, key = data.draw(st.sampled_from(list(places(content))))
    match data.draw(st.sampled_from(["replace", "remove", "add", "double"])):
        case "replace":
            owner[key] = data.draw(VALUES)
        case "remove":
            del owner[key]
        case "add" if isinstance(owner, dict):
            owner[data.draw(st.text(max_size=6))] = data.draw(VALUES)
        case _ if isinstance(owner, list):
            owner.append(owner[key])
        case _:
            owner[key] = [owner[key]]
    return json.dumps(content)


@pytest.fixture(scope="module")
def registry(honest: Path, keys: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("mutations") / "registry"
    options = ("--version", "1.0.0", "--channel", "stable", "--key", keys / "owner")
    assert run("publish", honest, "--to", folder, *options)[0] == 0
    return folder


def refused_or_whole(signed: Signed, registry: Path, app: Path, text: str) -> None:
    """A pull by an index that the owner signed: what it installs is what the honest one has, in the same places, or it says why not."""
    path = registry / "painter/index.json"
    honest = path.read_text()
    path.write_text(json.dumps({"index": text, "signature": sign_text(SIGNED_AS, text, signed.private)}))
    try:
        pull(PullOptions("painter", TARGET, str(registry), app, signed.public))
    except InstantStyleError as error:
        assert "\n" not in str(error)
    finally:
        path.write_text(honest)
    names = {entry.name for entry in app.parent.iterdir()}
    assert names <= {"app", ".app.pull", "registry", "dist"}, names
    if app.exists():
        receipt = json.loads((app / "release.json").read_text())
        found = {file.relative_to(app).as_posix() for file in app.rglob("*") if file.is_file()}
        assert found == {row["path"] for row in receipt["files"]} | {"release.json"}


def changed_bytes(data: st.DataObject, content: bytes) -> bytes:
    place = data.draw(st.integers(0, len(content) - 1))
    return content[:place] + bytes([data.draw(st.integers(0, 255))]) + content[place + data.draw(st.integers(0, 2)) :]


def check_index(signed: Signed, registry: Path, tmp_path: Path, data: st.DataObject) -> None:
    text = json.loads((registry / "painter/index.json").read_text())["index"]
    refused_or_whole(signed, registry, tmp_path / "app", mutated(data, text))


def check_bytes(signed: Signed, registry: Path, data: st.DataObject) -> None:
    """Nobody signed this."""
    content = (registry / "painter/index.json").read_bytes()
    other = changed_bytes(data, content)
    honest = open_index(content, signed.public, "painter", "here")
    with suppress(InstantStyleError):
        assert open_index(other, signed.public, "painter", "here") == honest


def check_bundle(signed: Signed, data: st.DataObject) -> None:
    """Signed by the owner, and its parts hashed anew: what is left to be refused is what contradicts itself."""
    path = signed.dist / "bundle.json"
    before = path.read_text()
    text = mutated(data, before)
    with suppress(AttributeError, TypeError, KeyError):
        text = json.dumps(sealed(json.loads(text)))
    path.write_text(text)
    try:
        sign_folder(signed.dist, signed.private)
        bundle = verified_bundle(signed.dist, signed.public)
        assert bundle.model.name
    except InstantStyleError as error:
        assert str(error)
    finally:
        path.write_text(before)


@FEW
@given(data=st.data())
def test_a_mutated_index_is_refused_or_means_the_same(signed: Signed, registry: Path, tmp_path: Path, data: st.DataObject) -> None:
    check_index(signed, registry, tmp_path, data)


@FEW
@given(data=st.data())
def test_other_bytes_of_an_index_are_refused(signed: Signed, registry: Path, data: st.DataObject) -> None:
    check_bytes(signed, registry, data)


@settings(FEW, max_examples=30)
@given(data=st.data())
def test_a_mutated_bundle_is_refused_in_a_sentence(signed: Signed, data: st.DataObject) -> None:
    check_bundle(signed, data)


@pytest.mark.slow
@MANY
@given(data=st.data())
def test_a_thousand_mutated_indices(signed: Signed, registry: Path, tmp_path: Path, data: st.DataObject) -> None:
    check_index(signed, registry, tmp_path, data)


@pytest.mark.slow
@MANY
@given(data=st.data())
def test_a_thousand_indices_of_other_bytes(signed: Signed, registry: Path, data: st.DataObject) -> None:
    check_bytes(signed, registry, data)


@pytest.mark.slow
@MANY
@given(data=st.data())
def test_a_thousand_mutated_bundles(signed: Signed, data: st.DataObject) -> None:
    check_bundle(signed, data)
