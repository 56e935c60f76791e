"""A web server on loopback that serves and takes a folder's files, and has whatever faults a test asks for."""

import hashlib
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

# Given the path and the whole content that would be served from the offset on: what is done instead, by the handler's own means.
Fault = Callable[["Request"], object]
# Given a file that was sent, in part: what is done instead of storing it.
PutFault = Callable[["Upload"], object]


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
        self.handler.send_header("ETag", tag(self.content))
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
class Upload:
    """A file that is sent, and the means to answer."""

    handler: BaseHTTPRequestHandler
    path: str
    file: Path
    length: int
    conditions: dict[str, str]

    def content(self, count: int | None = None) -> bytes:
        """The first bytes of it, or all."""
        return self.handler.rfile.read(self.length if count is None else min(count, self.length))

    def answer(self, status: int) -> None:
        self.handler.send_response(status)
        self.handler.send_header("Content-Length", "0")
        self.handler.send_header("Connection", "close")
        self.handler.end_headers()

    def take(self, content: bytes) -> None:
        self.file.parent.mkdir(parents=True, exist_ok=True)
        temporary = self.file.with_name(f".{threading.get_ident()}")
        temporary.write_bytes(content)
        temporary.replace(self.file)

    def store(self) -> None:
        """As RFC 9110 has it."""
        content = self.content()
        if len(content) < self.length:
            return
        there = tag(self.file.read_bytes()) if self.file.is_file() else None
        refused = self.conditions.get("If-None-Match") == "*" and there is not None
        refused |= "If-Match" in self.conditions and self.conditions["If-Match"] != there
        if not refused:
            self.take(content)
        self.answer(412 if refused else 204 if there else 201)


def tag(content: bytes) -> str:
    """An ETag."""
    return f'"{hashlib.md5(content).hexdigest()}"'


@dataclass
class Server:
    """A running server: its address, what it was asked for, and the fault that it has."""

    address: str
    fault: Fault | None = None
    put_fault: PutFault | None = None
    asked: list[tuple[str, int]] = field(default_factory=list)


@contextmanager
def serving(folder: Path) -> Iterator[Server]:
    """Serves until the block ends."""
    made, storing = Server(""), threading.Lock()

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

        def do_PUT(self) -> None:
            self.close_connection = True
            conditions = {name: self.headers[name] for name in ("If-Match", "If-None-Match") if name in self.headers}
            length = int(self.headers["Content-Length"])
            upload = Upload(self, self.path, folder / self.path.lstrip("/"), length, conditions)
            with suppress(BrokenPipeError, ConnectionResetError), storing:
                made.put_fault(upload) if made.put_fault else upload.store()

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
