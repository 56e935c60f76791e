"""Publications to servers: what is pulled is what a folder would give, and of two at a time none is lost. Slow ones on real servers."""

import base64
import json
import random
import re
import time
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path

import pytest
from distribution_helpers import Signed, variant
from faulty_server import Server, Upload, serving
from gate_helpers import run, sha256
from real_servers import apache, docker_registry, nginx

from instantstyle.distribution import patience
from instantstyle.distribution import registry as registry_module
from instantstyle.distribution.index import open_index
from instantstyle.distribution.layout import blob_path, index_path
from instantstyle.distribution.registry import Place, publish

ARTIFACT = "onnx-float32-32x32"


@contextmanager
def python_server(folder: Path) -> Iterator[str]:
    folder.mkdir()
    with serving(folder) as server:
        yield server.address


TRANSPORTS: dict[str, Callable[[Path], AbstractContextManager[str]]] = {"http": python_server, "webdav": apache, "oci": docker_registry}
NAMES = ["http", *(pytest.param(name, marks=pytest.mark.slow) for name in ("webdav", "oci"))]


@pytest.fixture
def server(tmp_path: Path) -> Iterator[Server]:
    (tmp_path / "registry").mkdir()
    with serving(tmp_path / "registry") as found:
        yield found


@pytest.fixture
def no_pauses(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(patience, "FIRST_PAUSE_S", 0.0)


def send(signed: Signed, address: object, version: str, *options: object) -> tuple[int, str]:
    given = ("--to", address, "--version", version, "--key", signed.private)
    return run("publish", signed.dist, *given, *options)


def pull(signed: Signed, address: object, app: Path, release: str = "painter") -> tuple[int, str]:
    return run("pull", release, "--target", ARTIFACT, "--from", address, "--to", app, "--key", signed.public)


def content(folder: Path) -> dict[str, bytes]:
    return {path.relative_to(folder).as_posix(): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


@pytest.mark.parametrize("name", NAMES)
def test_what_a_server_was_sent_is_what_a_folder_has(signed: Signed, tmp_path: Path, name: str) -> None:
    with TRANSPORTS[name](tmp_path / "server") as address:
        code, output = send(signed, address, "1.0.0", "--channel", "stable")
        assert code == 0, output
        assert re.search("[0-9]+ files, [0-9,]{6,} new bytes", output), output
        assert send(signed, tmp_path / "folder", "1.0.0", "--channel", "stable")[0] == 0
        for place, app in ((address, "app"), (tmp_path / "folder", "local")):
            code, output = pull(signed, place, tmp_path / app)
            assert code == 0, output
        assert content(tmp_path / "app") == content(tmp_path / "local")
        code, output = send(signed, address, "1.0.0", "--channel", "stable")
        assert code == 0 and "was there already" in output

        variant(signed, "encoder.onnx", b"another")
        code, output = send(signed, address, "1.0.0")
        assert code == 2 and "of other content; a version never changes" in output
        assert send(signed, address, "1.1.0")[0] == 0
        code, output = run("promote", "painter@1.1.0", "stable", "--to", address, "--key", signed.private)
        assert code == 0 and "painter@stable is now 1.1.0" in output
        size = (signed.dist / "onnx/float32-32x32/encoder.onnx").stat().st_size
        code, output = pull(signed, address, tmp_path / "app")
        assert code == 0 and f"; {size:,} downloaded" in output, output
        code, output = run("yank", "painter@1.1.0", "--to", address, "--key", signed.private, "--reason", "paints faces green")
        assert code == 0, output
        code, output = pull(signed, address, tmp_path / "app")
        assert code == 2 and "was yanked: paints faces green" in output
        code, output = run("promote", "nobody@1.0.0", "stable", "--to", address, "--key", signed.private)
        assert code == 2 and "has no model 'nobody'" in output


@pytest.mark.parametrize("name", NAMES)
def test_publications_that_meet_are_both_there(signed: Signed, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str) -> None:
    """Between reading and writing of one publication, another one is done as a whole; twice."""
    honest = registry_module.seal_index
    others = ["1.1.0", "1.2.0"]

    def slowly(*given: object) -> str:
        sealed = honest(*given)  # type: ignore[arg-type]
        if others:
            version = others.pop()
            assert publish(signed.dist, Place(address, signed.private), version=version, channel=f"of-{version[2]}").changed
        return sealed

    with TRANSPORTS[name](tmp_path / "server") as address:
        publish(signed.dist, Place(address, signed.private), version="0.9.0", channel="stable")
        monkeypatch.setattr(registry_module, "seal_index", slowly)
        assert publish(signed.dist, Place(address, signed.private), version="1.0.0", channel="stable").changed
        assert others == []
        for release, version in (("@of-1", "1.1.0"), ("@of-2", "1.2.0"), ("", "1.0.0"), ("@0.9.0", "0.9.0")):
            code, output = pull(signed, address, tmp_path / "app", f"painter{release}")
            assert code == 0 and f"painter {version}, " in output, output


@pytest.mark.slow
def test_a_server_that_ignores_conditions_is_refused_before_anything_is_sent(signed: Signed, tmp_path: Path) -> None:
    with nginx(tmp_path / "server") as address:
        code, output = send(signed, address, "1.0.0", "--channel", "stable")
        assert code == 2 and "ignores If-None-Match, so of two publications at a time one could be lost" in output
        assert len([path for path in (tmp_path / "server/root").rglob("*") if path.is_file()]) == 1
        assert send(signed, address, "1.0.0", "--channel", "stable", "--alone")[0] == 0
        assert pull(signed, address, tmp_path / "app")[0] == 0


def test_a_password_is_sent_as_a_header_and_not_to_other_hosts(
    signed: Signed, server: Server, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    seen: list[str | None] = []

    def fault(upload: Upload) -> None:
        seen.append(upload.handler.headers.get("Authorization"))
        upload.answer(401)

    server.put_fault = fault
    code, output = send(signed, server.address, "1.0.0")
    assert code == 2 and "may not be written (401); INSTANTSTYLE_AUTHORIZATION=" in output and seen == [None]
    monkeypatch.setenv("INSTANTSTYLE_AUTHORIZATION", "Bearer of good news")
    assert send(signed, server.address, "1.0.0")[0] == 2 and seen[1] == "Bearer of good news"
    code, output = send(signed, server.address.replace("//", "//me:secret@"), "1.0.0")
    assert code == 2 and "it holds no password" in output and "secret" not in output


@pytest.mark.slow
def test_an_oci_registry_asks_for_a_password_and_goes_on_with_a_download(
    signed: Signed, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HOME", str(tmp_path))
    with docker_registry(tmp_path / "server", has_password=True) as address:
        code, output = send(signed, address, "1.0.0", "--channel", "stable")
        assert code == 2 and "log in with an OCI client such as `docker login`" in output, output
        known = {"auths": {address.split("/")[2]: {"auth": base64.b64encode(b"me:secret").decode()}}}
        (tmp_path / ".docker").mkdir()
        (tmp_path / ".docker/config.json").write_text(json.dumps(known))
        code, output = send(signed, address, "1.0.0", "--channel", "stable")
        assert code == 0, output
        graph = (signed.dist / "onnx/float32-32x32/painter.onnx").read_bytes()
        (tmp_path / ".app.pull").mkdir()
        (tmp_path / ".app.pull" / sha256(graph)).write_bytes(graph[:1000])
        code, output = pull(signed, address, tmp_path / "app")
        total = sum(len(data) for name, data in content(tmp_path / "app").items() if name != "release.json")
        assert code == 0 and f"{total:,} bytes for the app; {total - 1000:,} downloaded" in output


def cut(upload: Upload) -> None:
    """Reads a part, and hangs up."""
    upload.content(upload.length // 2)


def unless_probed(fault: Callable[[Upload], object]) -> Callable[[Upload], object]:
    """The small file that tells whether a server keeps to conditions is stored."""
    return lambda upload: upload.store() if upload.conditions or upload.length < 100 else fault(upload)


def keeps_half(upload: Upload) -> None:
    upload.take(upload.content()[: upload.length // 2])
    upload.answer(201)


def answers(status: int) -> Callable[[Upload], None]:
    def fault(upload: Upload) -> None:
        upload.content()
        upload.answer(status)

    return fault


def silent(upload: Upload) -> None:
    upload.content()
    time.sleep(1.0)


def index_only(fault: Callable[[Upload], object]) -> Callable[[Upload], None]:
    return lambda upload: fault(upload) if upload.path.endswith("index.json") else upload.store()  # type: ignore[return-value]


PUT_FAULTS: dict[str, tuple[Callable[[Upload], object], str]] = {
    "a lost connection": (cut, "the connection was lost .*; that was the last of 5 attempts"),
    "half of a file": (unless_probed(keeps_half), "the server has not what it was sent; that was the last of 5 attempts"),
    "a lie": (unless_probed(answers(201)), "the server has not what it was sent"),
    "an error": (answers(500), "the server answered 500; that was the last of 5 attempts"),
    "no such method": (answers(405), r"the server takes no files \(405\); publish into a folder"),
    "too large": (answers(413), r"the server refuses a file of this size \(413\)"),
    "a full disk": (answers(507), r"the server's disk is full \(507\)"),
    "no permission": (answers(403), r"may not be written \(403\)"),
    "silence": (silent, "the server was silent for too long; that was the last of 5 attempts"),
    "an index that is lost": (index_only(cut), "the connection was lost"),
    "an index that is forgotten": (index_only(answers(200)), "does not become what it should in 8 attempts"),
}


@pytest.mark.parametrize("name", PUT_FAULTS)
def test_a_fault_is_one_sentence_and_leaves_the_registry(
    signed: Signed, server: Server, tmp_path: Path, no_pauses: None, name: str
) -> None:
    server.put_fault, sentence = PUT_FAULTS[name]
    code, output = send(signed, server.address, "1.0.0", "--channel", "stable", "--timeout", "0.3")
    assert code == 2 and re.search(sentence, output), output
    assert len(output.strip().splitlines()) == 1, output
    assert not (tmp_path / "registry" / index_path("painter")).exists()
    server.put_fault = None
    assert send(signed, server.address, "1.0.0", "--channel", "stable")[0] == 0
    code, output = pull(signed, server.address, tmp_path / "app")
    assert code == 0, output


def test_an_answer_that_is_lost_is_no_second_change(signed: Signed, server: Server, tmp_path: Path, no_pauses: None) -> None:
    """The index arrived, and nobody heard so: the attempt after that finds its own."""
    lost: list[str] = []

    def fault(upload: Upload) -> None:
        if upload.path.endswith("index.json") and not lost:
            lost.append(upload.path)
            upload.take(upload.content())
        else:
            upload.store()

    server.put_fault = fault
    code, output = send(signed, server.address, "1.0.0", "--channel", "stable")
    assert code == 0 and "new bytes" in output and lost
    index = open_index((tmp_path / "registry" / index_path("painter")).read_bytes(), signed.public, "painter", "here")
    assert index.serial == 1 and [version.version for version in index.versions] == ["1.0.0"]


def test_connections_lost_at_random_bytes_cost_nothing(signed: Signed, server: Server, tmp_path: Path, no_pauses: None) -> None:
    generator, drops = random.Random(5), []

    def fault(upload: Upload) -> None:
        if generator.random() < 0.5:
            drops.append(upload.path)
            upload.content(generator.randrange(upload.length))
        else:
            upload.store()

    server.put_fault = fault
    results = [(2, "")]
    while results[-1][0] and len(results) < 20:  # five in a row are a failure, and the same command goes on
        results.append(send(signed, server.address, "1.0.0", "--channel", "stable"))
    assert results[-1][0] == 0 and len(drops) > 30
    assert all("the connection was lost" in output for code, output in results[1:] if code)
    index = open_index((tmp_path / "registry" / index_path("painter")).read_bytes(), signed.public, "painter", "here")
    for file in index.versions[0].bundle:
        assert sha256((tmp_path / "registry" / blob_path(file.sha256)).read_bytes()) == file.sha256


ADDRESSES = {
    "oci://127.0.0.1:9/models/paint": "the server cannot be reached",
    "oci://127.0.0.1": "is no repository; give oci://HOST/REPOSITORY",
    "oci://127.0.0.1/models/paint:latest": "is no repository; give oci://HOST/REPOSITORY",
    "ftp://127.0.0.1/x": "give an address that starts with https://, http:// or oci://",
}


@pytest.mark.parametrize("address", ADDRESSES)
def test_an_address_of_nothing_is_said(keys: Path, tmp_path: Path, no_pauses: None, address: str) -> None:
    given = ("--from", address, "--to", tmp_path / "app", "--key", keys / "owner.pub")
    code, output = run("pull", "painter", "--target", ARTIFACT, *given)
    assert code == 2 and ADDRESSES[address] in output, output
