"""The demo without a browser: what is served and to whom, and what is refused."""

import http.client
import json
import os
import re
import shutil
import signal
import socket
import subprocess
import sys
import threading
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest
from gate_helpers import run

from instantstyle.distribution.demo.contents import LIBRARY, PAGE, contents
from instantstyle.distribution.demo.server import HEADERS, DemoServer
from instantstyle.system.errors import ArtifactError, ImageError, InstantStyleError
from instantstyle.targets.web import runtime
from instantstyle.validation.results.bundle_file import read_bundle

FILES = {"/": b"<p>page", "/index.html": b"<p>page", "/runtime/x.wasm": b"\0asm", "/web/net.onnx": b"net", "/page.js": b"1"}


@pytest.fixture
def library(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Files that stand for onnxruntime-web's: nothing runs them here."""
    package = tmp_path / "runtime" / "node_modules" / runtime.PACKAGE
    (package / "dist").mkdir(parents=True)
    (package / "package.json").write_text(json.dumps({"version": runtime.VERSION}))
    for name in LIBRARY:
        (package / "dist" / name).write_bytes(name.encode())
    monkeypatch.setenv(runtime.FOLDER_VARIABLE, str(tmp_path / "runtime"))
    return package


@pytest.fixture
def server() -> Iterator[DemoServer]:
    with DemoServer(0, FILES) as served:
        thread = threading.Thread(target=served.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        yield served
        served.shutdown()
        thread.join()


def ask(server: DemoServer, path: str, method: str = "GET", host: str | None = None) -> tuple[int, bytes, http.client.HTTPMessage]:
    connection = http.client.HTTPConnection("127.0.0.1", server.server_port, timeout=10)
    # As it stands: a client that is no browser sends dots and slashes unchanged.
    connection.putrequest(method, path, skip_host=True)
    connection.putheader("Host", host or f"127.0.0.1:{server.server_port}")
    connection.endheaders()
    answer = connection.getresponse()
    found = answer.status, answer.read(), answer.headers
    connection.close()
    return found


def pretend(monkeypatch: pytest.MonkeyPatch, dist: Path, **changes: str) -> None:
    """Has every artifact of the bundle changed so."""
    bundle = read_bundle(dist)
    other = replace(bundle, artifacts=tuple(replace(artifact, **changes) for artifact in bundle.artifacts))
    monkeypatch.setattr("instantstyle.distribution.demo.contents.read_bundle", lambda folder: other)
    monkeypatch.setattr("instantstyle.distribution.demo.contents.verify", lambda bundle, folder: None)


class TestServer:
    @pytest.mark.parametrize(
        ("path", "kind"),
        [
            ("/", "text/html; charset=utf-8"),
            ("/?x=1", "text/html; charset=utf-8"),
            ("/page.js", "text/javascript; charset=utf-8"),
            ("/runtime/x.wasm", "application/wasm"),
            ("/web/net.onnx", "application/octet-stream"),
        ],
    )
    def test_files_have_their_types_and_every_header(self, server: DemoServer, path: str, kind: str) -> None:
        status, body, headers = ask(server, path)
        assert (status, body, headers["Content-Type"]) == (200, FILES[path.partition("?")[0]], kind)
        assert {name: headers[name] for name in HEADERS} == HEADERS
        assert headers["Server"] == "instantstyle"
        assert ask(server, path, "HEAD")[1] == b""

    def test_policy_names_no_other_place_and_isolates_the_page(self) -> None:
        policy = dict(part.strip().split(" ", 1) for part in HEADERS["Content-Security-Policy"].split(";"))
        assert policy["default-src"] == "'none'" and policy["connect-src"] == policy["worker-src"] == "'self'"
        allowed = {word for value in policy.values() for word in value.split()}
        assert allowed == {"'none'", "'self'", "'wasm-unsafe-eval'", "data:"}
        assert HEADERS["Cross-Origin-Opener-Policy"] == "same-origin" and HEADERS["Cross-Origin-Embedder-Policy"] == "require-corp"

    @pytest.mark.parametrize(
        "path",
        [
            "/../pyproject.toml",
            "/web/../../etc/passwd",
            "/%2e%2e/%2e%2e/etc/passwd",
            "//etc/passwd",
            "/web/",
            "/web/net.onnx/",
            "/page.py",
            "x",
        ],
    )
    def test_nothing_but_the_table_is_served(self, server: DemoServer, path: str) -> None:
        status, body, headers = ask(server, path)
        assert (status, body) == (404, b"there is no such file here\n")
        assert headers["Content-Security-Policy"] == HEADERS["Content-Security-Policy"]

    @pytest.mark.parametrize("host", ["evil.example", "evil.example:8642", "127.0.0.1", "127.0.0.1:1"])
    def test_another_name_for_this_machine_is_refused(self, server: DemoServer, host: str) -> None:
        assert ask(server, "/web/net.onnx", host=host)[0] == 421
        assert ask(server, "/web/net.onnx", host=f"localhost:{server.server_port}")[0] == 200

    @pytest.mark.parametrize("method", ["POST", "PUT", "DELETE"])
    def test_nothing_can_be_sent(self, server: DemoServer, method: str) -> None:
        assert ask(server, "/", method)[0] == 501

    def test_only_loopback_listens(self, server: DemoServer) -> None:
        assert server.server_address[0] == "127.0.0.1"

    def test_a_port_in_use_is_a_sentence(self) -> None:
        with socket.socket() as taken:
            taken.bind(("127.0.0.1", 0))
            taken.listen()
            port = taken.getsockname()[1]
            with pytest.raises(InstantStyleError, match=f"--port {port}: Address already in use; name another one, or 0"):
                DemoServer(port, FILES)


@pytest.mark.usefixtures("library")
class TestContents:
    def test_int8_is_taken_with_the_page_the_library_the_model_and_the_codes(self, dist: Path) -> None:
        found = contents(dist)
        assert found.artifact == "web-int8-32x32"
        pages = {"/", "/index.html", "/style.css", "/page.js", "/model.js", "/demo.json"}
        library = {f"/runtime/{name}" for name in LIBRARY}
        model = {"/web/encoder.onnx", "/web/painter.onnx", "/app/model.json", "/app/styles/14.f32", "/app/styles/15.f32"}
        photos = {f"/photos/{index}.jpg" for index in range(12)}
        assert found.files.keys() == pages | library | model | photos, "no artwork: the bundle has codes"
        assert found.files["/web/painter.onnx"] == (dist / "web/int8-32x32/painter.onnx").read_bytes()

    def test_the_page_is_told_what_the_tensors_are_called(self, dist: Path) -> None:
        told = json.loads(contents(dist, "web-float16").files["/demo.json"])
        assert (told["name"], told["artifact"], told["runtime"]) == ("painter", "web-float16-32x32", "onnxruntime-web 1.30.0")
        assert [told[key] for key in ("photo", "style", "scalars", "picture", "factor")] == ["photo", "style", ["alpha"], "image", 1]
        assert told["photos"][0] == {"name": "es_city3", "url": "photos/0.jpg"} and told["artworks"] == []

    def test_artworks_are_offered_as_they_are(self, dist: Path, tmp_path: Path) -> None:
        artwork = dist.parent / "validation/styles/14.png"
        found = contents(dist, None, [artwork])
        assert json.loads(found.files["/demo.json"])["artworks"] == [{"name": "14", "url": "artworks/0.png"}]
        assert found.files["/artworks/0.png"] == artwork.read_bytes()
        for name, problem in (("x.tif", "browsers show jpg, jpeg, png"), ("x.png", "cannot be read|not an image")):
            (tmp_path / name).write_bytes(b"no picture")
            with pytest.raises(ImageError, match=problem):
                contents(dist, None, [tmp_path / name])

    def test_an_altered_bundle_is_refused(self, dist: Path, tmp_path: Path) -> None:
        copy = Path(shutil.copytree(dist, tmp_path / "dist"))
        (copy / "web/int8-32x32/painter.onnx").write_bytes(b"another")
        with pytest.raises(ArtifactError, match=r"painter\.onnx"):
            contents(copy)

    def test_a_bundle_without_the_target_is_told_the_line_to_add(self, dist: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        pretend(monkeypatch, dist, target="onnx")
        with pytest.raises(ArtifactError, match=re.escape('add web = ["int8"] to [targets.build] of the recipe, and release it again')):
            contents(dist)

    def test_an_artifact_that_was_not_made_is_told_why(self, dist: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        pretend(monkeypatch, dist, folder="", reason="it cannot be captured")
        with pytest.raises(ArtifactError, match="web-int8-32x32 was not made: it cannot be captured"):
            contents(dist, "web-int8-32")

    def test_an_unknown_artifact_is_told_those_that_exist(self, dist: Path) -> None:
        with pytest.raises(ArtifactError, match="no artifact 'web-int4' of the target web; there are web-float16-32x32, web-int8-weights"):
            contents(dist, "web-int4")


class TestCommand:
    def test_wrong_input_is_exit_code_2(self, dist: Path, library: Path, tmp_path: Path) -> None:
        code, output = run("demo", tmp_path / "nothing")
        assert code == 2 and "bundle.json" in output
        with socket.socket() as taken:
            taken.bind(("127.0.0.1", 0))
            taken.listen()
            code, output = run("demo", dist, "--port", taken.getsockname()[1])
        assert code == 2 and "already in use" in output
        (library / "package.json").unlink()
        code, output = run("demo", dist)
        assert code == 2 and f"the demo needs onnxruntime-web 1.30.0, not installed here: {runtime.INSTALL}" in output

    @pytest.mark.usefixtures("library")
    def test_ctrl_c_ends_it_with_exit_code_0(self, dist: Path) -> None:
        # A process that a script starts in the background ignores SIGINT, and so would this one.
        code = "import signal; signal.signal(signal.SIGINT, signal.default_int_handler); from instantstyle.cli.main import main; main()"
        command = [sys.executable, "-c", code, "demo", str(dist), "--port", "0"]
        with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
            assert process.stdout is not None
            line = process.stdout.readline()
            port = re.match(r"http://127\.0\.0\.1:(\d+)/: web-int8-32x32 of .*; Ctrl-C ends it$", line)
            assert port, line
            connection = http.client.HTTPConnection("127.0.0.1", int(port[1]), timeout=10)
            connection.request("GET", "/")
            assert connection.getresponse().read() == (PAGE / "index.html").read_bytes()
            connection.close()
            os.kill(process.pid, signal.SIGINT)
            assert process.wait(20) == 0
