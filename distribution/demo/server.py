"""A server for one browser on this machine: a fixed table of contents, and a policy under which the page can ask nobody else."""

import errno
from collections.abc import Mapping
from http import HTTPStatus
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import PurePosixPath

from ...system.errors import InstantStyleError
from .contents import PICTURES

HOST = "127.0.0.1"
BYTES, TEXT = "application/octet-stream", "text/plain; charset=utf-8"
TYPES = {
    ".html": "text/html; charset=utf-8",
    ".css": "text/css; charset=utf-8",
    ".js": "text/javascript; charset=utf-8",
    ".mjs": "text/javascript; charset=utf-8",
    ".json": "application/json",
    ".wasm": "application/wasm",
    **PICTURES,
}
HEADERS = {
    # Scripts, wasm, workers, styles and pictures of this server, and nothing else; of other places not even a picture.
    "Content-Security-Policy": "default-src 'none'; script-src 'self' 'wasm-unsafe-eval'; worker-src 'self'; connect-src 'self'; "
    "style-src 'self'; img-src 'self' data:; base-uri 'none'; form-action 'none'; frame-ancestors 'none'",
    # Together they give the page shared memory, and so wasm its threads.
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cross-Origin-Embedder-Policy": "require-corp",
    "Cross-Origin-Resource-Policy": "same-origin",
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "no-referrer",
    "Cache-Control": "no-store",
}


class DemoServer(ThreadingHTTPServer):
    """Serves ``files`` on the loopback interface; ``serve_forever`` runs it.

    Args:
        port: 0 takes any free one.
        files: content by address.

    Attributes:
        url: of the page.

    Raises:
        InstantStyleError: the port is in use, or not allowed.
    """

    daemon_threads = True

    def __init__(self, port: int, files: Mapping[str, bytes]) -> None:
        try:
            super().__init__((HOST, port), _Handler)
        except OSError as error:
            if error.errno not in (errno.EADDRINUSE, errno.EACCES):
                raise
            raise InstantStyleError(f"--port {port}: {error.strerror}; name another one, or 0 for any that is free") from None
        self.files = files
        self.url = f"http://{HOST}:{self.server_port}/"
        # Another name would be that of a page elsewhere which has its name point here.
        self.hosts = tuple(f"{name}:{self.server_port}" for name in (HOST, "localhost"))


class _Handler(BaseHTTPRequestHandler):
    server: DemoServer  # type: ignore[override]
    protocol_version = "HTTP/1.1"

    def do_GET(self) -> None:
        if self.headers.get("Host") not in self.server.hosts:
            self._answer(HTTPStatus.MISDIRECTED_REQUEST, f"this is {self.server.url}, for this machine alone\n".encode(), TEXT)
            return
        address = self.path.partition("?")[0]
        content = self.server.files.get(address)
        if content is None:
            self._answer(HTTPStatus.NOT_FOUND, b"there is no such file here\n", TEXT)
            return
        self._answer(HTTPStatus.OK, content, TYPES[".html"] if address == "/" else TYPES.get(PurePosixPath(address).suffix, BYTES))

    do_HEAD = do_GET

    def _answer(self, status: HTTPStatus, content: bytes, kind: str) -> None:
        self.send_response(status)
        self.send_header("Content-Type", kind)
        self.send_header("Content-Length", str(len(content)))
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(content)

    def end_headers(self) -> None:
        for name, value in HEADERS.items():
            self.send_header(name, value)
        super().end_headers()

    def version_string(self) -> str:
        return "instantstyle"

    def log_message(self, format: str, *args: object) -> None:
        """Nothing: the page says what fails."""
