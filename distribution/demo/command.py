"""``instantstyle demo``: serves the page until it is interrupted."""

from collections.abc import Sequence
from pathlib import Path

from .contents import contents
from .server import DemoServer


def demo(dist: Path, port: int, artifact: str | None, styles: Sequence[Path]) -> None:
    """Prints the page's address and serves it; returns when it is interrupted, which is how it ends.

    Raises:
        InstantStyleError: as ``contents`` and ``DemoServer`` say.
    """
    found = contents(dist, artifact, styles)
    with DemoServer(port, found.files) as server:
        print(f"{server.url}: {found.artifact} of {dist}, for browsers on this machine; Ctrl-C ends it", flush=True)
        try:
            server.serve_forever()
        except KeyboardInterrupt:
            print()
