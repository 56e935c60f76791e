"""Pulls from servers that fail in every way that servers have: nothing wrong is ever installed, and the old version stays as it was."""

import random
import re
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from distribution_helpers import Signed, variant
from faulty_server import Request, Server, serving, silent
from gate_helpers import run

from instantstyle.distribution import patience

ARTIFACT = "onnx-float32-32x32"


@pytest.fixture(autouse=True)
def no_pauses(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(patience, "FIRST_PAUSE_S", 0.0)


@pytest.fixture
def registry(signed: Signed, tmp_path: Path) -> Path:
    """painter 1.0.0, then 1.1.0 in the channel stable."""
    folder = tmp_path / "registry"
    assert run("publish", signed.dist, "--to", folder, "--version", "1.0.0", "--key", signed.private)[0] == 0
    variant(signed, "painter.onnx", b"another" * 2000)
    assert run("publish", signed.dist, "--to", folder, "--version", "1.1.0", "--channel", "stable", "--key", signed.private)[0] == 0
    return folder


@pytest.fixture
def server(registry: Path) -> Iterator[Server]:
    with serving(registry) as found:
        yield found


def pull(signed: Signed, server: Server, app: Path, release: str = "painter", *options: object) -> tuple[int, str]:
    given = ("--target", ARTIFACT, "--from", server.address, "--to", app, "--key", signed.public, "--golden", *options)
    return run("pull", release, *given)


def content(folder: Path) -> dict[str, bytes]:
    return {path.relative_to(folder).as_posix(): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def models(app: Path) -> dict[str, bytes]:
    return {name: data for name, data in content(app).items() if name.endswith(".onnx")}


def test_a_pull_over_http_is_that_from_the_folder(signed: Signed, server: Server, registry: Path, tmp_path: Path) -> None:
    code, output = pull(signed, server, tmp_path / "app")
    assert code == 0, output
    folder = ("--from", registry, "--to", tmp_path / "local", "--key", signed.public, "--golden")
    assert run("pull", "painter", "--target", ARTIFACT, *folder)[0] == 0
    assert content(tmp_path / "app") == content(tmp_path / "local")


def test_two_hundred_lost_connections_lose_nothing(signed: Signed, server: Server, tmp_path: Path) -> None:
    generator, drops = random.Random(7), []

    def dropping(request: Request) -> None:
        if len(drops) < 200 and request.path.startswith("/blobs") and len(request.body) > 1:
            # Small steps, so that 200 of them fit into the few bytes that there are.
            drops.append(generator.randrange(min(len(request.body), 600)))
            request.cut_after(drops[-1])
        else:
            request.serve()

    server.fault = dropping
    code, output = pull(signed, server, tmp_path / "app")
    assert code == 0, output
    assert len(drops) == 200
    assert models(tmp_path / "app") == models(signed.dist / "onnx/float32-32x32")
    resumed = [offset for _, offset in server.asked if offset]
    assert len(resumed) > 100, "it goes on where it was cut off"


def truncated(request: Request) -> None:
    """A file that is shorter than its name says, served as if it were whole."""
    body = request.body[: len(request.body) // 2] if request.path.startswith("/blobs") else request.body
    request.head(200, len(body))
    request.handler.wfile.write(body)


def too_long(request: Request) -> None:
    body = request.body + (b"more" if request.path.startswith("/blobs") else b"")
    request.head(200, None)
    request.handler.wfile.write(body)


def wrong_length(request: Request) -> None:
    request.head(200, len(request.body) + (17 if request.path.startswith("/blobs") else 0))
    request.handler.wfile.write(request.body)


def altered(request: Request) -> None:
    body = bytes([request.body[0] ^ 1]) + request.body[1:] if request.path.startswith("/blobs") else request.body
    request.head(200, len(body))
    request.handler.wfile.write(body)


def failing(request: Request) -> None:
    request.head(500, 0)


def index_failing(request: Request) -> None:
    request.head(503, 0) if request.path.endswith("index.json") else request.serve()


def forbidden(request: Request) -> None:
    request.head(403, 0)


def garbage(request: Request) -> None:
    request.handler.wfile.write(b"what?\r\n\r\n")


def page(request: Request) -> None:
    """A captive portal."""
    text = b"<html>please log in</html>"
    request.head(200, len(text))
    request.handler.wfile.write(text)


def altered_index(request: Request) -> None:
    body = request.body.replace(b"1.1.0", b"1.9.0") if request.path.endswith("index.json") else request.body
    request.head(200, len(body))
    request.handler.wfile.write(body)


def endless_index(request: Request) -> None:
    request.head(200, None)
    for _ in range(100):
        request.handler.wfile.write(b" " * 1_000_000)


def other_part(request: Request) -> None:
    if request.offset:
        request.head(206, len(request.body), request.offset + 1)
        request.handler.wfile.write(request.body)
    elif request.path.startswith("/blobs"):
        request.cut_after(100)
    else:
        request.serve()


def once_400_bytes(request: Request) -> None:
    if request.offset or not request.path.startswith("/blobs"):
        request.serve() if not request.offset else request.head(500, 0)
    else:
        request.cut_after(400)


FAULTS: dict[str, tuple[Callable[[Request], object], str]] = {
    "truncated files": (truncated, "the server has [0-9,]+ bytes where [0-9,]+ are left; that was the last of 5 attempts"),
    "files that are too long": (too_long, "more came than its [0-9,]+ bytes; that was the last of 5 attempts"),
    "a wrong length": (wrong_length, "the server has [0-9,]+ bytes where [0-9,]+ are left"),
    "an altered bit": (altered, r"has another content \(SHA-256 \w+…\) than its name says"),
    "an error of the server": (failing, "the server answered 500; that was the last of 5 attempts"),
    "no index for now": (index_failing, "the server answered 503; that was the last of 5 attempts"),
    "no permission": (forbidden, "the server answered 403; check the address and whether it may be read"),
    "no HTTP": (garbage, "the connection was lost"),
    "a page instead of the index": (page, "not valid JSON"),
    "an altered index": (altered_index, "is not what was signed: altered: index.json"),
    "an index without an end": (endless_index, "is larger than 16,000,000 bytes, which no index is"),
    "another part than was asked for": (other_part, "bytes from 100 on were asked for, and those from 101 on came"),
    "silence": (silent(1.0), "the server was silent for too long; that was the last of 5 attempts"),
}


@pytest.mark.parametrize("name", FAULTS)
def test_a_fault_is_one_sentence_and_leaves_the_old_version(signed: Signed, server: Server, tmp_path: Path, name: str) -> None:
    app = tmp_path / "home/app"
    assert pull(signed, server, app, "painter@1.0.0")[0] == 0
    before = content(app)
    server.fault, sentence = FAULTS[name]
    code, output = pull(signed, server, app, "painter", "--timeout", "0.2")
    assert code == 2
    assert re.search(sentence, output), output
    assert len(output.strip().splitlines()) == 1, output
    assert content(app) == before
    server.fault = None
    code, output = pull(signed, server, app)
    assert code == 0, output
    assert models(app) == models(signed.dist / "onnx/float32-32x32")
    assert [path.name for path in app.parent.iterdir()] == ["app"]


def test_swapped_blobs_are_refused(signed: Signed, server: Server, registry: Path, tmp_path: Path) -> None:
    """Of one size, so that nothing but the content tells."""
    blobs = [path for path in (registry / "blobs").rglob("*") if path.is_file()]
    encoder, painter = (signed.dist / f"onnx/float32-32x32/{name}.onnx" for name in ("encoder", "painter"))
    first, second = (next(blob for blob in blobs if blob.read_bytes() == graph.read_bytes()) for graph in (encoder, painter))
    one, other = first.read_bytes(), second.read_bytes()
    first.write_bytes(other[: len(one)].ljust(len(one)))
    second.write_bytes(one[: len(other)].ljust(len(other)))
    code, output = pull(signed, server, tmp_path / "app")
    assert code == 2 and "has another content" in output and not (tmp_path / "app").exists()


def test_a_server_without_ranges_is_read_from_the_start(signed: Signed, server: Server, tmp_path: Path) -> None:
    cut: list[str] = []

    def fault(request: Request) -> None:
        if request.path.startswith("/blobs") and request.path not in cut and len(request.body) > 200:
            cut.append(request.path)
            request.cut_after(150)
        else:
            request.head(200, len(request.content))
            request.handler.wfile.write(request.content)

    server.fault = fault
    code, output = pull(signed, server, tmp_path / "app")
    assert code == 0 and cut, output
    assert models(tmp_path / "app") == models(signed.dist / "onnx/float32-32x32")


def test_what_came_before_a_failure_is_kept(signed: Signed, server: Server, tmp_path: Path) -> None:
    app = tmp_path / "app"
    server.fault = once_400_bytes
    assert pull(signed, server, app)[0] == 2
    server.fault, asked = None, len(server.asked)
    assert pull(signed, server, app)[0] == 0
    assert any(offset == 400 for _, offset in server.asked[asked:])


def test_a_damaged_part_of_an_earlier_attempt_is_thrown_away(signed: Signed, server: Server, tmp_path: Path) -> None:
    app = tmp_path / "app"
    server.fault = once_400_bytes
    assert pull(signed, server, app)[0] == 2
    (part,) = [path for path in (tmp_path / ".app.pull").iterdir() if path.is_file()]
    part.write_bytes(b"x" * 400)
    server.fault = None
    code, output = pull(signed, server, app)
    assert code == 0, output


def test_nobody_listens(signed: Signed, tmp_path: Path) -> None:
    start = time.monotonic()
    code, output = pull(signed, Server("http://127.0.0.1:9"), tmp_path / "app")
    assert code == 2 and "the server cannot be reached" in output and time.monotonic() - start < 30


def test_a_full_disk_is_said_and_leaves_the_old_version(
    signed: Signed, server: Server, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    app = tmp_path / "app"
    assert pull(signed, server, app, "painter@1.0.0")[0] == 0
    before = content(app)
    for function in ("copyfile", "download_blob"):
        with monkeypatch.context() as patch:
            import errno

            from instantstyle.distribution import pull as module

            def full(*given: object) -> None:
                raise OSError(errno.ENOSPC, "No space left on device", str(app))

            patch.setattr(module.shutil if function == "copyfile" else module, function, full)
            code, output = pull(signed, server, app)
        assert code == 2 and "the disk is full" in output, output
        assert content(app) == before
    assert pull(signed, server, app)[0] == 0
