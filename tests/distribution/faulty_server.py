"""A web server on loopback that serves a folder, and whatever faults a test asks for."""

import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

# Given the path and the whole content that would be served from the offset on: what is done instead, by the handler's own means.
Fault = Callable[["Request"], object]


@dataclass
class Request:
    """One request, and the means to answer it."""

    handler: BaseHTTPRequestHandler
    path: str
    offset: int
    content: bytes

    @property
    def body(self) -> bytes:
        return self.content[self.offset :]

    def head(self, status: int, length: int | None, start: int | None = None) -> None:
        self.handler.send_response(status)
        if length is not None:
            self.handler.send_header("Content-Length", str(length))
        if start is not None:
            self.handler.send_header("Content-Range", f"bytes {start}-{len(self.content) - 1}/{len(self.content)}")
        self.handler.end_headers()

    def honest_head(self) -> None:
        self.head(206 if self.offset else 200, len(self.body), self.offset or None)

    def serve(self) -> None:
        self.honest_head()
        self.handler.wfile.write(self.body)

    def cut_after(self, count: int) -> None:
        """The announced length, and then fewer bytes."""
        self.honest_head()
        self.handler.wfile.write(self.body[:count])


@dataclass
class Server:
    """A running server: its address, what it was asked for, and the fault that it has."""

    address: str
    fault: Fault | None = None
    asked: list[tuple[str, int]] = field(default_factory=list)
    sent_bytes: int = 0


@contextmanager
def serving(folder: Path) -> Iterator[Server]:
    """Serves until the block ends."""
    made = Server("")

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_GET(self) -> None:
            file = folder / self.path.lstrip("/")
            self.close_connection = True
            if not file.is_file():
                self.send_error(404)
                return
            header = self.headers.get("Range", "")
            offset = int(header.removeprefix("bytes=").rstrip("-")) if header else 0
            made.asked.append((self.path, offset))
            request = Request(self, self.path, offset, file.read_bytes())
            with suppress(BrokenPipeError, ConnectionResetError):
                made.fault(request) if made.fault else request.serve()

        def log_message(self, format: str, *arguments: object) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.daemon_threads = True
    made.address = f"http://127.0.0.1:{server.server_address[1]}"
    thread = threading.Thread(target=server.serve_forever, args=(0.02,), daemon=True)
    thread.start()
    try:
        yield made
    finally:
        server.shutdown()
        server.server_close()
        thread.join()


def silent(seconds: float) -> Fault:
    """Says how much will come, sends a few bytes, and then nothing."""

    def fault(request: Request) -> None:
        request.cut_after(10)
        request.handler.wfile.flush()
        time.sleep(seconds)

    return fault
